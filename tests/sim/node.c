// SPDX-License-Identifier: BSD-3-Clause
// A node: an engine, a lifecycle, a data plane and a clock.

#include "tests/sim/sim.h"

#include "control/ike/internal.h"
#include "control/lifecycle/internal.h"

#include <stdlib.h>
#include <string.h>

static void node_random(void *context, void *bytes, size_t length)
{
	struct sim_node *node = context;
	uint8_t *out = bytes;

	for (size_t i = 0; i < length; i += 8) {
		uint64_t random = sim_random_u64(&node->random);

		memcpy(out + i, &random, length - i < 8 ? length - i : 8);
	}
	// Only nonces are that long.
	if (length == TD_IKE_NONCE_BYTES && node->nonce_count > 0) {
		out[0] = *node->nonce_bytes++;
		node->nonce_count--;
	}
}

static void node_send(void *context, const struct td_path *path, const uint8_t *message, size_t length)
{
	sim_network_send(context, path, message, length);
}

static int64_t node_unix_time(void *context)
{
	(void)context;
	return 1700000000;
}

static uint64_t node_wall_us(void *context)
{
	return sim_wall_us(context);
}

// A side gives its peer up only when nothing that answers its last request has reached it.
static void dead_check(struct sim_node *node, const struct td_ike_sa *sa)
{
	if (sim_network_answered(node->world, sa->spi_i, sa->spi_r, sa->exchange.id, sa->initiator))
		sim_fail(node->world, "%c gave its peer up, but had the answer to %u", sim_letter(node),
		    sa->exchange.id);
}

static void ike_event(void *context, const char *kind, const struct td_ike_peer *peer,
    const struct td_ike_sa *sa, const char *reason)
{
	struct sim_node *node = context;
	bool silence = reason && strcmp(reason, "the peer does not answer") == 0;

	(void)peer;
	sim_trace(
	    node->world, "%c  %s%s%s", sim_letter(node), kind, reason ? ": " : "", reason ? reason : "");
	node->ike_up += strcmp(kind, "ike_up") == 0;
	node->ike_dead += strcmp(kind, "ike_dead") == 0;
	node->ike_down += strcmp(kind, "ike_down") == 0;
	node->ike_failed += strcmp(kind, "ike_failed") == 0;
	node->ike_rekeyed += strcmp(kind, "ike_rekeyed") == 0;
	// An old session ends because its renewal was not answered; what was last asked in it may have been.
	if (silence && sa->exchange.answered)
		dead_check(node, sa);
	if (silence)
		sim_sas_excuse_dead(node, sa);
}

static void life_event(void *context, const char *kind, const struct td_life_tunnel *tunnel,
    const struct td_life_child *child, const char *reason)
{
	struct sim_node *node = context;
	struct sim_end *end = td_life_tunnel_user(tunnel);

	if (strcmp(kind, "tunnel_up") == 0)
		end->was_up = true;
	if (strcmp(kind, "child_installed") == 0 && child->predecessor)
		node->world->rekeys++;
	if (child && strcmp(kind, "child_active") == 0 && child->proof == TD_PROOF_EARLY)
		((struct sim_sa *)child->dataplane)->early = SIM_EXCUSE_EARLY;
	if (child && strcmp(kind, "child_active") == 0 && child->proof == TD_PROOF_TIMER) {
		struct sim_sa *sa = child->dataplane;

		// Before the rest of the time of rule 2, because the alternative was to send nothing.
		if (sim_local_ns(node, node->world->now_ns) - child->installed_ns < end->life_config.quiet_ns)
			sa->early =
			    td_life_entry_of(child)->generation > 0 ? SIM_EXCUSE_HARD : SIM_EXCUSE_EARLY;
	}
	if (!node->world->trace)
		return;
	if (child)
		sim_trace(node->world, "%c  %s tunnel %u slot %u, in %x out %x%s%s", sim_letter(node), kind,
		    end->link->index, child->slot, child->spi_in, child->spi_out, reason ? ": " : "",
		    reason ? reason : "");
	else
		sim_trace(node->world, "%c  %s %u%s%s", sim_letter(node), kind, end->link->index,
		    reason ? ": " : "", reason ? reason : "");
}

static void ike_moved(void *context, const struct td_life_tunnel *tunnel, const struct td_path *path)
{
	struct sim_node *node = context;
	const struct sim_end *end = td_life_tunnel_user(tunnel);

	sim_trace(node->world, "%c  the peer of tunnel %u is at port %u", sim_letter(node), end->link->index,
	    path->remote_port);
	node->moved++;
}

// ---- configuration ------------------------------------------------------------------------------

void sim_node_init(struct sim_world *world, unsigned index)
{
	struct sim_node *node = &world->nodes[index];

	node->world = world;
	node->index = index;
	node->ip = td_ip_from_v4(0xc0000200u + 1 + index);
	node->spi_first = 0x1000 + 0x100000 * index;
	for (unsigned i = 0; i < sizeof(node->token_secret); i++)
		node->token_secret[i] = (uint8_t)sim_random_u64(&world->random);
	sim_onertt_keys(node);
	if (world->node_count <= index)
		world->node_count = index + 1;
}

struct sim_link *sim_link_add(struct sim_world *world, unsigned node_a, unsigned node_b)
{
	struct sim_link *link = &world->links[world->link_count];

	link->index = world->link_count++;
	for (unsigned i = 0; i < 2; i++) {
		struct sim_end *end = &link->ends[i];

		end->link = link;
		end->node = &world->nodes[i == 0 ? node_a : node_b];
		end->other = &link->ends[1 - i];
	}
	return link;
}

// ---- starting and stopping ----------------------------------------------------------------------

int sim_end_add(struct sim_end *end)
{
	struct sim_node *node = end->node;

	struct td_life_config config = end->life_config;

	if (node->broken == SIM_BREAK_HARD)
		config.hard_ns = config.limits.hard_packets = 0;
	end->tunnel = td_life_tunnel_add(node->life, &config, td_ike_negotiator(node->ike), end);
	if (!end->tunnel)
		return -1;
	if (td_ike_tunnel_add(node->peers[end->other->node->index], end->tunnel, &end->child_config) < 0)
		return -1;
	td_life_tunnel_start(end->tunnel);
	return 0;
}

void sim_end_remove(struct sim_end *end)
{
	sim_sas_excuse_end(end, SIM_EXCUSE_OPERATOR);
	td_ike_tunnel_remove(end->node->ike, end->tunnel);
	td_life_tunnel_remove(end->tunnel);
	end->tunnel = NULL;
	end->was_up = false;
}

void sim_end_down(struct sim_end *end)
{
	sim_trace(end->node->world, "%c  operator: tunnel %u down", sim_letter(end->node), end->link->index);
	if (end->node->world->faulty)
		sim_sas_excuse_end(end, SIM_EXCUSE_OPERATOR);
	end->down = true;
	end->was_up = end->other->was_up = false;
	td_life_tunnel_down(end->tunnel);
}

void sim_end_up(struct sim_end *end)
{
	sim_trace(end->node->world, "%c  operator: tunnel %u up", sim_letter(end->node), end->link->index);
	end->down = false;
	td_life_tunnel_up(end->tunnel);
}

void sim_node_start(struct sim_node *node)
{
	struct sim_world *world = node->world;
	td_timers_clock(&node->timers, sim_local_ns(node, world->now_ns));
	sim_onertt_start(node);
	struct td_ike_env ike_env = {
	    .timers = &node->timers,
	    .context = node,
	    .random = node_random,
	    .send = node_send,
	    .unix_time = node_unix_time,
	    .token_secret = node->token_secret,
	    .wall_us = node_wall_us,
	    .accepted = node->accepted,
	    .event = ike_event,
	    .moved = ike_moved,
	};
	struct td_life_env life_env = {
	    .timers = &node->timers,
	    .random_context = node,
	    .random = node_random,
	    .dataplane = sim_model(node),
	    .event_context = node,
	    .event = life_event,
	};

	node->random = sim_random_fork(&world->random);
	node->silent = node->must_be_silent = false;
	node->incarnation++;
	node->ike = td_ike_create(&ike_env);
	node->life = td_lifecycle_create(&life_env);
	for (unsigned i = 0; i < world->node_count; i++)
		if (node->peer_config[i].local || node->peer_config[i].onertt.enabled)
			node->peers[i] = td_ike_peer_add(node->ike, &node->peer_config[i]);
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++)
			if (world->links[i].ends[e].node == node && sim_end_add(&world->links[i].ends[e]) < 0)
				sim_fail(world, "out of memory");
}

void sim_node_stop(struct sim_node *node, bool crash)
{
	struct sim_world *world = node->world;

	if (!node->ike)
		return;
	sim_trace(world, "%c  %s", sim_letter(node), crash ? "crashes" : "stops");
	sim_sas_excuse_all(node, SIM_EXCUSE_RESTART);
	node->silent = crash;
	node->must_be_silent = !crash;
	td_ike_destroy(node->ike);
	td_lifecycle_destroy(node->life);
	node->ike = NULL;
	node->life = NULL;
	sim_onertt_stop(node, crash);
	for (unsigned i = 0; i < SIM_NODES_MAX; i++)
		node->peers[i] = NULL;
	for (unsigned i = 0; i < world->link_count; i++) {
		for (unsigned e = 0; e < 2; e++) {
			struct sim_end *end = &world->links[i].ends[e];

			if (end->node != node)
				continue;
			end->tunnel = NULL;
			end->down = end->was_up = end->other->was_up = false;
		}
	}
	sim_check_stopped(node);
}

void sim_node_free(struct sim_node *node)
{
	sim_node_stop(node, true);
	td_ike_credential_free(node->credential);
	node->credential = NULL;
	sim_onertt_free(node);
	sim_sas_free(node);
}

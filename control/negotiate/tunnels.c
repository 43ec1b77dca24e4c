// SPDX-License-Identifier: BSD-3-Clause
// Tunnels that negotiate: made from the configuration, changed and ended by another one.

#include "common/clock.h"
#include "common/limits.h"
#include "control/negotiate/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// How often is looked whether what leaves is gone.
#define LEAVE_CHECK_NS (100 * TD_NS_PER_MS)

static void selectors_make(const struct td_prefix *prefixes, unsigned count, struct td_ts_list *list)
{
	list->count = 0;
	for (unsigned i = 0; i < count && i < TD_TS_MAX; i++)
		list->list[list->count++] = td_ts_from_prefix(&prefixes[i]);
}

// Route-based tunnels carry whatever the routes send them.
static void selectors_any(struct td_ts_list *list)
{
	static const struct td_prefix any[] = {{.ip = {.family = 4}}, {.ip = {.family = 6}}};

	selectors_make(any, 2, list);
}

// The time in which a peer with our own settings has repeated a request as often as it does.
static uint64_t quiet_ns(const struct td_tunnel_ike_config *ike)
{
	uint64_t wait = ike->retransmit_ms * TD_NS_PER_MS, sum = 0;

	for (unsigned i = 0; i < ike->retransmit_tries; i++, wait += wait / 2)
		sum += wait;
	return sum;
}

static void life_config_make(const struct td_tunnel_config *tunnel, struct td_life_config *config)
{
	static const enum td_life_start starts[] = {
	    [TD_TUNNEL_BOOT] = TD_START_BOOT,
	    [TD_TUNNEL_TRAP] = TD_START_TRAP,
	    [TD_TUNNEL_RESPOND] = TD_START_RESPOND,
	};
	const struct td_tunnel_ike_config *ike = tunnel->ike;

	*config = (struct td_life_config){
	    .start = starts[ike->start],
	    .slots = ike->per_worker && td_dp_worker_count() > 1 ? 1 + td_dp_worker_count() : 1,
	    .soft_ns = ike->rekey_ms * TD_NS_PER_MS,
	    .hard_ns = ike->life_ms * TD_NS_PER_MS,
	    .limits = ike->limits,
	    .drain_ns = tunnel->drain_ms * TD_NS_PER_MS,
	    .quiet_ns = quiet_ns(ike),
	    .retry_ns = ike->retransmit_ms * TD_NS_PER_MS,
	};
	snprintf(config->name, sizeof(config->name), "%s", tunnel->name);
}

void td_negotiate_selectors(
    const struct td_tunnel_config *tunnel, struct td_ts_list *local, struct td_ts_list *remote)
{
	selectors_make(tunnel->local, tunnel->local_count, local);
	selectors_make(tunnel->remote, tunnel->remote_count, remote);
	if (local->count == 0)
		selectors_any(local);
	if (remote->count == 0)
		selectors_any(remote);
}

static int child_config_make(
    const struct td_tunnel_config *tunnel, struct td_ike_child_config *child, struct td_error *error)
{
	*child = (struct td_ike_child_config){.mode = tunnel->mode};
	td_negotiate_selectors(tunnel, &child->local, &child->remote);
	return td_negotiate_esp_proposals(tunnel->ike, &child->proposals, error);
}

static void part_free(struct td_negotiate_tunnel *part)
{
	if (part->life) {
		td_ike_tunnel_remove(part->negotiate->ike, part->life);
		td_life_tunnel_remove(part->life);
	}
	part->sad->user = NULL;
	free(part);
}

// ---- beginning ----------------------------------------------------------------------------------

static void token_load(struct td_negotiate *negotiate)
{
	if (!negotiate->token_tried &&
	    td_negotiate_token_load(negotiate->state_directory, negotiate->token_secret))
		td_ike_token_secret_set(negotiate->ike, negotiate->token_secret);
	negotiate->token_tried = true;
}

int td_negotiate_tunnel_add(struct td_negotiate *negotiate, struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position, struct td_error *error)
{
	struct td_negotiate_tunnel *part;
	struct td_ike_child_config child;
	struct td_life_config life;

	if (!tunnel->config.ike)
		return 0;
	token_load(negotiate);
	if (tunnel->config.ike->negotiation == TD_NEGOTIATION_ONERTT &&
	    td_negotiate_freshness_start(negotiate, tunnel->config.ike, error) < 0)
		return -EINVAL;
	if (child_config_make(&tunnel->config, &child, error) < 0)
		return -EINVAL;
	part = calloc(1, sizeof(*part));
	if (!part)
		return td_error_set(error, -ENOMEM, tunnel->config.name, NULL, "no memory");
	part->negotiate = negotiate;
	part->sad = tunnel;
	part->peer = td_negotiate_peer_of(negotiate, read, position, error);
	if (!part->peer) {
		free(part);
		return -EINVAL;
	}
	life_config_make(&tunnel->config, &life);
	part->life = td_life_tunnel_add(negotiate->life, &life, td_ike_negotiator(negotiate->ike), part);
	if (!part->life || td_ike_tunnel_add(part->peer->ike, part->life, &child) < 0) {
		struct td_negotiate_peer *peer = part->peer;

		part_free(part);
		td_negotiate_peer_cancel(negotiate, peer);
		return td_error_set(error, -ENOMEM, tunnel->config.name, NULL, "no memory");
	}
	td_ike_tunnel_leave(negotiate->ike, part->life); // until it starts
	tunnel->user = part;
	TAILQ_INSERT_TAIL(&negotiate->tunnels, part, entry);
	return 0;
}

void td_negotiate_tunnel_discard(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);
	struct td_negotiate_peer *peer;

	if (!part)
		return;
	peer = part->peer;
	TAILQ_REMOVE(&negotiate->tunnels, part, entry);
	part_free(part);
	td_negotiate_peer_cancel(negotiate, peer);
}

void td_negotiate_tunnel_start(struct td_tunnel *tunnel)
{
	struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);

	if (!part)
		return;
	td_negotiate_peer_take(part->peer);
	td_ike_tunnel_enter(part->negotiate->ike, part->life);
	td_life_tunnel_start(part->life);
}

// ---- change -------------------------------------------------------------------------------------

void td_negotiate_begin(struct td_negotiate *negotiate)
{
	negotiate->generation++;
}

void td_negotiate_tunnel_prepare(struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position)
{
	const struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);

	if (part)
		td_negotiate_peer_prepare(negotiate, part->peer, read, position);
}

void td_negotiate_tunnel_cancel(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	const struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);

	if (part)
		td_negotiate_peer_cancel(negotiate, part->peer);
}

void td_negotiate_tunnel_update(struct td_tunnel *tunnel)
{
	struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);
	struct td_life_config life;

	if (!part)
		return;
	td_negotiate_peer_take(part->peer);
	life_config_make(&tunnel->config, &life);
	td_life_tunnel_update(part->life, &life);
	// Its requests hurry by how long the children of all its tunnels live now.
	td_ike_peer_update(part->peer->ike, part->peer->config);
}

// ---- end ----------------------------------------------------------------------------------------

// Removes what has left wholly, and its configuration.
static void tunnel_end(struct td_negotiate_tunnel *part)
{
	struct td_negotiate *negotiate = part->negotiate;
	struct td_tunnel_ike_config *ike = part->sad->config.ike;
	struct td_tunnel *sad = part->sad;

	TAILQ_REMOVE(&negotiate->leaving, part, entry);
	part_free(part);
	td_sad_tunnel_remove(negotiate->sad, sad);
	td_config_ike_free(ike);
}

// Ends those that have left wholly, of those that were not looked at in this round, until end_ns. False: some
// are left.
static bool tunnels_sweep(struct td_negotiate *negotiate, uint64_t end_ns)
{
	struct td_negotiate_tunnel *part;

	while ((part = TAILQ_FIRST(&negotiate->leaving)) && part->looked != negotiate->leave_round) {
		if (td_clock_now_ns() >= end_ns)
			return false;
		part->looked = negotiate->leave_round;
		TAILQ_REMOVE(&negotiate->leaving, part, entry);
		TAILQ_INSERT_TAIL(&negotiate->leaving, part, entry);
		if (td_life_tunnel_is_idle(part->life))
			tunnel_end(part);
	}
	return true;
}

// A round goes through all that leave, in as many turns as it takes.
void td_negotiate_leave_due(void *context)
{
	struct td_negotiate *negotiate = context;
	uint64_t now_ns = td_clock_now_ns(), end_ns = now_ns + TD_RELOAD_SLICE_US * 1000ull;

	if (!tunnels_sweep(negotiate, end_ns) || !td_negotiate_peers_sweep(negotiate, end_ns)) {
		td_loop_timer_set(negotiate->loop, &negotiate->leave_timer, now_ns);
		return;
	}
	negotiate->leave_round++;
	if (!TAILQ_EMPTY(&negotiate->leaving) || !TAILQ_EMPTY(&negotiate->leaving_peers))
		td_loop_timer_set(negotiate->loop, &negotiate->leave_timer, now_ns + LEAVE_CHECK_NS);
}

void td_negotiate_tunnel_leave(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	struct td_negotiate_tunnel *part = td_negotiate_part(tunnel);

	if (!part) {
		td_sad_tunnel_remove(negotiate->sad, tunnel);
		return;
	}
	TAILQ_REMOVE(&negotiate->tunnels, part, entry);
	TAILQ_INSERT_HEAD(&negotiate->leaving, part, entry);
	part->looked = negotiate->leave_round - 1;
	td_negotiate_peer_leave(negotiate, part->peer);
	td_ike_tunnel_leave(negotiate->ike, part->life);
	td_life_tunnel_down(part->life);
	if (!negotiate->leave_timer.armed)
		td_loop_timer_set(
		    negotiate->loop, &negotiate->leave_timer, td_clock_now_ns() + LEAVE_CHECK_NS);
}

void td_negotiate_tunnels_free(struct td_negotiate *negotiate)
{
	struct td_negotiate_tunnel *part;

	td_loop_timer_cancel(negotiate->loop, &negotiate->leave_timer);
	while ((part = TAILQ_FIRST(&negotiate->leaving))) {
		// The engine and the life cycle have forgotten them all.
		part->life = NULL;
		tunnel_end(part);
	}
	while ((part = TAILQ_FIRST(&negotiate->tunnels))) {
		TAILQ_REMOVE(&negotiate->tunnels, part, entry);
		part->life = NULL;
		part_free(part);
	}
}

// SPDX-License-Identifier: BSD-3-Clause
// A seed's story: nodes with a configuration, faults for a while, then good weather, in which everything must
// come to rest, and go on without a flaw to the end.

#include "tests/sim/sim.h"

#include "control/ike/internal.h"

#include <string.h>

struct story {
	struct sim_world *world;
	uint64_t base_ns; // lifetimes are of this order
	uint64_t soft_ns; // the shortest
	uint64_t calm_at_ns;
	bool calm; // no faults at all
	bool collide; // operators rekey both ends of a tunnel at once
	struct td_timer fault;
	uint64_t fault_ns; // between two
};

// ---- configuration ------------------------------------------------------------------------------

static const char psk[] = "the same on both sides";

static void proposals_parse(
    struct sim_world *world, uint8_t protocol, const char *text, struct td_ike_proposals *proposals)
{
	struct td_error error;

	if (td_ike_proposal_parse(protocol, text, proposals, &error) < 0)
		sim_fail(world, "proposal %s: %s", text, error.reason);
}

// Both ends' proposals of one peering: what they have in common may not be what the initiator tries first.
static void ike_proposals(struct sim_world *world, struct td_ike_proposals *a, struct td_ike_proposals *b)
{
	unsigned kind = (unsigned)sim_random_below(&world->random, 100);
	const char *first = kind < 80   ? "aes128gcm16-prfsha256-x25519"
	                    : kind < 90 ? "aes128-sha256-x25519"
	                    : kind < 97 ? "aes256gcm16-prfsha384-x25519-ecp256"
	                                : "chacha20poly1305-prfsha512-ecp256-x25519";
	const char *second = kind < 90   ? first
	                     : kind < 97 ? "aes256gcm16-prfsha384-ecp256-x25519"
	                                 : "chacha20poly1305-prfsha512-x25519-ecp256";

	proposals_parse(world, TD_IKE_PROTO_IKE, first, a);
	proposals_parse(world, TD_IKE_PROTO_IKE, second, b);
}

static void esp_proposals(struct sim_world *world, struct td_ike_proposals *a, struct td_ike_proposals *b)
{
	unsigned kind = (unsigned)sim_random_below(&world->random, 100);
	const char *first = kind < 60   ? "aes128gcm16"
	                    : kind < 90 ? "aes128gcm16-x25519"
	                                : "aes256-sha256-x25519-ecp256";
	const char *second = kind < 90 ? first : "aes256-sha256-ecp256-x25519";

	proposals_parse(world, TD_IKE_PROTO_ESP, first, a);
	proposals_parse(world, TD_IKE_PROTO_ESP, second, b);
}

static void id_set(struct sim_node *node, bool is_long, struct td_ike_id *id)
{
	id->type = TD_ID_FQDN;
	id->length = (uint16_t)(is_long ? 250 : 4);
	memset(id->data, 'a' + (int)node->index, id->length);
}

static uint64_t at_least(uint64_t low, uint64_t value)
{
	return value > low ? value : low;
}

// Any combination of modes, key sources and deliveries.
static void onertt_configure(struct sim_world *world, struct sim_node *a, struct sim_node *b, uint64_t base)
{
	struct sim_random *random = &world->random;
	struct td_onertt_config config = {
	    .authentication = (enum td_onertt_authentication)sim_random_below(random, 3),
	    .source = (enum td_onertt_source)sim_random_below(random, 2),
	    .delivery = (enum td_onertt_delivery)sim_random_below(random, 2),
	    .early_delay_ns = sim_random_below(random, 10 * SIM_MS),
	    .window = {30, 1},
	};

	config.early_data = config.source == TD_ONERTT_INITIATOR && sim_random_chance(random, 50);
	if (sim_random_chance(random, 50))
		config.session_ns = sim_random_scaled(random, at_least(SIM_S, base), 60 * SIM_S);
	sim_onertt_configure(a, b, &config);
	if (sim_random_chance(random, 30))
		config.session_ns = 0;
	sim_onertt_configure(b, a, &config);
	// Whom an identity tells apart must have one.
	id_set(b, a->peer_config[b->index].local_id.length > 4, &a->peer_config[b->index].remote_id);
	id_set(a, b->peer_config[a->index].local_id.length > 4, &b->peer_config[a->index].remote_id);
	// Who has only the secret begins, who has not the other's key responds.
	if (config.authentication == TD_ONERTT_SECRET && sim_random_chance(random, 50)) {
		a->peer_config[b->index].onertt.own = NULL;
		b->peer_config[a->index].onertt.remote = NULL;
	}
}

static void peering_configure(
    struct sim_world *world, struct sim_node *a, struct sim_node *b, uint64_t base, bool fragments)
{
	uint64_t rekey =
	    sim_random_chance(&world->random, 60)
	        ? 0
	        : sim_random_scaled(&world->random, at_least(500 * SIM_MS, base / 4), 60 * SIM_S);
	struct sim_node *nodes[2] = {a, b};

	for (unsigned i = 0; i < 2; i++) {
		struct sim_node *node = nodes[i], *peer = nodes[1 - i];
		struct td_ike_peer_config *config = &node->peer_config[peer->index];

		*config = (struct td_ike_peer_config){
		    .local_address = node->ip,
		    .remote_address = peer->ip,
		    .local = node->credential,
		    .remote = node->credential,
		    .rekey_ns = sim_random_chance(&world->random, 70) ? rekey : 0,
		    .retransmit_ns = sim_random_scaled(&world->random, 20 * SIM_MS, 2 * SIM_S),
		    .retransmit_tries = (unsigned)sim_random_between(&world->random, 3, 8),
		    .liveness_ns =
		        sim_random_scaled(&world->random, at_least(200 * SIM_MS, base / 4), 10 * SIM_S),
		    .fragment_bytes = fragments ? 576 : 1280,
		};
		id_set(node, fragments, &config->local_id);
		if (sim_random_chance(&world->random, 70))
			id_set(peer, fragments, &config->remote_id);
	}
	ike_proposals(world, &a->peer_config[b->index].proposals, &b->peer_config[a->index].proposals);
	if (sim_random_chance(&world->random, 50))
		onertt_configure(world, a, b, base);
}

// All repetitions of a request, with the time that a message takes (rule 2).
static uint64_t retransmissions_ns(const struct td_ike_peer_config *config)
{
	uint64_t wait = config->retransmit_ns, sum = 0;

	for (unsigned i = 0; i < config->retransmit_tries; i++, wait += wait / 2)
		sum += wait;
	return sum;
}

static void start_modes(struct sim_world *world, enum td_life_start *a, enum td_life_start *b)
{
	static const enum td_life_start modes[][2] = {{TD_START_BOOT, TD_START_BOOT},
	    {TD_START_BOOT, TD_START_TRAP}, {TD_START_BOOT, TD_START_RESPOND}, {TD_START_TRAP, TD_START_TRAP},
	    {TD_START_TRAP, TD_START_RESPOND}};
	unsigned kind = (unsigned)sim_random_below(&world->random, 5),
	         turn = (unsigned)sim_random_below(&world->random, 2);

	*a = modes[kind][turn];
	*b = modes[kind][1 - turn];
}

static struct td_ts_list selectors(unsigned link, unsigned side)
{
	struct td_prefix prefix = {
	    .ip = td_ip_from_v4(0x0a000000u + (link << 16) + (side << 8)), .length = 24};

	return (struct td_ts_list){.count = 1, .list = {td_ts_from_prefix(&prefix)}};
}

static void link_configure(struct story *story, struct sim_link *link)
{
	struct sim_world *world = story->world;
	struct sim_random *random = &world->random;
	uint64_t soft = story->base_ns * sim_random_between(random, 1, 4);
	uint64_t hard = soft + soft * sim_random_between(random, 25, 100) / 100;
	uint64_t drain = world->data_delay_max_ns + sim_random_scaled(random, 10 * SIM_MS, 5 * SIM_S);
	unsigned workers =
	    sim_random_chance(random, 25) ? (unsigned)sim_random_between(random, 1, SIM_SLOTS_MAX - 1) : 0;
	enum td_life_start start[2];
	bool one_side = sim_random_chance(random, 30), limits = sim_random_chance(random, 15);
	unsigned side = (unsigned)sim_random_below(random, 2);

	start_modes(world, &start[0], &start[1]);
	for (unsigned i = 0; i < 2; i++) {
		const struct sim_end *end = &link->ends[i];
		const struct td_onertt_config *onertt =
		    &end->node->peer_config[end->other->node->index].onertt;

		if (onertt->enabled && !onertt->remote) {
			start[i] = TD_START_RESPOND;
			start[1 - i] = TD_START_BOOT;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		struct sim_end *end = &link->ends[i];
		const struct td_ike_peer_config *theirs = &end->other->node->peer_config[end->node->index];

		end->life_config = (struct td_life_config){
		    .start = start[i],
		    .slots = 1 + workers,
		    .soft_ns = one_side && i == side ? 0 : soft,
		    .hard_ns = hard,
		    .drain_ns = drain,
		    .quiet_ns =
		        retransmissions_ns(theirs) + world->weather.delay_max_ns + world->weather.late_ns,
		    .retry_ns = sim_random_scaled(random, 50 * SIM_MS, 1 * SIM_S),
		};
		if (sim_random_chance(random, 20))
			end->life_config.slots = 1;
		if (limits) {
			end->life_config.limits.soft_packets = sim_random_between(random, 20, 60);
			end->life_config.limits.hard_packets = end->life_config.limits.soft_packets * 3;
		}
		(void)snprintf(end->life_config.name, sizeof(end->life_config.name), "tunnel%u", link->index);
		end->child_config.local = selectors(link->index, i);
		end->child_config.remote = selectors(link->index, 1 - i);
	}
	esp_proposals(world, &link->ends[0].child_config.proposals, &link->ends[1].child_config.proposals);
	world->traffic_ns[link->index] = soft / sim_random_between(random, 10, 40);
	if (soft < story->soft_ns)
		story->soft_ns = soft;
}

static void weather_set(struct story *story)
{
	struct sim_world *world = story->world;
	struct sim_random *random = &world->random;
	struct sim_weather *weather = &world->weather;

	world->data_delay_min_ns = sim_random_scaled(random, SIM_MS / 10, 20 * SIM_MS);
	world->data_delay_max_ns =
	    world->data_delay_min_ns + sim_random_scaled(random, SIM_MS / 10, 50 * SIM_MS);
	weather->delay_min_ns = SIM_MS / 10;
	weather->delay_max_ns = sim_random_scaled(random, SIM_MS / 5, 2 * SIM_MS);
	story->calm = sim_random_chance(random, 25);
	world->faulty = !story->calm;
	if (story->calm)
		return;
	weather->delay_max_ns = sim_random_scaled(random, 1 * SIM_MS, 500 * SIM_MS);
	if (sim_random_chance(random, 70))
		weather->loss_percent = (unsigned)sim_random_scaled(random, 1, 50);
	if (sim_random_chance(random, 50))
		weather->duplicate_percent = (unsigned)sim_random_scaled(random, 1, 30);
	if (sim_random_chance(random, 30)) {
		weather->late_percent = (unsigned)sim_random_scaled(random, 1, 10);
		weather->late_ns = weather->delay_max_ns + sim_random_scaled(random, 10 * SIM_MS, 5 * SIM_S);
	}
	if (sim_random_chance(random, 15))
		weather->corrupt_percent = (unsigned)sim_random_scaled(random, 1, 10);
	world->cut_data = sim_random_chance(random, 50);
}

static void nodes_configure(struct story *story)
{
	struct sim_world *world = story->world;
	bool hub = sim_random_chance(&world->random, 10), two = sim_random_chance(&world->random, 15);
	bool fragments = sim_random_chance(&world->random, 10),
	     same_spis = sim_random_chance(&world->random, 50);

	for (unsigned i = 0; i < (hub ? 3u : 2u); i++) {
		struct sim_node *node = &world->nodes[i];

		sim_node_init(world, i);
		node->credential =
		    td_ike_credential_psk_bytes((struct td_bytes){(const uint8_t *)psk, sizeof(psk) - 1});
		node->clock_off_ns = (int64_t)sim_random_below(&world->random, 100 * SIM_S);
		sim_wall_set(node, &world->random);
		node->clock_ppm = (int64_t)sim_random_below(&world->random, 1001) - 500;
		// An SPI means something only to the node that it belongs to.
		if (same_spis)
			node->spi_first = 0x1000;
	}
	story->base_ns = sim_random_scaled(&world->random, 100 * SIM_MS, 30 * SIM_S);
	sim_link_add(world, 0, 1);
	if (two)
		sim_link_add(world, 1, 0);
	if (hub)
		sim_link_add(world, 0, 2);
	peering_configure(world, &world->nodes[0], &world->nodes[1], story->base_ns, fragments);
	if (hub)
		peering_configure(world, &world->nodes[0], &world->nodes[2], story->base_ns, fragments);
	for (unsigned i = 0; i < world->link_count; i++)
		link_configure(story, &world->links[i]);
}

// ---- what goes wrong ----------------------------------------------------------------------------

static struct sim_end *end_any(struct sim_world *world)
{
	struct sim_link *link = &world->links[sim_random_below(&world->random, world->link_count)];

	return &link->ends[sim_random_below(&world->random, 2)];
}

static void cut(struct story *story, struct sim_end *end)
{
	struct sim_world *world = story->world;
	uint64_t *there = &world->cut_until_ns[end->node->index][end->other->node->index];
	uint64_t *back = &world->cut_until_ns[end->other->node->index][end->node->index];

	*there = world->now_ns + sim_random_scaled(&world->random, 10 * SIM_MS, 20 * SIM_S);
	if (sim_random_chance(&world->random, 60))
		*back = *there;
	sim_trace(world, "   cut off: %c to %c%s until %.3f", sim_letter(end->node),
	    sim_letter(end->other->node), *back == *there ? ", both ways," : "", (double)*there / 1e9);
}

// What an operator may do at any time, without a packet being lost.
static void rekey(struct sim_world *world, struct sim_end *end, bool ike)
{
	if (!end->tunnel)
		return;
	sim_trace(world, "%c  operator: rekey %s %u", sim_letter(end->node),
	    ike ? "IKE SA of tunnel" : "tunnel", end->link->index);
	if (ike)
		(void)td_ike_peer_rekey(end->node->peers[end->other->node->index]);
	else
		(void)td_life_tunnel_rekey(end->tunnel);
}

static void operate(struct sim_world *world)
{
	struct sim_end *end = end_any(world);
	bool ike = sim_random_chance(&world->random, 40);

	rekey(world, end, ike);
	// Both ends at once, perhaps of different things.
	if (sim_random_chance(&world->random, 40))
		rekey(world, end->other, sim_random_chance(&world->random, 20) ? !ike : ike);
}

static void go_wrong(struct story *story)
{
	struct sim_world *world = story->world;
	struct sim_end *end = end_any(world);
	unsigned kind = (unsigned)sim_random_below(&world->random, 100);

	if (kind < 30) {
		operate(world);
	} else if (kind < 55) {
		cut(story, end);
	} else if (kind < 75) {
		sim_node_stop(end->node, true);
		sim_node_start(end->node);
	} else if (end->tunnel && kind < 90) {
		if (end->down)
			sim_end_up(end);
		else
			sim_end_down(end);
	} else if (end->tunnel && kind < 93) {
		sim_trace(world, "%c  operator: tunnel %u is configured anew", sim_letter(end->node),
		    end->link->index);
		sim_end_remove(end);
		(void)sim_end_add(end);
	} else if (kind < 97) {
		end->node->refusals = (unsigned)sim_random_between(&world->random, 1, 3);
		sim_trace(world, "%c  its data plane has no room for %u children", sim_letter(end->node),
		    end->node->refusals);
	} else {
		sim_wall_set(end->node, &world->random);
		sim_trace(world, "%c  the system's clock is set", sim_letter(end->node));
	}
}

static void fault_due(void *context)
{
	struct story *story = context;
	struct sim_world *world = story->world;

	if (story->collide) {
		struct sim_end *end = end_any(world);

		rekey(world, end, false);
		rekey(world, end->other, false);
	} else if (world->faulty) {
		go_wrong(story);
	} else {
		operate(world);
	}
	td_timers_set(&world->timers, &story->fault,
	    world->now_ns + story->fault_ns / 2 + sim_random_below(&world->random, story->fault_ns));
}

// ---- the story ----------------------------------------------------------------------------------

static void heal(struct story *story)
{
	struct sim_world *world = story->world;

	sim_trace(world, "   good weather");
	td_timers_cancel(&world->timers, &story->fault);
	if (!story->calm)
		world->healed_ns = world->now_ns;
	world->weather = (struct sim_weather){.delay_min_ns = SIM_MS / 10, .delay_max_ns = SIM_MS};
	memset(world->cut_until_ns, 0, sizeof(world->cut_until_ns));
	for (unsigned i = 0; i < world->node_count; i++)
		world->nodes[i].refusals = 0;
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++)
			if (world->links[i].ends[e].down)
				sim_end_up(&world->links[i].ends[e]);
}

// How long it may take until all is well again, without anybody's help.
static uint64_t patience(const struct story *story)
{
	const struct sim_world *world = story->world;
	uint64_t most = 0;

	for (unsigned i = 0; i < world->link_count; i++) {
		for (unsigned e = 0; e < 2; e++) {
			const struct sim_end *end = &world->links[i].ends[e];
			const struct td_ike_peer_config *config =
			    &end->node->peer_config[end->other->node->index];
			// To find out that the peer is dead, twice; to wait after failures; to drop what is
			// half open or replaced; to outlive a child.
			uint64_t time = 2 * (retransmissions_ns(config) + config->liveness_ns) +
			                64 * end->life_config.retry_ns + TD_IKE_OLD_MS * SIM_MS +
			                3 * end->life_config.quiet_ns + 3 * end->life_config.hard_ns;

			if (time > most)
				most = time;
		}
	}
	return 2 * most;
}

static void rest_await(struct story *story)
{
	struct sim_world *world = story->world;
	uint64_t end = world->now_ns + patience(story), step = story->soft_ns / 100 + 1;
	char why[200] = "";

	while (!world->failed && !sim_at_rest(world, why, sizeof(why))) {
		if (world->now_ns >= end) {
			sim_trace_state(world);
			sim_fail(world, "not at rest %.1f s after the last fault: %s",
			    (double)patience(story) / 1e9, why);
			return;
		}
		sim_world_run(world, world->now_ns + step);
	}
	sim_trace(world, "   at rest");
}

// All is well: from here on nothing may be held, and no child may expire.
static void enjoy(struct story *story)
{
	struct sim_world *world = story->world;
	uint64_t before[SIM_LINKS_MAX][2], time = 3 * story->soft_ns;

	world->faulty = false;
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++) {
			world->links[i].ends[e].was_up = true;
			before[i][e] = world->links[i].ends[e].stats.received;
		}
	story->fault_ns = story->soft_ns;
	td_timers_set(
	    &world->timers, &story->fault, world->now_ns + sim_random_below(&world->random, story->fault_ns));
	sim_world_run(world, world->now_ns + time);
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++)
			if (!world->failed && world->traffic_ns[i] < time / 8 &&
			    world->links[i].ends[e].stats.received == before[i][e])
				sim_fail(world, "tunnel %u is at rest, but nothing of %c arrives", i,
				    sim_letter(world->links[i].ends[e].node));
}

static void result_fill(const struct sim_world *world, struct sim_result *result)
{
	*result = (struct sim_result){
	    .failed = world->failed,
	    .exchanges = world->exchanges,
	    .packets = world->packets,
	    .rekeys = world->rekeys,
	    .simulated_ns = world->now_ns,
	};
	memcpy(result->failure, world->failure, sizeof(result->failure));
	for (unsigned i = 0; i < world->link_count; i++)
		for (unsigned e = 0; e < 2; e++)
			for (unsigned x = 0; x < SIM_EXCUSES; x++)
				result->excused[x] += world->links[i].ends[e].stats.excused[x];
}

// So that a broken rule shows: what it is for has to happen.
static void rule_break(struct story *story, unsigned broken)
{
	struct sim_world *world = story->world;

	world->nodes[0].broken = broken;
	// The other end would end the child in time.
	for (unsigned i = 0; broken == SIM_BREAK_HARD && i < world->node_count; i++)
		world->nodes[i].broken = broken;
	for (unsigned i = 0; (broken == 4 || broken == SIM_BREAK_HARD) && i < world->link_count; i++)
		world->links[i].ends[0].life_config.soft_ns = world->links[i].ends[1].life_config.soft_ns = 0;
	story->collide = broken == 5;
}

void sim_scenario_run(uint64_t seed, const struct sim_options *options, struct sim_result *result)
{
	static struct sim_world world;
	struct story story = {
	    .world = &world, .soft_ns = UINT64_MAX, .fault = {.fn = fault_due, .context = &story}};

	sim_world_init(&world, seed);
	world.trace = options->trace;
	weather_set(&story);
	nodes_configure(&story);
	rule_break(&story, options->broken);
	for (unsigned i = 0; i < world.node_count; i++)
		sim_node_start(&world.nodes[i]);
	sim_traffic_start(&world);
	story.fault_ns = story.soft_ns * sim_random_between(&world.random, 1, 8);
	td_timers_set(&world.timers, &story.fault, sim_random_below(&world.random, story.fault_ns));
	sim_world_run(&world, story.soft_ns * sim_random_between(&world.random, 4, 10));
	if (!world.failed) {
		heal(&story);
		rest_await(&story);
	}
	if (!world.failed)
		enjoy(&story);
	if (!world.failed) {
		td_timers_cancel(&world.timers, &story.fault);
		rest_await(&story);
	}
	if (!world.failed)
		for (unsigned i = 0; i < world.node_count; i++)
			sim_node_stop(&world.nodes[i], false);
	else
		sim_trace_state(&world);
	result_fill(&world, result);
	world.failed = true; // what a broken end leaves behind is not looked at
	sim_world_free(&world);
}

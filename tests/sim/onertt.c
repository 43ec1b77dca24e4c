// SPDX-License-Identifier: BSD-3-Clause
// The one-round-trip exchange in the simulation: static keys, the system's clocks, which are off by up to
// days, and the file that outlives a restart.

#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH_US 1700000000000000ull
#define HOUR_US 3600000000ll

uint64_t sim_wall_us(const struct sim_node *node)
{
	return EPOCH_US + (uint64_t)node->wall_off_us + sim_local_ns(node, node->world->now_ns) / 1000;
}

void sim_wall_set(struct sim_node *node, struct sim_random *random)
{
	unsigned kind = (unsigned)sim_random_below(random, 100);
	int64_t off = kind < 40   ? (int64_t)sim_random_below(random, 1000000)
	              : kind < 60 ? (int64_t)sim_random_below(random, 120000000)
	              : kind < 80 ? (int64_t)sim_random_below(random, 3 * HOUR_US)
	                          : (int64_t)sim_random_below(random, 9 * 24 * HOUR_US);

	node->wall_off_us = sim_random_chance(random, 50) ? off : -off;
}

// ---- keys ---------------------------------------------------------------------------------------

void sim_onertt_keys(struct sim_node *node)
{
	struct td_secret private_key = {.length = TD_X25519_BYTES};

	memset(private_key.bytes, 0x41 + (int)node->index, TD_X25519_BYTES);
	if (td_x25519_make(&private_key, &node->own.pair) < 0 ||
	    td_onertt_key_id(node->own.pair.public_key, node->own.key_id) < 0)
		abort();
	memcpy(node->public.public_key, node->own.pair.public_key, TD_X25519_BYTES);
	memcpy(node->public.key_id, node->own.key_id, TD_ONERTT_KEY_ID_BYTES);
}

void sim_onertt_configure(
    struct sim_node *node, const struct sim_node *peer, const struct td_onertt_config *like)
{
	struct td_onertt_config *config = &node->peer_config[peer->index].onertt;

	*config = *like;
	config->enabled = true;
	config->own = &node->own;
	config->remote = &peer->public;
	config->secret.length = 32;
	memset(config->secret.bytes, 0x5a, config->secret.length);
	node->peer_config[peer->index].local = node->peer_config[peer->index].remote = NULL;
}

// ---- what was accepted --------------------------------------------------------------------------

static int bound_save(void *context, uint64_t bound_us)
{
	struct sim_node *node = context;

	node->bound_found = true;
	node->bound_us = bound_us;
	return 0;
}

void sim_onertt_start(struct sim_node *node)
{
	struct td_accepted_setup setup = {
	    .window = {30, 1},
	    .capacity = 8,
	    .found = node->bound_found,
	    .bound_us = node->bound_us,
	    .wall_us = sim_wall_us(node),
	    .steady_us = node->timers.now_ns / 1000,
	    .save = bound_save,
	    .context = node,
	};

	node->accepted = td_accepted_create(&setup);
	if (!node->accepted)
		abort();
}

void sim_onertt_stop(struct sim_node *node, bool crash)
{
	if (!crash && node->accepted)
		(void)td_accepted_settle(node->accepted);
	td_accepted_free(node->accepted);
	node->accepted = NULL;
}

void sim_onertt_free(struct sim_node *node)
{
	td_x25519_free(&node->own.pair);
}

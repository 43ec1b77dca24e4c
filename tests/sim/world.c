// SPDX-License-Identifier: BSD-3-Clause
// Time, chance and failure.

#include "tests/sim/sim.h"

#include <stdarg.h>
#include <string.h>

// More steps than this without time passing: two parts of the product keep each other busy.
#define STEPS_AT_ONCE_MAX 20000

uint64_t sim_random_u64(struct sim_random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
	return bound ? sim_random_u64(random) % bound : 0;
}

uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high)
{
	return low + sim_random_below(random, high - low + 1);
}

uint64_t sim_random_scaled(struct sim_random *random, uint64_t low, uint64_t high)
{
	unsigned doublings = 0;
	uint64_t value;

	while (low << (doublings + 1) <= high)
		doublings++;
	value = low << sim_random_below(random, doublings + 1);
	value += sim_random_below(random, value);
	return value < high ? value : high;
}

bool sim_random_chance(struct sim_random *random, unsigned percent)
{
	return sim_random_below(random, 100) < percent;
}

struct sim_random sim_random_fork(struct sim_random *random)
{
	return (struct sim_random){sim_random_u64(random)};
}

void sim_world_init(struct sim_world *world, uint64_t seed)
{
	*world = (struct sim_world){.seed = seed, .random = {seed * 0x2545f4914f6cdd1dull + 1}};
	(void)sim_random_u64(&world->random);
	TAILQ_INIT(&world->messages);
}

void sim_world_free(struct sim_world *world)
{
	for (unsigned i = 0; i < world->node_count; i++)
		sim_node_free(&world->nodes[i]);
	sim_network_free(world);
	sim_traffic_free(world);
}

void sim_fail(struct sim_world *world, const char *format, ...)
{
	va_list arguments;

	if (world->failed)
		return;
	world->failed = true;
	va_start(arguments, format);
	(void)vsnprintf(world->failure, sizeof(world->failure), format, arguments);
	va_end(arguments);
	sim_trace(world, "FAILURE: %s", world->failure);
}

// ---- clocks -----------------------------------------------------------------------------------

uint64_t sim_local_ns(const struct sim_node *node, uint64_t global_ns)
{
	return (uint64_t)((int64_t)global_ns + node->clock_off_ns +
	                  (int64_t)(global_ns / 1000) * node->clock_ppm / 1000);
}

// The first moment at which the node's clock shows local_ns.
static uint64_t global_ns(const struct sim_node *node, uint64_t local_ns)
{
	int64_t off = (int64_t)local_ns - node->clock_off_ns;
	int64_t guess = off - off / 1000 * node->clock_ppm / 1000;

	if (guess < 0)
		return 0;
	// The guess is off by the square of the drift.
	for (;;) {
		int64_t missing = (int64_t)local_ns - (int64_t)sim_local_ns(node, (uint64_t)guess);

		if (missing <= 0)
			return (uint64_t)guess;
		guess += missing;
	}
}

static void clocks_set(struct sim_world *world)
{
	for (unsigned i = 0; i < world->node_count; i++)
		td_timers_clock(&world->nodes[i].timers, sim_local_ns(&world->nodes[i], world->now_ns));
}

bool sim_world_step(struct sim_world *world, uint64_t until_ns)
{
	struct td_timers *timers = &world->timers;
	uint64_t when = td_timers_next_ns(timers);

	for (unsigned i = 0; i < world->node_count; i++) {
		struct sim_node *node = &world->nodes[i];
		uint64_t next = td_timers_next_ns(&node->timers);

		if (next != UINT64_MAX && (next = global_ns(node, next)) < when) {
			when = next;
			timers = &node->timers;
		}
	}
	if (when > until_ns)
		when = until_ns;
	if (when > world->now_ns)
		world->now_ns = when;
	td_timers_clock(&world->timers, world->now_ns);
	clocks_set(world);
	world->steps++;
	return td_timers_run_one(timers, timers->now_ns);
}

void sim_world_run(struct sim_world *world, uint64_t until_ns)
{
	uint64_t since = world->now_ns;
	unsigned steps = 0;

	while (!world->failed && sim_world_step(world, until_ns)) {
		sim_check(world);
		if (world->now_ns != since) {
			since = world->now_ns;
			steps = 0;
		} else if (++steps > STEPS_AT_ONCE_MAX) {
			sim_fail(world, "time stands still: %u steps at once", steps);
		}
	}
}

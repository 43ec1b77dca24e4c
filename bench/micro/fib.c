// SPDX-License-Identifier: BSD-3-Clause
// Lookups of routes, with their adjacencies, for random destinations.

#include "dataplane/fib.h"

#include "bench/common/shuffle.h"
#include "bench/load/grace.h"
#include "bench/micro/row.h"

#include <errno.h>
#include <math.h>
#include <rte_cycles.h>
#include <stdlib.h>

#define LOOKUPS (1u << 18)
#define NEXT_HOPS 64

static struct td_prefix *prefixes;
static uint64_t prefix_count;
static struct td_ip *destinations;

void td_routes_empty(void)
{
	for (uint64_t i = 0; i < prefix_count; i++)
		td_dp_route_delete(&prefixes[i]);
	free(prefixes);
	free(destinations);
	prefixes = NULL;
	destinations = NULL;
	prefix_count = 0;
	td_grace_wait();
}

// As in the table of a router: most are /24, some shorter, hardly any longer.
static uint8_t length_of(uint64_t random)
{
	static const uint8_t lengths[8] = {16, 20, 22, 24, 24, 24, 24, 24};

	return random % 64 ? lengths[random / 64 % 8] : 28;
}

// A random prefix under 11.0.0.0/8 to 42.0.0.0/8, out of the way of what else has routes here.
static struct td_prefix prefix_v4(uint64_t n, uint64_t random)
{
	uint8_t length = length_of(random >> 40);
	uint32_t address = (uint32_t)(11 + random % 32) << 24 | (uint32_t)(random >> 8 & 0xffffff);

	(void)n;
	return (struct td_prefix){td_ip_from_v4(address & UINT32_MAX << (32 - length)), length};
}

// A /48 under 2001:db8::/32, as a provider hands them out.
static struct td_prefix prefix_v6(uint64_t n, uint64_t random)
{
	uint16_t site = (uint16_t)td_shuffle_spread((uint32_t)n);

	(void)random;
	return (struct td_prefix){{6, {0x20, 0x01, 0x0d, 0xb8, (uint8_t)(site >> 8), (uint8_t)site}}, 48};
}

static struct td_ip next_hop(uint8_t family, uint64_t n)
{
	if (family == 4)
		return td_ip_from_v4(0x0a090000u + (uint32_t)(n % NEXT_HOPS));
	return (struct td_ip){6, {0xfd, [15] = (uint8_t)(1 + n % NEXT_HOPS)}};
}

static int fill(uint64_t count, struct td_prefix (*make)(uint64_t n, uint64_t random))
{
	uint64_t random = 1;

	prefixes = calloc(count, sizeof(prefixes[0]));
	destinations = calloc(LOOKUPS, sizeof(destinations[0]));
	if (!prefixes || !destinations)
		return -ENOMEM;
	for (prefix_count = 0; prefix_count < count; prefix_count++) {
		struct td_prefix *prefix = &prefixes[prefix_count];

		*prefix = make(prefix_count, td_shuffle_next(&random));
		struct td_dp_route route = {
		    .prefix = *prefix,
		    .kind = TD_ROUTE_VIA,
		    .via = next_hop(prefix->ip.family, prefix_count),
		};
		int result = td_dp_route_set(&route);

		if (result)
			return result;
	}
	for (unsigned i = 0; i < LOOKUPS; i++)
		destinations[i] = prefixes[td_shuffle_next(&random) % count].ip;
	td_grace_wait();
	return 0;
}

int td_routes_fill(uint64_t argument)
{
	return fill(argument, prefix_v4);
}

int td_routes6_fill(uint64_t argument)
{
	return fill(argument, prefix_v6);
}

static inline bool is_routed(const struct td_adjacency *adjacency)
{
	return adjacency && adjacency->kind == TD_ADJ_UNRESOLVED;
}

double td_routes_lookup(uint64_t argument)
{
	unsigned missing = 0;
	uint64_t start = rte_rdtsc_precise();

	(void)argument;
	for (unsigned i = 0; i < LOOKUPS; i++)
		missing += !is_routed(td_fib_lookup(td_ip_v4(&destinations[i])));
	uint64_t cycles = rte_rdtsc_precise() - start;
	return missing ? NAN : (double)cycles / LOOKUPS;
}

double td_routes6_lookup(uint64_t argument)
{
	unsigned missing = 0;
	uint64_t start = rte_rdtsc_precise();

	(void)argument;
	for (unsigned i = 0; i < LOOKUPS; i++)
		missing += !is_routed(td_fib_lookup6(destinations[i].bytes));
	uint64_t cycles = rte_rdtsc_precise() - start;
	return missing ? NAN : (double)cycles / LOOKUPS;
}

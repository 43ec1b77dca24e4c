// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_route.h"

#include "dataplane/policy_hits.h"
#include "dataplane/route6.h"
#include "dataplane/slab.h"

#include <errno.h>
#include <rte_prefetch.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * TD_TUNNEL_ROUTES_MAX)
// Of a family. Prefixes that lie close together share groups: 100,000 neighbouring hosts or sites need 400.
#define GROUPS_MAX (1u << 14)

// What workers see of a route; replaced as a whole.
struct slot {
	struct td_policy_rule rule;
	struct td_retired retired;
};

// The control thread's view.
struct route {
	struct td_prefix prefix; // no host bit set
	uint32_t index; // into slots
	struct td_retired retired;
};

// IPv4 and IPv6; NULL until the first route, because of their size. Writer: control (release stores).
static struct td_route6 *tables[2];
// Every prefix has its own slot, so that its tunnel changes, or goes, by one store, whatever is queued in the
// table. Index 0 stays empty: it stands for "no route". Writer: control (release stores); workers acquire.
static struct slot *slots[SLOTS];

static void *routes; // tree of tsearch(3). Control thread, as all below
static uint32_t free_indexes[SLOTS], free_count, used_count;

static struct td_route6 **table_of(uint8_t family)
{
	return &tables[family == 6];
}

void td_policy_routes_find(
    const struct td_policy_key *keys, const struct td_policy_rule **rules, unsigned count)
{
	struct slot *const *places[TD_BURST];

	// Step by step for all, so that what is not in the cache comes for all of them at once.
	for (unsigned i = 0; i < count; i++) {
		// Pairs with the release in table_get.
		const struct td_route6 *table =
		    keys[i].family ? __atomic_load_n(table_of(keys[i].family), __ATOMIC_ACQUIRE) : NULL;
		uint32_t index =
		    !rules[i] && table ? td_route6_lookup(table, (const uint8_t *)keys[i].remote) : 0;

		places[i] = &slots[index];
		rte_prefetch0(places[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		// Pairs with the release in slot_publish: the rule is complete.
		const struct slot *slot = __atomic_load_n(places[i], __ATOMIC_ACQUIRE);

		if (!slot)
			continue;
		rte_prefetch0(slot);
		rules[i] = &slot->rule;
	}
	for (unsigned i = 0; i < count; i++)
		if (places[i] != slots)
			rte_prefetch0(rules[i] ? rules[i]->tunnel : NULL);
}

static int route_compare(const void *a, const void *b)
{
	const struct td_prefix *x = &((const struct route *)a)->prefix,
	                       *y = &((const struct route *)b)->prefix;

	if (x->length != y->length)
		return x->length - y->length;
	if (x->ip.family != y->ip.family)
		return x->ip.family - y->ip.family;
	return memcmp(x->ip.bytes, y->ip.bytes, sizeof(x->ip.bytes));
}

// The prefix without host bits. False when it is none.
static bool prefix_normalise(const struct td_prefix *prefix, struct td_prefix *out)
{
	uint8_t family = prefix->ip.family, length = prefix->length;

	if ((family != 4 && family != 6) || length > 8 * td_ip_length(family))
		return false;
	*out = (struct td_prefix){.ip.family = family, .length = length};
	memcpy(out->ip.bytes, prefix->ip.bytes, (length + 7u) / 8);
	if (length % 8)
		out->ip.bytes[length / 8] &= (uint8_t)(0xff << (8 - length % 8));
	return true;
}

// The table of a family, made when it is needed first. NULL without memory.
static struct td_route6 *table_get(uint8_t family)
{
	struct td_route6 **place = table_of(family);

	if (!*place)
		// Pairs with the acquire in td_policy_routes_find.
		__atomic_store_n(
		    place, td_route6_create("tunnels", TD_TUNNEL_ROUTES_MAX, GROUPS_MAX), __ATOMIC_RELEASE);
	return *place;
}

static void slot_release(struct td_retired *retired)
{
	td_slab_free(RTE_PTR_SUB(retired, offsetof(struct slot, retired)), sizeof(struct slot));
}

static void slot_publish(uint32_t index, struct slot *slot)
{
	struct slot *old = slots[index];

	// Pairs with the acquire in td_policy_routes_find.
	__atomic_store_n(&slots[index], slot, __ATOMIC_RELEASE);
	if (old)
		td_rcu_retire(&old->retired, slot_release);
}

// ---- routes ---------------------------------------------------------------------------------------

static struct route *route_find(const struct td_prefix *prefix)
{
	const struct route key = {.prefix = *prefix};
	void *node = tfind(&key, &routes, route_compare);

	return node ? *(void **)node : NULL;
}

// An index that no worker can hold, 0 when all are used.
static uint32_t index_get(void)
{
	if (free_count > 0)
		return free_indexes[--free_count];
	return used_count < SLOTS - 1 ? ++used_count : 0;
}

// The last that is done with a route: nobody finds its index any more.
static void route_release(struct td_retired *retired)
{
	struct route *route = RTE_PTR_SUB(retired, offsetof(struct route, retired));

	free_indexes[free_count++] = route->index;
	free(route);
}

// Takes a route out of the workers' sight. The table may know it or not.
static void route_remove(struct td_route6 *table, struct route *route)
{
	const struct td_prefix *prefix = &route->prefix;

	tdelete(route, &routes, route_compare);
	slot_publish(route->index, NULL);
	td_route6_delete(table, prefix->ip.bytes, prefix->length);
	td_route6_retire(table, &route->retired, route_release);
}

// Makes the route of a prefix that has none; the workers do not see it yet.
static int route_create(const struct td_prefix *prefix, struct route **out)
{
	struct route *route = calloc(1, sizeof(*route));

	if (!route)
		return -ENOMEM;
	*route = (struct route){.prefix = *prefix, .index = index_get()};
	if (route->index == 0) {
		free(route);
		return -ENOSPC;
	}
	if (!tsearch(route, &routes, route_compare)) {
		route_release(&route->retired); // nobody has seen it
		return -ENOMEM;
	}
	*out = route;
	return 0;
}

// Sets the rule of a prefix; takes the slot over on success.
static int route_set(struct td_route6 *table, const struct td_prefix *prefix, struct slot *slot)
{
	struct route *route = route_find(prefix);
	bool new = route == NULL;
	int result = new ? route_create(prefix, &route) : 0;

	if (result)
		return result;
	slot_publish(route->index, slot); // first, so that no worker finds the index without it
	if (new)
		result = td_route6_set(table, prefix->ip.bytes, prefix->length, route->index);
	if (result) {
		slots[route->index] = NULL; // the table leads no worker there
		route_remove(table, route);
	}
	return result;
}

int td_dp_tunnel_route_set(const struct td_prefix *prefix, struct td_dp_tunnel *tunnel)
{
	struct td_prefix normal;

	if (!tunnel || !prefix_normalise(prefix, &normal))
		return -EINVAL;
	struct td_route6 *table = table_get(normal.ip.family);
	struct slot *slot = td_slab_alloc(sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->rule = (struct td_policy_rule){TD_POLICY_PROTECT, TD_HITS_UNREAD, tunnel};
	int result = table ? route_set(table, &normal, slot) : -ENOMEM;
	if (result)
		td_slab_free(slot, sizeof(*slot));
	return result;
}

void td_dp_tunnel_route_delete(const struct td_prefix *prefix)
{
	struct td_prefix normal;
	struct route *route = prefix_normalise(prefix, &normal) ? route_find(&normal) : NULL;

	if (route)
		route_remove(*table_of(normal.ip.family), route);
}

void td_policy_route_fini(void)
{
	while (routes) {
		struct route *route = *(void **)routes;

		route_remove(*table_of(route->prefix.ip.family), route);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct td_route6 *table = tables[i];

		__atomic_store_n(&tables[i], NULL, __ATOMIC_RELEASE);
		td_route6_destroy(table);
	}
}

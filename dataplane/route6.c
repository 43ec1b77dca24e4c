// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/route6.h"

#include "common/log.h"

#include <errno.h>
#include <rte_lpm6.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Changes that become visible together; a bulk of more takes several grace periods, so that the control
// thread is not held up by it.
#define BATCH 1000
#define DIRECT_BITS 24 // prefixes up to this length need no group
#define GROUP_BITS 8

// First in everything that a tree holds; without padding, so that it can be compared as bytes.
struct key {
	uint8_t ip[16]; // no bit set behind length
	uint8_t length;
};
_Static_assert(sizeof(struct key) == 17, "keys are compared as bytes");

// What the table is to say, and what each side says now. Control thread.
struct route {
	struct key key;
	bool queued;
	uint32_t index; // 0: to be removed
	uint32_t applied[2];
	TAILQ_ENTRY(route) next;
};

// A group of rte_lpm6 and how many routes need it. Control thread.
struct group {
	struct key key;
	uint32_t references;
};

struct side {
	struct rte_lpm6 *lpm;
	uint32_t default_index; // rte_lpm6 knows no prefix of length 0
};

struct td_route6 {
	const struct side *live; // writer: control (release store); workers acquire
	struct side sides[2]; // the one that is not live belongs to control, unless grace_running

	// Control thread only.
	void *routes, *groups; // trees of tsearch(3)
	uint32_t route_count, route_max, group_count, group_max;
	TAILQ_HEAD(, route) queue; // routes that one side or both do not know yet
	STAILQ_HEAD(, td_retired) waiting; // for the whole queue to be visible
	bool grace_running, destroyed;
	struct td_retired grace; // the time in which workers may still read the idle side
	void (*told)(bool begins); // NULL: nobody wants to know
};

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key));
}

static struct key key_make(const uint8_t ip[16], unsigned length)
{
	struct key key = {.length = (uint8_t)length};

	memcpy(key.ip, ip, (length + 7) / 8);
	if (length % 8)
		key.ip[length / 8] &= (uint8_t)(0xff << (8 - length % 8));
	return key;
}

// The element of a tree, NULL when there is none.
static void *tree_find(const struct key *key, void *const *tree)
{
	void *node = tfind(key, tree, key_compare);

	return node ? *(void **)node : NULL;
}

// A zeroed element with this key, which the tree does not have. NULL without memory.
static void *tree_add(const struct key *key, size_t size, void **tree)
{
	struct key *element = calloc(1, size);

	if (!element)
		return NULL;
	*element = *key;
	if (tsearch(element, tree, key_compare))
		return element;
	free(element);
	return NULL;
}

static void tree_remove(void *element, void **tree)
{
	tdelete(element, tree, key_compare);
	free(element);
}

// ---- room -------------------------------------------------------------------------------------
// Groups are counted here, because rte_lpm6 would find their lack only when a queued change is made,
// and nobody could be told.

static void groups_put(struct td_route6 *table, const struct key *key, unsigned end)
{
	for (unsigned length = DIRECT_BITS; length < end; length += GROUP_BITS) {
		struct key group_key = key_make(key->ip, length);
		struct group *group = tree_find(&group_key, &table->groups);

		if (--group->references > 0)
			continue;
		tree_remove(group, &table->groups);
		table->group_count--;
	}
}

// Counts the groups that a prefix needs. Returns 0, -ENOSPC or -ENOMEM.
static int groups_get(struct td_route6 *table, const struct key *key)
{
	for (unsigned length = DIRECT_BITS; length < key->length; length += GROUP_BITS) {
		struct key group_key = key_make(key->ip, length);
		struct group *group = tree_find(&group_key, &table->groups);
		bool full = !group && table->group_count == table->group_max;

		if (!group && !full) {
			group = tree_add(&group_key, sizeof(*group), &table->groups);
			table->group_count += group != NULL;
		}
		if (!group) {
			groups_put(table, key, length);
			return full ? -ENOSPC : -ENOMEM;
		}
		group->references++;
	}
	return 0;
}

// Both sides have forgotten it.
static void route_free(struct td_route6 *table, struct route *route)
{
	groups_put(table, &route->key, route->key.length);
	tree_remove(route, &table->routes);
	table->route_count--;
}

static int route_create(struct td_route6 *table, const struct key *key, struct route **route)
{
	if (table->route_count == table->route_max)
		return -ENOSPC;
	int result = groups_get(table, key);
	if (result)
		return result;
	*route = tree_add(key, sizeof(**route), &table->routes);
	if (!*route) {
		groups_put(table, key, key->length);
		return -ENOMEM;
	}
	table->route_count++;
	return 0;
}

// ---- the two sides ------------------------------------------------------------------------------

static void route_apply(struct td_route6 *table, unsigned number, struct route *route)
{
	struct side *side = &table->sides[number];
	const struct key *key = &route->key;

	if (key->length == 0)
		side->default_index = route->index;
	else if (route->index == 0)
		(void)rte_lpm6_delete(side->lpm, key->ip, key->length);
	else if (rte_lpm6_add(side->lpm, key->ip, key->length, route->index))
		td_log_error("a route was refused although there is room for it");
	route->applied[number] = route->index;
}

// Tells the idle side what it does not know, at most a batch of which the live side does not know either.
// Returns how many of those there were.
static unsigned idle_update(struct td_route6 *table, unsigned live)
{
	struct route *route = TAILQ_FIRST(&table->queue), *next;
	unsigned fresh = 0;

	for (; route && fresh < BATCH; route = next) {
		next = TAILQ_NEXT(route, next);
		if (route->applied[!live] != route->index)
			route_apply(table, !live, route);
		if (route->applied[live] != route->index) {
			fresh++;
			continue;
		}
		TAILQ_REMOVE(&table->queue, route, next);
		route->queued = false;
		if (route->index == 0)
			route_free(table, route);
	}
	return fresh;
}

static void waiting_retire(struct td_route6 *table)
{
	struct td_retired *retired;

	while ((retired = STAILQ_FIRST(&table->waiting))) {
		STAILQ_REMOVE_HEAD(&table->waiting, next);
		td_rcu_retire(retired, retired->release);
	}
}

static void grace_over(struct td_retired *retired);

static void tell(const struct td_route6 *table, bool begins)
{
	if (table->told)
		table->told(begins);
}

// The idle side has no reader: brings it up to date and, if it then knows more than the live one, swaps them.
static void advance(struct td_route6 *table)
{
	unsigned live = table->live == &table->sides[1];
	unsigned fresh = idle_update(table, live);

	if (fresh) {
		tell(table, true);
		// Pairs with the acquire in td_route6_lookup: the side is complete.
		__atomic_store_n(&table->live, &table->sides[!live], __ATOMIC_RELEASE);
		tell(table, false);
		table->grace_running = true;
		td_rcu_retire(&table->grace, grace_over);
	}
	// A batch that was not full reached the end of the queue: nothing is invisible any more.
	if (fresh < BATCH)
		waiting_retire(table);
}

static void table_free(struct td_route6 *table)
{
	struct td_retired *retired;

	while ((retired = STAILQ_FIRST(&table->waiting))) {
		STAILQ_REMOVE_HEAD(&table->waiting, next);
		retired->release(retired);
	}
	tdestroy(table->routes, free);
	tdestroy(table->groups, free);
	rte_lpm6_free(table->sides[0].lpm);
	rte_lpm6_free(table->sides[1].lpm);
	free(table);
}

static void table_release(struct td_retired *retired)
{
	table_free(RTE_PTR_SUB(retired, offsetof(struct td_route6, grace)));
}

static void grace_over(struct td_retired *retired)
{
	struct td_route6 *table = RTE_PTR_SUB(retired, offsetof(struct td_route6, grace));

	// This grace period may have begun before the last worker could find the table.
	if (table->destroyed) {
		td_rcu_retire(&table->grace, table_release);
		return;
	}
	table->grace_running = false;
	advance(table);
}

static void route_change(struct td_route6 *table, struct route *route, uint32_t index)
{
	route->index = index;
	if (!route->queued) {
		TAILQ_INSERT_TAIL(&table->queue, route, next);
		route->queued = true;
	}
	if (!table->grace_running)
		advance(table);
}

// ---- interface ----------------------------------------------------------------------------------

struct td_route6 *td_route6_create(const char *name, uint32_t routes_max, uint32_t groups_max)
{
	static unsigned serial; // rte_lpm6 finds tables by name, and the last of this name may still be there
	struct rte_lpm6_config config = {.max_rules = routes_max, .number_tbl8s = groups_max};
	struct td_route6 *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	TAILQ_INIT(&table->queue);
	STAILQ_INIT(&table->waiting);
	table->route_max = routes_max;
	table->group_max = groups_max;
	for (unsigned i = 0; i < 2; i++) {
		char unique[RTE_LPM6_NAMESIZE];

		snprintf(unique, sizeof(unique), "%u%s", serial++, name);
		table->sides[i].lpm = rte_lpm6_create(unique, SOCKET_ID_ANY, &config);
		if (!table->sides[i].lpm) {
			table_free(table);
			return NULL;
		}
	}
	table->live = &table->sides[0];
	return table;
}

void td_route6_watch(struct td_route6 *table, void (*told)(bool begins))
{
	table->told = told;
}

void td_route6_destroy(struct td_route6 *table)
{
	if (!table)
		return;
	table->destroyed = true;
	if (!table->grace_running)
		td_rcu_retire(&table->grace, table_release);
}

int td_route6_set(struct td_route6 *table, const uint8_t ip[16], unsigned length, uint32_t index)
{
	if (length > 128 || index == 0 || index > TD_ROUTE6_INDEX_MAX)
		return -EINVAL;
	struct key key = key_make(ip, length);
	struct route *route = tree_find(&key, &table->routes);
	int result = route ? 0 : route_create(table, &key, &route);
	if (result == 0)
		route_change(table, route, index);
	return result;
}

void td_route6_delete(struct td_route6 *table, const uint8_t ip[16], unsigned length)
{
	if (length > 128)
		return;
	struct key key = key_make(ip, length);
	struct route *route = tree_find(&key, &table->routes);
	if (route)
		route_change(table, route, 0);
}

void td_route6_retire(
    struct td_route6 *table, struct td_retired *retired, void (*release)(struct td_retired *retired))
{
	if (TAILQ_EMPTY(&table->queue)) {
		td_rcu_retire(retired, release);
		return;
	}
	retired->release = release;
	STAILQ_INSERT_TAIL(&table->waiting, retired, next);
}

uint32_t td_route6_lookup(const struct td_route6 *table, const uint8_t ip[16])
{
	// Pairs with the release in advance.
	const struct side *side = __atomic_load_n(&table->live, __ATOMIC_ACQUIRE);
	uint32_t index;

	return rte_lpm6_lookup(side->lpm, ip, &index) ? side->default_index : index;
}

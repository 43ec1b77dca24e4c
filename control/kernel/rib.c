// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/rib.h"

#include "common/hash.h"
#include "common/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
	struct candidate *next; // worse ones
	struct td_rib_route route;
	uint32_t generation;
	bool fixed; // not the kernel's: before all others, and never removed
};

struct prefix_entry {
	struct td_hash_node node; // first
	struct td_prefix prefix;
	struct candidate *candidates; // the best first
	bool published;
	struct td_dp_route published_route;
};

struct neighbour_entry {
	struct td_hash_node node; // first
	unsigned port;
	struct td_ip ip;
	uint8_t mac[6];
	uint32_t generation;
};

struct td_rib {
	struct td_hash prefixes, neighbours;
	uint32_t generation;
	bool full_logged;
};

static uint64_t ip_hash(const struct td_ip *ip, uint64_t seed)
{
	uint64_t words[2];

	memcpy(words, ip->bytes, sizeof(words));
	return td_hash_mix(words[0] ^ td_hash_mix(words[1] ^ td_hash_mix(seed << 8 | ip->family)));
}

// ---- routes -----------------------------------------------------------------------------------

static struct prefix_entry *prefix_find(const struct td_rib *rib, const struct td_prefix *prefix)
{
	struct td_hash_node *node = td_hash_first(&rib->prefixes, ip_hash(&prefix->ip, prefix->length));

	for (; node != NULL; node = td_hash_next(node)) {
		struct prefix_entry *entry = (struct prefix_entry *)node;

		if (entry->prefix.length == prefix->length && td_ip_equal(&entry->prefix.ip, &prefix->ip))
			return entry;
	}
	return NULL;
}

static struct prefix_entry *prefix_make(struct td_rib *rib, const struct td_prefix *prefix)
{
	struct prefix_entry *entry = prefix_find(rib, prefix);

	if (entry != NULL)
		return entry;
	if (td_hash_reserve(&rib->prefixes, 1) < 0)
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return NULL;
	entry->prefix = *prefix;
	td_hash_link(&rib->prefixes, &entry->node, ip_hash(&prefix->ip, prefix->length));
	return entry;
}

static bool route_same(const struct td_dp_route *a, const struct td_dp_route *b)
{
	return a->kind == b->kind && a->port == b->port && a->via.family == b->via.family &&
	       (a->via.family == 0 || td_ip_equal(&a->via, &b->via));
}

static bool rank_same(const struct td_rib_route *a, const struct td_rib_route *b)
{
	return a->local_table == b->local_table && a->metric == b->metric;
}

static bool rank_better(const struct td_rib_route *a, const struct td_rib_route *b)
{
	if (a->local_table != b->local_table)
		return a->local_table;
	return a->metric < b->metric;
}

static void route_publish(struct td_rib *rib, struct prefix_entry *entry)
{
	const struct td_dp_route *best = &entry->candidates->route.route;
	char text[TD_PREFIX_TEXT_MAX];
	int ret;

	if (entry->published && route_same(best, &entry->published_route))
		return;
	ret = td_dp_route_set(best);
	if (ret == 0) {
		entry->published = true;
		entry->published_route = *best;
		return;
	}
	// The route of before must not outlive its reason.
	if (entry->published)
		td_dp_route_delete(&entry->prefix);
	entry->published = false;
	if (ret == -ENOTSUP || rib->full_logged) {
		td_log_debug("route %s: %s", td_prefix_format(&entry->prefix, text), strerror(-ret));
		return;
	}
	rib->full_logged = true;
	td_log_warning("route %s does not fit in the data plane: %s (logged once)",
	    td_prefix_format(&entry->prefix, text), strerror(-ret));
}

// Brings the workers in line with the candidates; the entry is freed when there is none.
static void prefix_update(struct td_rib *rib, struct prefix_entry *entry)
{
	if (entry->candidates != NULL) {
		route_publish(rib, entry);
		return;
	}
	if (entry->published)
		td_dp_route_delete(&entry->prefix);
	td_hash_unlink(&rib->prefixes, &entry->node);
	free(entry);
}

static void candidate_unlink(struct candidate **link)
{
	struct candidate *candidate = *link;

	*link = candidate->next;
	free(candidate);
}

static void candidates_purge(struct prefix_entry *entry, const struct td_rib_route *route)
{
	struct candidate **link = &entry->candidates;

	while (*link != NULL) {
		if (!(*link)->fixed && rank_same(&(*link)->route, route))
			candidate_unlink(link);
		else
			link = &(*link)->next;
	}
}

static struct candidate **candidate_find(struct prefix_entry *entry, const struct td_rib_route *route)
{
	struct candidate **link;

	for (link = &entry->candidates; *link != NULL; link = &(*link)->next) {
		if (!(*link)->fixed && rank_same(&(*link)->route, route) &&
		    route_same(&(*link)->route.route, &route->route))
			return link;
	}
	return NULL;
}

int td_rib_route_add(struct td_rib *rib, const struct td_rib_route *route, enum td_rib_place place)
{
	struct prefix_entry *entry = prefix_make(rib, &route->route.prefix);
	struct candidate **link, *candidate;

	if (entry == NULL)
		return -ENOMEM;
	link = candidate_find(entry, route);
	if (link != NULL && place != TD_RIB_REPLACE) {
		(*link)->generation = rib->generation;
		// Tried again: there may be room now for what did not fit before.
		prefix_update(rib, entry);
		return 0;
	}
	candidate = calloc(1, sizeof(*candidate));
	if (candidate == NULL) {
		prefix_update(rib, entry);
		return -ENOMEM;
	}
	if (place == TD_RIB_REPLACE)
		candidates_purge(entry, route);
	candidate->route = *route;
	candidate->generation = rib->generation;
	link = &entry->candidates;
	while (*link != NULL && ((*link)->fixed || rank_better(&(*link)->route, route) ||
	                            (place == TD_RIB_LAST && rank_same(&(*link)->route, route))))
		link = &(*link)->next;
	candidate->next = *link;
	*link = candidate;
	prefix_update(rib, entry);
	return 0;
}

int td_rib_route_fix(struct td_rib *rib, const struct td_dp_route *route)
{
	struct prefix_entry *entry = prefix_make(rib, &route->prefix);
	struct candidate *candidate = calloc(1, sizeof(*candidate));

	if (entry == NULL || candidate == NULL) {
		free(candidate);
		if (entry != NULL)
			prefix_update(rib, entry);
		return -ENOMEM;
	}
	candidate->route.route = *route;
	candidate->fixed = true;
	candidate->next = entry->candidates;
	entry->candidates = candidate;
	prefix_update(rib, entry);
	return entry->published ? 0 : -ENOSPC;
}

void td_rib_route_delete(struct td_rib *rib, const struct td_rib_route *route)
{
	struct prefix_entry *entry = prefix_find(rib, &route->route.prefix);
	struct candidate **link;

	if (entry == NULL)
		return;
	link = candidate_find(entry, route);
	if (link == NULL)
		return;
	candidate_unlink(link);
	prefix_update(rib, entry);
}

void td_rib_route_purge(struct td_rib *rib, const struct td_rib_route *route)
{
	struct prefix_entry *entry = prefix_find(rib, &route->route.prefix);

	if (entry == NULL)
		return;
	candidates_purge(entry, route);
	prefix_update(rib, entry);
}

static void prefix_sweep(struct td_rib *rib, struct prefix_entry *entry)
{
	struct candidate **link = &entry->candidates;

	while (*link != NULL) {
		if (!(*link)->fixed && (*link)->generation != rib->generation)
			candidate_unlink(link);
		else
			link = &(*link)->next;
	}
	prefix_update(rib, entry);
}

// ---- neighbours -------------------------------------------------------------------------------

static struct neighbour_entry *neighbour_find(const struct td_rib *rib, unsigned port, const struct td_ip *ip)
{
	struct td_hash_node *node = td_hash_first(&rib->neighbours, ip_hash(ip, port));

	for (; node != NULL; node = td_hash_next(node)) {
		struct neighbour_entry *entry = (struct neighbour_entry *)node;

		if (entry->port == port && td_ip_equal(&entry->ip, ip))
			return entry;
	}
	return NULL;
}

static void neighbour_publish(const struct neighbour_entry *entry)
{
	int ret = td_dp_neighbour_set(entry->port, &entry->ip, entry->mac);
	char text[TD_IP_TEXT_MAX];

	if (ret < 0)
		td_log_debug("neighbour %s: %s", td_ip_format(&entry->ip, text), strerror(-ret));
}

static void neighbour_free(struct td_rib *rib, struct neighbour_entry *entry)
{
	td_hash_unlink(&rib->neighbours, &entry->node);
	free(entry);
}

int td_rib_neighbour_set(struct td_rib *rib, unsigned port, const struct td_ip *ip, const uint8_t mac[6])
{
	struct neighbour_entry *entry = neighbour_find(rib, port, ip);
	bool fresh = entry == NULL;

	if (fresh) {
		if (td_hash_reserve(&rib->neighbours, 1) < 0)
			return -ENOMEM;
		entry = calloc(1, sizeof(*entry));
		if (entry == NULL)
			return -ENOMEM;
		entry->port = port;
		entry->ip = *ip;
		td_hash_link(&rib->neighbours, &entry->node, ip_hash(ip, port));
	}
	entry->generation = rib->generation;
	if (!fresh && memcmp(entry->mac, mac, sizeof(entry->mac)) == 0)
		return 0;
	memcpy(entry->mac, mac, sizeof(entry->mac));
	neighbour_publish(entry);
	return 0;
}

bool td_rib_neighbour_delete(struct td_rib *rib, unsigned port, const struct td_ip *ip)
{
	struct neighbour_entry *entry = neighbour_find(rib, port, ip);

	if (entry == NULL)
		return false;
	td_dp_neighbour_delete(port, ip);
	neighbour_free(rib, entry);
	return true;
}

bool td_rib_neighbour_refresh(struct td_rib *rib, unsigned port, const struct td_ip *ip)
{
	const struct neighbour_entry *entry = neighbour_find(rib, port, ip);

	if (entry == NULL)
		return false;
	neighbour_publish(entry);
	return true;
}

// ---- all of it --------------------------------------------------------------------------------

struct td_rib *td_rib_create(void)
{
	return calloc(1, sizeof(struct td_rib));
}

static void prefix_free(struct td_rib *rib, struct prefix_entry *entry)
{
	while (entry->candidates != NULL)
		candidate_unlink(&entry->candidates);
	td_hash_unlink(&rib->prefixes, &entry->node);
	free(entry);
}

void td_rib_destroy(struct td_rib *rib)
{
	size_t i;

	if (rib == NULL)
		return;
	for (i = 0; i < rib->prefixes.bucket_count; i++) {
		while (rib->prefixes.buckets[i] != NULL)
			prefix_free(rib, (struct prefix_entry *)rib->prefixes.buckets[i]);
	}
	for (i = 0; i < rib->neighbours.bucket_count; i++) {
		while (rib->neighbours.buckets[i] != NULL)
			neighbour_free(rib, (struct neighbour_entry *)rib->neighbours.buckets[i]);
	}
	td_hash_free(&rib->prefixes);
	td_hash_free(&rib->neighbours);
	free(rib);
}

void td_rib_sweep_begin(struct td_rib *rib)
{
	rib->generation++;
}

void td_rib_sweep_end(struct td_rib *rib)
{
	struct td_hash_node *node, *next;
	size_t i;

	for (i = 0; i < rib->prefixes.bucket_count; i++) {
		for (node = rib->prefixes.buckets[i]; node != NULL; node = next) {
			next = node->next;
			prefix_sweep(rib, (struct prefix_entry *)node);
		}
	}
	for (i = 0; i < rib->neighbours.bucket_count; i++) {
		for (node = rib->neighbours.buckets[i]; node != NULL; node = next) {
			struct neighbour_entry *entry = (struct neighbour_entry *)node;

			next = node->next;
			if (entry->generation == rib->generation)
				continue;
			td_dp_neighbour_delete(entry->port, &entry->ip);
			neighbour_free(rib, entry);
		}
	}
}

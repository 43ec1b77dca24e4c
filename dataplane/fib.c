// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/fib.h"

#include "dataplane/worker.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#define ROUTES_MAX (1u << 18)
#define TBL8_GROUPS 4096 // /25 and longer prefixes share these groups of 256
#define PORT_NONE UINT8_MAX

struct td_fib td_fib;

// The control thread's own view. A next hop is one adjacency index; a prefix may have a route, a
// neighbour's host entry, or both (the route counts).
struct next_hop {
	enum td_route_kind kind;
	uint8_t port;
	uint32_t ip; // host order; 0 unless kind is VIA
	uint32_t index; // into td_fib.adjacencies
	unsigned references;
	bool resolved; // the kernel knows its MAC; holds a reference then
	LIST_ENTRY(next_hop) next_resolved;
	struct td_retired retired;
};

struct rib_entry {
	uint32_t network;
	uint8_t length;
	struct next_hop *route; // may be NULL
	struct next_hop
	    *neighbour; // for length 32, where the address is on the link of the next hop's port; may be NULL
};

static void *rib, *next_hops; // trees of tsearch(3)
static LIST_HEAD(, next_hop) resolved_hops = LIST_HEAD_INITIALIZER(resolved_hops);
static uint32_t *free_indexes, free_count;

static uint32_t prefix_mask(uint8_t length)
{
	return length ? UINT32_MAX << (32 - length) : 0;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int rib_compare(const void *a, const void *b)
{
	const struct rib_entry *x = a, *y = b;

	return compare((uint64_t)x->network << 8 | x->length, (uint64_t)y->network << 8 | y->length);
}

static uint64_t hop_key(const struct next_hop *hop)
{
	return (uint64_t)hop->ip << 16 | (uint64_t)hop->port << 8 | hop->kind;
}

static int hop_compare(const void *a, const void *b)
{
	return compare(hop_key(a), hop_key(b));
}

// tsearch: the found or added element, NULL without memory. tfind: NULL when there is none.
static void *tree_element(void *node)
{
	return node ? *(void **)node : NULL;
}

int td_fib_init(void)
{
	struct rte_lpm_config config = {.max_rules = ROUTES_MAX, .number_tbl8s = TBL8_GROUPS};
	struct rte_lpm_rcu_config rcu = {.v = td_rcu_qsbr, .mode = RTE_LPM_QSBR_MODE_DQ};

	td_fib.lpm = rte_lpm_create("routes", SOCKET_ID_ANY, &config);
	free_indexes = calloc(TD_ADJACENCIES_MAX, sizeof(*free_indexes));
	if (!td_fib.lpm || !free_indexes || rte_lpm_rcu_qsbr_add(td_fib.lpm, &rcu)) {
		td_fib_fini();
		return -ENOMEM;
	}
	// Index 0 stays empty: it stands for "no route".
	for (uint32_t i = TD_ADJACENCIES_MAX - 1; i > 0; i--)
		free_indexes[free_count++] = i;
	return 0;
}

static void hop_free(void *element)
{
	struct next_hop *hop = element;

	free(td_fib.adjacencies[hop->index]);
	free(hop);
}

void td_fib_fini(void)
{
	tdestroy(rib, free);
	tdestroy(next_hops, hop_free);
	free(free_indexes);
	rte_lpm_free(td_fib.lpm);
	rib = next_hops = NULL;
	free_indexes = NULL;
	free_count = 0;
	LIST_INIT(&resolved_hops);
	td_fib = (struct td_fib){0};
}

// ---- adjacencies ------------------------------------------------------------------------------

static void adjacency_release(struct td_retired *retired)
{
	free(RTE_PTR_SUB(retired, offsetof(struct td_adjacency, retired)));
}

static void adjacency_publish(uint32_t index, struct td_adjacency *adjacency)
{
	struct td_adjacency *old = td_fib.adjacencies[index];

	// Pairs with the acquire in td_fib_lookup.
	__atomic_store_n(&td_fib.adjacencies[index], adjacency, __ATOMIC_RELEASE);
	if (old)
		td_rcu_retire(&old->retired, adjacency_release);
}

static void generation_advance(void)
{
	// Pairs with the acquire in td_hold_poll: held packets are tried against the new state.
	__atomic_store_n(&td_fib.generation, td_fib.generation + 1, __ATOMIC_RELEASE);
}

// Publishes the adjacency of a next hop; mac NULL: not resolved.
static int hop_publish(const struct next_hop *hop, const uint8_t *mac)
{
	static const enum td_adjacency_kind kinds[] = {
	    [TD_ROUTE_LOCAL] = TD_ADJ_LOCAL,
	    [TD_ROUTE_CONNECTED] = TD_ADJ_LINK,
	    [TD_ROUTE_VIA] = TD_ADJ_UNRESOLVED,
	    [TD_ROUTE_BLACKHOLE] = TD_ADJ_BLACKHOLE,
	};
	struct td_adjacency *adjacency = calloc(1, sizeof(*adjacency));

	if (!adjacency)
		return -ENOMEM;
	adjacency->kind = mac ? TD_ADJ_RESOLVED : kinds[hop->kind];
	adjacency->port = hop->port;
	adjacency->next_hop = hop->ip;
	if (mac) {
		memcpy(&adjacency->ether.dst_addr, mac, RTE_ETHER_ADDR_LEN);
		adjacency->ether.src_addr = td_dp.ports[hop->port].mac;
		adjacency->ether.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	}
	adjacency_publish(hop->index, adjacency);
	return 0;
}

// Finds or makes a next hop and takes a reference. NULL without memory or index.
static struct next_hop *hop_get(enum td_route_kind kind, unsigned port, uint32_t ip)
{
	struct next_hop key = {.kind = kind, .port = (uint8_t)port, .ip = ip};
	struct next_hop *hop = tree_element(tfind(&key, &next_hops, hop_compare));

	if (hop) {
		hop->references++;
		return hop;
	}
	if (free_count == 0 || !(hop = malloc(sizeof(*hop))))
		return NULL;
	*hop = key;
	hop->references = 1;
	hop->index = free_indexes[free_count - 1];
	if (!tsearch(hop, &next_hops, hop_compare)) {
		free(hop);
		return NULL;
	}
	if (hop_publish(hop, NULL)) {
		tdelete(hop, &next_hops, hop_compare);
		free(hop);
		return NULL;
	}
	free_count--;
	return hop;
}

// A reader may have loaded the index just before its last route went, so it is reused only after a grace
// period.
static void hop_release(struct td_retired *retired)
{
	struct next_hop *hop = RTE_PTR_SUB(retired, offsetof(struct next_hop, retired));

	free_indexes[free_count++] = hop->index;
	free(hop);
}

static void hop_put(struct next_hop *hop)
{
	if (!hop || --hop->references > 0)
		return;
	tdelete(hop, &next_hops, hop_compare);
	td_rcu_retire(&hop->retired, hop_release);
}

// ---- routes -----------------------------------------------------------------------------------

// Finds the entry of a prefix, or makes an empty one. NULL: none, or no memory.
static struct rib_entry *rib_get(uint32_t network, uint8_t length, bool create)
{
	struct rib_entry key = {.network = network, .length = length};
	struct rib_entry *entry = tree_element(tfind(&key, &rib, rib_compare));

	if (entry || !create)
		return entry;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return NULL;
	*entry = key;
	if (!tsearch(entry, &rib, rib_compare)) {
		free(entry);
		return NULL;
	}
	return entry;
}

// Tells the workers the next hop of a prefix; index 0 removes it. rte_lpm knows no prefix of length 0.
static int prefix_publish(uint32_t network, uint8_t length, uint32_t index)
{
	if (length == 0) {
		__atomic_store_n(&td_fib.default_index, index, __ATOMIC_RELEASE);
		return 0;
	}
	if (index)
		return rte_lpm_add(td_fib.lpm, network, length, index);
	(void)rte_lpm_delete(td_fib.lpm, network, length);
	return 0;
}

// Makes the workers see what the entry says; an entry that says nothing is freed.
static int rib_apply(struct rib_entry *entry)
{
	const struct next_hop *hop = entry->route ? entry->route : entry->neighbour;
	int result = prefix_publish(entry->network, entry->length, hop ? hop->index : 0);

	if (!hop) {
		tdelete(entry, &rib, rib_compare);
		free(entry);
	}
	generation_advance();
	return result;
}

// Puts a next hop into one of an entry's places; gives the old one back.
static int rib_replace(struct rib_entry *entry, struct next_hop **place, struct next_hop *hop)
{
	struct next_hop *old = *place;

	*place = hop;
	int result = rib_apply(entry);
	if (result && hop) {
		// No room in the LPM: leave what was there.
		*place = old;
		hop_put(hop);
		if (!entry->route && !entry->neighbour)
			(void)rib_apply(entry);
		return result;
	}
	hop_put(old);
	return result;
}

// The longest route that covers an address, neighbours left aside. NULL: none.
static const struct next_hop *route_find(uint32_t address)
{
	for (int length = 32; length >= 0; length--) {
		const struct rib_entry *entry =
		    rib_get(address & prefix_mask((uint8_t)length), (uint8_t)length, false);

		if (entry && entry->route)
			return entry->route;
	}
	return NULL;
}

// A resolved neighbour gets a host entry only where routes say that its address is on the link of its port.
// The kernel takes an address from any ARP packet that asks for one of ours; without this check a
// station outside could pull an inside host's packets to itself.
static int neighbour_place(struct next_hop *hop)
{
	const struct next_hop *route = route_find(hop->ip);
	bool wanted = hop->resolved && route && route->kind == TD_ROUTE_CONNECTED && route->port == hop->port;
	struct rib_entry *entry = rib_get(hop->ip, 32, wanted);

	if (!entry)
		return wanted ? -ENOMEM : 0;
	if (wanted && entry->neighbour != hop) {
		hop->references++;
		return rib_replace(entry, &entry->neighbour, hop);
	}
	return !wanted && entry->neighbour == hop ? rib_replace(entry, &entry->neighbour, NULL) : 0;
}

// A route changed: neighbours under it may have come onto the link or left it.
static void neighbours_place(uint32_t network, uint8_t length)
{
	struct next_hop *hop, *next;

	for (hop = LIST_FIRST(&resolved_hops); hop; hop = next) {
		next = LIST_NEXT(hop, next_resolved);
		if ((hop->ip & prefix_mask(length)) == network)
			(void)neighbour_place(hop); // without room its packets wait for resolution
	}
}

int td_dp_route_set(const struct td_dp_route *route)
{
	uint8_t length = route->prefix.length;
	bool via = route->kind == TD_ROUTE_VIA;

	if (route->prefix.ip.family != 4 || (via && route->via.family != 4))
		return -ENOTSUP;
	struct next_hop *hop = hop_get(route->kind,
	    route->kind == TD_ROUTE_BLACKHOLE ? PORT_NONE : route->port, via ? td_ip_v4(&route->via) : 0);
	if (!hop)
		return -ENOMEM;
	uint32_t network = td_ip_v4(&route->prefix.ip) & prefix_mask(length);
	struct rib_entry *entry = rib_get(network, length, true);
	if (!entry) {
		hop_put(hop);
		return -ENOMEM;
	}
	int result = rib_replace(entry, &entry->route, hop);
	if (result == 0)
		neighbours_place(network, length);
	return result;
}

void td_dp_route_delete(const struct td_prefix *prefix)
{
	if (prefix->ip.family != 4)
		return;
	uint32_t network = td_ip_v4(&prefix->ip) & prefix_mask(prefix->length);
	struct rib_entry *entry = rib_get(network, prefix->length, false);
	if (!entry || !entry->route)
		return;
	rib_replace(entry, &entry->route, NULL);
	neighbours_place(network, prefix->length);
}

// ---- neighbours -------------------------------------------------------------------------------

int td_dp_neighbour_set(unsigned port, const struct td_ip *ip, const uint8_t mac[6])
{
	if (ip->family != 4)
		return -ENOTSUP;
	struct next_hop *hop = hop_get(TD_ROUTE_VIA, port, td_ip_v4(ip));
	if (!hop)
		return -ENOMEM;
	int result = hop_publish(hop, mac);
	if (result || hop->resolved) {
		hop_put(hop); // it holds its own reference, or was not resolved
	} else {
		hop->resolved = true;
		LIST_INSERT_HEAD(&resolved_hops, hop, next_resolved);
	}
	if (result == 0)
		result = neighbour_place(hop);
	generation_advance();
	return result;
}

void td_dp_neighbour_delete(unsigned port, const struct td_ip *ip)
{
	if (ip->family != 4)
		return;
	struct next_hop key = {.kind = TD_ROUTE_VIA, .port = (uint8_t)port, .ip = td_ip_v4(ip)};
	struct next_hop *hop = tree_element(tfind(&key, &next_hops, hop_compare));
	if (!hop || !hop->resolved)
		return;
	hop->resolved = false;
	LIST_REMOVE(hop, next_resolved);
	(void)hop_publish(hop, NULL); // without memory the old address stays until the next change
	(void)neighbour_place(hop);
	hop_put(hop);
	generation_advance();
}

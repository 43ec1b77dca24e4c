// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/fib.h"

#include "dataplane/worker.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#define ROUTES_MAX (1u << 18)
#define TBL8_GROUPS 4096 // /25 and longer prefixes share these groups of 256
#define ROUTES6_MAX (1u << 16)
#define ROUTES6_GROUPS 16384 // a neighbour with a random interface identifier takes seven
#define PORT_NONE UINT8_MAX

struct td_fib td_fib;

// The control thread's own view. A next hop is one adjacency index; a prefix may have a route, a
// neighbour's host entry, or both (the route counts). Keys have no padding, so that they are compared as
// bytes.
struct hop_key {
	uint8_t kind; // enum td_route_kind
	uint8_t port;
	struct td_ip ip; // no address but the family unless kind is VIA
};
_Static_assert(sizeof(struct hop_key) == 19, "next hops are compared as bytes");
_Static_assert(sizeof(struct td_prefix) == 18, "prefixes are compared as bytes");

struct next_hop {
	struct hop_key key;
	uint32_t index; // into td_fib.adjacencies
	unsigned references;
	bool resolved; // the kernel knows its MAC; holds a reference then
	LIST_ENTRY(next_hop) next_resolved;
	struct td_retired retired;
};

struct rib_entry {
	struct td_prefix prefix; // no bit set behind its length
	struct next_hop *route; // may be NULL
	struct next_hop
	    *neighbour; // for hosts, where they are on the link of the next hop's port; may be NULL
};

static void *rib, *next_hops; // trees of tsearch(3)
static uint32_t rib_lengths[2][129]; // entries of IPv4 and IPv6 with each length
static LIST_HEAD(, next_hop) resolved_hops = LIST_HEAD_INITIALIZER(resolved_hops);
static uint32_t *free_indexes, free_count;

static int rib_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct td_prefix));
}

static int hop_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hop_key));
}

static uint8_t host_length(const struct td_ip *ip)
{
	return (uint8_t)(8 * td_ip_length(ip->family));
}

static struct td_prefix prefix_of(const struct td_ip *ip, uint8_t length)
{
	struct td_prefix prefix = {.ip.family = ip->family, .length = length};

	memcpy(prefix.ip.bytes, ip->bytes, (length + 7u) / 8);
	if (length % 8)
		prefix.ip.bytes[length / 8] &= (uint8_t)(0xff << (8 - length % 8));
	return prefix;
}

static bool prefix_covers(const struct td_prefix *prefix, const struct td_ip *ip)
{
	struct td_prefix own = prefix_of(ip, prefix->length);

	return prefix->ip.family == ip->family && rib_compare(&own, prefix) == 0;
}

// tsearch: the found or added element, NULL without memory. tfind: NULL when there is none.
static void *tree_element(void *node)
{
	return node ? *(void **)node : NULL;
}

// ---- when a change is visible -----------------------------------------------------------------
// Pairs with the acquire in hold.c: who has seen something of a change also sees that it has begun, and who
// sees that it is over sees all of it.

static unsigned changes; // under way

static void generation_advance(void)
{
	__atomic_store_n(&td_fib.generation, td_fib.generation + 1, __ATOMIC_RELEASE);
}

static void change_begin(void)
{
	if (changes++ == 0)
		generation_advance();
}

static void change_end(void)
{
	if (--changes == 0)
		generation_advance();
}

// IPv6 routes may become visible within the call that changes them, or later.
static void routes6_told(bool begins)
{
	if (begins)
		change_begin();
	else
		change_end();
}

// ---- the tables ---------------------------------------------------------------------------------

int td_fib_init(void)
{
	struct rte_lpm_config config = {.max_rules = ROUTES_MAX, .number_tbl8s = TBL8_GROUPS};
	struct rte_lpm_rcu_config rcu = {.v = td_rcu_qsbr, .mode = RTE_LPM_QSBR_MODE_DQ};

	td_fib.lpm = rte_lpm_create("routes", SOCKET_ID_ANY, &config);
	td_fib.routes6 = td_route6_create("routes6", ROUTES6_MAX, ROUTES6_GROUPS);
	free_indexes = calloc(TD_ADJACENCIES_MAX, sizeof(*free_indexes));
	if (!td_fib.lpm || !td_fib.routes6 || !free_indexes || rte_lpm_rcu_qsbr_add(td_fib.lpm, &rcu)) {
		td_fib_fini();
		return -ENOMEM;
	}
	td_route6_watch(td_fib.routes6, routes6_told);
	// Index 0 stays empty: it stands for "no route".
	for (uint32_t i = TD_ADJACENCIES_MAX - 1; i > 0; i--)
		free_indexes[free_count++] = i;
	for (unsigned port = 0; port < TD_PORTS_MAX; port++)
		td_fib.link_scope[port] =
		    (struct td_adjacency){.kind = TD_ADJ_LOCAL, .port = (uint8_t)port, .family = 6};
	return 0;
}

void td_fib_fini(void)
{
	// Indexes of IPv6 next hops wait in the table, and it for a grace period.
	td_route6_destroy(td_fib.routes6);
	td_rcu_drain();
	tdestroy(rib, free);
	tdestroy(next_hops, free);
	for (uint32_t i = 0; i < TD_ADJACENCIES_MAX; i++)
		free(td_fib.adjacencies[i]);
	for (unsigned port = 0; port < TD_PORTS_MAX; port++) {
		free(td_fib.own[port][0]);
		free(td_fib.own[port][1]);
	}
	free(free_indexes);
	rte_lpm_free(td_fib.lpm);
	rib = next_hops = NULL;
	free_indexes = NULL;
	free_count = 0;
	memset(rib_lengths, 0, sizeof(rib_lengths));
	LIST_INIT(&resolved_hops);
	memset(&td_fib, 0, sizeof(td_fib));
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

// Publishes the adjacency of a next hop; mac NULL: not resolved.
static int hop_publish(const struct next_hop *hop, const uint8_t *mac)
{
	static const enum td_adjacency_kind kinds[] = {
	    [TD_ROUTE_LOCAL] = TD_ADJ_LOCAL,
	    [TD_ROUTE_CONNECTED] = TD_ADJ_LINK,
	    [TD_ROUTE_VIA] = TD_ADJ_UNRESOLVED,
	    [TD_ROUTE_BLACKHOLE] = TD_ADJ_BLACKHOLE,
	};
	const struct hop_key *key = &hop->key;
	struct td_adjacency *adjacency = calloc(1, sizeof(*adjacency));

	if (!adjacency)
		return -ENOMEM;
	adjacency->kind = mac ? TD_ADJ_RESOLVED : kinds[key->kind];
	adjacency->port = key->port;
	adjacency->family = key->ip.family;
	if (key->ip.family == 4)
		adjacency->next_hop = td_ip_v4(&key->ip);
	else
		memcpy(adjacency->next_hop6, key->ip.bytes, sizeof(adjacency->next_hop6));
	if (mac) {
		adjacency->mtu = (uint16_t)td_dp.ports[key->port].config.mtu;
		memcpy(&adjacency->ether.dst_addr, mac, RTE_ETHER_ADDR_LEN);
		adjacency->ether.src_addr = td_dp.ports[key->port].mac;
		adjacency->ether.ether_type =
		    rte_cpu_to_be_16(key->ip.family == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	}
	adjacency_publish(hop->index, adjacency);
	return 0;
}

static struct next_hop *hop_find(const struct hop_key *key)
{
	return tree_element(tfind(key, &next_hops, hop_compare));
}

static struct hop_key hop_via(unsigned port, const struct td_ip *ip)
{
	return (struct hop_key){
	    .kind = TD_ROUTE_VIA, .port = (uint8_t)port, .ip = prefix_of(ip, host_length(ip)).ip};
}

// Finds or makes a next hop and takes a reference. NULL without memory or index.
static struct next_hop *hop_get(const struct hop_key *key)
{
	struct next_hop *hop = hop_find(key);

	if (hop) {
		hop->references++;
		return hop;
	}
	if (free_count == 0 || !(hop = calloc(1, sizeof(*hop))))
		return NULL;
	hop->key = *key;
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
	if (hop->key.ip.family == 4)
		td_rcu_retire(&hop->retired, hop_release);
	else
		td_route6_retire(td_fib.routes6, &hop->retired, hop_release);
}

// ---- routes -----------------------------------------------------------------------------------

static uint32_t *lengths_of(const struct td_ip *ip)
{
	return rib_lengths[ip->family == 6];
}

// Finds the entry of a prefix, or makes an empty one. NULL: none, or no memory.
static struct rib_entry *rib_get(const struct td_prefix *prefix, bool create)
{
	struct rib_entry *entry = tree_element(tfind(prefix, &rib, rib_compare));

	if (entry || !create)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->prefix = *prefix;
	if (!tsearch(entry, &rib, rib_compare)) {
		free(entry);
		return NULL;
	}
	lengths_of(&prefix->ip)[prefix->length]++;
	return entry;
}

static void rib_remove(struct rib_entry *entry)
{
	lengths_of(&entry->prefix.ip)[entry->prefix.length]--;
	tdelete(entry, &rib, rib_compare);
	free(entry);
}

// Tells the workers the next hop of a prefix; index 0 removes it.
static int prefix_publish6(const struct td_prefix *prefix, uint32_t index)
{
	if (index)
		return td_route6_set(td_fib.routes6, prefix->ip.bytes, prefix->length, index);
	td_route6_delete(td_fib.routes6, prefix->ip.bytes, prefix->length);
	return 0;
}

// The same for IPv4. rte_lpm knows no prefix of length 0.
static int prefix_publish4(const struct td_prefix *prefix, uint32_t index)
{
	uint32_t network = td_ip_v4(&prefix->ip);

	if (prefix->length == 0) {
		__atomic_store_n(&td_fib.default_index, index, __ATOMIC_RELEASE);
		return 0;
	}
	if (index)
		return rte_lpm_add(td_fib.lpm, network, prefix->length, index);
	(void)rte_lpm_delete(td_fib.lpm, network, prefix->length);
	return 0;
}

// Makes the workers see what the entry says; an entry that says nothing is freed.
static int rib_apply(struct rib_entry *entry)
{
	const struct next_hop *hop = entry->route ? entry->route : entry->neighbour;
	uint32_t index = hop ? hop->index : 0;
	int result = entry->prefix.ip.family == 4 ? prefix_publish4(&entry->prefix, index)
	                                          : prefix_publish6(&entry->prefix, index);

	if (!hop)
		rib_remove(entry);
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
static const struct next_hop *route_find(const struct td_ip *ip)
{
	for (int length = host_length(ip); length >= 0; length--) {
		if (lengths_of(ip)[length] == 0)
			continue;
		struct td_prefix prefix = prefix_of(ip, (uint8_t)length);
		const struct rib_entry *entry = rib_get(&prefix, false);
		if (entry && entry->route)
			return entry->route;
	}
	return NULL;
}

// A resolved neighbour gets a host entry only where routes say that its address is on the link of its port.
// The kernel takes an address from any ARP or ND packet that asks for one of ours; without this check a
// station outside could pull an inside host's packets to itself.
static int neighbour_place(struct next_hop *hop)
{
	const struct td_ip *ip = &hop->key.ip;
	const struct next_hop *route = route_find(ip);
	bool wanted = hop->resolved && route && route->key.kind == TD_ROUTE_CONNECTED &&
	              route->key.port == hop->key.port;
	struct td_prefix host = prefix_of(ip, host_length(ip));
	struct rib_entry *entry = rib_get(&host, wanted);

	if (!entry)
		return wanted ? -ENOMEM : 0;
	if (wanted && entry->neighbour != hop) {
		hop->references++;
		return rib_replace(entry, &entry->neighbour, hop);
	}
	return !wanted && entry->neighbour == hop ? rib_replace(entry, &entry->neighbour, NULL) : 0;
}

// A route changed: neighbours under it may have come onto the link or left it.
static void neighbours_place(const struct td_prefix *prefix)
{
	struct next_hop *hop, *next;

	for (hop = LIST_FIRST(&resolved_hops); hop; hop = next) {
		next = LIST_NEXT(hop, next_resolved);
		if (prefix_covers(prefix, &hop->key.ip))
			(void)neighbour_place(hop); // without room its packets wait for resolution
	}
}

// ---- own addresses ----------------------------------------------------------------------------

// Whether a local address is that of a whole network: the kernel calls broadcast and anycast (RFC 4291
// 2.6.1) addresses local, too. Links of two addresses have none (RFC 3021, RFC 6164).
static bool is_network_address(const struct td_ip *ip, uint8_t port)
{
	for (int length = host_length(ip) - 2; length >= 0; length--) {
		struct td_prefix network = prefix_of(ip, (uint8_t)length);
		const struct rib_entry *entry = lengths_of(ip)[length] ? rib_get(&network, false) : NULL;

		if (!entry || !entry->route || entry->route->key.kind != TD_ROUTE_CONNECTED ||
		    entry->route->key.port != port)
			continue;
		uint32_t host_mask = UINT32_MAX >> (length & 31);
		return memcmp(&network.ip, ip, sizeof(*ip)) == 0 ||
		       (ip->family == 4 && (td_ip_v4(ip) & host_mask) == host_mask);
	}
	return false;
}

static void own_collect(const void *node, VISIT visit, void *found)
{
	const struct rib_entry *entry = *(struct rib_entry *const *)node;
	const struct td_ip *ip = &entry->prefix.ip;
	const struct rib_entry *(*first)[2] = found;

	if ((visit != preorder && visit != leaf) || !entry->route ||
	    entry->route->key.kind != TD_ROUTE_LOCAL || entry->prefix.length != host_length(ip))
		return;
	uint8_t port = entry->route->key.port;
	if (port < TD_PORTS_MAX && !first[port][ip->family == 6] && !is_network_address(ip, port))
		first[port][ip->family == 6] = entry;
}

static void own_release(struct td_retired *retired)
{
	free(RTE_PTR_SUB(retired, offsetof(struct td_own_address, retired)));
}

static void own_publish(struct td_own_address **place, const struct rib_entry *entry)
{
	struct td_own_address *old = *place, *own = NULL;

	if (old && entry && td_ip_equal(&old->ip, &entry->prefix.ip))
		return;
	if (entry && (own = calloc(1, sizeof(*own))))
		own->ip = entry->prefix.ip;
	// Pairs with the acquire in td_fib_port_address.
	__atomic_store_n(place, own, __ATOMIC_RELEASE);
	if (old)
		td_rcu_retire(&old->retired, own_release);
}

// A local route or a link came or went.
static void own_update(void)
{
	const struct rib_entry *first[TD_PORTS_MAX][2] = {0};

	twalk_r(rib, own_collect, first);
	for (unsigned port = 0; port < TD_PORTS_MAX; port++) {
		own_publish(&td_fib.own[port][0], first[port][0]);
		own_publish(&td_fib.own[port][1], first[port][1]);
	}
}

static bool concerns_own(const struct next_hop *hop)
{
	return hop && (hop->key.kind == TD_ROUTE_LOCAL || hop->key.kind == TD_ROUTE_CONNECTED);
}

// ---- changes of routes ------------------------------------------------------------------------

// Prefixes of link scope are the same on every port, and td_fib_lookup6_from knows them.
static bool is_link_scope(const struct td_ip *ip)
{
	return ip->family == 6 && td_fib_is_link_scope(ip->bytes);
}

static int route_set(const struct td_dp_route *route)
{
	struct td_prefix prefix = prefix_of(&route->prefix.ip, route->prefix.length);
	struct hop_key key = {
	    .kind = (uint8_t)route->kind, .port = (uint8_t)route->port, .ip.family = prefix.ip.family};

	if (route->kind == TD_ROUTE_VIA) {
		if (route->via.family != prefix.ip.family)
			return -ENOTSUP;
		key = hop_via(route->port, &route->via);
	} else if (route->kind == TD_ROUTE_BLACKHOLE) {
		key.port = PORT_NONE;
	}
	if (is_link_scope(&prefix.ip))
		return 0;
	struct next_hop *hop = hop_get(&key);
	if (!hop)
		return -ENOMEM;
	struct rib_entry *entry = rib_get(&prefix, true);
	if (!entry) {
		hop_put(hop);
		return -ENOMEM;
	}
	bool own = concerns_own(entry->route) || concerns_own(hop);
	int result = rib_replace(entry, &entry->route, hop);
	if (result == 0)
		neighbours_place(&prefix);
	if (own)
		own_update();
	return result;
}

int td_dp_route_set(const struct td_dp_route *route)
{
	change_begin();
	int result = route_set(route);
	change_end();
	return result;
}

void td_dp_route_delete(const struct td_prefix *prefix)
{
	struct td_prefix own = prefix_of(&prefix->ip, prefix->length);
	struct rib_entry *entry = rib_get(&own, false);

	if (!entry || !entry->route)
		return;
	bool local = concerns_own(entry->route);
	change_begin();
	rib_replace(entry, &entry->route, NULL);
	neighbours_place(&own);
	if (local)
		own_update();
	change_end();
}

// ---- neighbours -------------------------------------------------------------------------------

int td_dp_neighbour_set(unsigned port, const struct td_ip *ip, const uint8_t mac[6])
{
	struct hop_key key = hop_via(port, ip);
	struct next_hop *hop = hop_get(&key);

	if (!hop)
		return -ENOMEM;
	change_begin();
	int result = hop_publish(hop, mac);
	if (result || hop->resolved) {
		hop_put(hop); // it holds its own reference, or was not resolved
	} else {
		hop->resolved = true;
		LIST_INSERT_HEAD(&resolved_hops, hop, next_resolved);
	}
	if (result == 0)
		result = neighbour_place(hop);
	change_end();
	return result;
}

void td_dp_neighbour_delete(unsigned port, const struct td_ip *ip)
{
	struct hop_key key = hop_via(port, ip);
	struct next_hop *hop = hop_find(&key);

	if (!hop || !hop->resolved)
		return;
	change_begin();
	hop->resolved = false;
	LIST_REMOVE(hop, next_resolved);
	(void)hop_publish(hop, NULL); // without memory the old address stays until the next change
	(void)neighbour_place(hop);
	hop_put(hop);
	change_end();
}

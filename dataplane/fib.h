// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where packets go: the kernel's routes and neighbours as the workers see them. IPv4 routes are in an
// rte_lpm (its freed groups wait for RCU), IPv6 routes in a td_route6, next hops of both in a table of
// adjacencies that are replaced whole.

#include "dataplane/publish.h"
#include "dataplane/rcu.h"
#include "dataplane/route6.h"

#include <rte_ether.h>
#include <rte_lpm.h>

enum td_adjacency_kind {
	TD_ADJ_LOCAL, // for this gateway
	TD_ADJ_LINK, // the destination itself is the neighbour and is not resolved
	TD_ADJ_UNRESOLVED, // the next hop is known, its MAC is not
	TD_ADJ_RESOLVED,
	TD_ADJ_BLACKHOLE,
};

struct td_adjacency {
	enum td_adjacency_kind kind;
	uint8_t port;
	uint8_t family; // 4 or 6
	uint16_t mtu; // of the port; for RESOLVED
	// For UNRESOLVED and RESOLVED: that of the family.
	uint32_t next_hop; // IPv4, host order
	uint8_t next_hop6[16];
	struct rte_ether_hdr ether; // for RESOLVED: the header to put in front
	struct td_retired retired;
};

// An address of this gateway.
struct td_own_address {
	struct td_ip ip;
	struct td_retired retired;
};

#define TD_ADJACENCIES_MAX (1u << 16)

struct td_fib {
	struct rte_lpm *lpm; // prefix -> index; writer: control
	uint32_t default_index; // of the prefix of length 0; 0: none. Writer: control
	struct td_route6 *routes6; // prefix -> index
	uint32_t
	    generation; // grows when a change begins, and when it is over: then it is even. Writer: control
	// Writer: control, by release stores; workers acquire.
	struct td_adjacency *adjacencies[TD_ADJACENCIES_MAX];
	struct td_adjacency link_scope[TD_PORTS_MAX]; // LOCAL, IPv6, of each port
	// The first IPv4 and IPv6 address of each port, NULL: none. Writer: control, by release stores;
	// workers acquire.
	struct td_own_address *own[TD_PORTS_MAX][2];
};
extern struct td_fib td_fib;

// Control thread. Returns 0 or -ENOMEM.
int td_fib_init(void);
// No worker may run any more. Comes before td_rcu_fini.
void td_fib_fini(void);

// The adjacency for a destination (host order), NULL when there is no route. Any worker, inside a
// read-side section.
static inline const struct td_adjacency *td_fib_lookup(uint32_t destination)
{
	uint32_t index;

	if (rte_lpm_lookup(td_fib.lpm, destination, &index))
		index = __atomic_load_n(&td_fib.default_index, __ATOMIC_ACQUIRE);
	// Pairs with the release in fib.c: the adjacency is complete.
	return __atomic_load_n(&td_fib.adjacencies[index], __ATOMIC_ACQUIRE);
}

// Link-local and multicast addresses (RFC 4291 2.5.6 and 2.7) mean something on one link only.
static inline bool td_fib_is_link_scope(const uint8_t address[16])
{
	return address[0] == 0xff || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

// The same for IPv6. Destinations of link scope are LOCAL to the port that the packet came from. Without it
// (td_fib_lookup6) they are LOCAL, and the adjacency's port says nothing.
static inline const struct td_adjacency *td_fib_lookup6_from(unsigned port, const uint8_t destination[16])
{
	if (td_fib_is_link_scope(destination))
		return &td_fib.link_scope[port];
	uint32_t index = td_route6_lookup(td_fib.routes6, destination);
	// Pairs with the release in fib.c: the adjacency is complete.
	return __atomic_load_n(&td_fib.adjacencies[index], __ATOMIC_ACQUIRE);
}

static inline const struct td_adjacency *td_fib_lookup6(const uint8_t destination[16])
{
	return td_fib_lookup6_from(0, destination);
}

// An address of this gateway on a port, to send from: never one of link scope. False: it has none. Any
// worker, inside a read-side section.
static inline bool td_fib_port_address(unsigned port, uint8_t family, struct td_ip *address)
{
	// Pairs with the release in fib.c: the address is complete.
	const struct td_own_address *own = __atomic_load_n(&td_fib.own[port][family == 6], __ATOMIC_ACQUIRE);

	if (own)
		*address = own->ip;
	return own != NULL;
}

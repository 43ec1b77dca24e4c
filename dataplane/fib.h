// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where packets go: the kernel's routes and neighbours as the workers see them. Routes are in an
// rte_lpm (its freed groups wait for RCU), next hops in a table of adjacencies that are replaced whole.

#include "dataplane/publish.h"
#include "dataplane/rcu.h"

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
	uint32_t next_hop; // IPv4, host order; for UNRESOLVED and RESOLVED
	struct rte_ether_hdr ether; // for RESOLVED: the header to put in front
	struct td_retired retired;
};

#define TD_ADJACENCIES_MAX (1u << 16)

struct td_fib {
	struct rte_lpm *lpm; // prefix -> index; writer: control
	uint32_t default_index; // of the prefix of length 0; 0: none. Writer: control
	uint32_t generation; // grows with each change. Writer: control
	// Writer: control, by release stores; workers acquire.
	struct td_adjacency *adjacencies[TD_ADJACENCIES_MAX];
};
extern struct td_fib td_fib;

// Control thread. Return 0 or -ENOMEM.
int td_fib_init(void);
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

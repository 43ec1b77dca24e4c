// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What policies match of a packet. It speaks of local and remote, so that one rule serves both directions.

#include <rte_byteorder.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

// Wire order, as rte_acl wants it. An IPv4 address is in the first word.
struct td_policy_key {
	uint8_t protocol;
	uint8_t family; // 4 or 6; 0: a packet whose header chain cannot be read, which matches nothing
	uint8_t zero[2];
	rte_be32_t local[4], remote[4];
	// The local and the remote port; or of ICMP the type << 8 | code and then TD_POLICY_ICMP_SHOWN. Both
	// are 0 when the packet shows none (fragments behind the first, other protocols).
	rte_be16_t ports[2];
};
_Static_assert(sizeof(struct td_policy_key) == 40, "rte_acl reads the key in groups of four bytes");

// Tells a packet without visible type from an echo reply, which is type 0 and code 0.
#define TD_POLICY_ICMP_SHOWN 1

// Fills in the key of a packet of one segment that starts at its IPv4 or IPv6 header, of which the length has
// been checked. outbound tells which address is local. Any thread.
void td_policy_key_fill(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound);
// Protocols that begin with a source and a destination port.
bool td_policy_has_ports(uint8_t protocol);

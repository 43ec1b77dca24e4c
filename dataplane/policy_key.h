// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What policies match of a packet. It speaks of local and remote, so that one rule serves both directions.

#include <netinet/in.h>
#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Wire order, as rte_acl wants it. An IPv4 address is in the first word.
struct td_policy_key {
	union {
		struct {
			uint8_t protocol;
			uint8_t family; // 4 or 6; 0: the header chain cannot be read, which matches nothing
			uint8_t zero[2];
			rte_be32_t local[4], remote[4];
			// The local and the remote port; or of ICMP the type << 8 | code and then
			// TD_POLICY_ICMP_SHOWN. Both are 0 when the packet shows none (fragments behind the
			// first, other protocols).
			rte_be16_t ports[2];
		};
		uint64_t words[5]; // of IPv4 words 1 and 3 are zero
	};
};
_Static_assert(sizeof(struct td_policy_key) == 40, "rte_acl reads the key in groups of four bytes");
_Static_assert(offsetof(struct td_policy_key, local) == 4 && offsetof(struct td_policy_key, remote) == 20 &&
                   offsetof(struct td_policy_key, ports) == 36,
    "td_policy_key_fill4 writes by words");

// Tells a packet without visible type from an echo reply, which is type 0 and code 0.
#define TD_POLICY_ICMP_SHOWN 1

// Protocols that begin with a source and a destination port.
static inline bool td_policy_has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// What the first bytes of the upper layer say, of which length are there: both fields of the key as they lie
// in it.
static inline uint32_t td_policy_key_ports(
    uint8_t protocol, uint8_t icmp, const uint8_t *upper, uint32_t length, bool outbound)
{
	uint32_t ports;

	if (length < sizeof(ports))
		return 0;
	memcpy(&ports, upper, sizeof(ports));
	if (likely(td_policy_has_ports(protocol)))
		return outbound ? ports : ports << 16 | ports >> 16;
	if (protocol == icmp)
		return (ports & UINT16_MAX) | (uint32_t)rte_cpu_to_be_16(TD_POLICY_ICMP_SHOWN) << 16;
	return 0;
}

void td_policy_key_fill6(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound);

static inline void td_policy_key_fill4(
    struct td_policy_key *key, const struct rte_ipv4_hdr *ip, uint32_t length, bool outbound)
{
	unsigned header = rte_ipv4_hdr_len(ip);
	rte_be32_t local = outbound ? ip->src_addr : ip->dst_addr;
	rte_be32_t remote = outbound ? ip->dst_addr : ip->src_addr;
	uint32_t ports = 0;

	// A fragment behind the first has no ports; it then matches rules for any port only (RFC 4301 7.1).
	if (likely(!(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK))))
		ports = td_policy_key_ports(
		    ip->next_proto_id, IPPROTO_ICMP, (const uint8_t *)ip + header, length - header, outbound);
	// By whole words, as they are read again.
	key->words[0] = (uint64_t)local << 32 | 4u << 8 | ip->next_proto_id;
	key->words[1] = key->words[3] = 0;
	key->words[2] = (uint64_t)remote << 32;
	key->words[4] = (uint64_t)ports << 32;
}

// Fills in the key of a packet of one segment that starts at its IPv4 or IPv6 header, of which the length has
// been checked. outbound tells which address is local. Any thread.
static inline void td_policy_key_fill(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound)
{
	const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);

	if (packet[0] >> 4 == 6)
		td_policy_key_fill6(key, mbuf, outbound);
	else
		td_policy_key_fill4(key, (const struct rte_ipv4_hdr *)packet, mbuf->data_len, outbound);
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// IPv4 and IPv6 packets seen alike. A packet is an mbuf of one segment that starts at its IP header.

#include "dataplane/drops.h"
#include "dataplane/fib.h"
#include "dataplane/packet.h"

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <string.h>

static inline uint8_t td_ip_family(const struct rte_mbuf *mbuf)
{
	return *rte_pktmbuf_mtod(mbuf, const uint8_t *) >> 4;
}

static inline struct rte_ipv4_hdr *td_ipv4(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);
}

static inline struct rte_ipv6_hdr *td_ipv6(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);
}

// DSCP and ECN.
static inline uint8_t td_ip_tos(struct rte_mbuf *mbuf)
{
	if (td_ip_family(mbuf) == 4)
		return td_ipv4(mbuf)->type_of_service;
	return (uint8_t)(rte_be_to_cpu_32(td_ipv6(mbuf)->vtc_flow) >> RTE_IPV6_HDR_TC_SHIFT);
}

// Where a packet goes.
static inline const struct td_adjacency *td_ip_route(struct rte_mbuf *mbuf)
{
	if (td_ip_family(mbuf) == 4)
		return td_fib_lookup(rte_be_to_cpu_32(td_ipv4(mbuf)->dst_addr));
	return td_fib_lookup6_from(td_packet(mbuf)->port, td_ipv6(mbuf)->dst_addr);
}

// IPv6 packets that belong on one link: from the unspecified or a link-local address, or to a link-local or
// link-scope multicast one (RFC 4291 2.5.2, 2.5.6, 2.7). They are not forwarded, nor believed out of a
// tunnel.
static inline bool td_ip_is_link_scope(struct rte_mbuf *mbuf)
{
	static const uint8_t unspecified[16];

	if (td_ip_family(mbuf) == 4)
		return false;
	const struct rte_ipv6_hdr *ip = td_ipv6(mbuf);
	return td_fib_is_link_scope(ip->src_addr) || td_fib_is_link_scope(ip->dst_addr) ||
	       memcmp(ip->src_addr, unspecified, sizeof(unspecified)) == 0;
}

struct td_ip td_ip_source(struct rte_mbuf *mbuf);
struct td_ip td_ip_destination(struct rte_mbuf *mbuf);
// The protocol behind the IP header and, for IPv6, extension headers.
uint8_t td_ip_protocol(struct rte_mbuf *mbuf);
// Sets the ECN field and mends the IPv4 checksum.
void td_ip_set_ecn(struct rte_mbuf *mbuf, uint8_t ecn);

// The TCP or UDP checksum of an upper header at offset that reaches to the end of the packet; its own field
// is zero.
uint16_t td_ip_upper_checksum(struct rte_mbuf *mbuf, uint32_t offset, uint8_t protocol);
// Computes the TCP or UDP checksum anew: the addresses were changed under way, and the packet was
// authenticated since (RFC 3948 3.1.2). offset is that of the upper header. IPv4 UDP without checksum stays
// without.
void td_ip_fix_upper_checksum(struct rte_mbuf *mbuf, uint32_t offset, uint8_t protocol);

// Makes a packet begin so many bytes later and be length bytes long, as many as are there at most.
static inline void td_ip_clip(struct rte_mbuf *mbuf, uint32_t front, uint32_t length)
{
	mbuf->data_off = (uint16_t)(mbuf->data_off + front);
	mbuf->data_len = (uint16_t)length;
	mbuf->pkt_len = length;
}

static inline bool td_ipv4_checksum_good(const struct rte_ipv4_hdr *ip)
{
	uint32_t words[sizeof(*ip) / sizeof(uint32_t)];
	uint64_t sum = 0;

	if (unlikely(ip->version_ihl != RTE_IPV4_VHL_DEF))
		return rte_ipv4_cksum(ip) == 0;
	// RFC 1071: words of any size add up alike.
	memcpy(words, ip, sizeof(words));
#pragma GCC unroll 5
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum += words[i];
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (sum & UINT16_MAX) + (sum >> 16) == UINT16_MAX;
}

// RFC 1122 3.2.1.3: never a source address. 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3.
static inline bool td_ipv4_source_valid(const struct rte_ipv4_hdr *ip)
{
	uint8_t first = *(const uint8_t *)&ip->src_addr;

	return first != 0 && first != 127 && first < 224;
}

static __rte_always_inline enum td_drop td_ipv4_check(
    const struct rte_ipv4_hdr *ip, uint32_t length, bool verify_checksum, uint16_t *total)
{
	unsigned header = sizeof(*ip);

	if (unlikely(length < sizeof(*ip)))
		return TD_DROP_RX_RUNT;
	if (unlikely(ip->version_ihl != RTE_IPV4_VHL_DEF)) {
		header = rte_ipv4_hdr_len(ip);
		if (header < sizeof(*ip) || header > length)
			return TD_DROP_IP_HEADER;
	}
	*total = rte_be_to_cpu_16(ip->total_length);
	if (unlikely(*total < header || *total > length))
		return TD_DROP_IP_LENGTH;
	if (unlikely(verify_checksum && !td_ipv4_checksum_good(ip)))
		return TD_DROP_IP_CHECKSUM;
	return likely(td_ipv4_source_valid(ip)) ? TD_DROP_COUNT : TD_DROP_IP_SOURCE;
}

enum td_drop td_ipv6_check(const struct rte_ipv6_hdr *ip, uint32_t length, uint16_t *total);

// Checks the header of a packet of which length bytes are there: version, lengths, source address; the IPv4
// checksum where verify_checksum says so. Returns TD_DROP_COUNT and the packet's own length in *total, or the
// reason to drop it.
static __rte_always_inline enum td_drop td_ip_check(
    const uint8_t *packet, uint32_t length, bool verify_checksum, uint16_t *total)
{
	if (length == 0)
		return TD_DROP_RX_RUNT;
	if (likely(packet[0] >> 4 == 4))
		return td_ipv4_check((const struct rte_ipv4_hdr *)packet, length, verify_checksum, total);
	if (packet[0] >> 4 == 6)
		return td_ipv6_check((const struct rte_ipv6_hdr *)packet, length, total);
	return TD_DROP_IP_VERSION;
}

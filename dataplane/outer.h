// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an outbound SA puts in front of ESP: an IPv4 or IPv6 header in tunnel mode (RFC 4301 5.1.2), a UDP
// header when it is encapsulated (RFC 3948). Replaced whole by RCU when the peer moves.

#include "dataplane/publish.h"
#include "dataplane/rcu.h"

#include <rte_branch_prediction.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdbool.h>
#include <string.h>

#define TD_OUTER_MAX_BYTES (sizeof(struct rte_ipv6_hdr) + sizeof(struct rte_udp_hdr))

struct td_outer {
	uint8_t header[TD_OUTER_MAX_BYTES]; // IP header (tunnel mode) and UDP header (if encapsulated)
	uint8_t ip_length, udp_length; // bytes of each; 0: not there
	uint8_t protocol; // what the IP header in front names: ESP, UDP or AH
	// DF and DSCP as configured, as masks and bits so that no packet asks for it (RFC 4301 5.1.2.1). ECN
	// is copied (RFC 6040 4.1).
	bool df_copy, df_set;
	uint8_t tos_copy, tos_set;
	uint16_t sum; // IPv4: folded sum of the template's header, not inverted
	struct td_ip remote;
	struct td_ip local;
	struct td_retired retired;
};

_Static_assert(offsetof(struct td_outer, remote.bytes) + sizeof(rte_be32_t) <= 64,
    "what a packet in IPv4 needs is one cache line");

// What of the inner packet shows in the outer header.
struct td_outer_inner {
	uint8_t tos; // DSCP and ECN
	bool df; // IPv4: don't fragment; IPv6 inner: true
	rte_be32_t flow; // IPv6 flow label, 0 otherwise
};

// Control thread. NULL without memory.
struct td_outer *td_outer_create(const struct td_sa_params *params);
// The same towards another peer address (of the same family) and port. NULL without memory.
struct td_outer *td_outer_copy(
    const struct td_outer *outer, const struct td_ip *remote, uint16_t udp_remote_port);
void td_outer_free(struct td_outer *outer);

// Writes just the UDP header (transport mode).
void td_outer_fill_udp(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes);

// Writes the IPv4 header of a template for IPv4, for a packet of total bytes. identification is for packets
// that may be fragmented.
static inline void td_outer_fill_ipv4(const struct td_outer *outer, uint8_t *start, uint32_t total,
    struct td_outer_inner inner, uint16_t identification)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)start;
	uint8_t tos = (inner.tos & outer->tos_copy) | outer->tos_set;
	bool df = (inner.df & outer->df_copy) | outer->df_set;

	memcpy(start, outer->header, sizeof(*ip));
	ip->type_of_service = tos;
	ip->total_length = rte_cpu_to_be_16((uint16_t)total);
	// An identification matters only where somebody may fragment (RFC 6864).
	ip->packet_id = df ? 0 : rte_cpu_to_be_16(identification);
	ip->fragment_offset = df ? rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG) : 0;
	// One's complement sum of the template's and this packet's words (RFC 1071).
	uint32_t sum = (uint32_t)outer->sum + rte_cpu_to_be_16(tos) + ip->total_length + ip->packet_id +
	               ip->fragment_offset;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = (uint16_t)~sum;
}

// Writes the IPv6 header of a template for IPv6, for payload bytes behind it.
static inline void td_outer_fill_ipv6(
    const struct td_outer *outer, uint8_t *start, uint32_t payload, struct td_outer_inner inner)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)start;
	uint8_t tos = (inner.tos & outer->tos_copy) | outer->tos_set;

	memcpy(start, outer->header, sizeof(*ip));
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << RTE_IPV6_HDR_TC_SHIFT) |
	               (inner.flow & rte_cpu_to_be_32(RTE_IPV6_HDR_FL_MASK));
	ip->payload_len = rte_cpu_to_be_16((uint16_t)payload);
}

// Writes the IP and UDP headers to start, for an ESP packet of esp_bytes behind them. Owner worker.
static inline void td_outer_fill(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes,
    struct td_outer_inner inner, uint16_t identification)
{
	uint32_t payload = esp_bytes + outer->udp_length;

	if (outer->remote.family == 4)
		td_outer_fill_ipv4(outer, start, payload + outer->ip_length, inner, identification);
	else
		td_outer_fill_ipv6(outer, start, payload, inner);
	if (unlikely(outer->udp_length))
		td_outer_fill_udp(outer, start + outer->ip_length, esp_bytes);
}

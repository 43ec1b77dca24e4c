// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// ICMP errors that this gateway sends to the sender of a packet it cannot pass on.

#include <rte_byteorder.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

// A datagram with an error is no longer than this (RFC 1812 4.3.2.3, RFC 4443 2.4 c).
#define TD_ICMP_ERROR_MAX_BYTES 576
#define TD_ICMP6_ERROR_MAX_BYTES 1280

enum td_icmp_error {
	TD_ICMP_TOO_BIG, // IPv4: fragmentation needed and DF set (RFC 1191)
	TD_ICMP_TIME_EXCEEDED, // TTL or hop limit ran out in transit
	TD_ICMP_NET_UNREACHABLE, // no route
	TD_ICMP_HOST_UNREACHABLE, // the neighbour does not answer
	TD_ICMP_PROHIBITED, // policy
};

// Whether an error may be sent about a packet (RFC 1812 4.3.2.7, RFC 4443 2.4 e), as below.
bool td_icmp_may_answer(const struct rte_mbuf *offending, enum td_icmp_error error);
// Builds the error about a packet that starts at its IP header, whole in one segment and checked, as a packet
// from source to the packet's sender. mtu is for TOO_BIG only; for IPv6 it is at least 1280. Returns NULL
// when no error may be sent or there is no buffer. The error's td_packet
// is zeroed. To the caller are left: the limit on the rate, link-layer broadcasts, directed broadcasts (which
// no packet shows), and source being an address of this gateway that the sender can reach. Any worker.
struct rte_mbuf *td_icmp_error_ipv4(struct rte_mempool *pool, const struct rte_mbuf *offending,
    rte_be32_t source, enum td_icmp_error error, uint16_t mtu);
struct rte_mbuf *td_icmp_error_ipv6(struct rte_mempool *pool, const struct rte_mbuf *offending,
    const uint8_t source[16], enum td_icmp_error error, uint16_t mtu);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Cuts packets into fragments: inner IPv4 packets before encryption (RFC 4301 8.2), sealed IPv6 packets
// behind it.

#include <rte_mbuf.h>
#include <stdint.h>

// Cuts an IPv4 packet of one segment into fragments of at most mtu bytes, which are copies in one segment
// each with the headroom of the pool, and the packet's td_packet. The packet stays as it is and the caller's.
// It may be a fragment itself; one that fits gives a single copy. Returns how many fragments are in out, or:
// -EMSGSIZE: DF is set; -E2BIG: more than max; -EINVAL: its options are malformed, it reaches beyond the
// largest datagram, or mtu is too small; -ENOBUFS: no buffers.
int td_fragment_ipv4(
    struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max, uint16_t mtu, struct rte_mempool *pool);

// The same for a whole IPv6 packet whose source this gateway is (RFC 8200 4.5, RFC 2473 7.1). The fragment
// header goes behind hop-by-hop options, routing headers and destination options in front of these.
// -EINVAL: other headers than that, or mtu is too small.
int td_fragment_ipv6(struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max, uint16_t mtu,
    uint32_t identification, struct rte_mempool *pool);

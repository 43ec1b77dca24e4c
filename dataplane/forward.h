// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Steps of forwarding that stages take by themselves.

#include "dataplane/ip_packet.h"
#include "dataplane/worker.h"

// Tells the sender of a packet whose TTL ran out, and drops it (forward.c).
void td_forward_expired(struct td_worker *worker, struct rte_mbuf *mbuf);

// Decrements the TTL or hop limit of a packet in transit; drops it and returns false when it ran out.
static inline bool td_forward_ttl(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	bool ipv4 = td_ip_family(mbuf) == 4;
	uint8_t *ttl = ipv4 ? &td_ipv4(mbuf)->time_to_live : &td_ipv6(mbuf)->hop_limits;

	if (unlikely(*ttl <= 1)) {
		td_forward_expired(worker, mbuf);
		return false;
	}
	(*ttl)--;
	if (ipv4) {
		struct rte_ipv4_hdr *ip = td_ipv4(mbuf);
		// RFC 1624: the word that holds the TTL fell by 0x0100, so the checksum rises by it.
		uint32_t sum = (uint32_t)ip->hdr_checksum + rte_cpu_to_be_16(0x0100);

		ip->hdr_checksum = (uint16_t)(sum + (sum >= 0xffff));
	}
	return true;
}

static inline void td_frame_send(
    struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	if (unlikely(rte_pktmbuf_headroom(mbuf) < RTE_ETHER_HDR_LEN)) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_ROOM);
		return;
	}
	*(struct rte_ether_hdr *)rte_pktmbuf_prepend(mbuf, RTE_ETHER_HDR_LEN) = adjacency->ether;
	td_tx(worker, adjacency->port, mbuf);
}

// Sends a packet that is too long in fragments (forward.c).
void td_forward_cut(struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency);

// Sends a packet through an adjacency of kind RESOLVED.
static inline void td_forward_resolved(
    struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	if (likely(mbuf->data_len <= adjacency->mtu))
		td_frame_send(worker, mbuf, adjacency);
	else
		td_forward_cut(worker, mbuf, adjacency);
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The quick way of esp_out: ESP in tunnel mode, for a packet that fits, to a peer whose next hop is known.
// What it needs of suite and headers stands ready in the SA (td_sa_out.quick); everything else goes the way
// that knows all cases (packet_seal in esp_out.c), with the same result.

#include "dataplane/counter.h"
#include "dataplane/esp.h"
#include "dataplane/esp_batch.h"
#include "dataplane/ip_packet.h"

#include <netinet/in.h>

// At least this much stands behind the padding: the trailer and the shortest ICV.
#define TD_ESP_TUNNEL_PAD_COPY 16

// What of the inner packet, of so many bytes, shows in the outer header.
static inline struct td_outer_inner td_esp_inner_fields(struct rte_mbuf *mbuf, uint32_t length, bool dummy)
{
	struct td_outer_inner inner = {.df = true};

	if (unlikely(dummy))
		return inner;
	inner.tos = td_ip_tos(mbuf);
	if (td_ip_family(mbuf) == 4) {
		inner.df = (td_ipv4(mbuf)->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG)) != 0;
	} else {
		inner.flow = td_ipv6(mbuf)->vtc_flow;
		// An IPv6 sender relies on 1280 bytes: the path may cut the outer packet instead.
		inner.df = length > TD_IPV6_MTU_MIN;
	}
	return inner;
}

// Whether the packet is one for the quick way. total and tail: its bytes as a sealed one, and what is put
// behind it.
static inline bool td_esp_tunnel_takes(const struct td_sa_out *sa, const struct rte_mbuf *mbuf, bool dummy,
    const struct td_adjacency *adjacency, uint32_t total, uint32_t tail)
{
	const struct td_dp_tunnel *tunnel = sa->tunnel;
	uint32_t pmtu = __atomic_load_n(&tunnel->pmtu, __ATOMIC_RELAXED);
	uint32_t tfc = __atomic_load_n(&tunnel->tfc, __ATOMIC_RELAXED);

	return adjacency && total <= adjacency->mtu && (pmtu == 0 || total <= pmtu) &&
	       mbuf->data_len >= tfc && !dummy && !__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED) &&
	       rte_pktmbuf_headroom(mbuf) >= sa->front + RTE_ETHER_HDR_LEN &&
	       rte_pktmbuf_tailroom(mbuf) >= tail;
}

// Builds the packet and puts it into the batch. False: nothing was done.
static inline bool td_esp_tunnel_seal(struct td_esp_batch *batch, struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	if (unlikely(!sa->quick))
		return false;
	// Pairs with the release in td_dp_sa_out_move.
	const struct td_outer *outer = __atomic_load_n(&sa->outer, __ATOMIC_ACQUIRE);
	const struct td_adjacency *adjacency = td_esp_batch_route(batch, outer);
	uint32_t length = mbuf->data_len;
	uint32_t plain =
	    RTE_ALIGN_CEIL(length + (uint32_t)sizeof(struct td_esp_trailer), (uint32_t)sa->align);
	uint32_t pad = plain - length - (uint32_t)sizeof(struct td_esp_trailer);
	uint32_t tail = plain - length + sa->icv_bytes, total = sa->front + length + tail;
	if (unlikely(!td_esp_tunnel_takes(sa, mbuf, td_packet(mbuf)->dummy, adjacency, total, tail)))
		return false;

	uint64_t sequence = sa->sequence + 1;
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *), *start = data - sa->front;
	struct td_outer_inner inner = td_esp_inner_fields(mbuf, length, false);
	uint8_t next_header = *data >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	// More than the padding, over what trailer and ICV are written to: a length that the compiler knows.
	memcpy(data + length, td_esp_padding, TD_ESP_TUNNEL_PAD_COPY);
	data[length + pad] = (uint8_t)pad;
	data[length + pad + 1] = next_header;
	mbuf->data_off = (uint16_t)(mbuf->data_off - sa->front);
	mbuf->data_len = (uint16_t)total;
	mbuf->pkt_len = total;
	if (likely(outer->remote.family == 4))
		td_outer_fill_ipv4(outer, start, total, inner, (uint16_t)(sequence + sa->iv_base));
	else
		td_outer_fill_ipv6(outer, start, total - (uint32_t)sizeof(struct rte_ipv6_hdr), inner);
	struct rte_esp_hdr *esp = (struct rte_esp_hdr *)(data - sa->iv_bytes - sizeof(*esp));
	esp->spi = sa->spi;
	esp->seq = rte_cpu_to_be_32((uint32_t)sequence);
	batch->ops[batch->count] = (struct td_crypt_op){
	    .schedule = sa->schedule,
	    .esp = (uint8_t *)esp,
	    .data = data,
	    .length = plain,
	    .sequence = sequence,
	    .counter = sa->iv_base + sequence,
	    .esn = sa->esn,
	};
	td_counter_add(&sa->sequence, 1);
	// RFC 4301 4.4.2.1: a lifetime in bytes is about all that the algorithm is applied to.
	td_counter_add(&sa->bytes, length);
	td_esp_batch_add(batch, sa, mbuf, adjacency, 0);
	return true;
}

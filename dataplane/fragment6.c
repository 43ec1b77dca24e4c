// SPDX-License-Identifier: BSD-3-Clause
// Fragments of IPv6 packets that this gateway is the source of (RFC 8200 4.5): routers do not fragment.

#include "dataplane/fragment.h"
#include "dataplane/ipv6_esp.h"
#include "dataplane/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_ip.h>
#include <string.h>

#define UNIT 8u // offsets are multiples of this

// One packet that is being cut.
struct cut6 {
	const uint8_t *packet;
	struct td_ipv6_split
	    split; // what each fragment begins with, and the byte there that names its header
	uint32_t payload_bytes;
	rte_be32_t identification;
};

// Makes the fragment of length bytes of payload at an offset. NULL: no buffer that holds it.
static struct rte_mbuf *cut_piece(
    const struct cut6 *cut, uint32_t offset, uint32_t length, struct rte_mempool *pool)
{
	uint32_t header = cut->split.offset + (uint32_t)sizeof(struct rte_ipv6_fragment_ext);
	struct rte_mbuf *piece = rte_pktmbuf_alloc(pool);
	uint8_t *start = piece ? (uint8_t *)rte_pktmbuf_append(piece, (uint16_t)(header + length)) : NULL;

	if (!start) {
		rte_pktmbuf_free(piece);
		return NULL;
	}
	memcpy(start, cut->packet, cut->split.offset);
	struct rte_ipv6_fragment_ext fragment = {
	    .next_header = start[cut->split.protocol_offset],
	    .frag_data =
	        rte_cpu_to_be_16(RTE_IPV6_SET_FRAG_DATA(offset, offset + length < cut->payload_bytes)),
	    .id = cut->identification,
	};
	start[cut->split.protocol_offset] = IPPROTO_FRAGMENT;
	memcpy(start + cut->split.offset, &fragment, sizeof(fragment));
	memcpy(start + header, cut->packet + cut->split.offset + offset, length);
	((struct rte_ipv6_hdr *)start)->payload_len =
	    rte_cpu_to_be_16((uint16_t)(header + length - sizeof(struct rte_ipv6_hdr)));
	return piece;
}

int td_fragment_ipv6(struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max, uint16_t mtu,
    uint32_t identification, struct rte_mempool *pool)
{
	struct cut6 cut = {
	    .packet = rte_pktmbuf_mtod(packet, const uint8_t *),
	    .identification = rte_cpu_to_be_32(identification),
	};
	unsigned count = 0;
	int result = 0;

	if (!td_ipv6_esp_place(cut.packet, packet->data_len, &cut.split) ||
	    mtu < cut.split.offset + sizeof(struct rte_ipv6_fragment_ext) + UNIT)
		return -EINVAL;
	uint32_t room = mtu - cut.split.offset - (uint32_t)sizeof(struct rte_ipv6_fragment_ext);
	cut.payload_bytes = packet->data_len - cut.split.offset;
	for (uint32_t offset = 0, length; offset < cut.payload_bytes; offset += length) {
		length = cut.payload_bytes - offset;
		if (length > room)
			length = RTE_ALIGN_FLOOR(room, UNIT);
		if (count == max)
			result = -E2BIG;
		else if (!(out[count] = cut_piece(&cut, offset, length, pool)))
			result = -ENOBUFS;
		if (result) {
			rte_pktmbuf_free_bulk(out, count);
			return result;
		}
		*td_packet(out[count++]) = *td_packet(packet);
	}
	return (int)count;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/fragment.h"

#include "dataplane/ipv6_esp.h"
#include "dataplane/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <rte_ip.h>
#include <string.h>

#define UNIT 8u // offsets are multiples of this
#define HEADER_MAX 60u // IPv4 with options

// One packet that is being cut. The headers of fragments may be longer or shorter than its own.
struct cut {
	const uint8_t *packet;
	uint32_t payload_at, payload_bytes;
	uint32_t first_header, later_header; // bytes
	// Writes the header of the fragment of length bytes of payload at an offset.
	void (*header_write)(const struct cut *cut, uint8_t *start, uint32_t offset, uint32_t length);
};

static uint32_t header_bytes(const struct cut *cut, uint32_t offset)
{
	return offset ? cut->later_header : cut->first_header;
}

// Bytes of payload of the fragment at an offset.
static uint32_t piece_length(const struct cut *cut, uint32_t offset, uint16_t mtu)
{
	uint32_t left = cut->payload_bytes - offset, room = mtu - header_bytes(cut, offset);

	return left > room ? RTE_ALIGN_FLOOR(room, UNIT) : left;
}

// NULL: no buffer that holds it.
static struct rte_mbuf *piece_make(
    const struct cut *cut, uint32_t offset, uint32_t length, struct rte_mempool *pool)
{
	uint32_t header = header_bytes(cut, offset);
	struct rte_mbuf *piece = rte_pktmbuf_alloc(pool);
	uint8_t *start = piece ? (uint8_t *)rte_pktmbuf_append(piece, (uint16_t)(header + length)) : NULL;

	if (!start) {
		rte_pktmbuf_free(piece);
		return NULL;
	}
	cut->header_write(cut, start, offset, length);
	memcpy(start + header, cut->packet + cut->payload_at + offset, length);
	return piece;
}

static int pieces_make(const struct cut *cut, struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max,
    uint16_t mtu, struct rte_mempool *pool)
{
	uint32_t offset = 0;
	unsigned count = 0;
	int error = 0;

	if (mtu < cut->first_header + UNIT)
		return -EINVAL;
	// A packet without payload gives one fragment, too.
	do {
		uint32_t length = piece_length(cut, offset, mtu);

		if (count == max)
			error = -E2BIG;
		else if (!(out[count] = piece_make(cut, offset, length, pool)))
			error = -ENOBUFS;
		if (error) {
			rte_pktmbuf_free_bulk(out, count);
			return error;
		}
		*td_packet(out[count++]) = *td_packet(packet);
		offset += length;
	} while (offset < cut->payload_bytes);
	return (int)count;
}

// ---- IPv4 -------------------------------------------------------------------------------------

// The header of fragments behind the first has only the options that are to be copied (RFC 791 3.1).
struct cut4 {
	struct cut common;
	uint16_t offset; // of the packet itself, in units
	bool more; // the packet itself is not a last fragment
	uint8_t later[HEADER_MAX];
};

// Fills in the header of later fragments. False: an option runs out of the header.
static bool options_copy(struct cut4 *cut)
{
	const uint8_t *options = cut->common.packet;
	unsigned at = sizeof(struct rte_ipv4_hdr), kept = sizeof(struct rte_ipv4_hdr);

	memcpy(cut->later, options, kept);
	while (at < cut->common.first_header && options[at] != IPOPT_EOL) {
		unsigned length = 1;

		if (options[at] != IPOPT_NOP) {
			if (at + 1 >= cut->common.first_header)
				return false;
			length = options[at + 1];
			if (length < 2 || at + length > cut->common.first_header)
				return false;
		}
		if (IPOPT_COPIED(options[at])) {
			memcpy(cut->later + kept, options + at, length);
			kept += length;
		}
		at += length;
	}
	// cut is zeroed: the rest of the last word is end-of-options.
	cut->common.later_header = RTE_ALIGN_CEIL(kept, 4u);
	((struct rte_ipv4_hdr *)cut->later)->version_ihl =
	    (uint8_t)(IPVERSION << 4 | cut->common.later_header / 4);
	return true;
}

static void header4_write(const struct cut *common, uint8_t *start, uint32_t offset, uint32_t length)
{
	const struct cut4 *cut = container_of(common, struct cut4, common);
	bool more = cut->more || offset + length < common->payload_bytes;
	uint32_t header = header_bytes(common, offset);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)start;

	memcpy(start, offset ? cut->later : common->packet, header);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(header + length));
	ip->fragment_offset =
	    rte_cpu_to_be_16((uint16_t)((cut->offset + offset / UNIT) | (more ? RTE_IPV4_HDR_MF_FLAG : 0)));
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

int td_fragment_ipv4(
    struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max, uint16_t mtu, struct rte_mempool *pool)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(packet, const struct rte_ipv4_hdr *);
	uint16_t flags = rte_be_to_cpu_16(ip->fragment_offset);
	uint8_t header = rte_ipv4_hdr_len(ip);

	if (flags & RTE_IPV4_HDR_DF_FLAG)
		return -EMSGSIZE;
	if (header < sizeof(*ip) || header > packet->data_len)
		return -EINVAL;
	// What lies beyond the largest datagram would come round as its beginning.
	if (packet->data_len + (flags & RTE_IPV4_HDR_OFFSET_MASK) * UNIT > UINT16_MAX)
		return -EINVAL;
	struct cut4 cut = {
	    .common =
	        {
	            .packet = (const uint8_t *)ip,
	            .payload_at = header,
	            .payload_bytes = packet->data_len - header,
	            .first_header = header,
	            .header_write = header4_write,
	        },
	    .offset = flags & RTE_IPV4_HDR_OFFSET_MASK,
	    .more = flags & RTE_IPV4_HDR_MF_FLAG,
	};
	if (!options_copy(&cut))
		return -EINVAL;
	return pieces_make(&cut.common, packet, out, max, mtu, pool);
}

// ---- IPv6 (RFC 8200 4.5) ----------------------------------------------------------------------

struct cut6 {
	struct cut common;
	uint16_t protocol_offset; // of the byte that will name the fragment header
	rte_be32_t identification;
};

static void header6_write(const struct cut *common, uint8_t *start, uint32_t offset, uint32_t length)
{
	const struct cut6 *cut = container_of(common, struct cut6, common);
	struct rte_ipv6_fragment_ext fragment = {
	    .next_header = common->packet[cut->protocol_offset],
	    .frag_data =
	        rte_cpu_to_be_16(RTE_IPV6_SET_FRAG_DATA(offset, offset + length < common->payload_bytes)),
	    .id = cut->identification,
	};

	memcpy(start, common->packet, common->payload_at);
	memcpy(start + common->payload_at, &fragment, sizeof(fragment));
	start[cut->protocol_offset] = IPPROTO_FRAGMENT;
	((struct rte_ipv6_hdr *)start)->payload_len =
	    rte_cpu_to_be_16((uint16_t)(header_bytes(common, offset) + length - sizeof(struct rte_ipv6_hdr)));
}

int td_fragment_ipv6(struct rte_mbuf *packet, struct rte_mbuf **out, unsigned max, uint16_t mtu,
    uint32_t identification, struct rte_mempool *pool)
{
	const uint8_t *start = rte_pktmbuf_mtod(packet, const uint8_t *);
	struct td_ipv6_split split;

	if (!td_ipv6_esp_place(start, packet->data_len, &split))
		return -EINVAL;
	uint32_t header = split.offset + (uint32_t)sizeof(struct rte_ipv6_fragment_ext);
	struct cut6 cut = {
	    .common =
	        {
	            .packet = start,
	            .payload_at = split.offset,
	            .payload_bytes = packet->data_len - split.offset,
	            .first_header = header,
	            .later_header = header,
	            .header_write = header6_write,
	        },
	    .protocol_offset = split.protocol_offset,
	    .identification = rte_cpu_to_be_32(identification),
	};
	return pieces_make(&cut.common, packet, out, max, mtu, pool);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/reassembly.h"

#include "dataplane/ipv6_ext.h"

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 8u // offsets are multiples of this
#define ECN_MASK 3u
#define BUCKET_ENTRIES 16u // slots that a datagram may take, in each of its two buckets
#define EVICTION_STEP 8u

struct td_reassembly {
	struct rte_ip_frag_tbl *table;
	uint64_t timeout_tsc;
	struct td_reassembly_drops drops;
	struct rte_ip_frag_death_row row; // what the library gave up; empty between calls
};

// What a packet's headers say about fragmentation.
struct part {
	uint32_t header_bytes; // IPv6: with the fragment header
	uint32_t offset, length; // of the payload, in bytes
	bool more;
};

static bool is_ipv4(const struct rte_mbuf *mbuf)
{
	return *rte_pktmbuf_mtod(mbuf, const uint8_t *) >> 4 == 4;
}

struct td_reassembly *td_reassembly_create(unsigned entries, int socket)
{
	struct td_reassembly *reassembly = calloc(1, sizeof(*reassembly));
	uint32_t buckets = RTE_ALIGN_CEIL(entries, BUCKET_ENTRIES) / BUCKET_ENTRIES;

	if (!reassembly)
		return NULL;
	reassembly->timeout_tsc = rte_get_tsc_hz() / 1000 * TD_REASSEMBLY_TIMEOUT_MS;
	reassembly->table =
	    rte_ip_frag_table_create(buckets, BUCKET_ENTRIES, entries, reassembly->timeout_tsc, socket);
	if (!reassembly->table) {
		free(reassembly);
		return NULL;
	}
	return reassembly;
}

void td_reassembly_destroy(struct td_reassembly *reassembly)
{
	if (!reassembly)
		return;
	rte_ip_frag_table_destroy(reassembly->table);
	free(reassembly);
}

// Frees what the library gave up. Returns how many parts it was.
static uint32_t row_free(struct td_reassembly *reassembly)
{
	struct rte_ip_frag_death_row *row = &reassembly->row;
	uint32_t parts = 0;

	for (uint32_t i = 0; i < row->cnt; i++)
		parts += row->row[i]->nb_segs;
	rte_ip_frag_free_death_row(row, 0);
	return parts;
}

static bool part_parse4(const struct rte_mbuf *mbuf, struct part *part)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	uint16_t flags = rte_be_to_cpu_16(ip->fragment_offset);
	uint32_t header = rte_ipv4_hdr_len(ip);

	*part = (struct part){
	    .header_bytes = header,
	    .offset = (flags & RTE_IPV4_HDR_OFFSET_MASK) * UNIT,
	    .length = rte_be_to_cpu_16(ip->total_length) - header,
	    .more = flags & RTE_IPV4_HDR_MF_FLAG,
	};
	return part->more || part->offset;
}

// The library knows a fragment header right behind the IPv6 header only. Others are invalid (length 0):
// nothing that would stand in between belongs on the way of an ESP packet to a gateway.
static bool part_parse6(const struct rte_mbuf *mbuf, struct part *part)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);
	const struct rte_ipv6_fragment_ext *fragment = (const struct rte_ipv6_fragment_ext *)(ip + 1);
	struct td_ipv6_upper upper;
	bool read = td_ipv6_upper((const uint8_t *)ip, mbuf->data_len, &upper);

	*part = (struct part){.header_bytes = sizeof(*ip) + sizeof(*fragment)};
	if (read && !upper.fragment_at)
		return false;
	if (!read || upper.fragment_at != sizeof(*ip) ||
	    rte_be_to_cpu_16(ip->payload_len) < sizeof(*fragment))
		return true;
	uint16_t data = rte_be_to_cpu_16(fragment->frag_data);
	part->length = rte_be_to_cpu_16(ip->payload_len) - (uint32_t)sizeof(*fragment);
	part->offset = data & RTE_IPV6_EHDR_FO_MASK;
	part->more = data & RTE_IPV6_EHDR_MF_MASK;
	return true;
}

// What the library does not look at: sums that overflow its 16 bits, odd lengths, and empty parts, which
// would be kept without ever filling a gap.
static bool part_valid(const struct part *part, const struct rte_mbuf *mbuf)
{
	if (part->length == 0 || part->header_bytes + part->length > mbuf->data_len)
		return false;
	if (part->more && part->length % UNIT)
		return false;
	return part->header_bytes + part->offset + part->length <= UINT16_MAX;
}

// RFC 6946: a fragment that is all of its datagram has nothing to do with others of the same identification.
static struct rte_mbuf *atomic_unwrap(struct rte_mbuf *mbuf, const struct part *part)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

	ip->proto = ((const struct rte_ipv6_fragment_ext *)(ip + 1))->next_header;
	ip->payload_len = rte_cpu_to_be_16((uint16_t)part->length);
	memmove((uint8_t *)ip + sizeof(struct rte_ipv6_fragment_ext), ip, sizeof(*ip));
	rte_pktmbuf_adj(mbuf, sizeof(struct rte_ipv6_fragment_ext));
	return mbuf;
}

static struct rte_mbuf *library_take(
    struct td_reassembly *reassembly, struct rte_mbuf *mbuf, uint64_t now_tsc)
{
	struct rte_ipv6_hdr *ip6 = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

	if (is_ipv4(mbuf))
		return rte_ipv4_frag_reassemble_packet(reassembly->table, &reassembly->row, mbuf, now_tsc,
		    rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *));
	return rte_ipv6_frag_reassemble_packet(reassembly->table, &reassembly->row, mbuf, now_tsc, ip6,
	    (struct rte_ipv6_fragment_ext *)(ip6 + 1));
}

// The library gives up the packet just taken and nothing else only when it has no place for it: an invalid
// set has at least one other part.
static bool is_refused(const struct td_reassembly *reassembly, const struct rte_mbuf *mbuf)
{
	return reassembly->row.cnt == 1 && reassembly->row.row[0] == mbuf;
}

// Drops the oldest parts that the table holds. Returns how many, 0 when all came in this very loop.
static uint32_t oldest_evict(struct td_reassembly *reassembly, uint64_t now_tsc)
{
	for (uint64_t age = reassembly->timeout_tsc / EVICTION_STEP;; age /= EVICTION_STEP) {
		// To the library, what is older than age has timed out.
		rte_ip_frag_table_del_expired_entries(
		    reassembly->table, &reassembly->row, now_tsc + reassembly->timeout_tsc - age);
		uint32_t evicted = row_free(reassembly);
		if (evicted || age == 0)
			return evicted;
	}
}

// Takes a part, if need be in the place of older ones. The library would keep what is there until it times
// out, so that a flood of first fragments, easily forged, blocked everybody's; whereas the parts of a true
// datagram follow each other closely.
static struct rte_mbuf *part_take(struct td_reassembly *reassembly, struct rte_mbuf *mbuf, uint64_t now_tsc)
{
	struct rte_mbuf *whole = library_take(reassembly, mbuf, now_tsc);

	while (!whole && is_refused(reassembly, mbuf)) {
		reassembly->row.cnt = 0;
		uint32_t evicted = oldest_evict(reassembly, now_tsc);
		if (!evicted) {
			reassembly->drops.evicted++;
			rte_pktmbuf_free(mbuf);
			return NULL;
		}
		reassembly->drops.evicted += evicted;
		whole = library_take(reassembly, mbuf, now_tsc);
	}
	reassembly->drops.invalid += row_free(reassembly);
	return whole;
}

static uint8_t header_ecn(const uint8_t *header)
{
	// IPv4: the second byte. IPv6: the traffic class is bits 4 to 11.
	return header[0] >> 4 == 4 ? header[1] & ECN_MASK : header[1] >> 4 & ECN_MASK;
}

// Joins the ECN marks (RFC 3168 5.3): one part that met congestion marks the whole. False: another part says
// that its sender knows no ECN, so the packet has to be dropped instead.
static bool ecn_join(struct rte_mbuf *whole)
{
	uint8_t *first = rte_pktmbuf_mtod(whole, uint8_t *);
	uint32_t seen = 1u << header_ecn(first);

	// The headers of later parts are still there, in front of their data.
	for (const struct rte_mbuf *part = whole->next; part; part = part->next)
		seen |= 1u << header_ecn(rte_pktmbuf_mtod(part, const uint8_t *) - part->l3_len);
	if (!(seen & 1u << ECN_MASK))
		return true;
	first[1] |= is_ipv4(whole) ? ECN_MASK : ECN_MASK << 4;
	return !(seen & 1u << 0);
}

static struct rte_mbuf *whole_finish(struct td_reassembly *reassembly, struct rte_mbuf *whole)
{
	uint32_t parts = whole->nb_segs;

	if (!ecn_join(whole) || rte_pktmbuf_linearize(whole)) {
		reassembly->drops.invalid += parts;
		rte_pktmbuf_free(whole);
		return NULL;
	}
	if (is_ipv4(whole)) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(whole, struct rte_ipv4_hdr *);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	return whole;
}

struct rte_mbuf *td_reassembly_take(struct td_reassembly *reassembly, struct rte_mbuf *mbuf, uint64_t now_tsc)
{
	bool ipv4 = is_ipv4(mbuf);
	struct part part;

	if (!(ipv4 ? part_parse4(mbuf, &part) : part_parse6(mbuf, &part)))
		return mbuf;
	if (!part_valid(&part, mbuf)) {
		reassembly->drops.invalid++;
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	if (!part.offset && !part.more)
		return atomic_unwrap(mbuf, &part);
	mbuf->l2_len = 0;
	mbuf->l3_len = part.header_bytes;
	struct rte_mbuf *whole = part_take(reassembly, mbuf, now_tsc);
	return whole ? whole_finish(reassembly, whole) : NULL;
}

struct td_reassembly_drops td_reassembly_poll(struct td_reassembly *reassembly, uint64_t now_tsc)
{
	rte_ip_frag_table_del_expired_entries(reassembly->table, &reassembly->row, now_tsc);
	reassembly->drops.timed_out += row_free(reassembly);
	struct td_reassembly_drops drops = reassembly->drops;
	reassembly->drops = (struct td_reassembly_drops){0};
	return drops;
}

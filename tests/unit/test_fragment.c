// SPDX-License-Identifier: BSD-3-Clause
// Fragments: cutting, putting together in any order, and what overlaps, floods and loss leave behind.

#include "dataplane/fragment.h"
#include "dataplane/packet.h"
#include "dataplane/reassembly.h"
#include "tests/unit/eal.h"

#include <netinet/in.h>
#include <rte_cycles.h>
#include <rte_ip.h>

#define BUFFERS 1023
#define ENTRIES 32
#define PIECES_MAX 8

static struct rte_mempool *pool;
static struct td_reassembly *reassembly;

static void start(void)
{
	test_eal_start();
	pool = rte_pktmbuf_pool_create(
	    "fragment", BUFFERS, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8), 4096, 0);
	reassembly = td_reassembly_create(ENTRIES, SOCKET_ID_ANY);
	cr_assert(pool && reassembly);
}

static void finish(void)
{
	td_reassembly_destroy(reassembly);
	cr_expect_eq(rte_mempool_avail_count(pool), BUFFERS, "a buffer leaked");
}

TestSuite(fragment, .init = start, .fini = finish);

// ---- packets ----------------------------------------------------------------------------------

static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 7 + at / 256);
}

static struct rte_mbuf *packet_make(unsigned header, uint32_t offset, uint32_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(header + length));

	*td_packet(mbuf) = (struct td_packet){.tunnel = 4711, .port = 3};
	memset(bytes, 0, header);
	for (uint32_t i = 0; i < length; i++)
		bytes[header + i] = pattern(offset + i);
	return mbuf;
}

// A fragment of the datagram with that identification; offset and length in bytes.
static struct rte_mbuf *part4(uint16_t id, uint32_t offset, uint32_t length, bool more)
{
	struct rte_mbuf *mbuf = packet_make(20, offset, length);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length = rte_cpu_to_be_16((uint16_t)(20 + length)),
	    .packet_id = id,
	    .fragment_offset = rte_cpu_to_be_16((uint16_t)(offset / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0))),
	    .time_to_live = 64,
	    .next_proto_id = IPPROTO_ESP,
	    .src_addr = 1,
	    .dst_addr = 2,
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return mbuf;
}

static struct rte_mbuf *part6(uint16_t id, uint32_t offset, uint32_t length, bool more)
{
	struct rte_mbuf *mbuf = packet_make(48, offset, length);
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

	*ip = (struct rte_ipv6_hdr){
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16((uint16_t)(8 + length)),
	    .proto = IPPROTO_FRAGMENT,
	    .hop_limits = 64,
	    .src_addr = {1},
	    .dst_addr = {2},
	};
	*(struct rte_ipv6_fragment_ext *)(ip + 1) = (struct rte_ipv6_fragment_ext){
	    .next_header = IPPROTO_ESP,
	    .frag_data = rte_cpu_to_be_16((uint16_t)(offset | more)),
	    .id = id,
	};
	return mbuf;
}

static struct rte_mbuf *part(bool ipv4, uint16_t id, uint32_t offset, uint32_t length, bool more)
{
	return ipv4 ? part4(id, offset, length, more) : part6(id, offset, length, more);
}

// Checks a whole packet and frees it.
static void whole_check(struct rte_mbuf *whole, bool ipv4, uint32_t length)
{
	unsigned header = ipv4 ? 20 : 40;

	cr_assert_not_null(whole);
	cr_assert_eq(whole->nb_segs, 1);
	cr_assert_eq(whole->data_len, header + length);
	cr_expect_eq(td_packet(whole)->port, 3);
	if (ipv4) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(whole, const struct rte_ipv4_hdr *);

		cr_expect_eq(rte_be_to_cpu_16(ip->total_length), header + length);
		cr_expect_eq(ip->fragment_offset, 0);
		cr_expect_eq(rte_ipv4_cksum(ip), 0);
	} else {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(whole, const struct rte_ipv6_hdr *);

		cr_expect_eq(rte_be_to_cpu_16(ip->payload_len), length);
		cr_expect_eq(ip->proto, IPPROTO_ESP);
		cr_expect_eq(ip->src_addr[0], 1);
	}
	for (uint32_t i = 0; i < length; i++)
		cr_assert_eq(
		    *rte_pktmbuf_mtod_offset(whole, uint8_t *, header + i), pattern(i), "byte %u", i);
	rte_pktmbuf_free(whole);
}

// ---- reassembly -------------------------------------------------------------------------------

struct piece {
	uint32_t offset, length;
	bool more;
};

Test(fragment, any_order_of_three)
{
	static const struct piece pieces[] = {{0, 1000, true}, {1000, 800, true}, {1800, 333, false}};
	static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned i = 0; i < 2 * RTE_DIM(orders); i++) {
		bool ipv4 = i % 2;
		struct rte_mbuf *whole = NULL;

		for (unsigned j = 0; j < 3; j++) {
			const struct piece *piece = &pieces[orders[i / 2][j]];

			cr_assert_null(whole);
			whole = td_reassembly_take(reassembly,
			    part(ipv4, (uint16_t)i, piece->offset, piece->length, piece->more), 1000);
		}
		whole_check(whole, ipv4, 2133);
	}
	struct td_reassembly_drops drops = td_reassembly_poll(reassembly, 1000);
	cr_expect_eq(drops.invalid + drops.evicted + drops.timed_out, 0);
}

Test(fragment, datagrams_do_not_mix)
{
	cr_assert_null(td_reassembly_take(reassembly, part4(1, 0, 800, true), 1));
	cr_assert_null(td_reassembly_take(reassembly, part4(2, 800, 80, false), 1));
	cr_assert_null(td_reassembly_take(reassembly, part6(1, 800, 80, false), 1));
	cr_assert_null(td_reassembly_take(reassembly, part6(2, 0, 800, true), 1));
	whole_check(td_reassembly_take(reassembly, part4(2, 0, 800, true), 1), true, 880);
	whole_check(td_reassembly_take(reassembly, part6(2, 800, 80, false), 1), false, 880);
	whole_check(td_reassembly_take(reassembly, part4(1, 800, 80, false), 1), true, 880);
	whole_check(td_reassembly_take(reassembly, part6(1, 0, 800, true), 1), false, 880);
}

Test(fragment, others_pass)
{
	struct rte_mbuf *plain = part4(1, 0, 100, false);

	cr_expect_eq(td_reassembly_take(reassembly, plain, 1), plain);
	rte_pktmbuf_free(plain);
	plain = part6(1, 0, 100, false);
	rte_pktmbuf_mtod(plain, struct rte_ipv6_hdr *)->proto = IPPROTO_ESP;
	cr_expect_eq(td_reassembly_take(reassembly, plain, 1), plain);
	rte_pktmbuf_free(plain);
}

Test(fragment, ipv6_fragment_header_in_another_place)
{
	struct rte_mbuf *options = part6(1, 0, 800, true), *cut = part6(1, 0, 8, true);

	// Hop-by-hop options where the fragment header was, and that behind them.
	uint8_t *payload = rte_pktmbuf_mtod_offset(options, uint8_t *, 40);
	memcpy(payload + 8, payload, 8);
	memcpy(payload, (uint8_t[8]){IPPROTO_FRAGMENT, 0, 1, 4}, 8);
	rte_pktmbuf_mtod(options, struct rte_ipv6_hdr *)->proto = IPPROTO_HOPOPTS;
	cr_expect_null(td_reassembly_take(reassembly, options, 1));
	rte_pktmbuf_trim(cut, 12);
	cr_expect_null(td_reassembly_take(reassembly, cut, 1));
	cr_expect_eq(td_reassembly_poll(reassembly, 1).invalid, 2);
}

// RFC 6946: even while fragments of the same identification wait.
Test(fragment, atomic_fragment_stands_alone)
{
	cr_assert_null(td_reassembly_take(reassembly, part6(1, 0, 800, true), 1));
	whole_check(td_reassembly_take(reassembly, part6(1, 0, 100, false), 1), false, 100);
	whole_check(td_reassembly_take(reassembly, part6(1, 800, 8, false), 1), false, 808);
}

Test(fragment, sets_that_never_make_a_packet)
{
	static const struct {
		const char *why;
		struct piece pieces[10];
		unsigned invalid; // parts that are dropped at once; the others time out
	} rows[] = {
	    {"overlap, then the rest", {{0, 800, true}, {400, 800, true}, {1200, 80, false}}, 3},
	    {"overlap whose sum fits, with a hole", {{0, 800, true}, {400, 800, true}, {1600, 80, false}}, 3},
	    {"a part inside another", {{0, 800, true}, {80, 80, true}, {800, 80, false}}, 3},
	    {"second part twice", {{0, 800, true}, {800, 80, true}, {800, 80, true}, {880, 8, false}}, 4},
	    {"first part twice", {{0, 800, true}, {0, 800, true}}, 2},
	    {"two ends", {{800, 80, false}, {1600, 80, false}}, 2},
	    {"behind the end", {{1600, 80, true}, {0, 160, true}, {160, 80, false}}, 3},
	    {"too many",
	        {{8, 8, true}, {16, 8, true}, {24, 8, true}, {32, 8, true}, {40, 8, true}, {48, 8, true},
	            {56, 8, true}},
	        7},
	    {"odd length", {{0, 801, true}}, 1},
	    {"empty", {{800, 0, true}}, 1},
	    {"empty end", {{800, 0, false}}, 1},
	    {"behind 64 KB", {{65528, 80, false}}, 1},
	    {"longer than a buffer", {{0, 3000, true}, {3000, 3000, false}}, 2},
	    {"no end", {{0, 800, true}, {800, 800, true}}, 0},
	};

	for (unsigned i = 0; i < 2 * RTE_DIM(rows); i++) {
		unsigned parts = 0;

		for (const struct piece *piece = rows[i / 2].pieces; piece->offset || piece->length;
		     piece++, parts++)
			cr_expect_null(
			    td_reassembly_take(reassembly,
			        part(i % 2, (uint16_t)i, piece->offset, piece->length, piece->more), 1),
			    "%s", rows[i / 2].why);
		struct td_reassembly_drops drops = td_reassembly_poll(reassembly, 2);
		cr_expect_eq(drops.invalid, rows[i / 2].invalid, "%s: %u", rows[i / 2].why, drops.invalid);
		cr_expect_eq(drops.timed_out + drops.evicted, 0, "%s", rows[i / 2].why);
		drops = td_reassembly_poll(reassembly, 3 * rte_get_tsc_hz());
		cr_expect_eq(drops.timed_out, parts - rows[i / 2].invalid, "%s", rows[i / 2].why);
		cr_expect_eq(rte_mempool_avail_count(pool), BUFFERS, "%s", rows[i / 2].why);
	}
}

Test(fragment, lost_part_times_out)
{
	uint64_t late = rte_get_tsc_hz() / 1000 * (TD_REASSEMBLY_TIMEOUT_MS + 1);

	cr_assert_null(td_reassembly_take(reassembly, part4(1, 0, 800, true), 1));
	cr_expect_eq(td_reassembly_poll(reassembly, late / 2).timed_out, 0);
	cr_expect_eq(td_reassembly_poll(reassembly, late + 1).timed_out, 1);
	cr_assert_null(
	    td_reassembly_take(reassembly, part4(1, 800, 80, false), late + 1), "the first part is gone");
}

// The library keeps what it holds until it times out: a flood once would have stopped all reassembly.
Test(fragment, flood_evicts_the_oldest)
{
	uint64_t step = rte_get_tsc_hz() / 1000000, now = step;
	struct td_reassembly_drops drops;
	unsigned dropped = 0;

	for (unsigned i = 0; i < 5000; i++, now += step) {
		cr_assert_null(td_reassembly_take(reassembly, part(i % 2, (uint16_t)i, 0, 800, true), now));
		if (i % 100)
			continue;
		cr_assert_null(td_reassembly_take(reassembly, part4(9999, 0, 800, true), now));
		whole_check(td_reassembly_take(reassembly, part4(9999, 800, 80, false), now), true, 880);
		drops = td_reassembly_poll(reassembly, now);
		dropped += drops.evicted;
		cr_expect_eq(drops.invalid + drops.timed_out, 0);
	}
	dropped += td_reassembly_poll(reassembly, now).evicted;
	cr_expect_geq(dropped, 5000 - ENTRIES);
	cr_expect_geq(rte_mempool_avail_count(pool), BUFFERS - ENTRIES);
}

// All within one loop: nothing is older than anything else, so what is there stays.
Test(fragment, flood_in_one_burst_is_bounded)
{
	for (unsigned i = 0; i < 500; i++)
		cr_assert_null(td_reassembly_take(reassembly, part4((uint16_t)i, 0, 800, true), 1));
	cr_expect_eq(td_reassembly_poll(reassembly, 1).evicted, 500 - ENTRIES);
	cr_expect_eq(rte_mempool_avail_count(pool), BUFFERS - ENTRIES);
}

static void tos_set(struct rte_mbuf *mbuf, uint8_t tos)
{
	uint8_t *header = rte_pktmbuf_mtod(mbuf, uint8_t *);

	if (header[0] >> 4 == 4)
		header[1] = tos;
	else
		((struct rte_ipv6_hdr *)header)->vtc_flow =
		    rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << RTE_IPV6_HDR_TC_SHIFT);
}

static int whole_tos(struct rte_mbuf *whole)
{
	const uint8_t *header = rte_pktmbuf_mtod(whole, const uint8_t *);

	if (header[0] >> 4 == 4)
		return header[1];
	return (uint8_t)(rte_be_to_cpu_32(((const struct rte_ipv6_hdr *)header)->vtc_flow) >>
	                 RTE_IPV6_HDR_TC_SHIFT);
}

// RFC 3168 5.3.
Test(fragment, ecn_marks_are_joined)
{
	static const struct {
		uint8_t tos[3];
		int whole; // -1: dropped
	} rows[] = {
	    {{0xb8, 0xb8, 0xb8}, 0xb8},
	    {{0xba, 0xba, 0xba}, 0xba},
	    {{0xba, 0xbb, 0xba}, 0xbb},
	    {{0xba, 0xba, 0xbb}, 0xbb},
	    {{0xb9, 0xbb, 0xb9}, 0xbb},
	    {{0xb8, 0xbb, 0xb8}, -1},
	    {{0xbb, 0xb8, 0xbb}, -1},
	};

	for (unsigned i = 0; i < 2 * RTE_DIM(rows); i++) {
		struct rte_mbuf *whole = NULL;

		for (unsigned j = 0; j < 3; j++) {
			struct rte_mbuf *mbuf = part(i % 2, (uint16_t)i, j * 80, 80, j < 2);

			tos_set(mbuf, rows[i / 2].tos[j]);
			whole = td_reassembly_take(reassembly, mbuf, 1);
		}
		cr_assert_eq(whole ? whole_tos(whole) : -1, rows[i / 2].whole, "row %u", i / 2);
		if (whole)
			whole_check(whole, i % 2, 240);
	}
}

// ---- fragmentation ----------------------------------------------------------------------------

static void pieces_check(struct rte_mbuf **pieces, int count, uint16_t mtu)
{
	for (int i = 0; i < count; i++) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(pieces[i], const struct rte_ipv4_hdr *);

		cr_expect_leq(pieces[i]->data_len, mtu);
		cr_expect_eq(rte_be_to_cpu_16(ip->total_length), pieces[i]->data_len);
		cr_expect_eq(rte_ipv4_cksum(ip), 0);
		cr_expect_eq(td_packet(pieces[i])->tunnel, 4711);
		cr_expect_eq(rte_pktmbuf_headroom(pieces[i]), RTE_PKTMBUF_HEADROOM);
	}
}

Test(fragment, cut_and_joined_again)
{
	static const uint16_t mtus[] = {576, 577, 583, 584, 1280, 1400, 1499, 1500, 4000};

	for (uint32_t length = 1; length < 3000; length += 61)
		for (unsigned i = 0; i < RTE_DIM(mtus); i++) {
			struct rte_mbuf *pieces[PIECES_MAX], *whole = NULL;
			struct rte_mbuf *packet = part4((uint16_t)length, 0, length, false);
			int count = td_fragment_ipv4(packet, pieces, PIECES_MAX, mtus[i], pool);
			int expected =
			    20 + length <= mtus[i] ? 1 : (int)((length - 1) / ((mtus[i] - 20u) / 8 * 8) + 1);

			// The last piece may be up to seven bytes longer than a multiple of eight allows.
			cr_assert(count == expected || count == expected - 1, "%u of %u: %d", length, mtus[i],
			    count);
			pieces_check(pieces, count, mtus[i]);
			for (int j = count - 1; j >= 0; j--)
				whole = td_reassembly_take(reassembly, pieces[j], 1);
			whole_check(whole, true, length);
			rte_pktmbuf_free(packet);
		}
}

// A whole IPv6 packet that begins with an ESP header.
static struct rte_mbuf *packet6(uint32_t length)
{
	struct rte_mbuf *mbuf = packet_make(sizeof(struct rte_ipv6_hdr), 0, length);

	*rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *) = (struct rte_ipv6_hdr){
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16((uint16_t)length),
	    .proto = IPPROTO_ESP,
	    .hop_limits = 64,
	    .src_addr = {1},
	    .dst_addr = {2},
	};
	return mbuf;
}

Test(fragment, ipv6_cut_and_joined_again)
{
	static const uint16_t mtus[] = {1280, 1281, 1287, 1288, 1400, 1500, 4000};

	for (uint32_t length = 1300; length < 3000; length += 61)
		for (unsigned i = 0; i < RTE_DIM(mtus); i++) {
			struct rte_mbuf *pieces[PIECES_MAX], *whole = NULL;
			struct rte_mbuf *packet = packet6(length);
			int count = td_fragment_ipv6(packet, pieces, PIECES_MAX, mtus[i], length, pool);

			cr_assert_gt(count, 0);
			for (int j = 0; j < count; j++) {
				cr_expect_leq(pieces[j]->data_len, mtus[i]);
				cr_expect_eq(td_packet(pieces[j])->tunnel, 4711);
				cr_expect_eq(rte_pktmbuf_headroom(pieces[j]), RTE_PKTMBUF_HEADROOM);
			}
			for (int j = count - 1; j >= 0; j--)
				whole = td_reassembly_take(reassembly, pieces[j], 1);
			whole_check(whole, false, length);
			rte_pktmbuf_free(packet);
		}
}

// RFC 8200 4.5: what routers on the way read stays in front of the fragment header.
Test(fragment, ipv6_fragment_header_goes_behind_what_routers_read)
{
	struct rte_mbuf *pieces[PIECES_MAX], *packet = packet6(2000);
	uint8_t *bytes = rte_pktmbuf_mtod(packet, uint8_t *);
	const uint8_t options[8] = {IPPROTO_ESP, 0, 1, 4};

	bytes[6] = IPPROTO_HOPOPTS;
	memcpy(bytes + 40, options, sizeof(options));
	cr_assert_eq(td_fragment_ipv6(packet, pieces, PIECES_MAX, 1280, 0x12345678, pool), 2);
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *piece = rte_pktmbuf_mtod(pieces[i], const uint8_t *);

		cr_expect_eq(piece[6], IPPROTO_HOPOPTS);
		cr_expect_eq(piece[40], IPPROTO_FRAGMENT);
		cr_expect_arr_eq(piece + 41, options + 1, 7);
		cr_expect_eq(piece[48], IPPROTO_ESP);
		cr_expect_arr_eq(piece + 52, "\x12\x34\x56\x78", 4);
		cr_expect_arr_eq(piece + 56, bytes + 48 + (i ? 1224 : 0), pieces[i]->data_len - 56);
	}
	cr_expect_eq(pieces[0]->data_len + pieces[1]->data_len, 2040 + 56 + 8);
	cr_expect_eq(td_fragment_ipv6(packet, pieces, 1, 1280, 1, pool), -E2BIG);
	cr_expect_eq(td_fragment_ipv6(packet, pieces, PIECES_MAX, 60, 1, pool), -EINVAL);
	bytes[40] = IPPROTO_FRAGMENT;
	cr_expect_eq(td_fragment_ipv6(packet, pieces, PIECES_MAX, 1280, 1, pool), -EINVAL);
	rte_pktmbuf_free(packet);
	rte_pktmbuf_free_bulk(pieces, 2);
}

Test(fragment, fragment_of_a_fragment)
{
	struct rte_mbuf *pieces[PIECES_MAX];
	struct rte_mbuf *middle = part4(1, 800, 1600, true);

	cr_assert_null(td_reassembly_take(reassembly, part4(1, 0, 800, true), 1));
	int count = td_fragment_ipv4(middle, pieces, PIECES_MAX, 620, pool);
	cr_assert_eq(count, 3);
	for (int i = 0; i < count; i++)
		cr_assert_null(td_reassembly_take(reassembly, pieces[i], 1));
	whole_check(td_reassembly_take(reassembly, part4(1, 2400, 10, false), 1), true, 2410);
	rte_pktmbuf_free(middle);
}

// The piece behind byte 65535 would be a first fragment, with ports that policy has not seen.
Test(fragment, fragment_that_reaches_beyond_the_largest_datagram)
{
	struct rte_mbuf *pieces[PIECES_MAX];
	struct rte_mbuf *last = part4(1, 64112, 1403, false), *beyond = part4(1, 64112, 1404, false);
	int count = td_fragment_ipv4(last, pieces, PIECES_MAX, 1444, pool);

	cr_assert_eq(count, 1);
	rte_pktmbuf_free_bulk(pieces, 1);
	cr_expect_eq(td_fragment_ipv4(beyond, pieces, PIECES_MAX, 1000, pool), -EINVAL);
	rte_pktmbuf_free(last);
	rte_pktmbuf_free(beyond);
}

// A packet of 1000 bytes of payload with options, which are a multiple of four bytes.
static struct rte_mbuf *packet_with_options(const uint8_t *options, uint8_t length)
{
	unsigned header = 20u + length;
	struct rte_mbuf *mbuf = packet_make(header, 0, 1000);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

	ip->version_ihl = (uint8_t)(4 << 4 | header / 4);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(header + 1000));
	memcpy(ip + 1, options, length);
	return mbuf;
}

Test(fragment, options_are_copied_as_rfc_791_says)
{
	static const struct {
		const char *why;
		uint8_t options[12], length;
		uint8_t later[12], later_length;
		int result; // 0: fragments
	} rows[] = {
	    {"record route stays", {7, 7, 4, 0, 0, 0, 0, 0}, 8, {0}, 0, 0},
	    {"router alert goes along", {148, 4, 0, 0}, 4, {148, 4, 0, 0}, 4, 0},
	    {"both", {7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0}, 12, {148, 4, 0, 0}, 4, 0},
	    {"odd length is filled", {1, 131, 7, 4, 1, 2, 3, 4}, 8, {131, 7, 4, 1, 2, 3, 4, 0}, 8, 0},
	    {"end of options", {0, 148, 4, 0}, 4, {0}, 0, 0},
	    {"too long", {1, 148, 4, 0}, 4, {0}, 0, -EINVAL},
	    {"cut off", {1, 1, 1, 148}, 4, {0}, 0, -EINVAL},
	    {"length of one", {148, 1, 0, 0}, 4, {0}, 0, -EINVAL},
	    {"length of zero", {148, 0, 0, 0}, 4, {0}, 0, -EINVAL},
	};

	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct rte_mbuf *pieces[PIECES_MAX];
		struct rte_mbuf *packet = packet_with_options(rows[i].options, rows[i].length);
		int count = td_fragment_ipv4(packet, pieces, PIECES_MAX, 576, pool);

		rte_pktmbuf_free(packet);
		cr_assert_eq(count, rows[i].result ? rows[i].result : 2, "%s: %d", rows[i].why, count);
		if (count < 0)
			continue;
		pieces_check(pieces, count, 576);
		const struct rte_ipv4_hdr *first = rte_pktmbuf_mtod(pieces[0], const struct rte_ipv4_hdr *);
		const struct rte_ipv4_hdr *later = rte_pktmbuf_mtod(pieces[1], const struct rte_ipv4_hdr *);
		cr_expect_eq(rte_ipv4_hdr_len(first), 20 + rows[i].length, "%s", rows[i].why);
		cr_expect_eq(rte_ipv4_hdr_len(later), 20 + rows[i].later_length, "%s", rows[i].why);
		cr_expect_arr_eq(first + 1, rows[i].options, rows[i].length, "%s", rows[i].why);
		cr_expect_arr_eq(later + 1, rows[i].later, rows[i].later_length, "%s", rows[i].why);
		rte_pktmbuf_free_bulk(pieces, (unsigned)count);
	}
}

Test(fragment, what_cannot_be_cut)
{
	struct rte_mbuf *pieces[PIECES_MAX], *all[BUFFERS];
	struct rte_mbuf *packet = part4(1, 0, 3000, false);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(packet, struct rte_ipv4_hdr *);

	cr_expect_eq(td_fragment_ipv4(packet, pieces, 4, 576, pool), -E2BIG);
	cr_expect_eq(td_fragment_ipv4(packet, pieces, 4, 27, pool), -EINVAL);
	ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	cr_expect_eq(td_fragment_ipv4(packet, pieces, PIECES_MAX, 576, pool), -EMSGSIZE);
	ip->fragment_offset = 0;
	ip->version_ihl = 0x44;
	cr_expect_eq(td_fragment_ipv4(packet, pieces, PIECES_MAX, 576, pool), -EINVAL);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, all, BUFFERS - 3), 0);
	cr_expect_eq(td_fragment_ipv4(packet, pieces, PIECES_MAX, 576, pool), -ENOBUFS);
	rte_pktmbuf_free_bulk(all, BUFFERS - 3);
	rte_pktmbuf_free(packet);
}

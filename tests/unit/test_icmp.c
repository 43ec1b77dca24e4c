// SPDX-License-Identifier: BSD-3-Clause
// ICMP errors: what they say, how much they quote, and when there must be none.

#include "common/ip.h"
#include "dataplane/icmp.h"
#include "dataplane/packet.h"
#include "tests/unit/eal.h"

#include <netinet/in.h>
#include <rte_ip.h>

#define ICMP_HEADER_BYTES 8

static struct rte_mempool *pool;

static void start(void)
{
	test_eal_start();
	pool = rte_pktmbuf_pool_create("icmp", 63, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8), 4096, 0);
	cr_assert_not_null(pool);
}

static void finish(void)
{
	cr_expect_eq(rte_mempool_avail_count(pool), 63, "a buffer leaked");
}

TestSuite(icmp, .init = start, .fini = finish);

static void address_set(void *bytes, const char *text)
{
	struct td_ip ip;

	cr_assert_eq(td_ip_parse(text, &ip), 0);
	memcpy(bytes, ip.bytes, td_ip_length(ip.family));
}

// A packet of length bytes; what lies behind its header counts up.
static struct rte_mbuf *packet_make(uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(mbuf, length);

	for (unsigned i = 0; i < length; i++)
		bytes[i] = (uint8_t)i;
	return mbuf;
}

static struct rte_mbuf *packet4(
    uint16_t length, uint8_t protocol, const char *source, const char *destination)
{
	struct rte_mbuf *mbuf = packet_make(length);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length = rte_cpu_to_be_16(length),
	    .time_to_live = 1,
	    .next_proto_id = protocol,
	};
	address_set(&ip->src_addr, source);
	address_set(&ip->dst_addr, destination);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return mbuf;
}

static struct rte_mbuf *packet6(
    uint16_t length, uint8_t protocol, const char *source, const char *destination)
{
	struct rte_mbuf *mbuf = packet_make(length);
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

	*ip = (struct rte_ipv6_hdr){
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16((uint16_t)(length - sizeof(*ip))),
	    .proto = protocol,
	    .hop_limits = 1,
	};
	address_set(ip->src_addr, source);
	address_set(ip->dst_addr, destination);
	return mbuf;
}

static const struct {
	enum td_icmp_error error;
	uint8_t type4, code4, type6, code6;
	uint16_t mtu;
} meanings[] = {
    {TD_ICMP_TOO_BIG, 3, 4, 2, 0, 1400},
    {TD_ICMP_TIME_EXCEEDED, 11, 0, 3, 0, 0},
    {TD_ICMP_NET_UNREACHABLE, 3, 0, 1, 0, 0},
    {TD_ICMP_HOST_UNREACHABLE, 3, 1, 1, 3, 0},
    {TD_ICMP_PROHIBITED, 3, 13, 1, 1, 0},
};
static const uint16_t lengths[] = {40, 41, 548, 549, 1232, 1233, 1500};

static void check4(const struct rte_mbuf *about, const struct rte_mbuf *error, unsigned row)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(error, const struct rte_ipv4_hdr *);
	const uint8_t *icmp = (const uint8_t *)(ip + 1);
	unsigned quoted = RTE_MIN(about->data_len, 548u);

	cr_expect_eq(error->data_len, 20 + ICMP_HEADER_BYTES + quoted);
	cr_expect_eq(rte_be_to_cpu_16(ip->total_length), error->data_len);
	cr_expect_eq(rte_ipv4_cksum(ip), 0);
	cr_expect_eq(rte_raw_cksum(icmp, ICMP_HEADER_BYTES + quoted), 0xffff);
	cr_expect_eq(ip->next_proto_id, IPPROTO_ICMP);
	cr_expect_eq(rte_be_to_cpu_32(ip->src_addr), 0xc0000201);
	cr_expect_eq(rte_be_to_cpu_32(ip->dst_addr), 0x0a000007);
	cr_expect_eq(icmp[0], meanings[row].type4);
	cr_expect_eq(icmp[1], meanings[row].code4);
	cr_expect_eq(icmp[4] << 8 | icmp[5], 0);
	cr_expect_eq(icmp[6] << 8 | icmp[7], meanings[row].mtu);
	cr_expect_arr_eq(icmp + ICMP_HEADER_BYTES, rte_pktmbuf_mtod(about, const void *), quoted);
}

Test(icmp, ipv4_says_what_and_quotes)
{
	for (unsigned row = 0; row < RTE_DIM(meanings); row++)
		for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
			struct rte_mbuf *about = packet4(lengths[i], IPPROTO_UDP, "10.0.0.7", "10.9.0.1");
			struct rte_mbuf *error = td_icmp_error_ipv4(
			    pool, about, rte_cpu_to_be_32(0xc0000201), meanings[row].error, 1400);

			cr_assert_not_null(error);
			check4(about, error, row);
			rte_pktmbuf_free(error);
			rte_pktmbuf_free(about);
		}
}

static void check6(const struct rte_mbuf *about, const struct rte_mbuf *error, unsigned row)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(error, const struct rte_ipv6_hdr *);
	const uint8_t *icmp = (const uint8_t *)(ip + 1);
	unsigned quoted = RTE_MIN(about->data_len, 1232u);

	cr_expect_eq(error->data_len, 40 + ICMP_HEADER_BYTES + quoted);
	cr_expect_eq(rte_be_to_cpu_16(ip->payload_len), ICMP_HEADER_BYTES + quoted);
	cr_expect_eq(rte_ipv6_udptcp_cksum_verify(ip, icmp), 0);
	cr_expect_eq(ip->proto, IPPROTO_ICMPV6);
	cr_expect_arr_eq(ip->dst_addr, rte_pktmbuf_mtod(about, const struct rte_ipv6_hdr *)->src_addr, 16);
	cr_expect_eq(icmp[0], meanings[row].type6);
	cr_expect_eq(icmp[1], meanings[row].code6);
	cr_expect_eq(icmp[4] << 8 | icmp[5], 0);
	cr_expect_eq(icmp[6] << 8 | icmp[7], meanings[row].mtu);
	cr_expect_arr_eq(icmp + ICMP_HEADER_BYTES, rte_pktmbuf_mtod(about, const void *), quoted);
}

Test(icmp, ipv6_says_what_and_quotes)
{
	uint8_t source[16];

	address_set(source, "2001:db8::1");
	for (unsigned row = 0; row < RTE_DIM(meanings); row++)
		for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
			struct rte_mbuf *about =
			    packet6(lengths[i], IPPROTO_UDP, "2001:db8:7::7", "2001:db8:9::9");
			struct rte_mbuf *error =
			    td_icmp_error_ipv6(pool, about, source, meanings[row].error, 1400);

			cr_assert_not_null(error);
			check6(about, error, row);
			cr_expect_arr_eq(
			    rte_pktmbuf_mtod(error, struct rte_ipv6_hdr *)->src_addr, source, 16);
			rte_pktmbuf_free(error);
			rte_pktmbuf_free(about);
		}
}

Test(icmp, ipv4_stays_silent)
{
	static const struct {
		const char *why, *source, *destination;
		uint8_t protocol;
		uint16_t fragment;
		uint8_t first_byte;
		bool answered;
	} rows[] = {
	    {"plain", "10.0.0.7", "10.9.0.1", IPPROTO_UDP, 0, 0, true},
	    {"echo request", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 8, true},
	    {"first fragment", "10.0.0.7", "10.9.0.1", IPPROTO_UDP, RTE_IPV4_HDR_MF_FLAG, 0, true},
	    {"DF", "10.0.0.7", "10.9.0.1", IPPROTO_UDP, RTE_IPV4_HDR_DF_FLAG, 0, true},
	    {"later fragment", "10.0.0.7", "10.9.0.1", IPPROTO_UDP, RTE_IPV4_HDR_MF_FLAG | 1, 0, false},
	    {"last fragment", "10.0.0.7", "10.9.0.1", IPPROTO_UDP, 185, 0, false},
	    {"unreachable", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 3, false},
	    {"source quench", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 4, false},
	    {"redirect", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 5, false},
	    {"time exceeded", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 11, false},
	    {"parameter problem", "10.0.0.7", "10.9.0.1", IPPROTO_ICMP, 0, 12, false},
	    {"to multicast", "10.0.0.7", "224.0.0.5", IPPROTO_UDP, 0, 0, false},
	    {"to broadcast", "10.0.0.7", "255.255.255.255", IPPROTO_UDP, 0, 0, false},
	    {"from nobody", "0.0.0.0", "10.9.0.1", IPPROTO_UDP, 0, 0, false},
	    {"from loopback", "127.0.0.1", "10.9.0.1", IPPROTO_UDP, 0, 0, false},
	    {"from multicast", "224.0.0.5", "10.9.0.1", IPPROTO_UDP, 0, 0, false},
	    {"from broadcast", "255.255.255.255", "10.9.0.1", IPPROTO_UDP, 0, 0, false},
	};

	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct rte_mbuf *about = packet4(100, rows[i].protocol, rows[i].source, rows[i].destination);
		rte_pktmbuf_mtod(about, struct rte_ipv4_hdr *)->fragment_offset =
		    rte_cpu_to_be_16(rows[i].fragment);
		*rte_pktmbuf_mtod_offset(about, uint8_t *, 20) = rows[i].first_byte;
		struct rte_mbuf *error = td_icmp_error_ipv4(pool, about, 1, TD_ICMP_TIME_EXCEEDED, 0);
		cr_expect_eq(error != NULL, rows[i].answered, "%s", rows[i].why);
		rte_pktmbuf_free(error);
		rte_pktmbuf_free(about);
	}
}

Test(icmp, ipv6_stays_silent)
{
	// extension: header put in front of the payload, 0: none; first: its first bytes.
	static const struct {
		const char *why, *source, *destination;
		uint8_t protocol, extension;
		uint16_t fragment;
		uint8_t first_byte;
		bool too_big, others;
	} rows[] = {
	    {"plain", "2001:db8::7", "2001:db8::9", IPPROTO_UDP, 0, 0, 0, true, true},
	    {"echo request", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, 0, 0, 128, true, true},
	    {"unreachable", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, 0, 0, 1, false, false},
	    {"unknown error", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, 0, 0, 127, false, false},
	    {"redirect", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, 0, 0, 137, false, false},
	    {"error behind options", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, IPPROTO_HOPOPTS, 0, 1,
	        false, false},
	    {"echo behind options", "2001:db8::7", "2001:db8::9", IPPROTO_ICMPV6, IPPROTO_HOPOPTS, 0, 128,
	        true, true},
	    {"first fragment", "2001:db8::7", "2001:db8::9", IPPROTO_UDP, IPPROTO_FRAGMENT, 1, 0, true, true},
	    {"later fragment", "2001:db8::7", "2001:db8::9", IPPROTO_UDP, IPPROTO_FRAGMENT, 9, 0, false,
	        false},
	    {"to multicast", "2001:db8::7", "ff0e::1", IPPROTO_UDP, 0, 0, 0, true, false},
	    {"from nobody", "::", "2001:db8::9", IPPROTO_UDP, 0, 0, 0, false, false},
	    {"from loopback", "::1", "2001:db8::9", IPPROTO_UDP, 0, 0, 0, false, false},
	    {"from multicast", "ff02::1", "2001:db8::9", IPPROTO_UDP, 0, 0, 0, false, false},
	};
	static const uint8_t source[16] = {0x20, 1};

	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		uint8_t protocol = rows[i].extension ? rows[i].extension : rows[i].protocol;
		struct rte_mbuf *about = packet6(100, protocol, rows[i].source, rows[i].destination);
		uint8_t *payload = rte_pktmbuf_mtod_offset(about, uint8_t *, 40);
		if (rows[i].extension) {
			const uint8_t header[8] = {
			    rows[i].protocol, 0, (uint8_t)(rows[i].fragment >> 8), (uint8_t)rows[i].fragment};
			memcpy(payload, header, sizeof(header));
			payload += sizeof(header);
		}
		payload[0] = rows[i].first_byte;
		for (enum td_icmp_error kind = TD_ICMP_TOO_BIG; kind <= TD_ICMP_PROHIBITED; kind++) {
			struct rte_mbuf *error = td_icmp_error_ipv6(pool, about, source, kind, 1280);
			bool expected = kind == TD_ICMP_TOO_BIG ? rows[i].too_big : rows[i].others;

			cr_expect_eq(error != NULL, expected, "%s, %d", rows[i].why, kind);
			rte_pktmbuf_free(error);
		}
		rte_pktmbuf_free(about);
	}
}

Test(icmp, truncated_icmp_and_lack_of_buffers)
{
	struct rte_mbuf *short4 = packet4(20, IPPROTO_ICMP, "10.0.0.7", "10.9.0.1");
	struct rte_mbuf *short6 = packet6(40, IPPROTO_ICMPV6, "2001:db8::7", "2001:db8::9");
	struct rte_mbuf *plain = packet4(100, IPPROTO_UDP, "10.0.0.7", "10.9.0.1");
	struct rte_mbuf *all[60];
	static const uint8_t source[16] = {0x20, 1};

	cr_expect_null(td_icmp_error_ipv4(pool, short4, 1, TD_ICMP_TIME_EXCEEDED, 0));
	cr_expect_null(td_icmp_error_ipv6(pool, short6, source, TD_ICMP_TIME_EXCEEDED, 0));
	cr_assert_eq(rte_pktmbuf_alloc_bulk(pool, all, 60), 0);
	cr_expect_null(td_icmp_error_ipv4(pool, plain, 1, TD_ICMP_TIME_EXCEEDED, 0));
	rte_pktmbuf_free_bulk(all, 60);
	rte_pktmbuf_free(short4);
	rte_pktmbuf_free(short6);
	rte_pktmbuf_free(plain);
}

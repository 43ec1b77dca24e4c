// SPDX-License-Identifier: BSD-3-Clause
// Path MTU hints that anybody may forge: only what quotes an outbound SA and its peer reaches the control
// thread, and however many others come.

#include "dataplane/ip_packet.h"
#include "dataplane/out_table.h"
#include "tests/unit/one_worker.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

static struct td_dp_tunnel *tunnels[2];

static void start(void)
{
	worker_start(1500, 63, 2048 + RTE_PKTMBUF_HEADROOM);
	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	for (uint32_t i = 0; i < 2; i++)
		tunnels[i] = td_dp_tunnel_create(i);
}

TestSuite(pmtu, .init = start);

static struct td_sa_out *sa_new(unsigned tunnel, uint32_t spi, const char *peer)
{
	static struct td_secret key = {.length = 20};
	struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .spi = spi,
	    .tunnel = tunnels[tunnel],
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gcm16"),
	    .key = &key,
	    .local = prefix(strchr(peer, ':') ? "2001:db8::1" : "192.0.2.1").ip,
	    .remote = prefix(peer).ip,
	    .udp_local_port = 4500,
	    .udp_remote_port = 4500,
	};
	struct td_error error = {0};
	struct td_sa_out *sa = td_dp_sa_out_create(&params, &error);

	cr_assert_not_null(sa, "%s", error.reason);
	return sa;
}

// What a router says about an ESP packet of an SPI to a peer. fragment: its fragment field, where the IPv6
// packet was cut; else negative.
static void hint_about(uint32_t spi, const char *peer, uint16_t mtu, int fragment)
{
	struct td_ip destination = prefix(peer).ip;
	bool ipv4 = destination.family == 4;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	uint32_t header = ipv4 ? 20 : 40;
	uint8_t *packet = (uint8_t *)rte_pktmbuf_append(mbuf, 2 * (uint16_t)header + 8 + 8 + 8);

	cr_assert_not_null(packet);
	memset(packet, 0, mbuf->data_len);
	uint8_t *icmp = packet + header, *quote = icmp + 8;
	icmp[6] = (uint8_t)(mtu >> 8);
	icmp[7] = (uint8_t)mtu;
	if (ipv4) {
		ipv4_fill((struct rte_ipv4_hdr *)packet, 0xc6336401, 0xc0000201, mbuf->data_len);
		ipv4_fill((struct rte_ipv4_hdr *)quote, 0xc0000201, td_ip_v4(&destination), 1400);
		((struct rte_ipv4_hdr *)packet)->next_proto_id = IPPROTO_ICMP;
		((struct rte_ipv4_hdr *)quote)->next_proto_id = IPPROTO_ESP;
		icmp[0] = ICMP_DEST_UNREACH;
		icmp[1] = ICMP_FRAG_NEEDED;
	} else {
		packet[0] = quote[0] = 6 << 4;
		((struct rte_ipv6_hdr *)packet)->proto = IPPROTO_ICMPV6;
		((struct rte_ipv6_hdr *)quote)->proto = IPPROTO_ESP;
		memcpy(((struct rte_ipv6_hdr *)quote)->dst_addr, destination.bytes, 16);
		icmp[0] = ICMP6_PACKET_TOO_BIG;
	}
	if (fragment >= 0) {
		((struct rte_ipv6_hdr *)quote)->proto = IPPROTO_FRAGMENT;
		quote[header] = IPPROTO_ESP;
		quote[header + 2] = (uint8_t)(fragment >> 8);
		quote[header + 3] = (uint8_t)fragment;
		header += 8;
	}
	spi = rte_cpu_to_be_32(spi);
	memcpy(quote + header, &spi, sizeof(spi));
	td_pmtu_hint(worker, mbuf);
	rte_pktmbuf_free(mbuf);
}

static void hint(uint32_t spi, const char *peer, uint16_t mtu)
{
	hint_about(spi, peer, mtu, -1);
}

// Whether just one event came, and names the tunnel.
static bool told(uint32_t tunnel, uint32_t mtu)
{
	struct td_event event = {.kind = TD_EVENT_ACQUIRE}, more;

	return td_dp_events_receive(&event, 1) == 1 && td_dp_events_receive(&more, 1) == 0 &&
	       event.kind == TD_EVENT_PMTU && event.tunnel == tunnel && event.count == mtu;
}

static bool silent(void)
{
	struct td_event event;

	return td_dp_events_receive(&event, 1) == 0;
}

Test(pmtu, forged_hints_do_not_keep_genuine_ones_out)
{
	(void)sa_new(0, 0x1001, "192.0.2.2");
	(void)sa_new(1, 0x1001, "192.0.2.3");
	for (uint32_t i = 0; i < 5000; i++)
		hint(0x5000 + i, "192.0.2.2", 600);
	hint(0x1001, "192.0.2.4", 600);
	cr_expect(silent());
	cr_expect_eq(worker->counters.hints_unknown, 5001);
	hint(0x1001, "192.0.2.2", 1400);
	cr_expect(told(0, 1400));
	hint(0x1001, "192.0.2.3", 1300);
	cr_expect(told(1, 1300), "the same SPI, another peer");
}

Test(pmtu, what_is_known_is_not_told_again)
{
	(void)sa_new(0, 0x1001, "2001:db8::2");
	td_dp_tunnel_pmtu(tunnels[0], 1400);
	hint(0x1001, "2001:db8::2", 1400);
	cr_expect(silent());
	hint(0x1001, "2001:db8::2", 1399);
	cr_expect(told(0, 1399));
	td_dp_tunnel_pmtu(tunnels[0], TD_IPV6_MTU_MIN);
	hint(0x1001, "2001:db8::2", 68);
	cr_expect(silent(), "no path carries less");
}

// RFC 2473 7.1: what IPv6 packets of up to 1280 bytes become is cut by this gateway.
Test(pmtu, hints_about_own_fragments)
{
	(void)sa_new(0, 0x1001, "2001:db8::2");
	hint_about(0x1001, "2001:db8::2", 1300, 1);
	cr_expect(told(0, 1300), "the first, which shows the SPI");
	hint_about(0x1001, "2001:db8::2", 1290, 1288);
	cr_expect(silent(), "a later one");
}

Test(pmtu, sas_come_move_and_go)
{
	enum { COUNT = 3000 };
	static struct td_sa_out *sas[COUNT];
	struct td_ip moved = prefix("192.0.2.9").ip, peer = prefix("192.0.2.2").ip;

	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < COUNT; i++)
			sas[i] = sa_new(0, 0x1000 + i, "192.0.2.2");
		for (uint32_t i = 0; i < COUNT; i++)
			cr_assert_eq(td_out_table_find(0x1000 + i, &peer), sas[i]);
		for (uint32_t i = 0; i < COUNT; i += 2)
			cr_assert_eq(td_dp_sa_out_move(sas[i], &moved, 4500), 0);
		for (uint32_t i = 0; i < COUNT; i++) {
			cr_assert_eq(td_out_table_find(0x1000 + i, i % 2 ? &peer : &moved), sas[i]);
			cr_assert_null(td_out_table_find(0x1000 + i, i % 2 ? &moved : &peer));
			td_dp_sa_out_remove(sas[i]);
			cr_assert_null(td_out_table_find(0x1000 + i, i % 2 ? &peer : &moved));
		}
		td_dp_reclaim();
	}
}

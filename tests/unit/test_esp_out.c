// SPDX-License-Identifier: BSD-3-Clause
// What outbound SAs take, and where they end.

#include "dataplane/ip_packet.h"
#include "tests/unit/one_worker.h"

#define BUFFERS 255

static void start(void)
{
	worker_start(1500, BUFFERS, 2048 + RTE_PKTMBUF_HEADROOM);
	link_new(OUTSIDE, "2001:db8::/64", "2001:db8::2");
}

TestSuite(esp_out, .init = start);

static struct td_sa_out *sa_new(
    uint32_t tunnel, enum td_sa_mode mode, bool esn, const char *local, const char *remote)
{
	static struct td_secret key = {.length = 20};
	struct td_sa_params params = {
	    .mode = mode,
	    .spi = 0x1000 + tunnel,
	    .tunnel = td_dp_tunnel_create(tunnel),
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gcm16"),
	    .key = &key,
	    .esn = esn,
	    .local = prefix(local).ip,
	    .remote = prefix(remote).ip,
	};
	struct td_error error = {0};

	key.bytes[0]++;
	struct td_sa_out *sa = td_dp_sa_out_create(&params, &error);
	cr_assert_not_null(sa, "%s", error.reason);
	td_dp_tunnel_switch(params.tunnel, 0, sa);
	return sa;
}

// A packet of 100 bytes; flags is the IPv4 header's fragment field, or for IPv6 that of a fragment header.
static struct rte_mbuf *packet_new(
    uint32_t tunnel, const char *source, const char *destination, uint16_t flags)
{
	struct td_ip from = prefix(source).ip, to = prefix(destination).ip;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	uint8_t *start = (uint8_t *)rte_pktmbuf_append(mbuf, 100);

	cr_assert_not_null(start);
	memset(start, 0, 100);
	if (from.family == 4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)start;

		ipv4_fill(ip, td_ip_v4(&from), td_ip_v4(&to), 100);
		ip->fragment_offset = rte_cpu_to_be_16(flags);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)start;

		*ip = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(6u << 28),
		    .payload_len = rte_cpu_to_be_16(60),
		    .proto = flags ? IPPROTO_FRAGMENT : IPPROTO_UDP};
		memcpy(ip->src_addr, from.bytes, 16);
		memcpy(ip->dst_addr, to.bytes, 16);
		start[40] = IPPROTO_UDP;
		start[42] = (uint8_t)(flags >> 8);
		start[43] = (uint8_t)flags;
	}
	*td_packet(mbuf) = (struct td_packet){.tunnel = tunnel, .kernel = true};
	return mbuf;
}

// Offers a packet. True when a sealed one left.
static bool seals(struct rte_mbuf *mbuf)
{
	struct td_tx_buffer *buffer = &worker->tx[OUTSIDE];

	td_esp_out(worker, &mbuf, 1);
	if (buffer->count == 0)
		return false;
	cr_assert_eq(buffer->count, 1);
	rte_pktmbuf_free(buffer->mbufs[--buffer->count]);
	return true;
}

// Fragments are auditable (RFC 4303 3.3.4), and so are packets that belong to nobody at either end.
Test(esp_out, transport_mode_takes_whole_packets_of_its_ends)
{
	static const struct {
		const char *name, *source, *destination;
		uint16_t flags;
		uint32_t tunnel; // 0: of IPv4 ends, 1: of IPv6 ends
		bool taken, forwarded;
	} rows[] = {
	    {"between the ends", "192.0.2.1", "192.0.2.2", 0, 0, true},
	    {"with DF", "192.0.2.1", "192.0.2.2", RTE_IPV4_HDR_DF_FLAG, 0, true},
	    {"another source", "10.1.0.1", "192.0.2.2", 0, 0, false},
	    {"another destination", "192.0.2.1", "192.0.2.3", 0, 0, false},
	    {"with an address of the gateway that it did not send", "192.0.2.1", "192.0.2.2", 0, 0, false,
	        true},
	    {"the other way", "192.0.2.2", "192.0.2.1", 0, 0, false},
	    {"IPv6 on an IPv4 SA", "2001:db8::1", "2001:db8::2", 0, 0, false},
	    {"first fragment", "192.0.2.1", "192.0.2.2", RTE_IPV4_HDR_MF_FLAG, 0, false},
	    {"last fragment", "192.0.2.1", "192.0.2.2", 10, 0, false},
	    {"IPv6 between the ends", "2001:db8::1", "2001:db8::2", 0, 1, true},
	    {"IPv6, another source", "2001:db8::3", "2001:db8::2", 0, 1, false},
	    {"IPv6, another destination", "2001:db8::1", "2001:db8::3", 0, 1, false},
	    {"IPv4 on an IPv6 SA", "192.0.2.1", "192.0.2.2", 0, 1, false},
	    {"IPv6, first fragment", "2001:db8::1", "2001:db8::2", 1, 1, false},
	    {"IPv6, last fragment", "2001:db8::1", "2001:db8::2", 80, 1, false},
	};
	struct td_sa_out *sas[] = {sa_new(0, TD_SA_TRANSPORT, false, "192.0.2.1", "192.0.2.2"),
	    sa_new(1, TD_SA_TRANSPORT, false, "2001:db8::1", "2001:db8::2")};
	uint64_t refused[2] = {0};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		uint64_t dropped = worker->counters.drops[TD_DROP_ESP_TRANSPORT];
		uint64_t sequence = sas[rows[i].tunnel]->sequence;

		struct rte_mbuf *mbuf =
		    packet_new(rows[i].tunnel, rows[i].source, rows[i].destination, rows[i].flags);

		td_packet(mbuf)->kernel = !rows[i].forwarded;
		cr_expect_eq(seals(mbuf), rows[i].taken, "%s", rows[i].name);
		cr_expect_eq(worker->counters.drops[TD_DROP_ESP_TRANSPORT] - dropped, !rows[i].taken, "%s",
		    rows[i].name);
		cr_expect_eq(sas[rows[i].tunnel]->sequence - sequence, rows[i].taken, "%s", rows[i].name);
		refused[rows[i].tunnel] += !rows[i].taken;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct td_sa_stats stats;

		td_dp_sa_out_stats(sas[i], &stats);
		cr_expect_eq(stats.dropped, refused[i]);
	}
	cr_expect_str_eq(td_dp_drop_info(TD_DROP_ESP_TRANSPORT)->severity, "audit");
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), BUFFERS, "no buffer is lost");
}

static bool told(enum td_event_kind kind)
{
	struct td_event event = {.kind = TD_EVENT_RESOLVE}, more;

	return td_dp_events_receive(&event, 1) == 1 && td_dp_events_receive(&more, 1) == 0 &&
	       event.kind == kind && event.limit == TD_LIMIT_SEQUENCE && event.outbound;
}

static bool silent(void)
{
	struct td_event event;

	return td_dp_events_receive(&event, 1) == 0;
}

// RFC 4303 3.3.3: the last number of the sequence space is used, none comes round. In tunnel mode packets
// take the quick way, in transport mode the other one.
Test(esp_out, sequence_space_ends)
{
	static const struct {
		enum td_sa_mode mode;
		bool esn;
	} rows[] = {{TD_SA_TUNNEL, false}, {TD_SA_TUNNEL, true}, {TD_SA_TRANSPORT, false}};

	for (uint32_t i = 0; i < RTE_DIM(rows); i++) {
		struct td_sa_out *sa = sa_new(i, rows[i].mode, rows[i].esn, "192.0.2.1", "192.0.2.2");
		uint64_t last = rows[i].esn ? UINT64_MAX - 1 : UINT32_MAX;
		uint64_t soft = rows[i].esn ? last : last - TD_SEQ_SOFT_LEFT;
		uint64_t dropped = worker->counters.drops[TD_DROP_ESP_SEQUENCE];

		if (!rows[i].esn) {
			sa->sequence = soft - 2;
			cr_expect(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)) && silent());
			cr_expect(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)));
			cr_expect(told(TD_EVENT_SOFT_LIMIT), "%u: a successor is asked for", i);
			cr_expect(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)) && silent(), "once");
		}
		sa->sequence = last - 2;
		cr_expect(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)));
		cr_expect(silent());
		cr_expect(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)), "%u: the last number", i);
		cr_expect_eq(sa->sequence, last);
		cr_expect(told(TD_EVENT_HARD_LIMIT));
		for (unsigned more = 0; more < 3; more++)
			cr_expect_not(seals(packet_new(i, "192.0.2.1", "192.0.2.2", 0)));
		cr_expect_eq(sa->sequence, last, "%u", i);
		cr_expect_eq(worker->counters.drops[TD_DROP_ESP_SEQUENCE] - dropped, 3);
		cr_expect(silent());
	}
}

// How many packets of how many ESP packets left towards the peer; each fits.
static void count_sent(unsigned *packets, unsigned *sealed)
{
	struct td_tx_buffer *buffer = &worker->tx[OUTSIDE];

	*packets = *sealed = 0;
	while (buffer->count) {
		struct rte_mbuf *mbuf = buffer->mbufs[--buffer->count];
		const struct rte_ipv4_hdr *ip =
		    rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
		const struct rte_ipv6_hdr *ip6 = (const struct rte_ipv6_hdr *)ip;
		const struct rte_ipv6_fragment_ext *fragment =
		    (const struct rte_ipv6_fragment_ext *)(ip6 + 1);
		bool first = ip->version_ihl >> 4 == 4
		                 ? !(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK))
		                 : ip6->proto != IPPROTO_FRAGMENT ||
		                       !(fragment->frag_data & rte_cpu_to_be_16(RTE_IPV6_EHDR_FO_MASK));

		cr_expect_leq(mbuf->data_len, 1500 + RTE_ETHER_HDR_LEN);
		(*packets)++;
		*sealed += first;
		rte_pktmbuf_free(mbuf);
	}
}

// RFC 4301 7: the peer would drop fragments of the packet that do not show the ports its policy looks for.
Test(esp_out, packets_whose_ports_count_are_cut_behind_sealing)
{
	static const struct {
		const char *name, *local, *remote;
		uint16_t port; // that policy asks for; 0: none
		unsigned sealed;
	} rows[] = {
	    {"any port", "192.0.2.1", "192.0.2.2", 0, 2},
	    {"one port", "192.0.2.1", "192.0.2.2", 9, 1},
	    {"any port, IPv6 outside", "2001:db8::1", "2001:db8::2", 0, 2},
	    {"one port, IPv6 outside", "2001:db8::1", "2001:db8::2", 9, 1},
	};

	for (uint32_t i = 0; i < RTE_DIM(rows); i++) {
		struct td_sa_out *sa = sa_new(i, TD_SA_TUNNEL, false, rows[i].local, rows[i].remote);
		struct td_dp_policy policy = {.directions = TD_POLICY_OUT,
		    .action = TD_POLICY_PROTECT,
		    .protocol = IPPROTO_UDP,
		    .local_port_high = UINT16_MAX,
		    .remote_port_low = rows[i].port,
		    .remote_port_high = rows[i].port ? rows[i].port : UINT16_MAX,
		    .tunnel = td_tunnel_at(i)};
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
		uint8_t *start = (uint8_t *)rte_pktmbuf_append(mbuf, 1490);
		unsigned packets, sealed;

		cr_assert_eq(td_dp_policy_set(&policy, 1, NULL), 0);
		memset(start, 0, 1490);
		ipv4_fill((struct rte_ipv4_hdr *)start, 0x0a010001, 0x0a020001, 1490);
		((struct rte_ipv4_hdr *)start)->fragment_offset = 0;
		start[23] = 9;
		*td_packet(mbuf) = (struct td_packet){.tunnel = 0};
		td_outbound(worker, &mbuf, 1);
		count_sent(&packets, &sealed);
		cr_expect_eq(packets, 2, "%s: %u", rows[i].name, packets);
		cr_expect_eq(sealed, rows[i].sealed, "%s: %u", rows[i].name, sealed);
		cr_expect_eq(sa->sequence, rows[i].sealed, "%s", rows[i].name);
	}
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), BUFFERS, "no buffer is lost");
}

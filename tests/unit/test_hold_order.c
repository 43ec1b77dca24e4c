// SPDX-License-Identifier: BSD-3-Clause
// Packets that wait for a neighbour leave before what comes behind them, whenever the neighbour becomes
// known.

#include "dataplane/forward.h"
#include "tests/unit/one_worker.h"

#define BUFFERS 63
#define HOST "10.2.0.9" // on the inside link, not known

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

static void start(void)
{
	worker_start(1500, BUFFERS, 2048 + RTE_PKTMBUF_HEADROOM);
	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
}

TestSuite(hold_order, .init = start);

static struct rte_mbuf *packet_new(uint16_t number, uint16_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_append(mbuf, length);

	cr_assert_not_null(ip);
	memset(ip, 0, length);
	ipv4_fill(ip, 0x0a010001, 0x0a020009, length);
	ip->packet_id = rte_cpu_to_be_16(number);
	*td_packet(mbuf) = (struct td_packet){.tunnel = 0};
	return mbuf;
}

static void forward(uint16_t number)
{
	struct rte_mbuf *mbuf = packet_new(number, 64);

	td_forward(worker, &mbuf, 1, false);
}

static void neighbour_set(void)
{
	struct td_ip ip = prefix(HOST).ip;

	cr_assert_eq(td_dp_neighbour_set(INSIDE, &ip, mac), 0);
}

// Frees what was sent to the host, which must be packets 0, 1, ... Returns how many.
static unsigned sent(void)
{
	struct td_tx_buffer *buffer = &worker->tx[INSIDE];
	unsigned count = buffer->count;

	for (unsigned i = 0; i < count; i++) {
		uint16_t id =
		    rte_pktmbuf_mtod_offset(buffer->mbufs[i], const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN)
		        ->packet_id;

		cr_expect_eq(rte_be_to_cpu_16(id), i);
	}
	rte_pktmbuf_free_bulk(buffer->mbufs, count);
	buffer->count = 0;
	return count;
}

// In the very turn in which it becomes known.
Test(hold_order, what_waits_goes_before_what_is_forwarded)
{
	forward(0);
	forward(1);
	cr_assert_eq(worker->held_count, 2);
	neighbour_set();
	forward(2);
	cr_expect_eq(sent(), 3);
	cr_expect_eq(worker->held_count, 0);
}

Test(hold_order, what_waits_goes_before_what_was_decrypted)
{
	struct rte_mbuf *mbuf = packet_new(1, 64);

	forward(0);
	neighbour_set();
	td_inward(worker, &mbuf, 1);
	cr_expect_eq(sent(), 2);
}

// As a worker sees it in the middle of a change: the generation is odd, and was so at the look before.
Test(hold_order, what_waits_goes_first_in_the_middle_of_a_change)
{
	forward(0);
	neighbour_set();
	td_fib.generation--;
	worker->held_generation = td_fib.generation;
	forward(1);
	cr_expect_eq(sent(), 2);
}

// IPv6 routes that were changed during a grace period become visible behind it, when nobody changes anything.
Test(hold_order, neighbours_that_become_visible_later)
{
	struct td_ip ips[2] = {prefix("2001:db8::8").ip, prefix("2001:db8::9").ip};
	struct td_dp_route link = {prefix("2001:db8::/64"), TD_ROUTE_CONNECTED, INSIDE, {0}};
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)rte_pktmbuf_append(mbuf, 64);

	cr_assert_not_null(ip);
	memset(ip, 0, 64);
	*ip = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16(24),
	    .proto = IPPROTO_UDP,
	    .hop_limits = 64};
	memcpy(ip->src_addr, prefix("2001:db8:1::1").ip.bytes, 16);
	memcpy(ip->dst_addr, ips[1].bytes, 16);
	*td_packet(mbuf) = (struct td_packet){.tunnel = 0};
	cr_assert_eq(td_dp_route_set(&link), 0);
	while (td_rcu_reclaim())
		;
	td_forward(worker, &mbuf, 1, false);
	cr_assert_eq(worker->held_count, 1);
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(td_dp_neighbour_set(INSIDE, &ips[i], mac), 0);
	td_hold_poll(worker);
	while (td_rcu_reclaim())
		;
	td_hold_poll(worker);
	cr_expect_eq(worker->held_count, 0);
	cr_expect_eq(worker->tx[INSIDE].count, 1);
}

// One that is too long for its way is answered, and the answer forwarded: that is no time to look again.
Test(hold_order, an_answer_to_one_that_waits)
{
	struct td_dp_route back = {prefix("10.1.0.0/24"), TD_ROUTE_CONNECTED, INSIDE, {0}};
	struct td_ip sender = prefix("10.1.0.1").ip;
	struct rte_mbuf *mbuf = packet_new(0, 1400);

	local_new(INSIDE, "10.1.0.254/32");
	cr_assert_eq(td_dp_route_set(&back), 0);
	cr_assert_eq(td_dp_neighbour_set(INSIDE, &sender, mac), 0);
	td_forward(worker, &mbuf, 1, false);
	cr_assert_eq(worker->held_count, 1);
	td_dp.ports[INSIDE].config.mtu = 1300;
	neighbour_set();
	td_fib.generation--; // a change is under way
	td_hold_poll(worker);
	cr_expect_eq(worker->held_count, 0);
	cr_expect_eq(worker->tx[INSIDE].count, 1, "the answer");
	cr_expect_eq(worker->counters.drops[TD_DROP_MTU], 1);
	rte_pktmbuf_free_bulk(worker->tx[INSIDE].mbufs, worker->tx[INSIDE].count);
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), BUFFERS, "each buffer is freed once");
}

// SPDX-License-Identifier: BSD-3-Clause
// Packets that wait for their tunnel's first SA: in which order they leave, and that the control thread hears
// of them.

#include "dataplane/ip_packet.h"
#include "tests/unit/one_worker.h"

#define MTU 1500
#define BUFFERS 255
#define TUNNELS 3

static struct td_dp_tunnel *tunnels[TUNNELS];
static uint16_t number; // of the next packet: its identification

static void start(void)
{
	worker_start(MTU, BUFFERS, 2048 + RTE_PKTMBUF_HEADROOM);
	number = 0;
	for (uint32_t i = 0; i < TUNNELS; i++)
		tunnels[i] = td_dp_tunnel_create(i);
}

TestSuite(acquire, .init = start);

// AES-GMAC leaves the packet readable.
static struct td_sa_out *sa_new(struct td_dp_tunnel *tunnel)
{
	static struct td_secret key = {.length = 20};
	struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .spi = 0x1000 + tunnel->id,
	    .tunnel = tunnel,
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, "aes128gmac"),
	    .key = &key,
	    .local = prefix("192.0.2.1").ip,
	    .remote = prefix("192.0.2.2").ip,
	};
	struct td_error error = {0};

	key.bytes[0]++;
	struct td_sa_out *sa = td_dp_sa_out_create(&params, &error);
	cr_assert_not_null(sa, "%s", error.reason);
	return sa;
}

static struct rte_mbuf *packet_new(uint32_t tunnel)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_append(mbuf, 64);

	cr_assert_not_null(ip);
	memset(ip, 0, 64);
	ipv4_fill(ip, 0x0a010001, 0x0a020001, 64);
	ip->packet_id = rte_cpu_to_be_16(number++);
	*td_packet(mbuf) = (struct td_packet){.tunnel = tunnel};
	return mbuf;
}

static void offer(uint32_t tunnel, unsigned count)
{
	while (count--) {
		struct rte_mbuf *mbuf = packet_new(tunnel);

		td_esp_out(worker, &mbuf, 1);
	}
}

// Frees what was sent. Each tunnel's packets must be in order; returns how many there are of a tunnel.
static unsigned sent(uint32_t tunnel)
{
	struct td_tx_buffer *buffer = &worker->tx[OUTSIDE];
	int last[TUNNELS] = {-1, -1, -1};
	unsigned count = 0;

	for (unsigned i = 0; i < buffer->count; i++) {
		uint32_t at = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr);
		const struct rte_esp_hdr *esp =
		    rte_pktmbuf_mtod_offset(buffer->mbufs[i], const struct rte_esp_hdr *, at);
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)((const uint8_t *)(esp + 1) + 8);
		uint32_t of = rte_be_to_cpu_32(esp->spi) - 0x1000;

		cr_assert_lt(of, TUNNELS);
		cr_expect_gt((int)rte_be_to_cpu_16(ip->packet_id), last[of], "packet %u of tunnel %u", i, of);
		last[of] = rte_be_to_cpu_16(ip->packet_id);
		count += of == tunnel;
	}
	return count;
}

Test(acquire, many_that_waited_keep_their_order)
{
	for (unsigned i = 0; i < TD_ACQUIRE_PER_TUNNEL; i++)
		for (uint32_t tunnel = 0; tunnel < TUNNELS; tunnel++)
			offer(tunnel, 1);
	for (uint32_t tunnel = 0; tunnel < TUNNELS; tunnel++)
		td_dp_tunnel_switch(tunnels[tunnel], 0, sa_new(tunnels[tunnel]));
	td_acquire_poll(worker);
	for (uint32_t tunnel = 0; tunnel < TUNNELS; tunnel++)
		cr_expect_eq(sent(tunnel), TD_ACQUIRE_PER_TUNNEL);
	cr_expect_eq(worker->acquire_count, 0);
}

// As a worker sees it between the two stores of a switch: the slot has the SA, the generation has not grown.
Test(acquire, none_overtakes_between_the_stores_of_a_switch)
{
	struct td_sa_out *sa = sa_new(tunnels[0]);

	offer(0, 3);
	__atomic_store_n(&tunnels[0]->out[0], sa, __ATOMIC_RELEASE);
	offer(0, 2);
	cr_expect_eq(sent(0), 0);
	// Another tunnel does not wait for it.
	td_dp_tunnel_switch(tunnels[1], 0, sa_new(tunnels[1]));
	td_dp.switch_generation--;
	offer(1, 1);
	cr_expect_eq(sent(1), 1);
	td_dp_tunnel_switch(tunnels[0], 0, sa);
	offer(0, 1);
	cr_expect_eq(sent(0), 6);
	cr_expect_eq(worker->acquire_count, 0);
}

// Takes the events that there are: how many of them each tunnel has.
static void events_take(unsigned *counts)
{
	struct td_event event;

	memset(counts, 0, TUNNELS * sizeof(counts[0]));
	while (td_dp_events_receive(&event, 1)) {
		cr_expect_eq(event.kind, TD_EVENT_ACQUIRE);
		counts[event.tunnel]++;
	}
}

static void turn_after_ms(unsigned ms)
{
	worker->now_tsc += TEST_TSC_HZ / 1000 * ms;
	td_acquire_poll(worker);
}

// The bucket has two tokens at once, and another one each 100 ms.
Test(acquire, event_without_a_token_is_raised_later)
{
	unsigned counts[TUNNELS];

	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	for (uint32_t tunnel = 0; tunnel < TUNNELS; tunnel++)
		offer(tunnel, 2);
	turn_after_ms(10);
	events_take(counts);
	cr_expect(counts[0] == 1 && counts[1] == 1 && counts[2] == 0);
	turn_after_ms(100);
	events_take(counts);
	cr_expect(counts[0] == 0 && counts[1] == 0 && counts[2] == 1, "with the next token");
	turn_after_ms(1000);
	offer(2, 1);
	events_take(counts);
	cr_expect(counts[0] == 0 && counts[1] == 0 && counts[2] == 0, "once");
}

Test(acquire, event_that_found_the_ring_full_is_raised_later)
{
	struct td_event other = {.kind = TD_EVENT_UNKNOWN_SPI};
	unsigned counts[TUNNELS];

	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	while (td_event_raise(worker, &other))
		;
	offer(0, 1);
	turn_after_ms(1);
	cr_expect_eq(worker->counters.events_lost, 1, "the one of the loop above");
	while (td_dp_events_receive(&other, 1))
		;
	turn_after_ms(1);
	events_take(counts);
	cr_expect_eq(counts[0], 1);
}

// Somebody sends all the time, so that the tunnel is never without a packet that waits.
Test(acquire, event_comes_again_while_packets_wait)
{
	unsigned counts[TUNNELS], told = 0;

	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	for (unsigned ms = 0; ms < 3 * TD_ACQUIRE_HOLD_MS; ms += 500) {
		offer(0, 1);
		turn_after_ms(500);
		events_take(counts);
		told += counts[0];
	}
	cr_expect_eq(told, 1 + 3);
}

Test(acquire, event_has_no_ports_of_a_later_fragment)
{
	struct rte_mbuf *mbuf = packet_new(0);
	struct td_event event = {.numbers = true};

	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	td_ipv4(mbuf)->fragment_offset = rte_cpu_to_be_16(5);
	memset(td_ipv4(mbuf) + 1, 0x11, 8);
	td_esp_out(worker, &mbuf, 1);
	cr_assert_eq(td_dp_events_receive(&event, 1), 1);
	cr_expect(!event.numbers && event.source_port == 0 && event.destination_port == 0);
}

// The same for packets that wait for a neighbour.
Test(acquire, neighbour_is_asked_for_again)
{
	struct td_event event = {.kind = TD_EVENT_UNKNOWN_SPI};
	struct rte_mbuf *mbuf = packet_new(0);

	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	td_ipv4(mbuf)->dst_addr = rte_cpu_to_be_32(0x0a020002);
	while (td_event_raise(worker, &event))
		;
	td_forward(worker, &mbuf, 1, false);
	cr_assert_eq(worker->held_count, 1);
	while (td_dp_events_receive(&event, 1))
		;
	td_hold_poll(worker);
	cr_assert_eq(td_dp_events_receive(&event, 1), 1);
	cr_expect_eq(event.kind, TD_EVENT_RESOLVE);
	td_hold_poll(worker);
	cr_expect_eq(td_dp_events_receive(&event, 1), 0, "once");
	worker->now_tsc += TEST_TSC_HZ / 1000 * TD_HOLD_MS;
	td_hold_poll(worker);
	cr_expect_eq(td_dp_events_receive(&event, 1), 1, "again after a second");
}

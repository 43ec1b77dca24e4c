// SPDX-License-Identifier: BSD-3-Clause
// What a worker hands on is bounded: to the kernel and to senders by rates, to other workers by rings.

#include "common/ike_spi.h"
#include "dataplane/ip_packet.h"
#include "tests/unit/one_worker.h"

#include <rte_udp.h>

#define BUFFERS 2047
#define IKE_BYTES 28 // of an IKE header

static void start(void)
{
	worker_start(1500, BUFFERS, 2048 + RTE_PKTMBUF_HEADROOM);
	worker->now_tsc = 10 * (uint64_t)TEST_TSC_HZ;
	cr_assert_eq(td_ike_spi_init(), 0);
	link_new(INSIDE, "10.1.0.0/24", "10.1.0.2");
	local_new(INSIDE, "10.1.0.1/32");
	for (unsigned class = 0; class < TD_PUNT_CLASSES; class ++) {
		char name[RTE_RING_NAMESIZE];

		snprintf(name, sizeof(name), "punt%u", class);
		worker->punt[class] =
		    rte_ring_create(name, TD_PUNT_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		cr_assert_not_null(worker->punt[class]);
	}
}

TestSuite(rates, .init = start);

// What an IKE header says: whether its sender is the original initiator, and the SPIs.
struct ike {
	bool initiator;
	uint64_t spi_i, spi_r;
};

// A datagram to the gateway: an IKE header behind marker bytes, as far as length goes.
static struct rte_mbuf *ike_new(uint16_t port, unsigned marker, unsigned length, struct ike ike)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	uint32_t headers = sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr);
	uint8_t *start = mbuf ? (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(headers + length)) : NULL;
	uint8_t header[IKE_BYTES] = {[19] = ike.initiator ? 0x08 : 0};
	rte_be64_t spis[2] = {rte_cpu_to_be_64(ike.spi_i), rte_cpu_to_be_64(ike.spi_r)};

	cr_assert_not_null(start);
	memset(start, 0, headers + length);
	ipv4_fill((struct rte_ipv4_hdr *)start, 0xc0000202, 0xc0000201, headers + length);
	*(struct rte_udp_hdr *)(start + sizeof(struct rte_ipv4_hdr)) =
	    (struct rte_udp_hdr){.dst_port = rte_cpu_to_be_16(port)};
	memcpy(header, spis, sizeof(spis));
	if (length > marker)
		memcpy(start + headers + marker, header, RTE_MIN((unsigned)IKE_BYTES, length - marker));
	*td_packet(mbuf) = (struct td_packet){0};
	return mbuf;
}

// Messages of IKE SAs are those that name an SPI which this gateway has chosen, on its side.
Test(rates, classes_of_what_the_kernel_gets)
{
	const uint64_t own = td_ike_spi_make(0x12345678), other = 0x1122334455667788;
	const struct {
		const char *name;
		uint16_t port;
		unsigned marker, length;
		struct ike ike;
		enum td_punt_class class;
	} rows[] = {
	    {"first message", 500, 0, IKE_BYTES, {true, other, 0}, TD_PUNT_IKE_FIRST},
	    {"its answer", 500, 0, IKE_BYTES, {false, own, other}, TD_PUNT_IKE},
	    {"of the initiator", 500, 0, IKE_BYTES, {true, other, own}, TD_PUNT_IKE},
	    {"of the responder", 500, 0, IKE_BYTES, {false, own, 0}, TD_PUNT_IKE},
	    {"made up", 500, 0, IKE_BYTES, {true, other, other}, TD_PUNT_IKE_FIRST},
	    {"made up answer", 500, 0, IKE_BYTES, {false, other, own}, TD_PUNT_IKE_FIRST},
	    {"on the wrong side", 500, 0, IKE_BYTES, {true, own, other}, TD_PUNT_IKE_FIRST},
	    {"one bit of the code", 500, 0, IKE_BYTES, {true, other, own ^ 1}, TD_PUNT_IKE_FIRST},
	    {"one bit of the number", 500, 0, IKE_BYTES, {true, other, own ^ 1ull << 63}, TD_PUNT_IKE_FIRST},
	    {"first message behind the marker", 4500, 4, 4 + IKE_BYTES, {true, other, 0}, TD_PUNT_IKE_FIRST},
	    {"later message behind the marker", 4500, 4, 4 + IKE_BYTES, {true, other, own}, TD_PUNT_IKE},
	    {"too short to tell", 500, 0, 19, {true, other, own}, TD_PUNT_IKE_FIRST},
	    {"empty", 500, 0, 0, {0}, TD_PUNT_IKE_FIRST},
	    {"another port", 53, 0, IKE_BYTES, {true, other, own}, TD_PUNT_OTHER},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		struct rte_mbuf *mbuf = ike_new(rows[i].port, rows[i].marker, rows[i].length, rows[i].ike);

		cr_expect_eq(td_punt_classify(mbuf), rows[i].class, "%s", rows[i].name);
		td_ipv4(mbuf)->fragment_offset = rte_cpu_to_be_16(3);
		cr_expect_eq(td_punt_classify(mbuf), TD_PUNT_OTHER, "%s: a later fragment", rows[i].name);
		td_ipv4(mbuf)->next_proto_id = IPPROTO_ICMP;
		cr_expect_eq(td_punt_classify(mbuf), TD_PUNT_ICMP);
		rte_pktmbuf_free(mbuf);
	}
}

// How many of so many packets of a class go into its ring.
static unsigned punt(enum td_punt_class class, unsigned count)
{
	uint64_t before = worker->counters.punted;

	while (count--)
		td_punt(worker, OUTSIDE, ike_new(500, 0, IKE_BYTES, (struct ike){0}), class);
	return (unsigned)(worker->counters.punted - before);
}

// A bucket holds a tenth of a second's worth.
Test(rates, flood_of_one_class_leaves_the_others_alone)
{
	static const struct {
		enum td_punt_class class;
		unsigned rate;
		enum td_drop over;
	} rows[] = {
	    {TD_PUNT_IKE_FIRST, TD_PUNT_IKE_FIRST_PER_S, TD_DROP_PUNT_IKE_FIRST_RATE},
	    {TD_PUNT_ARP, TD_PUNT_ARP_PER_S, TD_DROP_PUNT_ARP_RATE},
	    {TD_PUNT_ICMP, TD_PUNT_ICMP_PER_S, TD_DROP_PUNT_ICMP_RATE},
	};

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		unsigned sent = rows[i].rate / 5, passed = rows[i].rate / 10 + 1;

		cr_expect_eq(punt(rows[i].class, sent), passed);
		cr_expect_eq(worker->counters.drops[rows[i].over], sent - passed);
		cr_expect_eq(punt(TD_PUNT_IKE, 1), 1, "messages of known peers");
		worker->now_tsc += TEST_TSC_HZ / 100;
		cr_expect_eq(punt(rows[i].class, 2 * rows[i].rate / 100), rows[i].rate / 100, "ten ms later");
	}
}

// RFC 1812 4.3.2.8: errors are limited.
Test(rates, icmp_errors)
{
	struct td_tx_buffer *buffer = &worker->tx[INSIDE];
	struct rte_mbuf *mbuf = ike_new(53, 0, IKE_BYTES, (struct ike){0});

	ipv4_fill(td_ipv4(mbuf), 0x0a010002, 0xc6336401, mbuf->data_len);
	for (unsigned i = 0; i < 200; i++)
		td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
	cr_expect_eq(buffer->count, TD_ICMP_ERRORS_PER_S / 10 + 1);
	worker->now_tsc += TEST_TSC_HZ / 100;
	for (unsigned i = 0; i < 200; i++)
		td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
	cr_expect_eq(buffer->count, TD_ICMP_ERRORS_PER_S / 10 + 1 + TD_ICMP_ERRORS_PER_S / 100);
}

// Errors that may not be sent take nothing from those that may.
Test(rates, icmp_errors_about_multicast_cost_nothing)
{
	struct td_tx_buffer *buffer = &worker->tx[INSIDE];
	struct rte_mbuf *mbuf = ike_new(53, 0, IKE_BYTES, (struct ike){0});

	ipv4_fill(td_ipv4(mbuf), 0x0a010002, 0xefffffff, mbuf->data_len);
	for (unsigned i = 0; i < 200; i++)
		td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
	cr_expect_eq(buffer->count, 0);
	ipv4_fill(td_ipv4(mbuf), 0x0a010002, 0xc6336401, mbuf->data_len);
	td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
	cr_expect_eq(buffer->count, 1);
}

Test(rates, packets_for_a_busy_worker_are_counted)
{
	struct td_worker *other = rte_zmalloc("other", sizeof(*other), RTE_CACHE_LINE_SIZE);

	cr_assert_not_null(other);
	other->handoff[0] = rte_ring_create("handoff", 8, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	cr_assert_not_null(other->handoff[0]);
	td_dp.workers[1] = other;
	for (unsigned i = 0; i < 10; i++)
		td_handoff(worker, 1, ike_new(500, 0, IKE_BYTES, (struct ike){0}), TD_STAGE_ESP_IN);
	// A ring of 8 holds 7.
	cr_expect_eq(worker->counters.handoff_out, 7);
	cr_expect_eq(worker->counters.drops[TD_DROP_HANDOFF_FULL], 3);
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), BUFFERS - 7, "what is dropped is free");
}

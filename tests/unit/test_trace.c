// SPDX-License-Identifier: BSD-3-Clause
// Headers and filters of traces and captures, and the workers' side of both: marks, counts, and what is lost
// when nobody takes it.

#include "dataplane/capture.h"
#include "dataplane/trace.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <netinet/in.h>
#include <string.h>

static struct td_worker *worker;

static void start(void)
{
	test_eal_start();
	worker = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*worker), RTE_CACHE_LINE_SIZE));
	memset(worker, 0, sizeof(*worker));
	td_dp.worker_count = 1;
	td_dp.workers[0] = worker;
	td_dp.port_count = 2;
	td_dp.ports[0].config = (struct td_dp_port_config){.mtu = 1500, .role = TD_ROLE_INSIDE};
	td_dp.ports[1].config = (struct td_dp_port_config){.mtu = 1500, .role = TD_ROLE_OUTSIDE};
	td_dp.tsc_hz = rte_get_tsc_hz();
	td_dp.pool =
	    rte_pktmbuf_pool_create("trace", 63, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8), 4096, 0);
	cr_assert_not_null(td_dp.pool);
	rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
}

static void finish(void)
{
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), 63, "a buffer leaked");
	td_capture_fini();
	free(worker);
}

TestSuite(trace, .init = start, .fini = finish);

// ---- frames -----------------------------------------------------------------------------------

#define ETHERNET4 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x00
#define ETHERNET6 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x86, 0xdd
#define IPV4(protocol, fragment)                                                                             \
	0x45, 0, 0, 64, 0, 0, (fragment) >> 8, (fragment)&0xff, 64, protocol, 0, 0, 192, 0, 2, 1, 10, 1, 2, 3
#define IPV6(protocol)                                                                                       \
	0x60, 0, 0, 0, 0, 40, protocol, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd,   \
	    0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5

struct frame {
	const char *name;
	unsigned length;
	uint8_t bytes[96];
	uint8_t family, protocol;
	uint16_t source_port, destination_port;
	uint32_t spi, sequence;
	bool fragment;
};

static const struct frame frames[] = {
    {"UDP", 42, {ETHERNET4, IPV4(17, 0), 1, 2, 3, 4, 0, 8, 0, 0}, 4, 17, 0x102, 0x304, 0, 0, false},
    {"TCP that is cut behind the ports", 38, {ETHERNET4, IPV4(6, 0), 0, 80, 1, 0}, 4, 6, 80, 256, 0, 0,
        false},
    {"UDP that is cut within the ports", 37, {ETHERNET4, IPV4(17, 0), 1, 2, 3}, 4, 17, 0, 0, 0, 0, false},
    {"ESP", 42, {ETHERNET4, IPV4(50, 0), 0, 0, 0x10, 1, 0, 0, 0, 7}, 4, 50, 0, 0, 0x1001, 7, false},
    {"ESP that is cut", 41, {ETHERNET4, IPV4(50, 0), 0, 0, 0x10, 1, 0, 0, 0}, 4, 50, 0, 0, 0, 0, false},
    {"AH", 46, {ETHERNET4, IPV4(51, 0), 17, 4, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 8}, 4, 51, 0, 0, 0x1002, 8,
        false},
    {"AH that is cut", 45, {ETHERNET4, IPV4(51, 0), 17, 4, 0, 0, 0, 0, 0x10, 2, 0, 0, 0}, 4, 51, 0, 0, 0, 0,
        false},
    {"AH behind an extension header", 74,
        {ETHERNET6, IPV6(60), 51, 0, 1, 4, 0, 0, 0, 0, 17, 4, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 8}, 6, 51, 0, 0,
        0x1002, 8, false},
    {"ESP in UDP", 50,
        {ETHERNET4, IPV4(17, 0), 0x11, 0x94, 0x11, 0x94, 0, 16, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 9}, 4, 17, 4500,
        4500, 0x1001, 9, false},
    {"IKE in UDP port 4500", 50,
        {ETHERNET4, IPV4(17, 0), 0x11, 0x94, 0x11, 0x94, 0, 16, 0, 0, 0, 0, 0, 0, 5, 5, 5, 5}, 4, 17, 4500,
        4500, 0, 0, false},
    {"first fragment", 42, {ETHERNET4, IPV4(17, 0x2000), 1, 2, 3, 4, 0, 8, 0, 0}, 4, 17, 0x102, 0x304, 0, 0,
        true},
    {"fragment behind the first", 42, {ETHERNET4, IPV4(17, 0x0010), 1, 2, 3, 4, 0, 8, 0, 0}, 4, 17, 0, 0, 0,
        0, true},
    {"IPv6 with an extension header", 70,
        {ETHERNET6, IPV6(60), 17, 0, 1, 4, 0, 0, 0, 0, 1, 2, 3, 4, 0, 8, 0, 0}, 6, 17, 0x102, 0x304, 0, 0,
        false},
    {"IPv6 that is cut within its header", 53, {ETHERNET6, IPV6(17)}, 0, 0, 0, 0, 0, 0, false},
    {"IPv4 that is cut within its header", 33, {ETHERNET4, IPV4(17, 0)}, 0, 0, 0, 0, 0, 0, false},
    {"runt", 13, {ETHERNET4}, 0, 0, 0, 0, 0, 0, false},
    {"nothing", 0, {0}, 0, 0, 0, 0, 0, 0, false},
};

Test(trace, headers_as_far_as_they_are_there)
{
	for (size_t i = 0; i < RTE_DIM(frames); i++) {
		const struct frame *frame = &frames[i];
		// A block of just that size: a sanitizer sees what is read behind it.
		uint8_t *copy = malloc(frame->length ? frame->length : 1);
		struct td_dp_headers headers;

		memcpy(copy, frame->bytes, frame->length);
		td_headers_read(copy, frame->length, &headers);
		free(copy);
		cr_expect_eq(headers.source.family, frame->family, "%s", frame->name);
		cr_expect_eq(headers.protocol, frame->protocol, "%s: %u", frame->name, headers.protocol);
		cr_expect_eq(headers.source_port, frame->source_port, "%s", frame->name);
		cr_expect_eq(headers.destination_port, frame->destination_port, "%s", frame->name);
		cr_expect_eq(headers.spi, frame->spi, "%s", frame->name);
		cr_expect_eq(headers.sequence, frame->sequence, "%s", frame->name);
		cr_expect_eq(headers.fragment, frame->fragment, "%s", frame->name);
		cr_expect_eq(headers.length, frame->length, "%s", frame->name);
	}
}

static struct td_dp_filter filter_any(void)
{
	return (struct td_dp_filter){.protocol = -1, .port = -1, .drop = -1};
}

Test(trace, filters)
{
	struct td_dp_headers esp, runt;
	struct td_dp_filter any = filter_any(), filter;
	static const struct {
		const char *source, *destination;
		int protocol;
		uint32_t spi;
		int port;
		bool matches;
	} rows[] = {
	    {NULL, NULL, -1, 0, -1, true},
	    {"192.0.2.1", NULL, -1, 0, -1, true},
	    {"192.0.2.2", NULL, -1, 0, -1, false},
	    {"192.0.2.0/31", "10.1.0.0/16", 50, 0x1001, 1, true},
	    {"192.0.2.2/31", NULL, -1, 0, -1, false},
	    {NULL, "10.0.0.0/9", -1, 0, -1, true},
	    {NULL, "10.128.0.0/9", -1, 0, -1, false},
	    {"0.0.0.0/0", NULL, -1, 0, -1, true},
	    {"::/0", NULL, -1, 0, -1, false},
	    {NULL, NULL, 17, 0, -1, false},
	    {NULL, NULL, -1, 0x1002, -1, false},
	    {NULL, NULL, -1, 0, 0, false},
	};

	td_headers_read(frames[3].bytes, frames[3].length, &esp);
	td_headers_read(frames[15].bytes, frames[15].length, &runt);
	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		filter = any;
		if (rows[i].source)
			cr_assert_eq(td_prefix_parse(rows[i].source, &filter.source), 0);
		if (rows[i].destination)
			cr_assert_eq(td_prefix_parse(rows[i].destination, &filter.destination), 0);
		filter.protocol = rows[i].protocol;
		filter.spi = rows[i].spi;
		filter.port = rows[i].port;
		cr_expect_eq(td_filter_matches(&filter, 1, &esp), rows[i].matches, "row %zu", i);
	}
	cr_expect(td_filter_matches(&any, 0, &runt));
	filter = any;
	filter.protocol = 0;
	cr_expect_not(td_filter_matches(&filter, 0, &runt), "what is no IP packet has no protocol");
}

// ---- trace ------------------------------------------------------------------------------------

static struct rte_mbuf *frame_make(const struct frame *frame)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);

	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)frame->length), frame->bytes, frame->length);
	*td_packet(mbuf) = (struct td_packet){0};
	return mbuf;
}

static void receive(const struct frame *frame)
{
	struct rte_mbuf *mbuf = frame_make(frame);

	td_watch_look(worker);
	if (worker->watched)
		td_observe_received(worker, 1, mbuf);
	td_drop(worker, mbuf, TD_DROP_RX_RUNT);
}

static void trace_start(struct td_dp_filter filter, unsigned count, int only)
{
	cr_assert_eq(td_dp_trace_start(&filter, count, only), 0);
}

Test(trace, counts_and_ends)
{
	struct td_trace_record records[64];

	receive(&frames[0]);
	trace_start(filter_any(), 2, -1);
	for (unsigned i = 0; i < 4; i++)
		receive(&frames[0]);
	cr_assert_eq(td_dp_trace_receive(records, 64), 4);
	for (unsigned i = 0; i < 4; i++) {
		cr_expect_eq(records[i].packet, i / 2);
		cr_expect_eq(records[i].step, i % 2 ? TD_TRACE_DROPPED : TD_TRACE_RECEIVED);
	}
	cr_expect_eq(records[0].headers.source_port, 0x102);
	cr_expect_eq(records[1].code, TD_DROP_RX_RUNT);
	cr_expect(td_dp_trace_full());
	td_dp_trace_stop();
	receive(&frames[0]);
	cr_expect_not(worker->watched);
	cr_expect_eq(worker->counters.drops[TD_DROP_RX_RUNT], 6);
}

Test(trace, another_workers_packets)
{
	struct td_trace_record records[64];

	trace_start(filter_any(), 2, 1);
	receive(&frames[0]);
	cr_expect_eq(td_dp_trace_receive(records, 64), 0);
}

// A packet that was marked by one trace and waited says nothing to the next.
Test(trace, mark_of_an_earlier_trace)
{
	struct rte_mbuf *mbuf = frame_make(&frames[0]);
	struct td_trace_record records[64];

	trace_start(filter_any(), 2, -1);
	td_watch_look(worker);
	td_observe_received(worker, 1, mbuf);
	trace_start(filter_any(), 2, -1);
	td_watch_look(worker);
	td_drop(worker, mbuf, TD_DROP_RX_RUNT);
	cr_expect_eq(td_dp_trace_receive(records, 64), 0, "of neither trace");
}

Test(trace, lost_records_are_counted_and_packets_go_on)
{
	static struct td_trace_record records[TD_TRACE_RING];
	struct td_dp_filter filter = filter_any();

	filter.drop = TD_DROP_IP_TTL; // any number of packets is a candidate
	trace_start(filter, 1, -1);
	for (unsigned i = 0; i < TD_TRACE_RING; i++)
		receive(&frames[0]);
	// One of the ring's places stays empty.
	cr_expect_eq(td_dp_trace_lost(), TD_TRACE_RING + 1);
	cr_expect_eq(worker->counters.drops[TD_DROP_RX_RUNT], TD_TRACE_RING);
	cr_expect_eq(td_dp_trace_receive(records, TD_TRACE_RING), TD_TRACE_RING - 1);
	cr_expect_not(td_dp_trace_full());
	trace_start(filter, 1, -1);
	cr_expect_eq(td_dp_trace_lost(), 0, "each trace counts its own");
}

// ---- capture ----------------------------------------------------------------------------------

static unsigned captured;
static uint32_t last_captured, last_length;

static void frame_count(void *context, const struct td_capture_frame *frame)
{
	(void)context;
	captured++;
	last_captured = frame->captured;
	last_length = frame->length;
}

static void capture_start(enum td_capture_side side, unsigned snaplen, uint64_t count)
{
	struct td_dp_capture capture = {
	    .filter = filter_any(), .side = side, .snaplen = snaplen, .count = count};

	captured = 0;
	cr_assert_eq(td_dp_capture_start(&capture), 0);
}

static void capture_end(void)
{
	td_dp_capture_stop();
	cr_expect_not(td_dp_capture_free(), "a worker may still see it");
	td_watch_look(worker);
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, 0);
	td_rcu_reclaim();
	cr_expect(td_dp_capture_free());
	cr_expect(td_dp_capture_free(), "and again");
}

Test(trace, captured_frames)
{
	capture_start(TD_CAPTURE_PROTECTED, 20, 3);
	for (unsigned i = 0; i < 5; i++)
		receive(&frames[0]);
	td_dp_capture_receive(64, frame_count, NULL);
	cr_expect_eq(captured, 3);
	cr_expect_eq(last_captured, 20);
	cr_expect_eq(last_length, 42);
	capture_end();
	capture_start(TD_CAPTURE_PLAIN, 20, 3);
	receive(&frames[0]);
	td_dp_capture_receive(64, frame_count, NULL);
	cr_expect_eq(captured, 0, "the frame came from outside");
	capture_end();
}

Test(trace, lost_copies_are_counted_and_packets_go_on)
{
	struct td_dp_capture another = {
	    .filter = filter_any(), .side = TD_CAPTURE_BOTH, .snaplen = 64, .count = 1};

	capture_start(TD_CAPTURE_BOTH, TD_CAPTURE_SNAPLEN_MAX, 1u << 20);
	cr_expect_eq(td_dp_capture_start(&another), -EBUSY);
	for (unsigned i = 0; i < TD_CAPTURE_RING + 10; i++)
		receive(&frames[0]);
	cr_expect_eq(td_dp_capture_lost(), 11);
	cr_expect_eq(worker->counters.drops[TD_DROP_RX_RUNT], TD_CAPTURE_RING + 10);
	while (td_dp_capture_receive(64, frame_count, NULL))
		;
	cr_expect_eq(captured, TD_CAPTURE_RING - 1);
	capture_end();
}

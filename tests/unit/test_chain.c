// SPDX-License-Identifier: BSD-3-Clause
// Frames that a device receives in several segments, cut anywhere, the ICV included: one worker seals and
// opens them. It has ports without devices; what it sends stays in its transmit buffers.

#include "tests/unit/one_worker.h"

#define MTU 9000
#define ROOM (RTE_ALIGN_CEIL(MTU + 256, 64) + RTE_PKTMBUF_HEADROOM) // as publish.c has it
#define SMALL_ROOM (256 + RTE_PKTMBUF_HEADROOM)
#define BUFFERS 255

static struct rte_mempool *small;
static uint8_t frame[MTU + RTE_ETHER_HDR_LEN];

static void policy_set(struct td_dp_tunnel *tunnel)
{
	struct td_dp_policy policies[2] = {{
	    .directions = TD_POLICY_OUT,
	    .action = TD_POLICY_PROTECT,
	    .local = prefix("10.1.0.0/24"),
	    .remote = prefix("10.2.0.0/24"),
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	    .tunnel = tunnel,
	}};

	// What is sealed comes back as it was.
	policies[1] = policies[0];
	policies[1].directions = TD_POLICY_IN;
	policies[1].local = policies[0].remote;
	policies[1].remote = policies[0].local;
	cr_assert_eq(td_dp_policy_set(policies, 2, NULL), 0);
}

static void sas_new(struct td_dp_tunnel *tunnel, const char *suite)
{
	struct td_secret key = {
	    .length = td_dp_suite_info((unsigned)td_dp_suite_find(TD_SA_ESP, suite))->key_bytes};
	struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .spi = 0x1000,
	    .tunnel = tunnel,
	    .suite = (unsigned)td_dp_suite_find(TD_SA_ESP, suite),
	    .key = &key,
	    .replay_window = TD_REPLAY_WINDOW_MAX,
	    .local = prefix("192.0.2.1").ip,
	    .remote = prefix("192.0.2.2").ip,
	    .dscp = TD_DSCP_COPY,
	};
	struct td_error error = {0};
	struct td_sa_in *in = td_dp_sa_in_create(&params, &error);
	struct td_sa_out *out = td_dp_sa_out_create(&params, &error);

	cr_assert(in && out, "%s", error.reason);
	cr_assert_eq(td_dp_sa_in_reserve(0, 1), 0);
	td_dp_sa_in_publish(in);
	td_dp_tunnel_switch(tunnel, 0, out);
}

static void start(void)
{
	worker_start(MTU, BUFFERS, ROOM);
	small = pool_new("small", BUFFERS, SMALL_ROOM);
}

TestSuite(chain, .init = start);

// An IPv4 packet of length bytes behind an Ethernet header.
static void frame_fill(uint32_t length)
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);

	for (uint32_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	*ether = (struct rte_ether_hdr){
	    .dst_addr = td_dp.ports[INSIDE].mac, .ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)};
	ipv4_fill(ip, 0x0a010001, 0x0a020001, length);
}

// The bytes as a chain of count segments; ends are where all but the last one end.
static struct rte_mbuf *chain(
    struct rte_mempool *pool, const uint8_t *bytes, uint32_t length, const uint32_t *ends, unsigned count)
{
	struct rte_mbuf *head = NULL;
	uint32_t start = 0;

	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *segment = rte_pktmbuf_alloc(pool);
		uint32_t end = i + 1 < count ? ends[i] : length;

		memcpy(rte_pktmbuf_append(segment, (uint16_t)(end - start)), bytes + start, end - start);
		start = end;
		if (head)
			cr_assert_eq(rte_pktmbuf_chain(head, segment), 0);
		else
			head = segment;
	}
	return head;
}

static struct rte_mbuf *sent(unsigned port)
{
	struct td_tx_buffer *buffer = &worker->tx[port];

	if (buffer->count != 1)
		for (unsigned i = 0; i < TD_DROP_COUNT; i++)
			cr_expect_eq(worker->counters.drops[i], 0, "dropped: %s", td_dp_drop_info(i)->name);
	cr_assert_eq(buffer->count, 1);
	buffer->count = 0;
	cr_assert_eq(buffer->mbufs[0]->nb_segs, 1);
	return buffer->mbufs[0];
}

// Sends the frame in, cut, and what comes of it back, cut as well; it must be what it was but for two hops.
static void round_trip(
    uint32_t length, const uint32_t *in_ends, unsigned in_count, const uint32_t *out_ends, unsigned out_count)
{
	static uint8_t sealed[MTU + RTE_ETHER_HDR_LEN];
	struct rte_mbuf *mbuf = chain(td_dp.pool, frame, length + RTE_ETHER_HDR_LEN, in_ends, in_count);

	td_classify(worker, INSIDE, &mbuf, 1);
	mbuf = sent(OUTSIDE);
	uint32_t sealed_length = mbuf->data_len;
	memcpy(sealed, rte_pktmbuf_mtod(mbuf, void *), sealed_length);
	rte_pktmbuf_free(mbuf);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(sealed + RTE_ETHER_HDR_LEN);
	RTE_SWAP(ip->src_addr, ip->dst_addr);
	mbuf = chain(td_dp.pool, sealed, sealed_length, out_ends, out_count);
	td_classify(worker, OUTSIDE, &mbuf, 1);
	mbuf = sent(INSIDE);
	cr_assert_eq(mbuf->data_len, length + RTE_ETHER_HDR_LEN);
	ip = rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	cr_assert_eq(ip->time_to_live, 62);
	cr_assert_arr_eq(ip + 1, frame + RTE_ETHER_HDR_LEN + sizeof(*ip), length - sizeof(*ip));
	rte_pktmbuf_free(mbuf);
	cr_assert_eq(rte_mempool_avail_count(td_dp.pool), BUFFERS, "no buffer is lost");
}

static const char *const suites[] = {"aes128gcm16", "aes256-sha512", "aes128ccm16", "chacha20poly1305"};

Test(chain, cut_at_every_byte)
{
	enum { LENGTH = 100 };
	struct td_dp_tunnel *tunnel = td_dp_tunnel_create(0);

	policy_set(tunnel);
	frame_fill(LENGTH);
	for (size_t suite = 0; suite < RTE_DIM(suites); suite++) {
		sas_new(tunnel, suites[suite]);
		const struct td_suite *suite_at =
		    td_suite_at((unsigned)td_dp_suite_find(TD_SA_ESP, suites[suite]));
		uint32_t sealed = RTE_ETHER_HDR_LEN + 20 + 8 + suite_at->info.iv_bytes +
		                  RTE_ALIGN_CEIL(LENGTH + 2, suite_at->align) + suite_at->info.icv_bytes;
		// Of the sealed frame every byte too: it is longer, and its last ones are the ICV's.
		for (uint32_t cut = 1; cut < RTE_ETHER_HDR_LEN + LENGTH; cut++)
			round_trip(LENGTH, &cut, 2, &cut, 2);
		for (uint32_t cut = RTE_ETHER_HDR_LEN + LENGTH; cut < sealed; cut++)
			round_trip(LENGTH, NULL, 1, &cut, 2);
		td_spi_table_remove(&worker->spi_table, 0x1000, 0);
	}
}

Test(chain, largest_packets_in_many_segments)
{
	static const uint32_t ends[] = {1, 14, 15, 34, 42, 50, 2048, 2049, 4096, 8192};
	struct td_dp_tunnel *tunnel = td_dp_tunnel_create(0);
	// 9000 less outer IP and ESP headers, IV, trailer and ICV of AES-GCM.
	uint32_t length = MTU - 20 - 8 - 8 - 2 - 16;

	policy_set(tunnel);
	sas_new(tunnel, suites[0]);
	frame_fill(length);
	for (unsigned count = 1; count <= RTE_DIM(ends) + 1; count++)
		round_trip(length, ends, count, ends, count);
	// One byte of each of the last 40 in a segment of its own.
	uint32_t tail[40];
	for (unsigned i = 0; i < RTE_DIM(tail); i++)
		tail[i] = MTU + RTE_ETHER_HDR_LEN - RTE_DIM(tail) + i;
	round_trip(length, ends, 2, tail, RTE_DIM(tail) + 1);
}

Test(chain, what_does_not_fit_one_buffer_is_counted)
{
	static const uint32_t ends[] = {256, 512};

	frame_fill(600);
	for (unsigned port = INSIDE; port <= OUTSIDE; port++) {
		struct rte_mbuf *mbuf = chain(small, frame, 600 + RTE_ETHER_HDR_LEN, ends, 3);

		td_classify(worker, port, &mbuf, 1);
		cr_expect_eq(worker->counters.drops[TD_DROP_RX_LINEARIZE], port + 1);
		cr_expect_eq(rte_mempool_avail_count(small), BUFFERS, "all segments are free again");
	}
}

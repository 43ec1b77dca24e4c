// SPDX-License-Identifier: BSD-3-Clause
// What the crypto library leaves unsealed does not leave the gateway. There is no route, so that whatever is
// let through ends as "no_route".

#include "dataplane/esp_batch.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <rte_esp.h>
#include <rte_malloc.h>

#define PACKETS 5

static struct td_worker *worker;
static unsigned broken; // bit i: packet i is not sealed

static void start(void)
{
	test_eal_start();
	cr_assert_eq(td_fib_init(), 0);
	td_dp.worker_count = 1;
	td_dp.pool = rte_pktmbuf_pool_create("packets", 511, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8),
	    2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
	cr_assert(td_dp.pool && worker);
}

TestSuite(seal, .init = start);

static void seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	(void)mgr;
	for (unsigned i = 0; i < count; i++)
		ops[i].failed = broken >> ops[i].sequence & 1;
}

static void batch_fill(struct td_esp_batch *batch)
{
	static const struct td_suite suite = {.seal = seal};
	static const struct td_sa_out sa = {.suite = &suite};

	td_esp_batch_init(batch);
	for (unsigned i = 0; i < PACKETS; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_append(mbuf, 100 + i);

		memset(ip, 0, 100 + i);
		*ip = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		    .total_length = rte_cpu_to_be_16((uint16_t)(100 + i)),
		    .time_to_live = 64,
		    .next_proto_id = 50,
		    .dst_addr = rte_cpu_to_be_32(0xc0000202)};
		*td_packet(mbuf) = (struct td_packet){0};
		batch->ops[i] = (struct td_crypt_op){.sequence = i, .esp = (uint8_t *)(ip + 1)};
		td_esp_batch_add(batch, &sa, mbuf, NULL, 0);
	}
}

Test(seal, what_failed_is_dropped_and_counted)
{
	static const unsigned rows[] = {0, 1, 1u << 2, 1u << (PACKETS - 1), 5, (1u << PACKETS) - 1};
	static struct td_esp_batch batch;
	uint64_t dropped = 0, passed = 0, bytes = 0;

	for (size_t row = 0; row < RTE_DIM(rows); row++) {
		broken = rows[row];
		batch_fill(&batch);
		for (unsigned i = 0; i < PACKETS; i++) {
			dropped += broken >> i & 1;
			passed += !(broken >> i & 1);
			bytes += broken >> i & 1 ? 0 : 100 + i;
		}
		td_esp_batch_finish(worker, &batch);
		cr_expect_eq(worker->counters.drops[TD_DROP_ESP_SEAL], dropped, "row %zu", row);
		cr_expect_eq(worker->counters.drops[TD_DROP_NO_ROUTE], passed, "row %zu", row);
		cr_expect_eq(worker->counters.esp_out_packets, passed, "row %zu", row);
		cr_expect_eq(worker->counters.esp_out_bytes, bytes, "row %zu", row);
	}
	cr_expect_eq(rte_mempool_avail_count(td_dp.pool), 511, "no buffer is lost");
}

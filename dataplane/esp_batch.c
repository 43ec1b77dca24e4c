// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/esp_batch.h"

#include "dataplane/ah.h"
#include "dataplane/esp.h"
#include "dataplane/forward.h"
#include "dataplane/fragment.h"
#include "dataplane/ip_packet.h"

#include <netinet/in.h>

// UDP over IPv6 without a checksum is dropped by most receivers (RFC 8200 8.1); over IPv4 it stays zero (RFC
// 3948 2.1).
static void udp_checksum(struct rte_mbuf *mbuf, uint16_t offset)
{
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(mbuf, struct rte_udp_hdr *, offset);

	udp->dgram_cksum = td_ip_upper_checksum(mbuf, offset, IPPROTO_UDP);
}

static rte_be32_t sealed_spi(const struct td_suite *suite, const struct td_crypt_op *op)
{
	if (suite->info.protocol == TD_SA_AH)
		return ((const struct td_ah *)(op->data - sizeof(struct td_ah)))->spi;
	return ((const struct rte_esp_hdr *)op->esp)->spi;
}

static void batch_trace(struct td_worker *worker, const struct td_esp_batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		td_trace_sa(worker, batch->sealed[i], TD_TRACE_ESP_OUT,
		    rte_be_to_cpu_32(sealed_spi(batch->suites[i], &batch->ops[i])),
		    td_packet(batch->sealed[i])->tunnel, batch->ops[i].sequence, 0);
}

static void batch_seal(struct td_worker *worker, struct td_esp_batch *batch)
{
	for (unsigned start = 0, end; start < batch->count; start = end) {
		const struct td_suite *suite = batch->suites[start];

		for (end = start + 1; end < batch->count && batch->suites[end] == suite; end++)
			;
		suite->seal(worker->mgr, &batch->ops[start], end - start);
	}
}

// Drops what was not sealed: it may still be plaintext.
static void batch_sort(struct td_worker *worker, struct td_esp_batch *batch)
{
	unsigned good = 0;

	for (unsigned i = 0; i < batch->count; i++) {
		if (unlikely(batch->ops[i].failed)) {
			batch->bytes -= batch->sealed[i]->data_len;
			td_drop(worker, batch->sealed[i], TD_DROP_ESP_SEAL);
			continue;
		}
		if (unlikely(good != i)) {
			batch->ops[good] = batch->ops[i];
			batch->suites[good] = batch->suites[i];
			batch->sealed[good] = batch->sealed[i];
			batch->adjacencies[good] = batch->adjacencies[i];
			batch->udp[good] = batch->udp[i];
		}
		good++;
	}
	batch->count = good;
}

static void batch_checksum(struct td_esp_batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		if (unlikely(batch->udp[i]))
			udp_checksum(batch->sealed[i], batch->udp[i]);
}

// While packets wait for neighbours, what was found before they did no longer counts.
static void batch_send(struct td_worker *worker, struct td_esp_batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++)
		if (likely(batch->adjacencies[i] != NULL && worker->held_count == 0))
			td_forward_resolved(worker, batch->sealed[i], batch->adjacencies[i]);
		else
			td_forward(worker, &batch->sealed[i], 1, false);
}

// Seals what the batch has.
static void batch_close(struct td_worker *worker, struct td_esp_batch *batch)
{
	batch_seal(worker, batch);
	batch_sort(worker, batch);
	batch_checksum(batch);
	td_counter_add(&worker->counters.esp_out_packets, batch->count);
	td_counter_add(&worker->counters.esp_out_bytes, batch->bytes);
	if (unlikely(worker->watched))
		batch_trace(worker, batch);
}

void td_esp_batch_finish(struct td_worker *worker, struct td_esp_batch *batch)
{
	batch_close(worker, batch);
	if (likely(!worker->watched))
		batch_send(worker, batch);
	else
		td_forward(worker, batch->sealed, batch->count, false);
	td_esp_batch_init(batch);
}

void td_esp_batch_finish_cut(
    struct td_worker *worker, struct td_esp_batch *batch, uint16_t mtu, uint32_t identification)
{
	struct rte_mbuf *fragments[TD_FRAGMENTS_MAX];

	batch_close(worker, batch);
	for (unsigned i = 0; i < batch->count; i++) {
		struct rte_mbuf *mbuf = batch->sealed[i];
		int count =
		    td_fragment_ipv6(mbuf, fragments, TD_FRAGMENTS_MAX, mtu, identification, td_dp.pool);

		if (count < 0) {
			td_drop(worker, mbuf, TD_DROP_ESP_TOO_BIG);
			continue;
		}
		// The fragments carry the packet's mark on.
		if (unlikely(worker->watched))
			td_trace_code(worker, mbuf, TD_TRACE_CUT, (unsigned)count);
		rte_pktmbuf_free(mbuf);
		td_forward(worker, fragments, (unsigned)count, false);
	}
	td_esp_batch_init(batch);
}

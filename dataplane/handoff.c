// SPDX-License-Identifier: BSD-3-Clause
// Packets that another worker has to go on with: the owner of their SA, or one with a transmit queue.

#include "dataplane/worker.h"

void td_handoff(struct td_worker *worker, unsigned target, struct rte_mbuf *mbuf, enum td_stage stage)
{
	td_packet(mbuf)->stage = stage;
	if (unlikely(worker->watched))
		td_trace_code(worker, mbuf, TD_TRACE_HANDOFF, target);
	if (rte_ring_sp_enqueue(td_dp.workers[target]->handoff[worker->id], mbuf)) {
		td_drop(worker, mbuf, TD_DROP_HANDOFF_FULL);
		return;
	}
	td_counter_add(&worker->counters.handoff_out, 1);
}

static void stage_run(struct td_worker *worker, enum td_stage stage, struct rte_mbuf **mbufs, unsigned count)
{
	switch (stage) {
	case TD_STAGE_ESP_IN:
		td_esp_in(worker, mbufs, count);
		break;
	case TD_STAGE_ESP_OUT:
		td_esp_out(worker, mbufs, count);
		break;
	case TD_STAGE_TX:
		for (unsigned i = 0; i < count; i++)
			td_tx(worker, td_packet(mbufs[i])->port, mbufs[i]);
		break;
	}
}

unsigned td_handoff_receive(struct td_worker *worker)
{
	unsigned received = 0;

	for (unsigned from = 0; from < td_dp.worker_count; from++) {
		struct rte_mbuf *mbufs[TD_BURST];

		if (from == worker->id)
			continue;
		unsigned count =
		    rte_ring_sc_dequeue_burst(worker->handoff[from], (void **)mbufs, TD_BURST, NULL);
		// Runs of one stage go on together, in order.
		for (unsigned start = 0, end; start < count; start = end) {
			enum td_stage stage = td_packet(mbufs[start])->stage;

			for (end = start + 1; end < count && td_packet(mbufs[end])->stage == stage; end++)
				;
			stage_run(worker, stage, &mbufs[start], end - start);
		}
		received += count;
	}
	td_counter_add(&worker->counters.handoff_in, received);
	return received;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker.h"

#include <rte_ring_elem.h>

void td_event_raise(struct td_worker *worker, struct td_event *event)
{
	event->worker = worker->id;
	if (rte_ring_sp_enqueue_elem(worker->events, event, sizeof(*event)))
		td_counter_add(&worker->counters.events_lost, 1);
}

unsigned td_dp_events_receive(struct td_event *events, unsigned max)
{
	unsigned received = 0;

	for (unsigned i = 0; i < td_dp.worker_count && received < max; i++)
		received += rte_ring_sc_dequeue_burst_elem(
		    td_dp.workers[i]->events, &events[received], sizeof(*events), max - received, NULL);
	return received;
}

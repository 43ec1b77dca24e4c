// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker.h"

#include <rte_ring_elem.h>

bool td_event_raise(struct td_worker *worker, struct td_event *event)
{
	event->worker = worker->id;
	if (rte_ring_sp_enqueue_elem(worker->events, event, sizeof(*event)) == 0)
		return true;
	td_counter_add(&worker->counters.events_lost, 1);
	return false;
}

bool td_event_has_room(const struct td_worker *worker)
{
	const struct rte_ring *ring = worker->events;
	// Relaxed: what the control thread takes meanwhile only makes more room.
	uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);

	return ((ring->prod.tail - taken) & ring->mask) < ring->capacity;
}

unsigned td_dp_events_receive(struct td_event *events, unsigned max)
{
	static unsigned first; // the workers take turns at being asked first
	unsigned received = 0;

	first++;
	for (unsigned i = 0; i < td_dp.worker_count && received < max; i++)
		received +=
		    rte_ring_sc_dequeue_burst_elem(td_dp.workers[(first + i) % td_dp.worker_count]->events,
		        &events[received], sizeof(*events), max - received, NULL);
	return received;
}

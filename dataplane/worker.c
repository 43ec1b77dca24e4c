// SPDX-License-Identifier: BSD-3-Clause
// The worker's loop.

#include "dataplane/worker.h"

#include <rte_pause.h>
#include <sys/prctl.h>
#include <time.h>

// Adaptive idle: empty loops before the first sleep, and how long sleeps grow.
#define IDLE_SPINS 64
#define IDLE_SLEEP_MIN_NS 20000
#define IDLE_SLEEP_MAX_NS 200000

static unsigned receive_ports(struct td_worker *worker)
{
	struct rte_mbuf *mbufs[TD_BURST];
	unsigned received = 0;

	for (unsigned i = 0; i < worker->rx_count; i++) {
		uint8_t port = worker->rx[i].port;
		uint16_t count =
		    rte_eth_rx_burst(td_dp.ports[port].eth_id, worker->rx[i].queue, mbufs, TD_BURST);

		if (count == 0)
			continue;
		td_classify(worker, port, mbufs, count);
		received += count;
	}
	td_counter_add(&worker->counters.rx_packets, received);
	return received;
}

static unsigned receive_injected(struct td_worker *worker)
{
	struct rte_mbuf *mbufs[TD_BURST];
	unsigned count = rte_ring_sc_dequeue_burst(worker->inject, (void **)mbufs, TD_BURST, NULL);

	if (count)
		td_inject_stage(worker, mbufs, count);
	return count;
}

static void reassembly_poll(struct td_worker *worker)
{
	uint64_t *drops = worker->counters.drops;

	for (unsigned i = 0; i < 2; i++) {
		struct td_reassembly_drops dropped =
		    td_reassembly_poll(worker->reassembly[i], worker->now_tsc);

		td_counter_add(&drops[TD_DROP_FRAGMENT_INVALID], dropped.invalid);
		td_counter_add(&drops[TD_DROP_FRAGMENT_EVICTED], dropped.evicted);
		td_counter_add(&drops[TD_DROP_FRAGMENT_TIMEOUT], dropped.timed_out);
	}
}

// Waits a little when there is nothing to do. A sleeping worker is offline for RCU, so that it
// delays no reclamation.
static void idle(struct td_worker *worker, unsigned empty_loops)
{
	if (td_dp.idle == TD_IDLE_SPIN || empty_loops < IDLE_SPINS) {
		rte_pause();
		return;
	}
	long sleep_ns = IDLE_SLEEP_MIN_NS * (long)(1 + (empty_loops - IDLE_SPINS) / 16);
	struct timespec duration = {.tv_nsec = RTE_MIN(sleep_ns, (long)IDLE_SLEEP_MAX_NS)};

	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, worker->id);
	nanosleep(&duration, NULL);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, worker->id);
}

static void drop_all(struct td_worker *worker, struct rte_ring *ring)
{
	void *mbuf;

	while (rte_ring_sc_dequeue(ring, &mbuf) == 0)
		td_drop(worker, mbuf, TD_DROP_STOPPED);
}

// What this worker still holds when the gateway stops.
static void drain(struct td_worker *worker)
{
	// A trace may have ended while this worker slept.
	td_watch_look(worker);
	(void)td_tx_flush(worker);
	for (unsigned port = 0; port < td_dp.port_count; port++) {
		struct td_tx_buffer *buffer = &worker->tx[port];

		while (buffer->count)
			td_drop(worker, buffer->mbufs[--buffer->count], TD_DROP_STOPPED);
	}
	while (worker->acquire_count)
		td_drop(worker, worker->acquire[--worker->acquire_count].mbuf, TD_DROP_STOPPED);
	while (worker->held_count)
		td_drop(worker, worker->held[--worker->held_count].mbuf, TD_DROP_STOPPED);
	drop_all(worker, worker->inject);
}

unsigned td_worker_turn(struct td_worker *worker)
{
	worker->now_tsc = rte_rdtsc();
	td_watch_look(worker);
	// What waits goes before what comes.
	td_hold_poll(worker);
	td_acquire_poll(worker);
	unsigned work = receive_ports(worker);
	work += td_handoff_receive(worker);
	work += receive_injected(worker);
	reassembly_poll(worker);
	td_dummy_poll(worker);
	work += td_tx_flush(worker);
	// No pointer to a published object is kept beyond this line.
	rte_rcu_qsbr_quiescent(td_rcu_qsbr, worker->id);
	td_counter_add(&worker->counters.loops, 1);
	return work;
}

int td_worker_run(void *argument)
{
	struct td_worker *worker = argument;
	unsigned empty_loops = 0;

	// Short sleeps need a short timer slack (the default is 50 us).
	(void)prctl(PR_SET_TIMERSLACK, 1000ul);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, worker->id);
	while (!__atomic_load_n(&td_dp.stop, __ATOMIC_RELAXED)) {
		if (td_worker_turn(worker)) {
			empty_loops = 0;
			continue;
		}
		td_counter_add(&worker->counters.idle_loops, 1);
		idle(worker, empty_loops++);
	}
	drain(worker);
	rte_rcu_qsbr_thread_offline(td_rcu_qsbr, worker->id);
	rte_rcu_qsbr_thread_unregister(td_rcu_qsbr, worker->id);
	return 0;
}

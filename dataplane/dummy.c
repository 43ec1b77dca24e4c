// SPDX-License-Identifier: BSD-3-Clause
// Dummy packets (RFC 4303 2.6): who gets them and when. The owner of an outbound SA sends them from its loop,
// so that sequence numbers keep their one writer. esp_out.c makes and seals them.

#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <errno.h>

// ---- control thread ---------------------------------------------------------------------------

int td_dp_tunnel_tfc(struct td_dp_tunnel *tunnel, uint16_t tfc_bytes, uint16_t dummy_rate)
{
	unsigned place = 0;

	if (dummy_rate) {
		while (place < TD_DUMMY_TUNNELS_MAX && td_dp.dummy_tunnels[place])
			place++;
		if (place == TD_DUMMY_TUNNELS_MAX)
			return -ENOSPC;
	}
	__atomic_store_n(&tunnel->tfc, tfc_bytes, __ATOMIC_RELAXED);
	if (!dummy_rate)
		return 0;
	__atomic_store_n(&tunnel->dummy_rate, RTE_MIN(dummy_rate, TD_DUMMY_RATE_MAX), __ATOMIC_RELAXED);
	// Both pair with the acquires in td_dummy_poll: what is found there is complete.
	__atomic_store_n(&td_dp.dummy_tunnels[place], tunnel->id + 1, __ATOMIC_RELEASE);
	if (place >= td_dp.dummy_used)
		__atomic_store_n(&td_dp.dummy_used, place + 1, __ATOMIC_RELEASE);
	return 0;
}

void td_dummy_forget(const struct td_dp_tunnel *tunnel)
{
	for (unsigned place = 0; tunnel->dummy_rate && place < td_dp.dummy_used; place++)
		if (td_dp.dummy_tunnels[place] == tunnel->id + 1)
			__atomic_store_n(&td_dp.dummy_tunnels[place], 0, __ATOMIC_RELEASE);
}

int td_dp_dummy_send(struct td_dp_tunnel *tunnel, unsigned worker)
{
	struct rte_mbuf *order = rte_pktmbuf_alloc(td_dp.pool);

	if (!order)
		return -ENOMEM;
	*td_packet(order) = (struct td_packet){.tunnel = tunnel->id, .dummy = true, .own = true};
	if (rte_ring_sp_enqueue(td_dp.workers[worker]->inject, order) == 0)
		return 0;
	rte_pktmbuf_free(order);
	return -ENOBUFS;
}

// ---- worker -----------------------------------------------------------------------------------

// An SA is idle when nothing has been sent on it for the time between two dummy packets.
static bool is_due(const struct td_worker *worker, struct td_sa_out *sa, unsigned rate)
{
	bool used = sa->sequence != sa->dummy_sequence;

	if (worker->now_tsc < sa->dummy_due_tsc)
		return false;
	sa->dummy_sequence = sa->sequence;
	sa->dummy_due_tsc = worker->now_tsc + td_dp.tsc_hz / rate;
	return !used;
}

// The SA of a tunnel that this worker may send dummy packets on, or NULL.
static struct td_sa_out *sa_own(const struct td_worker *worker, const struct td_dp_tunnel *tunnel)
{
	// Pairs with the release in td_dp_tunnel_switch: the SA behind the pointer is complete.
	struct td_sa_out *sa = tunnel ? __atomic_load_n(&tunnel->out[worker->id], __ATOMIC_ACQUIRE) : NULL;

	if (!sa || sa->owner != worker->id || sa->suite->info.protocol != TD_SA_ESP ||
	    sa->mode != TD_SA_TUNNEL || __atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))
		return NULL;
	return sa;
}

// The same, when it has been idle for long enough.
static struct td_sa_out *sa_due(const struct td_worker *worker, uint32_t id)
{
	const struct td_dp_tunnel *tunnel = td_tunnel_at(id);
	struct td_sa_out *sa = sa_own(worker, tunnel);
	// The place may have named a tunnel that is gone, and whose number another one has now.
	unsigned rate = sa ? __atomic_load_n(&tunnel->dummy_rate, __ATOMIC_RELAXED) : 0;

	return rate && is_due(worker, sa, rate) ? sa : NULL;
}

void td_dummy_order(struct td_worker *worker, struct rte_mbuf *order)
{
	struct td_sa_out *sa = sa_own(worker, td_tunnel_at(td_packet(order)->tunnel));

	rte_pktmbuf_free(order); // it only brought the tunnel's number
	if (sa)
		td_esp_out_dummies(worker, &sa, 1);
}

void td_dummy_poll(struct td_worker *worker)
{
	unsigned used = __atomic_load_n(&td_dp.dummy_used, __ATOMIC_ACQUIRE);
	unsigned looks = RTE_MIN(used, (unsigned)TD_BURST);
	struct td_sa_out *due[TD_BURST];
	unsigned count = 0;

	for (unsigned i = 0; i < looks; i++) {
		worker->dummy_cursor = worker->dummy_cursor + 1 < used ? worker->dummy_cursor + 1 : 0;
		uint32_t id = __atomic_load_n(&td_dp.dummy_tunnels[worker->dummy_cursor], __ATOMIC_ACQUIRE);

		due[count] = id ? sa_due(worker, id - 1) : NULL;
		count += due[count] != NULL;
	}
	if (count)
		td_esp_out_dummies(worker, due, count);
}

// SPDX-License-Identifier: BSD-3-Clause
// Packets that wait for a neighbour: a small bounded queue per worker, in order of arrival.

#include "dataplane/forward.h"
#include "dataplane/ip_packet.h"

#include <string.h>

// The neighbour that a packet waits for.
static struct td_ip next_hop_of(struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	struct td_ip ip = {.family = 6};

	if (adjacency->kind == TD_ADJ_LINK)
		return td_ip_destination(mbuf);
	if (adjacency->family == 4)
		return td_ip_from_v4(adjacency->next_hop);
	memcpy(ip.bytes, adjacency->next_hop6, sizeof(ip.bytes));
	return ip;
}

static uint64_t hold_tsc(void)
{
	return td_dp.tsc_hz / 1000 * TD_HOLD_MS;
}

// Has the kernel asked for a neighbour. Where the ring has no room, whoever waits is asked for again later.
static bool neighbour_ask(struct td_worker *worker, const struct td_ip *next_hop, uint16_t port)
{
	struct td_event event = {.kind = TD_EVENT_RESOLVE, .port = port, .destination = *next_hop};

	if (!td_event_has_room(worker) || !td_event_raise(worker, &event))
		return false;
	for (unsigned i = 0; i < worker->held_count; i++)
		if (td_ip_equal(&worker->held[i].next_hop, next_hop))
			worker->held[i].ask_tsc = worker->now_tsc + hold_tsc();
	return true;
}

void td_hold(struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	struct td_ip next_hop = next_hop_of(mbuf, adjacency);
	uint64_t ask_tsc = 0;
	unsigned waiting = 0;

	for (unsigned i = 0; i < worker->held_count; i++)
		if (td_ip_equal(&worker->held[i].next_hop, &next_hop)) {
			waiting++;
			ask_tsc = worker->held[i].ask_tsc;
		}
	// One dummy packet is enough to ask for the neighbour; the places are for what somebody sent.
	if (waiting >= (td_packet(mbuf)->dummy ? 1 : TD_HOLD_PER_NEIGHBOUR) ||
	    worker->held_count == TD_HOLD_PER_WORKER) {
		td_drop(worker, mbuf, TD_DROP_NEIGHBOUR_FULL);
		return;
	}
	if (ask_tsc <= worker->now_tsc && neighbour_ask(worker, &next_hop, adjacency->port))
		ask_tsc = worker->now_tsc + hold_tsc();
	if (unlikely(worker->watched))
		td_trace_code(worker, mbuf, TD_TRACE_HELD, TD_TRACE_WAIT_NEIGHBOUR);
	worker->held[worker->held_count++] = (struct td_held){
	    .mbuf = mbuf,
	    .next_hop = next_hop,
	    .port = adjacency->port,
	    .deadline_tsc = worker->now_tsc + hold_tsc(),
	    .ask_tsc = ask_tsc,
	};
	__atomic_store_n(&worker->counters.held, worker->held_count, __ATOMIC_RELAXED);
}

// One look at the FIB for a held packet. It leaves through the very adjacency that was checked: a route
// that now leaves by another port was not what policy decided on. False: it goes on waiting.
static bool held_release(struct td_worker *worker, const struct td_held *held)
{
	const struct td_adjacency *adjacency = td_ip_route(held->mbuf);

	if (!adjacency || adjacency->kind == TD_ADJ_BLACKHOLE || adjacency->kind == TD_ADJ_LOCAL ||
	    adjacency->port != held->port) {
		td_drop(worker, held->mbuf, TD_DROP_NO_ROUTE);
		return true;
	}
	if (adjacency->kind != TD_ADJ_RESOLVED)
		return false;
	td_forward_resolved(worker, held->mbuf, adjacency);
	return true;
}

// Whether one of the first held packets waits for a neighbour.
static bool is_awaited(const struct td_worker *worker, unsigned count, const struct td_ip *next_hop)
{
	for (unsigned i = 0; i < count; i++)
		if (td_ip_equal(&worker->held[i].next_hop, next_hop))
			return true;
	return false;
}

// Sends what can go by now, in order: the neighbour may become known between two of its packets.
static void held_retry(struct td_worker *worker, uint32_t generation)
{
	unsigned kept = 0;

	worker->held_generation = generation;
	worker->held_retrying = true;
	for (unsigned i = 0; i < worker->held_count; i++)
		if (is_awaited(worker, kept, &worker->held[i].next_hop) ||
		    !held_release(worker, &worker->held[i]))
			worker->held[kept++] = worker->held[i];
	worker->held_retrying = false;
	worker->held_count = kept;
	__atomic_store_n(&worker->counters.held, kept, __ATOMIC_RELAXED);
}

void td_hold_look(struct td_worker *worker)
{
	// Pairs with the release in fib.c.
	uint32_t generation = __atomic_load_n(&td_fib.generation, __ATOMIC_ACQUIRE);

	// A held packet that turns out to be too long is answered, and the answer forwarded.
	if (worker->held_retrying)
		return;
	// An odd one: while a change is under way each look may find more of it.
	if (generation != worker->held_generation || generation % 2)
		held_retry(worker, generation);
}

void td_hold_poll(struct td_worker *worker)
{
	unsigned kept = 0;

	if (likely(worker->held_count == 0))
		return;
	td_hold_look(worker);
	for (unsigned i = 0; i < worker->held_count; i++) {
		struct td_held *held = &worker->held[i];

		if (worker->now_tsc > held->deadline_tsc)
			td_drop(worker, held->mbuf, TD_DROP_NEIGHBOUR_TIMEOUT);
		else
			worker->held[kept++] = *held;
	}
	worker->held_count = kept;
	for (unsigned i = 0; i < kept; i++)
		if (worker->held[i].ask_tsc <= worker->now_tsc &&
		    !neighbour_ask(worker, &worker->held[i].next_hop, worker->held[i].port))
			break;
	__atomic_store_n(&worker->counters.held, kept, __ATOMIC_RELAXED);
}

// SPDX-License-Identifier: BSD-3-Clause
// Packets of tunnels that have no outbound SA yet: a small bounded queue per worker, released in order
// when the tunnel gets one. They never leave in plaintext.

#include "dataplane/ip_packet.h"
#include "dataplane/policy_key.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

static uint64_t hold_tsc(void)
{
	return td_dp.tsc_hz / 1000 * TD_ACQUIRE_HOLD_MS;
}

// What the policy looked at: both are 0 where a packet shows none, and the second one never is otherwise.
static void numbers_read(struct td_event *event, const struct rte_mbuf *mbuf)
{
	struct td_policy_key key;

	td_policy_key_fill(&key, mbuf, true);
	uint16_t first = rte_be_to_cpu_16(key.ports[0]), second = rte_be_to_cpu_16(key.ports[1]);
	bool ports = td_policy_has_ports(key.protocol);
	event->numbers = second != 0;
	event->source_port = ports ? first : first >> 8;
	event->destination_port = ports ? second : first & UINT8_MAX;
}

// Asks the control thread for an SA for a packet's tunnel. Where there is no token or no room in the ring,
// whoever waits is asked for again later.
static bool acquire_tell(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	struct td_event event = {
	    .kind = TD_EVENT_ACQUIRE,
	    .tunnel = td_packet(mbuf)->tunnel,
	    .source = td_ip_source(mbuf),
	    .destination = td_ip_destination(mbuf),
	    .protocol = td_ip_protocol(mbuf),
	};

	numbers_read(&event, mbuf);
	if (!td_event_has_room(worker) ||
	    !td_bucket_take(
	        &worker->acquire_bucket, worker->now_tsc, td_dp.tsc_hz, TD_ACQUIRE_EVENTS_PER_S) ||
	    !td_event_raise(worker, &event))
		return false;
	for (unsigned i = 0; i < worker->acquire_count; i++)
		if (td_packet(worker->acquire[i].mbuf)->tunnel == event.tunnel)
			worker->acquire[i].tell_tsc = worker->now_tsc + hold_tsc();
	return true;
}

// Whether one of the first so many packets that wait is the tunnel's.
static bool waits(const struct td_worker *worker, unsigned count, uint32_t tunnel)
{
	while (count--)
		if (td_packet(worker->acquire[count].mbuf)->tunnel == tunnel)
			return true;
	return false;
}

bool td_acquire_find(const struct td_worker *worker, uint32_t tunnel)
{
	return waits(worker, worker->acquire_count, tunnel);
}

void td_acquire_hold(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint32_t tunnel = td_packet(mbuf)->tunnel;
	struct td_acquire *held = &worker->acquire[worker->acquire_count];
	uint64_t tell_tsc = 0;
	unsigned waiting = 0;

	for (unsigned i = 0; i < worker->acquire_count; i++)
		if (td_packet(worker->acquire[i].mbuf)->tunnel == tunnel) {
			waiting++;
			tell_tsc = worker->acquire[i].tell_tsc;
		}
	if (tell_tsc <= worker->now_tsc && acquire_tell(worker, mbuf))
		tell_tsc = worker->now_tsc + hold_tsc();
	if (waiting == TD_ACQUIRE_PER_TUNNEL || worker->acquire_count == TD_ACQUIRE_PER_WORKER) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_SA);
		return;
	}
	if (unlikely(worker->watched))
		td_trace_code(worker, mbuf, TD_TRACE_HELD, TD_TRACE_WAIT_SA);
	*held = (struct td_acquire){mbuf, worker->now_tsc + hold_tsc(), tell_tsc};
	worker->acquire_count++;
	worker->acquire_tunnels |= td_acquire_bit(tunnel);
}

static bool has_sa(const struct td_worker *worker, uint32_t id)
{
	const struct td_dp_tunnel *tunnel = td_tunnel_at(id);

	return tunnel && __atomic_load_n(&tunnel->out[worker->id], __ATOMIC_ACQUIRE);
}

void td_acquire_poll(struct td_worker *worker)
{
	struct rte_mbuf *ready[TD_ACQUIRE_PER_WORKER];
	unsigned ready_count = 0, kept = 0;

	if (likely(worker->acquire_count == 0))
		return;
	// Pairs with the release in td_dp_tunnel_switch: an SA that was switched to before is visible.
	uint32_t generation = __atomic_load_n(&td_dp.switch_generation, __ATOMIC_ACQUIRE);
	bool changed = generation != worker->acquire_generation;

	worker->acquire_generation = generation;
	worker->acquire_tunnels = 0;
	for (unsigned i = 0; i < worker->acquire_count; i++) {
		struct td_acquire held = worker->acquire[i];
		uint32_t tunnel = td_packet(held.mbuf)->tunnel;

		// A switch may come in the middle: then all of the tunnel's packets go next time.
		if (changed && has_sa(worker, tunnel) && !waits(worker, kept, tunnel)) {
			ready[ready_count++] = held.mbuf;
		} else if (worker->now_tsc > held.deadline_tsc) {
			td_drop(worker, held.mbuf, TD_DROP_ESP_NO_SA);
		} else {
			worker->acquire[kept++] = held;
			worker->acquire_tunnels |= td_acquire_bit(tunnel);
		}
	}
	worker->acquire_count = kept;
	for (unsigned i = 0; i < kept; i++)
		if (worker->acquire[i].tell_tsc <= worker->now_tsc &&
		    !acquire_tell(worker, worker->acquire[i].mbuf))
			break;
	// Behind the bookkeeping, because a packet whose SA has gone again comes back here.
	for (unsigned done = 0, count; done < ready_count; done += count) {
		count = RTE_MIN(ready_count - done, (unsigned)TD_BURST);
		td_esp_out_ready(worker, &ready[done], count);
	}
}

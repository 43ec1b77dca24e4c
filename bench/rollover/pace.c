// SPDX-License-Identifier: BSD-3-Clause
#include "bench/rollover/pace.h"

#include "bench/load/traffic.h"
#include "common/clock.h"
#include "dataplane/publish.h"

#include <rte_cycles.h>
#include <time.h>

#define TICK_NS 500000 // the control thread's longest sleep, as in control/loop.c
#define RECLAIM_EVERY 64 // rollovers without a sleep
#define EVENTS 256

// What the control thread does on each tick.
static void tick(void)
{
	struct td_event events[EVENTS];

	(void)td_dp_events_receive(events, EVENTS);
	td_dp_reclaim();
}

static void sleep_until(uint64_t due_ns, uint64_t now_ns)
{
	uint64_t duration_ns = due_ns - now_ns < TICK_NS ? due_ns - now_ns : TICK_NS;

	nanosleep(&(struct timespec){.tv_nsec = (long)duration_ns}, NULL);
	tick();
}

// What is due may come in a row when this thread was kept from it, but no faster than it can.
static bool rollovers_paced(uint32_t wanted, uint64_t end_ns)
{
	uint64_t now_ns = td_clock_now_ns(), start_ns = now_ns;

	for (uint64_t done = 0; now_ns < end_ns; now_ns = td_clock_now_ns()) {
		uint64_t due_ns = wanted ? start_ns + (done + 1) * 1000000000ull / wanted : end_ns;

		if (now_ns < due_ns) {
			sleep_until(due_ns < end_ns ? due_ns : end_ns, now_ns);
			continue;
		}
		if (td_traffic_rollover())
			return false;
		done++;
	}
	return true;
}

static bool rollovers_unbounded(uint64_t end_ns)
{
	for (uint64_t done = 0; td_clock_now_ns() < end_ns; done++) {
		if (td_traffic_rollover())
			return false;
		if (done % RECLAIM_EVERY == 0)
			tick();
	}
	return true;
}

static struct td_pace_latency latency_of(const struct td_latency *latency, double per_us)
{
	return (struct td_pace_latency){
	    (double)td_latency_quantile(latency, 0.5) / per_us,
	    (double)td_latency_quantile(latency, 0.999) / per_us,
	    (double)latency->worst / per_us,
	};
}

void td_pace_run(uint32_t wanted, double seconds, struct td_pace_result *result)
{
	uint64_t rollovers = td_traffic_rollovers(), received = td_traffic_received();
	uint64_t lost = td_traffic_pause();

	td_traffic_go_on();
	uint64_t start_ns = td_clock_now_ns(), end_ns = start_ns + (uint64_t)(seconds * 1e9);
	bool good =
	    wanted == TD_PACE_UNBOUNDED ? rollovers_unbounded(end_ns) : rollovers_paced(wanted, end_ns);
	uint64_t packets = td_traffic_received() - received;
	*result = (struct td_pace_result){
	    .wanted = wanted,
	    .seconds = (double)(td_clock_now_ns() - start_ns) / 1e9,
	    .rollovers = td_traffic_rollovers() - rollovers,
	    .packets = packets,
	    .lost = td_traffic_pause() - lost,
	};
	enum td_traffic_latency which = wanted ? TD_TRAFFIC_NEAR : TD_TRAFFIC_FAR;
	result->timed = td_traffic_latency(which, TD_TRAFFIC_TSC)->count;
	result->wall = latency_of(td_traffic_latency(which, TD_TRAFFIC_TSC), (double)rte_get_tsc_hz() / 1e6);
	result->own = latency_of(td_traffic_latency(which, TD_TRAFFIC_OWN_NS), 1e3);
	result->failed = !good || result->lost || (wanted && result->rollovers == 0);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/events.h"

#include "common/clock.h"
#include "common/log.h"

#define BATCH 64
#define LOOK_NS (100 * TD_NS_PER_MS) // so often the workers' counters are read, and all SAs after a loss
#define BURST_NS (10 * TD_NS_PER_S) // losses that are not further apart are logged once

static void losses_look(struct td_events *events, uint64_t now_ns)
{
	struct td_dp_worker_info info;
	uint64_t lost = 0, more;
	unsigned worker;

	for (worker = 0; worker < td_dp_worker_count(); worker++) {
		td_dp_worker_info(worker, &info);
		lost += info.events_lost;
	}
	if (lost == events->lost)
		return;
	more = lost - events->lost;
	events->lost = lost;
	if (events->burst_ns == 0 || now_ns - events->burst_ns > BURST_NS)
		td_log_warning("the workers raised events faster than they were taken: %llu were lost so far",
		    (unsigned long long)lost);
	events->burst_ns = now_ns;
	td_rpc_events_lost(events->rpc, more);
	td_sad_events_lost(events->sad);
}

unsigned td_events_take(struct td_events *events)
{
	struct td_event batch[BATCH];
	unsigned count = td_dp_events_receive(batch, BATCH), i;
	uint64_t now_ns = td_clock_now_ns();

	for (i = 0; i < count; i++) {
		if (batch[i].kind == TD_EVENT_RESOLVE)
			td_netlink_resolve(events->netlink, batch[i].port, &batch[i].destination);
		else
			td_sad_event(events->sad, &batch[i]);
	}
	if (now_ns >= events->look_ns) {
		events->look_ns = now_ns + LOOK_NS;
		losses_look(events, now_ns);
	}
	return count;
}

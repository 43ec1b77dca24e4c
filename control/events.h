// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the workers tell, brought to those whom it concerns.

#include "control/kernel/kernel.h"
#include "control/rpc/rpc.h"
#include "control/sad/sad.h"

struct td_events {
	struct td_sad *sad;
	struct td_netlink *netlink;
	struct td_rpc *rpc;
	uint64_t lost; // of all workers, as of the last look
	uint64_t look_ns, burst_ns; // when the next look is due, and the last loss was seen
};

// Takes a batch of events. From time to time also looks whether a worker found its ring full; then the
// subscribers are told, and what the lost events said about SAs is worked out from their statistics. Returns
// how many events came.
unsigned td_events_take(struct td_events *events);

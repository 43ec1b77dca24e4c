// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Traffic beside rollovers at some pace.

#include <stdbool.h>
#include <stdint.h>

#define TD_PACE_UNBOUNDED UINT32_MAX // as fast as the control thread can

struct td_pace_latency {
	double median_us, most_us, worst_us; // most: 99.9 % took no longer
};

struct td_pace_result {
	uint32_t wanted; // rollovers a second; 0: none
	double seconds;
	uint64_t rollovers, packets, lost;
	uint64_t timed; // packets near a rollover, or all where there is none
	struct td_pace_latency wall, own; // own: in processor time of the worker
	bool failed;
};

// Runs the traffic of bench/load for some time. It has been started and is paused, and is so again.
void td_pace_run(uint32_t wanted, double seconds, struct td_pace_result *result);

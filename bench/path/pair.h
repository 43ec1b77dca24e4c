// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a second worker adds. Two threads take the turns of two workers, each on a CPU of its own, with
// packets of its own tunnel, or of its own SAs of one tunnel; beside that the first of them works while the
// other one sleeps. That the ratio says something takes two free cores all the time, so each round watches
// for whatever else ran there, and a round that was disturbed is only counted.

#include "bench/path/measure.h"

#include <stdbool.h>

struct td_path_pair_result {
	struct td_path_row row; // tunnels: 2, of one worker each, or 1, with SAs for each worker
	bool failed; // it did not run, or a packet did not come out
	int cpus; // that this process may use
	unsigned tries; // rounds; the sum of the next four
	unsigned rounds; // taken: two cores were free
	unsigned preempted; // another thread ran on one of the CPUs
	unsigned shared; // fewer additions a clock than the CPU does alone: both are one core, or a sibling
	                 // took part
	unsigned drifted; // the core clock moved
	// Of the rounds taken, if there are enough of them, else 0.
	double one, two; // packets a TSC cycle of one worker and of both
	double ratio;
};

// Opens the gateway, with two workers; td_path_gateway_close closes it. Returns 0 or -errno.
int td_path_pair_open(void);
// Puts the row's tunnels in place and measures.
void td_path_pair_measure(const struct td_path_row *row, bool quick, struct td_path_pair_result *result);

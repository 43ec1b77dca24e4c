// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One row of the report: what a packet costs on its way through the worker. A round is some passes of all
// packets through the worker's loop, with the bare cryptography and the bare ports measured beside each;
// probes of the core clock and of the sibling thread stand around it.

#include "bench/common/probe.h"
#include "bench/path/packet.h"

#include <stdbool.h>

enum td_path_direction { TD_PATH_ENCRYPT, TD_PATH_DECRYPT, TD_PATH_BOTH, TD_PATH_DIRECTIONS };
extern const char *const td_path_direction_names[TD_PATH_DIRECTIONS];

struct td_path_row {
	enum td_path_direction direction;
	unsigned suite, size, tunnels;
};

// TSC cycles a packet.
struct td_path_figures {
	double median, min, max;
};

struct td_path_result {
	struct td_path_row row;
	double bytes; // of an inner packet, on average
	struct td_path_figures path, raw, ports; // path without the ports
	double ratio; // of raw to path: the share of the cipher's speed. Median of the rounds
	unsigned rounds;
	unsigned noisy; // rounds not taken: the clock wandered, the sibling woke, or something else ran
	struct td_probe probe; // median of the rounds
	bool failed; // a packet did not come out
};

// The tunnels are in place.
void td_path_measure(struct td_path_packets *packets, const struct td_path_row *row, bool quick,
    struct td_path_result *result);
// Passes through the worker for instruction counts, by themselves inside td_path_counted. False: a packet did
// not come out.
bool td_path_count(struct td_path_packets *packets, const struct td_path_row *row, unsigned passes);
// One pass; nothing but the worker's loop is below it.
void td_path_counted(unsigned packets);
// Behind the passes of a row: where a profiler may end a report.
void td_path_row_counted(void);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One row's figures: the median of several rounds, with the extremes.

#include "bench/common/probe.h"
#include "bench/micro/row.h"

#define TD_RESULT_NAME_MAX 64

struct td_result {
	const struct td_row *row;
	char name[TD_RESULT_NAME_MAX];
	double median, min, max;
	unsigned rounds;
	unsigned noisy; // rounds that were not taken because the core clock changed meanwhile
	struct td_probe probe; // median of the rounds
	bool failed; // setup or a round failed, or a figure is beyond row->most
};

// Runs one row. name is row->name with its argument filled in.
void td_measure(
    const struct td_row *row, uint64_t argument, const char *name, bool quick, struct td_result *result);

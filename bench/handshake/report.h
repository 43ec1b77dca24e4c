// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Results as a table on standard output, group by group, and as a JSON file (docs/benchmarking.md describes
// both).

#include "bench/handshake/row.h"

#define TD_ROUNDS_MAX 32

struct td_result {
	const struct td_group *group;
	char name[TD_GROUP_NAME_MAX];
	unsigned rounds; // 0: it did not run
	double values[TD_FIGURES_MAX][TD_ROUNDS_MAX];
};

struct td_report;

// NULL without memory.
struct td_report *td_report_create(bool quick);
void td_report_destroy(struct td_report *report);
// Prints a group and keeps it for the file; sorts its values. Returns 0, -ENOMEM, or -ERANGE when it did not
// run or a bound was broken.
int td_report_add(struct td_report *report, struct td_result *result);
// Returns 0 or -errno.
int td_report_write(const struct td_report *report, const char *path);

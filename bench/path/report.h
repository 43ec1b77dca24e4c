// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Results as a table on standard output, row by row, and as a JSON file (docs/benchmarking.md describes
// both).

#include "bench/path/measure.h"
#include "bench/path/pair.h"

struct td_path_report;

// NULL without memory.
struct td_path_report *td_path_report_create(bool quick, bool hugepages);
void td_path_report_destroy(struct td_path_report *report);
// Prints a row and keeps it for the file. Returns 0 or -ENOMEM.
int td_path_report_add(struct td_path_report *report, const struct td_path_result *result);
// The same for a row of two workers.
int td_path_report_add_pair(struct td_path_report *report, const struct td_path_pair_result *result);
// Returns 0 or -errno.
int td_path_report_write(const struct td_path_report *report, const char *path);

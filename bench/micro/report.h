// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Results as a table on standard output, row by row, and as a JSON file (docs/benchmarking.md describes
// both).

#include "bench/micro/measure.h"

struct td_report;

// NULL without memory.
struct td_report *td_report_create(bool quick);
void td_report_destroy(struct td_report *report);
// Prints a row and keeps it for the file. Returns 0 or -ENOMEM.
int td_report_add(struct td_report *report, const struct td_result *result);
// Returns 0 or -errno.
int td_report_write(const struct td_report *report, const char *path);

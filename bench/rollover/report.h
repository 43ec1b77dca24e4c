// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The table on standard output and the JSON file of the same rows.

#include "bench/rollover/pace.h"

struct td_rollover_report;

// NULL: no memory.
struct td_rollover_report *td_rollover_report_create(bool quick);
void td_rollover_report_destroy(struct td_rollover_report *report);
// Print the row and keep it; the first pace is what the others' latencies are compared with. Return 0 or
// -ENOMEM.
int td_rollover_report_pace(struct td_rollover_report *report, const struct td_pace_result *result);
// SAs a second, of several rounds; least: what it ought to be.
int td_rollover_report_installs(struct td_rollover_report *report, const char *name, double *rounds,
    unsigned count, double least, bool failed);
// Returns 0 or -errno.
int td_rollover_report_write(const struct td_rollover_report *report, const char *path);

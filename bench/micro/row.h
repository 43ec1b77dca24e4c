// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a row of the report is. rows.def is the table; its functions are declared from it.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TD_ROW_UNBOUNDED (-1.0)
#define TD_ROW_SUITES UINT64_MAX

struct td_row {
	const char *group, *name, *unit;
	int (*setup)(uint64_t argument); // returns 0 or -errno
	double (*body)(uint64_t argument);
	void (*teardown)(void);
	uint64_t full, quick; // arguments
	double most;
};

extern const struct td_row td_rows[];
extern const size_t td_row_count;

#define TD_ROW(group, name, unit, setup, body, teardown, full, quick, most)                                  \
	int setup(uint64_t argument);                                                                        \
	double body(uint64_t argument);                                                                      \
	void teardown(void);
#include "bench/micro/rows.def"
#undef TD_ROW

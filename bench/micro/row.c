// SPDX-License-Identifier: BSD-3-Clause
#include "bench/micro/row.h"

const struct td_row td_rows[] = {
#define TD_ROW(group, name, unit, setup, body, teardown, full, quick, most)                                  \
	{group, name, unit, setup, body, teardown, full, quick, most},
#include "bench/micro/rows.def"
#undef TD_ROW
};

const size_t td_row_count = sizeof(td_rows) / sizeof(td_rows[0]);

// Of rows that need nothing.
int td_row_begin(uint64_t argument)
{
	(void)argument;
	return 0;
}

void td_row_end(void) {}

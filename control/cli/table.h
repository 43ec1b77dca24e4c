// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lists of JSON objects as aligned columns.

#include <jansson.h>
#include <stdbool.h>

struct td_column {
	const char *title;
	const char *key; // of the object
	enum { TD_CELL_TEXT, TD_CELL_NUMBER, TD_CELL_SPI } kind;
};

#define TD_COLUMNS_MAX 24

// Prints a heading and one row per object. An array becomes a list with commas. At most TD_COLUMNS_MAX
// columns.
void td_table_print(const json_t *rows, const struct td_column *columns, unsigned count);

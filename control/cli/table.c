// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CELL_MAX 512

static size_t value_format(const json_t *value, bool spi, char *text, size_t size)
{
	int length;

	if (json_is_string(value))
		length = snprintf(text, size, "%s", json_string_value(value));
	else if (json_is_integer(value) && spi && json_integer_value(value) == 0)
		length = snprintf(text, size, "-");
	else if (json_is_integer(value) && spi)
		length = snprintf(text, size, "0x%08" PRIx64, (uint64_t)json_integer_value(value));
	else if (json_is_integer(value))
		length = snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		length = snprintf(text, size, "%g", json_real_value(value));
	else if (json_is_boolean(value))
		length = snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	else
		length = snprintf(text, size, "-");
	return length < 0 ? 0 : (size_t)length;
}

static const char *cell_format(const json_t *value, bool spi, char *text)
{
	size_t index, used = 0;
	const json_t *item;

	if (!json_is_array(value) || json_array_size(value) == 0) {
		value_format(value, spi, text, CELL_MAX);
		return text;
	}
	json_array_foreach (value, index, item) {
		// Room for the comma, and for the dots that say that there is more.
		if (used + 80 > CELL_MAX) {
			snprintf(text + used, CELL_MAX - used, ",...");
			break;
		}
		if (index > 0)
			text[used++] = ',';
		used += value_format(item, spi, text + used, 64) < 64 ? strlen(text + used) : 63;
	}
	return text;
}

static void row_print(
    const char *const *cells, const struct td_column *columns, const size_t *widths, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		const char *end = i + 1 < count ? "  " : "\n";

		if (columns[i].kind == TD_CELL_NUMBER)
			printf("%*s%s", (int)widths[i], cells[i], end);
		else if (i + 1 < count)
			printf("%-*s%s", (int)widths[i], cells[i], end);
		else
			printf("%s%s", cells[i], end);
	}
}

void td_table_print(const json_t *rows, const struct td_column *columns, unsigned count)
{
	const char *cells[TD_COLUMNS_MAX] = {NULL};
	char texts[TD_COLUMNS_MAX][CELL_MAX];
	size_t widths[TD_COLUMNS_MAX], index;
	const json_t *row;
	unsigned i;

	assert(count <= TD_COLUMNS_MAX); // of the program, no input
	for (i = 0; i < count; i++) {
		cells[i] = columns[i].title;
		widths[i] = strlen(columns[i].title);
	}
	json_array_foreach (rows, index, row) {
		for (i = 0; i < count; i++) {
			const json_t *value = json_object_get(row, columns[i].key);
			size_t width = strlen(cell_format(value, columns[i].kind == TD_CELL_SPI, texts[i]));

			if (width > widths[i])
				widths[i] = width;
		}
	}
	row_print(cells, columns, widths, count);
	json_array_foreach (rows, index, row) {
		for (i = 0; i < count; i++)
			cells[i] = cell_format(
			    json_object_get(row, columns[i].key), columns[i].kind == TD_CELL_SPI, texts[i]);
		row_print(cells, columns, widths, count);
	}
}

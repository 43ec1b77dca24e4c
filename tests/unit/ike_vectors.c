// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (1 << 14)

struct td_bytes unhex(const char *text, uint8_t *memory, size_t capacity)
{
	size_t length = 0;

	while (*text) {
		unsigned value;

		if (isspace((unsigned char)*text)) {
			text++;
			continue;
		}
		cr_assert_lt(length, capacity);
		cr_assert_eq(sscanf(text, "%2x", &value), 1, "%s", text);
		memory[length++] = (uint8_t)value;
		text += 2;
	}
	return (struct td_bytes){memory, length};
}

static bool is_hex(const char *text)
{
	return strspn(text, "0123456789abcdef") == strlen(text) && strlen(text) % 2 == 0;
}

// A field may be read both ways: the test knows which one it is.
static void fields_read(struct vector *vector, char *rest)
{
	char *word;

	for (vector->count = 0; (word = strtok_r(NULL, " \n", &rest)); vector->count++) {
		cr_assert_lt(vector->count, VECTOR_FIELDS_MAX);
		vector->fields[vector->count].number = strtol(word, NULL, 10);
		vector->fields[vector->count].bytes =
		    (struct td_bytes){vector->fields[vector->count].memory, 0};
		if (is_hex(word))
			vector->fields[vector->count].bytes =
			    unhex(word, vector->fields[vector->count].memory, VECTOR_FIELD_BYTES);
	}
}

void vectors_each(const char *kind, unsigned at_least, void (*check)(const struct vector *vector))
{
	static struct vector vector;
	static char line[LINE_MAX_BYTES];
	FILE *file = fopen(TD_SOURCE_DIR "/tests/unit/vectors/ike.txt", "r");
	unsigned seen = 0;

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *rest;
		char *word = strtok_r(line, " \n", &rest);

		if (!word || strcmp(word, kind) != 0)
			continue;
		fields_read(&vector, rest);
		check(&vector);
		seen++;
	}
	fclose(file);
	cr_expect_geq(seen, at_least, "vectors of %s", kind);
}

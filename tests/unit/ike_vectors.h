// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What vectors/ike.py has made, and hexadecimal numbers in tests.

#include "common/cursor.h"

#define VECTOR_FIELDS_MAX 16
#define VECTOR_FIELD_BYTES 1024

struct vector {
	unsigned count; // of fields, without the kind
	struct {
		long number; // when the field is a decimal number
		struct td_bytes bytes; // when it is hexadecimal; "-": none
		uint8_t memory[VECTOR_FIELD_BYTES];
	} fields[VECTOR_FIELDS_MAX];
};

// Calls check for each vector of a kind, of which there must be at_least.
void vectors_each(const char *kind, unsigned at_least, void (*check)(const struct vector *vector));
// The bytes of hexadecimal digits; spaces are passed over.
struct td_bytes unhex(const char *text, uint8_t *memory, size_t capacity);

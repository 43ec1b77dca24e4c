// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reading and writing messages of the network, big-endian. Bytes of a peer are read through struct td_cursor
// and nothing else: it never runs over the end.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A view into somebody else's bytes.
struct td_bytes {
	const uint8_t *data;
	size_t length;
};

bool td_bytes_equal(struct td_bytes a, struct td_bytes b); // not for secrets

struct td_cursor {
	const uint8_t *next;
	size_t left; // bytes
};

static inline struct td_cursor td_cursor_of(struct td_bytes bytes)
{
	return (struct td_cursor){bytes.data, bytes.length};
}

// Each returns false, and moves nothing, when not enough is left.
bool td_cursor_u8(struct td_cursor *cursor, uint8_t *value);
bool td_cursor_u16(struct td_cursor *cursor, uint16_t *value);
bool td_cursor_u32(struct td_cursor *cursor, uint32_t *value);
bool td_cursor_u64(struct td_cursor *cursor, uint64_t *value);
bool td_cursor_skip(struct td_cursor *cursor, size_t length);
bool td_cursor_take(struct td_cursor *cursor, size_t length, struct td_bytes *piece);
bool td_cursor_copy(struct td_cursor *cursor, void *to, size_t length);
// What is left, all of it.
struct td_bytes td_cursor_rest(struct td_cursor *cursor);

// Writes into a buffer of fixed size. What does not fit is left out and sets overflow, which is looked at
// once, at the end.
struct td_writer {
	uint8_t *data;
	size_t length, capacity; // bytes
	bool overflow;
};

void td_writer_u8(struct td_writer *writer, uint8_t value);
void td_writer_u16(struct td_writer *writer, uint16_t value);
void td_writer_u32(struct td_writer *writer, uint32_t value);
void td_writer_u64(struct td_writer *writer, uint64_t value);
void td_writer_bytes(struct td_writer *writer, const void *bytes, size_t length);
// Room for length bytes to be filled in by the caller; NULL when they do not fit.
uint8_t *td_writer_room(struct td_writer *writer, size_t length);
// Overwrites two bytes or one byte written before.
void td_writer_patch_u16(struct td_writer *writer, size_t at, uint16_t value);
void td_writer_patch_u8(struct td_writer *writer, size_t at, uint8_t value);
static inline struct td_bytes td_writer_bytes_of(const struct td_writer *writer)
{
	return (struct td_bytes){writer->data, writer->length};
}

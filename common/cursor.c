// SPDX-License-Identifier: BSD-3-Clause
#include "common/cursor.h"

#include <string.h>

bool td_bytes_equal(struct td_bytes a, struct td_bytes b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

// Everything is read through this one: the only place where next moves.
bool td_cursor_take(struct td_cursor *cursor, size_t length, struct td_bytes *piece)
{
	if (length > cursor->left)
		return false;
	*piece = (struct td_bytes){cursor->next, length};
	if (length > 0)
		cursor->next += length;
	cursor->left -= length;
	return true;
}

bool td_cursor_skip(struct td_cursor *cursor, size_t length)
{
	struct td_bytes piece;

	return td_cursor_take(cursor, length, &piece);
}

bool td_cursor_copy(struct td_cursor *cursor, void *to, size_t length)
{
	struct td_bytes piece;

	if (!td_cursor_take(cursor, length, &piece))
		return false;
	if (length > 0)
		memcpy(to, piece.data, length);
	return true;
}

static bool read_number(struct td_cursor *cursor, size_t length, uint64_t *value)
{
	struct td_bytes piece;

	if (!td_cursor_take(cursor, length, &piece))
		return false;
	*value = 0;
	for (size_t i = 0; i < length; i++)
		*value = *value << 8 | piece.data[i];
	return true;
}

bool td_cursor_u8(struct td_cursor *cursor, uint8_t *value)
{
	return td_cursor_copy(cursor, value, sizeof(*value));
}

bool td_cursor_u16(struct td_cursor *cursor, uint16_t *value)
{
	uint64_t number;

	if (!read_number(cursor, sizeof(*value), &number))
		return false;
	*value = (uint16_t)number;
	return true;
}

bool td_cursor_u32(struct td_cursor *cursor, uint32_t *value)
{
	uint64_t number;

	if (!read_number(cursor, sizeof(*value), &number))
		return false;
	*value = (uint32_t)number;
	return true;
}

bool td_cursor_u64(struct td_cursor *cursor, uint64_t *value)
{
	return read_number(cursor, sizeof(*value), value);
}

struct td_bytes td_cursor_rest(struct td_cursor *cursor)
{
	struct td_bytes rest;

	td_cursor_take(cursor, cursor->left, &rest);
	return rest;
}

uint8_t *td_writer_room(struct td_writer *writer, size_t length)
{
	// After one overflow nothing more is written: a shorter field behind a missing one would look whole.
	if (writer->overflow || length > writer->capacity - writer->length) {
		writer->overflow = true;
		return NULL;
	}
	if (!writer->data)
		return NULL;
	uint8_t *room = writer->data + writer->length;
	writer->length += length;
	return room;
}

void td_writer_bytes(struct td_writer *writer, const void *bytes, size_t length)
{
	uint8_t *room = td_writer_room(writer, length);

	if (room && length > 0)
		memcpy(room, bytes, length);
}

static void write_number(struct td_writer *writer, size_t length, uint64_t value)
{
	uint8_t *room = td_writer_room(writer, length);

	for (size_t i = length; room && i > 0; i--) {
		room[i - 1] = (uint8_t)value;
		value >>= 8;
	}
}

void td_writer_u8(struct td_writer *writer, uint8_t value)
{
	write_number(writer, sizeof(value), value);
}

void td_writer_u16(struct td_writer *writer, uint16_t value)
{
	write_number(writer, sizeof(value), value);
}

void td_writer_u32(struct td_writer *writer, uint32_t value)
{
	write_number(writer, sizeof(value), value);
}

void td_writer_u64(struct td_writer *writer, uint64_t value)
{
	write_number(writer, sizeof(value), value);
}

// What a patch is for may be missing after an overflow; otherwise the caller is wrong, and overflow keeps the
// message from being sent.
static bool was_written(struct td_writer *writer, size_t at, size_t length)
{
	if (at > writer->length || length > writer->length - at)
		writer->overflow = true;
	return !writer->overflow;
}

void td_writer_patch_u16(struct td_writer *writer, size_t at, uint16_t value)
{
	if (!was_written(writer, at, sizeof(value)))
		return;
	writer->data[at] = (uint8_t)(value >> 8);
	writer->data[at + 1] = (uint8_t)value;
}

void td_writer_patch_u8(struct td_writer *writer, size_t at, uint8_t value)
{
	if (was_written(writer, at, sizeof(value)))
		writer->data[at] = value;
}

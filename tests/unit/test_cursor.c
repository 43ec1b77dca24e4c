// SPDX-License-Identifier: BSD-3-Clause
#include "common/cursor.h"

#include <criterion/criterion.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t counting[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static struct td_cursor cursor_on(size_t length)
{
	return td_cursor_of((struct td_bytes){counting, length});
}

// Reads a number of that many bytes.
static bool number_read(struct td_cursor *cursor, size_t bytes, uint64_t *value)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;

	switch (bytes) {
	case 1:
		return td_cursor_u8(cursor, &u8) && (*value = u8, true);
	case 2:
		return td_cursor_u16(cursor, &u16) && (*value = u16, true);
	case 4:
		return td_cursor_u32(cursor, &u32) && (*value = u32, true);
	default:
		return td_cursor_u64(cursor, value);
	}
}

static const struct {
	size_t bytes;
	uint64_t value;
} numbers[] = {{1, 0x01}, {2, 0x0102}, {4, 0x01020304}, {8, 0x0102030405060708}};

Test(cursor, reads_numbers_of_the_network)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		for (size_t left = 0; left <= sizeof(counting); left++) {
			struct td_cursor cursor = cursor_on(left);
			uint64_t value = 77;
			bool enough = left >= numbers[i].bytes;

			cr_expect_eq(number_read(&cursor, numbers[i].bytes, &value), enough);
			cr_expect_eq(value, enough ? numbers[i].value : 77);
			cr_expect_eq(cursor.left, enough ? left - numbers[i].bytes : left);
			cr_expect_eq(cursor.next, counting + left - cursor.left);
		}
	}
}

Test(cursor, takes_skips_and_copies_what_is_there)
{
	for (size_t left = 0; left <= sizeof(counting); left++) {
		for (size_t length = 0; length <= sizeof(counting) + 1; length++) {
			struct td_cursor taking = cursor_on(left), skipping = taking, copying = taking;
			struct td_bytes piece = {0};
			uint8_t copy[sizeof(counting) + 1] = {0};
			bool enough = length <= left;

			cr_expect_eq(td_cursor_take(&taking, length, &piece), enough);
			cr_expect_eq(td_cursor_skip(&skipping, length), enough);
			cr_expect_eq(td_cursor_copy(&copying, copy, length), enough);
			cr_expect_eq(taking.left, enough ? left - length : left);
			cr_expect_eq(skipping.left, taking.left);
			cr_expect_eq(copying.left, taking.left);
			cr_expect_eq(piece.data, enough ? counting : NULL);
			cr_expect_eq(piece.length, enough ? length : 0);
			cr_expect_eq(memcmp(copy, counting, enough ? length : 0), 0);
			cr_expect_eq(copy[enough ? length : 0], 0, "nothing is copied behind the end");
		}
	}
}

Test(cursor, refuses_lengths_near_the_largest)
{
	struct td_cursor cursor = cursor_on(3);
	struct td_bytes piece;

	cr_expect_not(td_cursor_take(&cursor, SIZE_MAX, &piece));
	cr_expect_not(td_cursor_skip(&cursor, SIZE_MAX - 2));
	cr_expect_eq(cursor.left, 3);
}

Test(cursor, gives_the_rest_once)
{
	struct td_cursor cursor = cursor_on(5);

	cr_expect(td_cursor_skip(&cursor, 2));
	struct td_bytes rest = td_cursor_rest(&cursor);
	cr_expect_eq(rest.data, counting + 2);
	cr_expect_eq(rest.length, 3);
	cr_expect_eq(td_cursor_rest(&cursor).length, 0);
}

Test(cursor, reads_nothing_from_nothing)
{
	struct td_cursor cursor = td_cursor_of((struct td_bytes){0});
	uint8_t value;

	cr_expect_not(td_cursor_u8(&cursor, &value));
	cr_expect(td_cursor_skip(&cursor, 0));
	cr_expect(td_cursor_copy(&cursor, NULL, 0));
	cr_expect_null(td_cursor_rest(&cursor).data);
}

Test(bytes, compares)
{
	struct td_bytes a = {counting, 3}, b = {counting + 1, 3}, empty = {0};
	uint8_t same[] = {1, 2, 3, 9};

	cr_expect(td_bytes_equal(a, (struct td_bytes){same, 3}));
	cr_expect_not(td_bytes_equal(a, (struct td_bytes){same, 4}));
	cr_expect_not(td_bytes_equal(a, b));
	cr_expect_not(td_bytes_equal(a, empty));
	cr_expect(td_bytes_equal(empty, (struct td_bytes){counting, 0}));
}

Test(writer, writes_numbers_of_the_network)
{
	static const uint8_t expected[] = {1, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9};
	uint8_t buffer[sizeof(expected) + 1];
	struct td_writer writer = {.data = buffer, .capacity = sizeof(expected)};

	buffer[sizeof(expected)] = 0xee;
	td_writer_u8(&writer, 0x01);
	td_writer_u16(&writer, 0x0102);
	td_writer_u32(&writer, 0x01020304);
	td_writer_u64(&writer, 0x0102030405060708);
	td_writer_bytes(&writer, (const uint8_t[]){9, 9}, 2);
	td_writer_bytes(&writer, NULL, 0);
	cr_expect_not(writer.overflow);
	cr_expect(td_bytes_equal(td_writer_bytes_of(&writer), (struct td_bytes){expected, sizeof(expected)}));
	td_writer_u8(&writer, 7);
	cr_expect(writer.overflow);
	cr_expect_eq(writer.length, sizeof(expected));
	cr_expect_eq(buffer[sizeof(expected)], 0xee);
}

Test(writer, writes_nothing_behind_what_did_not_fit)
{
	uint8_t buffer[4] = {0};
	struct td_writer writer = {.data = buffer, .capacity = sizeof(buffer)};

	td_writer_u8(&writer, 1);
	td_writer_u32(&writer, 0xffffffff);
	cr_expect(writer.overflow);
	td_writer_u8(&writer, 2);
	cr_expect_eq(writer.length, 1);
	cr_expect_null(td_writer_room(&writer, 1));
	cr_expect_null(td_writer_room(&writer, SIZE_MAX));
	cr_expect_eq(buffer[1], 0);
}

Test(writer, gives_room)
{
	uint8_t buffer[4];
	struct td_writer writer = {.data = buffer, .capacity = sizeof(buffer)};

	cr_expect_eq(td_writer_room(&writer, 3), buffer);
	cr_expect_eq(td_writer_room(&writer, 1), buffer + 3);
	cr_expect_eq(writer.length, 4);
	cr_expect_not(writer.overflow);
	cr_expect_null(td_writer_room(&writer, 1));
	cr_expect(writer.overflow);
}

static const struct {
	size_t at;
	bool u8_fits, u16_fits;
} patches[] = {
    {0, true, true},
    {1, true, true},
    {2, true, false},
    {3, false, false},
    {4, false, false},
    {SIZE_MAX, false, false},
    {SIZE_MAX - 1, false, false},
};

Test(writer, patches_only_what_was_written)
{
	for (size_t i = 0; i < COUNT(patches); i++) {
		uint8_t buffer[8] = {0};
		struct td_writer one = {.data = buffer, .capacity = sizeof(buffer), .length = 3};
		struct td_writer two = one;

		td_writer_patch_u8(&one, patches[i].at, 0xab);
		cr_expect_eq(one.overflow, !patches[i].u8_fits, "row %zu", i);
		if (patches[i].u8_fits)
			cr_expect_eq(buffer[patches[i].at], 0xab);
		td_writer_patch_u16(&two, patches[i].at, 0xcdef);
		cr_expect_eq(two.overflow, !patches[i].u16_fits, "row %zu", i);
		if (patches[i].u16_fits)
			cr_expect_eq(buffer[patches[i].at + 1], 0xef);
		cr_expect_eq(buffer[3], 0);
	}
}

// SPDX-License-Identifier: BSD-3-Clause
// Key wrap with padding against RFC 5649 section 6, and what it refuses.
#include "control/onertt/wrap.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct td_secret key_of(size_t length)
{
	struct td_secret key = {.length = length};

	memset(key.bytes, 0x5a, length);
	return key;
}

Test(wrap, rfc5649)
{
	static const struct {
		const char *keys, *wrapped;
	} table[] = {
	    {"c37b7e6492584340bed12207808941155068f738",
	        "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
	    {"466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
	};
	struct td_secret key = {.length = 24};

	unhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", key.bytes, sizeof(key.bytes));
	for (size_t i = 0; i < COUNT(table); i++) {
		uint8_t plain[64], sealed[64], made[64];
		struct td_bytes keys = unhex(table[i].keys, plain, sizeof(plain));
		struct td_bytes wrapped = unhex(table[i].wrapped, sealed, sizeof(sealed));
		struct td_writer writer = {.data = made, .capacity = sizeof(made)};
		size_t length;

		cr_assert_eq(td_wrap(&key, keys, &writer), 0);
		cr_expect(td_bytes_equal(td_writer_bytes_of(&writer), wrapped));
		cr_assert_eq(td_unwrap(&key, wrapped, made, &length), 0);
		cr_expect(td_bytes_equal((struct td_bytes){made, length}, keys));
	}
}

// Every length, into just as much room; one byte changed anywhere is found.
Test(wrap, lengths)
{
	const struct td_secret key = key_of(32);
	uint8_t plain[TD_WRAP_MAX_BYTES], wrapped[TD_WRAPPED_BYTES(TD_WRAP_MAX_BYTES)], back[sizeof(wrapped)];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)i;
	for (size_t n = 1; n <= sizeof(plain); n += n < 130 ? 1 : 61) {
		struct td_writer writer = {.data = wrapped, .capacity = TD_WRAPPED_BYTES(n)};
		size_t length = 0;

		cr_assert_eq(td_wrap(&key, (struct td_bytes){plain, n}, &writer), 0, "%zu", n);
		cr_expect_eq(writer.length, TD_WRAPPED_BYTES(n));
		cr_assert_eq(td_unwrap(&key, td_writer_bytes_of(&writer), back, &length), 0, "%zu", n);
		cr_expect_eq(length, n);
		cr_expect_eq(memcmp(back, plain, n), 0);
		wrapped[n % writer.length] ^= 1;
		cr_expect_eq(td_unwrap(&key, td_writer_bytes_of(&writer), back, &length), -EBADMSG);
		writer = (struct td_writer){.data = wrapped, .capacity = TD_WRAPPED_BYTES(n) - 1};
		cr_expect_eq(td_wrap(&key, (struct td_bytes){plain, n}, &writer), -ENOSPC);
		cr_expect_eq(writer.length, 0);
	}
}

Test(wrap, refused)
{
	const struct td_secret key = key_of(32), other = key_of(16), odd = key_of(20);
	uint8_t plain[TD_WRAP_MAX_BYTES + 1] = {0}, wrapped[600] = {0}, back[600];
	struct td_writer writer = {.data = wrapped, .capacity = sizeof(wrapped)};
	size_t length;

	cr_expect_eq(td_wrap(&key, (struct td_bytes){plain, 0}, &writer), -EINVAL);
	cr_expect_eq(td_wrap(&key, (struct td_bytes){plain, sizeof(plain)}, &writer), -EINVAL);
	cr_expect_eq(td_wrap(&odd, (struct td_bytes){plain, 8}, &writer), -EINVAL);
	cr_expect_eq(td_unwrap(&odd, (struct td_bytes){wrapped, 16}, back, &length), -EINVAL);
	for (size_t n = 0; n <= sizeof(wrapped); n++)
		cr_expect_eq(td_unwrap(&key, (struct td_bytes){wrapped, n}, back, &length), -EBADMSG);
	cr_assert_eq(td_wrap(&key, (struct td_bytes){plain, 40}, &writer), 0);
	cr_expect_eq(td_unwrap(&other, td_writer_bytes_of(&writer), back, &length), -EBADMSG);
}

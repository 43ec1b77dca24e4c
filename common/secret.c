// SPDX-License-Identifier: BSD-3-Clause
#include "common/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void td_wipe(void *memory, size_t length)
{
	explicit_bzero(memory, length);
}

void td_secret_wipe(struct td_secret *secret)
{
	td_wipe(secret, sizeof(*secret));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int td_secret_from_hex(const char *text, struct td_secret *secret)
{
	td_secret_wipe(secret);
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	size_t digits = strlen(text);
	if (digits == 0 || digits % 2)
		return -EINVAL;
	if (digits / 2 > TD_SECRET_MAX_BYTES)
		return -E2BIG;
	for (size_t i = 0; i < digits / 2; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0) {
			td_secret_wipe(secret);
			return -EINVAL;
		}
		secret->bytes[i] = (uint8_t)(high << 4 | low);
	}
	secret->length = digits / 2;
	return 0;
}

bool td_equal_constant_time(const void *a, const void *b, size_t length)
{
	const uint8_t *x = a, *y = b;
	uint8_t difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}

bool td_secret_equal(const struct td_secret *a, const struct td_secret *b)
{
	return a->length == b->length && td_equal_constant_time(a->bytes, b->bytes, a->length);
}

int td_random(void *memory, size_t length)
{
	uint8_t *bytes = memory;

	while (length > 0) {
		ssize_t got = getrandom(bytes, length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		bytes += got;
		length -= (size_t)got;
	}
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "common/siphash.h"
#include "common/secret.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t x;

	memcpy(&x, bytes, sizeof(x));
	return le64toh(x);
}

static void store64(uint8_t *bytes, uint64_t x)
{
	x = htole64(x);
	memcpy(bytes, &x, sizeof(x));
}

static void rounds(uint64_t v[4], unsigned count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

void td_siphash(
    const uint8_t key[TD_SIPHASH_KEY_BYTES], const void *data, size_t length, uint8_t out[TD_SIPHASH_BYTES])
{
	const uint8_t *bytes = data;
	uint64_t k0 = load64(key), k1 = load64(key + 8);
	uint64_t v[4] = {
	    k0 ^ 0x736f6d6570736575ull,
	    k1 ^ 0x646f72616e646f6dull ^ 0xee,
	    k0 ^ 0x6c7967656e657261ull,
	    k1 ^ 0x7465646279746573ull,
	};
	uint8_t last[8] = {0};
	size_t done = 0;

	for (; length - done >= 8; done += 8)
		absorb(v, load64(bytes + done));
	if (length > done)
		memcpy(last, bytes + done, length - done);
	last[7] = (uint8_t)length;
	absorb(v, load64(last));
	v[2] ^= 0xee;
	rounds(v, 4);
	store64(out, v[0] ^ v[1] ^ v[2] ^ v[3]);
	v[1] ^= 0xdd;
	rounds(v, 4);
	store64(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
	td_wipe(v, sizeof(v));
	td_wipe(last, sizeof(last));
}

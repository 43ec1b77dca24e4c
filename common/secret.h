// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TD_SECRET_MAX_BYTES 128

// A key. Wiped on every exit from the scope that holds it (declare it with TD_SECRET_AUTO), never
// printed, never compared in variable time.
struct td_secret {
	size_t length; // bytes used
	uint8_t bytes[TD_SECRET_MAX_BYTES];
};

// Overwrites memory; the compiler may not remove it.
void td_wipe(void *memory, size_t length);
void td_secret_wipe(struct td_secret *secret);

#define TD_SECRET_AUTO __attribute__((cleanup(td_secret_wipe))) struct td_secret

// Reads hexadecimal digits, with or without "0x". Returns 0, -EINVAL (not hexadecimal, an odd count)
// or -E2BIG; *secret is wiped on error.
int td_secret_from_hex(const char *text, struct td_secret *secret);
// Constant time in the bytes.
bool td_secret_equal(const struct td_secret *a, const struct td_secret *b);
// The same for any two pieces of memory.
bool td_equal_constant_time(const void *a, const void *b, size_t length);
// Fills length bytes from the kernel's generator (getrandom). Returns 0 or -errno.
int td_random(void *memory, size_t length);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Numbers that look random and are the same in every run.

#include <stdint.h>

// xorshift64 (Marsaglia, "Xorshift RNGs", 2003); *state is not 0.
static inline uint64_t td_shuffle_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

// A different 32-bit number for each n: multiplication by an odd number is a bijection.
static inline uint32_t td_shuffle_spread(uint32_t n)
{
	return n * 0x85ebca6bu ^ 0x5bd1e995u;
}

// Puts count numbers in random order (Fisher and Yates).
static inline void td_shuffle(uint64_t *values, uint64_t count, uint64_t *state)
{
	for (uint64_t i = count; i > 1; i--) {
		uint64_t other = td_shuffle_next(state) % i, value = values[i - 1];

		values[i - 1] = values[other];
		values[other] = value;
	}
}

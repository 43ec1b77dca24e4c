// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Anti-replay window (RFC 4303 3.4.3) as a ring of 64-bit words (RFC 6479), with the 64-bit
// sequence numbers of RFC 4303 appendix A. Owner worker only.

#include <stdbool.h>
#include <stdint.h>

struct td_replay {
	uint64_t top; // highest authenticated sequence number; 0: none yet
	uint32_t window; // packets
	uint32_t word_mask; // words in the ring - 1
};

enum td_replay_verdict { TD_REPLAY_OK, TD_REPLAY_SEEN, TD_REPLAY_OLD };

// Words of bitmap for a window: one more than the window fills, because the word that top is in is only
// partly valid.
static inline unsigned td_replay_words(unsigned window)
{
	unsigned words = 2;

	while (words < (window + 63) / 64 + 1)
		words *= 2;
	return words;
}

static inline void td_replay_init(struct td_replay *replay, unsigned window)
{
	replay->top = 0;
	replay->window = window;
	replay->word_mask = td_replay_words(window) - 1;
}

// The 64-bit sequence number of a packet that carries its low half (RFC 4303 A2.2). 0 when the number
// would lie before the first one.
static inline uint64_t td_replay_infer(const struct td_replay *replay, uint32_t low)
{
	uint32_t top_low = (uint32_t)replay->top;
	uint32_t top_high = (uint32_t)(replay->top >> 32);
	uint32_t bottom = top_low - replay->window + 1; // modulo 2^32
	uint32_t high;

	if (top_low >= replay->window - 1) {
		// Case A: the window lies within one subspace.
		high = low >= bottom ? top_high : top_high + 1;
		if (high == 0 && top_high != 0)
			return 0; // the 64-bit space ends here
	} else {
		// Case B: the window reaches into the previous subspace.
		if (low >= bottom) {
			if (top_high == 0)
				return 0;
			high = top_high - 1;
		} else {
			high = top_high;
		}
	}
	return (uint64_t)high << 32 | low;
}

static inline enum td_replay_verdict td_replay_check(
    const struct td_replay *replay, const uint64_t *bitmap, uint64_t sequence)
{
	if (sequence == 0)
		return TD_REPLAY_SEEN; // never sent (RFC 4303 3.3.3)
	if (sequence > replay->top)
		return TD_REPLAY_OK;
	if (replay->top - sequence >= replay->window)
		return TD_REPLAY_OLD;
	uint64_t word = bitmap[(sequence >> 6) & replay->word_mask];
	return word >> (sequence & 63) & 1 ? TD_REPLAY_SEEN : TD_REPLAY_OK;
}

// Marks a sequence number that td_replay_check accepted and whose packet authenticated.
static inline void td_replay_advance(struct td_replay *replay, uint64_t *bitmap, uint64_t sequence)
{
	uint64_t word = sequence >> 6;

	if (sequence > replay->top) {
		uint64_t steps = word - (replay->top >> 6);

		if (steps > replay->word_mask)
			steps = replay->word_mask + 1;
		for (uint64_t i = 0; i < steps; i++)
			bitmap[(word - i) & replay->word_mask] = 0;
		// The control thread reads it for statistics: like a counter, the store must not tear.
		__atomic_store_n(&replay->top, sequence, __ATOMIC_RELAXED);
	}
	bitmap[word & replay->word_mask] |= 1ull << (sequence & 63);
}

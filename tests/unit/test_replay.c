// SPDX-License-Identifier: BSD-3-Clause
// The replay window as a truth table (after WireGuard's selftest), for every window size we allow.

#include "common/limits.h"
#include "dataplane/replay.h"

#include <criterion/criterion.h>
#include <string.h>

static uint64_t bitmap[512];
static struct td_replay replay;

static void reset(unsigned window)
{
	memset(bitmap, 0, sizeof(bitmap));
	td_replay_init(&replay, window);
}

// What the receiver does with an authentic packet.
static enum td_replay_verdict receive(uint64_t sequence)
{
	enum td_replay_verdict verdict = td_replay_check(&replay, bitmap, sequence);

	if (verdict == TD_REPLAY_OK)
		td_replay_advance(&replay, bitmap, sequence);
	return verdict;
}

#define OK TD_REPLAY_OK
#define SEEN TD_REPLAY_SEEN
#define OLD TD_REPLAY_OLD

Test(replay, truth_table)
{
	for (unsigned window = TD_REPLAY_WINDOW_MIN; window <= TD_REPLAY_WINDOW_MAX; window *= 2) {
		const uint64_t w = window;
		const struct {
			uint64_t sequence;
			enum td_replay_verdict verdict;
			const char *why;
		} rows[] = {
		    {0, SEEN, "zero is never sent"},
		    {1, OK, "the first"},
		    {1, SEEN, "again"},
		    {2, OK, "next"},
		    {w, OK, "a jump inside the window"},
		    {3, OK, "late but in the window"},
		    {3, SEEN, "late again"},
		    {w + 1, OK, "the window moves by one"},
		    {1, OLD, "the first fell out"},
		    {2, SEEN, "the second is the lowest now"},
		    {4, OK, "still in"},
		    {3 * w, OK, "a jump of nearly two windows"},
		    {2 * w, OLD, "just below the new window"},
		    {2 * w + 1, OK, "the lowest of the new window"},
		    {2 * w + 1, SEEN, "again"},
		    {w + 1, OLD, "of the old window"},
		    {3 * w - 1, OK, "nothing in between was marked by the jump"},
		    {1000 * w, OK, "a jump over the whole ring"},
		    {999 * w + 1, OK, "the ring was cleared"},
		    {999 * w, OLD, "below"},
		    {1000 * w - w / 2, OK, "middle"},
		    {1000 * w - w / 2, SEEN, "middle again"},
		};

		reset(window);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			cr_assert_eq(receive(rows[i].sequence), rows[i].verdict, "window %u, row %zu: %s",
			    window, i, rows[i].why);
	}
}

Test(replay, all_of_a_window_once_in_any_order)
{
	for (unsigned window = TD_REPLAY_WINDOW_MIN; window <= TD_REPLAY_WINDOW_MAX; window *= 2) {
		reset(window);
		// Backwards, then everything again.
		for (uint64_t s = window; s >= 1; s--)
			cr_assert_eq(receive(s), OK, "window %u, %lu", window, s);
		for (uint64_t s = 1; s <= window; s++)
			cr_assert_eq(receive(s), SEEN, "window %u, %lu again", window, s);
	}
}

// The plain definition: a set of what was seen, and the top.
Test(replay, agrees_with_the_definition)
{
	static bool seen[1 << 16];
	uint32_t state = 2463534242u; // xorshift
	uint64_t top = 0;

	reset(128);
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 200000; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		uint64_t base = top > 300 ? top - 300 : 0;
		uint64_t sequence = base + state % 320;
		if (sequence >= sizeof(seen))
			break;
		enum td_replay_verdict expected = OK;
		if (sequence == 0 || (top >= sequence && top - sequence < 128 && seen[sequence]))
			expected = SEEN;
		else if (top >= sequence && top - sequence >= 128)
			expected = OLD;
		cr_assert_eq(receive(sequence), expected, "step %d: %lu with top %lu", i, sequence, top);
		if (expected == OK)
			seen[sequence] = true;
		top = sequence > top && expected == OK ? sequence : top;
	}
	cr_assert_gt(top, 10000);
}

Test(replay, a_check_alone_changes_nothing)
{
	struct td_replay before;
	uint64_t bits[512];

	reset(64);
	for (uint64_t s = 1; s < 100; s += 3)
		receive(s);
	before = replay;
	memcpy(bits, bitmap, sizeof(bits));
	for (uint64_t s = 0; s < 1000; s++)
		(void)td_replay_check(&replay, bitmap, s);
	(void)td_replay_infer(&replay, 0xffffffff);
	cr_assert_eq(memcmp(&before, &replay, sizeof(before)), 0);
	cr_assert_eq(memcmp(bits, bitmap, sizeof(bits)), 0);
}

// RFC 4303 A2.2. T is the top, W the window.
Test(replay, extended_sequence_numbers)
{
	const uint64_t high = 1ull << 32;
	const struct {
		uint64_t top;
		uint32_t low;
		uint64_t expected;
		const char *why;
	} rows[] = {
	    {0, 1, 1, "the first packet"},
	    {0, 0xfffffff0, 0, "before the first one"},
	    {10, 5, 5, "case B at the start, in the window"},
	    {10, 11, 11, "case B at the start, ahead"},
	    {100, 40, 40, "case A, in the window"},
	    {100, 37, 37, "case A, the lowest"},
	    {100, 36, high + 36, "case A, below: taken for the next subspace"},
	    {100, 200, 200, "case A, ahead"},
	    {high - 1, 0, high, "the wrap"},
	    {high - 1, 5, high + 5, "just behind the wrap"},
	    {high - 1, 0xfffffff0, high - 16, "late, before the wrap"},
	    {high + 5, 0xffffffff, high - 1, "case B: late across the wrap"},
	    {high + 5, 0xffffffc6, high - 58, "case B: the lowest across the wrap"},
	    {high + 5, 0xffffffc5, 2 * high - 59, "case B: below the window, so far ahead"},
	    {high + 5, 3, high + 3, "case B, this side"},
	    {high + 100, 50, high + 50, "case A behind the wrap"},
	    {3 * high + 5, 0xffffffff, 3 * high - 1, "later wraps"},
	    {UINT64_MAX - 1, 0, 0, "the 64-bit space ends"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reset(64);
		replay.top = rows[i].top;
		cr_expect_eq(
		    td_replay_infer(&replay, rows[i].low), rows[i].expected, "row %zu: %s", i, rows[i].why);
	}
}

Test(replay, words_hold_the_window)
{
	for (unsigned window = TD_REPLAY_WINDOW_MIN; window <= TD_REPLAY_WINDOW_MAX; window++) {
		unsigned words = td_replay_words(window);

		cr_expect_eq(words & (words - 1), 0, "a power of two");
		cr_expect_geq((words - 1) * 64, window, "window %u", window);
	}
}

// A window of 100 once had a ring that was one word short, and a replay went through.
Test(replay, window_that_is_no_multiple_of_64)
{
	reset(100);
	cr_expect_eq(receive(150), OK);
	cr_expect_eq(receive(93), OK);
	cr_expect_eq(receive(192), OK);
	cr_expect_eq(receive(93), SEEN);
}

// SPDX-License-Identifier: BSD-3-Clause
// Codes against RFC 6238 appendix B, and what a session takes for fresh.
#include "control/onertt/freshness.h"

#include "common/limits.h"

#include <criterion/criterion.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define S 1000000ull // microseconds
#define NOON (1800000000ull * S) // the start of a step of 30 s

static const struct td_secret seed = {.length = 32, .bytes = "12345678901234567890123456789012"};
static const struct td_freshness_window window = {.step_s = 30, .steps = 1};

Test(code, rfc6238)
{
	static const struct {
		uint64_t time_s;
		uint32_t code;
	} table[] = {
	    {59, 46119246},
	    {1111111109, 68084774},
	    {1111111111, 67062674},
	    {1234567890, 91819424},
	    {2000000000, 90698825},
	    {20000000000, 77737706},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		uint32_t code = 0;

		cr_assert_eq(td_code_make(&seed, table[i].time_s * S, 30, &code), 0);
		cr_expect_eq(code, table[i].code, "%llu: %u", (unsigned long long)table[i].time_s, code);
	}
}

// RFC 4231 4.2: HMAC-SHA-256 of "Hi There".
Test(code, key)
{
	static const uint8_t expected[] = {0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf,
	    0xce, 0xaf, 0x0b, 0xf1, 0x2b, 0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37,
	    0x6c, 0x2e, 0x32, 0xcf, 0xf7};
	struct td_secret key = {.length = 20};

	memset(key.bytes, 0x0b, key.length);
	cr_assert_eq(td_code_key(&key, "Hi There", &key), 0);
	cr_expect_eq(key.length, TD_CODE_KEY_BYTES);
	cr_expect_arr_eq(key.bytes, expected, sizeof(expected));
}

Test(freshness, window)
{
	static const struct {
		const char *name;
		int64_t sent_s, now_s; // after NOON
		uint32_t steps;
		enum td_freshness_verdict verdict;
	} table[] = {
	    {"now", 0, 0, 0, TD_FRESHNESS_FRESH},
	    {"same step", 29, 0, 0, TD_FRESHNESS_FRESH},
	    {"next step without a window", 30, 29, 0, TD_FRESHNESS_FUTURE},
	    {"last step without a window", -1, 0, 0, TD_FRESHNESS_STALE},
	    {"the step before", -30, 29, 1, TD_FRESHNESS_FRESH},
	    {"two steps before", -31, 0, 1, TD_FRESHNESS_STALE},
	    {"the step behind", 59, 0, 1, TD_FRESHNESS_FRESH},
	    {"two steps behind", 60, 29, 1, TD_FRESHNESS_FUTURE},
	    {"days before", -5 * 86400, 0, 1, TD_FRESHNESS_STALE},
	    {"days behind", 5 * 86400, 0, 1, TD_FRESHNESS_FUTURE},
	    {"a wide window", -300, 0, 10, TD_FRESHNESS_FRESH},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		const struct td_freshness_window wide = {.step_s = 30, .steps = table[i].steps};
		struct td_freshness_stamp stamp;

		cr_assert_eq(
		    td_freshness_stamp_make(&wide, &seed, NOON + (uint64_t)table[i].sent_s * S, &stamp), 0);
		cr_expect_eq(td_freshness_judge(&wide, &seed, &stamp, NOON + (uint64_t)table[i].now_s * S),
		    table[i].verdict, "%s", table[i].name);
	}
}

Test(freshness, every_time_is_a_number)
{
	static const uint64_t times[] = {0, 1, INT64_MAX, UINT64_MAX};

	for (size_t i = 0; i < COUNT(times); i++) {
		struct td_freshness_stamp stamp;
		enum td_freshness_verdict verdict;

		cr_assert_eq(td_freshness_stamp_make(&window, &seed, times[i], &stamp), 0);
		verdict = td_freshness_judge(&window, &seed, &stamp, NOON);
		cr_expect_eq(verdict, times[i] < NOON ? TD_FRESHNESS_STALE : TD_FRESHNESS_FUTURE);
	}
}

// The code is looked at first: a time without proof is nobody's.
Test(freshness, wrong_code)
{
	struct td_secret other = seed;
	struct td_freshness_stamp stamp, bad;

	other.bytes[0] ^= 1;
	cr_assert_eq(td_freshness_stamp_make(&window, &seed, NOON, &stamp), 0);
	cr_expect_eq(td_freshness_judge(&window, &other, &stamp, NOON), TD_FRESHNESS_WRONG_CODE);
	bad = stamp;
	bad.code ^= 1;
	cr_expect_eq(td_freshness_judge(&window, &seed, &bad, NOON), TD_FRESHNESS_WRONG_CODE);
	bad = stamp;
	bad.code += 100000000; // the same digits
	cr_expect_eq(td_freshness_judge(&window, &seed, &bad, NOON), TD_FRESHNESS_WRONG_CODE);
	bad = stamp;
	bad.time_us -= 86400 * S;
	cr_expect_eq(td_freshness_judge(&window, &seed, &bad, NOON), TD_FRESHNESS_WRONG_CODE);
}

// ---- a session --------------------------------------------------------------------------------

struct session {
	struct td_freshness i, r;
};

// The initiator's steady clock shows 5 s, the responder's 70000 s, when the responder's time is NOON.
#define I_START (5 * S)
#define R_START (70000 * S)

static void session_start(struct session *session)
{
	td_freshness_start(&session->i, &window, true, NOON, I_START);
	td_freshness_start(&session->r, &window, false, NOON, R_START);
	td_freshness_key_set(&session->i, &seed);
	td_freshness_key_set(&session->r, &seed);
}

Test(freshness, clocks_differ)
{
	struct td_freshness_stamp stamp;
	struct session session;

	session_start(&session);
	cr_assert_eq(td_freshness_next(&session.i, I_START + 3600 * S, &stamp), 0);
	cr_expect_eq(stamp.time_us, NOON + 3600 * S);
	cr_expect_eq(td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &stamp, R_START + 3601 * S),
	    TD_FRESHNESS_FRESH);
	cr_assert_eq(td_freshness_next(&session.r, R_START + 3601 * S, &stamp), 0);
	cr_expect_eq(td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &stamp, I_START + 3602 * S),
	    TD_FRESHNESS_FRESH);
}

Test(freshness, times_always_grow)
{
	struct td_freshness_stamp stamp;
	struct session session;
	uint64_t last = 0;

	session_start(&session);
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_eq(td_freshness_next(&session.i, I_START - i, &stamp), 0);
		cr_expect_gt(stamp.time_us, last);
		last = stamp.time_us;
	}
}

// Requests and answers are apart, because they may overtake each other.
Test(freshness, replayed)
{
	struct td_freshness_stamp first, second;
	struct td_freshness before;
	struct session session;

	session_start(&session);
	cr_assert_eq(td_freshness_next(&session.i, I_START, &first), 0);
	cr_assert_eq(td_freshness_next(&session.i, I_START, &second), 0);
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &second, R_START), TD_FRESHNESS_FRESH);
	before = session.r;
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &second, R_START), TD_FRESHNESS_REPLAYED);
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &first, R_START), TD_FRESHNESS_REPLAYED);
	cr_expect_eq(memcmp(&before, &session.r, sizeof(before)), 0);
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_ANSWER, &first, R_START), TD_FRESHNESS_FRESH);
}

Test(freshness, what_fails_changes_nothing)
{
	struct td_freshness_stamp stamp, wrong;
	struct td_freshness before;
	struct session session;

	session_start(&session);
	cr_assert_eq(td_freshness_next(&session.r, R_START, &stamp), 0);
	wrong = stamp;
	wrong.code ^= 1;
	before = session.i;
	cr_expect_eq(
	    td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &wrong, I_START), TD_FRESHNESS_WRONG_CODE);
	cr_expect_eq(td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &stamp, I_START + 100 * S),
	    TD_FRESHNESS_STALE);
	cr_expect_eq(memcmp(&before, &session.i, sizeof(before)), 0);
	cr_expect_eq(
	    td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &stamp, I_START), TD_FRESHNESS_FRESH);
}

// What the handshake has shown is not taken again in the session, and an initiator whose message 1 was ahead
// of the responder's clock goes on from there.
Test(freshness, handshake_counts)
{
	struct td_freshness_stamp stamp;
	struct session session;

	session_start(&session);
	td_freshness_note(&session.i, NOON + 20 * S, TD_FRESHNESS_ANSWER, NOON);
	td_freshness_note(&session.r, NOON, TD_FRESHNESS_REQUEST, NOON + 20 * S);
	cr_assert_eq(td_freshness_stamp_make(&window, &seed, NOON + 20 * S, &stamp), 0);
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &stamp, R_START), TD_FRESHNESS_REPLAYED);
	cr_assert_eq(td_freshness_next(&session.i, I_START, &stamp), 0);
	cr_expect_eq(
	    td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &stamp, R_START), TD_FRESHNESS_FRESH);
	cr_assert_eq(td_freshness_next(&session.r, R_START, &stamp), 0);
	cr_expect_gt(stamp.time_us, NOON);
}

// A rekeyed IKE SA has its own key and goes on in time.
Test(freshness, rekeyed)
{
	struct td_secret other = seed;
	struct td_freshness_stamp stamp;
	struct session session;
	struct td_freshness successor;

	session_start(&session);
	other.bytes[0] ^= 1;
	cr_assert_eq(td_freshness_next(&session.i, I_START, &stamp), 0);
	successor = session.r;
	td_freshness_key_set(&successor, &other);
	cr_expect_eq(
	    td_freshness_accept(&successor, TD_FRESHNESS_REQUEST, &stamp, R_START), TD_FRESHNESS_WRONG_CODE);
	td_freshness_key_set(&session.i, &other);
	cr_assert_eq(td_freshness_next(&session.i, I_START, &stamp), 0);
	cr_expect_eq(
	    td_freshness_accept(&successor, TD_FRESHNESS_REQUEST, &stamp, R_START), TD_FRESHNESS_FRESH);
	td_freshness_wipe(&successor);
	cr_expect_eq(successor.code_key.bytes[1], 0);
}

// Clocks that drift apart by 100 ppm for half a year, with a message each way every ten minutes.
Test(freshness, drift)
{
	struct session session;

	session_start(&session);
	for (uint64_t t = 0; t < 180 * 86400 * S; t += 600 * S) {
		struct td_freshness_stamp stamp;
		uint64_t i_now = I_START + t + t / 10000, r_now = R_START + t;

		cr_assert_eq(td_freshness_next(&session.i, i_now, &stamp), 0);
		cr_assert_eq(td_freshness_accept(&session.r, TD_FRESHNESS_REQUEST, &stamp, r_now),
		    TD_FRESHNESS_FRESH, "after %llu s", (unsigned long long)(t / S));
		cr_assert_eq(td_freshness_next(&session.r, r_now, &stamp), 0);
		cr_assert_eq(td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &stamp, i_now),
		    TD_FRESHNESS_FRESH, "after %llu s", (unsigned long long)(t / S));
	}
}

// Who holds every answer back cannot make the initiator take ever older ones: an hour brings a few seconds.
Test(freshness, delays_do_not_add_up)
{
	struct session session;

	session_start(&session);
	for (uint64_t t = 20 * S; t < 3600 * S; t += 20 * S) {
		struct td_freshness_stamp stamp;

		cr_assert_eq(td_freshness_next(&session.r, R_START + t - 20 * S, &stamp), 0);
		cr_assert_eq(td_freshness_accept(&session.i, TD_FRESHNESS_ANSWER, &stamp, I_START + t),
		    TD_FRESHNESS_FRESH);
	}
	cr_expect_geq(session.i.offset_us, (int64_t)(NOON - I_START - 3600 * S / TD_ONERTT_DRIFT_SHARE));
}

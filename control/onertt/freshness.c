// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/freshness.h"

#include "common/limits.h"

#include <errno.h>

#define US_PER_S 1000000u

const char *td_freshness_text(enum td_freshness_verdict verdict)
{
	static const char *const texts[] = {
	    [TD_FRESHNESS_FRESH] = "fresh",
	    [TD_FRESHNESS_STALE] = "stale",
	    [TD_FRESHNESS_FUTURE] = "future",
	    [TD_FRESHNESS_REPLAYED] = "replayed",
	    [TD_FRESHNESS_WRONG_CODE] = "wrong code",
	    [TD_FRESHNESS_FAILED] = "failed",
	};

	return texts[verdict];
}

int td_freshness_stamp_make(const struct td_freshness_window *window, const struct td_secret *code_key,
    uint64_t time_us, struct td_freshness_stamp *stamp)
{
	*stamp = (struct td_freshness_stamp){.time_us = time_us};
	return td_code_make(code_key, time_us, window->step_s, &stamp->code);
}

enum td_freshness_verdict td_freshness_judge(const struct td_freshness_window *window,
    const struct td_secret *code_key, const struct td_freshness_stamp *stamp, uint64_t now_us)
{
	uint64_t step = stamp->time_us / US_PER_S / window->step_s;
	uint64_t current = now_us / US_PER_S / window->step_s;
	uint32_t code;

	if (td_code_make(code_key, stamp->time_us, window->step_s, &code) != 0)
		return TD_FRESHNESS_FAILED;
	if (code != stamp->code)
		return TD_FRESHNESS_WRONG_CODE;
	// In whole steps, as RFC 6238 5.2 counts.
	if (step < current && current - step > window->steps)
		return TD_FRESHNESS_STALE;
	if (step > current && step - current > window->steps)
		return TD_FRESHNESS_FUTURE;
	return TD_FRESHNESS_FRESH;
}

// ---- a session --------------------------------------------------------------------------------

void td_freshness_start(struct td_freshness *freshness, const struct td_freshness_window *window,
    bool initiator, uint64_t session_us, uint64_t steady_us)
{
	*freshness = (struct td_freshness){
	    .window = *window,
	    .follows = initiator,
	    .offset_us = (int64_t)(session_us - steady_us),
	    .followed_us = steady_us,
	};
}

void td_freshness_key_set(struct td_freshness *freshness, const struct td_secret *code_key)
{
	freshness->code_key = *code_key;
}

void td_freshness_note(
    struct td_freshness *freshness, uint64_t own_us, enum td_freshness_kind seen_kind, uint64_t seen_us)
{
	if (freshness->sent_us < own_us)
		freshness->sent_us = own_us;
	if (freshness->seen_us[seen_kind] < seen_us)
		freshness->seen_us[seen_kind] = seen_us;
}

void td_freshness_wipe(struct td_freshness *freshness)
{
	td_wipe(freshness, sizeof(*freshness));
}

static uint64_t session_time(const struct td_freshness *freshness, uint64_t steady_us)
{
	return steady_us + (uint64_t)freshness->offset_us;
}

int td_freshness_next(struct td_freshness *freshness, uint64_t steady_us, struct td_freshness_stamp *stamp)
{
	uint64_t time_us = session_time(freshness, steady_us);
	int result;

	if (time_us <= freshness->sent_us)
		time_us = freshness->sent_us + 1;
	result = td_freshness_stamp_make(&freshness->window, &freshness->code_key, time_us, stamp);
	if (result == 0)
		freshness->sent_us = time_us;
	return result;
}

// A message was under way for a while, so this lags behind by as much, which the window allows for.
static void follow(struct td_freshness *freshness, uint64_t time_us, uint64_t steady_us)
{
	int64_t most = (int64_t)((steady_us - freshness->followed_us) / TD_ONERTT_DRIFT_SHARE);
	int64_t ahead = (int64_t)(time_us - session_time(freshness, steady_us));

	if (ahead > most)
		ahead = most;
	if (ahead < -most)
		ahead = -most;
	freshness->offset_us += ahead;
	freshness->followed_us = steady_us;
}

enum td_freshness_verdict td_freshness_accept(struct td_freshness *freshness, enum td_freshness_kind kind,
    const struct td_freshness_stamp *stamp, uint64_t steady_us)
{
	enum td_freshness_verdict verdict = td_freshness_judge(
	    &freshness->window, &freshness->code_key, stamp, session_time(freshness, steady_us));

	if (verdict != TD_FRESHNESS_FRESH)
		return verdict;
	if (stamp->time_us <= freshness->seen_us[kind])
		return TD_FRESHNESS_REPLAYED;
	freshness->seen_us[kind] = stamp->time_us;
	if (freshness->follows)
		follow(freshness, stamp->time_us, steady_us);
	return TD_FRESHNESS_FRESH;
}

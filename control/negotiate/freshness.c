// SPDX-License-Identifier: BSD-3-Clause
// The one-round-trip exchange's clocks and what it keeps over restarts.

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "control/negotiate/freshness_file.h"
#include "control/negotiate/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_US 1000u
#define TICK_NS (TD_ONERTT_RESERVE_US / 4 * NS_PER_US)

uint64_t td_negotiate_wall_us(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / NS_PER_US;
}

// ---- messages that wait -------------------------------------------------------------------------

struct td_negotiate_held {
	struct td_path path;
	size_t length;
	uint8_t *message;
};

static void hold(struct td_negotiate *negotiate, const struct td_path *path, struct td_bytes message)
{
	struct td_negotiate_held *held;

	if (!negotiate->held)
		negotiate->held = calloc(TD_ONERTT_HELD_MAX, sizeof(*negotiate->held));
	if (!negotiate->held || negotiate->held_count == TD_ONERTT_HELD_MAX)
		return; // it comes again
	held = &negotiate->held[negotiate->held_count];
	*held = (struct td_negotiate_held){*path, message.length, malloc(message.length)};
	if (!held->message)
		return;
	memcpy(held->message, message.data, message.length);
	negotiate->held_count++;
}

// Receives them again, or forgets them.
static void held_release(struct td_negotiate *negotiate, bool receive)
{
	struct td_negotiate_held *all = negotiate->held;
	unsigned count = negotiate->held_count;

	// What has to wait once more gets a new place.
	negotiate->held = NULL;
	negotiate->held_count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (receive)
			td_negotiate_receive(
			    negotiate, &all[i].path, (struct td_bytes){all[i].message, all[i].length});
		free(all[i].message);
	}
	free(all);
}

void td_negotiate_receive(struct td_negotiate *negotiate, const struct td_path *path, struct td_bytes message)
{
	const struct td_accepted *accepted = negotiate->accepted;
	unsigned before = accepted ? td_accepted_put_off(accepted) : 0;

	td_ike_receive(negotiate->ike, path, message);
	if (accepted && td_accepted_put_off(accepted) != before)
		hold(negotiate, path, message);
}

// ---- the bound ----------------------------------------------------------------------------------

static void failure_log(struct td_negotiate *negotiate, int error)
{
	uint64_t now_ns = td_clock_now_ns();

	if (negotiate->freshness_told_ns && now_ns - negotiate->freshness_told_ns < TICK_NS)
		return;
	negotiate->freshness_told_ns = now_ns;
	td_log_warning("%s/freshness cannot be written: %s; first messages of the one-round-trip "
	               "exchange are refused",
	    negotiate->state_directory, strerror(-error));
}

static void save_work(void *context)
{
	struct td_negotiate *negotiate = context;

	negotiate->freshness_result =
	    td_freshness_file_save(negotiate->freshness_file, negotiate->freshness_bound_us);
}

static void save_done(void *context)
{
	struct td_negotiate *negotiate = context;

	negotiate->freshness_job = NULL;
	td_accepted_saved(negotiate->accepted, negotiate->freshness_result);
	if (negotiate->freshness_result < 0)
		failure_log(negotiate, negotiate->freshness_result);
	held_release(negotiate, negotiate->freshness_result == 0);
}

// A disk may take seconds to sync: only a gateway that stops waits for it.
static int bound_save(void *context, uint64_t bound_us)
{
	struct td_negotiate *negotiate = context;

	if (negotiate->freshness_stops)
		return td_freshness_file_save(negotiate->freshness_file, bound_us);
	negotiate->freshness_bound_us = bound_us;
	negotiate->freshness_job = td_job_start(negotiate->loop, save_work, save_done, negotiate);
	return negotiate->freshness_job ? -EINPROGRESS : -errno;
}

// The next bound is on disk before a handshake has to wait for it.
void td_negotiate_freshness_due(void *context)
{
	struct td_negotiate *negotiate = context;
	uint64_t now_ns = td_clock_now_ns();
	int ret = td_accepted_tick(negotiate->accepted, td_negotiate_wall_us(NULL), now_ns / NS_PER_US);

	if (ret < 0)
		failure_log(negotiate, ret);
	td_timers_set(td_loop_timers(negotiate->loop), &negotiate->freshness_timer, now_ns + TICK_NS);
}

// ---- beginning and end --------------------------------------------------------------------------

int td_negotiate_freshness_start(
    struct td_negotiate *negotiate, const struct td_tunnel_ike_config *ike, struct td_error *error)
{
	struct td_accepted_setup setup = {
	    .window = {.step_s = ike->code_step_s, .steps = ike->code_window},
	    .capacity = TD_ONERTT_INITIATORS_MAX,
	    .wall_us = td_negotiate_wall_us(NULL),
	    .steady_us = td_clock_now_ns() / NS_PER_US,
	    .save = bound_save,
	    .context = negotiate,
	};

	if (negotiate->accepted) {
		td_accepted_widen(negotiate->accepted, &setup.window, setup.wall_us, setup.steady_us);
		return 0;
	}
	negotiate->freshness_file =
	    td_freshness_file_open(negotiate->state_directory, &setup.found, &setup.bound_us, error);
	if (!negotiate->freshness_file)
		return -EINVAL;
	negotiate->accepted = td_accepted_create(&setup);
	if (!negotiate->accepted)
		return td_error_set(error, -ENOMEM, "ike", NULL, "no memory");
	td_ike_accepted_set(negotiate->ike, negotiate->accepted);
	negotiate->freshness_timer =
	    (struct td_timer){.fn = td_negotiate_freshness_due, .context = negotiate};
	td_timers_set(
	    td_loop_timers(negotiate->loop), &negotiate->freshness_timer, td_clock_now_ns() + TICK_NS);
	return 0;
}

void td_negotiate_freshness_stop(struct td_negotiate *negotiate)
{
	if (!negotiate->accepted) {
		td_freshness_file_close(negotiate->freshness_file);
		return;
	}
	td_timers_cancel(td_loop_timers(negotiate->loop), &negotiate->freshness_timer);
	held_release(negotiate, false);
	negotiate->freshness_stops = true;
	if (negotiate->freshness_job) {
		td_job_wait(negotiate->freshness_job);
		td_accepted_saved(negotiate->accepted, negotiate->freshness_result);
	}
	if (td_accepted_settle(negotiate->accepted) < 0)
		td_log_warning("%s/freshness cannot be written", negotiate->state_directory);
	td_accepted_free(negotiate->accepted);
	td_freshness_file_close(negotiate->freshness_file);
}

// SPDX-License-Identifier: BSD-3-Clause
// The one-round-trip exchange's clocks and what it keeps over restarts.

#include "common/clock.h"
#include "common/log.h"
#include "control/negotiate/freshness_file.h"
#include "control/negotiate/internal.h"

#include <errno.h>
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

// The next bound is on disk before a handshake has to wait for it.
void td_negotiate_freshness_due(void *context)
{
	struct td_negotiate *negotiate = context;
	uint64_t now_ns = td_clock_now_ns();
	int ret = td_accepted_tick(negotiate->accepted, td_negotiate_wall_us(NULL), now_ns / NS_PER_US);

	if (ret < 0)
		td_log_warning("%s/freshness cannot be written: %s; first messages of the one-round-trip "
		               "exchange are refused",
		    negotiate->state_directory, strerror(-ret));
	td_timers_set(td_loop_timers(negotiate->loop), &negotiate->freshness_timer, now_ns + TICK_NS);
}

int td_negotiate_freshness_start(
    struct td_negotiate *negotiate, const struct td_tunnel_ike_config *ike, struct td_error *error)
{
	struct td_accepted_setup setup = {
	    .window = {.step_s = ike->code_step_s, .steps = ike->code_window},
	    .capacity = TD_ONERTT_INITIATORS_MAX,
	    .wall_us = td_negotiate_wall_us(NULL),
	    .steady_us = td_clock_now_ns() / NS_PER_US,
	    .save = td_freshness_file_save,
	};

	if (negotiate->accepted) {
		td_accepted_widen(negotiate->accepted, &setup.window, setup.wall_us, setup.steady_us);
		return 0;
	}
	negotiate->freshness_file =
	    td_freshness_file_open(negotiate->state_directory, &setup.found, &setup.bound_us, error);
	if (!negotiate->freshness_file)
		return -EINVAL;
	setup.context = negotiate->freshness_file;
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
	if (td_accepted_settle(negotiate->accepted) < 0)
		td_log_warning("%s/freshness cannot be written", negotiate->state_directory);
	td_accepted_free(negotiate->accepted);
	td_freshness_file_close(negotiate->freshness_file);
}

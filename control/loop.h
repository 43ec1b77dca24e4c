// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control thread's event loop: file descriptors (epoll), timers and a tick. One thread.

#include "control/timers.h"

#include <stdbool.h>
#include <stdint.h>

struct td_loop;

// How long what becomes due may have to wait: a turn goes from waking up to looking for more, and timers and
// descriptors wait for its end.
struct td_loop_stats {
	uint64_t turns, late_turns; // late: longer than TD_LOOP_LATE_US
	uint64_t longest_ns;
};

// events are epoll's (EPOLLIN, ...).
typedef void (*td_loop_fd_fn)(void *context, uint32_t events);

// Returns NULL with errno set.
struct td_loop *td_loop_create(void);
void td_loop_destroy(struct td_loop *loop);

// Watches a descriptor. Return 0 or -errno. A descriptor may be removed, and closed, from any callback.
int td_loop_fd_add(struct td_loop *loop, int fd, uint32_t events, td_loop_fd_fn fn, void *context);
int td_loop_fd_modify(struct td_loop *loop, int fd, uint32_t events);
void td_loop_fd_remove(struct td_loop *loop, int fd);

// The loop's timers. Their clock is td_clock_now_ns() when the loop last woke up, and again before timers
// run.
struct td_timers *td_loop_timers(struct td_loop *loop);
// (Re)arms a timer to run once. Timers may be set and cancelled from callbacks; one that is set
// for a time that has passed waits for the next round, behind those that were due before.
void td_loop_timer_set(struct td_loop *loop, struct td_timer *timer, uint64_t deadline_ns);
void td_loop_timer_cancel(struct td_loop *loop, struct td_timer *timer);

// fn runs every tick_ns while the loop runs, or as soon after that as the callback under way returns. It
// returns true when it had work, in which case the loop comes back to it without sleeping.
void td_loop_tick_set(struct td_loop *loop, uint64_t tick_ns, bool (*fn)(void *context), void *context);

// Runs until td_loop_stop. Returns 0 or -errno of epoll.
int td_loop_run(struct td_loop *loop);
void td_loop_stop(struct td_loop *loop);

// Of the turns that are over.
const struct td_loop_stats *td_loop_stats(const struct td_loop *loop);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Timers on a clock that somebody else moves: the event loop by the real one, a simulation by a virtual one.
// One thread. Setting a timer needs no memory and cannot fail (an intrusive leftist heap).

#include <stdbool.h>
#include <stdint.h>

// A timer belongs to its user, who keeps it in place while it is armed. Zero it before first use, then set fn
// and context.
struct td_timer {
	uint64_t deadline_ns;
	uint64_t number; // of setting: of two that are due at once the one that was set first runs first
	void (*fn)(void *context);
	void *context;
	struct td_timer *left, *right, *parent; // of the heap
	uint32_t rank; // timers on the way right, this one included
	bool armed;
};

// Zero it before first use. now_ns is the time that all users of the timers go by; it never goes back.
struct td_timers {
	struct td_timer *first; // of the heap
	uint64_t now_ns;
	uint64_t numbers; // given to timers
};

// (Re)arms a timer to run once.
void td_timers_set(struct td_timers *timers, struct td_timer *timer, uint64_t deadline_ns);
void td_timers_cancel(struct td_timers *timers, struct td_timer *timer);
// The earliest deadline, UINT64_MAX: none.
uint64_t td_timers_next_ns(const struct td_timers *timers);
// Moves the clock and runs what is due, in the order of the deadlines, and of setting. Timers may be set and
// cancelled from callbacks; one that is set for now_ns or earlier runs in the next call.
void td_timers_run(struct td_timers *timers, uint64_t now_ns);
// Moves the clock alone, for the deadlines of what is not a timer's doing.
void td_timers_clock(struct td_timers *timers, uint64_t now_ns);
// Moves the clock and runs the first timer that is due, for a caller that has other work between timers.
// Returns false when none was due.
bool td_timers_run_one(struct td_timers *timers, uint64_t now_ns);

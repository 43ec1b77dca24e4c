// SPDX-License-Identifier: BSD-3-Clause
#include "control/timers.h"

#include <stddef.h>

// A leftist heap (Crane 1972, Knuth vol. 3, 5.2.3): a timer is due no later than those below it, and the way
// to the right end is nowhere longer than the one to the left end, so that it is logarithmic. No operation
// takes longer than that, not even once: in a pairing heap the first timer may have all others below it, and
// taking it would then stop the loop for as long as it takes to look at each.

static uint32_t rank(const struct td_timer *timer)
{
	return timer != NULL ? timer->rank : 0;
}

// The shorter side goes to the right. Returns whether the rank has changed.
static bool settle(struct td_timer *timer)
{
	uint32_t old = timer->rank;

	if (rank(timer->left) < rank(timer->right)) {
		struct td_timer *left = timer->left;

		timer->left = timer->right;
		timer->right = left;
	}
	timer->rank = rank(timer->right) + 1;
	return timer->rank != old;
}

static bool before(const struct td_timer *a, const struct td_timer *b)
{
	return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->number < b->number);
}

// As deep as the ways to the right are long.
static struct td_timer *merge(struct td_timer *a, struct td_timer *b)
{
	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (before(b, a)) {
		struct td_timer *later = a;

		a = b;
		b = later;
	}
	a->right = merge(a->right, b);
	a->right->parent = a;
	(void)settle(a);
	return a;
}

void td_timers_cancel(struct td_timers *timers, struct td_timer *timer)
{
	struct td_timer *parent = timer->parent, *below;

	if (!timer->armed)
		return;
	below = merge(timer->left, timer->right);
	if (below != NULL)
		below->parent = parent;
	if (parent == NULL)
		timers->first = below;
	else if (parent->left == timer)
		parent->left = below;
	else
		parent->right = below;
	while (parent != NULL && settle(parent))
		parent = parent->parent;
	timer->left = timer->right = timer->parent = NULL;
	timer->armed = false;
}

void td_timers_set(struct td_timers *timers, struct td_timer *timer, uint64_t deadline_ns)
{
	td_timers_cancel(timers, timer);
	timer->deadline_ns = deadline_ns;
	timer->number = timers->numbers++;
	timer->rank = 1;
	timer->armed = true;
	timers->first = merge(timers->first, timer);
}

uint64_t td_timers_next_ns(const struct td_timers *timers)
{
	return timers->first != NULL ? timers->first->deadline_ns : UINT64_MAX;
}

// The first timer, if it is due: taken out of the heap.
static struct td_timer *due_take(struct td_timers *timers)
{
	struct td_timer *timer = timers->first;

	if (timer == NULL || timer->deadline_ns > timers->now_ns)
		return NULL;
	td_timers_cancel(timers, timer);
	return timer;
}

void td_timers_clock(struct td_timers *timers, uint64_t now_ns)
{
	if (now_ns > timers->now_ns)
		timers->now_ns = now_ns;
}

bool td_timers_run_one(struct td_timers *timers, uint64_t now_ns)
{
	struct td_timer *timer;

	td_timers_clock(timers, now_ns);
	timer = due_take(timers);
	if (timer == NULL)
		return false;
	timer->fn(timer->context);
	return true;
}

void td_timers_run(struct td_timers *timers, uint64_t now_ns)
{
	// What is due now leaves the heap and hangs below a timer that never runs, one below the other to the
	// left, in order: a callback can cancel one, or set it again, as it can one of the heap, and what a
	// callback sets is not run before the next call.
	struct td_timer due = {.rank = 1}, *last = &due, *timer;

	td_timers_clock(timers, now_ns);
	while ((timer = due_take(timers)) != NULL) {
		timer->armed = true;
		timer->rank = 1;
		timer->parent = last;
		last->left = timer;
		last = timer;
	}
	while ((timer = due.left) != NULL) {
		td_timers_cancel(timers, timer);
		timer->fn(timer->context);
	}
}

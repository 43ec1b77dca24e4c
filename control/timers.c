// SPDX-License-Identifier: BSD-3-Clause
#include "control/timers.h"

#include <stddef.h>

// A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): a timer is due no later than its children, which
// are a list from timer->child on. Only the first of the heap, and a timer outside it, has no previous.

static void child_add(struct td_timer *parent, struct td_timer *child)
{
	child->previous = parent;
	child->next = parent->child;
	if (child->next != NULL)
		child->next->previous = child;
	parent->child = child;
}

// Of two that are due at once the first argument comes first.
static struct td_timer *merge(struct td_timer *a, struct td_timer *b)
{
	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (b->deadline_ns < a->deadline_ns) {
		child_add(b, a);
		return b;
	}
	child_add(a, b);
	return a;
}

// Makes one heap of a list of heaps: pairs from the left, which are then joined from the right. This order is
// what keeps the cost of taking the first one logarithmic on average.
static struct td_timer *merge_list(struct td_timer *list)
{
	struct td_timer *pairs = NULL, *merged = NULL;

	while (list != NULL) {
		struct td_timer *a = list, *b = list->next, *pair;

		list = b != NULL ? b->next : NULL;
		a->next = a->previous = NULL;
		if (b != NULL)
			b->next = b->previous = NULL;
		pair = merge(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs != NULL) {
		struct td_timer *pair = pairs;

		pairs = pair->next;
		pair->next = NULL;
		merged = merge(pair, merged);
	}
	return merged;
}

void td_timers_cancel(struct td_timers *timers, struct td_timer *timer)
{
	struct td_timer *children;

	if (!timer->armed)
		return;
	children = merge_list(timer->child);
	if (timer->previous == NULL) {
		timers->first = children;
	} else {
		if (timer->previous->child == timer)
			timer->previous->child = timer->next;
		else
			timer->previous->next = timer->next;
		if (timer->next != NULL)
			timer->next->previous = timer->previous;
		timers->first = merge(timers->first, children);
	}
	timer->child = timer->next = timer->previous = NULL;
	timer->armed = false;
}

void td_timers_set(struct td_timers *timers, struct td_timer *timer, uint64_t deadline_ns)
{
	td_timers_cancel(timers, timer);
	timer->deadline_ns = deadline_ns;
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
	// What is due now leaves the heap and becomes the children of a timer that never runs, in order: a
	// callback can cancel one, or set it again, as it can one of the heap, and what a callback sets is
	// not run before the next call.
	struct td_timer due = {0}, *last = &due, *timer;

	td_timers_clock(timers, now_ns);
	while ((timer = due_take(timers)) != NULL) {
		timer->armed = true;
		timer->previous = last;
		if (last == &due)
			due.child = timer;
		else
			last->next = timer;
		last = timer;
	}
	while ((timer = due.child) != NULL) {
		td_timers_cancel(timers, timer);
		timer->fn(timer->context);
	}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "common/limits.h"
#include "control/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct td_loop *loop;

static void loop_open(void)
{
	loop = td_loop_create();
	cr_assert_not_null(loop);
}

static void loop_close(void)
{
	td_loop_destroy(loop);
}

TestSuite(loop, .init = loop_open, .fini = loop_close, .timeout = 10);

static void stop(void *context)
{
	(void)context;
	td_loop_stop(loop);
}

// Ends a loop in which nothing else does.
static void run_for(uint64_t ms)
{
	struct td_timer end = {.fn = stop};

	td_loop_timer_set(loop, &end, td_clock_now_ns() + ms * TD_NS_PER_MS);
	cr_assert_eq(td_loop_run(loop), 0);
	td_loop_timer_cancel(loop, &end);
}

// ---- timers -----------------------------------------------------------------------------------

#define TIMERS 500

static struct td_timer timers[TIMERS];
static uint64_t last_ns;
static unsigned fired;

static void timer_in_order(void *context)
{
	const struct td_timer *timer = context;

	cr_assert_geq(timer->deadline_ns, last_ns);
	cr_assert(!timer->armed, "a timer that runs is not armed");
	last_ns = timer->deadline_ns;
	fired++;
}

Test(loop, timers_run_in_order_of_their_deadlines)
{
	uint64_t start_ns = td_clock_now_ns();
	unsigned i, cancelled = 0;

	srand(1);
	for (i = 0; i < TIMERS; i++) {
		timers[i].fn = timer_in_order;
		timers[i].context = &timers[i];
		td_loop_timer_set(loop, &timers[i], start_ns + (unsigned)rand() % 5000000);
	}
	for (i = 0; i < TIMERS; i++) {
		if (i % 3 == 0) {
			td_loop_timer_cancel(loop, &timers[i]);
			cancelled++;
		} else if (i % 3 == 1) {
			td_loop_timer_set(loop, &timers[i], start_ns + (unsigned)rand() % 5000000);
		}
	}
	run_for(20);
	cr_assert_eq(fired, TIMERS - cancelled);
}

static void timer_again(void *context)
{
	struct td_timer *timer = context;

	fired++;
	td_loop_timer_set(loop, timer, 0);
}

Test(loop, a_timer_that_is_always_due_does_not_starve_others)
{
	struct td_timer again = {.fn = timer_again, .context = &again};

	td_loop_timer_set(loop, &again, 0);
	run_for(5);
	cr_assert_gt(fired, 1u);
	td_loop_timer_cancel(loop, &again);
}

static struct td_timer other;

static void timer_cancels_other(void *context)
{
	(void)context;
	td_loop_timer_cancel(loop, &other);
}

static void timer_must_not_run(void *context)
{
	(void)context;
	cr_assert_fail("a cancelled timer ran");
}

Test(loop, a_timer_cancelled_by_another_that_is_due_at_once_does_not_run)
{
	struct td_timer first = {.fn = timer_cancels_other};
	uint64_t now_ns = td_clock_now_ns();

	other.fn = timer_must_not_run;
	td_loop_timer_set(loop, &first, now_ns);
	td_loop_timer_set(loop, &other, now_ns + 1);
	run_for(5);
}

// ---- descriptors ------------------------------------------------------------------------------

struct pipe_pair {
	int fds[2];
	unsigned calls;
};

static struct pipe_pair pipes[2];

static void pipe_open(struct pipe_pair *pair)
{
	cr_assert_eq(pipe2(pair->fds, O_NONBLOCK | O_CLOEXEC), 0);
	cr_assert_eq(write(pair->fds[1], "x", 1), 1);
}

static void wrong_descriptor(void *context, uint32_t events)
{
	(void)context, (void)events;
	cr_assert_fail("an event of a removed descriptor was delivered");
}

// Whichever of the two runs first removes and closes the other one, and puts a descriptor of the same number,
// that has nothing to read, in its place.
static void replaces_other(void *context, uint32_t events)
{
	struct pipe_pair *mine = context;
	struct pipe_pair *theirs = mine == &pipes[0] ? &pipes[1] : &pipes[0];
	int number = theirs->fds[0], empty[2];

	(void)events;
	mine->calls++;
	td_loop_fd_remove(loop, mine->fds[0]);
	td_loop_fd_remove(loop, number);
	close(number);
	cr_assert_eq(pipe2(empty, O_NONBLOCK), 0);
	cr_assert_eq(empty[0], number, "the kernel takes the lowest free number");
	cr_assert_eq(td_loop_fd_add(loop, number, EPOLLIN, wrong_descriptor, NULL), 0);
}

Test(loop, a_stale_event_is_not_delivered_to_a_new_descriptor_of_the_same_number)
{
	pipe_open(&pipes[0]);
	pipe_open(&pipes[1]);
	cr_assert_eq(td_loop_fd_add(loop, pipes[0].fds[0], EPOLLIN, replaces_other, &pipes[0]), 0);
	cr_assert_eq(td_loop_fd_add(loop, pipes[1].fds[0], EPOLLIN, replaces_other, &pipes[1]), 0);
	run_for(10);
	cr_assert_eq(pipes[0].calls + pipes[1].calls, 1u);
}

static void counts(void *context, uint32_t events)
{
	struct pipe_pair *pair = context;

	cr_assert(events & EPOLLIN);
	if (++pair->calls == 3)
		cr_assert_eq(td_loop_fd_modify(loop, pair->fds[0], 0), 0);
}

Test(loop, modify_changes_what_is_watched)
{
	pipe_open(&pipes[0]);
	cr_assert_eq(td_loop_fd_add(loop, pipes[0].fds[0], EPOLLIN, counts, &pipes[0]), 0);
	run_for(10);
	cr_assert_eq(pipes[0].calls, 3u);
}

Test(loop, wrong_use_is_refused)
{
	pipe_open(&pipes[0]);
	cr_assert_eq(td_loop_fd_add(loop, -1, EPOLLIN, counts, NULL), -EINVAL);
	cr_assert_eq(td_loop_fd_add(loop, 1000, EPOLLIN, counts, NULL), -EBADF);
	cr_assert_eq(td_loop_fd_add(loop, pipes[0].fds[0], EPOLLIN, counts, &pipes[0]), 0);
	cr_assert_eq(td_loop_fd_add(loop, pipes[0].fds[0], EPOLLIN, counts, &pipes[0]), -EEXIST);
	cr_assert_eq(td_loop_fd_modify(loop, pipes[0].fds[1], EPOLLIN), -ENOENT);
	td_loop_fd_remove(loop, pipes[0].fds[1]);
}

// ---- tick -------------------------------------------------------------------------------------

static unsigned ticks, busy;

static bool tick(void *context)
{
	(void)context;
	ticks++;
	return busy > 0 && busy-- > 0;
}

Test(loop, the_tick_runs_at_its_pace)
{
	td_loop_tick_set(loop, TD_NS_PER_MS, tick, NULL);
	run_for(50);
	// A busy machine may make fewer, none can make more.
	cr_assert_geq(ticks, 5u);
	cr_assert_leq(ticks, 52u);
}

Test(loop, a_tick_with_work_comes_again_without_sleep)
{
	busy = 1000;
	td_loop_tick_set(loop, 3600 * TD_NS_PER_S, tick, NULL);
	run_for(100);
	cr_assert_eq(ticks, 1001u);
}

Test(loop, stop_before_run_ends_it_at_once_and_it_can_run_again)
{
	td_loop_stop(loop);
	cr_assert_eq(td_loop_run(loop), 0);
	td_loop_tick_set(loop, TD_NS_PER_MS, tick, NULL);
	run_for(10);
	cr_assert_gt(ticks, 0u);
}

static void works_long(void *context, uint32_t events)
{
	uint64_t end_ns = td_clock_now_ns() + 2 * TD_NS_PER_MS;

	(void)context, (void)events;
	while (td_clock_now_ns() < end_ns)
		;
}

Test(loop, the_tick_does_not_wait_for_all_descriptors)
{
	int fds[20][2];
	unsigned i;

	for (i = 0; i < 20; i++) {
		cr_assert_eq(pipe2(fds[i], O_NONBLOCK | O_CLOEXEC), 0);
		cr_assert_eq(write(fds[i][1], "x", 1), 1);
		cr_assert_eq(td_loop_fd_add(loop, fds[i][0], EPOLLIN, works_long, NULL), 0);
	}
	td_loop_tick_set(loop, TD_NS_PER_MS, tick, NULL);
	run_for(1);
	// One round is over before the timer that ends the loop has its turn.
	cr_assert_geq(ticks, 20u);
}

static unsigned fired_at_first_tick;

static bool tick_among_timers(void *context)
{
	(void)context;
	if (ticks++ == 0)
		fired_at_first_tick = fired;
	return false;
}

Test(loop, the_tick_does_not_wait_for_all_timers)
{
	uint64_t now_ns = td_clock_now_ns();
	unsigned i;

	for (i = 0; i < TIMERS; i++) {
		timers[i].fn = timer_in_order;
		timers[i].context = &timers[i];
		td_loop_timer_set(loop, &timers[i], now_ns);
	}
	td_loop_tick_set(loop, TD_NS_PER_MS, tick_among_timers, NULL);
	run_for(50);
	cr_assert_eq(fired, TIMERS);
	cr_assert_lt(fired_at_first_tick, TIMERS);
}

static void sleeps_long(void *context)
{
	(void)context;
	usleep(TD_LOOP_LATE_US + 1);
}

Test(loop, a_turn_that_takes_long_is_counted)
{
	struct td_timer timer = {.fn = sleeps_long};
	struct td_loop_stats before = *td_loop_stats(loop);

	cr_assert_eq(before.turns, 0);
	td_loop_timer_set(loop, &timer, td_clock_now_ns());
	run_for(1);
	cr_assert_geq(td_loop_stats(loop)->turns, 1);
	cr_assert_geq(td_loop_stats(loop)->late_turns, 1);
	cr_assert_leq(td_loop_stats(loop)->late_turns, td_loop_stats(loop)->turns);
	cr_assert_gt(td_loop_stats(loop)->longest_ns, TD_LOOP_LATE_US * 1000ull);
}

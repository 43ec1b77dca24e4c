// SPDX-License-Identifier: BSD-3-Clause
#include "control/timers.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(timers, .timeout = 60);

#define TIMERS 200

static struct td_timers timers;
static struct td_timer all[TIMERS];
static unsigned ran[TIMERS];
static uint64_t last_ns;

static unsigned number_of(const struct td_timer *timer)
{
	return (unsigned)(timer - all);
}

static unsigned turn;

static void runs_in_turn(void *context)
{
	cr_expect_eq(number_of(context), turn % TIMERS);
	turn++;
}

// ---- against a naive model ----------------------------------------------------------------------

struct model {
	bool armed;
	uint64_t deadline_ns;
};
static struct model model[TIMERS];

static uint64_t model_next_ns(void)
{
	uint64_t next_ns = UINT64_MAX;
	unsigned i;

	for (i = 0; i < TIMERS; i++)
		if (model[i].armed && model[i].deadline_ns < next_ns)
			next_ns = model[i].deadline_ns;
	return next_ns;
}

static void random_set(unsigned i)
{
	uint64_t deadline_ns = timers.now_ns + (unsigned)rand() % 100;

	// Some are in the past, and many at the same time.
	deadline_ns = deadline_ns > 20 ? deadline_ns - 20 : 0;
	model[i] = (struct model){true, deadline_ns};
	td_timers_set(&timers, &all[i], deadline_ns);
}

static void random_cancel(unsigned i)
{
	model[i].armed = false;
	td_timers_cancel(&timers, &all[i]);
}

static void runs_and_changes_others(void *context)
{
	struct td_timer *timer = context;
	unsigned i = number_of(timer);

	cr_assert_not(timer->armed, "a timer that runs is not armed");
	cr_assert(model[i].armed, "timer %u was cancelled, or has run", i);
	cr_assert_eq(timer->deadline_ns, model[i].deadline_ns);
	cr_assert_leq(timer->deadline_ns, timers.now_ns);
	cr_assert_geq(timer->deadline_ns, last_ns);
	last_ns = timer->deadline_ns;
	model[i].armed = false;
	ran[i]++;
	if (rand() % 4 == 0)
		random_cancel((unsigned)rand() % TIMERS);
	// In the future: what is set for now is the subject of another test.
	i = (unsigned)rand() % TIMERS;
	if (rand() % 4 == 0) {
		model[i] = (struct model){true, timers.now_ns + 1 + (unsigned)rand() % 50};
		td_timers_set(&timers, &all[i], model[i].deadline_ns);
	}
}

Test(timers, random_operations_agree_with_a_naive_model)
{
	unsigned seed, step, i;

	for (i = 0; i < TIMERS; i++)
		all[i] = (struct td_timer){.fn = runs_and_changes_others, .context = &all[i]};
	for (seed = 1; seed <= 50; seed++) {
		srand(seed);
		for (step = 0; step < 500; step++) {
			i = (unsigned)rand() % TIMERS;
			if (rand() % 3 == 0)
				random_cancel(i);
			else
				random_set(i);
			cr_assert_eq(all[i].armed, model[i].armed);
			cr_assert_eq(td_timers_next_ns(&timers), model_next_ns());
			if (rand() % 8 != 0)
				continue;
			last_ns = 0;
			td_timers_run(&timers, timers.now_ns + (unsigned)rand() % 30);
			cr_assert_eq(td_timers_next_ns(&timers), model_next_ns());
			cr_assert_gt(td_timers_next_ns(&timers), timers.now_ns, "something due was left");
		}
	}
}

Test(timers, that_are_due_at_once_run_as_they_were_set)
{
	for (unsigned i = 0; i < TIMERS; i++) {
		all[i] = (struct td_timer){.fn = runs_in_turn, .context = &all[i]};
		td_timers_set(&timers, &all[i], 50);
	}
	// Set anew is set last.
	turn = 1;
	td_timers_set(&timers, &all[0], 50);
	td_timers_run(&timers, 50);
	cr_assert_eq(turn, TIMERS + 1);
}

// However they were set, taking the first one may not take as long as looking at all of them.
Test(timers, the_first_one_is_never_far_from_the_next)
{
	const unsigned count = 100000;
	struct td_timer *many = calloc(count, sizeof(*many));

	cr_assert_not_null(many);
	for (unsigned i = 0; i < count; i++) {
		td_timers_set(&timers, &many[i], i);
		cr_assert_leq(timers.first->rank, 17, "the way right has more than log2 of all");
	}
	while (timers.first != NULL) {
		td_timers_cancel(&timers, timers.first);
		cr_assert(timers.first == NULL || timers.first->rank <= 17);
	}
	free(many);
}

Test(timers, a_hundred_thousand_run_in_order)
{
	const unsigned count = 100000;
	struct td_timer *many = calloc(count, sizeof(*many));
	uint64_t before_ns = 0;
	unsigned i;

	cr_assert_not_null(many);
	for (i = 0; i < count; i++)
		td_timers_set(&timers, &many[i], (uint64_t)i * 7919 % count);
	for (i = 0; i < count; i++) {
		struct td_timer *first = timers.first;

		cr_assert_geq(first->deadline_ns, before_ns);
		before_ns = first->deadline_ns;
		td_timers_cancel(&timers, first);
	}
	cr_assert_null(timers.first);
	free(many);
}

// ---- within callbacks -------------------------------------------------------------------------

static void counts(void *context)
{
	ran[number_of(context)]++;
}

static void sets_itself_for_now(void *context)
{
	counts(context);
	td_timers_set(&timers, context, 0);
}

Test(timers, what_is_set_for_now_runs_in_the_next_call)
{
	all[0] = (struct td_timer){.fn = sets_itself_for_now, .context = &all[0]};
	all[1] = (struct td_timer){.fn = counts, .context = &all[1]};
	td_timers_set(&timers, &all[0], 10);
	td_timers_set(&timers, &all[1], 10);
	td_timers_run(&timers, 10);
	cr_assert_eq(ran[0], 1u);
	cr_assert_eq(ran[1], 1u);
	cr_assert(all[0].armed);
	td_timers_run(&timers, 10);
	cr_assert_eq(ran[0], 2u);
}

static void cancels_1_and_puts_2_off(void *context)
{
	counts(context);
	td_timers_cancel(&timers, &all[1]);
	td_timers_set(&timers, &all[2], timers.now_ns + 5);
}

// All three are due in the same call.
Test(timers, a_callback_cancels_and_puts_off_what_is_due_too)
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		all[i] =
		    (struct td_timer){.fn = i == 0 ? cancels_1_and_puts_2_off : counts, .context = &all[i]};
		td_timers_set(&timers, &all[i], 10 + i);
	}
	td_timers_run(&timers, 20);
	cr_assert_eq(ran[0], 1u);
	cr_assert_eq(ran[1], 0u);
	cr_assert_eq(ran[2], 0u);
	cr_assert_eq(ran[3], 1u);
	td_timers_run(&timers, 24);
	cr_assert_eq(ran[2], 0u);
	td_timers_run(&timers, 25);
	cr_assert_eq(ran[2], 1u);
}

Test(timers, the_clock_never_goes_back)
{
	td_timers_run(&timers, 100);
	td_timers_run(&timers, 50);
	cr_assert_eq(timers.now_ns, 100u);
	td_timers_clock(&timers, 70);
	cr_assert_eq(timers.now_ns, 100u);
	td_timers_clock(&timers, 130);
	cr_assert_eq(timers.now_ns, 130u);
}

Test(timers, one_at_a_time)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		all[i] = (struct td_timer){.fn = counts, .context = &all[i]};
		td_timers_set(&timers, &all[i], 10 * (2 - i));
	}
	cr_assert(td_timers_run_one(&timers, 10));
	cr_assert_eq(ran[2], 1u);
	cr_assert(td_timers_run_one(&timers, 10));
	cr_assert_eq(ran[1], 1u);
	cr_assert_not(td_timers_run_one(&timers, 10));
	cr_assert_eq(ran[0], 0u);
}

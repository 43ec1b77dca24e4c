// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "control/job.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <semaphore.h>

static struct td_loop *loop;
static pthread_t control, other;
static sem_t go;
static unsigned worked, done;

static void start(void)
{
	loop = td_loop_create();
	cr_assert_not_null(loop);
	control = pthread_self();
	cr_assert_eq(sem_init(&go, 0, 0), 0);
}

static void stop(void)
{
	td_loop_destroy(loop);
	(void)sem_destroy(&go);
}

TestSuite(job, .init = start, .fini = stop, .timeout = 20);

static void work(void *context)
{
	unsigned *count = context;

	other = pthread_self();
	while (sem_wait(&go) != 0)
		;
	++*count;
}

static void is_done(void *context)
{
	cr_assert_eq(context, &worked);
	cr_assert(pthread_equal(pthread_self(), control));
	done++;
	td_loop_stop(loop);
}

static void timer_fired(void *context)
{
	(void)context;
	cr_assert_eq(worked + done, 0);
	cr_assert_eq(sem_post(&go), 0);
}

// The work waits for something that only the loop brings about.
Test(job, the_loop_goes_on_beside_it)
{
	struct td_timer timer = {.fn = timer_fired};

	cr_assert_not_null(td_job_start(loop, work, is_done, &worked));
	td_loop_timer_set(loop, &timer, td_clock_now_ns());
	cr_assert_eq(td_loop_run(loop), 0);
	cr_expect_eq(worked, 1);
	cr_expect_eq(done, 1);
	cr_expect(!pthread_equal(other, control));
}

static void loop_end(void *context)
{
	(void)context;
	td_loop_stop(loop);
}

Test(job, who_waits_for_it_is_not_told)
{
	struct td_timer timer = {.fn = loop_end};
	struct td_job *job = td_job_start(loop, work, is_done, &worked);

	cr_assert_not_null(job);
	cr_assert_eq(sem_post(&go), 0);
	td_job_wait(job);
	cr_expect_eq(worked, 1);
	td_loop_timer_set(loop, &timer, td_clock_now_ns());
	cr_assert_eq(td_loop_run(loop), 0);
	cr_expect_eq(done, 0);
	td_job_wait(NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
// The disk that keeps the one-round-trip exchange's bound is slow: nobody waits but the first message that
// needs it.
#include "common/clock.h"
#include "common/limits.h"
#include "control/negotiate/freshness_file.h"
#include "control/negotiate/internal.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_US 1000

static struct td_negotiate negotiate;
static const struct td_tunnel_ike_config ike = {.code_step_s = 30, .code_window = 1};
static const struct td_path path = {.remote_port = 500};
static sem_t disk; // a write takes one
static int disk_error;
static unsigned received, accepted;
static uint64_t last_us; // of a first message

// ---- what is around it --------------------------------------------------------------------------

int __real_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor);
void __wrap_td_ike_receive(struct td_ike *engine, const struct td_path *from, struct td_bytes message);

int __wrap_fdatasync(int descriptor)
{
	(void)descriptor;
	while (sem_wait(&disk) != 0)
		;
	errno = disk_error;
	return disk_error ? -1 : 0;
}

// The engine, as far as it accepts first messages: each holds its time and its initiator's number.
struct first {
	uint64_t time_us;
	uint8_t key[32];
};

void __wrap_td_ike_receive(struct td_ike *engine, const struct td_path *from, struct td_bytes message)
{
	struct first first;
	struct td_accepted_name name;

	(void)engine;
	cr_assert_eq(message.length, sizeof(first));
	cr_assert_eq(from->remote_port, 500);
	memcpy(&first, message.data, sizeof(first));
	cr_assert_eq(td_accepted_name_key(first.key, &name), 0);
	received++;
	accepted += td_accepted_commit(negotiate.accepted, &name, first.time_us, td_negotiate_wall_us(NULL),
	                td_clock_now_ns() / NS_PER_US) == 0;
}

static void first_come(unsigned initiator)
{
	struct first first = {.key = {(uint8_t)initiator, (uint8_t)(initiator >> 8)}};
	uint64_t now_us =
	    td_accepted_now(negotiate.accepted, td_negotiate_wall_us(NULL), td_clock_now_ns() / NS_PER_US);

	first.time_us = last_us = now_us > last_us ? now_us : last_us + 1;
	td_negotiate_receive(&negotiate, &path, (struct td_bytes){(const uint8_t *)&first, sizeof(first)});
}

// ---- running ------------------------------------------------------------------------------------

static char directory[] = "/tmp/td-hold-XXXXXX";
static char file[sizeof(directory) + 16];

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 7, length);
}

static void start(void)
{
	struct td_ike_env env = {.random = random_fill};
	struct td_error error = {0};

	cr_assert_not_null(mkdtemp(directory));
	snprintf(file, sizeof(file), "%s/freshness", directory);
	cr_assert_eq(sem_init(&disk, 0, 0), 0);
	negotiate.loop = td_loop_create();
	cr_assert_not_null(negotiate.loop);
	env.timers = td_loop_timers(negotiate.loop);
	negotiate.ike = td_ike_create(&env);
	cr_assert_not_null(negotiate.ike);
	snprintf(negotiate.state_directory, sizeof(negotiate.state_directory), "%s", directory);
	cr_assert_eq(td_negotiate_freshness_start(&negotiate, &ike, &error), 0, "%s", error.reason);
}

static void stop(void)
{
	sem_post(&disk); // for the last bound
	td_negotiate_freshness_stop(&negotiate);
	td_loop_destroy(negotiate.loop);
	td_ike_destroy(negotiate.ike);
	(void)unlink(file);
	(void)rmdir(directory);
	(void)sem_destroy(&disk);
}

TestSuite(hold, .init = start, .fini = stop, .timeout = 20);

static unsigned turns_left;

static void turn(void *context)
{
	struct td_timer *timer = context;

	if (turns_left-- == 0)
		td_loop_stop(negotiate.loop);
	else
		td_loop_timer_set(negotiate.loop, timer, td_clock_now_ns() + 1);
}

static void run_turns(unsigned count)
{
	struct td_timer timer = {.fn = turn, .context = &timer};

	turns_left = count;
	td_loop_timer_set(negotiate.loop, &timer, td_clock_now_ns());
	cr_assert_eq(td_loop_run(negotiate.loop), 0);
}

static void run_until_written(void)
{
	while (negotiate.freshness_job)
		run_turns(1);
}

Test(hold, the_loop_turns_while_the_disk_is_busy)
{
	first_come(1);
	first_come(2);
	run_turns(100);
	cr_expect_eq(received, 2);
	cr_expect_eq(accepted, 0, "nothing later than what is on disk");
	cr_expect_eq(negotiate.held_count, 2);
	sem_post(&disk);
	run_until_written();
	cr_expect_eq(received, 4);
	cr_expect_eq(accepted, 2, "without being sent again");
	cr_expect_eq(negotiate.held_count, 0);
	first_come(3);
	cr_expect_eq(accepted, 3, "at once");
}

// Initiators repeat theirs.
Test(hold, not_more_than_there_is_room_for)
{
	for (unsigned i = 0; i < TD_ONERTT_HELD_MAX + 10; i++)
		first_come(i);
	cr_expect_eq(negotiate.held_count, TD_ONERTT_HELD_MAX);
	sem_post(&disk);
	run_until_written();
	cr_expect_eq(accepted, TD_ONERTT_HELD_MAX);
	for (unsigned i = TD_ONERTT_HELD_MAX; i < TD_ONERTT_HELD_MAX + 10; i++)
		first_come(i);
	cr_expect_eq(accepted, TD_ONERTT_HELD_MAX + 10);
}

Test(hold, a_disk_that_fails_lets_nobody_in)
{
	disk_error = ENOSPC;
	first_come(1);
	sem_post(&disk);
	run_until_written();
	cr_expect_eq(received, 1);
	cr_expect_eq(accepted, 0);
	cr_expect_eq(negotiate.held_count, 0);
	disk_error = 0;
	first_come(1);
	sem_post(&disk);
	run_until_written();
	cr_expect_eq(accepted, 1);
}

// What waits when the gateway stops is forgotten; the bound is that of what was accepted.
Test(hold, a_gateway_that_stops)
{
	uint64_t bound_us = 0;
	bool found;
	struct td_error error = {0};
	struct td_freshness_file *kept;

	first_come(1);
	sem_post(&disk);
	run_until_written();
	uint64_t accepted_us = last_us;
	sem_post(&disk);
	td_negotiate_freshness_stop(&negotiate);
	kept = td_freshness_file_open(directory, &found, &bound_us, &error);
	cr_assert_not_null(kept, "%s", error.reason);
	cr_expect(found);
	cr_expect_eq(bound_us, accepted_us);
	td_freshness_file_close(kept);

	negotiate.accepted = NULL;
	negotiate.freshness_stops = false;
	cr_assert_eq(td_negotiate_freshness_start(&negotiate, &ike, &error), 0, "%s", error.reason);
	first_come(2);
	cr_expect_eq(negotiate.held_count, 1);
	sem_post(&disk);
}

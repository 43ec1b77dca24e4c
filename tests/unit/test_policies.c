// SPDX-License-Identifier: BSD-3-Clause
// Changes of the policies take place one after the other, each behind what the one before has left.
#include "common/clock.h"
#include "control/policies/policies.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES_MAX 8

static struct td_tunnel_config tunnels[1];
static struct td_config config;
static struct td_loop *loop;
static struct td_sad *sad;
static struct td_policies *policies;
static struct td_error error;

// How changes ended, in the order of their ends.
static struct end {
	unsigned change;
	int result;
	struct td_error error;
} ends[CHANGES_MAX];
static unsigned end_count, expected;

static void done(void *context, int result, const struct td_error *reason)
{
	cr_expect_eq(result < 0, reason->reason[0] != '\0');
	ends[end_count++] = (struct end){*(unsigned *)context, result, *reason};
	if (end_count == expected)
		td_loop_stop(loop);
}

static struct td_policies_user user(unsigned change)
{
	static unsigned numbers[CHANGES_MAX];

	numbers[change] = change;
	return (struct td_policies_user){done, &numbers[change]};
}

static void start(void)
{
	fake_dp_reset();
	memset(tunnels, 0, sizeof(tunnels));
	strcpy(tunnels[0].name, "t0");
	tunnels[0].replay_window = 1024;
	tunnels[0].local_count = tunnels[0].remote_count = 1;
	td_ip_parse("192.0.2.1", &tunnels[0].local_address);
	td_ip_parse("192.0.2.2", &tunnels[0].remote_address);
	td_prefix_parse("10.0.0.0/24", &tunnels[0].local[0]);
	td_prefix_parse("10.1.0.0/24", &tunnels[0].remote[0]);
	config = (struct td_config){.tunnels = tunnels, .tunnel_count = 1};
	loop = td_loop_create();
	sad = td_sad_create(loop, &config, NULL, NULL, &error);
	policies = td_policies_create(loop, &config, sad, &error);
	cr_assert_not_null(policies, "%s", error.reason);
	end_count = 0;
}

static void stop(void)
{
	td_policies_destroy(policies);
	td_sad_destroy(sad);
	td_loop_destroy(loop);
	cr_expect_eq(fake_dp.tunnels + fake_dp.hits_live, 0);
}

TestSuite(policies, .init = start, .fini = stop, .timeout = 60);

// A policy of that protocol, so that a list can be told by its protocols.
static uint32_t add(unsigned change, uint8_t protocol, uint32_t before)
{
	const struct td_policies_user hears = user(change);
	struct td_policy_config *policy = calloc(1, sizeof(*policy));
	uint32_t id = 0;

	*policy = (struct td_policy_config){.action = TD_POLICY_BYPASS,
	    .direction = TD_POLICY_BOTH,
	    .protocol = protocol,
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX};
	cr_assert_eq(td_policies_add(policies, policy, before, &id, &hears, &error), 0);
	return id;
}

static void drop(unsigned change, uint32_t id)
{
	const struct td_policies_user hears = user(change);

	cr_assert_eq(td_policies_remove(policies, id, &hears, &error), 0);
}

static void run_until(unsigned count)
{
	expected = count;
	if (end_count < count)
		cr_assert_eq(td_loop_run(loop), 0);
}

static void expect_protocols(unsigned count, const uint8_t *protocols)
{
	cr_expect_eq(fake_dp.policy_count, count + 1, "and the tunnel's rule");
	for (unsigned i = 0; i < count; i++) {
		cr_expect_eq(td_policies_at(policies, i)->config.protocol, protocols[i], "%u", i);
		cr_expect_eq(fake_dp.policies[i].protocol, protocols[i], "%u", i);
	}
	cr_expect_null(td_policies_at(policies, count));
	cr_expect_eq(fake_dp.hits_live, count + 1);
}

Test(policies, nothing_ends_before_the_loop_runs)
{
	uint32_t id = add(0, 1, 0);

	drop(1, id + 100);
	cr_expect_eq(end_count, 0);
	run_until(2);
	cr_expect(ends[0].change == 0 && ends[0].result == 0);
	cr_expect(ends[1].change == 1 && ends[1].result == -ENOENT);
}

// What a change names is looked for when its turn has come.
Test(policies, each_change_begins_with_what_the_one_before_has_left)
{
	uint32_t first = add(0, 1, 0), second = add(1, 2, first);

	add(2, 3, second);
	drop(3, first);
	drop(4, first);
	add(5, 4, first);
	run_until(6);
	for (unsigned i = 0; i < 6; i++) {
		cr_expect_eq(ends[i].change, i);
		cr_expect_eq(ends[i].result, i < 4 ? 0 : -ENOENT, "%u", i);
	}
	expect_protocols(2, (const uint8_t[]){3, 2});
}

Test(policies, a_change_that_fails_leaves_the_others_alone)
{
	add(0, 1, 0);
	run_until(1);
	fake_dp.policy_fails = true;
	add(1, 2, 0);
	run_until(2);
	fake_dp.policy_fails = false;
	add(2, 3, 0);
	run_until(3);
	cr_expect_eq(ends[1].result, -ENOMEM);
	cr_expect_eq(ends[2].result, 0);
	expect_protocols(2, (const uint8_t[]){1, 3});
}

// A reload holds what it made until it takes or forgets it.
static void reload(bool take)
{
	const struct td_policies_user hears = user(1);
	struct td_config_diff diff;

	add(0, 1, 0);
	cr_assert_eq(td_config_diff(&config, &config, &diff), 0);
	diff.policies = true; // the file has none any more
	cr_assert_eq(td_policies_change_prepare(policies, &config, &diff, &hears, &error), 0);
	add(2, 2, 0);
	run_until(2);
	cr_expect_eq(ends[1].change, 1);
	expect_protocols(1, (const uint8_t[]){1});
	if (take)
		td_policies_change_take(policies);
	else
		td_policies_change_forget(policies);
	run_until(3);
	cr_expect(ends[2].change == 2 && ends[2].result == 0);
	td_config_diff_free(&diff);
}

Test(policies, changes_wait_for_a_reload_that_takes)
{
	reload(true);
	expect_protocols(1, (const uint8_t[]){2});
}

Test(policies, changes_wait_for_a_reload_that_forgets)
{
	reload(false);
	expect_protocols(2, (const uint8_t[]){1, 2});
}

static void loop_stop(void *context)
{
	(void)context;
	td_loop_stop(loop);
}

// It may be given up at any time.
enum moment { IN_THE_QUEUE, WHILE_BUILT, WHEN_BUILT };

static void reload_forgotten(enum moment when)
{
	const struct td_policies_user hears = user(1);
	struct td_timer soon = {.fn = loop_stop};
	struct td_config_diff diff;

	cr_assert_eq(td_config_diff(&config, &config, &diff), 0);
	diff.policies = true;
	if (when == IN_THE_QUEUE)
		add(0, 1, 0);
	cr_assert_eq(td_policies_change_prepare(policies, &config, &diff, &hears, &error), 0);
	if (when == WHEN_BUILT)
		run_until(1);
	if (when == WHILE_BUILT) {
		fake_dp.policy_ms = 100;
		td_loop_timer_set(loop, &soon, td_clock_now_ns() + TD_NS_PER_MS);
		cr_assert_eq(td_loop_run(loop), 0);
		cr_expect_eq(end_count, 0);
	}
	td_policies_change_forget(policies);
	td_config_diff_free(&diff);
	add(2, 2, 0);
	run_until(when == WHILE_BUILT ? 1 : 2);
	cr_expect(ends[end_count - 1].change == 2 && ends[end_count - 1].result == 0);
}

Test(policies, a_reload_is_forgotten_in_the_queue)
{
	reload_forgotten(IN_THE_QUEUE);
	expect_protocols(2, (const uint8_t[]){1, 2});
}

Test(policies, a_reload_is_forgotten_while_it_is_built)
{
	reload_forgotten(WHILE_BUILT);
	expect_protocols(1, (const uint8_t[]){2});
}

Test(policies, a_reload_is_forgotten_when_it_is_built)
{
	reload_forgotten(WHEN_BUILT);
	expect_protocols(1, (const uint8_t[]){2});
}

// A tunnel of the next configuration may never come, and then its place in the data plane is gone.
Test(policies, a_request_means_the_tunnels_there_are_while_others_come)
{
	struct td_policy_config *policy = calloc(1, sizeof(*policy));
	struct td_tunnel *present = td_sad_tunnel_find(sad, "t0"), *coming;
	const struct td_policies_user hears = user(0);
	uint32_t id;

	*policy = (struct td_policy_config){
	    .action = TD_POLICY_PROTECT, .direction = TD_POLICY_BOTH, .tunnel = "t0"};
	td_sad_tunnel_leave(present, true);
	coming = td_sad_tunnel_prepare(sad, &tunnels[0]);
	cr_assert_not_null(coming);
	cr_assert_eq(td_policies_add(policies, policy, 0, &id, &hears, &error), 0);
	run_until(1);
	cr_expect_eq(ends[0].result, 0);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(fake_dp.policies[i].tunnel, present->dp, "%u", i);
	td_sad_tunnel_remove(sad, coming);
	td_sad_tunnel_leave(present, false);
}

// Whoever asked is told, whatever it was waiting for.
Test(policies, what_waits_at_the_end_is_told)
{
	for (unsigned i = 0; i < 3; i++)
		add(i, (uint8_t)(1 + i), 0);
	td_policies_destroy(policies);
	policies = NULL;
	cr_expect_eq(end_count, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(ends[i].result, -ECANCELED);
}

// The thread that builds the first one writes how that goes until the last moment.
Test(policies, what_is_built_at_the_end_is_told_the_same)
{
	struct td_timer soon = {.fn = loop_stop};

	for (unsigned i = 0; i < 2; i++)
		add(i, (uint8_t)(1 + i), 0);
	fake_dp.policy_ms = 50;
	fake_dp.policy_fails = true;
	td_loop_timer_set(loop, &soon, td_clock_now_ns() + TD_NS_PER_MS);
	cr_assert_eq(td_loop_run(loop), 0);
	td_policies_destroy(policies);
	policies = NULL;
	cr_expect_eq(end_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect_eq(ends[i].result, -ECANCELED, "%u", i);
		cr_expect_str_eq(ends[i].error.reason, "stay as they are: the gateway stops", "%u", i);
	}
}

// SPDX-License-Identifier: BSD-3-Clause
// A reload of many tunnels is done in pieces, between which the loop does other things and nothing shows.
#include "common/clock.h"
#include "common/limits.h"
#include "control/reload.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 300
// Each look at the clock is so much later: a slice has room for a few tunnels, however fast the machine is.
#define LOOK_NS 200000
#define SLICE_MOST (TD_RELOAD_SLICE_US * 1000 / LOOK_NS)

static atomic_ullong looks;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = __real_clock_gettime(clock, now);
	uint64_t later_ns = clock == CLOCK_MONOTONIC ? ++looks * LOOK_NS + (uint64_t)now->tv_nsec : 0;

	if (later_ns) {
		now->tv_sec += (time_t)(later_ns / TD_NS_PER_S);
		now->tv_nsec = (long)(later_ns % TD_NS_PER_S);
	}
	return ret;
}

// ---- what a reload has around it ----------------------------------------------------------------

static struct td_loop *loop;
static struct td_reload reload;
static struct td_reload_result result; // of the last one
static unsigned ended;
static unsigned this_turn, longest_turn, turns; // tunnels that the negotiation was told of
static unsigned told, fails_at; // of them all; the one that cannot be made
static unsigned prepared, made, cancelled, discarded, updated, started;
static int routes_fail;

static void tunnel_told(unsigned *kind)
{
	++*kind;
	told++;
	if (++this_turn > longest_turn)
		longest_turn = this_turn;
}

struct td_negotiate_read {
	unsigned tunnels;
};

struct td_negotiate_read *td_negotiate_read(const struct td_config *before, struct td_config *config,
    const struct td_config_diff *diff, struct td_error *error)
{
	struct td_negotiate_read *read = calloc(1, sizeof(*read));

	(void)before, (void)diff, (void)error;
	read->tunnels = config->tunnel_count;
	return read;
}

void td_negotiate_read_free(struct td_negotiate_read *read)
{
	free(read);
}

void td_negotiate_begin(struct td_negotiate *negotiate)
{
	(void)negotiate;
}

void td_negotiate_tunnel_prepare(struct td_negotiate *negotiate, const struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position)
{
	(void)negotiate;
	cr_assert_not_null(tunnel);
	cr_assert_lt(position, read->tunnels);
	tunnel_told(&prepared);
}

int td_negotiate_tunnel_add(struct td_negotiate *negotiate, struct td_tunnel *tunnel,
    struct td_negotiate_read *read, unsigned position, struct td_error *error)
{
	(void)negotiate;
	cr_assert_lt(position, read->tunnels);
	tunnel_told(&made);
	return made == fails_at ? td_error_set(error, -EINVAL, tunnel->config.name, "psk_file", "is bad") : 0;
}

void td_negotiate_tunnel_cancel(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	(void)negotiate, (void)tunnel;
	tunnel_told(&cancelled);
}

void td_negotiate_tunnel_discard(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	(void)negotiate, (void)tunnel;
	tunnel_told(&discarded);
}

void td_negotiate_tunnel_leave(struct td_negotiate *negotiate, struct td_tunnel *tunnel)
{
	(void)negotiate;
	this_turn++;
	td_sad_tunnel_remove(reload.sad, tunnel);
}

void td_negotiate_tunnel_update(struct td_tunnel *tunnel)
{
	(void)tunnel;
	updated++;
}

void td_negotiate_tunnel_start(struct td_tunnel *tunnel)
{
	cr_assert_not_null(tunnel);
	tunnel_told(&started);
}

int td_netlink_routes_change(
    struct td_netlink *netlink, const struct td_config *config, struct td_error *error)
{
	(void)netlink, (void)config;
	return routes_fail ? td_error_set(error, routes_fail, "route", "", "is another's") : 0;
}

void td_netlink_routes_revert(struct td_netlink *netlink, const struct td_config *config)
{
	(void)netlink, (void)config;
}

// ---- the file -----------------------------------------------------------------------------------

static char path[] = "/tmp/td-reload-XXXXXX";

// Tunnels first to last - 1, drain_ms of each, and what else.
static void file_write(unsigned first, unsigned last, unsigned drain_ms, const char *more)
{
	FILE *file = fopen(path, "we");

	cr_assert_not_null(file);
	fprintf(file, "ports = ( { name = \"out\"; device = \"net_null0\"; role = \"outside\"; "
	              "addresses = [ \"192.0.2.1/24\" ]; }, { name = \"in\"; device = \"net_null1\"; role = "
	              "\"inside\"; addresses = [ \"10.0.0.1/24\" ]; } );\ntunnels = (\n");
	for (unsigned i = first; i < last; i++)
		fprintf(file,
		    "%s{ name = \"t%u\"; local_address = \"192.0.2.1\"; remote_address = \"198.51.%u.%u\"; "
		    "drain_ms = %u; local = [ \"10.0.0.0/24\" ]; remote = [ \"20.0.%u.%u/32\" ]; }\n",
		    i > first ? "," : "", i, i >> 8, i & 255, drain_ms, i >> 8, i & 255);
	fprintf(file, ");\n%s", more);
	cr_assert_eq(fclose(file), 0);
}

static void done(void *context, struct td_reload_result *end)
{
	(void)context;
	result = *end;
	ended++;
}

static const struct td_reload_user user = {.done = done};

static void start(void)
{
	struct td_error error = {0};
	int descriptor = mkstemp(path);

	cr_assert_geq(descriptor, 0);
	close(descriptor);
	fake_dp_reset();
	file_write(0, MANY, 100, "");
	loop = td_loop_create();
	reload = (struct td_reload){.loop = loop, .path = path, .config = td_config_load(path, stderr)};
	cr_assert_not_null(reload.config);
	reload.sad = td_sad_create(loop, reload.config, NULL, NULL, &error);
	cr_assert_not_null(reload.sad);
	reload.policies = td_policies_create(loop, reload.config, reload.sad, &error);
	cr_assert_not_null(reload.policies, "%s", error.reason);
}

static void stop(void)
{
	td_reload_stop(&reload);
	td_policies_destroy(reload.policies);
	td_sad_destroy(reload.sad);
	td_config_free(reload.config);
	td_loop_destroy(loop);
	(void)unlink(path);
	cr_expect_eq(fake_dp.tunnels + fake_dp.hits_live, 0);
}

TestSuite(reload, .init = start, .fini = stop, .timeout = 60);

// What there is beside it: a timer that is due in every turn, and sees the tunnels change all at once.

static unsigned first_before, last_before, first_after, last_after;
static unsigned policies_before, policies_after; // beside the tunnels'
static unsigned stop_at; // tunnels told
static struct td_timer beside;

static bool shows_with(unsigned first, unsigned last, unsigned policies)
{
	unsigned low = first_before < first_after ? first_before : first_after;
	unsigned high = last_before > last_after ? last_before : last_after;
	char name[16];

	for (unsigned i = low; i < high; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		if ((td_sad_tunnel_find(reload.sad, name) != NULL) != (i >= first && i < last))
			return false;
	}
	return reload.config->tunnel_count == last - first && fake_dp.policy_count == policies + last - first;
}

static bool shows(unsigned first, unsigned last)
{
	return shows_with(first, last, 0);
}

static void turn(void *context)
{
	(void)context;
	turns++;
	this_turn = 0;
	cr_assert(shows_with(first_before, last_before, policies_before) ||
	          shows_with(first_after, last_after, policies_after));
	if (ended || told >= stop_at)
		td_loop_stop(loop);
	else
		td_loop_timer_set(loop, &beside, td_clock_now_ns());
}

static void run(unsigned first, unsigned last, unsigned until_told)
{
	struct td_error error = {0};

	first_after = first;
	last_after = last;
	stop_at = until_told;
	cr_assert_eq(td_reload_start(&reload, true, &user, &error), 0, "%s", error.reason);
	beside = (struct td_timer){.fn = turn};
	td_loop_timer_set(loop, &beside, td_clock_now_ns());
	cr_assert_eq(td_loop_run(loop), 0);
}

// What the others start from.
static void begin(void)
{
	first_before = 0;
	last_before = MANY;
}

static const struct {
	unsigned first, last, drain_ms;
	unsigned prepared, made, updated; // in all
} changes[] = {
    {0, MANY, 100, MANY, 0, 0},
    {0, MANY, 200, MANY, 0, MANY},
    {5, MANY + 5, 100, MANY - 5, 5, 0},
    {2 * MANY, 3 * MANY, 100, 0, MANY, 0},
    {0, 1, 100, 1, 0, 0},
};

Test(reload, is_done_in_slices)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		unsigned last = changes[i].last;

		if (i > 0)
			start();
		begin();
		prepared = made = updated = started = turns = told = ended = longest_turn = 0;
		file_write(changes[i].first, last, changes[i].drain_ms, "");
		run(changes[i].first, last, UINT32_MAX);
		cr_expect_eq(result.result, 0, "%zu: %s", i, result.error.reason);
		cr_expect(shows(changes[i].first, last));
		cr_expect_eq(prepared, changes[i].prepared, "%zu", i);
		cr_expect_eq(made, changes[i].made, "%zu", i);
		cr_expect_eq(updated, changes[i].updated, "%zu", i);
		cr_expect_eq(started, last - changes[i].first, "%zu", i);
		cr_expect_leq(longest_turn, SLICE_MOST, "%zu", i);
		cr_expect_geq(turns, told / SLICE_MOST, "%zu", i);
		if (i + 1 < sizeof(changes) / sizeof(changes[0])) {
			stop();
			strcpy(path, "/tmp/td-reload-XXXXXX");
		}
	}
}

// The last tunnel cannot be made, nor can the route: nothing is left of the others.
Test(reload, is_undone_in_slices)
{
	begin();
	file_write(MANY / 2, 2 * MANY, 100, "");
	fails_at = MANY;
	run(MANY / 2, 2 * MANY, UINT32_MAX);
	cr_expect_eq(result.result, -EINVAL);
	cr_expect_str_eq(result.error.object, "t599");
	cr_expect(shows(0, MANY));
	cr_expect_eq(discarded, MANY);
	cr_expect_eq(cancelled, MANY / 2);
	cr_expect_eq(fake_dp.tunnels, MANY);
	cr_expect_eq(fake_dp.hits_live, MANY);
	cr_expect_leq(longest_turn, SLICE_MOST);

	fails_at = ended = 0;
	routes_fail = -EEXIST;
	file_write(
	    MANY / 2, 2 * MANY, 100, "routes = ( { to = \"203.0.113.0/24\"; via = \"192.0.2.9\"; } );\n");
	run(MANY / 2, 2 * MANY, UINT32_MAX);
	cr_expect_eq(result.result, -EEXIST);
	cr_expect(shows(0, MANY));
	cr_expect_eq(fake_dp.tunnels, MANY);
	cr_expect_eq(fake_dp.hits_live, MANY);

	routes_fail = 0;
	ended = 0;
	run(MANY / 2, 2 * MANY, UINT32_MAX);
	cr_expect_eq(result.result, 0);
	cr_expect(shows(MANY / 2, 2 * MANY));
}

// Between two slices of its phases: all or nothing is changed at once.
Test(reload, is_ended_when_the_gateway_stops)
{
	unsigned whole = 2 * MANY;

	for (unsigned until = 1; until < 3 * MANY; until += MANY / 2) {
		begin();
		told = ended = 0;
		file_write(0, whole, 100, "");
		run(0, whole, until);
		td_reload_stop(&reload);
		cr_assert_eq(ended, 1);
		if (result.result == 0) {
			cr_expect(shows(0, whole));
			cr_expect_gt(until, whole - SLICE_MOST, "there is a way back before");
			return;
		}
		cr_expect_eq(result.result, -ECANCELED);
		cr_expect(shows(0, MANY));
		cr_expect_eq(fake_dp.tunnels, MANY);
	}
	cr_assert_fail("it never came to the end");
}

Test(reload, goes_alone)
{
	struct td_error error = {0};

	begin();
	file_write(0, 2 * MANY, 100, "");
	run(0, 2 * MANY, MANY / 2);
	cr_expect_eq(td_reload_start(&reload, true, &user, &error), -EBUSY);
	cr_expect_not_null(strstr(error.reason, "under way"), "%s", error.reason);
	// A signal waits.
	td_reload_signal(&reload);
	stop_at = UINT32_MAX;
	td_loop_timer_set(loop, &beside, td_clock_now_ns());
	cr_assert_eq(td_loop_run(loop), 0);
	cr_expect_eq(result.result, 0);
	cr_expect_not_null(reload.run, "the one of the signal");
}

#define DISCARD(remote) "{ action = \"discard\"; remote = \"" remote "\"; }"

// Wherever it stands, a policy keeps its number and its counter; of equal ones each has its own.
Test(reload, policies_that_are_the_same_go_on_counting)
{
	const struct td_dp_hits *hits[3];
	uint32_t ids[3];

	begin();
	file_write(0, MANY, 100,
	    "policies = ( " DISCARD("10.9.0.0/24") ", " DISCARD("10.9.0.0/24") ", " DISCARD(
	        "10.8.0.0/24") " );\n");
	policies_before = 0;
	policies_after = 3;
	run(0, MANY, UINT32_MAX);
	cr_assert_eq(result.result, 0, "%s", result.error.reason);
	for (unsigned i = 0; i < 3; i++) {
		hits[i] = td_policies_at(reload.policies, i)->hits;
		ids[i] = td_policies_at(reload.policies, i)->id;
	}
	file_write(0, MANY, 100,
	    "policies = ( " DISCARD("10.8.0.0/24") ", " DISCARD("10.7.0.0/24") ", " DISCARD(
	        "10.9.0.0/24") ", " DISCARD("10.9.0.0/24") ", " DISCARD("10.9.0.0/24") " );\n");
	ended = 0;
	policies_before = 3;
	policies_after = 5;
	run(0, MANY, UINT32_MAX);
	cr_assert_eq(result.result, 0, "%s", result.error.reason);
	static const int from[] = {2, -1, 0, 1, -1};
	for (unsigned i = 0; i < 5; i++) {
		const struct td_policy *policy = td_policies_at(reload.policies, i);

		if (from[i] >= 0)
			cr_expect(policy->hits == hits[from[i]] && policy->id == ids[from[i]], "%u", i);
		else
			cr_expect_gt(policy->id, ids[2], "%u", i);
	}
}

Test(reload, of_a_file_that_is_not_good)
{
	begin();
	file_write(0, MANY, 100, "}\n");
	run(0, MANY, UINT32_MAX);
	cr_expect_eq(result.result, -EBADMSG);
	cr_expect_eq(told, 0);
	ended = 0;
	file_write(0, MANY, 100, "worker: { count = 2; };\n");
	run(0, MANY, UINT32_MAX);
	cr_expect_eq(result.result, -EBUSY);
	cr_expect_eq(told, 0);
}

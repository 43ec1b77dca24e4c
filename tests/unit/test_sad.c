// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "common/siphash.h"
#include "control/sad/keys.h"
#include "control/sad/sad.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct td_tunnel_config tunnels[2];
static struct td_config config;
static struct td_loop *loop;
static struct td_sad *sad;
static char seen[64][24]; // kinds of events
static unsigned seen_count;
static struct td_error error;
static unsigned failed;
static void (*react)(const char *kind, const struct td_sa *sa); // NULL: nobody does

static void saw(void *context, const char *kind, const struct td_sa *sa, const struct td_tunnel *tunnel,
    const struct td_event *event)
{
	(void)context, (void)tunnel, (void)event;
	if (seen_count < 64)
		snprintf(seen[seen_count++], sizeof(seen[0]), "%s", kind);
	if (react)
		react(kind, sa);
}

static unsigned count_seen(const char *kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < seen_count; i++)
		count += strcmp(seen[i], kind) == 0;
	return count;
}

static void start_with(unsigned workers)
{
	fake_dp_reset();
	fake_dp.workers = workers;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(tunnels[i].name, sizeof(tunnels[i].name), "t%u", i);
		tunnels[i].replay_window = 1000;
		tunnels[i].drain_ms = 20;
	}
	config.tunnels = tunnels;
	config.tunnel_count = 2;
	loop = td_loop_create();
	sad = td_sad_create(loop, &config, saw, NULL, &error);
	cr_assert_not_null(sad);
}

static void start(void)
{
	start_with(2);
}

static void stop(void)
{
	td_sad_destroy(sad);
	td_loop_destroy(loop);
	cr_assert_eq(fake_dp.in_live + fake_dp.out_live + fake_dp.tunnels, 0);
}

static void loop_stop(void *context)
{
	td_loop_stop(context);
}

static void run_ms(unsigned ms)
{
	struct td_timer timer = {.fn = loop_stop, .context = loop};

	td_loop_timer_set(loop, &timer, td_clock_now_ns() + ms * TD_NS_PER_MS);
	td_loop_run(loop);
}

static struct td_secret keys[32];
static unsigned keys_used;

static struct td_sa_request request(
    const char *tunnel, bool outbound, uint32_t spi, unsigned owner, bool activate)
{
	struct td_secret *key = &keys[keys_used++ % 32];

	key->length = 20;
	cr_assert_eq(td_random(key->bytes, 20), 0);
	return (struct td_sa_request){.spi = spi,
	    .outbound = outbound,
	    .activate = activate,
	    .tunnel = td_sad_tunnel_find(sad, tunnel),
	    .owner = owner,
	    .key = key};
}

static int add(struct td_sa_request r)
{
	return td_sad_add(sad, &r, 1, &failed, &error);
}

static uint32_t current(const char *tunnel, unsigned worker)
{
	const struct td_tunnel *t = td_sad_tunnel_find(sad, tunnel);
	const struct td_sa *sa = td_sad_tunnel_current(t, worker);

	cr_assert_eq(td_dp_tunnel_current(t->dp, worker), sa ? sa->out : NULL);
	return sa ? sa->spi : 0;
}

static struct td_sa *out(const char *tunnel, uint32_t spi)
{
	return td_sad_sa_find_out(sad, td_sad_tunnel_find(sad, tunnel), spi);
}

static int remove_one(const char *tunnel, bool outbound, uint32_t spi, bool force)
{
	struct td_sa_name name = {tunnel ? td_sad_tunnel_find(sad, tunnel) : NULL, outbound, spi};

	return td_sad_remove(sad, &name, 1, force, &failed, &error);
}

Test(siphash, published_vectors)
{
	static const struct {
		size_t length;
		uint8_t out[16];
	} rows[] = {
	    {0, {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
	            0x93}},
	    {1, {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
	            0x45}},
	    {2, {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff,
	            0xe4}},
	    {63, {0x51, 0x50, 0xd1, 0x77, 0x2f, 0x50, 0x83, 0x4a, 0x50, 0x3e, 0x06, 0x9a, 0x97, 0x3f, 0xbd,
	             0x7c}},
	};
	uint8_t key[16], data[64], got[16];

	for (uint8_t i = 0; i < 64; i++)
		data[i] = i;
	memcpy(key, data, sizeof(key));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		td_siphash(key, data, rows[i].length, got);
		cr_expect_arr_eq(got, rows[i].out, 16, "length %zu", rows[i].length);
	}
}

Test(keys, the_oldest_goes_first)
{
	struct td_used_keys used;
	struct td_fingerprint prints[1500];

	cr_assert_eq(td_used_keys_init(&used, 1000), 0);
	for (uint32_t i = 0; i < 1500; i++) {
		struct td_secret key = {.length = 4};

		memcpy(key.bytes, &i, sizeof(i));
		prints[i] = td_used_keys_fingerprint(&used, &key);
		cr_assert_eq(td_used_keys_reserve(&used, 1), 0);
		td_used_keys_add(&used, &prints[i]);
	}
	for (uint32_t i = 0; i < 1500; i++)
		cr_assert_eq(td_used_keys_has(&used, &prints[i]), i >= 500, "key %u", i);
	td_used_keys_free(&used);
}

Test(sad, refuses, .init = start, .fini = stop)
{
	cr_assert_eq(add(request("t0", false, 0x1000, 0, false)), 0);
	struct td_sa_request good = request("t0", false, 0x2000, 0, false), r;
	struct td_secret key = *good.key;
	struct {
		const char *field;
		int rc;
		struct td_sa_request request;
	} rows[9];
	unsigned count = 0;
#define ROW(name, code, ...)                                                                                 \
	(r = good, __VA_ARGS__, rows[count].field = name, rows[count].rc = code, rows[count++].request = r)
	ROW("spi", -EINVAL, r.spi = 255);
	ROW("spi", -EEXIST, r.spi = 0x1000);
	ROW("worker", -EINVAL, r.owner = 2);
	ROW("activate", -EINVAL, r.activate = true);
	ROW("replay_window", -EINVAL, r.replay_window = 8193);
	ROW("soft_bytes", -EINVAL, r.limits.soft_bytes = 2, r.limits.hard_bytes = 1);
	ROW("soft_packets", -EINVAL, r.limits.soft_packets = 2, r.limits.hard_packets = 1);
	ROW("soft_ms", -EINVAL, r.soft_time_ms = 2, r.hard_time_ms = 1);
	ROW("key", -EINVAL, r.suite = 1);
#undef ROW
	for (unsigned i = 0; i < count; i++) {
		cr_expect_eq(add(rows[i].request), rows[i].rc, "row %u", i);
		cr_expect_str_eq(error.field, rows[i].field, "row %u", i);
	}
	cr_expect_eq(fake_dp.in_live, 1);
	cr_expect_eq(add(good), 0);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x2000)->replay_window, 1024, "rounded up");
	cr_expect(td_secret_equal(&key, good.key));
}

Test(sad, a_key_is_used_once, .init = start, .fini = stop)
{
	struct td_sa_request first = request("t0", true, 0x1000, 0, false), again = first;

	again.spi = 0x1001;
	cr_assert_eq(add(first), 0);
	cr_expect_eq(add(again), -EEXIST);
	cr_expect_str_eq(error.field, "key");
	again.outbound = false;
	cr_expect_eq(add(again), -EEXIST, "not for the other direction either");
	cr_assert_eq(remove_one("t0", true, 0x1000, false), 0);
	cr_expect_eq(add(first), -EEXIST, "not again for sending");
	cr_expect_str_eq(error.field, "key");
	cr_expect_eq(add(again), 0, "inbound it repeats no nonce of ours");
	struct td_sa_request pair[2] = {
	    request("t0", true, 0x1, 0, false), request("t0", true, 0x2000, 0, false)};
	pair[0].spi = 0x2001;
	pair[1].key = pair[0].key;
	cr_expect_eq(td_sad_add(sad, pair, 2, &failed, &error), -EEXIST, "nor twice in one bulk");
	cr_expect_eq(failed, 1);
	cr_expect_null(out("t0", 0x2001));
	cr_expect_eq(add(pair[0]), 0, "a failed bulk used no key");
}

Test(sad, bulk_is_all_or_nothing, .init = start, .fini = stop)
{
	struct td_sa_request bulk[4] = {request("t0", false, 0x1000, 0, false),
	    request("t0", true, 0x1000, 0, true), request("t1", true, 0x1000, 1, true),
	    request("t1", false, 0x1000, 1, false)};

	cr_expect_eq(td_sad_add(sad, bulk, 4, &failed, &error), -EEXIST);
	cr_expect_eq(failed, 3);
	cr_expect_str_eq(error.object, "sa 0x00001000 (in)");
	bulk[3].spi = 0x1001;
	fake_dp.creates = 0;
	fake_dp.create_fails_at = 3;
	cr_expect_eq(td_sad_add(sad, bulk, 4, &failed, &error), -ENOMEM);
	cr_expect_eq(failed, 2);
	fake_dp.reserve_fails = true;
	cr_expect_eq(td_sad_add(sad, bulk, 4, &failed, &error), -ENOMEM);
	fake_dp.reserve_fails = false;
	cr_expect_eq(
	    fake_dp.in_live + fake_dp.out_live + fake_dp.in_published + fake_dp.switches + seen_count, 0);
	cr_expect_eq(current("t0", 0), 0);
	cr_expect_eq(td_sad_add(sad, bulk, 4, &failed, &error), 0);
	cr_expect_eq(fake_dp.in_published, 2);
	cr_expect_eq(count_seen("sa_added"), 4);
	cr_expect_eq(count_seen("sa_switched"), 2);
}

Test(sad, single_sa_serves_all_workers, .init = start, .fini = stop)
{
	cr_assert_eq(add(request("t0", true, 0x1000, 0, true)), 0);
	cr_expect_eq(current("t0", 0), 0x1000);
	cr_expect_eq(current("t0", 1), 0x1000);
	cr_assert_eq(add(request("t0", true, 0x2000, 1, true)), 0);
	cr_expect_eq(current("t0", 0), 0x2000, "a successor of another owner takes over everywhere");
	cr_expect_eq(current("t0", 1), 0x2000);
	cr_expect_eq(out("t0", 0x1000)->state, TD_SA_RETIRED);
	cr_expect_eq(remove_one("t0", true, 0x2000, false), -EBUSY);
	cr_expect_eq(remove_one("t0", true, 0x1000, false), 0);
	cr_expect_eq(remove_one("t0", true, 0x2000, true), 0);
	cr_expect_eq(current("t0", 0), 0);
	cr_expect_eq(remove_one("t0", true, 0x2000, true), -ENOENT);
}

Test(sad, one_sa_per_worker, .init = start, .fini = stop)
{
	struct td_sa_request pair[2] = {
	    request("t0", true, 0x1000, 0, true), request("t0", true, 0x1001, 1, true)};

	cr_assert_eq(td_sad_add(sad, pair, 2, &failed, &error), 0);
	cr_expect_eq(current("t0", 0), 0x1000);
	cr_expect_eq(current("t0", 1), 0x1001);
	cr_assert_eq(add(request("t0", true, 0x2000, 0, true)), 0);
	cr_expect_eq(current("t0", 0), 0x2000);
	cr_expect_eq(current("t0", 1), 0x1001, "the other worker keeps its own");
	cr_expect_eq(remove_one("t0", true, 0x1001, true), 0);
	cr_expect_eq(current("t0", 1), 0x2000, "another current SA steps in");
	struct td_sa_name twice[2] = {{td_sad_tunnel_find(sad, "t0"), true, 0x2000}};
	twice[1] = twice[0];
	cr_expect_eq(td_sad_switch(sad, twice, 2, &failed, &error), -EINVAL);
	cr_expect_eq(failed, 1);
}

Test(sad, switch_a_single_sa_and_a_newcomer_in_one_step)
{
	start_with(3);
	cr_assert_eq(add(request("t0", true, 0x1000, 0, true)), 0);
	cr_assert_eq(add(request("t0", true, 0x1001, 1, false)), 0);
	struct td_sa_name both[2] = {
	    {td_sad_tunnel_find(sad, "t0"), true, 0x1000}, {td_sad_tunnel_find(sad, "t0"), true, 0x1001}};
	cr_expect_eq(td_sad_switch(sad, both, 2, &failed, &error), 0);
	cr_expect_eq(current("t0", 0), 0x1000);
	cr_expect_eq(current("t0", 1), 0x1001);
	cr_expect_neq(current("t0", 2), 0);
	stop();
}

Test(sad, inbound_life, .init = start, .fini = stop)
{
	cr_assert_eq(add(request("t0", false, 0x1000, 0, false)), 0);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_PENDING);
	struct td_event event = {.kind = TD_EVENT_FIRST_USE, .spi = 0x1000, .tunnel = 1};
	td_sad_event(sad, &event);
	cr_expect_eq(count_seen("sa_first_use"), 0, "an event of another tunnel's SA is stale");
	event.tunnel = 0;
	td_sad_event(sad, &event);
	td_sad_event(sad, &event);
	cr_expect_eq(count_seen("sa_first_use"), 1);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_ACTIVE);
	struct td_sa_name name = {NULL, false, 0x1000};
	cr_assert_eq(td_sad_drain(sad, &name, 1, 0, &failed, &error), 0);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_DRAINING);
	run_ms(5);
	cr_expect_not_null(td_sad_sa_find_in(sad, 0x1000));
	run_ms(40);
	cr_expect_null(td_sad_sa_find_in(sad, 0x1000));
	cr_expect_eq(count_seen("sa_removed"), 1);
	td_sad_event(sad, &event);
}

Test(sad, lifetimes, .init = start, .fini = stop)
{
	struct td_sa_request in = request("t0", false, 0x1000, 0, false),
	                     o = request("t0", true, 0x1000, 0, true);

	in.soft_time_ms = o.soft_time_ms = 10;
	in.hard_time_ms = o.hard_time_ms = 30;
	cr_assert_eq(add(in), 0);
	cr_assert_eq(add(o), 0);
	run_ms(20);
	cr_expect_eq(count_seen("sa_soft_limit"), 2);
	run_ms(20);
	cr_expect_eq(count_seen("sa_hard_limit"), 2);
	cr_expect_eq(fake_dp.in_stopped, 1);
	cr_expect_eq(fake_dp.out_stopped, 1);
	run_ms(40);
	cr_expect_null(td_sad_sa_find_in(sad, 0x1000), "an expired inbound SA goes after the drain time");
	cr_expect_eq(out("t0", 0x1000)->state, TD_SA_EXPIRED);
	cr_expect_eq(current("t0", 0), 0x1000, "an expired outbound SA keeps dropping in its slots");
	struct td_sa_name name = {td_sad_tunnel_find(sad, "t0"), true, 0x1000};
	cr_expect_eq(td_sad_switch(sad, &name, 1, &failed, &error), -EBUSY);
}

// What a worker said about an SA that is gone must not be taken for its successor of the same name.
Test(sad, a_stale_event_is_ignored, .init = start, .fini = stop)
{
	static const struct {
		enum td_event_kind kind;
		bool outbound;
		const char *told;
	} rows[] = {
	    {TD_EVENT_FIRST_USE, false, "sa_first_use"},
	    {TD_EVENT_AUTH_BURST, false, "sa_auth_failures"},
	    {TD_EVENT_SOFT_LIMIT, false, "sa_soft_limit"},
	    {TD_EVENT_SOFT_LIMIT, true, "sa_soft_limit"},
	    {TD_EVENT_HARD_LIMIT, false, "sa_hard_limit"},
	    {TD_EVENT_HARD_LIMIT, true, "sa_hard_limit"},
	};
	struct td_sa_request in = request("t0", false, 0x1000, 0, false),
	                     o = request("t0", true, 0x1000, 0, true);

	in.limits.soft_bytes = o.limits.soft_packets = 100;
	cr_assert_eq(add(in), 0);
	cr_assert_eq(add(o), 0);
	fake_dp.in_stats = (struct td_sa_stats){.bytes = 99};
	fake_dp.out_stats = (struct td_sa_stats){.packets = 99, .sequence = 99};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_event event = {.kind = rows[i].kind,
		    .limit = TD_LIMIT_BYTES,
		    .spi = 0x1000,
		    .outbound = rows[i].outbound};

		td_sad_event(sad, &event);
		cr_expect_eq(count_seen(rows[i].told), 0, "row %zu", i);
	}
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_PENDING);
	cr_expect_eq(out("t0", 0x1000)->state, TD_SA_ACTIVE);
	fake_dp.in_stats =
	    (struct td_sa_stats){.packets = 1, .bytes = 100, .auth_failed = 8, .stopped = true};
	fake_dp.out_stats = (struct td_sa_stats){.packets = 100, .sequence = 100, .stopped = true};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_event event = {.kind = rows[i].kind,
		    .limit = TD_LIMIT_BYTES,
		    .spi = 0x1000,
		    .outbound = rows[i].outbound};
		unsigned before = count_seen(rows[i].told);

		td_sad_event(sad, &event);
		cr_expect_eq(count_seen(rows[i].told), before + 1, "row %zu", i);
	}
}

Test(sad, lost_events_are_worked_out, .init = start, .fini = stop)
{
	struct td_sa_request in = request("t0", false, 0x1000, 0, false),
	                     o = request("t0", true, 0x1000, 0, true);

	in.limits.soft_packets = o.limits.soft_bytes = 100;
	cr_assert_eq(add(in), 0);
	cr_assert_eq(add(o), 0);
	fake_dp.in_stats = fake_dp.out_stats = (struct td_sa_stats){0};
	seen_count = 0;
	td_sad_events_lost(sad);
	cr_expect_eq(seen_count, 0, "nothing happened, so nothing was lost");
	fake_dp.in_stats.packets = fake_dp.out_stats.bytes = 100;
	td_sad_events_lost(sad);
	td_sad_events_lost(sad);
	cr_expect_eq(count_seen("sa_first_use"), 1);
	cr_expect_eq(count_seen("sa_soft_limit"), 2);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_ACTIVE);
	// One that was only late says nothing new.
	struct td_event late = {.kind = TD_EVENT_SOFT_LIMIT, .limit = TD_LIMIT_PACKETS, .spi = 0x1000};
	td_sad_event(sad, &late);
	cr_expect_eq(count_seen("sa_soft_limit"), 2);
	fake_dp.in_stats.stopped = fake_dp.out_stats.stopped = true;
	td_sad_events_lost(sad);
	td_sad_events_lost(sad);
	cr_expect_eq(count_seen("sa_hard_limit"), 2);
	cr_expect_eq(out("t0", 0x1000)->state, TD_SA_EXPIRED);
}

Test(sad, a_hard_limit_does_not_prolong_a_drain, .init = start, .fini = stop)
{
	struct td_sa_name name = {NULL, false, 0x1000};
	struct td_event event = {.kind = TD_EVENT_HARD_LIMIT, .limit = TD_LIMIT_BYTES, .spi = 0x1000};

	cr_assert_eq(add(request("t0", false, 0x1000, 0, false)), 0);
	cr_assert_eq(td_sad_drain(sad, &name, 1, 5, &failed, &error), 0);
	uint64_t end_ns = td_sad_sa_find_in(sad, 0x1000)->hard_timer.deadline_ns;
	fake_dp.in_stats.stopped = true;
	td_sad_event(sad, &event);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->state, TD_SA_EXPIRED);
	cr_expect_eq(td_sad_sa_find_in(sad, 0x1000)->hard_timer.deadline_ns, end_ns);
	run_ms(20);
	cr_expect_null(td_sad_sa_find_in(sad, 0x1000));
}

// As a negotiation ends a child one of whose SAs has come to its limit: nothing is sent any more.
static void child_stop_out(const char *kind, const struct td_sa *sa)
{
	struct td_sa_name name = {sa->tunnel, true, sa->spi};

	if (strcmp(kind, "sa_hard_limit") == 0)
		(void)td_sad_remove(sad, &name, 1, true, &failed, &error);
}

// Nor received: the child is forgotten.
static void child_forget(const char *kind, const struct td_sa *sa)
{
	struct td_sa_name names[2] = {{sa->tunnel, false, sa->spi}, {sa->tunnel, true, sa->spi}};

	if (strcmp(kind, "sa_first_use") == 0 || strcmp(kind, "sa_soft_limit") == 0 ||
	    strcmp(kind, "sa_hard_limit") == 0)
		for (unsigned i = 0; i < 2; i++)
			(void)td_sad_remove(sad, &names[i], 1, true, &failed, &error);
}

static void child_add(uint32_t spi)
{
	cr_assert_eq(add(request("t0", false, spi, 0, false)), 0);
	cr_assert_eq(add(request("t0", true, spi, 0, true)), 0);
}

Test(sad, an_sa_may_go_while_its_limit_is_told, .init = start, .fini = stop)
{
	static const struct {
		void (*react)(const char *kind, const struct td_sa *sa);
		enum td_event_kind kind;
		bool outbound, in_stays;
	} rows[] = {
	    {child_stop_out, TD_EVENT_HARD_LIMIT, false, true},
	    {child_stop_out, TD_EVENT_HARD_LIMIT, true, true},
	    {child_forget, TD_EVENT_HARD_LIMIT, false, false},
	    {child_forget, TD_EVENT_HARD_LIMIT, true, false},
	    {child_forget, TD_EVENT_SOFT_LIMIT, false, false},
	    {child_forget, TD_EVENT_SOFT_LIMIT, true, false},
	    {child_forget, TD_EVENT_FIRST_USE, false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_event event = {.kind = rows[i].kind,
		    .limit = TD_LIMIT_PACKETS,
		    .spi = 0x1000,
		    .outbound = rows[i].outbound};

		fake_dp.in_stats = fake_dp.out_stats =
		    (struct td_sa_stats){.packets = 9, .sequence = UINT32_MAX, .stopped = true};
		child_add(0x1000);
		// A packet limit, which inbound SAs have as well.
		td_sad_sa_find_in(sad, 0x1000)->limits.soft_packets = 5;
		react = rows[i].react;
		td_sad_event(sad, &event);
		react = NULL;
		cr_expect_null(out("t0", 0x1000), "row %zu", i);
		cr_expect_eq(td_sad_sa_find_in(sad, 0x1000) != NULL, rows[i].in_stays, "row %zu", i);
		if (rows[i].outbound)
			(void)remove_one(NULL, false, 0x1000, true);
		run_ms(30);
		cr_expect_null(td_sad_sa_find_in(sad, 0x1000), "row %zu: it goes by itself", i);
	}
}

// An inbound SA and its sibling stand next to each other where lost events are worked out.
Test(sad, sas_may_go_while_lost_events_are_worked_out, .init = start, .fini = stop)
{
	void (*const reacts[])(const char *kind, const struct td_sa *sa) = {child_stop_out, child_forget};

	for (size_t i = 0; i < 2; i++) {
		child_add(0x1000);
		child_add(0x2000);
		cr_assert_eq(add(request("t1", false, 0x3000, 0, false)), 0);
		fake_dp.in_stats = fake_dp.out_stats = (struct td_sa_stats){.packets = 9, .stopped = true};
		seen_count = 0;
		react = reacts[i];
		td_sad_events_lost(sad);
		react = NULL;
		cr_expect_eq(count_seen("sa_first_use"), 3, "row %zu: each was looked at", i);
		cr_expect_eq(count_seen("sa_hard_limit"), i == 0 ? 3 : 0, "row %zu: those that are left", i);
		cr_expect_eq(fake_dp.out_live, 0, "row %zu", i);
		run_ms(30);
		cr_expect_eq(fake_dp.in_live, 0, "row %zu", i);
	}
}

static struct td_event path_event(
    enum td_event_kind kind, uint32_t spi, const char *destination, unsigned count)
{
	struct td_event event = {.kind = kind, .spi = spi, .count = count};

	cr_assert_eq(td_ip_parse(destination, &event.destination), 0);
	return event;
}

// A path MTU hint counts only where it quotes an outbound SA in use and its peer, and only downwards.
Test(sad, path_mtu_follows_hints_that_quote_us)
{
	static const struct {
		const char *why;
		uint32_t spi;
		const char *peer;
		unsigned mtu, expected;
	} rows[] = {
	    {"an SPI that is not ours", 0x2002, "192.0.2.2", 1000, 0},
	    {"another destination", 0x2001, "192.0.2.3", 1000, 0},
	    {"ours", 0x2001, "192.0.2.2", 1400, 1400},
	    {"not upwards", 0x2001, "192.0.2.2", 1450, 1400},
	    {"down again", 0x2001, "192.0.2.2", 1000, 1000},
	    {"never below what every path carries", 0x2001, "192.0.2.2", 68, TD_MTU_MIN},
	};

	cr_assert_eq(td_ip_parse("192.0.2.2", &tunnels[0].remote_address), 0);
	start();
	cr_assert_eq(add(request("t0", true, 0x2001, 0, true)), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_event event = path_event(TD_EVENT_PMTU, rows[i].spi, rows[i].peer, rows[i].mtu);

		td_sad_event(sad, &event);
		cr_expect_eq(td_sad_tunnel_find(sad, "t0")->pmtu, rows[i].expected, "%s", rows[i].why);
		cr_expect_eq(fake_dp.pmtu, rows[i].expected, "%s", rows[i].why);
	}
	cr_expect_eq(count_seen("path_mtu"), 3);
	stop();
}

// All outbound SAs of a tunnel follow its peer, and so do later ones.
Test(sad, peer_that_moves_is_followed, .init = start, .fini = stop)
{
	struct td_event event = {
	    .kind = TD_EVENT_PEER_MOVED, .tunnel = 0, .spi = 0x1001, .source_port = 61000};

	cr_assert_eq(td_ip_parse("198.51.100.9", &event.source), 0);
	cr_assert_eq(add(request("t0", true, 0x2001, 0, true)), 0);
	cr_assert_eq(add(request("t0", true, 0x2002, 0, false)), 0);
	cr_assert_eq(add(request("t1", true, 0x2003, 0, true)), 0);
	td_sad_event(sad, &event);
	cr_expect_eq(fake_dp.moves, 0, "no such SA");
	cr_assert_eq(add(request("t0", false, 0x1001, 0, false)), 0);
	td_sad_event(sad, &event);
	td_sad_event(sad, &event);
	cr_expect_eq(fake_dp.moves, 2, "once for each outbound SA");
	cr_expect_eq(fake_dp.moved_port, 61000);
	const struct td_tunnel *tunnel = td_sad_tunnel_find(sad, "t0");
	cr_expect(td_ip_equal(&tunnel->peer_address, &event.source));
	cr_expect_eq(tunnel->peer_port, 61000);
	cr_expect_eq(count_seen("peer_moved"), 1);
}

// What is not in UDP has no NAT to follow.
Test(sad, peer_whose_ike_messages_move_is_followed, .init = start, .fini = stop)
{
	struct td_event event = {
	    .kind = TD_EVENT_PEER_MOVED, .tunnel = 0, .spi = 0x1001, .source_port = 61000};
	struct td_tunnel *tunnel = td_sad_tunnel_find(sad, "t0"), *plain = td_sad_tunnel_find(sad, "t1");
	struct td_ip moved;

	cr_assert_eq(td_ip_parse("198.51.100.9", &event.source), 0);
	cr_assert_eq(td_ip_parse("198.51.100.10", &moved), 0);
	cr_assert_eq(add(request("t0", true, 0x2001, 0, true)), 0);
	cr_assert_eq(add(request("t1", true, 0x2002, 0, true)), 0);
	cr_assert_eq(add(request("t0", false, 0x1001, 0, false)), 0);
	td_sad_tunnel_move(sad, plain, &moved, 62000);
	cr_expect_eq(fake_dp.moves, 0, "not in UDP");
	td_sad_event(sad, &event);
	td_sad_tunnel_move(sad, tunnel, &moved, 62000);
	td_sad_tunnel_move(sad, tunnel, &moved, 62000);
	cr_expect_eq(fake_dp.moves, 2);
	cr_expect_eq(fake_dp.moved_port, 62000);
	cr_expect(td_ip_equal(&tunnel->peer_address, &moved));
	cr_expect_eq(tunnel->peer_port, 62000);
	cr_expect_eq(count_seen("peer_moved"), 2);
}

Test(sad, holds_200000_sas, .timeout = 60)
{
	start();
	for (uint32_t i = 0; i < 200000; i++)
		cr_assert_eq(add(request(i % 2 ? "t1" : "t0", i % 4 < 2, 0x1000 + i, 0, false)), 0);
	for (uint32_t i = 0; i < 200000; i++) {
		const char *tunnel = i % 2 ? "t1" : "t0";

		if (i % 4 < 2)
			cr_assert_not_null(out(tunnel, 0x1000 + i));
		else
			cr_assert_not_null(td_sad_sa_find_in(sad, 0x1000 + i));
		cr_assert_eq(remove_one(tunnel, i % 4 < 2, 0x1000 + i, false), 0);
	}
	stop();
}

Test(sad, fresh_spis_are_unused, .init = start, .fini = stop)
{
	cr_expect_eq(td_sad_spi_fresh(sad, 1, 0x1000), 0x04001000);
	cr_assert_eq(add(request("t0", false, 0x04001000, 1, false)), 0);
	cr_assert_eq(add(request("t1", false, 0x04001001, 0, false)), 0);
	cr_assert_eq(add(request("t1", true, 0x04001002, 0, false)), 0);
	cr_expect_eq(td_sad_spi_fresh(sad, 1, 0x1000), 0x04001002, "those of the peers do not matter");
	cr_expect_eq(td_sad_spi_fresh(sad, 0, 0x1000), 0x1000);
	// The last one of a worker: the search goes on at its first.
	cr_assert_eq(add(request("t0", false, 0x07ffffff, 1, false)), 0);
	cr_expect_eq(td_sad_spi_fresh(sad, 1, 0x03ffffff), 0x04000100);
}

Test(sad, padding_and_dummies_reach_the_data_plane)
{
	static const struct {
		int tfc;
		unsigned expected;
	} rows[] = {{0, 0}, {500, 500}, {TD_CONFIG_TFC_MTU, TD_TFC_MTU}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tunnels[1].tfc = rows[i].tfc;
		tunnels[1].dummy_rate = (unsigned)i;
		start();
		cr_expect_eq(fake_dp.tfc, rows[i].expected, "row %zu", i);
		cr_expect_eq(fake_dp.dummy_rate, i, "row %zu", i);
		stop();
	}
}

// What comes with the next configuration is there, but not under its name.
Test(sad, tunnels_of_the_next_configuration, .init = start, .fini = stop)
{
	struct td_tunnel *old = td_sad_tunnel_find(sad, "t1"), *made, *new;
	struct td_tunnel_config config = tunnels[1];

	made = td_sad_tunnel_prepare(sad, &config);
	snprintf(config.name, sizeof(config.name), "new");
	new = td_sad_tunnel_prepare(sad, &config);
	cr_assert(made && new);
	cr_expect_eq(td_sad_tunnel_find(sad, "t1"), old);
	cr_expect_null(td_sad_tunnel_find(sad, "new"));
	cr_expect_eq(td_sad_tunnel_find_next(sad, "t1"), made);
	cr_expect_eq(td_sad_tunnel_find_next(sad, "new"), new);
	cr_expect_eq(td_sad_tunnel_find_next(sad, "t0"), td_sad_tunnel_find(sad, "t0"));
	td_sad_tunnel_remove(sad, made);
	td_sad_tunnel_leave(old, true);
	cr_expect_eq(td_sad_tunnel_find(sad, "t1"), old);
	cr_expect_null(td_sad_tunnel_find_next(sad, "t1"));
	td_sad_tunnel_leave(old, false);
	cr_expect_eq(td_sad_tunnel_find_next(sad, "t1"), old);
	td_sad_tunnel_show(sad, new);
	cr_expect_eq(td_sad_tunnel_find(sad, "new"), new);
	cr_expect_eq(td_sad_tunnel_find_next(sad, "new"), new);
}

// A packet may still carry the number of a tunnel that has gone.
Test(sad, tunnels_come_and_go_under_new_numbers, .init = start, .fini = stop)
{
	struct td_tunnel *old = td_sad_tunnel_find(sad, "t1"), *made;
	uint32_t number = old->id;

	cr_assert_eq(add(request("t1", false, 0x1001, 0, false)), 0);
	cr_assert_eq(add(request("t1", true, 0x2001, 0, true)), 0);
	td_sad_tunnel_hide(old);
	cr_expect_null(td_sad_tunnel_find(sad, "t1"));
	made = td_sad_tunnel_add(sad, &tunnels[1]);
	cr_assert_not_null(made);
	cr_expect_eq(td_sad_tunnel_find(sad, "t1"), made);
	cr_expect_neq(made->id, number);
	cr_expect_not_null(td_sad_sa_find_in(sad, 0x1001), "the old one's SAs live on");
	td_sad_tunnel_remove(sad, old);
	cr_expect_null(td_sad_sa_find_in(sad, 0x1001));
	cr_expect_null(td_sad_tunnel_at(sad, number));
	for (unsigned i = 0; i < 40; i++) {
		td_sad_tunnel_remove(sad, made);
		made = td_sad_tunnel_add(sad, &tunnels[1]);
		cr_assert_not_null(made);
		cr_expect_neq(made->id, number);
		cr_expect_eq(td_sad_tunnel_at(sad, made->id), made);
	}
	td_sad_event(sad, &(struct td_event){.kind = TD_EVENT_ACQUIRE, .tunnel = number});
	td_sad_event(sad, &(struct td_event){.kind = TD_EVENT_PEER_MOVED, .tunnel = number});
}

// SPDX-License-Identifier: BSD-3-Clause
// What a tunnel forgets or repeats by time alone, on a clock that the test moves.
#include "common/clock.h"
#include "control/sad/sad.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct td_tunnel_config tunnels[2];
static struct td_config config = {.tunnels = tunnels, .tunnel_count = 2};
static struct td_loop *loop;
static struct td_sad *sad;
static struct td_error error;
static uint64_t ahead_ns; // how far the test's clock is ahead

// The linker puts __wrap_clock_gettime in the place of clock_gettime (meson.build), here and in the code
// under test.
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	uint64_t ns = (uint64_t)now->tv_nsec + ahead_ns;

	now->tv_sec += (time_t)(ns / TD_NS_PER_S);
	now->tv_nsec = (long)(ns % TD_NS_PER_S);
	return result;
}

static void start(void)
{
	fake_dp_reset();
	for (unsigned i = 0; i < 2; i++) {
		snprintf(tunnels[i].name, sizeof(tunnels[i].name), "t%u", i);
		tunnels[i].replay_window = 64;
		td_ip_parse("192.0.2.1", &tunnels[i].local_address);
		td_ip_parse("192.0.2.2", &tunnels[i].remote_address);
	}
	// Only the first one is in UDP.
	tunnels[0].udp_local_port = tunnels[0].udp_remote_port = 4500;
	loop = td_loop_create();
	sad = td_sad_create(loop, &config, NULL, NULL, &error);
	cr_assert_not_null(sad);
}

static void stop(void)
{
	td_sad_destroy(sad);
	td_loop_destroy(loop);
}

TestSuite(path, .init = start, .fini = stop);

static void loop_stop(void *context)
{
	td_loop_stop(context);
}

// Moves the clock and runs what is due then.
static void pass_ms(uint64_t ms)
{
	struct td_timer timer = {.fn = loop_stop, .context = loop};

	ahead_ns += ms * TD_NS_PER_MS;
	td_loop_timer_set(loop, &timer, td_clock_now_ns());
	td_loop_run(loop);
}

static void add_out(const char *tunnel, uint32_t spi)
{
	struct td_secret key = {.length = 20};
	struct td_sa_request request = {
	    .spi = spi,
	    .outbound = true,
	    .activate = true,
	    .tunnel = td_sad_tunnel_find(sad, tunnel),
	    .key = &key,
	};
	unsigned failed;

	cr_assert_eq(td_random(key.bytes, 20), 0);
	cr_assert_eq(td_sad_add(sad, &request, 1, &failed, &error), 0, "%s", error.reason);
}

static void hint(unsigned mtu)
{
	struct td_event event = {.kind = TD_EVENT_PMTU, .tunnel = 1, .spi = 0x2001, .count = mtu};

	td_ip_parse("192.0.2.2", &event.destination);
	td_sad_event(sad, &event);
}

static unsigned pmtu(void)
{
	unsigned known = td_sad_tunnel_find(sad, "t1")->pmtu;

	cr_expect_eq(fake_dp.pmtu, known, "the workers know what the control thread does");
	return known;
}

Test(path, learned_mtu_is_forgotten_ten_minutes_after_the_last_hint)
{
	add_out("t1", 0x2001);
	hint(1400);
	pass_ms(TD_PMTU_AGE_MS - 1000);
	cr_expect_eq(pmtu(), 1400);
	hint(1300);
	pass_ms(TD_PMTU_AGE_MS - 1000);
	cr_expect_eq(pmtu(), 1300, "a lower one begins anew");
	pass_ms(2000);
	cr_expect_eq(pmtu(), 0);
	hint(1450);
	cr_expect_eq(pmtu(), 1450, "the path may be wider now");
}

// RFC 1191 6.3: a hint that tells nothing new does not keep an old one alive.
Test(path, repeated_hint_does_not_prolong)
{
	add_out("t1", 0x2001);
	hint(1400);
	pass_ms(TD_PMTU_AGE_MS - 1000);
	hint(1400);
	pass_ms(2000);
	cr_expect_eq(pmtu(), 0);
}

// The fake's tunnels send what fake_dp.out_stats says.
Test(path, keepalives_go_out_while_a_tunnel_in_udp_is_idle)
{
	pass_ms(TD_NAT_KEEPALIVE_MS + 1);
	cr_expect_eq(fake_dp.keepalives, 0, "no SA, nothing to keep alive");
	add_out("t0", 0x2001);
	add_out("t1", 0x2001);
	pass_ms(TD_NAT_KEEPALIVE_MS + 1);
	cr_expect_eq(fake_dp.keepalives, 0, "it has sent since the last look");
	for (unsigned i = 1; i <= 3; i++) {
		pass_ms(TD_NAT_KEEPALIVE_MS + 1);
		cr_expect_eq(
		    fake_dp.keepalives, i, "one for each idle time, and none of the tunnel without UDP");
	}
	for (unsigned i = 0; i < 3; i++) {
		fake_dp.out_stats.packets++;
		pass_ms(TD_NAT_KEEPALIVE_MS + 1);
		cr_expect_eq(fake_dp.keepalives, 3, "its own packets are enough");
	}
	pass_ms(TD_NAT_KEEPALIVE_MS / 2);
	cr_expect_eq(fake_dp.keepalives, 3, "not before its time");
	pass_ms(TD_NAT_KEEPALIVE_MS / 2 + 1);
	cr_expect_eq(fake_dp.keepalives, 4);
}

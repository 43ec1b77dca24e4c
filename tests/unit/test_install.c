// SPDX-License-Identifier: BSD-3-Clause
// A child's SAs as the life cycle installs them, and what is left behind when they do not fit in.
#include "control/negotiate/internal.h"
#include "tests/unit/fake_dp.h"

#include <criterion/criterion.h>

#include <string.h>

static struct td_tunnel_config config = {.name = "t", .replay_window = 64, .remote_address.family = 4};
static struct td_config whole = {.tunnels = &config, .tunnel_count = 1};
static struct td_secret keys[2] = {{.length = 20, .bytes = {1}}, {.length = 20, .bytes = {2}}};
static struct td_ts_list local, remote;
static struct td_loop *loop;
static struct td_negotiate negotiate;
static struct td_negotiate_tunnel part;
static struct td_life_child child = {.spi_in = 0x1000, .spi_out = 0x2000};
static struct td_life_offer offer = {.suite = "aes128gcm16",
    .key_in = &keys[0],
    .key_out = &keys[1],
    .path = {.local_port = 4500, .remote_port = 31000},
    .ts_local = &local,
    .ts_remote = &remote};

// Nobody is asked for keys here.
static void nobody(void *context, struct td_life_tunnel *tunnel, unsigned slot)
{
	(void)context, (void)tunnel, (void)slot;
}

static void start(void)
{
	static const struct td_life_config life_config = {.name = "t", .start = TD_START_RESPOND, .slots = 1};
	static const struct td_life_negotiator negotiator = {.create = nobody};
	static const struct td_life_env env;
	struct td_error error;

	fake_dp_reset();
	loop = td_loop_create();
	negotiate.loop = loop;
	negotiate.sad = td_sad_create(loop, &whole, NULL, NULL, &error);
	negotiate.life = td_lifecycle_create(&env);
	cr_assert(loop && negotiate.sad && negotiate.life);
	part.sad = td_sad_tunnel_find(negotiate.sad, "t");
	cr_assert_eq(td_ip_parse("198.51.100.1", &part.sad->peer_address), 0);
	cr_assert_eq(td_ip_parse("203.0.113.9", &offer.path.remote), 0);
	td_negotiate_selectors(&config, &local, &remote);
	child.tunnel = td_life_tunnel_add(negotiate.life, &life_config, &negotiator, &part);
	cr_assert_not_null(child.tunnel);
}

static void stop(void)
{
	td_lifecycle_destroy(negotiate.life);
	td_sad_destroy(negotiate.sad);
	td_loop_destroy(loop);
	cr_assert_eq(fake_dp.in_live + fake_dp.out_live + fake_dp.tunnels, 0);
}

TestSuite(install, .init = start, .fini = stop);

static int install(void)
{
	const struct td_life_dataplane dataplane = td_negotiate_dataplane(&negotiate);
	struct td_error error;

	return dataplane.install(dataplane.context, &child, &offer, &error);
}

// Whoever asked for it may not have proved itself: the SAs that there are stay where they were.
Test(install, leads_to_where_the_peer_is_when_it_is_switched_to)
{
	const struct td_life_dataplane dataplane = td_negotiate_dataplane(&negotiate);
	const struct td_ip before = part.sad->peer_address;

	cr_expect_eq(install(), 0);
	cr_expect(td_ip_equal(&part.sad->peer_address, &before));
	cr_expect_eq(part.sad->peer_port, 0);
	cr_expect(td_ip_equal(&fake_dp.created.remote, &offer.path.remote));
	cr_expect_eq(fake_dp.created.udp_local_port, 4500);
	cr_expect_eq(fake_dp.created.udp_remote_port, 31000);
	dataplane.switch_out(dataplane.context, &child);
	cr_expect(td_ip_equal(&part.sad->peer_address, &offer.path.remote));
	cr_expect_eq(part.sad->local_port, 4500);
	cr_expect_eq(part.sad->peer_port, 31000);
	cr_expect_not_null(child.dataplane);
}

// The SAs that there are would follow a path that nothing was installed for.
Test(install, leaves_the_path_alone_when_it_fails)
{
	const struct td_ip before = part.sad->peer_address;

	for (unsigned at = 1; at <= 2; at++) {
		fake_dp.creates = 0;
		fake_dp.create_fails_at = at;
		cr_expect_lt(install(), 0);
		cr_expect(td_ip_equal(&part.sad->peer_address, &before), "SA %u", at);
		cr_expect_eq(part.sad->local_port, 0);
		cr_expect_eq(part.sad->peer_port, 0);
		cr_expect_null(child.dataplane);
	}
}

// The peer moves between the two: what it was installed with is old then.
Test(install, follows_the_peer_before_it_is_switched_to)
{
	const struct td_life_dataplane dataplane = td_negotiate_dataplane(&negotiate);
	struct td_event event = {
	    .kind = TD_EVENT_PEER_MOVED, .tunnel = part.sad->id, .spi = child.spi_in, .source_port = 32000};

	cr_assert_eq(td_ip_parse("203.0.113.77", &event.source), 0);
	cr_expect_eq(install(), 0);
	td_sad_event(negotiate.sad, &event);
	dataplane.switch_out(dataplane.context, &child);
	cr_expect(td_ip_equal(&part.sad->peer_address, &event.source));
	cr_expect_eq(part.sad->peer_port, 32000);
}

// SPDX-License-Identifier: BSD-3-Clause
// Which tunnels share a peer, over changes of the configuration.
#include "control/negotiate/internal.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- what the negotiation has around it ---------------------------------------------------------

static struct td_loop *loop;
static struct td_negotiate negotiate;
static char psk_path[64];

int td_ike_sockets_listen(struct td_ike_sockets *sockets, const struct td_ip *local, struct td_error *error)
{
	(void)sockets, (void)local, (void)error;
	return 0;
}

void td_ike_sockets_send(
    struct td_ike_sockets *sockets, const struct td_path *path, const uint8_t *message, size_t length)
{
	(void)sockets, (void)path, (void)message, (void)length;
}

struct td_ike_sockets *td_ike_sockets_create(struct td_loop *of, td_ike_sockets_fn fn, void *context)
{
	(void)of, (void)fn, (void)context;
	return NULL;
}

void td_ike_sockets_destroy(struct td_ike_sockets *sockets)
{
	(void)sockets;
}

static void random_fill(void *context, void *bytes, size_t length)
{
	(void)context;
	memset(bytes, 7, length);
}

static void psk_write(const char *text)
{
	FILE *file = fopen(psk_path, "we");

	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static void start(void)
{
	struct td_ike_env env = {.random = random_fill};
	int descriptor;

	loop = td_loop_create();
	cr_assert_not_null(loop);
	env.timers = td_loop_timers(loop);
	negotiate = (struct td_negotiate){.loop = loop, .ike = td_ike_create(&env)};
	cr_assert_not_null(negotiate.ike);
	TAILQ_INIT(&negotiate.peers);
	snprintf(psk_path, sizeof(psk_path), "/tmp/td-peers-XXXXXX");
	descriptor = mkstemp(psk_path);
	cr_assert_geq(descriptor, 0);
	close(descriptor);
	psk_write("a pre-shared key of tests");
}

static void stop(void)
{
	td_ike_destroy(negotiate.ike);
	td_negotiate_peers_free(&negotiate);
	td_loop_destroy(loop);
	(void)unlink(psk_path);
}

TestSuite(peers, .init = start, .fini = stop);

// ---- tunnels ------------------------------------------------------------------------------------

struct ends {
	const char *remote_address; // NULL: anywhere
	const char *local_id, *remote_id;
};

static struct td_negotiate_peer *peer_of(const struct ends *ends)
{
	struct td_tunnel_ike_config ike = {
	    .local_id = (char *)(uintptr_t)ends->local_id,
	    .remote_id = (char *)(uintptr_t)ends->remote_id,
	    .psk_file = psk_path,
	};
	struct td_tunnel_config tunnel = {.name = "t", .ike = &ike};
	struct td_negotiate_peer *peer;
	struct td_error error = {0};

	cr_assert_eq(td_ip_parse("192.0.2.1", &tunnel.local_address), 0);
	if (ends->remote_address)
		cr_assert_eq(td_ip_parse(ends->remote_address, &tunnel.remote_address), 0);
	peer = td_negotiate_peer_of(&negotiate, &tunnel, &error);
	cr_assert_not_null(peer, "%s", error.reason);
	return peer;
}

Test(peers, are_shared_by_tunnels_between_the_same_ends)
{
	static const struct {
		struct ends a, b;
		bool same;
	} rows[] = {
	    {{"198.51.100.1", NULL, NULL}, {"198.51.100.1", NULL, NULL}, true},
	    {{"198.51.100.1", NULL, NULL}, {"198.51.100.1", "192.0.2.1", "198.51.100.1"}, true},
	    {{"198.51.100.2", NULL, NULL}, {"198.51.100.3", NULL, NULL}, false},
	    {{"198.51.100.4", "gw.example", NULL}, {"198.51.100.4", "GW.Example", NULL}, true},
	    {{"198.51.100.5", "gw.example", NULL}, {"198.51.100.5", "hw.example", NULL}, false},
	    {{"198.51.100.6", "a@gw.example", NULL}, {"198.51.100.6", "a@GW.example", NULL}, true},
	    {{"198.51.100.7", "a@gw.example", NULL}, {"198.51.100.7", "A@gw.example", NULL}, false},
	    {{"198.51.100.8", "CN=Gate  Way, O=Example", NULL},
	        {"198.51.100.8", "CN=gate way, O=example", NULL}, true},
	    {{"198.51.100.9", "CN=a", NULL}, {"198.51.100.9", "CN=b", NULL}, false},
	    {{"198.51.100.10", "keyid:a", NULL}, {"198.51.100.10", "keyid:A", NULL}, false},
	    {{NULL, NULL, NULL}, {NULL, NULL, NULL}, true},
	    {{NULL, NULL, "a.example"}, {NULL, NULL, "b.example"}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(peer_of(&rows[i].a) == peer_of(&rows[i].b), rows[i].same, "%zu", i);
}

// A peer that no tunnel wants any more is on its way out: what comes later gets another one.
Test(peers, are_found_no_more_when_they_leave)
{
	const struct ends ends = {"198.51.100.1", NULL, NULL};
	struct td_negotiate_peer *first = peer_of(&ends), *second;

	td_negotiate_peers_commit(&negotiate);
	td_negotiate_peers_commit(&negotiate);
	cr_expect(first->leaving);
	second = peer_of(&ends);
	cr_expect_neq(first, second);
	cr_expect_eq(second, peer_of(&ends));
	td_negotiate_peers_cancel(&negotiate);
	cr_expect_eq(TAILQ_FIRST(&negotiate.peers), first);
	td_negotiate_peers_sweep(&negotiate);
	cr_expect(TAILQ_EMPTY(&negotiate.peers));
}

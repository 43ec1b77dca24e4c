// SPDX-License-Identifier: BSD-3-Clause
// Which tunnels share a peer, over changes of the configuration.
#include "common/clock.h"
#include "control/ike/internal.h"
#include "control/negotiate/internal.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// ---- what the negotiation has around it ---------------------------------------------------------

static struct td_loop *loop;
static struct td_negotiate negotiate;
static char psk_path[64];

static time_t seconds_later; // than it is

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = __real_clock_gettime(clock, now);

	now->tv_sec += clock == CLOCK_REALTIME ? seconds_later : 0;
	return ret;
}

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
	TAILQ_INIT(&negotiate.leaving_peers);
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

#define TUNNELS 2

static struct td_tunnel_ike_config ikes[2][TUNNELS];
static struct td_tunnel_config tunnels[2][TUNNELS];
static struct td_config configs[2];
static unsigned current;

// A configuration with these tunnels, beside the one that was made before.
static struct td_config *config_make(const struct ends *ends, unsigned count)
{
	current = !current;
	for (unsigned i = 0; i < count; i++) {
		struct td_tunnel_config *tunnel = &tunnels[current][i];
		struct td_tunnel_ike_config *ike = &ikes[current][i];

		*ike = (struct td_tunnel_ike_config){
		    .local_id = (char *)(uintptr_t)ends[i].local_id,
		    .remote_id = (char *)(uintptr_t)ends[i].remote_id,
		    .psk_file = psk_path,
		};
		*tunnel = (struct td_tunnel_config){.ike = ike};
		snprintf(tunnel->name, sizeof(tunnel->name), "t%u", i);
		cr_assert_eq(td_ip_parse("192.0.2.1", &tunnel->local_address), 0);
		if (ends[i].remote_address)
			cr_assert_eq(td_ip_parse(ends[i].remote_address, &tunnel->remote_address), 0);
	}
	configs[current] = (struct td_config){.tunnels = tunnels[current], .tunnel_count = count};
	return &configs[current];
}

static struct td_negotiate_read *config_read(const struct td_config_diff *diff)
{
	struct td_error error = {0};
	struct td_negotiate_read *read =
	    td_negotiate_read(diff ? &configs[!current] : NULL, &configs[current], diff, &error);

	cr_assert_not_null(read, "%s", error.reason);
	return read;
}

static struct td_negotiate_peer *peer_of(struct td_negotiate_read *read, unsigned tunnel)
{
	struct td_error error = {0};
	struct td_negotiate_peer *peer = td_negotiate_peer_of(&negotiate, read, tunnel, &error);

	cr_assert_not_null(peer, "%s", error.reason);
	return peer;
}

Test(peers, are_shared_by_tunnels_between_the_same_ends)
{
	static const struct {
		struct ends ends[TUNNELS];
		bool same;
	} rows[] = {
	    {{{"198.51.100.1", NULL, NULL}, {"198.51.100.1", NULL, NULL}}, true},
	    {{{"198.51.100.1", NULL, NULL}, {"198.51.100.1", "192.0.2.1", "198.51.100.1"}}, true},
	    {{{"198.51.100.2", NULL, NULL}, {"198.51.100.3", NULL, NULL}}, false},
	    {{{"198.51.100.4", "gw.example", NULL}, {"198.51.100.4", "GW.Example", NULL}}, true},
	    {{{"198.51.100.5", "gw.example", NULL}, {"198.51.100.5", "hw.example", NULL}}, false},
	    {{{"198.51.100.6", "a@gw.example", NULL}, {"198.51.100.6", "a@GW.example", NULL}}, true},
	    {{{"198.51.100.7", "a@gw.example", NULL}, {"198.51.100.7", "A@gw.example", NULL}}, false},
	    {{{"198.51.100.8", "CN=Gate  Way, O=Example", NULL},
	         {"198.51.100.8", "CN=gate way, O=example", NULL}},
	        true},
	    {{{"198.51.100.9", "CN=a", NULL}, {"198.51.100.9", "CN=b", NULL}}, false},
	    {{{"198.51.100.10", "keyid:a", NULL}, {"198.51.100.10", "keyid:A", NULL}}, false},
	    {{{NULL, NULL, NULL}, {NULL, NULL, NULL}}, true},
	    {{{NULL, NULL, "a.example"}, {NULL, NULL, "b.example"}}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct td_negotiate_read *read;

		td_negotiate_begin(&negotiate);
		config_make(rows[i].ends, 2);
		read = config_read(NULL);
		cr_expect_eq(peer_of(read, 0) == peer_of(read, 1), rows[i].same, "%zu", i);
		cr_expect_eq(td_negotiate_read_ends(read, 0) == td_negotiate_read_ends(read, 1), rows[i].same,
		    "%zu: read once", i);
		td_negotiate_read_free(read);
	}
}

static const struct ends pair[] = {{"198.51.100.1", NULL, NULL}, {"198.51.100.2", NULL, NULL}};

// A peer that no tunnel wants any more is on its way out: what comes later gets another one.
Test(peers, are_found_no_more_when_they_leave)
{
	struct td_negotiate_peer *first, *second;
	struct td_negotiate_read *read;

	td_negotiate_begin(&negotiate);
	config_make(pair, 1);
	read = config_read(NULL);
	first = peer_of(read, 0);
	td_negotiate_peer_take(first);
	td_negotiate_peer_leave(&negotiate, first);
	cr_expect(!first->leaving, "it is wanted");
	td_negotiate_read_free(read);

	td_negotiate_begin(&negotiate);
	td_negotiate_peer_leave(&negotiate, first);
	cr_expect(first->leaving);
	read = config_read(NULL);
	second = peer_of(read, 0);
	cr_expect_neq(first, second);
	cr_expect_eq(second, peer_of(read, 0));
	td_negotiate_peer_cancel(&negotiate, second);
	cr_expect(TAILQ_EMPTY(&negotiate.peers));
	cr_expect_eq(TAILQ_FIRST(&negotiate.leaving_peers), first);
	cr_expect(!td_negotiate_peers_sweep(&negotiate, 0), "no time");
	cr_expect(td_negotiate_peers_sweep(&negotiate, UINT64_MAX));
	cr_expect(TAILQ_EMPTY(&negotiate.leaving_peers));
	td_negotiate_read_free(read);
}

// Nobody from outside meets a peer that is prepared only.
Test(peers, are_hidden_before_they_are_taken)
{
	struct td_path path = {0};
	struct td_negotiate_peer *peer;
	struct td_negotiate_read *read;

	td_negotiate_begin(&negotiate);
	config_make(pair, 1);
	read = config_read(NULL);
	peer = peer_of(read, 0);
	path.local = tunnels[current][0].local_address;
	path.remote = tunnels[current][0].remote_address;
	cr_expect_null(td_ike_peer_next(negotiate.ike, &path, NULL));
	td_negotiate_peer_take(peer);
	cr_expect_eq(td_ike_peer_next(negotiate.ike, &path, NULL), peer->ike);
	td_negotiate_read_free(read);
}

// Behind the first two, in which it may change without another time.
static void psk_settle(void)
{
	struct timespec back[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	cr_assert_eq(utimensat(AT_FDCWD, psk_path, back, 0), 0);
	seconds_later += 10;
}

static bool is_read(const struct td_config_tunnel_diff *changes, unsigned tunnel)
{
	const struct td_config_diff diff = {
	    .tunnels = (struct td_config_tunnel_diff *)(uintptr_t)changes, .tunnel_count = TUNNELS};
	struct td_negotiate_read *read;
	struct td_ike_peer_config *config;

	config_make(pair, TUNNELS);
	read = config_read(&diff);
	config = td_negotiate_read_take(read, tunnel);
	td_negotiate_peer_config_free(config);
	td_negotiate_read_free(read);
	return config != NULL;
}

Test(peers, whose_files_are_the_same_are_not_read_again)
{
	static const struct td_config_tunnel_diff same[] = {
	    {.before = 0, .after = 0, .in_place = true}, {.before = 1, .after = 1, .in_place = true}};
	static const struct td_config_tunnel_diff changed[] = {{.before = 0, .after = 0, .in_place = true},
	    {.before = 1, .after = 1, .in_place = true, .keys = 2}};
	static const struct td_config_tunnel_diff other[] = {
	    {.before = 0, .after = 0, .in_place = true}, {.before = TD_CONFIG_NO_TUNNEL, .after = 1}};

	config_make(pair, TUNNELS);
	td_negotiate_read_free(config_read(NULL));
	cr_expect(is_read(same, 0), "it was written just before");
	psk_settle();
	cr_expect(is_read(same, 0), "it has another time");
	cr_expect(!is_read(same, 0));
	cr_expect(is_read(changed, 1), "by a tunnel that has changed");
	cr_expect(!is_read(changed, 0));
	cr_expect(is_read(other, 1), "by a new one");
	psk_write("another pre-shared key!!!");
	cr_expect(is_read(same, 0), "written anew, of the same length");
	psk_settle();
	cr_expect(is_read(same, 0));
	cr_expect(!is_read(same, 0));
	cr_assert_eq(chmod(psk_path, 0400), 0);
	seconds_later += 10;
	cr_expect(is_read(same, 0), "another mode");
	cr_expect(!is_read(same, 0));
}

// ---- how long their children live ---------------------------------------------------------------

static struct td_tunnel sads[TUNNELS]; // as much of them as the negotiation looks at

static struct td_negotiate_read *lives_read(const uint64_t *lives_ms, const struct td_config_diff *diff)
{
	static const struct ends same[TUNNELS] = {{"198.51.100.1", NULL, NULL}, {"198.51.100.1", NULL, NULL}};

	td_negotiate_begin(&negotiate);
	config_make(same, TUNNELS);
	for (unsigned i = 0; i < TUNNELS; i++) {
		ikes[current][i].life_ms = lives_ms[i];
		ikes[current][i].start = TD_TUNNEL_RESPOND;
	}
	return config_read(diff);
}

// The tunnels of a reload change one after the other, and share a peer.
static void lives_change(const uint64_t *lives_ms)
{
	struct td_config_tunnel_diff changes[TUNNELS] = {
	    {.before = 0, .after = 0, .in_place = true, .keys = 1},
	    {.before = 1, .after = 1, .in_place = true, .keys = 1}};
	const struct td_config_diff diff = {.tunnels = changes, .tunnel_count = TUNNELS};
	struct td_negotiate_read *read = lives_read(lives_ms, &diff);

	for (unsigned i = 0; i < TUNNELS; i++)
		td_negotiate_tunnel_prepare(&negotiate, &sads[i], read, i);
	for (unsigned i = 0; i < TUNNELS; i++) {
		sads[i].config = tunnels[current][i];
		td_negotiate_tunnel_update(&sads[i]);
		td_negotiate_tunnel_start(&sads[i]);
	}
	td_negotiate_read_free(read);
}

// Requests hurry by it: with an old one they come too late for what lives shorter now.
Test(peers, know_the_shortest_life_after_a_reload)
{
	static const uint64_t rows[][TUNNELS] = {
	    {9000, 8000}, {700, 8000}, {6000, 500}, {6000, 5000}, {0, 0}};
	const struct td_life_env env = {.timers = td_loop_timers(loop), .random = random_fill};
	struct td_negotiate_read *read = lives_read((const uint64_t[]){10000, 10000}, NULL);
	const struct td_ike_peer *peer;
	struct td_error error = {0};

	negotiate.token_tried = true;
	negotiate.life = td_lifecycle_create(&env);
	TAILQ_INIT(&negotiate.tunnels);
	for (unsigned i = 0; i < TUNNELS; i++) {
		sads[i].config = tunnels[current][i];
		cr_assert_eq(
		    td_negotiate_tunnel_add(&negotiate, &sads[i], read, i, &error), 0, "%s", error.reason);
		td_negotiate_tunnel_start(&sads[i]);
	}
	td_negotiate_read_free(read);
	peer = TAILQ_FIRST(&negotiate.peers)->ike;
	cr_expect_eq(peer->shortest_life_ns, 10000 * TD_NS_PER_MS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t shortest = rows[i][0] < rows[i][1] ? rows[i][0] : rows[i][1];

		lives_change(rows[i]);
		cr_expect_eq(peer->shortest_life_ns, shortest * TD_NS_PER_MS, "row %zu: %lu ns", i,
		    (unsigned long)peer->shortest_life_ns);
	}
	for (unsigned i = 0; i < TUNNELS; i++)
		td_negotiate_tunnel_discard(&negotiate, &sads[i]);
	td_lifecycle_destroy(negotiate.life);
}

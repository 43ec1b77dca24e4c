// SPDX-License-Identifier: BSD-3-Clause
// Two workers under ThreadSanitizer (-Dsanitize_threads=true): packets go round through SAs of either worker,
// while the control thread adds, switches, moves, stops and removes SAs, changes policies, routes and
// neighbours, and reads statistics. Any data race ends it with ThreadSanitizer's exit status.
//
//   race [ROUNDS]          exit status 0: all rounds done, packets flowed, in order, and were handed over
//   both
//                          ways
//   race --provoke FAULT   makes a mistake that ThreadSanitizer must report: foreign-state, early-free

#include "dataplane/sa.h"
#include "dataplane/slab.h"
#include "dataplane/worker.h"
#include "tests/race/traffic.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INSIDE, OUTSIDE };

#define ROUNDS 150
#define ROUND_PACKETS 64 // that come back before the next change
#define PATIENCE_NS 60000000000ull
#define LOCAL "192.0.2.1"
#define REMOTE "192.0.2.2"

// What is in use of a tunnel, and what was before it.
struct site {
	struct td_dp_tunnel *tunnel;
	struct td_sa_in *in, *old_in;
	struct td_sa_out *out, *old_out;
	unsigned owner;
};

static struct site sites[TD_RACE_TUNNELS];
static struct td_ip peer;
static unsigned events, punted;

static void fail(const char *what)
{
	fprintf(stderr, "race: %s\n", what);
	_exit(1);
}

static void insist(bool holds, const char *what)
{
	if (!holds)
		fail(what);
}

static struct td_prefix prefix(const char *text)
{
	struct td_prefix made;

	insist(td_prefix_parse(text, &made) == 0, text);
	return made;
}

// ---- changes ----------------------------------------------------------------------------------

static void params_fill(struct td_sa_params *params, const struct site *site, struct td_secret *key)
{
	static uint32_t serial;
	unsigned suite = (unsigned)td_dp_suite_find(TD_SA_ESP, serial % 3 ? "aes128gcm16" : "aes128-sha256");
	bool udp = site == &sites[0], ordered = site - sites < TD_RACE_ORDERED;

	serial++;
	key->length = td_dp_suite_info(suite)->key_bytes;
	memcpy(key->bytes, &serial, sizeof(serial));
	*params = (struct td_sa_params){
	    .mode = TD_SA_TUNNEL,
	    // Some SPIs name a worker that does not own the SA.
	    .spi = td_dp_spi_make(ordered || serial % 2 ? site->owner : serial % 5, serial),
	    .tunnel = site->tunnel,
	    .owner = site->owner,
	    .suite = suite,
	    .key = key,
	    .esn = serial % 2,
	    .replay_window = TD_REPLAY_WINDOW_DEFAULT,
	    .local = prefix(LOCAL).ip,
	    .remote = peer,
	    .udp_local_port = udp ? 4500 : 0,
	    .udp_remote_port = udp ? 4500 : 0,
	    .dscp = TD_DSCP_COPY,
	    .limits = {.soft_packets = 8, .soft_bytes = 4096},
	};
}

// A new child, of most tunnels for the other worker; both workers send on it from now on.
static void rollover(struct site *site)
{
	struct td_secret key = {0};
	struct td_sa_params params;

	if (site - sites >= TD_RACE_ORDERED)
		site->owner = !site->owner;
	params_fill(&params, site, &key);
	site->old_in = site->in;
	site->old_out = site->out;
	site->in = td_dp_sa_in_create(&params, NULL);
	site->out = td_dp_sa_out_create(&params, NULL);
	insist(site->in && site->out && td_dp_sa_in_reserve(site->owner, 1) == 0, "no memory for an SA");
	td_dp_sa_in_publish(site->in);
	td_dp_tunnel_switch(site->tunnel, site->owner, site->out);
	td_dp_tunnel_switch(site->tunnel, !site->owner, site->out);
}

static void old_remove(struct site *site)
{
	if (site->old_in) {
		td_dp_sa_in_stop(site->old_in);
		td_dp_sa_in_remove(site->old_in);
	}
	if (site->old_out) {
		td_dp_sa_out_stop(site->old_out);
		td_dp_sa_out_remove(site->old_out);
	}
	site->old_in = NULL;
	site->old_out = NULL;
}

static void policies_set(unsigned spare)
{
	struct td_dp_policy policies[2 * TD_RACE_TUNNELS + 1];
	unsigned count = 0;

	// The rule in front changes and matches nothing.
	policies[count++] = (struct td_dp_policy){
	    .directions = TD_POLICY_BOTH,
	    .action = TD_POLICY_DISCARD,
	    .local = {td_ip_from_v4(0x0a640000 + spare % 256), 32},
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	};
	// Tunnel 3 is behind a route instead.
	for (unsigned i = 0; i + 1 < TD_RACE_TUNNELS; i++) {
		struct td_dp_policy policy = {
		    .directions = TD_POLICY_OUT,
		    .action = TD_POLICY_PROTECT,
		    .local = prefix("10.1.0.0/16"),
		    .remote = {td_ip_from_v4(0x0a020000 + i * 256), 24},
		    .local_port_high = UINT16_MAX,
		    .remote_port_high = UINT16_MAX,
		    .tunnel = sites[i].tunnel,
		};

		policies[count++] = policy;
		policy.directions = TD_POLICY_IN;
		policy.local = policy.remote;
		policy.remote = prefix("10.1.0.0/16");
		policies[count++] = policy;
	}
	insist(td_dp_policy_set(policies, count, NULL) == 0, "policies refused");
}

// The port itself is the neighbour on its link.
static void neighbours_set(void)
{
	const struct td_ip hop = prefix("10.9.0.1").ip;

	insist(td_dp_neighbour_set(INSIDE, &hop, td_dp.ports[INSIDE].mac.addr_bytes) == 0 &&
	           td_dp_neighbour_set(OUTSIDE, &peer, td_dp.ports[OUTSIDE].mac.addr_bytes) == 0,
	    "neighbours refused");
}

static void routes_set(void)
{
	const struct td_dp_route routes[] = {
	    {prefix("10.9.0.0/24"), TD_ROUTE_CONNECTED, INSIDE, {0}},
	    {prefix("10.2.0.0/16"), TD_ROUTE_VIA, INSIDE, prefix("10.9.0.1").ip},
	    {prefix("192.0.2.0/24"), TD_ROUTE_CONNECTED, OUTSIDE, {0}},
	    {prefix(LOCAL), TD_ROUTE_LOCAL, OUTSIDE, {0}},
	};

	for (unsigned i = 0; i < RTE_DIM(routes); i++)
		insist(td_dp_route_set(&routes[i]) == 0, "a route was refused");
}

static void tunnel_routes_set(void)
{
	const struct td_prefix there = prefix("10.2.3.0/24"), here = prefix("10.1.0.0/16");

	// One for each direction: what comes back has source and destination as they were.
	insist(td_dp_tunnel_route_set(&there, sites[3].tunnel) == 0 &&
	           td_dp_tunnel_route_set(&here, sites[3].tunnel) == 0,
	    "a tunnel route was refused");
}

static void sites_create(void)
{
	for (unsigned i = 0; i < TD_RACE_TUNNELS; i++) {
		sites[i].tunnel = td_dp_tunnel_create(i);
		sites[i].owner = i % TD_RACE_WORKERS;
		insist(sites[i].tunnel, "no memory for a tunnel");
		// Padding on each, and dummy packets whenever the others leave a gap.
		insist(td_dp_tunnel_tfc(sites[i].tunnel, i % 2 ? TD_TFC_MTU : 300, TD_DUMMY_RATE_MAX) == 0,
		    "no room for dummy packets");
		rollover(&sites[i]);
	}
}

// Forwarding and policy change under the packets; some find no way for a moment.
static void surroundings_change(unsigned round)
{
	struct td_dp_route extra = {
	    {td_ip_from_v4(0x0a780000 + (round % 64) * 256), 24}, TD_ROUTE_BLACKHOLE, 0, {0}};
	struct td_prefix there = {td_ip_from_v4(0x0ac80000 + (round % 64) * 256), 24};

	insist(td_dp_route_set(&extra) == 0, "a route was refused");
	if (round % 2)
		td_dp_route_delete(&extra.prefix);
	insist(td_dp_tunnel_route_set(&there, sites[round % TD_RACE_TUNNELS].tunnel) == 0,
	    "a tunnel route was refused");
	td_dp_tunnel_route_delete(&there);
	if (round % 8 == 0)
		td_dp_neighbour_delete(OUTSIDE, &peer);
	neighbours_set();
	if (round % 4 == 0)
		policies_set(round);
}

static void site_change(struct site *site, unsigned round)
{
	old_remove(site);
	rollover(site);
	td_dp_tunnel_pmtu(site->tunnel, round % 2 ? 1400 : 0);
	if (site == &sites[0]) {
		td_dp_tunnel_moved(site->tunnel);
		insist(td_dp_sa_out_move(site->out, &peer, 4500) == 0, "no memory to move");
	}
}

// ---- what else the control thread does ----------------------------------------------------------

static bool punt(void *context, unsigned port, const uint8_t *frame, size_t length)
{
	(void)context, (void)port, (void)frame, (void)length;
	punted++;
	return true;
}

static void tick(void)
{
	static const uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 0x08, [13] = 0x06};
	struct td_event taken[64];

	events += td_dp_events_receive(taken, RTE_DIM(taken));
	(void)td_dp_punt_receive(64, punt, NULL);
	(void)td_dp_inject(INSIDE, frame, sizeof(frame));
	(void)td_dp_inject(OUTSIDE, frame, sizeof(frame));
	td_dp_reclaim();
}

static void statistics_read(void)
{
	for (unsigned worker = 0; worker < TD_RACE_WORKERS; worker++) {
		struct td_dp_worker_info info;

		td_dp_worker_info(worker, &info);
		for (unsigned reason = 0; reason < td_dp_drop_count(); reason++)
			(void)td_dp_drops(worker, reason);
	}
	for (unsigned i = 0; i < TD_RACE_TUNNELS; i++) {
		struct td_sa_stats stats;

		td_dp_sa_in_stats(sites[i].in, &stats);
		td_dp_sa_out_stats(sites[i].out, &stats);
	}
	for (unsigned port = INSIDE; port <= OUTSIDE; port++) {
		struct td_dp_port_info info;

		td_dp_port_info(port, &info);
	}
}

static void packets_wait(unsigned count)
{
	uint64_t deadline_ns = td_clock_now_ns() + PATIENCE_NS;
	uint64_t goal = td_race_traffic_received() + count;

	while (td_race_traffic_received() < goal) {
		insist(td_clock_now_ns() < deadline_ns, "no packets come back");
		tick();
		statistics_read();
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
}

static void handoffs_check(void)
{
	for (unsigned worker = 0; worker < TD_RACE_WORKERS; worker++) {
		struct td_dp_worker_info info;

		td_dp_worker_info(worker, &info);
		printf("worker %u: %llu in, %llu out, %llu handed over, %llu taken\n", worker,
		    (unsigned long long)info.esp_in_packets, (unsigned long long)info.esp_out_packets,
		    (unsigned long long)info.handoff_out, (unsigned long long)info.handoff_in);
		insist(info.esp_in_packets && info.esp_out_packets && info.handoff_out && info.handoff_in,
		    "a worker did nothing");
	}
	insist(events > 0, "no events came");
}

// ---- mistakes ---------------------------------------------------------------------------------

static void provoke(const char *fault)
{
	struct site *site = &sites[1];

	if (strcmp(fault, "foreign-state") == 0) {
		// The replay window belongs to the owner.
		for (unsigned i = 0; i < 20; i++) {
			td_replay_advance(&site->in->replay, site->in->bitmap, 1);
			packets_wait(ROUND_PACKETS);
		}
	} else if (strcmp(fault, "early-free") == 0) {
		// Without a grace period a worker may still look at the SA.
		for (unsigned i = 0; i < 20; i++) {
			rollover(site);
			td_slab_free(site->old_out, site->old_out->alloc_bytes);
			packets_wait(ROUND_PACKETS);
		}
	} else {
		fail("there is no such fault");
	}
}

// ---- the program ------------------------------------------------------------------------------

static void start(void)
{
	struct td_dp_config config = {
	    .program = "race",
	    .memory_mb = 512,
	    .packet_buffers = 8192,
	    .main_core = -1,
	    .workers = TD_RACE_WORKERS,
	    .worker_cores = {-1, -1},
	    .port_count = 2,
	};
	struct td_error error = {0};

	snprintf(config.file_prefix, sizeof(config.file_prefix), "race%d", (int)getpid());
	for (unsigned i = 0; i < 2; i++) {
		struct td_dp_port_config *port = &config.ports[i];

		*port = (struct td_dp_port_config){
		    .role = i == INSIDE ? TD_ROLE_INSIDE : TD_ROLE_OUTSIDE,
		    .mtu = 1500,
		    .rx_descriptors = 512,
		    .tx_descriptors = 512,
		};
		snprintf(port->name, sizeof(port->name), "port%u", i);
		snprintf(port->device, sizeof(port->device), "%s", td_race_devices[i]);
	}
	if (td_dp_start(&config, &error))
		fail(error.reason);
}

static void stop(void)
{
	td_race_traffic_stop();
	insist(td_dp_policy_set(NULL, 0, NULL) == 0, "policies stay");
	for (unsigned i = 0; i < TD_RACE_TUNNELS; i++)
		for (unsigned worker = 0; worker < TD_RACE_WORKERS; worker++)
			td_dp_tunnel_switch(sites[i].tunnel, worker, NULL);
	tick();
	td_dp_stop();
}

int main(int argc, char **argv)
{
	const char *fault = argc == 3 && strcmp(argv[1], "--provoke") == 0 ? argv[2] : NULL;
	unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS;

	peer = prefix(REMOTE).ip;
	start();
	insist(td_race_traffic_open() == 0, "no memory for traffic");
	sites_create();
	policies_set(0);
	tunnel_routes_set();
	routes_set();
	neighbours_set();
	td_race_traffic_start();
	packets_wait(ROUND_PACKETS);
	if (fault)
		provoke(fault);
	for (unsigned round = 0; !fault && round < rounds; round++) {
		site_change(&sites[round % TD_RACE_TUNNELS], round);
		surroundings_change(round);
		packets_wait(ROUND_PACKETS);
	}
	handoffs_check();
	printf("%llu packets came back, %llu of them late\n", (unsigned long long)td_race_traffic_received(),
	    (unsigned long long)td_race_traffic_late());
	insist(td_race_traffic_late() == 0, "a flow was reordered");
	stop();
	return 0;
}

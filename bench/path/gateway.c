// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/gateway.h"

#include "bench/common/shuffle.h"
#include "bench/path/port.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POLICIES_MAX 1000 // more tunnels have routes
#define REMOTE_LENGTH 28
#define REPLAY_WINDOW 1024

struct tunnel {
	struct td_dp_tunnel *tunnel;
	struct td_sa_in *in[TD_PATH_WORKERS_MAX];
	struct td_sa_out *out[TD_PATH_WORKERS_MAX];
	uint64_t far_sequence[TD_PATH_WORKERS_MAX]; // last one that the far end used
};

static struct tunnel tunnels[TD_PATH_TUNNELS_MAX];
static unsigned tunnel_count, routed_count;
static uint8_t far_schedule[TD_SCHEDULE_MAX_BYTES] __attribute__((aligned(64)));

uint32_t td_path_peer(unsigned tunnel)
{
	return 0xac100001 + tunnel; // 172.16.0.1
}

uint32_t td_path_remote(unsigned tunnel)
{
	return 0x0a800001 + (tunnel << (32 - REMOTE_LENGTH)); // 10.128.0.1
}

uint32_t td_path_spi(unsigned tunnel, unsigned worker)
{
	return td_dp_spi_make(worker, td_shuffle_spread(tunnel + 1));
}

const void *td_path_far_schedule(void)
{
	return far_schedule;
}

uint64_t td_path_far_sequence(unsigned tunnel, unsigned worker)
{
	return ++tunnels[tunnel].far_sequence[worker];
}

// ---- start and stop ---------------------------------------------------------------------------

// The last CPU that this process may use.
static void cores_choose(struct td_dp_config *config)
{
	cpu_set_t allowed;

	config->main_core = -1;
	for (unsigned i = 0; i < config->workers; i++)
		config->worker_cores[i] = -1;
	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			config->main_core = cpu;
}

static struct td_prefix prefix(const char *text)
{
	struct td_prefix made;

	(void)td_prefix_parse(text, &made);
	return made;
}

static int routes_set(void)
{
	const struct td_dp_route routes[] = {
	    {prefix("10.9.0.0/24"), TD_ROUTE_CONNECTED, TD_PATH_INSIDE, {0}},
	    {prefix("10.1.0.0/16"), TD_ROUTE_VIA, TD_PATH_INSIDE, prefix("10.9.0.1").ip},
	    {prefix("192.0.2.0/24"), TD_ROUTE_CONNECTED, TD_PATH_OUTSIDE, {0}},
	    {prefix("192.0.2.1"), TD_ROUTE_LOCAL, TD_PATH_OUTSIDE, {0}},
	    {prefix("172.16.0.0/12"), TD_ROUTE_VIA, TD_PATH_OUTSIDE, prefix("192.0.2.254").ip},
	};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

	for (unsigned i = 0; i < RTE_DIM(routes); i++) {
		int result = td_dp_route_set(&routes[i]);

		if (result)
			return result;
	}
	int result = td_dp_neighbour_set(TD_PATH_INSIDE, &routes[1].via, mac);
	return result ? result : td_dp_neighbour_set(TD_PATH_OUTSIDE, &routes[4].via, mac);
}

int td_path_gateway_open(unsigned workers, bool hugepages)
{
	struct td_dp_config config = {
	    .program = "path",
	    .hugepages = hugepages,
	    .memory_mb = TD_PATH_MEMORY_MB,
	    .packet_buffers = 4096,
	    .workers = workers,
	    .idle = TD_IDLE_ADAPTIVE,
	    .port_count = TD_PATH_PORTS,
	};
	struct td_error error = {0};

	snprintf(config.file_prefix, sizeof(config.file_prefix), "path%d", (int)getpid());
	cores_choose(&config);
	for (unsigned i = 0; i < TD_PATH_PORTS; i++) {
		struct td_dp_port_config *port = &config.ports[i];

		*port = (struct td_dp_port_config){
		    .role = i == TD_PATH_INSIDE ? TD_ROLE_INSIDE : TD_ROLE_OUTSIDE,
		    .mtu = 1500,
		    .rx_descriptors = 512,
		    .tx_descriptors = 512,
		};
		snprintf(port->name, sizeof(port->name), "port%u", i);
		snprintf(port->device, sizeof(port->device), "%s", td_path_devices[i]);
	}
	int result = td_dp_open(&config, &error);
	if (result) {
		fprintf(stderr, "path: %s %s: %s\n", error.object, error.field, error.reason);
		return result;
	}
	td_path_ports_take_over();
	(void)rte_rcu_qsbr_thread_register(td_rcu_qsbr, 0);
	rte_rcu_qsbr_thread_online(td_rcu_qsbr, 0);
	result = routes_set();
	if (result)
		fprintf(stderr, "path: routes: %s\n", strerror(-result));
	return result;
}

void td_path_gateway_close(void)
{
	(void)td_path_tunnels_set(0, 0, TD_PATH_OWNER_FIRST);
	td_dp_stop();
}

// ---- tunnels ----------------------------------------------------------------------------------

// Lets what was changed reach the workers, and what they no longer see go.
static void settle(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		(void)td_worker_turn(td_dp.workers[0]);
		td_dp_reclaim();
	}
}

static struct td_prefix route_of(unsigned tunnel)
{
	return (struct td_prefix){td_ip_from_v4(td_path_remote(tunnel) - 1), REMOTE_LENGTH};
}

static int sas_create(struct tunnel *tunnel, unsigned number, unsigned suite, unsigned worker)
{
	static struct td_secret key; // zeros: it never leaves this process
	struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .spi = td_path_spi(number, worker),
	    .tunnel = tunnel->tunnel,
	    .owner = worker,
	    .suite = suite,
	    .key = &key,
	    .esn = true,
	    .replay_window = REPLAY_WINDOW,
	    .dscp = TD_DSCP_COPY,
	    .local = td_ip_from_v4(TD_PATH_OWN),
	    .remote = td_ip_from_v4(td_path_peer(number)),
	};

	key.length = td_dp_suite_info(suite)->key_bytes;
	if (number == 0 && worker == 0) {
		int result = td_suite_at(suite)->expand(td_dp.control_mgr, key.bytes, far_schedule);

		if (result)
			return result;
	}
	tunnel->in[worker] = td_dp_sa_in_create(&params, NULL);
	tunnel->out[worker] = td_dp_sa_out_create(&params, NULL);
	if (!tunnel->in[worker] || !tunnel->out[worker] || td_dp_sa_in_reserve(worker, 1))
		return -ENOMEM;
	td_dp_sa_in_publish(tunnel->in[worker]);
	return 0;
}

static int tunnel_create(unsigned number, unsigned suite, enum td_path_owners owners)
{
	struct tunnel *tunnel = &tunnels[number];
	unsigned workers = td_dp.worker_count, only = owners == TD_PATH_OWNER_TURNS ? number % workers : 0;

	tunnel->tunnel = td_dp_tunnel_create(number);
	if (!tunnel->tunnel)
		return -ENOMEM;
	tunnel_count = number + 1;
	for (unsigned worker = 0; worker < workers; worker++) {
		bool owner = owners == TD_PATH_OWNER_EACH || worker == only;
		int result = owner ? sas_create(tunnel, number, suite, worker) : 0;

		if (result)
			return result;
	}
	for (unsigned worker = 0; worker < workers; worker++)
		td_dp_tunnel_switch(
		    tunnel->tunnel, worker, tunnel->out[owners == TD_PATH_OWNER_EACH ? worker : only]);
	return 0;
}

static void tunnels_remove(void)
{
	while (routed_count) {
		struct td_prefix prefix = route_of(--routed_count);

		td_dp_tunnel_route_delete(&prefix);
	}
	(void)td_dp_policy_set(NULL, 0, NULL);
	while (tunnel_count) {
		struct tunnel *tunnel = &tunnels[--tunnel_count];

		for (unsigned worker = 0; worker < td_dp.worker_count; worker++) {
			td_dp_tunnel_switch(tunnel->tunnel, worker, NULL);
			if (tunnel->out[worker])
				td_dp_sa_out_remove(tunnel->out[worker]);
			if (tunnel->in[worker])
				td_dp_sa_in_remove(tunnel->in[worker]);
		}
		td_dp_tunnel_remove(tunnel->tunnel);
		*tunnel = (struct tunnel){0};
	}
}

static int policies_set(void)
{
	struct td_dp_policy *policies = calloc(tunnel_count, sizeof(*policies));

	if (!policies)
		return -ENOMEM;
	for (unsigned i = 0; i < tunnel_count; i++)
		policies[i] = (struct td_dp_policy){
		    .directions = TD_POLICY_BOTH,
		    .action = TD_POLICY_PROTECT,
		    .local = prefix("10.1.0.0/16"),
		    .remote = route_of(i),
		    .local_port_high = UINT16_MAX,
		    .remote_port_high = UINT16_MAX,
		    .tunnel = tunnels[i].tunnel,
		};
	int result = td_dp_policy_set(policies, tunnel_count, NULL);
	free(policies);
	return result;
}

static int tunnel_routes_set(void)
{
	int result = 0;

	while (result == 0 && routed_count < tunnel_count) {
		struct td_prefix prefix = route_of(routed_count);

		result = td_dp_tunnel_route_set(&prefix, tunnels[routed_count].tunnel);
		routed_count += result == 0;
	}
	return result;
}

int td_path_tunnels_set(unsigned suite, unsigned count, enum td_path_owners owners)
{
	int result = 0;

	tunnels_remove();
	settle();
	while (result == 0 && tunnel_count < count)
		result = tunnel_create(tunnel_count, suite, owners);
	if (result == 0 && count)
		result = count <= POLICIES_MAX ? policies_set() : tunnel_routes_set();
	settle();
	return result;
}

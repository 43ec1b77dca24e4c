// SPDX-License-Identifier: BSD-3-Clause
#include "bench/load/gateway.h"

#include "bench/load/child.h"
#include "dataplane/worker.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static const char *const devices[TD_LOAD_PORTS] = {"net_ring0", "net_ring1"};

// The first two CPUs that this process may use: one each for control thread and worker, or -1, any, where
// there is only one.
static void cores_choose(struct td_dp_config *config)
{
	cpu_set_t allowed;
	int cores[2] = {-1, -1};
	unsigned found = 0;

	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			cores[found++] = cpu;
	config->main_core = found == 2 ? cores[0] : -1;
	config->worker_cores[0] = found == 2 ? cores[1] : -1;
}

int td_load_open(const char *program)
{
	// Adaptive: where a row gives the worker nothing to do it takes no part of a shared core.
	struct td_dp_config config = {
	    .memory_mb = 1024,
	    .packet_buffers = 16384,
	    .workers = 1,
	    .idle = TD_IDLE_ADAPTIVE,
	    .port_count = TD_LOAD_PORTS,
	};
	struct td_error error = {0};

	snprintf(config.program, sizeof(config.program), "%s", program);
	snprintf(config.file_prefix, sizeof(config.file_prefix), "bench%d", (int)getpid());
	cores_choose(&config);
	for (unsigned i = 0; i < TD_LOAD_PORTS; i++) {
		struct td_dp_port_config *port = &config.ports[i];

		*port = (struct td_dp_port_config){
		    .role = i == TD_LOAD_INSIDE ? TD_ROLE_INSIDE : TD_ROLE_OUTSIDE,
		    .mtu = 1500,
		    .rx_descriptors = 512,
		    .tx_descriptors = 512,
		};
		snprintf(port->name, sizeof(port->name), "port%u", i);
		snprintf(port->device, sizeof(port->device), "%s", devices[i]);
	}
	int result = td_dp_start(&config, &error);
	if (result)
		fprintf(stderr, "%s: %s %s: %s\n", program, error.object, error.field, error.reason);
	return result;
}

static struct td_prefix prefix(const char *text)
{
	struct td_prefix made;

	(void)td_prefix_parse(text, &made);
	return made;
}

// The port itself is the neighbour on its link.
static int neighbour_set(unsigned port, const char *address)
{
	struct td_prefix neighbour = prefix(address);

	return td_dp_neighbour_set(port, &neighbour.ip, td_dp.ports[port].mac.addr_bytes);
}

int td_load_routes_set(void)
{
	const struct td_dp_route routes[] = {
	    {prefix("10.9.0.0/24"), TD_ROUTE_CONNECTED, TD_LOAD_INSIDE, {0}},
	    {prefix("10.2.0.0/16"), TD_ROUTE_VIA, TD_LOAD_INSIDE, prefix("10.9.0.1").ip},
	    {prefix("192.0.2.0/24"), TD_ROUTE_CONNECTED, TD_LOAD_OUTSIDE, {0}},
	    {prefix(TD_CHILD_LOCAL), TD_ROUTE_LOCAL, TD_LOAD_OUTSIDE, {0}},
	};

	for (unsigned i = 0; i < RTE_DIM(routes); i++) {
		int result = td_dp_route_set(&routes[i]);

		if (result)
			return result;
	}
	int result = neighbour_set(TD_LOAD_INSIDE, "10.9.0.1");
	return result ? result : neighbour_set(TD_LOAD_OUTSIDE, TD_CHILD_REMOTE);
}

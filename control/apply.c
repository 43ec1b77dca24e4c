// SPDX-License-Identifier: BSD-3-Clause
#include "control/apply.h"

#include <stdio.h>
#include <string.h>

static void port_config(const struct td_port_config *port, struct td_dp_port_config *dp)
{
	snprintf(dp->name, sizeof(dp->name), "%s", port->name);
	snprintf(dp->device, sizeof(dp->device), "%s", port->device);
	dp->role = port->role;
	dp->mtu = port->mtu;
	dp->rx_queues = port->rx_queues;
	dp->rx_descriptors = port->rx_descriptors;
	dp->tx_descriptors = port->tx_descriptors;
	dp->promiscuous = port->promiscuous;
}

void td_apply_dp_config(const struct td_config *config, const char *program, struct td_dp_config *dp)
{
	unsigned i;

	memset(dp, 0, sizeof(*dp));
	snprintf(dp->program, sizeof(dp->program), "%s", program);
	snprintf(dp->file_prefix, sizeof(dp->file_prefix), "%s", config->file_prefix);
	dp->hugepages = config->hugepages;
	dp->memory_mb = config->memory_mb;
	dp->packet_buffers = config->packet_buffers;
	dp->main_core = config->main_core;
	dp->workers = config->workers;
	for (i = 0; i < TD_WORKERS_MAX; i++)
		dp->worker_cores[i] = i < config->worker_core_count ? config->worker_cores[i] : -1;
	dp->idle = config->idle;
	dp->icmp_unreachable = config->icmp_unreachable;
	dp->icmp_prohibited = config->icmp_prohibited;
	dp->port_count = config->port_count;
	for (i = 0; i < config->port_count; i++)
		port_config(&config->ports[i], &dp->ports[i]);
}

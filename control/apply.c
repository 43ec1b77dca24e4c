// SPDX-License-Identifier: BSD-3-Clause
#include "control/apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
	dp->port_count = config->port_count;
	for (i = 0; i < config->port_count; i++)
		port_config(&config->ports[i], &dp->ports[i]);
}

static int policy_convert(const struct td_policy_config *policy, unsigned index, const struct td_sad *sad,
    struct td_dp_policy *dp, struct td_error *error)
{
	const struct td_tunnel *tunnel = NULL;
	char object[32];

	if (policy->action == TD_POLICY_PROTECT) {
		tunnel = td_sad_tunnel_find(sad, policy->tunnel);
		snprintf(object, sizeof(object), "policy %u", index + 1);
		if (tunnel == NULL)
			return td_error_set(
			    error, -ENOENT, object, "tunnel", "there is no tunnel \"%s\"", policy->tunnel);
	}
	*dp = (struct td_dp_policy){
	    .directions = policy->direction,
	    .action = policy->action,
	    .local = policy->local,
	    .remote = policy->remote,
	    .local_high = policy->local_high,
	    .remote_high = policy->remote_high,
	    .protocol = policy->protocol,
	    .local_port_low = policy->local_port_low,
	    .local_port_high = policy->local_port_high,
	    .remote_port_low = policy->remote_port_low,
	    .remote_port_high = policy->remote_port_high,
	    .tunnel = tunnel != NULL ? tunnel->dp : NULL,
	};
	return 0;
}

// A pair of an IPv4 and an IPv6 prefix can match no packet and makes no rule. Returns how many were made;
// with dp NULL it only counts.
static size_t tunnel_rules(
    const struct td_tunnel_config *tunnel, struct td_dp_tunnel *dp_tunnel, struct td_dp_policy *dp)
{
	size_t count = 0;
	unsigned i, j;

	for (i = 0; i < tunnel->local_count; i++) {
		for (j = 0; j < tunnel->remote_count; j++) {
			if (tunnel->local[i].ip.family != tunnel->remote[j].ip.family)
				continue;
			if (dp != NULL)
				dp[count] = (struct td_dp_policy){
				    .directions = TD_POLICY_BOTH,
				    .action = TD_POLICY_PROTECT,
				    .local = tunnel->local[i],
				    .remote = tunnel->remote[j],
				    .local_port_high = UINT16_MAX,
				    .remote_port_high = UINT16_MAX,
				    .tunnel = dp_tunnel,
				};
			count++;
		}
	}
	return count;
}

static int policies_fill(const struct td_config *config, const struct td_sad *sad,
    struct td_dp_policy *policies, struct td_error *error)
{
	const struct td_tunnel *tunnel;
	size_t count = config->policy_count;
	unsigned i;
	int ret;

	for (i = 0; i < config->policy_count; i++) {
		ret = policy_convert(&config->policies[i], i, sad, &policies[i], error);
		if (ret < 0)
			return ret;
	}
	for (i = 0; i < config->tunnel_count; i++) {
		tunnel = td_sad_tunnel_find(sad, config->tunnels[i].name);
		if (tunnel == NULL)
			return td_error_set(
			    error, -ENOENT, config->tunnels[i].name, NULL, "there is no such tunnel");
		count += tunnel_rules(&config->tunnels[i], tunnel->dp, policies + count);
	}
	return 0;
}

static int policies_publish(const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	struct td_dp_policy *policies;
	size_t count = config->policy_count;
	unsigned i;
	int ret;

	for (i = 0; i < config->tunnel_count; i++)
		count += tunnel_rules(&config->tunnels[i], NULL, NULL);
	policies = calloc(count > 0 ? count : 1, sizeof(*policies));
	if (policies == NULL || count > UINT32_MAX) {
		free(policies);
		return td_error_set(error, -ENOMEM, "policies", NULL, "no memory for %zu rules", count);
	}
	ret = policies_fill(config, sad, policies, error);
	if (ret == 0)
		ret = td_dp_policy_set(policies, (unsigned)count, error);
	free(policies);
	return ret;
}

static int tunnel_routes(
    const struct td_tunnel_config *config, const struct td_tunnel *tunnel, struct td_error *error)
{
	char text[TD_PREFIX_TEXT_MAX];
	unsigned i;
	int ret;

	for (i = 0; i < config->route_count; i++) {
		ret = td_dp_tunnel_route_set(&config->routes[i], tunnel->dp);
		if (ret < 0)
			return td_error_set(error, ret, config->name, "routes", "%s cannot be set: %s%s",
			    td_prefix_format(&config->routes[i], text), strerror(-ret),
			    ret == -ENOMEM ? "; raise memory.size_mb" : "");
	}
	return 0;
}

int td_apply_policies(const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	unsigned i;
	int ret = policies_publish(config, sad, error);

	for (i = 0; i < config->tunnel_count && ret == 0; i++)
		ret = tunnel_routes(
		    &config->tunnels[i], td_sad_tunnel_find(sad, config->tunnels[i].name), error);
	return ret;
}

int td_apply_policies_withdraw(const struct td_config *config, struct td_error *error)
{
	unsigned i, j;

	for (i = 0; i < config->tunnel_count; i++)
		for (j = 0; j < config->tunnels[i].route_count; j++)
			td_dp_tunnel_route_delete(&config->tunnels[i].routes[j]);
	return td_dp_policy_set(NULL, 0, error);
}

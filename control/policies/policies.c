// SPDX-License-Identifier: BSD-3-Clause
#include "common/log.h"
#include "control/policies/internal.h"
#include "control/policies/tunnel_routes.h"

#include <errno.h>
#include <stdlib.h>

int td_policies_no_memory(struct td_error *error)
{
	return td_error_set(error, -ENOMEM, NULL, "", "there is not enough memory");
}

// ---- from configuration to data plane ----------------------------------------------------------

// A reload's tunnels are not yet found by their names, and those that leave with it still are.
static const struct td_tunnel *tunnel_find(const struct td_policies_change *change, const char *name)
{
	const struct td_sad *sad = change->policies->sad;

	return change->diff != NULL ? td_sad_tunnel_find_next(sad, name) : td_sad_tunnel_find(sad, name);
}

static int policy_convert(const struct td_policies_change *change, const struct td_policy *policy,
    struct td_dp_policy *dp, struct td_error *error)
{
	const struct td_policy_config *config = &policy->config;
	const struct td_tunnel *tunnel = NULL;

	if (config->action == TD_POLICY_PROTECT) {
		tunnel = tunnel_find(change, config->tunnel);
		if (tunnel == NULL)
			return td_error_set(
			    error, -ENOENT, "policy", "tunnel", "there is no tunnel \"%s\"", config->tunnel);
	}
	*dp = (struct td_dp_policy){
	    .directions = config->direction,
	    .action = config->action,
	    .local = config->local,
	    .remote = config->remote,
	    .local_high = config->local_high,
	    .remote_high = config->remote_high,
	    .protocol = config->protocol,
	    .local_port_low = config->local_port_low,
	    .local_port_high = config->local_port_high,
	    .remote_port_low = config->remote_port_low,
	    .remote_port_high = config->remote_port_high,
	    .tunnel = tunnel != NULL ? tunnel->dp : NULL,
	    .hits = policy->hits,
	};
	return 0;
}

// A pair of an IPv4 and an IPv6 prefix can match no packet and makes no rule. Returns how many were made.
static size_t tunnel_rules(const struct td_tunnel_config *tunnel, struct td_dp_tunnel *dp_tunnel,
    struct td_dp_hits *const *hits, struct td_dp_policy *dp)
{
	size_t count = 0;

	for (unsigned i = 0; i < tunnel->local_count; i++) {
		for (unsigned j = 0; j < tunnel->remote_count; j++) {
			if (tunnel->local[i].ip.family != tunnel->remote[j].ip.family)
				continue;
			dp[count++] = (struct td_dp_policy){
			    .directions = TD_POLICY_BOTH,
			    .action = TD_POLICY_PROTECT,
			    .local = tunnel->local[i],
			    .remote = tunnel->remote[j],
			    .local_port_high = UINT16_MAX,
			    .remote_port_high = UINT16_MAX,
			    .tunnel = dp_tunnel,
			    .hits = hits[i * tunnel->remote_count + j],
			};
		}
	}
	return count;
}

int td_policies_collect(struct td_policies_change *change, struct td_error *error)
{
	bool other = change->diff != NULL;
	const struct td_config *config = other ? change->config : change->policies->config;
	const struct td_tunnel_hits *tunnels = other ? &change->tunnels : &change->policies->tunnels;
	size_t most = change->count + tunnels->first[config->tunnel_count], used = 0;
	int ret = 0;

	change->dp = calloc(most + 1, sizeof(*change->dp));
	if (change->dp == NULL || most > UINT32_MAX)
		return td_policies_no_memory(error);
	for (; ret == 0 && used < change->count; used++)
		ret = policy_convert(change, &change->list[used], &change->dp[used], error);
	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++) {
		const struct td_tunnel *tunnel;

		if (config->tunnels[i].local_count == 0)
			continue;
		tunnel = tunnel_find(change, config->tunnels[i].name);
		if (tunnel == NULL)
			ret = td_error_set(
			    error, -ENOENT, config->tunnels[i].name, NULL, "there is no such tunnel");
		else
			used += tunnel_rules(&config->tunnels[i], tunnel->dp,
			    &tunnels->hits[tunnels->first[i]], &change->dp[used]);
	}
	change->dp_count = (unsigned)used;
	return ret;
}

// ---- beginning and end --------------------------------------------------------------------------

static int tunnel_hits_create(struct td_policies *policies, struct td_error *error)
{
	const struct td_config *config = policies->config;
	struct td_tunnel_hits *tunnels = &policies->tunnels;

	if (td_tunnel_hits_places(config, tunnels) < 0)
		return td_policies_no_memory(error);
	for (unsigned t = 0; t < config->tunnel_count; t++)
		if (td_tunnel_hits_make(&config->tunnels[t], &tunnels->hits[tunnels->first[t]]) < 0)
			return td_policies_no_memory(error);
	return 0;
}

static int configured_make(struct td_policies_change *change, struct td_error *error)
{
	const struct td_config *config = change->policies->config;

	return td_policies_list_replace(change, config->policies, config->policy_count, error);
}

static int configured_publish(struct td_policies *policies, struct td_error *error)
{
	struct td_policies_change *change;
	int ret = td_policies_change_create(policies, configured_make, NULL, &change, error);

	return ret == 0 ? td_policies_change_now(change, error) : ret;
}

struct td_policies *td_policies_create(
    struct td_loop *loop, const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	struct td_policies *policies = calloc(1, sizeof(*policies));
	int ret;

	if (policies == NULL) {
		(void)td_policies_no_memory(error);
		return NULL;
	}
	policies->loop = loop;
	policies->config = config;
	policies->sad = sad;
	td_policies_changes_init(policies);
	ret = tunnel_hits_create(policies, error);
	if (ret == 0)
		ret = configured_publish(policies, error);
	if (ret == 0)
		ret = td_tunnel_routes_set(config, sad, error);
	if (ret == 0)
		return policies;
	td_policies_destroy(policies);
	return NULL;
}

void td_policies_destroy(struct td_policies *policies)
{
	const struct td_config *config;

	if (policies == NULL)
		return;
	config = policies->config;
	td_policies_changes_cancel(policies);
	td_tunnel_routes_delete(config);
	if (td_dp_policy_set(NULL, 0, NULL) < 0)
		td_log_error("cannot take the policies back: out of memory");
	for (unsigned i = 0; i < policies->count; i++)
		td_dp_hits_remove(policies->list[i].hits);
	for (size_t i = 0;
	     policies->tunnels.hits != NULL && i < policies->tunnels.first[config->tunnel_count]; i++)
		td_dp_hits_remove(policies->tunnels.hits[i]);
	td_tunnel_hits_free(&policies->tunnels);
	free(policies->list);
	free(policies);
}

// ---- looking ------------------------------------------------------------------------------------

const struct td_policy *td_policies_at(const struct td_policies *policies, unsigned index)
{
	return index < policies->count ? &policies->list[index] : NULL;
}

const struct td_dp_hits *td_policies_tunnel_hits(
    const struct td_policies *policies, unsigned tunnel, unsigned i, unsigned j)
{
	return policies->tunnels.hits[policies->tunnels.first[tunnel] +
	                              (size_t)i * policies->config->tunnels[tunnel].remote_count + j];
}

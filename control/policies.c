// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/policies.h"
#include "common/log.h"
#include "control/policies_internal.h"
#include "control/tunnel_routes.h"

#include <errno.h>
#include <stdlib.h>

int td_policies_no_memory(struct td_error *error)
{
	return td_error_set(error, -ENOMEM, NULL, "", "there is not enough memory");
}

// ---- from configuration to data plane ----------------------------------------------------------

static int policy_convert(
    const struct td_policy *policy, const struct td_sad *sad, struct td_dp_policy *dp, struct td_error *error)
{
	const struct td_policy_config *config = &policy->config;
	const struct td_tunnel *tunnel = NULL;

	if (config->action == TD_POLICY_PROTECT) {
		tunnel = td_sad_tunnel_find_next(sad, config->tunnel);
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

struct td_dp_policy *td_policies_collect(const struct td_policies *policies, const struct td_config *config,
    const struct td_tunnel_hits *tunnels, const struct td_policy *list, unsigned list_count, unsigned *count,
    struct td_error *error)
{
	size_t most = list_count + tunnels->first[config->tunnel_count], used = 0;
	struct td_dp_policy *dp = calloc(most + 1, sizeof(*dp));
	int ret = 0;

	if (dp == NULL || most > UINT32_MAX)
		ret = td_policies_no_memory(error);
	for (; ret == 0 && used < list_count; used++)
		ret = policy_convert(&list[used], policies->sad, &dp[used], error);
	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++) {
		const struct td_tunnel *tunnel;

		if (config->tunnels[i].local_count == 0)
			continue;
		tunnel = td_sad_tunnel_find_next(policies->sad, config->tunnels[i].name);
		if (tunnel == NULL)
			ret = td_error_set(
			    error, -ENOENT, config->tunnels[i].name, NULL, "there is no such tunnel");
		else
			used += tunnel_rules(
			    &config->tunnels[i], tunnel->dp, &tunnels->hits[tunnels->first[i]], &dp[used]);
	}
	*count = (unsigned)used;
	if (ret == 0)
		return dp;
	free(dp);
	return NULL;
}

// ---- changes ------------------------------------------------------------------------------------

int td_policies_make(struct td_policies *policies, const struct td_policy_config *config,
    struct td_policy *policy, struct td_error *error)
{
	*policy = (struct td_policy){++policies->last_id, *config, td_dp_hits_create()};
	return policy->hits != NULL ? 0 : td_policies_no_memory(error);
}

static void hits_remove(const struct td_policy *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		td_dp_hits_remove(list[i].hits);
}

// Takes list over when it could be published.
static int list_publish(
    struct td_policies *policies, struct td_policy *list, unsigned count, struct td_error *error)
{
	unsigned dp_count;
	struct td_dp_policy *dp = td_policies_collect(
	    policies, policies->config, &policies->tunnels, list, count, &dp_count, error);
	int ret = dp != NULL ? td_dp_policy_set(dp, dp_count, error) : -ENOENT;

	free(dp);
	if (ret < 0)
		return ret;
	free(policies->list);
	policies->list = list;
	policies->count = count;
	return 0;
}

// Until a change to another configuration is over, its classifier is the next.
static int changing(const struct td_policies *policies, struct td_error *error)
{
	if (policies->change == NULL)
		return 0;
	return td_error_set(
	    error, -EBUSY, "policy", "", "is changed by a reload that is under way; try again after it");
}

int td_policies_replace(struct td_policies *policies, const struct td_policy_config *configs, unsigned count,
    struct td_error *error)
{
	if (changing(policies, error) < 0)
		return -EBUSY;

	struct td_policy *list = calloc(count + 1ul, sizeof(*list));
	struct td_policy *old = policies->list;
	unsigned old_count = policies->count;
	int ret = list != NULL ? 0 : td_policies_no_memory(error);

	for (unsigned i = 0; i < count && ret == 0; i++)
		ret = td_policies_make(policies, &configs[i], &list[i], error);
	if (ret == 0) {
		policies->list = NULL;
		ret = list_publish(policies, list, count, error);
	}
	if (ret == 0) {
		hits_remove(old, old_count);
		free(old);
		return 0;
	}
	policies->list = old;
	if (list != NULL)
		hits_remove(list, count);
	free(list);
	return ret;
}

// Returns policies->count when there is none.
static unsigned place_of(const struct td_policies *policies, uint32_t id)
{
	unsigned i = 0;

	while (i < policies->count && policies->list[i].id != id)
		i++;
	return i;
}

static int no_policy(uint32_t id, const char *field, struct td_error *error)
{
	return td_error_set(
	    error, -ENOENT, NULL, field, "%u is no policy's (policy.list shows them)", (unsigned)id);
}

int td_policies_add(struct td_policies *policies, const struct td_policy_config *config, uint32_t before,
    uint32_t *id, struct td_error *error)
{
	unsigned place = before != 0 ? place_of(policies, before) : policies->count;
	struct td_policy *list;
	int ret;

	if (changing(policies, error) < 0)
		return -EBUSY;
	if (before != 0 && place == policies->count)
		return no_policy(before, "before", error);
	for (unsigned i = 0; i < policies->count; i++)
		if (td_config_policy_contradicts(&policies->list[i].config, config))
			return td_error_set(error, -EINVAL, NULL, "",
			    "policy %u has another action for the same packets; remove it first",
			    policies->list[i].id);
	list = calloc(policies->count + 1ul, sizeof(*list));
	if (list == NULL)
		return td_policies_no_memory(error);
	for (unsigned i = 0; i < policies->count; i++)
		list[i < place ? i : i + 1] = policies->list[i];
	ret = td_policies_make(policies, config, &list[place], error);
	if (ret == 0)
		ret = list_publish(policies, list, policies->count + 1, error);
	if (ret == 0) {
		*id = list[place].id;
		return 0;
	}
	td_dp_hits_remove(list[place].hits);
	free(list);
	return ret;
}

int td_policies_remove(struct td_policies *policies, uint32_t id, struct td_error *error)
{
	unsigned place = place_of(policies, id);
	struct td_dp_hits *hits;
	struct td_policy *list;
	int ret;

	if (changing(policies, error) < 0)
		return -EBUSY;
	if (place == policies->count)
		return no_policy(id, "id", error);
	list = calloc(policies->count, sizeof(*list));
	if (list == NULL)
		return td_policies_no_memory(error);
	for (unsigned i = 0; i < policies->count; i++)
		if (i != place)
			list[i < place ? i : i - 1] = policies->list[i];
	hits = policies->list[place].hits;
	ret = list_publish(policies, list, policies->count - 1, error);
	if (ret == 0)
		td_dp_hits_remove(hits);
	else
		free(list);
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

struct td_policies *td_policies_create(
    const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	struct td_policies *policies = calloc(1, sizeof(*policies));
	int ret;

	if (policies == NULL) {
		(void)td_policies_no_memory(error);
		return NULL;
	}
	policies->config = config;
	policies->sad = sad;
	ret = tunnel_hits_create(policies, error);
	if (ret == 0)
		ret = td_policies_replace(policies, config->policies, config->policy_count, error);
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
	td_tunnel_routes_delete(config);
	if (td_dp_policy_set(NULL, 0, NULL) < 0)
		td_log_error("cannot take the policies back: out of memory");
	hits_remove(policies->list, policies->count);
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

// SPDX-License-Identifier: BSD-3-Clause
#include "control/policies.h"

#include "common/log.h"
#include "control/tunnel_routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The counters of the tunnels' rules; those of a tunnel begin at its place in first. Pairs of two families,
// which make no rule, have a place without a counter.
struct tunnel_hits {
	struct td_dp_hits **hits;
	size_t *first; // one more than there are tunnels
};

struct td_policies {
	const struct td_config *config;
	const struct td_sad *sad;
	struct td_policy *list;
	unsigned count;
	uint32_t last_id;
	struct tunnel_hits tunnels;
};

static int no_memory(struct td_error *error)
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
		tunnel = td_sad_tunnel_find(sad, config->tunnel);
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

static int publish(const struct td_policies *policies, const struct td_config *config,
    const struct tunnel_hits *tunnels, const struct td_policy *list, unsigned list_count,
    struct td_error *error)
{
	size_t most = list_count + tunnels->first[config->tunnel_count], count = 0;
	struct td_dp_policy *dp = calloc(most + 1, sizeof(*dp));
	int ret = 0;

	if (dp == NULL || most > UINT32_MAX)
		ret = no_memory(error);
	for (; ret == 0 && count < list_count; count++)
		ret = policy_convert(&list[count], policies->sad, &dp[count], error);
	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++) {
		const struct td_tunnel *tunnel = td_sad_tunnel_find(policies->sad, config->tunnels[i].name);

		if (tunnel == NULL)
			ret = td_error_set(
			    error, -ENOENT, config->tunnels[i].name, NULL, "there is no such tunnel");
		else
			count += tunnel_rules(
			    &config->tunnels[i], tunnel->dp, &tunnels->hits[tunnels->first[i]], &dp[count]);
	}
	if (ret == 0)
		ret = td_dp_policy_set(dp, (unsigned)count, error);
	free(dp);
	return ret;
}

// ---- changes ------------------------------------------------------------------------------------

// Gives a policy its number and its counter.
static int policy_make(struct td_policies *policies, const struct td_policy_config *config,
    struct td_policy *policy, struct td_error *error)
{
	*policy = (struct td_policy){++policies->last_id, *config, td_dp_hits_create()};
	return policy->hits != NULL ? 0 : no_memory(error);
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
	int ret = publish(policies, policies->config, &policies->tunnels, list, count, error);

	if (ret < 0)
		return ret;
	free(policies->list);
	policies->list = list;
	policies->count = count;
	return 0;
}

int td_policies_replace(struct td_policies *policies, const struct td_policy_config *configs, unsigned count,
    struct td_error *error)
{
	struct td_policy *list = calloc(count + 1ul, sizeof(*list));
	struct td_policy *old = policies->list;
	unsigned old_count = policies->count;
	int ret = list != NULL ? 0 : no_memory(error);

	for (unsigned i = 0; i < count && ret == 0; i++)
		ret = policy_make(policies, &configs[i], &list[i], error);
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

	if (before != 0 && place == policies->count)
		return no_policy(before, "before", error);
	list = calloc(policies->count + 1ul, sizeof(*list));
	if (list == NULL)
		return no_memory(error);
	for (unsigned i = 0; i < policies->count; i++)
		list[i < place ? i : i + 1] = policies->list[i];
	ret = policy_make(policies, config, &list[place], error);
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

	if (place == policies->count)
		return no_policy(id, "id", error);
	list = calloc(policies->count, sizeof(*list));
	if (list == NULL)
		return no_memory(error);
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

// Counters of a tunnel's rules. Returns 0 or -ENOMEM.
static int hits_make(const struct td_tunnel_config *tunnel, struct td_dp_hits **hits)
{
	for (unsigned i = 0; i < tunnel->local_count * tunnel->remote_count; i++) {
		if (tunnel->local[i / tunnel->remote_count].ip.family !=
		    tunnel->remote[i % tunnel->remote_count].ip.family)
			continue;
		hits[i] = td_dp_hits_create();
		if (hits[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int places_make(const struct td_config *config, struct tunnel_hits *tunnels)
{
	size_t *first = calloc(config->tunnel_count + 1ul, sizeof(*first));

	*tunnels = (struct tunnel_hits){.first = first};
	if (first == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < config->tunnel_count; i++)
		first[i + 1] =
		    first[i] + (size_t)config->tunnels[i].local_count * config->tunnels[i].remote_count;
	tunnels->hits = calloc(first[config->tunnel_count] + 1, sizeof(struct td_dp_hits *));
	return tunnels->hits != NULL ? 0 : -ENOMEM;
}

static void places_free(struct tunnel_hits *tunnels)
{
	free(tunnels->hits);
	free(tunnels->first);
}

static int tunnel_hits_create(struct td_policies *policies, struct td_error *error)
{
	const struct td_config *config = policies->config;
	struct tunnel_hits *tunnels = &policies->tunnels;

	if (places_make(config, tunnels) < 0)
		return no_memory(error);
	for (unsigned t = 0; t < config->tunnel_count; t++)
		if (hits_make(&config->tunnels[t], &tunnels->hits[tunnels->first[t]]) < 0)
			return no_memory(error);
	return 0;
}

struct td_policies *td_policies_create(
    const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	struct td_policies *policies = calloc(1, sizeof(*policies));
	int ret;

	if (policies == NULL) {
		(void)no_memory(error);
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
	places_free(&policies->tunnels);
	free(policies->list);
	free(policies);
}

// ---- another configuration ----------------------------------------------------------------------

// What a change to another configuration would put in place of the present.
struct change {
	const struct td_config *config;
	const struct td_config_diff *diff;
	struct td_policy *list;
	unsigned count;
	bool *list_kept; // by position of the present list: its number and counter go on
	struct tunnel_hits tunnels;
};

static bool stays(const struct td_config_diff *diff, unsigned tunnel)
{
	return diff->tunnels[tunnel].before != TD_CONFIG_NO_TUNNEL && diff->tunnels[tunnel].in_place;
}

// A policy that was there before goes on counting.
static int policy_adopt(struct td_policies *policies, struct change *change,
    const struct td_policy_config *config, unsigned place, struct td_policy *policy)
{
	// Most stand where they stood.
	for (unsigned n = 0; n < policies->count; n++) {
		unsigned i = (place + n) % policies->count;

		if (change->list_kept[i] || !td_config_policy_equal(&policies->list[i].config, config))
			continue;
		change->list_kept[i] = true;
		*policy = policies->list[i];
		return 0;
	}
	return policy_make(policies, config, policy, NULL);
}

static int change_list(struct td_policies *policies, struct change *change)
{
	const struct td_config *config = change->config;
	int ret = 0;

	// What was changed while the daemon runs stays, as long as the file says of policies what it said.
	change->count = change->diff->policies ? config->policy_count : policies->count;
	change->list = calloc(change->count + 1ul, sizeof(*change->list));
	change->list_kept = calloc(policies->count + 1ul, sizeof(*change->list_kept));
	if (change->list == NULL || change->list_kept == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < change->count && ret == 0; i++) {
		if (change->diff->policies) {
			ret = policy_adopt(policies, change, &config->policies[i], i, &change->list[i]);
		} else {
			change->list[i] = policies->list[i];
			change->list_kept[i] = true;
		}
	}
	return ret;
}

static int change_tunnels(const struct td_policies *policies, struct change *change)
{
	const struct td_config *config = change->config;
	int ret = places_make(config, &change->tunnels);

	for (unsigned t = 0; t < config->tunnel_count && ret == 0; t++) {
		struct td_dp_hits **hits = &change->tunnels.hits[change->tunnels.first[t]];

		if (stays(change->diff, t))
			memcpy(hits,
			    &policies->tunnels.hits[policies->tunnels.first[change->diff->tunnels[t].before]],
			    (change->tunnels.first[t + 1] - change->tunnels.first[t]) *
			        sizeof(struct td_dp_hits *));
		else
			ret = hits_make(&config->tunnels[t], hits);
	}
	return ret;
}

static bool is_in(const struct td_policy *list, unsigned count, const struct td_dp_hits *hits)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i].hits == hits)
			return true;
	return false;
}

// Forgets a change that was not made.
static void change_undo(const struct td_policies *policies, struct change *change)
{
	for (unsigned i = 0; change->list != NULL && i < change->count; i++)
		if (!is_in(policies->list, policies->count, change->list[i].hits))
			td_dp_hits_remove(change->list[i].hits);
	for (unsigned t = 0; change->tunnels.hits != NULL && t < change->config->tunnel_count; t++)
		for (size_t i = change->tunnels.first[t];
		     !stays(change->diff, t) && i < change->tunnels.first[t + 1]; i++)
			td_dp_hits_remove(change->tunnels.hits[i]);
	free(change->list);
	free(change->list_kept);
	places_free(&change->tunnels);
}

// Forgets what a change has replaced.
static void change_take(struct td_policies *policies, struct change *change)
{
	for (unsigned i = 0; i < policies->count; i++)
		if (!change->list_kept[i])
			td_dp_hits_remove(policies->list[i].hits);
	for (unsigned i = 0; i < change->diff->tunnel_count; i++) {
		const struct td_config_tunnel_diff *tunnel = &change->diff->tunnels[i];

		if (tunnel->before == TD_CONFIG_NO_TUNNEL || tunnel->in_place)
			continue;
		for (size_t j = policies->tunnels.first[tunnel->before];
		     j < policies->tunnels.first[tunnel->before + 1]; j++)
			td_dp_hits_remove(policies->tunnels.hits[j]);
	}
	free(policies->list);
	places_free(&policies->tunnels);
	policies->list = change->list;
	policies->count = change->count;
	policies->tunnels = change->tunnels;
	free(change->list_kept);
}

int td_policies_change(struct td_policies *policies, const struct td_config *config,
    const struct td_config_diff *diff, struct td_error *error)
{
	struct change change = {.config = config, .diff = diff};
	int ret;

	if (change_list(policies, &change) < 0 || change_tunnels(policies, &change) < 0)
		ret = no_memory(error);
	else if (!diff->policies && !diff->order && !diff->added && !diff->removed && !diff->changed)
		ret = 0;
	else
		ret = publish(policies, config, &change.tunnels, change.list, change.count, error);
	if (ret == 0)
		change_take(policies, &change);
	else
		change_undo(policies, &change);
	return ret;
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

// SPDX-License-Identifier: BSD-3-Clause
// The policies of another configuration in place of the present ones.
#include "control/policies_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What a change to another configuration would put in place of the present.
struct change {
	const struct td_config *config;
	const struct td_config_diff *diff;
	struct td_policy *list;
	unsigned count;
	bool *list_kept; // by position of the present list: its number and counter go on
	struct td_tunnel_hits tunnels;
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
	return td_policies_make(policies, config, policy, NULL);
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
	int ret = td_tunnel_hits_places(config, &change->tunnels);

	for (unsigned t = 0; t < config->tunnel_count && ret == 0; t++) {
		struct td_dp_hits **hits = &change->tunnels.hits[change->tunnels.first[t]];

		if (stays(change->diff, t))
			memcpy(hits,
			    &policies->tunnels.hits[policies->tunnels.first[change->diff->tunnels[t].before]],
			    (change->tunnels.first[t + 1] - change->tunnels.first[t]) *
			        sizeof(struct td_dp_hits *));
		else
			ret = td_tunnel_hits_make(&config->tunnels[t], hits);
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
	td_tunnel_hits_free(&change->tunnels);
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
	td_tunnel_hits_free(&policies->tunnels);
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
		ret = td_policies_no_memory(error);
	else if (!diff->policies && !diff->order && !diff->added && !diff->removed && !diff->changed)
		ret = 0;
	else
		ret =
		    td_policies_publish(policies, config, &change.tunnels, change.list, change.count, error);
	if (ret == 0)
		change_take(policies, &change);
	else
		change_undo(policies, &change);
	return ret;
}

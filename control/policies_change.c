// SPDX-License-Identifier: BSD-3-Clause
// The policies of another configuration in place of the present ones.
#include "common/hash.h"
#include "control/job.h"
#include "control/policies_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What a change to another configuration would put in place of the present.
struct td_policies_change {
	const struct td_config *config;
	const struct td_config_diff *diff;
	struct td_policy *list;
	unsigned count;
	bool *list_kept; // by position of the present list: its number and counter go on
	bool *list_new; // by position of this list: its counter is
	struct td_hash_node *nodes; // by position of the present list
	struct td_hash by_config;
	struct td_tunnel_hits tunnels;
	// The classifier, made by a thread.
	struct td_policies *policies;
	struct td_job *job; // NULL: it is done, or need not be
	struct td_dp_policy *dp;
	unsigned dp_count;
	struct td_dp_policies *built; // NULL: the present one stays
	int result;
	struct td_error error;
	td_policies_done_fn done;
	void *done_context;
};

static bool stays(const struct td_config_diff *diff, unsigned tunnel)
{
	return diff->tunnels[tunnel].before != TD_CONFIG_NO_TUNNEL && diff->tunnels[tunnel].in_place;
}

// ---- the list -----------------------------------------------------------------------------------

static uint64_t address_hash(uint64_t hash, const struct td_ip *ip)
{
	for (unsigned i = 0; ip->family != 0 && i < td_ip_length(ip->family); i++)
		hash = td_hash_mix(hash + ip->bytes[i] + 1);
	return hash;
}

// Of equal policies the same.
static uint64_t policy_hash(const struct td_policy_config *config)
{
	uint64_t hash =
	    td_hash_mix((uint64_t)config->action << 16 | config->direction << 8 | config->protocol);

	hash = address_hash(address_hash(hash, &config->local.ip), &config->remote.ip);
	return td_hash_mix(hash + ((uint64_t)config->local_port_low << 16 | config->remote_port_low));
}

// Makes the present list found by what its policies say.
static int list_index(const struct td_policies *policies, struct td_policies_change *change)
{
	change->nodes = calloc(policies->count + 1ul, sizeof(*change->nodes));
	if (change->nodes == NULL || td_hash_reserve(&change->by_config, policies->count + 1ul) < 0)
		return -ENOMEM;
	// The first of equal ones is found first.
	for (unsigned i = policies->count; i-- > 0;)
		td_hash_link(&change->by_config, &change->nodes[i], policy_hash(&policies->list[i].config));
	return 0;
}

// A policy that was there before goes on counting.
static int policy_adopt(struct td_policies *policies, struct td_policies_change *change,
    const struct td_policy_config *config, unsigned place)
{
	struct td_policy *policy = &change->list[place];
	struct td_hash_node *node = td_hash_first(&change->by_config, policy_hash(config));
	int ret;

	for (; node != NULL; node = td_hash_next(node)) {
		size_t i = (size_t)(node - change->nodes);

		if (!td_config_policy_equal(&policies->list[i].config, config))
			continue;
		td_hash_unlink(&change->by_config, node); // each goes on once
		change->list_kept[i] = true;
		*policy = policies->list[i];
		return 0;
	}
	ret = td_policies_make(policies, config, policy, NULL);
	change->list_new[place] = ret == 0;
	return ret;
}

static int change_list(struct td_policies *policies, struct td_policies_change *change)
{
	const struct td_config *config = change->config;
	int ret = 0;

	// What was changed while the daemon runs stays, as long as the file says of policies what it said.
	change->count = change->diff->policies ? config->policy_count : policies->count;
	change->list = calloc(change->count + 1ul, sizeof(*change->list));
	change->list_kept = calloc(policies->count + 1ul, sizeof(*change->list_kept));
	change->list_new = calloc(change->count + 1ul, sizeof(*change->list_new));
	if (change->list == NULL || change->list_kept == NULL || change->list_new == NULL ||
	    (change->diff->policies && list_index(policies, change) < 0))
		return -ENOMEM;
	for (unsigned i = 0; i < change->count && ret == 0; i++) {
		if (change->diff->policies) {
			ret = policy_adopt(policies, change, &config->policies[i], i);
		} else {
			change->list[i] = policies->list[i];
			change->list_kept[i] = true;
		}
	}
	return ret;
}

static int change_tunnels(const struct td_policies *policies, struct td_policies_change *change)
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

// ---- building -----------------------------------------------------------------------------------

static void change_free(struct td_policies_change *change)
{
	change->policies->change = NULL;
	td_tunnel_hits_free(&change->tunnels);
	free(change->list);
	free(change->list_kept);
	free(change->list_new);
	free(change->nodes);
	td_hash_free(&change->by_config);
	free(change->dp);
	free(change);
}

static void build(void *context)
{
	struct td_policies_change *change = context;

	change->built = td_dp_policies_build(change->dp, change->dp_count, &change->result, &change->error);
}

static void built(void *context)
{
	struct td_policies_change *change = context;

	change->job = NULL;
	change->done(change->done_context, change->result, &change->error);
}

static bool is_another(const struct td_config_diff *diff)
{
	return diff->policies || diff->order || diff->added || diff->removed || diff->changed;
}

static int build_start(struct td_policies_change *change, struct td_loop *loop, struct td_error *error)
{
	const struct td_policies *policies = change->policies;

	if (!is_another(change->diff)) {
		change->done(change->done_context, 0, NULL);
		return 0;
	}
	change->dp = td_policies_collect(policies, change->config, &change->tunnels, change->list,
	    change->count, &change->dp_count, error);
	if (change->dp == NULL)
		return -ENOENT;
	change->job = td_job_start(loop, build, built, change);
	return change->job != NULL ? 0 : td_policies_no_memory(error);
}

int td_policies_change_prepare(struct td_policies *policies, struct td_loop *loop,
    const struct td_config *config, const struct td_config_diff *diff, td_policies_done_fn done,
    void *context, struct td_error *error)
{
	struct td_policies_change *change = calloc(1, sizeof(*change));
	int ret;

	if (change == NULL)
		return td_policies_no_memory(error);
	*change = (struct td_policies_change){
	    .config = config, .diff = diff, .policies = policies, .done = done, .done_context = context};
	policies->change = change;
	if (change_list(policies, change) < 0 || change_tunnels(policies, change) < 0)
		ret = td_policies_no_memory(error);
	else
		ret = build_start(change, loop, error);
	if (ret < 0)
		td_policies_change_forget(policies);
	return ret;
}

// ---- its end ------------------------------------------------------------------------------------

void td_policies_change_forget(struct td_policies *policies)
{
	struct td_policies_change *change = policies->change;

	if (change == NULL)
		return;
	td_job_wait(change->job);
	td_dp_policies_free(change->built);
	for (unsigned i = 0; change->list_new != NULL && i < change->count; i++)
		if (change->list_new[i])
			td_dp_hits_remove(change->list[i].hits);
	for (unsigned t = 0; change->tunnels.hits != NULL && t < change->config->tunnel_count; t++)
		for (size_t i = change->tunnels.first[t];
		     !stays(change->diff, t) && i < change->tunnels.first[t + 1]; i++)
			td_dp_hits_remove(change->tunnels.hits[i]);
	change_free(change);
}

void td_policies_change_take(struct td_policies *policies)
{
	struct td_policies_change *change = policies->change;

	if (change->built != NULL)
		td_dp_policies_publish(change->built);
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
	change->list = NULL;
	change->tunnels = (struct td_tunnel_hits){0};
	change_free(change);
}

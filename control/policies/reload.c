// SPDX-License-Identifier: BSD-3-Clause
// The policies of another configuration in place of the present ones.
#include "common/hash.h"
#include "control/policies/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- the list -----------------------------------------------------------------------------------

// Finds policies of the present list by what they say.
struct index {
	struct td_hash_node *nodes; // by position of the present list
	struct td_hash by_config;
};

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

static int index_make(const struct td_policies *policies, struct index *index)
{
	index->nodes = calloc(policies->count + 1ul, sizeof(*index->nodes));
	if (index->nodes == NULL || td_hash_reserve(&index->by_config, policies->count + 1ul) < 0)
		return -ENOMEM;
	// The first of equal ones is found first.
	for (unsigned i = policies->count; i-- > 0;)
		td_hash_link(&index->by_config, &index->nodes[i], policy_hash(&policies->list[i].config));
	return 0;
}

// The position of a policy that says the same, each only once; -1: there is none.
static ssize_t index_take(
    const struct td_policies *policies, struct index *index, const struct td_policy_config *config)
{
	struct td_hash_node *node = td_hash_first(&index->by_config, policy_hash(config));

	while (node != NULL && !td_config_policy_equal(&policies->list[node - index->nodes].config, config))
		node = td_hash_next(node);
	if (node == NULL)
		return -1;
	td_hash_unlink(&index->by_config, node);
	return node - index->nodes;
}

static void index_free(struct index *index)
{
	free(index->nodes);
	td_hash_free(&index->by_config);
}

// A policy that was there before goes on counting.
static int list_adopt(struct td_policies_change *change, struct index *index, struct td_error *error)
{
	struct td_policies *policies = change->policies;
	const struct td_config *config = change->config;
	int ret = index_make(policies, index) < 0 ? td_policies_no_memory(error) : 0;

	for (unsigned i = 0; i < config->policy_count && ret == 0; i++) {
		ssize_t present = index_take(policies, index, &config->policies[i]);

		if (present >= 0)
			td_policies_list_keep(change, i, (unsigned)present);
		else
			ret =
			    td_policies_list_new(change, i, &config->policies[i], ++policies->last_id, error);
	}
	return ret;
}

static int list_make(struct td_policies_change *change, struct td_error *error)
{
	const struct td_policies *policies = change->policies;
	struct index index = {0};
	int ret;

	if (change->diff->policies) {
		ret = td_policies_list_make(change, change->config->policy_count, error);
		if (ret == 0)
			ret = list_adopt(change, &index, error);
		index_free(&index);
		return ret;
	}
	// What was changed while the daemon runs stays, as long as the file says of policies what it said.
	ret = td_policies_list_make(change, policies->count, error);
	for (unsigned i = 0; i < policies->count && ret == 0; i++)
		td_policies_list_keep(change, i, i);
	return ret;
}

// ---- the tunnels' counters ------------------------------------------------------------------------

static bool stays(const struct td_config_diff *diff, unsigned tunnel)
{
	return diff->tunnels[tunnel].before != TD_CONFIG_NO_TUNNEL && diff->tunnels[tunnel].in_place;
}

static int tunnels_make(struct td_policies_change *change)
{
	const struct td_policies *policies = change->policies;
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

void td_policies_tunnels_take(struct td_policies_change *change)
{
	struct td_policies *policies = change->policies;

	for (unsigned i = 0; i < change->diff->tunnel_count; i++) {
		const struct td_config_tunnel_diff *tunnel = &change->diff->tunnels[i];

		if (tunnel->before == TD_CONFIG_NO_TUNNEL || tunnel->in_place)
			continue;
		for (size_t j = policies->tunnels.first[tunnel->before];
		     j < policies->tunnels.first[tunnel->before + 1]; j++)
			td_dp_hits_remove(policies->tunnels.hits[j]);
	}
	td_tunnel_hits_free(&policies->tunnels);
	policies->tunnels = change->tunnels;
	change->tunnels = (struct td_tunnel_hits){0};
}

void td_policies_tunnels_forget(struct td_policies_change *change)
{
	for (unsigned t = 0; change->tunnels.hits != NULL && t < change->config->tunnel_count; t++)
		for (size_t i = change->tunnels.first[t];
		     !stays(change->diff, t) && i < change->tunnels.first[t + 1]; i++)
			td_dp_hits_remove(change->tunnels.hits[i]);
}

// ---- the change -----------------------------------------------------------------------------------

static int reload_make(struct td_policies_change *change, struct td_error *error)
{
	const struct td_config_diff *diff = change->diff;
	int ret = list_make(change, error);

	if (ret == 0 && tunnels_make(change) < 0)
		ret = td_policies_no_memory(error);
	change->same = !(diff->policies || diff->order || diff->added || diff->removed || diff->changed);
	return ret;
}

int td_policies_change_prepare(struct td_policies *policies, const struct td_config *config,
    const struct td_config_diff *diff, const struct td_policies_user *user, struct td_error *error)
{
	struct td_policies_change *change;
	int ret = td_policies_change_create(policies, reload_make, user, &change, error);

	if (ret < 0)
		return ret;
	change->config = config;
	change->diff = diff;
	policies->reload = change;
	td_policies_change_queue(change);
	return 0;
}

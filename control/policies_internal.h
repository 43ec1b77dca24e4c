// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What policies.c and policies_change.c share with each other and with nobody else.

#include "control/policies.h"
#include "control/tunnel_hits.h"

struct td_policies {
	const struct td_config *config;
	const struct td_sad *sad;
	struct td_policy *list;
	unsigned count;
	uint32_t last_id;
	struct td_tunnel_hits tunnels;
	struct td_policies_change *change; // that is under way; NULL: none
};

// A list, and behind it the rules of a configuration's tunnels, as the data plane takes them; to be freed.
// Returns NULL and fills *error.
struct td_dp_policy *td_policies_collect(const struct td_policies *policies, const struct td_config *config,
    const struct td_tunnel_hits *tunnels, const struct td_policy *list, unsigned list_count, unsigned *count,
    struct td_error *error);
// Gives a policy its number and its counter. Returns 0, or -ENOMEM and fills *error.
int td_policies_make(struct td_policies *policies, const struct td_policy_config *config,
    struct td_policy *policy, struct td_error *error);
int td_policies_no_memory(struct td_error *error);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Ordered policies as an rte_acl context over struct td_policy_key.

#include "dataplane/publish.h"

#include <rte_acl.h>

// Builds the context of one direction and family (4 or 6) from policies that have been checked; *context is
// NULL when none is for it. What a key matches is the index of the first policy plus one. Control thread.
// Returns 0 or -errno, and then no context.
int td_policy_acl_build(const struct td_dp_policy *policies, unsigned count,
    enum td_policy_direction direction, uint8_t family, struct rte_acl_ctx **context);
// Whether the addresses of a policy are of a family; one without addresses is for both.
bool td_policy_acl_for(const struct td_dp_policy *policy, uint8_t family);

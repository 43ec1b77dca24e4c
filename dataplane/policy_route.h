// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Route-based tunnels: which tunnel protects a remote address where no policy says anything.

#include "dataplane/policy.h"
#include "dataplane/policy_key.h"

// For the keys whose rule is NULL: that of the longest prefix that covers their remote address, or still
// NULL. Any worker, inside a read-side section; the rules live until its end.
void td_policy_routes_find(
    const struct td_policy_key *keys, const struct td_policy_rule **rules, unsigned count);
// Control thread: removes all routes; call td_rcu_drain behind it.
void td_policy_route_fini(void);

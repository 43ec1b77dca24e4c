// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Route-based tunnels: which tunnel protects a remote address where no policy says anything.

#include "dataplane/policy.h"
#include "dataplane/policy_key.h"

// The rule of the longest prefix that covers the remote address of a key, NULL when there is none. Any
// worker, inside a read-side section; the rule lives until its end.
const struct td_policy_rule *td_policy_route_find(const struct td_policy_key *key);
// Control thread: removes all routes; call td_rcu_drain behind it.
void td_policy_route_fini(void);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What each worker remembers of its flows: the rule that a key met, so that the classifier is asked once for
// a flow and not for each packet. Tunnel routes are not remembered: they cost no more than this.

#include "common/limits.h"
#include "dataplane/policy.h"
#include "dataplane/policy_key.h"

#include <rte_common.h>
#include <stdalign.h>

struct td_policy_flow {
	alignas(RTE_CACHE_LINE_SIZE) struct td_policy_key key;
	uint64_t generation; // td_dp.policy_generation when the rule was found; 0: never
	const struct td_policy_rule *rule; // NULL: no rule matches
};

// One for each direction. Owner.
struct td_policy_flows {
	struct td_policy_flow flows[TD_POLICY_FLOWS];
};

// td_policy_lookup in the published policies, by this worker's memory. Owner, inside a read-side section.
struct td_worker;
void td_policy_find(struct td_worker *worker, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule **rules, unsigned count);

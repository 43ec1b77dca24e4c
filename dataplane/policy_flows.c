// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_flows.h"

#include "dataplane/policy_route.h"
#include "dataplane/worker.h"

#include <rte_hash_crc.h>

_Static_assert(sizeof(struct td_policy_flow) == RTE_CACHE_LINE_SIZE, "a flow is one line");
_Static_assert((TD_POLICY_FLOWS & (TD_POLICY_FLOWS - 1)) == 0, "the hash is masked");

static inline struct td_policy_flow *flow_at(struct td_policy_flows *flows, const struct td_policy_key *key)
{
	// Words of IPv4 keys that are zero come beside one that is not.
	uint32_t hash = rte_hash_crc_8byte(key->words[0] ^ key->words[1], 0);

	hash = rte_hash_crc_8byte(key->words[2] ^ key->words[3], hash);
	hash = rte_hash_crc_8byte(key->words[4], hash);
	return &flows->flows[hash & (TD_POLICY_FLOWS - 1)];
}

static inline bool key_equal(const struct td_policy_key *a, const struct td_policy_key *b)
{
	uint64_t difference = 0;

#pragma GCC unroll 5
	for (unsigned i = 0; i < RTE_DIM(a->words); i++)
		difference |= a->words[i] ^ b->words[i];
	return difference == 0;
}

// Flows that are new, or were met before the policies changed.
static void flows_learn(const struct td_policy_set *set, bool outbound, uint64_t generation,
    const struct td_policy_key *keys, struct td_policy_flow *const *flows,
    const struct td_policy_rule **rules, const uint8_t *places, unsigned count)
{
	struct td_policy_key missed[TD_BURST];
	const struct td_policy_rule *found[TD_BURST];

	for (unsigned i = 0; i < count; i++)
		missed[i] = keys[places[i]];
	td_policy_match(set, outbound, missed, found, count);
	for (unsigned i = 0; i < count; i++) {
		struct td_policy_flow *flow = flows[places[i]];

		rules[places[i]] = found[i];
		*flow = (struct td_policy_flow){missed[i], generation, found[i]};
	}
}

// By the flows where the set has rules, else only by tunnel routes.
static __rte_always_inline void rules_find(const struct td_policy_set *set, bool outbound,
    uint64_t generation, const struct td_policy_key *keys, struct td_policy_flow *const *places,
    const struct td_policy_rule **rules, unsigned count)
{
	uint8_t missed[TD_BURST];
	unsigned missed_count = 0;

	for (unsigned i = 0; i < count; i++) {
		rules[i] = places[i]->rule;
		if (unlikely(places[i]->generation != generation || !key_equal(&places[i]->key, &keys[i])))
			missed[missed_count++] = (uint8_t)i;
	}
	if (missed_count)
		flows_learn(set, outbound, generation, keys, places, rules, missed, missed_count);
}

static inline bool all_found(const struct td_policy_rule *const *rules, unsigned count)
{
	bool found = true;

	for (unsigned i = 0; i < count; i++)
		found &= rules[i] != NULL;
	return found;
}

void td_policy_find(struct td_worker *worker, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule **rules, unsigned count)
{
	// Both pair with the releases in policy.c. The generation comes first: the set is at least as new, so
	// that a rule of an older set is never remembered under a newer generation.
	uint64_t generation = __atomic_load_n(&td_dp.policy_generation, __ATOMIC_ACQUIRE);
	const struct td_policy_set *set = __atomic_load_n(&td_dp.policies, __ATOMIC_ACQUIRE);
	struct td_policy_flows *flows = &worker->flows[outbound];
	bool remember = set && set->count;
	struct td_policy_flow *places[TD_BURST];
	struct td_policy_key keys[TD_BURST];

	for (unsigned i = 0; i < count; i++) {
		td_policy_key_fill(&keys[i], mbufs[i], outbound);
		rules[i] = NULL;
		places[i] = flow_at(flows, &keys[i]);
		if (remember)
			rte_prefetch0(places[i]);
	}
	if (remember)
		rules_find(set, outbound, generation, keys, places, rules, count);
	if (unlikely(!all_found(rules, count)))
		td_policy_routes_find(keys, rules, count);
}

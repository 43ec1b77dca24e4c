// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_flows.h"

#include "dataplane/policy_route.h"
#include "dataplane/worker.h"

#include <rte_hash_crc.h>

#define KEY_WORDS (sizeof(struct td_policy_key) / sizeof(uint64_t))
_Static_assert(sizeof(struct td_policy_key) % sizeof(uint64_t) == 0, "keys are compared by words");
_Static_assert(sizeof(struct td_policy_flow) == RTE_CACHE_LINE_SIZE, "a flow is one line");
_Static_assert((TD_POLICY_FLOWS & (TD_POLICY_FLOWS - 1)) == 0, "the hash is masked");

static inline struct td_policy_flow *flow_at(struct td_policy_flows *flows, const struct td_policy_key *key)
{
	uint64_t words[KEY_WORDS];

	// Words of IPv4 keys that are zero come beside one that is not.
	memcpy(words, key, sizeof(words));
	uint32_t hash = rte_hash_crc_8byte(words[0] ^ words[1], 0);
	hash = rte_hash_crc_8byte(words[2] ^ words[3], hash);
	hash = rte_hash_crc_8byte(words[4], hash);
	return &flows->flows[hash & (TD_POLICY_FLOWS - 1)];
}

static inline bool key_equal(const struct td_policy_key *a, const struct td_policy_key *b)
{
	uint64_t x[KEY_WORDS], y[KEY_WORDS], difference = 0;

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	for (unsigned i = 0; i < KEY_WORDS; i++)
		difference |= x[i] ^ y[i];
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

static void rules_find(struct td_policy_flows *flows, const struct td_policy_set *set, bool outbound,
    uint64_t generation, const struct td_policy_key *keys, const struct td_policy_rule **rules,
    unsigned count)
{
	struct td_policy_flow *places[TD_BURST];
	uint8_t missed[TD_BURST];
	unsigned missed_count = 0;

	for (unsigned i = 0; i < count; i++) {
		places[i] = flow_at(flows, &keys[i]);
		rte_prefetch0(places[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		if (likely(places[i]->generation == generation && key_equal(&places[i]->key, &keys[i])))
			rules[i] = places[i]->rule;
		else
			missed[missed_count++] = (uint8_t)i;
	}
	if (missed_count)
		flows_learn(set, outbound, generation, keys, places, rules, missed, missed_count);
}

void td_policy_find(struct td_worker *worker, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule **rules, unsigned count)
{
	// Both pair with the releases in policy.c. The generation comes first: the set is at least as new, so
	// that a rule of an older set is never remembered under a newer generation.
	uint64_t generation = __atomic_load_n(&td_dp.policy_generation, __ATOMIC_ACQUIRE);
	const struct td_policy_set *set = __atomic_load_n(&td_dp.policies, __ATOMIC_ACQUIRE);
	struct td_policy_key keys[TD_BURST];

	for (unsigned i = 0; i < count; i++) {
		td_policy_key_fill(&keys[i], mbufs[i], outbound);
		rules[i] = NULL;
	}
	if (set && set->count)
		rules_find(&worker->flows[outbound], set, outbound, generation, keys, rules, count);
	for (unsigned i = 0; i < count; i++)
		if (!rules[i] && keys[i].family)
			rules[i] = td_policy_route_find(&keys[i]);
}

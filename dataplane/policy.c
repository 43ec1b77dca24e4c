// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy.h"

#include "dataplane/policy_acl.h"
#include "dataplane/policy_hits.h"
#include "dataplane/policy_key.h"
#include "dataplane/policy_route.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

// ---- matching, any worker
// -------------------------------------------------------------------------

// Finds the rules of the keys of one family; the other's results stay as they
// are.
static void family_classify(struct rte_acl_ctx *context, const struct td_policy_key *keys, uint8_t family,
    uint32_t *results, unsigned count)
{
	const uint8_t *data[TD_BURST];
	uint32_t found[TD_BURST] = {0};
	uint8_t places[TD_BURST];
	unsigned used = 0;

	if (!context)
		return;
	for (unsigned i = 0; i < count; i++)
		if (keys[i].family == family) {
			places[used] = (uint8_t)i;
			data[used++] = (const uint8_t *)&keys[i];
		}
	if (used == 0)
		return;
	rte_acl_classify(context, data, found, used, 1);
	for (unsigned i = 0; i < used; i++)
		results[places[i]] = found[i];
}

void td_policy_match(const struct td_policy_set *set, bool outbound, const struct td_policy_key *keys,
    const struct td_policy_rule **rules, unsigned count)
{
	uint32_t results[TD_BURST] = {0};

	family_classify(set->ipv4[outbound], keys, 4, results, count);
	family_classify(set->ipv6[outbound], keys, 6, results, count);
	// A rule's userdata is its index plus one; 0 is rte_acl's "no match".
	for (unsigned i = 0; i < count; i++)
		rules[i] = results[i] ? &set->rules[results[i] - 1] : NULL;
}

void td_policy_lookup(const struct td_policy_set *set, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule **rules, unsigned count)
{
	struct td_policy_key keys[TD_BURST];

	for (unsigned i = 0; i < count; i++) {
		td_policy_key_fill(&keys[i], mbufs[i], outbound);
		rules[i] = NULL;
	}
	if (set && count)
		td_policy_match(set, outbound, keys, rules, count);
	td_policy_routes_find(keys, rules, count);
}

// ---- checking, control thread
// ---------------------------------------------------------------------

// The side is "local" or "remote". Returns what is wrong, or NULL.
static const char *side_check(const struct td_prefix *prefix, const struct td_ip *high)
{
	uint8_t family = prefix->ip.family;

	if (family == 0)
		return high->family ? "has a last address but no first one" : NULL;
	if (family != 4 && family != 6)
		return "is of no known address family";
	if (prefix->length > 8 * td_ip_length(family))
		return "has a longer prefix than addresses are";
	if (high->family == 0)
		return NULL;
	if (high->family != family)
		return "mixes IPv4 and IPv6 in one range";
	return memcmp(prefix->ip.bytes, high->bytes, td_ip_length(family)) > 0
	           ? "is a range whose first address is greater than the last"
	           : NULL;
}

static bool is_any(uint16_t low, uint16_t high)
{
	return low == 0 && high == UINT16_MAX;
}

static const char *ports_check(const struct td_dp_policy *policy, uint16_t low, uint16_t high)
{
	uint8_t family = policy->protocol == IPPROTO_ICMP ? 4 : policy->protocol == IPPROTO_ICMPV6 ? 6 : 0;

	if (low > high)
		return "is a range whose first number is greater than the last";
	if (is_any(low, high))
		return NULL;
	if (family)
		return td_policy_acl_for(policy, family) ? NULL : "is of ICMP of the other address family";
	if (!td_policy_has_ports(policy->protocol))
		return "needs protocol tcp, udp, sctp, icmp or icmpv6";
	return low == 0 ? "begins with 0, which is no port" : NULL;
}

// Names the field that is wrong and says why; NULL when none is.
static const char *policy_check(const struct td_dp_policy *policy, const char **field)
{
	uint8_t local = policy->local.ip.family, remote = policy->remote.ip.family;
	const char *reason;

	*field = "local";
	if ((reason = side_check(&policy->local, &policy->local_high)))
		return reason;
	*field = "remote";
	if ((reason = side_check(&policy->remote, &policy->remote_high)))
		return reason;
	if (local && remote && local != remote)
		return "is not of the same address family as local";
	*field = "local_port";
	if ((reason = ports_check(policy, policy->local_port_low, policy->local_port_high)))
		return reason;
	*field = "remote_port";
	if ((reason = ports_check(policy, policy->remote_port_low, policy->remote_port_high)))
		return reason;
	*field = "direction";
	if ((policy->directions & TD_POLICY_BOTH) == 0)
		return "is missing";
	*field = "tunnel";
	if ((policy->action == TD_POLICY_PROTECT) != (policy->tunnel != NULL))
		return "is for action protect, and needed by it";
	return NULL;
}

// ---- building, any thread; publishing, control thread
// ---------------------------------------------------------------------

static void set_free(struct td_policy_set *set)
{
	for (unsigned outbound = 0; outbound < 2; outbound++) {
		// Both directions may share the context.
		if (outbound == 0 || set->ipv4[1] != set->ipv4[0])
			rte_acl_free(set->ipv4[outbound]);
		if (outbound == 0 || set->ipv6[1] != set->ipv6[0])
			rte_acl_free(set->ipv6[outbound]);
	}
	free(set);
}

static void set_release(struct td_retired *retired)
{
	set_free(RTE_PTR_SUB(retired, offsetof(struct td_policy_set, retired)));
}

// Swaps the published set. Pairs with the acquire loads of the stages.
static void set_publish(struct td_policy_set *set)
{
	struct td_policy_set *old = td_dp.policies;

	__atomic_store_n(&td_dp.policies, set, __ATOMIC_RELEASE);
	// Pairs with the acquire in policy_flows.c: who sees it sees the new set, and trusts no rule that was
	// found before. Behind the grace period that the retirement starts all do.
	__atomic_store_n(&td_dp.policy_generation, td_dp.policy_generation + 1, __ATOMIC_RELEASE);
	if (old)
		td_rcu_retire(&old->retired, set_release);
}

// Whether both directions have the same rules. Then they share the contexts,
// whose building takes seconds when there are 10,000 policies.
static bool is_symmetric(const struct td_dp_policy *policies, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		bool icmp = policies[i].protocol == IPPROTO_ICMP || policies[i].protocol == IPPROTO_ICMPV6;

		if (policies[i].directions != TD_POLICY_BOTH || icmp)
			return false;
	}
	return true;
}

static int set_build(struct td_policy_set *set, const struct td_dp_policy *policies, unsigned count)
{
	set->count = count;
	for (unsigned i = 0; i < count; i++)
		set->rules[i] = (struct td_policy_rule){
		    .action = policies[i].action,
		    .hits = td_policy_hits_number(policies[i].hits),
		    .tunnel = policies[i].tunnel,
		    .ports = !is_any(policies[i].local_port_low, policies[i].local_port_high) ||
		             !is_any(policies[i].remote_port_low, policies[i].remote_port_high),
		};
	int result = td_policy_acl_build(policies, count, TD_POLICY_IN, 4, &set->ipv4[0]);
	if (result == 0)
		result = td_policy_acl_build(policies, count, TD_POLICY_IN, 6, &set->ipv6[0]);
	if (result)
		return result;
	if (is_symmetric(policies, count)) {
		set->ipv4[1] = set->ipv4[0];
		set->ipv6[1] = set->ipv6[0];
		return 0;
	}
	result = td_policy_acl_build(policies, count, TD_POLICY_OUT, 4, &set->ipv4[1]);
	return result ? result : td_policy_acl_build(policies, count, TD_POLICY_OUT, 6, &set->ipv6[1]);
}

// A set is what is built; the name is for those who know nothing of it.
static struct td_policy_set *set_of(struct td_dp_policies *built)
{
	return (struct td_policy_set *)built;
}

struct td_dp_policies *td_dp_policies_build(
    const struct td_dp_policy *policies, unsigned count, int *result, struct td_error *error)
{
	for (unsigned i = 0; i < count; i++) {
		const char *field, *reason = policy_check(&policies[i], &field);
		char object[32];

		snprintf(object, sizeof(object), "policy %u", i);
		if (reason) {
			*result = td_error_set(error, -EINVAL, object, field, "%s", reason);
			return NULL;
		}
	}
	struct td_policy_set *set = calloc(1, sizeof(*set) + count * sizeof(set->rules[0]));
	if (!set) {
		*result = td_error_set(error, -ENOMEM, "policy", "", "out of memory");
		return NULL;
	}
	*result = set_build(set, policies, count);
	if (*result == 0)
		return (struct td_dp_policies *)set;
	set_free(set);
	(void)td_error_set(
	    error, *result, "policy", "", "cannot build the classifier: %s", strerror(-*result));
	return NULL;
}

void td_dp_policies_publish(struct td_dp_policies *built)
{
	set_publish(set_of(built));
}

void td_dp_policies_free(struct td_dp_policies *built)
{
	if (built)
		set_free(set_of(built));
}

int td_dp_policy_set(const struct td_dp_policy *policies, unsigned count, struct td_error *error)
{
	int result;
	struct td_dp_policies *built = td_dp_policies_build(policies, count, &result, error);

	if (built)
		td_dp_policies_publish(built);
	return result;
}

void td_policy_fini(void)
{
	set_publish(NULL);
	td_policy_route_fini();
}

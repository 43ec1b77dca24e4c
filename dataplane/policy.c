// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy.h"

#include "dataplane/packet.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

enum { FIELD_PROTOCOL, FIELD_LOCAL, FIELD_REMOTE, FIELD_LOCAL_PORT, FIELD_REMOTE_PORT, FIELDS };

static const struct rte_acl_field_def field_defs[FIELDS] = {
    {RTE_ACL_FIELD_TYPE_BITMASK, 1, FIELD_PROTOCOL, 0, offsetof(struct td_policy_key, protocol)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, FIELD_LOCAL, 1, offsetof(struct td_policy_key, local)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, FIELD_REMOTE, 2, offsetof(struct td_policy_key, remote)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, FIELD_LOCAL_PORT, 3, offsetof(struct td_policy_key, local_port)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, FIELD_REMOTE_PORT, 3, offsetof(struct td_policy_key, remote_port)},
};

RTE_ACL_RULE_DEF(acl_rule, FIELDS);

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

void td_policy_key_fill(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	unsigned header = rte_ipv4_hdr_len(ip);
	rte_be16_t ports[2] = {0, 0};

	// A fragment behind the first has no ports; it then matches rules for any port only (RFC 4301 7.1).
	if (has_ports(ip->next_proto_id) &&
	    !(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) &&
	    mbuf->data_len >= header + sizeof(ports))
		memcpy(ports, rte_pktmbuf_mtod_offset(mbuf, const void *, header), sizeof(ports));
	*key = (struct td_policy_key){
	    .protocol = ip->next_proto_id,
	    .local = outbound ? ip->src_addr : ip->dst_addr,
	    .remote = outbound ? ip->dst_addr : ip->src_addr,
	    .local_port = outbound ? ports[0] : ports[1],
	    .remote_port = outbound ? ports[1] : ports[0],
	};
}

void td_policy_classify(const struct td_policy_set *set, bool outbound, const struct td_policy_key *keys,
    const struct td_policy_rule **rules, unsigned count)
{
	struct rte_acl_ctx *context = set ? (outbound ? set->out : set->in) : NULL;
	const uint8_t *data[TD_BURST];
	uint32_t results[TD_BURST] = {0};

	for (unsigned i = 0; i < count; i++)
		data[i] = (const uint8_t *)&keys[i];
	if (context)
		rte_acl_classify(context, data, results, count, 1);
	// A rule's userdata is its index plus one; 0 is rte_acl's "no match".
	for (unsigned i = 0; i < count; i++)
		rules[i] = results[i] ? &set->rules[results[i] - 1] : NULL;
}

// ---- building, control thread -----------------------------------------------------------------

static void rule_prefix(struct rte_acl_field *field, const struct td_prefix *prefix)
{
	if (prefix->ip.family == 4) {
		field->value.u32 = td_ip_v4(&prefix->ip);
		field->mask_range.u32 = prefix->length;
	}
}

static void rule_ports(struct rte_acl_field *field, uint16_t low, uint16_t high)
{
	field->value.u16 = low;
	field->mask_range.u16 = high;
}

static void rule_fill(struct acl_rule *rule, const struct td_dp_policy *policy, unsigned index)
{
	*rule = (struct acl_rule){.data = {
	                              .category_mask = 1,
	                              .priority = RTE_ACL_MAX_PRIORITY - (int32_t)index, // the first wins
	                              .userdata = index + 1,
	                          }};
	rule->field[FIELD_PROTOCOL].value.u8 = policy->protocol;
	rule->field[FIELD_PROTOCOL].mask_range.u8 = policy->protocol ? 0xff : 0;
	rule_prefix(&rule->field[FIELD_LOCAL], &policy->local);
	rule_prefix(&rule->field[FIELD_REMOTE], &policy->remote);
	rule_ports(&rule->field[FIELD_LOCAL_PORT], policy->local_port_low, policy->local_port_high);
	rule_ports(&rule->field[FIELD_REMOTE_PORT], policy->remote_port_low, policy->remote_port_high);
}

// Builds the context of one direction; *context stays NULL when no policy has it. Returns 0 or -errno.
static int context_build(const struct td_dp_policy *policies, unsigned count,
    enum td_policy_direction direction, struct rte_acl_ctx **context)
{
	static unsigned serial; // rte_acl finds contexts by name
	char name[RTE_ACL_NAMESIZE];
	unsigned rules = 0;

	for (unsigned i = 0; i < count; i++)
		rules += (policies[i].directions & direction) != 0;
	if (rules == 0)
		return 0;
	snprintf(name, sizeof(name), "policy%u", serial++);
	struct rte_acl_param param = {
	    .name = name,
	    .socket_id = SOCKET_ID_ANY,
	    .rule_size = RTE_ACL_RULE_SZ(FIELDS),
	    .max_rule_num = rules,
	};
	*context = rte_acl_create(&param);
	if (!*context)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		struct acl_rule rule;

		if (!(policies[i].directions & direction))
			continue;
		rule_fill(&rule, &policies[i], i);
		int result = rte_acl_add_rules(*context, (struct rte_acl_rule *)&rule, 1);
		if (result)
			return result;
	}
	struct rte_acl_config config = {.num_categories = 1, .num_fields = FIELDS};
	memcpy(config.defs, field_defs, sizeof(field_defs));
	return rte_acl_build(*context, &config);
}

static void set_free(struct td_policy_set *set)
{
	rte_acl_free(set->out);
	rte_acl_free(set->in);
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
	if (old)
		td_rcu_retire(&old->retired, set_release);
}

static int policy_check(const struct td_dp_policy *policy, struct td_error *error)
{
	bool any_port = policy->local_port_low == 0 && policy->local_port_high == UINT16_MAX &&
	                policy->remote_port_low == 0 && policy->remote_port_high == UINT16_MAX;

	if (policy->local.ip.family == 6 || policy->remote.ip.family == 6)
		return td_error_set(
		    error, -ENOTSUP, "policy", "local", "IPv6 is not supported in this version");
	if (!any_port && !has_ports(policy->protocol))
		return td_error_set(
		    error, -EINVAL, "policy", "protocol", "ports need protocol tcp, udp or sctp");
	if ((policy->action == TD_POLICY_PROTECT) != (policy->tunnel != NULL))
		return td_error_set(
		    error, -EINVAL, "policy", "tunnel", "is for action protect, and needed by it");
	return 0;
}

int td_dp_policy_set(const struct td_dp_policy *policies, unsigned count, struct td_error *error)
{
	for (unsigned i = 0; i < count; i++) {
		int result = policy_check(&policies[i], error);

		if (result)
			return result;
	}
	struct td_policy_set *set = calloc(1, sizeof(*set) + count * sizeof(set->rules[0]));
	if (!set)
		return td_error_set(error, -ENOMEM, "policy", "", "out of memory");
	set->count = count;
	for (unsigned i = 0; i < count; i++)
		set->rules[i] = (struct td_policy_rule){policies[i].action, policies[i].tunnel};
	int result = context_build(policies, count, TD_POLICY_OUT, &set->out);
	if (result == 0)
		result = context_build(policies, count, TD_POLICY_IN, &set->in);
	if (result) {
		set_free(set);
		return td_error_set(
		    error, result, "policy", "", "cannot build the classifier: %s", strerror(-result));
	}
	set_publish(set);
	return 0;
}

void td_policy_fini(void)
{
	set_publish(NULL);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_acl.h"

#include "dataplane/policy_key.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

// Fields: the protocol, the words of both addresses (one for IPv4, four for IPv6), two ports.
#define FIELDS_MAX 11
#define LOCAL_FIELD 1

RTE_ACL_RULE_DEF(acl_rule, FIELDS_MAX);

// A range of addresses as a product of ranges of words, as rte_acl takes them.
struct box {
	uint32_t low[4], high[4];
};
// From first to last there are at most a partial block of each size on either side and one in the middle.
#define BOXES_MAX 7

__extension__ typedef unsigned __int128 address; // IPv4 in the lowest 32 bits

struct addresses {
	address low, high;
};

// ---- address ranges -----------------------------------------------------------------------------

static address address_read(const struct td_ip *ip)
{
	address value = 0;

	for (unsigned i = 0; i < td_ip_length(ip->family); i++)
		value = value << 8 | ip->bytes[i];
	return value;
}

// The largest offset in a block of so many bits, at most 128.
static address ones(unsigned bits)
{
	return bits == 128 ? ~(address)0 : ((address)1 << bits) - 1;
}

static struct addresses addresses_of(const struct td_prefix *prefix, const struct td_ip *high, uint8_t family)
{
	unsigned bits = td_ip_length(family) * 8;

	if (prefix->ip.family == 0)
		return (struct addresses){0, ones(bits)};
	if (high->family != 0)
		return (struct addresses){address_read(&prefix->ip), address_read(high)};
	address host = ones(bits - prefix->length);
	address low = address_read(&prefix->ip) & ~host;
	return (struct addresses){low, low | host};
}

static uint32_t word(address value, unsigned shift)
{
	return (uint32_t)(value >> shift);
}

// Cuts off the largest box that begins where the range does: one word has a range, those above it one value,
// those below it any. Returns the last address in it.
static address box_cut(const struct addresses *range, struct box *box)
{
	unsigned shift = 96;

	while (shift > 0 && ((range->low & ones(shift)) != 0 || range->high - range->low < ones(shift)))
		shift -= 32;
	address more = (range->high - range->low - ones(shift)) >> shift; // blocks of the word, but the first
	uint32_t room = UINT32_MAX - word(range->low, shift);
	address last = range->low + ((more < room ? more : room) << shift) + ones(shift);
	for (unsigned i = 0; i < 4; i++) {
		box->low[i] = word(range->low, 96 - 32 * i);
		box->high[i] = word(last, 96 - 32 * i);
	}
	return last;
}

static unsigned boxes_make(struct addresses range, struct box boxes[BOXES_MAX])
{
	for (unsigned count = 0;; range.low++) {
		range.low = box_cut(&range, &boxes[count++]);
		if (range.low == range.high)
			return count;
	}
}

// ---- rules ----------------------------------------------------------------------------------------

static unsigned family_words(uint8_t family)
{
	return family == 4 ? 1 : 4;
}

static unsigned family_fields(uint8_t family)
{
	return LOCAL_FIELD + 2 * family_words(family) + 2;
}

static struct rte_acl_config config_make(uint8_t family)
{
	unsigned words = family_words(family), fields = family_fields(family);
	struct rte_acl_config config = {.num_categories = 1, .num_fields = fields};

	config.defs[0] = (struct rte_acl_field_def){
	    RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(struct td_policy_key, protocol)};
	for (unsigned i = 0; i < 2 * words; i++) {
		size_t side = i < words ? offsetof(struct td_policy_key, local)
		                        : offsetof(struct td_policy_key, remote);

		config.defs[LOCAL_FIELD + i] = (struct rte_acl_field_def){RTE_ACL_FIELD_TYPE_RANGE, 4,
		    (uint8_t)(LOCAL_FIELD + i), (uint8_t)(1 + i), (uint32_t)(side + i % words * 4)};
	}
	// Both ports are in one group of four bytes.
	for (unsigned i = 0; i < 2; i++)
		config.defs[fields - 2 + i] =
		    (struct rte_acl_field_def){RTE_ACL_FIELD_TYPE_RANGE, 2, (uint8_t)(fields - 2 + i),
		        (uint8_t)(1 + 2 * words), (uint32_t)(offsetof(struct td_policy_key, ports) + i * 2)};
	return config;
}

static void field_ports(struct rte_acl_field *field, uint16_t low, uint16_t high)
{
	field->value.u16 = low;
	field->mask_range.u16 = high;
}

static void rule_ports(
    struct rte_acl_field fields[2], const struct td_dp_policy *policy, enum td_policy_direction direction)
{
	bool icmp = policy->protocol == IPPROTO_ICMP || policy->protocol == IPPROTO_ICMPV6;
	bool sent = direction == TD_POLICY_OUT;
	uint16_t low = sent ? policy->local_port_low : policy->remote_port_low;
	uint16_t high = sent ? policy->local_port_high : policy->remote_port_high;

	if (!icmp) {
		field_ports(&fields[0], policy->local_port_low, policy->local_port_high);
		field_ports(&fields[1], policy->remote_port_low, policy->remote_port_high);
		return;
	}
	bool any = low == 0 && high == UINT16_MAX;
	field_ports(&fields[0], low, high);
	field_ports(&fields[1], any ? 0 : TD_POLICY_ICMP_SHOWN, any ? UINT16_MAX : TD_POLICY_ICMP_SHOWN);
}

static void rule_addresses(struct rte_acl_field *fields, const struct box *box, unsigned words)
{
	for (unsigned i = 0; i < words; i++) {
		fields[i].value.u32 = box->low[4 - words + i];
		fields[i].mask_range.u32 = box->high[4 - words + i];
	}
}

// Adds the rules of a policy, one for each pair of boxes.
static int policy_add(struct rte_acl_ctx *context, const struct td_dp_policy *policy, unsigned index,
    enum td_policy_direction direction, uint8_t family)
{
	unsigned words = family_words(family), fields = family_fields(family);
	struct box local[BOXES_MAX], remote[BOXES_MAX];
	unsigned locals = boxes_make(addresses_of(&policy->local, &policy->local_high, family), local);
	unsigned remotes = boxes_make(addresses_of(&policy->remote, &policy->remote_high, family), remote);
	struct acl_rule rule = {.data = {
	                            .category_mask = 1,
	                            .priority = RTE_ACL_MAX_PRIORITY - (int32_t)index, // the first wins
	                            .userdata = index + 1,
	                        }};

	rule.field[0].value.u8 = policy->protocol;
	rule.field[0].mask_range.u8 = policy->protocol ? 0xff : 0;
	rule_ports(&rule.field[fields - 2], policy, direction);
	for (unsigned i = 0; i < locals * remotes; i++) {
		rule_addresses(&rule.field[LOCAL_FIELD], &local[i / remotes], words);
		rule_addresses(&rule.field[LOCAL_FIELD + words], &remote[i % remotes], words);
		int result = rte_acl_add_rules(context, (struct rte_acl_rule *)&rule, 1);
		if (result)
			return result;
	}
	return 0;
}

static unsigned policy_rules(const struct td_dp_policy *policy, uint8_t family)
{
	struct box boxes[BOXES_MAX];

	return boxes_make(addresses_of(&policy->local, &policy->local_high, family), boxes) *
	       boxes_make(addresses_of(&policy->remote, &policy->remote_high, family), boxes);
}

// ---- building -------------------------------------------------------------------------------------

bool td_policy_acl_for(const struct td_dp_policy *policy, uint8_t family)
{
	uint8_t own = policy->local.ip.family ? policy->local.ip.family : policy->remote.ip.family;

	return own == 0 || own == family;
}

static bool wanted(const struct td_dp_policy *policy, enum td_policy_direction direction, uint8_t family)
{
	return (policy->directions & direction) && td_policy_acl_for(policy, family);
}

static struct rte_acl_ctx *context_create(uint8_t family, unsigned rules)
{
	static unsigned serial; // rte_acl finds contexts by name. Any thread
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = {
	    .name = name,
	    .socket_id = SOCKET_ID_ANY,
	    .rule_size = RTE_ACL_RULE_SZ(family_fields(family)),
	    .max_rule_num = rules,
	};

	snprintf(name, sizeof(name), "policy%u", __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
	return rte_acl_create(&param);
}

int td_policy_acl_build(const struct td_dp_policy *policies, unsigned count,
    enum td_policy_direction direction, uint8_t family, struct rte_acl_ctx **context)
{
	struct rte_acl_config config = config_make(family);
	unsigned rules = 0;
	int result = 0;

	*context = NULL;
	for (unsigned i = 0; i < count; i++)
		if (wanted(&policies[i], direction, family))
			rules += policy_rules(&policies[i], family);
	if (rules == 0)
		return 0;
	*context = context_create(family, rules);
	if (!*context)
		return -ENOMEM;
	for (unsigned i = 0; i < count && result == 0; i++)
		if (wanted(&policies[i], direction, family))
			result = policy_add(*context, &policies[i], i, direction, family);
	if (result == 0)
		result = rte_acl_build(*context, &config);
	if (result) {
		rte_acl_free(*context);
		*context = NULL;
	}
	return result;
}

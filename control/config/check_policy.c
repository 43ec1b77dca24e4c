// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/check.h"
#include "control/config/policies.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int compare_text(const void *left, const void *right)
{
	const struct td_config_named *a = left, *b = right;

	return strcmp(a->text, b->text);
}

// Packets keep their header in transport mode: only those between the outer addresses can go through it.
static void check_policy_transport(const struct td_config_check *check, config_setting_t *group,
    const char *key, const struct td_prefix *prefix, const struct td_ip *high, const struct td_ip *outer)
{
	bool single = high->family ? td_ip_equal(&prefix->ip, high)
	                           : prefix->length == 8 * td_ip_length(prefix->ip.family);
	char text[TD_IP_TEXT_MAX];

	if (!outer->family || !td_config_key_sound(group, key) ||
	    (prefix->ip.family && single && td_ip_equal(&prefix->ip, outer)))
		return;
	td_config_report_key(check->report, group, key,
	    "is not the tunnel's %s_address; allowed with a tunnel of mode \"transport\" is \"%s\" alone",
	    key, td_ip_format(outer, text));
}

static void check_policy_tunnel(const struct td_config_check *check, config_setting_t *group,
    const struct td_policy_config *policy, const struct td_config_named *tunnels)
{
	const struct td_config_named wanted = {.text = policy->tunnel}, *found;
	config_setting_t *list = config_setting_get_member(check->root, "tunnels");
	bool protect = policy->action == TD_POLICY_PROTECT;

	if (!td_config_key_sound(group, "tunnel"))
		return;
	if (td_config_key_given(group, "action") && protect && !policy->tunnel[0])
		td_config_report_setting(
		    check->report, group, "protect has no tunnel; allowed is the name of a tunnel");
	if (td_config_key_given(group, "action") && !protect && policy->tunnel[0])
		td_config_report_key(check->report, group, "tunnel",
		    "is given with action \"%s\"; allowed is a tunnel with action \"protect\" only",
		    policy->action == TD_POLICY_BYPASS ? "bypass" : "discard");
	if (!protect || !policy->tunnel[0] || (list && config_setting_get_hook(list)))
		return;
	found = bsearch(&wanted, tunnels, check->config->tunnel_count, sizeof(*tunnels), compare_text);
	const struct td_tunnel_config *tunnel = found ? &check->config->tunnels[found->position] : NULL;
	if (!tunnel) {
		td_config_report_key(check->report, group, "tunnel",
		    "is \"%s\", which is no tunnel's name; allowed is the name of a tunnel", policy->tunnel);
	} else if (tunnel->mode == TD_SA_TRANSPORT) {
		check_policy_transport(
		    check, group, "local", &policy->local, &policy->local_high, &tunnel->local_address);
		check_policy_transport(
		    check, group, "remote", &policy->remote, &policy->remote_high, &tunnel->remote_address);
	}
}

static void refuse_ports(const struct td_config_check *check, config_setting_t *group, const char *key)
{
	td_config_report_key(check->report, group, key,
	    "is given; allowed is a port with protocol \"tcp\", \"udp\" or \"sctp\" only");
}

// Ports and ICMP messages share their place, and the later one of the file would win: "any" is kept apart
// too.
static void check_numbers(
    const struct td_config_check *check, config_setting_t *group, const struct td_policy_config *policy)
{
	bool has_icmp = policy->protocol == IPPROTO_ICMP || policy->protocol == IPPROTO_ICMPV6;
	bool has_ports = policy->protocol == IPPROTO_TCP || policy->protocol == IPPROTO_UDP ||
	                 policy->protocol == IPPROTO_SCTP;

	if (!td_config_key_sound(group, "protocol"))
		return;
	if (!has_icmp && td_config_key_given(group, "icmp_type")) {
		td_config_report_key(check->report, group, "icmp_type",
		    "is given; allowed is a type with protocol \"icmp\" or \"icmpv6\" only");
		return;
	}
	// Any ports are stored as 0 to 65535, and no other range begins with 0.
	if (!has_ports && td_config_key_given(group, "local_port") && (has_icmp || policy->local_port_low))
		refuse_ports(check, group, "local_port");
	if (!has_ports && td_config_key_given(group, "remote_port") && (has_icmp || policy->remote_port_low))
		refuse_ports(check, group, "remote_port");
}

static void check_policy(
    const struct td_config_check *check, config_setting_t *group, const struct td_policy_config *policy)
{
	uint8_t local = policy->local.ip.family, remote = policy->remote.ip.family;
	uint8_t family = local ? local : remote;

	check_numbers(check, group, policy);
	if (local && remote && local != remote)
		td_config_report_setting(check->report, group,
		    "mixes IPv4 and IPv6; allowed is the same family in local and remote");
	else if (policy->protocol == IPPROTO_ICMP && family == 6)
		td_config_report_key(check->report, group, "protocol",
		    "is \"icmp\" with IPv6 addresses; allowed with them is \"icmpv6\"");
	else if (policy->protocol == IPPROTO_ICMPV6 && family == 4)
		td_config_report_key(check->report, group, "protocol",
		    "is \"icmpv6\" with IPv4 addresses; allowed with them is \"icmp\"");
}

// ---- policies that contradict each other -------------------------------------------------------

// Whether all that tells policies apart could be read.
static bool is_sound(config_setting_t *group)
{
	static const char *const keys[] = {"action", "direction", "local", "remote", "protocol", "local_port",
	    "remote_port", "icmp_type", "tunnel"};

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!td_config_key_sound(group, keys[i]))
			return false;
	return td_config_key_given(group, "action");
}

static int compare_range(const struct td_prefix *a, const struct td_ip *a_high, const struct td_prefix *b,
    const struct td_ip *b_high)
{
	int order = memcmp(&a->ip, &b->ip, sizeof(a->ip));

	if (order == 0 && !a_high->family && !b_high->family)
		order = (a->length > b->length) - (a->length < b->length);
	return order ? order : memcmp(a_high, b_high, sizeof(*a_high));
}

static int compare_selectors(const struct td_policy_config *a, const struct td_policy_config *b)
{
	const uint64_t numbers[2][3] = {
	    {a->direction, (uint64_t)a->local_port_low << 32 | a->local_port_high,
	        (uint64_t)a->remote_port_low << 32 | a->remote_port_high},
	    {b->direction, (uint64_t)b->local_port_low << 32 | b->local_port_high,
	        (uint64_t)b->remote_port_low << 32 | b->remote_port_high},
	};
	int order = memcmp(numbers[0], numbers[1], sizeof(numbers[0]));

	if (order == 0)
		order = (a->protocol > b->protocol) - (a->protocol < b->protocol);
	if (order == 0)
		order = compare_range(&a->local, &a->local_high, &b->local, &b->local_high);
	return order ? order : compare_range(&a->remote, &a->remote_high, &b->remote, &b->remote_high);
}

bool td_config_policy_contradicts(const struct td_policy_config *a, const struct td_policy_config *b)
{
	return compare_selectors(a, b) == 0 && a->action != b->action;
}

static int compare_policy(const void *left, const void *right)
{
	const struct td_policy_config *const *a = left, *const *b = right;
	int order = compare_selectors(*a, *b);

	// They lie in one array.
	return order ? order : (*a > *b) - (*a < *b);
}

// The second of two policies for the same packets never counts: if it says something else, it is a mistake.
static int check_contradictions(const struct td_config_check *check)
{
	const struct td_config *config = check->config;
	const struct td_policy_config **sorted = calloc(config->policy_count + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (unsigned i = 0; i < config->policy_count; i++)
		sorted[i] = &config->policies[i];
	qsort(sorted, config->policy_count, sizeof(*sorted), compare_policy);
	for (unsigned i = 1; i < config->policy_count; i++) {
		if (!td_config_policy_contradicts(sorted[i - 1], sorted[i]))
			continue;
		unsigned before = (unsigned)(sorted[i - 1] - config->policies);
		unsigned position = (unsigned)(sorted[i] - config->policies);
		config_setting_t *other = td_config_check_group(check, "policies", before);
		config_setting_t *group = td_config_check_group(check, "policies", position);

		if (group && other && is_sound(group) && is_sound(other))
			td_config_report_setting(check->report, group,
			    "has another action than policies[%u] for the same packets; allowed is one "
			    "policy "
			    "for them",
			    before);
	}
	free(sorted);
	return 0;
}

int td_config_check_policies(const struct td_config_check *check)
{
	struct td_config_named *tunnels = td_config_list_tunnels(check->config);

	if (!tunnels)
		return -ENOMEM;
	td_config_named_sort(tunnels, check->config->tunnel_count);
	for (unsigned i = 0; i < check->config->policy_count; i++) {
		config_setting_t *group = td_config_check_group(check, "policies", i);

		if (!group)
			continue;
		check_policy_tunnel(check, group, &check->config->policies[i], tunnels);
		check_policy(check, group, &check->config->policies[i]);
	}
	free(tunnels);
	return check_contradictions(check);
}

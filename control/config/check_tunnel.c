// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

// RFC 3948 2.1; the workers look for ESP in UDP on this port only.
#define UDP_PORT 4500

// ---- one tunnel -------------------------------------------------------------------------------

// Which families are among count prefixes: bit 0 for IPv4, bit 1 for IPv6, bit 2 for what could not be read.
static unsigned families(const struct td_prefix *prefixes, unsigned count)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++)
		found |= prefixes[i].ip.family == 4 ? 1 : prefixes[i].ip.family == 6 ? 2 : 4;
	return found;
}

static void check_outer(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_config *tunnel)
{
	const struct td_ip *local = &tunnel->local_address, *remote = &tunnel->remote_address;
	char text[TD_IP_TEXT_MAX];

	if (local->family && remote->family && local->family != remote->family) {
		td_config_report_setting(check->report, group,
		    "mixes IPv4 and IPv6; allowed is the same family in local_address and remote_address");
		return;
	}
	if (local->family && !td_config_is_own(check->config, local))
		td_config_report_key(check->report, group, "local_address",
		    "is \"%s\", which no port has; allowed is one of the ports' addresses",
		    td_ip_format(local, text));
	if (remote->family && td_config_is_own(check->config, remote))
		td_config_report_key(check->report, group, "remote_address",
		    "is \"%s\", this gateway's own; allowed is the address of the other gateway",
		    td_ip_format(remote, text));
}

static void check_udp(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_config *tunnel)
{
	unsigned local = tunnel->udp_local_port, remote = tunnel->udp_remote_port;

	if (!td_config_key_sound(group, "udp_local_port") || !td_config_key_sound(group, "udp_remote_port"))
		return;
	if (!local != !remote)
		td_config_report_setting(check->report, group,
		    "has only one of udp_local_port and udp_remote_port; allowed is both, or none for plain "
		    "ESP");
	else if (local && local != UDP_PORT)
		td_config_report_key(check->report, group, "udp_local_port",
		    "is %u, where no ESP is received; allowed is %d, or 0 for plain ESP", local, UDP_PORT);
}

static void check_selectors(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_config *tunnel)
{
	unsigned local = families(tunnel->local, tunnel->local_count);
	unsigned remote = families(tunnel->remote, tunnel->remote_count);

	if (!td_config_key_sound(group, "local") || !td_config_key_sound(group, "remote"))
		return;
	if (!local != !remote)
		td_config_report_setting(check->report, group,
		    "has only one of local and remote; allowed is both, or none when the tunnel has routes "
		    "or "
		    "policies");
	else if (local && !((local | remote) & 4) && !(local & remote))
		td_config_report_setting(check->report, group,
		    "mixes IPv4 and IPv6; allowed is a local and a remote prefix of the same family");
}

static void check_transport_side(const struct td_config_check *check, config_setting_t *group,
    const char *key, const struct td_prefix *prefixes, unsigned count, const struct td_ip *outer)
{
	config_setting_t *list = config_setting_get_member(group, key);
	char text[TD_IP_TEXT_MAX];

	for (unsigned i = 0; list && outer->family && i < count; i++) {
		const struct td_prefix *prefix = &prefixes[i];

		if (!prefix->ip.family || (prefix->length == 8 * td_ip_length(prefix->ip.family) &&
		                              td_ip_equal(&prefix->ip, outer)))
			continue;
		td_config_report_setting(check->report, config_setting_get_elem(list, i),
		    "is not the tunnel's %s_address; allowed with mode \"transport\" is \"%s\" alone, or no "
		    "local and remote",
		    key, td_ip_format(outer, text));
	}
}

// Packets keep their header in transport mode: others would miss the other gateway, or be refused there.
static void check_transport(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_config *tunnel)
{
	if (tunnel->mode != TD_SA_TRANSPORT)
		return;
	check_transport_side(
	    check, group, "local", tunnel->local, tunnel->local_count, &tunnel->local_address);
	check_transport_side(
	    check, group, "remote", tunnel->remote, tunnel->remote_count, &tunnel->remote_address);
	if (tunnel->tfc)
		td_config_report_key(check->report, group, "tfc",
		    "is given with mode \"transport\"; allowed is padding with mode \"tunnel\" only");
	if (tunnel->dummy_rate)
		td_config_report_key(check->report, group, "dummy_rate",
		    "is given with mode \"transport\"; allowed are dummy packets with mode \"tunnel\" only");
	if (tunnel->route_count)
		td_config_report_key(check->report, group, "routes",
		    "is given with mode \"transport\"; allowed are routes with mode \"tunnel\" only");
}

// ---- all tunnels ------------------------------------------------------------------------------

struct selector_pair {
	const struct td_prefix *local, *remote;
	unsigned tunnel;
};

static int compare_prefix(const struct td_prefix *a, const struct td_prefix *b)
{
	if (a->ip.family != b->ip.family)
		return a->ip.family < b->ip.family ? -1 : 1;
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp(a->ip.bytes, b->ip.bytes, td_ip_length(a->ip.family));
}

static int compare_selectors(const struct selector_pair *a, const struct selector_pair *b)
{
	int order = compare_prefix(a->local, b->local);

	return order ? order : compare_prefix(a->remote, b->remote);
}

static int compare_pair(const void *left, const void *right)
{
	const struct selector_pair *a = left, *b = right;
	int order = compare_selectors(a, b);

	return order ? order : (a->tunnel > b->tunnel) - (a->tunnel < b->tunnel);
}

// Lists the pairs that become policies, and the routes; with pairs NULL it only counts.
static size_t list_pairs(const struct td_config *config, struct selector_pair *pairs)
{
	static const struct td_prefix any; // no selector can be this
	size_t count = 0;

	for (unsigned t = 0; t < config->tunnel_count; t++) {
		const struct td_tunnel_config *tunnel = &config->tunnels[t];

		for (unsigned i = 0; i < tunnel->local_count * tunnel->remote_count; i++) {
			const struct td_prefix *local = &tunnel->local[i / tunnel->remote_count];
			const struct td_prefix *remote = &tunnel->remote[i % tunnel->remote_count];

			// A prefix that could not be read has no family.
			if (!local->ip.family || local->ip.family != remote->ip.family)
				continue;
			if (pairs)
				pairs[count] = (struct selector_pair){local, remote, t};
			count++;
		}
		for (unsigned r = 0; r < tunnel->route_count; r++) {
			if (!tunnel->routes[r].ip.family)
				continue;
			if (pairs)
				pairs[count] = (struct selector_pair){&any, &tunnel->routes[r], t};
			count++;
		}
	}
	return count;
}

static void report_pair(
    const struct td_config_check *check, const struct selector_pair *first, const struct selector_pair *pair)
{
	config_setting_t *group = td_config_check_group(check, "tunnels", pair->tunnel);
	config_setting_t *other = td_config_check_group(check, "tunnels", first->tunnel);
	char local[TD_PREFIX_TEXT_MAX], remote[TD_PREFIX_TEXT_MAX];

	// One report is enough for a tunnel, and a tunnel given twice has one already.
	if (!group || !other || config_setting_get_hook(group) || !td_config_key_sound(group, "name"))
		return;
	if (!pair->local->ip.family)
		td_config_report_setting(check->report, group,
		    "has route %s, as the tunnel in line %u; allowed is what no other tunnel has",
		    td_prefix_format(pair->remote, remote), config_setting_source_line(other));
	else
		td_config_report_setting(check->report, group,
		    "has local %s with remote %s, as the tunnel in line %u; allowed is what no other tunnel "
		    "has",
		    td_prefix_format(pair->local, local), td_prefix_format(pair->remote, remote),
		    config_setting_source_line(other));
}

// Of two tunnels with the same selectors or route the second would get no packet.
static int check_pairs(const struct td_config_check *check)
{
	size_t count = list_pairs(check->config, NULL), first = 0;
	struct selector_pair *pairs = calloc(count + 1, sizeof(*pairs));

	if (!pairs)
		return -ENOMEM;
	list_pairs(check->config, pairs);
	qsort(pairs, count, sizeof(*pairs), compare_pair);
	for (size_t i = 1; i < count; i++) {
		if (compare_selectors(&pairs[i], &pairs[first]) != 0)
			first = i;
		else if (pairs[i].tunnel != pairs[first].tunnel)
			report_pair(check, &pairs[first], &pairs[i]);
	}
	free(pairs);
	return 0;
}

static void check_route_count(const struct td_config_check *check)
{
	config_setting_t *list = config_setting_get_member(check->root, "tunnels");
	unsigned counts[2] = {0, 0};

	for (unsigned t = 0; t < check->config->tunnel_count; t++)
		for (unsigned r = 0; r < check->config->tunnels[t].route_count; r++)
			counts[check->config->tunnels[t].routes[r].ip.family == 6]++;
	for (unsigned i = 0; i < 2; i++)
		if (counts[i] > TD_TUNNEL_ROUTES_MAX)
			td_config_report_setting(check->report, list,
			    "has %u %s routes in all tunnels; allowed is %u at most", counts[i],
			    i ? "IPv6" : "IPv4", TD_TUNNEL_ROUTES_MAX);
}

static void check_dummy_count(const struct td_config_check *check)
{
	config_setting_t *list = config_setting_get_member(check->root, "tunnels");
	unsigned count = 0;

	for (unsigned t = 0; t < check->config->tunnel_count; t++)
		count += check->config->tunnels[t].dummy_rate > 0;
	if (count > TD_DUMMY_TUNNELS_MAX)
		td_config_report_setting(check->report, list,
		    "has %u tunnels with dummy_rate; allowed is %d at most", count, TD_DUMMY_TUNNELS_MAX);
}

// Returns the tunnels' names, not sorted, to be freed, or NULL for want of memory.
static struct td_config_named *list_tunnels(const struct td_config *config)
{
	struct td_config_named *items = calloc(config->tunnel_count + 1, sizeof(*items));

	for (unsigned i = 0; items && i < config->tunnel_count; i++)
		items[i] = (struct td_config_named){config->tunnels[i].name, i};
	return items;
}

int td_config_check_tunnels(const struct td_config_check *check)
{
	unsigned count = check->config->tunnel_count;
	struct td_config_named *items = list_tunnels(check->config);

	if (!items)
		return -ENOMEM;
	td_config_check_unique(check, "tunnels", "tunnel", "name", items, count);
	free(items);
	for (unsigned i = 0; i < count; i++) {
		config_setting_t *group = td_config_check_group(check, "tunnels", i);

		if (!group)
			continue;
		check_outer(check, group, &check->config->tunnels[i]);
		check_udp(check, group, &check->config->tunnels[i]);
		check_selectors(check, group, &check->config->tunnels[i]);
		check_transport(check, group, &check->config->tunnels[i]);
	}
	check_route_count(check);
	check_dummy_count(check);
	return check_pairs(check);
}

// ---- policies ---------------------------------------------------------------------------------

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

int td_config_check_policies(const struct td_config_check *check)
{
	struct td_config_named *tunnels = list_tunnels(check->config);

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
	return 0;
}

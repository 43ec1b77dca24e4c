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

struct td_config_named *td_config_list_tunnels(const struct td_config *config)
{
	struct td_config_named *items = calloc(config->tunnel_count + 1, sizeof(*items));

	for (unsigned i = 0; items && i < config->tunnel_count; i++)
		items[i] = (struct td_config_named){config->tunnels[i].name, i};
	return items;
}

int td_config_check_tunnels(const struct td_config_check *check)
{
	unsigned count = check->config->tunnel_count;
	struct td_config_named *items = td_config_list_tunnels(check->config);

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

// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/check.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_MAX sizeof(((struct td_port_config *)0)->device)

// What EAL calls a device: without its arguments, a PCI address with its domain.
static void device_name(const char *device, char *name)
{
	size_t length = strcspn(device, ",");
	size_t used = 0;

	const char *colon = memchr(device, ':', length);

	if (colon && colon == memrchr(device, ':', length))
		used = (size_t)snprintf(name, DEVICE_MAX, "0000:");
	for (size_t i = 0; i < length && used < DEVICE_MAX + 4; i++)
		name[used++] = (char)tolower((unsigned char)device[i]);
	name[used] = '\0';
}

// Kernel interfaces cannot share a name: that of a port's TAP and the one its device opens.
static void check_tap(const struct td_config_check *check, config_setting_t *group, unsigned position)
{
	const struct td_port_config *port = &check->config->ports[position];

	if (!port->tap[0] && port->name[0] && td_config_key_sound(group, "tap"))
		td_config_report_key(check->report, group, "tap",
		    "is missing and the name is too long for an interface; allowed is 1 to %zu characters",
		    sizeof(port->tap) - 1);
	if (!port->tap[0])
		return;
	for (unsigned i = 0; i < check->config->port_count; i++) {
		const char *interface = strstr(check->config->ports[i].device, "iface=");
		size_t length = strlen(port->tap);

		if (!interface || strncmp(interface + 6, port->tap, length) != 0)
			continue;
		if (interface[6 + length] == '\0' || interface[6 + length] == ',')
			td_config_report_key(check->report, group, "tap",
			    "is \"%s\", the interface of device \"%s\"; allowed is a name of its own",
			    port->tap, check->config->ports[i].device);
	}
}

static void check_addresses(const struct td_config_check *check, config_setting_t *group, unsigned position)
{
	config_setting_t *list = config_setting_get_member(group, "addresses");
	const struct td_port_config *port = &check->config->ports[position];

	for (unsigned i = 0; i < port->address_count; i++) {
		const struct td_ip *ip = &port->addresses[i].ip;
		bool taken = false;

		for (unsigned p = 0; p <= position && ip->family; p++) {
			const struct td_port_config *other = &check->config->ports[p];
			unsigned count = p < position ? other->address_count : i;

			for (unsigned a = 0; a < count; a++)
				taken |= td_ip_equal(&other->addresses[a].ip, ip);
		}
		if (taken)
			td_config_report_setting(check->report, config_setting_get_elem(list, i),
			    "is given twice; allowed is an address that no other entry has");
	}
}

// RFC 8200 5: every link of IPv6 carries 1280 bytes. The kernel takes no IPv6 address on another one.
static void check_mtu(
    const struct td_config_check *check, config_setting_t *group, const struct td_port_config *port)
{
	if (!td_config_key_sound(group, "mtu") || port->mtu >= TD_IPV6_MTU_MIN)
		return;
	for (unsigned i = 0; i < port->address_count; i++)
		if (port->addresses[i].ip.family == 6) {
			td_config_report_key(check->report, group, "mtu",
			    "is %u on a port with IPv6 addresses; allowed is %u or more there", port->mtu,
			    TD_IPV6_MTU_MIN);
			return;
		}
}

static void check_names(const struct td_config_check *check)
{
	struct td_config_named names[TD_PORTS_MAX], taps[TD_PORTS_MAX], devices[TD_PORTS_MAX];
	char device_names[TD_PORTS_MAX][DEVICE_MAX + 8];
	const struct td_config *config = check->config;

	for (unsigned i = 0; i < config->port_count; i++) {
		device_name(config->ports[i].device, device_names[i]);
		names[i] = (struct td_config_named){config->ports[i].name, i};
		taps[i] = (struct td_config_named){config->ports[i].tap, i};
		devices[i] = (struct td_config_named){device_names[i], i};
		// The same name twice is one mistake, even when the TAPs take it over.
		config_setting_t *group = td_config_check_group(check, "ports", i);
		if (group && !config_setting_get_member(group, "tap"))
			taps[i].text = "";
	}
	td_config_check_unique(check, "ports", "port", "name", names, config->port_count);
	for (unsigned i = 0; i < config->port_count; i++) {
		config_setting_t *group = td_config_check_group(check, "ports", taps[i].position);

		if (group && !config_setting_get_member(group, "tap") && td_config_key_given(group, "name"))
			taps[i].text = config->ports[i].tap;
	}
	td_config_check_unique(check, "ports", "port", "tap", taps, config->port_count);
	td_config_check_unique(check, "ports", "port", "device", devices, config->port_count);
}

// Both roles are needed, unless a role that cannot be read may be the one that is missing.
static void check_roles(const struct td_config_check *check)
{
	config_setting_t *list = config_setting_get_member(check->root, "ports");
	bool inside = false, outside = false, unknown = list && config_setting_get_hook(list);

	for (unsigned i = 0; i < check->config->port_count; i++) {
		config_setting_t *group = td_config_check_group(check, "ports", i);

		if (!group || !td_config_key_given(group, "role"))
			unknown = true;
		else if (check->config->ports[i].role == TD_ROLE_INSIDE)
			inside = true;
		else
			outside = true;
	}
	if (unknown || (inside && outside))
		return;
	if (list)
		td_config_report_setting(check->report, list,
		    "no port has the role \"%s\"; allowed is at least one inside and one outside",
		    outside ? "inside" : "outside");
	else
		td_config_report_line(check->report, NULL, 1,
		    "ports is missing; allowed is a list with at least one inside and one outside port");
}

void td_config_check_ports(const struct td_config_check *check)
{
	check_names(check);
	for (unsigned i = 0; i < check->config->port_count; i++) {
		config_setting_t *group = td_config_check_group(check, "ports", i);

		if (!group)
			continue;
		check_tap(check, group, i);
		check_addresses(check, group, i);
		check_mtu(check, group, &check->config->ports[i]);
	}
	check_roles(check);
}

static void check_next_hop(
    const struct td_config_check *check, config_setting_t *group, const struct td_route_config *route)
{
	char text[TD_IP_TEXT_MAX];

	if (route->via.family == 0 || !td_config_key_sound(group, "port"))
		return;
	td_ip_format(&route->via, text);
	// Link-local addresses (RFC 4291 2.5.6) are on every link: the port says which is meant.
	if (route->via.family == 6 && route->via.bytes[0] == 0xfe && (route->via.bytes[1] & 0xc0) == 0x80) {
		if (!route->port[0])
			td_config_report_key(check->report, group, "via",
			    "is \"%s\", which is on every link; allowed is a link-local address with port",
			    text);
		return;
	}
	if (td_config_is_own(check->config, &route->via))
		td_config_report_key(check->report, group, "via",
		    "is \"%s\", this gateway's own; allowed is the address of another router", text);
	else if (!td_config_on_link(check->config, &route->via, route->port[0] ? route->port : NULL))
		td_config_report_key(check->report, group, "via",
		    "is \"%s\", which is on no network of %s%s; allowed is an address on a port's network",
		    text, route->port[0] ? "port " : "any port", route->port);
}

static void check_route(
    const struct td_config_check *check, config_setting_t *group, const struct td_route_config *route)
{
	bool found = !route->port[0];

	if (!config_setting_get_member(group, "via") && !config_setting_get_member(group, "port"))
		td_config_report_setting(
		    check->report, group, "has neither via nor port; allowed is one of them, or both");
	for (unsigned i = 0; i < check->config->port_count; i++)
		found |= strcmp(check->config->ports[i].name, route->port) == 0;
	if (!found)
		td_config_report_key(check->report, group, "port",
		    "is \"%s\", which is no port's name; allowed is the name of a port", route->port);
	if (route->via.family && route->to.ip.family && route->via.family != route->to.ip.family)
		td_config_report_setting(
		    check->report, group, "mixes IPv4 and IPv6; allowed is the same family in to and via");
	else
		check_next_hop(check, group, route);
}

int td_config_check_routes(const struct td_config_check *check)
{
	unsigned count = check->config->route_count;
	char(*texts)[TD_PREFIX_TEXT_MAX] = calloc(count + 1, sizeof(*texts));
	struct td_config_named *items = calloc(count + 1, sizeof(*items));

	for (unsigned i = 0; texts && items && i < count; i++) {
		const struct td_route_config *route = &check->config->routes[i];
		config_setting_t *group = td_config_check_group(check, "routes", i);

		if (route->to.ip.family)
			td_prefix_format(&route->to, texts[i]);
		items[i] = (struct td_config_named){texts[i], i};
		if (group)
			check_route(check, group, route);
	}
	if (texts && items)
		td_config_check_unique(check, "routes", "route", "to", items, count);
	int result = texts && items ? 0 : -ENOMEM;
	free(items);
	free(texts);
	return result;
}

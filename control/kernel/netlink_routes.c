// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/netlink_routes.h"

#include "common/log.h"
#include "control/kernel/netlink_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// The interface that a route names; 0: none.
static int route_ifindex(
    const struct td_config *config, const int *ifindexes, const struct td_route_config *route)
{
	unsigned port;

	for (port = 0; port < config->port_count; port++)
		if (strcmp(config->ports[port].name, route->port) == 0)
			return ifindexes[port];
	return 0;
}

static int route_add(const struct td_config *config, const int *ifindexes,
    const struct td_route_config *route, struct td_error *error)
{
	char text[TD_PREFIX_TEXT_MAX], object[TD_PREFIX_TEXT_MAX + 8], other[TD_ROUTE_TEXT_MAX];
	int ret =
	    td_netlink_route_add(&route->to, &route->via, route_ifindex(config, ifindexes, route), other);

	if (ret == 0)
		return 0;
	td_prefix_format(&route->to, text);
	snprintf(object, sizeof(object), "route %s", text);
	if (ret == -EEXIST)
		return td_error_set(error, ret, object, "",
		    "a route to %s exists already (%s); delete it or take this one out of the configuration",
		    text, other);
	return td_error_set(error, ret, object, "via", "cannot be added: %s%s", strerror(-ret),
	    ret == -ENETUNREACH ? "; the next hop is not on the link of a port with an address" : "");
}

static void warn(const struct td_error *error)
{
	td_log_warning(
	    "%s: %s%s%s", error->object, error->field, error->field[0] != '\0' ? " " : "", error->reason);
}

int td_netlink_routes_add(const struct td_config *config, const int *ifindexes, struct td_error *error)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < config->route_count && ret == 0; i++)
		ret = route_add(config, ifindexes, &config->routes[i], error);
	return ret;
}

void td_netlink_routes_restore(const struct td_config *config, const int *ifindexes)
{
	unsigned i;

	for (i = 0; i < config->route_count; i++) {
		struct td_error error = {0};

		if (route_add(config, ifindexes, &config->routes[i], &error) < 0)
			warn(&error);
	}
}

// ---- another configuration --------------------------------------------------------------------

static bool prefix_equal(const struct td_prefix *a, const struct td_prefix *b)
{
	return a->length == b->length && td_ip_equal(&a->ip, &b->ip);
}

static const struct td_route_config *route_find_to(
    const struct td_config *config, const struct td_prefix *to, unsigned place)
{
	unsigned i, n;

	// Most stand where they stood.
	for (n = 0; n < config->route_count; n++) {
		i = (place + n) % config->route_count;
		if (prefix_equal(&config->routes[i].to, to))
			return &config->routes[i];
	}
	return NULL;
}

static bool is_same(const struct td_route_config *a, const struct td_route_config *b)
{
	return a != NULL && b != NULL && td_ip_equal(&a->via, &b->via) && strcmp(a->port, b->port) == 0;
}

// Adds, or gives another next hop to, what differs in after. Returns 0 or -errno and fills *error.
static int differing_add(const struct td_config *before, const struct td_config *after, const int *ifindexes,
    struct td_error *error)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < after->route_count && ret == 0; i++) {
		const struct td_route_config *route = &after->routes[i];

		if (!is_same(route_find_to(before, &route->to, i), route))
			ret = route_add(after, ifindexes, route, error);
	}
	return ret;
}

static void prune(const struct td_config *before, const struct td_config *after, const int *ifindexes)
{
	unsigned i;

	for (i = 0; i < before->route_count; i++) {
		const struct td_route_config *route = &before->routes[i];
		char text[TD_PREFIX_TEXT_MAX];
		int ret = 0;

		if (route_find_to(after, &route->to, i) == NULL)
			ret = td_netlink_route_delete(
			    &route->to, &route->via, route_ifindex(before, ifindexes, route));
		if (ret < 0)
			td_log_warning("route %s cannot be deleted: %s", td_prefix_format(&route->to, text),
			    strerror(-ret));
	}
}

void td_netlink_routes_back(
    const struct td_config *before, const struct td_config *after, const int *ifindexes)
{
	struct td_error error = {0};

	if (differing_add(after, before, ifindexes, &error) < 0)
		warn(&error);
	prune(after, before, ifindexes);
}

int td_netlink_routes_exchange(const struct td_config *before, const struct td_config *after,
    const int *ifindexes, struct td_error *error)
{
	int ret = differing_add(before, after, ifindexes, error);

	if (ret < 0)
		td_netlink_routes_back(before, after, ifindexes);
	else
		prune(before, after, ifindexes);
	return ret;
}

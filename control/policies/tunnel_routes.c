// SPDX-License-Identifier: BSD-3-Clause
#include "control/policies/tunnel_routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int tunnel_set(
    const struct td_tunnel_config *config, const struct td_tunnel *tunnel, struct td_error *error)
{
	char text[TD_PREFIX_TEXT_MAX];
	int ret;

	for (unsigned i = 0; i < config->route_count; i++) {
		ret = td_dp_tunnel_route_set(&config->routes[i], tunnel->dp);
		if (ret < 0)
			return td_error_set(error, ret, config->name, "routes", "%s cannot be set: %s%s",
			    td_prefix_format(&config->routes[i], text), strerror(-ret),
			    ret == -ENOMEM ? "; raise memory.size_mb" : "");
	}
	return 0;
}

int td_tunnel_routes_set(const struct td_config *config, const struct td_sad *sad, struct td_error *error)
{
	int ret = 0;

	for (unsigned i = 0; i < config->tunnel_count && ret == 0; i++)
		if (config->tunnels[i].route_count > 0)
			ret = tunnel_set(
			    &config->tunnels[i], td_sad_tunnel_find(sad, config->tunnels[i].name), error);
	return ret;
}

void td_tunnel_routes_delete(const struct td_config *config)
{
	for (unsigned i = 0; i < config->tunnel_count; i++)
		for (unsigned j = 0; j < config->tunnels[i].route_count; j++)
			td_dp_tunnel_route_delete(&config->tunnels[i].routes[j]);
}

static int prefix_compare(const void *a, const void *b)
{
	const struct td_prefix *x = a, *y = b;
	int order = x->ip.family - y->ip.family;

	if (order == 0)
		order = memcmp(x->ip.bytes, y->ip.bytes, td_ip_length(x->ip.family));
	return order != 0 ? order : x->length - y->length;
}

// All routes of a configuration, sorted; NULL: no memory.
static struct td_prefix *routes_sorted(const struct td_config *config, size_t *count)
{
	struct td_prefix *all;

	*count = 0;
	for (unsigned i = 0; i < config->tunnel_count; i++)
		*count += config->tunnels[i].route_count;
	all = malloc((*count + 1) * sizeof(*all));
	if (all == NULL)
		return NULL;
	*count = 0;
	for (unsigned i = 0; i < config->tunnel_count; i++)
		for (unsigned j = 0; j < config->tunnels[i].route_count; j++)
			all[(*count)++] = config->tunnels[i].routes[j];
	qsort(all, *count, sizeof(*all), prefix_compare);
	return all;
}

static bool is_among(const struct td_config *config, const struct td_prefix *prefix)
{
	for (unsigned i = 0; i < config->tunnel_count; i++)
		for (unsigned j = 0; j < config->tunnels[i].route_count; j++)
			if (prefix_compare(&config->tunnels[i].routes[j], prefix) == 0)
				return true;
	return false;
}

void td_tunnel_routes_prune(const struct td_config *config, const struct td_config *other)
{
	size_t count;
	struct td_prefix *kept = routes_sorted(other, &count);

	for (unsigned i = 0; i < config->tunnel_count; i++)
		for (unsigned j = 0; j < config->tunnels[i].route_count; j++) {
			const struct td_prefix *route = &config->tunnels[i].routes[j];

			// A route may not outlive its tunnel: without memory it only takes longer.
			if (kept != NULL ? bsearch(route, kept, count, sizeof(*kept), prefix_compare) == NULL
			                 : !is_among(other, route))
				td_dp_tunnel_route_delete(route);
		}
	free(kept);
}

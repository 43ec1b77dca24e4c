// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/diff.h"

#include "control/config/check.h"
#include "control/config/schema.h"
#include "control/config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- sections -----------------------------------------------------------------------------------

static void restart_add(struct td_config_diff *diff, const char *section, const char *key)
{
	if (diff->restart_count < TD_CONFIG_RESTART_MAX)
		snprintf(diff->restart[diff->restart_count++], sizeof(diff->restart[0]), "%s%s%s", section,
		    key ? "." : "", key ? key : "");
}

static bool elements_equal(const struct td_config_section *section, const void *a, const void *b)
{
	for (unsigned i = 0; i < section->key_count; i++)
		if (!td_config_value_equal(&section->keys[i], a, b))
			return false;
	return true;
}

// Of a section that is no list: everything but the log needs a restart.
static void group_diff(const struct td_config_section *section, const struct td_config *before,
    const struct td_config *after, struct td_config_diff *diff)
{
	for (unsigned i = 0; i < section->key_count; i++) {
		if (td_config_value_equal(&section->keys[i], before, after))
			continue;
		if (strcmp(section->name, "log") == 0)
			diff->log_level = true;
		else
			restart_add(diff, section->name, section->keys[i].name);
	}
}

static void ports_diff(
    const struct td_config *before, const struct td_config *after, struct td_config_diff *diff)
{
	const struct td_config_section *section = td_config_section_find("ports");

	if (before->port_count != after->port_count) {
		restart_add(diff, section->name, NULL);
		return;
	}
	for (unsigned port = 0; port < after->port_count; port++)
		for (unsigned i = 0; i < section->key_count; i++)
			if (!td_config_value_equal(
			        &section->keys[i], &before->ports[port], &after->ports[port]))
				restart_add(diff, section->name, section->keys[i].name);
}

static bool routes_differ(const struct td_config *before, const struct td_config *after)
{
	const struct td_config_section *section = td_config_section_find("routes");

	if (before->route_count != after->route_count)
		return true;
	for (unsigned i = 0; i < after->route_count; i++)
		if (!elements_equal(section, &before->routes[i], &after->routes[i]))
			return true;
	return false;
}

bool td_config_policy_equal(const struct td_policy_config *a, const struct td_policy_config *b)
{
	return elements_equal(td_config_section_find("policies"), a, b);
}

static bool policies_differ(const struct td_config *before, const struct td_config *after)
{
	if (before->policy_count != after->policy_count)
		return true;
	for (unsigned i = 0; i < after->policy_count; i++)
		if (!td_config_policy_equal(&before->policies[i], &after->policies[i]))
			return true;
	return false;
}

// ---- tunnels ------------------------------------------------------------------------------------

const char *td_config_tunnel_key(unsigned position)
{
	const struct td_config_section *section = td_config_section_find("tunnels");

	return position < section->key_count ? section->keys[position].name : NULL;
}

static void tunnel_diff(const struct td_tunnel_config *before, const struct td_tunnel_config *after,
    struct td_config_tunnel_diff *diff)
{
	// Keys of a part that is not there have no value.
	static const struct td_tunnel_ike_config none;
	const struct td_config_section *section = td_config_section_find("tunnels");

	// One side negotiates its keys, the other side's come from outside.
	diff->in_place = !before->ike == !after->ike;
	for (unsigned i = 0; i < section->key_count; i++) {
		const struct td_config_key *key = &section->keys[i];
		bool part = key->flags & TD_CONFIG_PART;
		const void *a = part ? before->ike ? before->ike : &none : (const void *)before;
		const void *b = part ? after->ike ? after->ike : &none : (const void *)after;

		if (td_config_value_equal(key, a, b))
			continue;
		diff->keys |= 1ull << i;
		diff->in_place &= (key->flags & TD_CONFIG_IN_PLACE) != 0;
	}
}

static struct td_config_named *names_make(const struct td_config *config)
{
	struct td_config_named *names = calloc(config->tunnel_count + 1ul, sizeof(*names));

	for (unsigned i = 0; names && i < config->tunnel_count; i++)
		names[i] = (struct td_config_named){config->tunnels[i].name, i};
	if (names)
		td_config_named_sort(names, config->tunnel_count);
	return names;
}

static void tunnel_place(
    struct td_config_tunnel_diff *tunnel, const char *name, uint32_t before, uint32_t after)
{
	*tunnel = (struct td_config_tunnel_diff){.before = before, .after = after};
	snprintf(tunnel->name, sizeof(tunnel->name), "%s", name);
}

static void tunnel_removed(struct td_config_diff *diff, const char *name, uint32_t before)
{
	tunnel_place(&diff->tunnels[diff->tunnel_count++], name, before, TD_CONFIG_NO_TUNNEL);
	diff->removed++;
}

static void tunnel_kept(const struct td_config *before, const struct td_config *after, uint32_t was,
    uint32_t is, struct td_config_diff *diff)
{
	diff->tunnels[is].before = was;
	tunnel_diff(&before->tunnels[was], &after->tunnels[is], &diff->tunnels[is]);
	diff->changed += !diff->tunnels[is].in_place;
	diff->in_place += diff->tunnels[is].in_place && diff->tunnels[is].keys;
}

// Walks the names of both in their order.
static void tunnels_match(const struct td_config *before, const struct td_config *after,
    const struct td_config_named *old_names, const struct td_config_named *new_names,
    struct td_config_diff *diff)
{
	unsigned i = 0, j = 0;

	for (unsigned t = 0; t < after->tunnel_count; t++)
		tunnel_place(&diff->tunnels[t], after->tunnels[t].name, TD_CONFIG_NO_TUNNEL, t);
	diff->tunnel_count = after->tunnel_count;
	while (i < before->tunnel_count || j < after->tunnel_count) {
		int order = i == before->tunnel_count  ? 1
		            : j == after->tunnel_count ? -1
		                                       : strcmp(old_names[i].text, new_names[j].text);

		if (order == 0)
			tunnel_kept(before, after, old_names[i].position, new_names[j].position, diff);
		else if (order < 0)
			tunnel_removed(diff, old_names[i].text, old_names[i].position);
		else
			diff->added++;
		i += order <= 0;
		j += order >= 0;
	}
	for (uint32_t t = 0, last = 0; t < after->tunnel_count; t++) {
		if (diff->tunnels[t].before == TD_CONFIG_NO_TUNNEL)
			continue;
		diff->order |= diff->tunnels[t].before < last;
		last = diff->tunnels[t].before;
	}
}

static int tunnels_diff(
    const struct td_config *before, const struct td_config *after, struct td_config_diff *diff)
{
	struct td_config_named *old_names = names_make(before), *new_names = names_make(after);

	diff->tunnels =
	    calloc((size_t)before->tunnel_count + after->tunnel_count + 1, sizeof(*diff->tunnels));
	bool made = old_names && new_names && diff->tunnels;
	if (made)
		tunnels_match(before, after, old_names, new_names, diff);
	free(old_names);
	free(new_names);
	return made ? 0 : -ENOMEM;
}

// ---- all of it ----------------------------------------------------------------------------------

int td_config_diff(const struct td_config *before, const struct td_config *after, struct td_config_diff *diff)
{
	int ret;

	*diff = (struct td_config_diff){0};
	for (unsigned i = 0; i < td_config_section_count; i++)
		if (!td_config_sections[i].element)
			group_diff(&td_config_sections[i], before, after, diff);
	ports_diff(before, after, diff);
	diff->routes = routes_differ(before, after);
	diff->policies = policies_differ(before, after);
	ret = tunnels_diff(before, after, diff);
	if (ret < 0)
		td_config_diff_free(diff);
	return ret;
}

void td_config_diff_free(struct td_config_diff *diff)
{
	free(diff->tunnels);
	*diff = (struct td_config_diff){0};
}

bool td_config_diff_is_empty(const struct td_config_diff *diff)
{
	return !diff->restart_count && !diff->log_level && !diff->routes && !diff->policies && !diff->order &&
	       !diff->added && !diff->removed && !diff->changed && !diff->in_place;
}

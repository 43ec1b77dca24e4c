// SPDX-License-Identifier: BSD-3-Clause
#include "control/reload.h"

#include "common/log.h"
#include "control/tunnel_routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// One change while it is made.
struct change {
	struct td_reload *reload;
	struct td_config *after;
	const struct td_config_diff *diff;
	// By position in the diff; NULL: it stays, or is not there before or after.
	struct td_tunnel **leaving, **made;
	bool routes; // of the kernel are changed
};

// ---- reading ------------------------------------------------------------------------------------

static int no_memory(struct td_error *error)
{
	return td_error_set(error, -ENOMEM, "configuration", "", "there is not enough memory");
}

static struct td_config *file_read(const char *path, char **lines, int *ret, struct td_error *error)
{
	size_t size = 0;
	FILE *stream = open_memstream(lines, &size);
	struct td_config *config;

	if (!stream) {
		*ret = no_memory(error);
		return NULL;
	}
	config = td_config_load(path, stream);
	fclose(stream);
	if (config)
		return config;
	// The first line; the others are there for those who want them.
	*ret = *lines ? td_error_set(
	                    error, -EBADMSG, "configuration", "", "%.*s", (int)strcspn(*lines, "\n"), *lines)
	              : no_memory(error);
	return NULL;
}

static int restart_check(const struct td_config_diff *diff, struct td_error *error)
{
	char keys[192] = "";
	size_t used = 0;

	if (!diff->restart_count)
		return 0;
	for (unsigned i = 0; i < diff->restart_count && used < sizeof(keys); i++)
		used += (size_t)snprintf(
		    keys + used, sizeof(keys) - used, "%s%s", i ? ", " : "", diff->restart[i]);
	return td_error_set(error, -EBUSY, "configuration", "", "differs in %s, which takes a restart", keys);
}

// ---- preparing ----------------------------------------------------------------------------------

static bool ends(const struct td_config_tunnel_diff *tunnel)
{
	return tunnel->before != TD_CONFIG_NO_TUNNEL && !tunnel->in_place;
}

static bool begins(const struct td_config_tunnel_diff *tunnel)
{
	return tunnel->after != TD_CONFIG_NO_TUNNEL && !tunnel->in_place;
}

static const struct td_tunnel_config *config_after(const struct change *change, unsigned i)
{
	return &change->after->tunnels[change->diff->tunnels[i].after];
}

// Another tunnel may have the name of one that goes.
static void tunnels_hide(struct change *change)
{
	struct td_sad *sad = change->reload->sad;

	for (unsigned i = 0; i < change->diff->tunnel_count; i++) {
		if (!ends(&change->diff->tunnels[i]))
			continue;
		change->leaving[i] = td_sad_tunnel_find(sad, change->diff->tunnels[i].name);
		td_sad_tunnel_hide(sad, change->leaving[i]);
	}
}

// Peers of tunnels that stay come first: new ones may share them.
static int tunnels_prepare(struct change *change, struct td_error *error)
{
	const struct td_reload *reload = change->reload;
	int ret = 0;

	for (unsigned i = 0; i < change->diff->tunnel_count && ret == 0; i++) {
		const struct td_config_tunnel_diff *tunnel = &change->diff->tunnels[i];

		if (tunnel->before == TD_CONFIG_NO_TUNNEL || !tunnel->in_place)
			continue;
		ret = td_negotiate_tunnel_prepare(reload->negotiate,
		    td_sad_tunnel_find(reload->sad, change->diff->tunnels[i].name), config_after(change, i),
		    error);
	}
	return ret;
}

static int tunnels_add(struct change *change, struct td_error *error)
{
	const struct td_reload *reload = change->reload;
	int ret = 0;

	for (unsigned i = 0; i < change->diff->tunnel_count && ret == 0; i++) {
		if (!begins(&change->diff->tunnels[i]))
			continue;
		change->made[i] = td_sad_tunnel_add(reload->sad, config_after(change, i));
		if (!change->made[i])
			return no_memory(error);
		ret = td_negotiate_tunnel_add(reload->negotiate, change->made[i], error);
	}
	return ret;
}

static int routes_set(struct change *change, struct td_error *error)
{
	const struct td_reload *reload = change->reload;
	int ret = 0;

	if (change->diff->routes) {
		ret = td_netlink_routes_change(reload->netlink, change->after, error);
		change->routes = ret == 0;
	}
	return ret == 0 ? td_tunnel_routes_set(change->after, reload->sad, error) : ret;
}

static void undo(struct change *change)
{
	const struct td_reload *reload = change->reload;
	struct td_error error = {0};

	for (unsigned i = 0; i < change->diff->tunnel_count; i++)
		if (change->made[i])
			td_sad_tunnel_hide(reload->sad, change->made[i]);
	for (unsigned i = 0; i < change->diff->tunnel_count; i++)
		if (change->leaving[i])
			td_sad_tunnel_show(reload->sad, change->leaving[i]);
	if (td_tunnel_routes_set(reload->config, reload->sad, &error) < 0)
		td_log_warning("%s: %s %s", error.object, error.field, error.reason);
	td_tunnel_routes_prune(change->after, reload->config);
	for (unsigned i = 0; i < change->diff->tunnel_count; i++)
		if (change->made[i]) {
			td_negotiate_tunnel_discard(reload->negotiate, change->made[i]);
			td_sad_tunnel_remove(reload->sad, change->made[i]);
		}
	td_negotiate_cancel(reload->negotiate);
	if (change->routes)
		td_netlink_routes_revert(reload->netlink, change->after);
}

// ---- taking over --------------------------------------------------------------------------------

// From here nothing can fail. The present configuration's place takes the new contents; what leaves keeps its
// part of the old ones.
static void commit(struct change *change)
{
	struct td_reload *reload = change->reload;
	struct td_config before = *reload->config;

	td_tunnel_routes_prune(&before, change->after);
	for (unsigned i = 0; i < change->diff->tunnel_count; i++)
		if (change->leaving[i])
			before.tunnels[change->diff->tunnels[i].before].ike = NULL;
	*reload->config = *change->after;
	*change->after = before;
	td_negotiate_commit(reload->negotiate);
	for (unsigned i = 0; i < change->diff->tunnel_count; i++)
		if (change->leaving[i])
			td_negotiate_tunnel_leave(reload->negotiate, change->leaving[i]);
	for (unsigned i = 0; i < reload->config->tunnel_count; i++) {
		const struct td_tunnel_config *config = &reload->config->tunnels[i];
		struct td_tunnel *tunnel = td_sad_tunnel_find(reload->sad, config->name);

		td_sad_tunnel_update(tunnel, config);
		if (change->diff->tunnels[i].keys && change->diff->tunnels[i].in_place)
			td_negotiate_tunnel_update(tunnel);
		td_negotiate_tunnel_start(tunnel);
	}
	if (!reload->log_level_fixed)
		td_log_set_level(reload->config->log_level);
}

static int take(struct td_reload *reload, struct td_config *after, const struct td_config_diff *diff,
    struct td_error *error)
{
	struct change change = {.reload = reload, .after = after, .diff = diff};
	int ret;

	change.leaving = calloc(2 * (diff->tunnel_count + 1ul), sizeof(struct td_tunnel *));
	if (!change.leaving)
		return no_memory(error);
	change.made = change.leaving + diff->tunnel_count + 1;
	tunnels_hide(&change);
	ret = tunnels_prepare(&change, error);
	if (ret == 0)
		ret = tunnels_add(&change, error);
	if (ret == 0)
		ret = routes_set(&change, error);
	if (ret == 0)
		ret = td_policies_change(reload->policies, after, diff, error);
	if (ret == 0)
		commit(&change);
	else
		undo(&change);
	free(change.leaving);
	return ret;
}

// ---- from outside -------------------------------------------------------------------------------

static void result_log(const struct td_config_diff *diff)
{
	td_log_info("configuration reloaded: tunnels: %u added, %u removed, %u set up anew, %u changed in "
	            "place%s%s",
	    diff->added, diff->removed, diff->changed, diff->in_place,
	    diff->policies ? "; other policies" : "", diff->routes ? "; other routes" : "");
}

static void failure_log(const struct td_error *error, char *lines)
{
	char *rest = NULL;

	if (!lines || !lines[0])
		td_log_error("the configuration stays as it was: %s%s%s %s", error->object,
		    error->field[0] ? ": " : "", error->field, error->reason);
	for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		td_log_error("the configuration stays as it was: %s", line);
}

int td_reload_run(
    struct td_reload *reload, bool apply, struct td_config_diff *diff, char **lines, struct td_error *error)
{
	struct td_config *after;
	int ret = 0;

	*diff = (struct td_config_diff){0};
	*lines = NULL;
	after = file_read(reload->path, lines, &ret, error);
	if (!after)
		return ret;
	ret = td_config_diff(reload->config, after, diff);
	if (ret < 0)
		ret = no_memory(error);
	else if (apply)
		ret = restart_check(diff, error);
	if (ret == 0 && apply)
		ret = take(reload, after, diff, error);
	if (ret == 0 && apply)
		result_log(diff);
	td_config_free(after);
	return ret;
}

void td_reload_signal(struct td_reload *reload)
{
	struct td_config_diff diff;
	struct td_error error = {0};
	char *lines;

	if (td_reload_run(reload, true, &diff, &lines, &error) < 0)
		failure_log(&error, lines);
	td_config_diff_free(&diff);
	free(lines);
}

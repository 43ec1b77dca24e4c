// SPDX-License-Identifier: BSD-3-Clause
// The configuration file, read again.
#include "control/reload.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *tunnel_json(const struct td_config_diff *diff, unsigned i, const char *name)
{
	const struct td_config_tunnel_diff *tunnel = &diff->tunnels[i];
	const char *change = tunnel->before == TD_CONFIG_NO_TUNNEL  ? "added"
	                     : tunnel->after == TD_CONFIG_NO_TUNNEL ? "removed"
	                     : tunnel->in_place                     ? "in_place"
	                                                            : "anew";
	json_t *keys = json_array();
	const char *key;

	for (unsigned k = 0; (key = td_config_tunnel_key(k)); k++)
		if (tunnel->keys & 1ull << k)
			json_array_append_new(keys, json_string(key));
	return json_pack("{s:o,s:s,s:o}", "tunnel", td_rpc_json_text(name), "change", change, "keys", keys);
}

static json_t *tunnels_json(const struct td_config_diff *diff)
{
	json_t *tunnels = json_array();

	for (unsigned i = 0; i < diff->tunnel_count; i++) {
		const struct td_config_tunnel_diff *tunnel = &diff->tunnels[i];

		if (tunnel->in_place && !tunnel->keys)
			continue;
		if (json_array_append_new(tunnels, tunnel_json(diff, i, tunnel->name)) < 0) {
			json_decref(tunnels);
			return NULL;
		}
	}
	return tunnels;
}

static json_t *diff_json(const struct td_config_diff *diff)
{
	json_t *restart = json_array();

	for (unsigned i = 0; i < diff->restart_count; i++)
		json_array_append_new(restart, json_string(diff->restart[i]));
	return json_pack("{s:b,s:o,s:o,s:b,s:b,s:b}", "changed", !td_config_diff_is_empty(diff), "tunnels",
	    tunnels_json(diff), "restart", restart, "policies", (int)(diff->policies || diff->order),
	    "routes", (int)diff->routes, "log_level", (int)diff->log_level);
}

// Every line of the check of a file that is not good.
static json_t *lines_json(char *lines)
{
	json_t *array = lines && lines[0] ? json_array() : NULL;
	char *rest = NULL;

	if (!array)
		return NULL;
	for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		json_array_append_new(array, td_rpc_json_text(line));
	return array;
}

struct request {
	struct td_rpc_pending pending;
	char *text; // the result
};

// In the thread that reads: of 10,000 tunnels the text takes a while to make.
static void differs(void *context, const struct td_config_diff *diff)
{
	struct request *request = context;
	json_t *json = diff_json(diff);

	request->text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
}

static void done(void *context, struct td_reload_result *result)
{
	struct request *request = context;
	json_t *lines = result->result < 0 ? lines_json(result->lines) : NULL;

	td_rpc_pending_answer(&request->pending, result->result, request->text, &result->error, lines);
	free(request->text);
	free(request);
}

static int run(struct td_rpc_call *call, bool apply)
{
	struct request *request = calloc(1, sizeof(*request));
	const struct td_reload_user user = {.differs = differs, .done = done, .context = request};
	int rc;

	if (!request)
		return td_error_set(&call->error, -ENOMEM, "configuration", "", "there is not enough memory");
	rc = td_reload_start(call->rpc->context->reload, apply, &user, &call->error);
	if (rc < 0) {
		free(request);
		return rc;
	}
	td_rpc_pending_make(&request->pending, call);
	return TD_RPC_LATER;
}

int td_rpc_config_diff(struct td_rpc_call *call)
{
	return run(call, false);
}

int td_rpc_config_reload(struct td_rpc_call *call)
{
	return run(call, true);
}

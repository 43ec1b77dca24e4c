// SPDX-License-Identifier: BSD-3-Clause
// The methods about policies. What a policy may be is the configuration's table: a request becomes the
// settings that a file would have, and is read and checked as these are.
#include "control/config/policies.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define U64(value) ((json_int_t)(value))

const struct td_rpc_field td_rpc_policy_fields[] = {
    {"action", TD_RPC_VALUE, true, 0, 0},
    {"direction", TD_RPC_VALUE, false, 0, 0},
    {"local", TD_RPC_VALUE, false, 0, 0},
    {"remote", TD_RPC_VALUE, false, 0, 0},
    {"protocol", TD_RPC_VALUE, false, 0, 0},
    {"local_port", TD_RPC_VALUE, false, 0, 0},
    {"remote_port", TD_RPC_VALUE, false, 0, 0},
    {"icmp_type", TD_RPC_VALUE, false, 0, 0},
    {"tunnel", TD_RPC_VALUE, false, 0, 0},
    {0},
};
const struct td_rpc_field td_rpc_policy_set_fields[] = {{"policies", TD_RPC_ARRAY, true, 0, 0}, {0}};
const struct td_rpc_field td_rpc_policy_add_fields[] = {
    {"before", TD_RPC_INTEGER, false, 1, UINT32_MAX}, {0}};
const struct td_rpc_field td_rpc_policy_remove_fields[] = {{"id", TD_RPC_INTEGER, true, 1, UINT32_MAX}, {0}};

// ---- list ---------------------------------------------------------------------------------------

// "10.1.0.0/24", "10.1.0.5-10.1.0.9" or "any", as in the configuration.
static json_t *selector_json(const struct td_prefix *prefix, const struct td_ip *high)
{
	char text[TD_PREFIX_TEXT_MAX], last[TD_IP_TEXT_MAX];

	if (!high->family)
		return td_rpc_json_prefix(prefix);
	return json_sprintf("%s-%s", td_ip_format(&prefix->ip, text), td_ip_format(high, last));
}

// id 0: none.
static void policy_item(struct td_rpc_call *call, const struct td_policy_config *policy, const char *origin,
    uint32_t id, const struct td_dp_hits *hits)
{
	static const char *const actions[] = {
	    [TD_POLICY_DISCARD] = "discard", [TD_POLICY_BYPASS] = "bypass", [TD_POLICY_PROTECT] = "protect"};
	static const char *const directions[] = {
	    [TD_POLICY_OUT] = "out", [TD_POLICY_IN] = "in", [TD_POLICY_BOTH] = "both"};
	json_t *workers = json_array();
	uint64_t packets = 0;

	for (unsigned worker = 0; worker < td_dp_worker_count(); worker++) {
		uint64_t counted = td_dp_hits_read(hits, worker);

		packets += counted;
		json_array_append_new(workers, json_integer(U64(counted)));
	}
	td_rpc_list_item(call,
	    json_pack("{s:I,s:s,s:s,s:s,s:o,s:o,s:i,s:i,s:i,s:i,s:i,s:o,s:I,s:o}", "id", U64(id), "origin",
	        origin, "action", actions[policy->action], "direction", directions[policy->direction],
	        "local", selector_json(&policy->local, &policy->local_high), "remote",
	        selector_json(&policy->remote, &policy->remote_high), "protocol", policy->protocol,
	        "local_port_low", policy->local_port_low, "local_port_high", policy->local_port_high,
	        "remote_port_low", policy->remote_port_low, "remote_port_high", policy->remote_port_high,
	        "tunnel", td_rpc_json_text(policy->tunnel), "packets", U64(packets), "workers", workers));
}

static void tunnel_items(struct td_rpc_call *call, unsigned index)
{
	const struct td_tunnel_config *tunnel = &call->rpc->context->config->tunnels[index];
	struct td_policy_config policy = {
	    .action = TD_POLICY_PROTECT,
	    .direction = TD_POLICY_BOTH,
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	};

	memcpy(policy.tunnel, tunnel->name, sizeof(policy.tunnel));
	for (unsigned i = 0; i < tunnel->local_count; i++)
		for (unsigned j = 0; j < tunnel->remote_count; j++) {
			policy.local = tunnel->local[i];
			policy.remote = tunnel->remote[j];
			// Prefixes of two families match no packet together and make no rule.
			if (policy.local.ip.family == policy.remote.ip.family)
				policy_item(call, &policy, "tunnel", 0,
				    td_policies_tunnel_hits(call->rpc->context->policies, index, i, j));
		}
}

int td_rpc_policy_list(struct td_rpc_call *call)
{
	static const struct td_policy_config otherwise = {
	    .action = TD_POLICY_DISCARD,
	    .direction = TD_POLICY_BOTH,
	    .local_port_high = UINT16_MAX,
	    .remote_port_high = UINT16_MAX,
	};
	const struct td_rpc_context *context = call->rpc->context;
	const struct td_policy *policy;

	td_rpc_list_begin(call, "policies");
	for (unsigned i = 0; (policy = td_policies_at(context->policies, i)); i++)
		policy_item(call, &policy->config, "config", policy->id, policy->hits);
	for (unsigned i = 0; i < context->config->tunnel_count; i++)
		tunnel_items(call, i);
	policy_item(call, &otherwise, "default", 0, NULL);
	return td_rpc_list_end(call);
}

// ---- change -------------------------------------------------------------------------------------

// A word that is neither a name nor has what only addresses and ranges have may be a key in the wrong place,
// and the check of the configuration would quote it.
static bool may_be_quoted(const char *text)
{
	return td_rpc_is_name(text) || strlen(text) < TD_NAME_MAX || strpbrk(text, ".:/");
}

static int setting_add(
    struct td_rpc_call *call, config_setting_t *group, const char *name, const json_t *value)
{
	bool text = json_is_string(value);
	config_setting_t *setting =
	    config_setting_add(group, name, text ? CONFIG_TYPE_STRING : CONFIG_TYPE_INT64);
	bool set = setting && (text ? config_setting_set_string(setting, json_string_value(value))
	                            : config_setting_set_int64(setting, json_integer_value(value)));

	if (text && !may_be_quoted(json_string_value(value)))
		return td_error_set(&call->error, -EINVAL, NULL, name, "is nothing that a policy can have");
	return set ? 0 : td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
}

static int group_add(struct td_rpc_call *call, config_setting_t *list, const json_t *object)
{
	config_setting_t *group = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);

	if (!group)
		return td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
	for (const struct td_rpc_field *field = td_rpc_policy_fields; field->name; field++) {
		const json_t *value = json_object_get(object, field->name);
		int rc = value ? setting_add(call, group, field->name, value) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

// Reads the policies of a request: params itself, or those of "policies". To be freed.
static int policies_read(struct td_rpc_call *call, struct td_policy_config **policies, unsigned *count)
{
	const json_t *array = json_object_get(call->params, "policies");
	size_t size = array ? json_array_size(array) : 1;
	unsigned failed = 0;
	config_t file;
	int rc = 0;

	if (size > TD_RPC_BULK_MAX)
		return td_error_set(&call->error, -EINVAL, NULL, "policies",
		    "has %zu objects, at most %u fit one request", size, TD_RPC_BULK_MAX);
	config_init(&file);
	config_setting_t *list = config_setting_add(config_root_setting(&file), "policies", CONFIG_TYPE_LIST);
	if (!list)
		rc = td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
	td_error_set(&call->error, 0, "policy", NULL, " ");
	for (; rc == 0 && failed < size; failed += rc == 0) {
		const json_t *object = array ? json_array_get(array, failed) : call->params;

		// A request of one policy was checked on its way here.
		rc = array ? td_rpc_params_check(object, td_rpc_policy_fields, NULL, &call->error) : 0;
		if (rc == 0)
			rc = group_add(call, list, object);
	}
	if (rc == 0)
		rc = td_config_policies_read(config_root_setting(&file), call->rpc->context->config, policies,
		    count, &failed, &call->error);
	if (rc && array)
		call->index = (int)failed;
	config_destroy(&file);
	return rc;
}

// A change that is under way, and its answer if it goes well.
struct request {
	struct td_rpc_pending pending;
	char result[64];
};

static void done(void *context, int result, const struct td_error *error)
{
	struct request *request = context;

	td_rpc_pending_answer(&request->pending, result, request->result, error, NULL);
	free(request);
}

static struct request *request_create(struct td_rpc_call *call, struct td_policies_user *user)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		(void)td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
	*user = (struct td_policies_user){.done = done, .context = request};
	return request;
}

// The request was accepted if rc is 0.
static int request_wait(
    struct td_rpc_call *call, struct request *request, int rc, const char *member, uint32_t value)
{
	if (rc) {
		free(request);
		return rc;
	}
	snprintf(request->result, sizeof(request->result), "{\"%s\":%u}", member, (unsigned)value);
	td_rpc_pending_make(&request->pending, call);
	return TD_RPC_LATER;
}

int td_rpc_policy_set(struct td_rpc_call *call)
{
	struct td_policy_config *configs = NULL;
	struct td_policies_user user;
	unsigned count = 0;
	int rc = policies_read(call, &configs, &count);
	struct request *request = rc == 0 ? request_create(call, &user) : NULL;

	if (!request) {
		free(configs);
		return rc ? rc : -ENOMEM;
	}
	rc = td_policies_replace(call->rpc->context->policies, configs, count, &user, &call->error);
	return request_wait(call, request, rc, "policies", count);
}

int td_rpc_policy_add(struct td_rpc_call *call)
{
	uint32_t before = (uint32_t)td_rpc_params_integer(call->params, "before", 0), id = 0;
	struct td_policy_config *config = NULL;
	struct td_policies_user user;
	unsigned count = 0;
	int rc = policies_read(call, &config, &count);
	struct request *request = rc == 0 ? request_create(call, &user) : NULL;

	if (!request) {
		free(config);
		return rc ? rc : -ENOMEM;
	}
	rc = td_policies_add(call->rpc->context->policies, config, before, &id, &user, &call->error);
	return request_wait(call, request, rc, "id", id);
}

int td_rpc_policy_remove(struct td_rpc_call *call)
{
	uint32_t id = (uint32_t)td_rpc_params_integer(call->params, "id", 0);
	struct td_policies_user user;
	struct request *request = request_create(call, &user);
	int rc;

	if (!request)
		return -ENOMEM;
	rc = td_policies_remove(call->rpc->context->policies, id, &user, &call->error);
	return request_wait(call, request, rc, "removed", id);
}

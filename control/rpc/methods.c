// SPDX-License-Identifier: BSD-3-Clause
// The methods of the control socket: the table, and those that change something. docs/control-protocol.md
// describes each one.
#include "common/secret.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX INT64_MAX // JSON integers are signed

static const struct td_rpc_field sa_fields[] = {
    {"spi", TD_RPC_INTEGER, true, TD_SPI_MIN, UINT32_MAX},
    {"direction", TD_RPC_STRING, true, 0, 0},
    {"tunnel", TD_RPC_STRING, true, 0, 0},
    {"protocol", TD_RPC_STRING, false, 0, 0},
    {"suite", TD_RPC_STRING, true, 0, 0},
    {"key", TD_RPC_STRING, true, 0, 0},
    {"worker", TD_RPC_INTEGER, false, 0, UINT32_MAX},
    {"activate", TD_RPC_BOOLEAN, false, 0, 0},
    {"esn", TD_RPC_BOOLEAN, false, 0, 0},
    {"replay_window", TD_RPC_INTEGER, false, TD_REPLAY_WINDOW_MIN, TD_REPLAY_WINDOW_MAX},
    {"soft_bytes", TD_RPC_INTEGER, false, 0, COUNT_MAX},
    {"hard_bytes", TD_RPC_INTEGER, false, 0, COUNT_MAX},
    {"soft_packets", TD_RPC_INTEGER, false, 0, COUNT_MAX},
    {"hard_packets", TD_RPC_INTEGER, false, 0, COUNT_MAX},
    {"soft_ms", TD_RPC_INTEGER, false, 0, TD_SA_TIME_MAX_MS},
    {"hard_ms", TD_RPC_INTEGER, false, 0, TD_SA_TIME_MAX_MS},
    {0},
};

#define NAME_FIELDS(direction_required)                                                                      \
	{"spi", TD_RPC_INTEGER, true, TD_SPI_MIN, UINT32_MAX},                                               \
	    {"direction", TD_RPC_STRING, direction_required, 0, 0}, {"tunnel", TD_RPC_STRING, false, 0, 0},  \
	{                                                                                                    \
		0                                                                                            \
	}

static const struct td_rpc_field name_fields[] = {NAME_FIELDS(false)};
static const struct td_rpc_field full_name_fields[] = {NAME_FIELDS(true)};

static const struct td_rpc_field no_fields[] = {{0}};
static const struct td_rpc_field drain_fields[] = {
    {"drain_ms", TD_RPC_INTEGER, false, 0, TD_SA_TIME_MAX_MS},
    {0},
};
static const struct td_rpc_field delete_fields[] = {{"force", TD_RPC_BOOLEAN, false, 0, 0}, {0}};
static const struct td_rpc_field spi_fields[] = {
    {"tunnel", TD_RPC_STRING, false, 0, 0},
    {"worker", TD_RPC_INTEGER, false, 0, UINT32_MAX},
    {0},
};
static const struct td_rpc_field sa_list_fields[] = {{"tunnel", TD_RPC_STRING, false, 0, 0}, {0}};
static const struct td_rpc_field drop_list_fields[] = {{"all", TD_RPC_BOOLEAN, false, 0, 0}, {0}};

// ---- reading objects --------------------------------------------------------------------------

// The objects of a request: params itself, or those of "sas".
static int items_count(struct td_rpc_call *call, unsigned *count)
{
	const json_t *sas = json_object_get(call->params, "sas");

	if (sas && json_array_size(sas) > TD_RPC_BULK_MAX)
		return td_error_set(&call->error, -EINVAL, NULL, "sas",
		    "has %zu objects, at most %u fit one request", json_array_size(sas), TD_RPC_BULK_MAX);
	*count = sas ? (unsigned)json_array_size(sas) : 1;
	return 0;
}

static int item_at(
    struct td_rpc_call *call, unsigned index, const struct td_rpc_field *fields, const json_t **item)
{
	const json_t *sas = json_object_get(call->params, "sas");

	*item = call->params;
	if (!sas)
		return 0;
	call->index = (int)index;
	*item = json_array_get(sas, index);
	td_error_set(&call->error, 0, "sa", "", " ");
	return td_rpc_params_check(*item, fields, NULL, &call->error);
}

// What the request is about, in the words of every later error.
static void item_describe(struct td_rpc_call *call, uint32_t spi, const char *direction)
{
	snprintf(call->error.object, sizeof(call->error.object), "sa 0x%08x (%s)", spi, direction);
}

static int direction_read(struct td_rpc_call *call, const json_t *item, const char *otherwise, bool *outbound)
{
	const char *direction = td_rpc_params_string(item, "direction");

	if (!direction)
		direction = otherwise;
	if (strcmp(direction, "in") != 0 && strcmp(direction, "out") != 0)
		return td_error_set(&call->error, -EINVAL, "sa", "direction", "must be \"in\" or \"out\"");
	*outbound = direction[0] == 'o';
	item_describe(call, (uint32_t)td_rpc_params_integer(item, "spi", 0), direction);
	return 0;
}

int td_rpc_tunnel_read(struct td_rpc_call *call, const json_t *item, struct td_tunnel **tunnel)
{
	const char *name = td_rpc_params_string(item, "tunnel");

	*tunnel = name ? td_sad_tunnel_find(call->rpc->context->sad, name) : NULL;
	if (!name || *tunnel)
		return 0;
	if (!td_rpc_is_name(name))
		return td_error_set(&call->error, -ENOENT, NULL, "tunnel",
		    "is no name that a tunnel can have (tunnel.list shows them)");
	return td_error_set(&call->error, -ENOENT, NULL, "tunnel",
	    "\"%s\" is not in the configuration (tunnel.list shows what is)", name);
}

static int suite_read(struct td_rpc_call *call, const json_t *item, unsigned *suite)
{
	const char *protocol = td_rpc_params_string(item, "protocol");
	bool ah = protocol && strcmp(protocol, "ah") == 0;
	int found = td_dp_suite_find(ah ? TD_SA_AH : TD_SA_ESP, td_rpc_params_string(item, "suite"));
	char known[192] = "";

	if (protocol && !ah && strcmp(protocol, "esp") != 0)
		return td_error_set(&call->error, -EINVAL, NULL, "protocol", "must be \"esp\" or \"ah\"");

	if (found >= 0) {
		*suite = (unsigned)found;
		return 0;
	}
	for (unsigned i = 0; i < td_dp_suite_count(); i++) {
		size_t used = strlen(known);

		if (td_dp_suite_info(i)->protocol == (ah ? TD_SA_AH : TD_SA_ESP))
			snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
			    td_dp_suite_info(i)->name);
	}
	return td_error_set(
	    &call->error, -EINVAL, NULL, "suite", "is not one of %s's: %s", ah ? "ah" : "esp", known);
}

static int key_read(struct td_rpc_call *call, const json_t *item, unsigned suite, struct td_secret *key)
{
	const struct td_suite_info *info = td_dp_suite_info(suite);
	const char *text = td_rpc_params_string(item, "key");
	int rc = td_secret_from_hex(text, key);

	if (rc == -EINVAL)
		return td_error_set(&call->error, -EINVAL, NULL, "key",
		    "must be hexadecimal digits, two per byte (%s needs %u bytes)", info->name,
		    info->key_bytes);
	if (rc || key->length != info->key_bytes)
		return td_error_set(&call->error, -EINVAL, NULL, "key",
		    "is %zu bytes, %s needs %u (key and salt)", rc ? strlen(text) / 2 : key->length,
		    info->name, info->key_bytes);
	return 0;
}

static void lifetimes_read(const json_t *item, struct td_sa_request *request)
{
	request->limits.soft_bytes = td_rpc_params_integer(item, "soft_bytes", 0);
	request->limits.hard_bytes = td_rpc_params_integer(item, "hard_bytes", 0);
	request->limits.soft_packets = td_rpc_params_integer(item, "soft_packets", 0);
	request->limits.hard_packets = td_rpc_params_integer(item, "hard_packets", 0);
	request->soft_time_ms = td_rpc_params_integer(item, "soft_ms", 0);
	request->hard_time_ms = td_rpc_params_integer(item, "hard_ms", 0);
}

static int request_read(
    struct td_rpc_call *call, const json_t *item, struct td_sa_request *request, struct td_secret *key)
{
	int rc = direction_read(call, item, NULL, &request->outbound);

	if (rc == 0)
		rc = td_rpc_tunnel_read(call, item, &request->tunnel);
	if (rc == 0)
		rc = td_rpc_injected_check(call, request->tunnel);
	if (rc == 0)
		rc = suite_read(call, item, &request->suite);
	if (rc == 0)
		rc = key_read(call, item, request->suite, key);
	if (rc)
		return rc;
	if (request->outbound && json_object_get(item, "replay_window"))
		return td_error_set(&call->error, -EINVAL, NULL, "replay_window", "is for inbound SAs only");
	request->key = key;
	request->spi = (uint32_t)td_rpc_params_integer(item, "spi", 0);
	request->owner = (unsigned)td_rpc_params_integer(item, "worker", 0);
	request->activate = td_rpc_params_boolean(item, "activate");
	request->esn = td_rpc_params_boolean(item, "esn");
	request->replay_window = (unsigned)td_rpc_params_integer(item, "replay_window", 0);
	lifetimes_read(item, request);
	return 0;
}

static int name_read(
    struct td_rpc_call *call, const json_t *item, const char *otherwise, struct td_sa_name *name)
{
	int rc = direction_read(call, item, otherwise, &name->outbound);

	name->spi = (uint32_t)td_rpc_params_integer(item, "spi", 0);
	if (rc == 0)
		rc = td_rpc_tunnel_read(call, item, &name->tunnel);
	if (rc)
		return rc;
	const struct td_tunnel *tunnel = name->tunnel;
	const struct td_sa *sa =
	    tunnel || name->outbound ? NULL : td_sad_sa_find_in(call->rpc->context->sad, name->spi);

	// An inbound SA is found without its tunnel.
	if (sa)
		tunnel = sa->tunnel;
	return tunnel ? td_rpc_injected_check(call, tunnel) : 0;
}

// ---- methods ----------------------------------------------------------------------------------

// Marks the object at fault of a bulk request, and names the method's success.
static int finish(struct td_rpc_call *call, int rc, unsigned failed, const char *word, unsigned count)
{
	if (json_object_get(call->params, "sas"))
		call->index = (int)failed;
	if (rc == 0)
		call->result = json_pack("{s:I}", word, (json_int_t)count);
	return rc;
}

static int sa_add(struct td_rpc_call *call)
{
	struct td_sa_request *requests = NULL;
	struct td_secret *keys = NULL;
	unsigned count = 0, failed = UINT_MAX; // no object is at fault yet
	int rc = items_count(call, &count);

	if (rc)
		return rc;
	requests = calloc((size_t)count + 1, sizeof(*requests));
	keys = calloc((size_t)count + 1, sizeof(*keys));
	if (!requests || !keys)
		rc = td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
	for (unsigned i = 0; rc == 0 && i < count; i++) {
		const json_t *item;

		failed = i;
		rc = item_at(call, i, sa_fields, &item);
		if (rc == 0)
			rc = request_read(call, item, &requests[i], &keys[i]);
	}
	if (rc == 0)
		rc = td_sad_add(call->rpc->context->sad, requests, count, &failed, &call->error);
	if (keys)
		td_wipe(keys, ((size_t)count + 1) * sizeof(*keys));
	free(keys);
	free(requests);
	return finish(call, rc, failed, "added", count);
}

// Reads the names of a request. Returns them, to be freed, or NULL with *rc and *failed set.
static struct td_sa_name *names_read(struct td_rpc_call *call, const struct td_rpc_field *fields,
    const char *otherwise, unsigned *count, unsigned *failed, int *rc)
{
	struct td_sa_name *names = NULL;

	*rc = items_count(call, count);
	if (*rc == 0)
		names = calloc((size_t)*count + 1, sizeof(*names));
	if (*rc == 0 && !names)
		*rc = td_error_set(&call->error, -ENOMEM, NULL, "", "there is not enough memory");
	for (unsigned i = 0; *rc == 0 && i < *count; i++) {
		const json_t *item;

		*failed = i;
		*rc = item_at(call, i, fields, &item);
		if (*rc == 0)
			*rc = name_read(call, item, otherwise, &names[i]);
	}
	if (*rc == 0)
		return names;
	free(names);
	return NULL;
}

static int sa_switch(struct td_rpc_call *call)
{
	unsigned count = 0, failed = UINT_MAX; // no object is at fault yet
	int rc;
	struct td_sa_name *names = names_read(call, name_fields, "out", &count, &failed, &rc);

	if (names)
		rc = td_sad_switch(call->rpc->context->sad, names, count, &failed, &call->error);
	free(names);
	return finish(call, rc, failed, "switched", count);
}

static int sa_drain(struct td_rpc_call *call)
{
	uint64_t drain_ms = td_rpc_params_integer(call->params, "drain_ms", 0);
	unsigned count = 0, failed = UINT_MAX; // no object is at fault yet
	int rc;
	struct td_sa_name *names = names_read(call, name_fields, "in", &count, &failed, &rc);

	if (names)
		rc = td_sad_drain(call->rpc->context->sad, names, count, drain_ms, &failed, &call->error);
	free(names);
	return finish(call, rc, failed, "draining", count);
}

static int sa_delete(struct td_rpc_call *call)
{
	bool force = td_rpc_params_boolean(call->params, "force");
	unsigned count = 0, failed = UINT_MAX; // no object is at fault yet
	int rc;
	struct td_sa_name *names = names_read(call, full_name_fields, NULL, &count, &failed, &rc);

	if (names)
		rc = td_sad_remove(call->rpc->context->sad, names, count, force, &failed, &call->error);
	free(names);
	return finish(call, rc, failed, "deleted", count);
}

static int sa_spi(struct td_rpc_call *call)
{
	uint64_t worker = td_rpc_params_integer(call->params, "worker", 0);
	struct td_tunnel *tunnel;
	uint32_t random;
	int rc = td_rpc_tunnel_read(call, call->params, &tunnel);

	if (rc)
		return rc;
	if (worker >= td_dp_worker_count())
		return td_error_set(&call->error, -EINVAL, "spi", "worker",
		    "is %llu, there are %u workers (0 to %u)", (unsigned long long)worker,
		    td_dp_worker_count(), td_dp_worker_count() - 1);
	rc = td_random(&random, sizeof(random));
	if (rc)
		return td_error_set(&call->error, rc, "spi", "", "there is no randomness");
	uint32_t spi = td_sad_spi_fresh(call->rpc->context->sad, (unsigned)worker, random);
	if (!spi)
		return td_error_set(&call->error, -ENOSPC, "spi", "worker", "has an SA on each of its SPIs");
	call->result = json_pack("{s:I,s:I}", "spi", (json_int_t)spi, "worker", (json_int_t)worker);
	return 0;
}

static int version(struct td_rpc_call *call)
{
	call->result = json_pack("{s:s,s:s,s:i}", "program", "tandemd", "version", TD_VERSION, "protocol", 1);
	return 0;
}

static int loop_stats(struct td_rpc_call *call)
{
	const struct td_loop_stats *stats = td_loop_stats(call->rpc->context->loop);

	call->result = json_pack("{s:I,s:I,s:I}", "turns", (json_int_t)stats->turns, "late_turns",
	    (json_int_t)stats->late_turns, "longest_us", (json_int_t)(stats->longest_ns / 1000));
	return 0;
}

static int events_subscribe(struct td_rpc_call *call)
{
	call->client->subscribed = true;
	call->result = json_pack("{s:b}", "subscribed", 1);
	return 0;
}

static const struct td_rpc_method methods[] = {
    {"version", no_fields, NULL, version},
    {"sa.spi", spi_fields, NULL, sa_spi},
    {"sa.add", NULL, sa_fields, sa_add},
    {"sa.switch", NULL, name_fields, sa_switch},
    {"sa.drain", drain_fields, name_fields, sa_drain},
    {"sa.delete", delete_fields, full_name_fields, sa_delete},
    {"sa.list", sa_list_fields, NULL, td_rpc_sa_list},
    {"tunnel.list", td_rpc_tunnel_list_fields, NULL, td_rpc_tunnel_list},
    {"tunnel.up", td_rpc_tunnel_fields, NULL, td_rpc_tunnel_up},
    {"tunnel.down", td_rpc_tunnel_fields, NULL, td_rpc_tunnel_down},
    {"tunnel.rekey", td_rpc_tunnel_rekey_fields, NULL, td_rpc_tunnel_rekey},
    {"ike.list", no_fields, NULL, td_rpc_ike_list},
    {"ike.stats", no_fields, NULL, td_rpc_ike_stats},
    {"config.diff", no_fields, NULL, td_rpc_config_diff},
    {"config.reload", no_fields, NULL, td_rpc_config_reload},
    {"policy.list", no_fields, NULL, td_rpc_policy_list},
    {"policy.set", td_rpc_policy_set_fields, NULL, td_rpc_policy_set},
    {"policy.add", td_rpc_policy_add_fields, td_rpc_policy_fields, td_rpc_policy_add},
    {"policy.remove", td_rpc_policy_remove_fields, NULL, td_rpc_policy_remove},
    {"worker.list", no_fields, NULL, td_rpc_worker_list},
    {"loop.stats", no_fields, NULL, loop_stats},
    {"port.list", no_fields, NULL, td_rpc_port_list},
    {"drop.list", drop_list_fields, NULL, td_rpc_drop_list},
    {"suite.list", no_fields, NULL, td_rpc_suite_list},
    {"events.subscribe", no_fields, NULL, events_subscribe},
    {"trace.start", td_rpc_trace_start_fields, NULL, td_rpc_trace_start},
    {"trace.show", td_rpc_trace_show_fields, NULL, td_rpc_trace_show},
    {"trace.stop", no_fields, NULL, td_rpc_trace_stop},
    {"capture.start", td_rpc_capture_start_fields, NULL, td_rpc_capture_start},
    {"capture.show", no_fields, NULL, td_rpc_capture_show},
    {"capture.stop", no_fields, NULL, td_rpc_capture_stop},
};

const struct td_rpc_method *td_rpc_method_find(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

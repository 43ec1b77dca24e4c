// SPDX-License-Identifier: BSD-3-Clause
// JSON-RPC 2.0: requests to method calls, results and errors to lines.
#include "common/secret.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE_PARSE (-32700)
#define CODE_REQUEST (-32600)
#define CODE_METHOD (-32601)
#define CODE_PARAMS (-32602)

static void wiping_free(void *memory)
{
	if (memory)
		td_wipe(memory, malloc_usable_size(memory));
	free(memory);
}

void td_rpc_json_init(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

// Bytes of the UTF-8 sequence (RFC 3629) at the start of text, or 0 if there is none.
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char low, high; // of the first byte
		unsigned char second_low, second_high;
		size_t length;
	} rows[] = {
	    {0x01, 0x7f, 0, 0, 1},
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3},
	    {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3}, // no surrogates
	    {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4},
	    {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (text[0] < rows[i].low || text[0] > rows[i].high)
			continue;
		if (rows[i].length > 1 && (text[1] < rows[i].second_low || text[1] > rows[i].second_high))
			return 0;
		// The terminator ends a sequence that was cut.
		for (size_t j = 2; j < rows[i].length; j++)
			if ((text[j] & 0xc0) != 0x80)
				return 0;
		return rows[i].length;
	}
	return 0;
}

json_t *td_rpc_json_text(const char *text)
{
	char *clean = strdup(text);
	json_t *value = NULL;

	if (!clean)
		return NULL;
	for (char *at = clean; *at;) {
		size_t length = utf8_length((const unsigned char *)at);

		if (!length)
			*at = '?';
		at += length ? length : 1;
	}
	value = json_string(clean);
	free(clean);
	return value;
}

json_t *td_rpc_json_ip(const struct td_ip *ip)
{
	char text[TD_IP_TEXT_MAX];

	return json_string(td_ip_format(ip, text));
}

// ---- output -----------------------------------------------------------------------------------

static int output(const char *data, size_t length, void *client)
{
	td_rpc_client_append(client, data, length);
	return 0;
}

static bool json_write(struct td_rpc_client *client, const json_t *value)
{
	return value && json_dump_callback(value, output, client, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
}

static void text_write(struct td_rpc_client *client, const char *text)
{
	td_rpc_client_append(client, text, strlen(text));
}

static void id_write(struct td_rpc_client *client, const json_t *id)
{
	if (!id || !json_write(client, id))
		text_write(client, "null");
}

// Takes body, the error object. Without memory a fixed text says so.
static void error_write(struct td_rpc_client *client, const json_t *id, json_t *body)
{
	size_t before = td_rpc_client_waiting(client);

	text_write(client, "{\"jsonrpc\":\"2.0\",\"id\":");
	id_write(client, id);
	text_write(client, ",\"error\":");
	if (json_write(client, body)) {
		text_write(client, "}\n");
	} else {
		td_rpc_client_cut(client, before);
		text_write(client, "{\"jsonrpc\":\"2.0\",\"id\":");
		id_write(client, id);
		text_write(client, ",\"error\":{\"code\":4,\"message\":\"out of memory\"}}\n");
	}
	json_decref(body);
}

void td_rpc_json_error(struct td_rpc_client *client, json_t *id, int code, const char *message)
{
	error_write(client, id, json_pack("{s:i,s:o}", "code", code, "message", td_rpc_json_text(message)));
}

static int code_of(int rc)
{
	switch (rc) {
	case -EINVAL:
	case -ERANGE:
	case -ENOTSUP:
		return CODE_PARAMS;
	case -ENOENT:
		return 1;
	case -EEXIST:
		return 2;
	case -EBUSY:
	case -ECANCELED:
		return 3;
	case -EBADMSG:
		return 5;
	default:
		return 4;
	}
}

// What names no object is about the method.
static void error_name(struct td_error *error, const char *method)
{
	if (!error->object[0])
		snprintf(error->object, sizeof(error->object), "%s", method);
}

static void call_error(struct td_rpc_call *call, int rc)
{
	const struct td_error *error = &call->error;
	char message[512];

	if (error->field[0])
		snprintf(message, sizeof(message), "%s: %s %s", error->object, error->field, error->reason);
	else
		snprintf(message, sizeof(message), "%s %s", error->object, error->reason);
	json_t *data = json_pack("{s:o,s:o,s:o}", "object", td_rpc_json_text(error->object), "field",
	    td_rpc_json_text(error->field), "reason", td_rpc_json_text(error->reason));
	if (data && call->index >= 0)
		json_object_set_new(data, "index", json_integer(call->index));
	if (data && call->errors)
		json_object_set(data, "errors", call->errors);
	error_write(call->client, call->id,
	    json_pack(
	        "{s:i,s:o,s:o}", "code", code_of(rc), "message", td_rpc_json_text(message), "data", data));
}

static void call_result(struct td_rpc_call *call, const char *text)
{
	struct td_rpc_client *client = call->client;
	size_t before = td_rpc_client_waiting(client);

	text_write(client, "{\"jsonrpc\":\"2.0\",\"id\":");
	id_write(client, call->id);
	text_write(client, ",\"result\":");
	if (text) {
		text_write(client, text);
		text_write(client, "}\n");
	} else if (json_write(client, call->result)) {
		text_write(client, "}\n");
	} else {
		td_rpc_client_cut(client, before);
		td_rpc_json_error(client, call->id, 4,
		    "the request was carried out, but there was no memory for its result");
	}
}

void td_rpc_pending_make(struct td_rpc_pending *pending, struct td_rpc_call *call)
{
	*pending = (struct td_rpc_pending){call->rpc, call->client, call->method, json_incref(call->id)};
	call->client->pending = pending;
}

void td_rpc_pending_answer(
    struct td_rpc_pending *pending, int rc, const char *result, const struct td_error *error, json_t *errors)
{
	struct td_rpc_client *client = pending->client;
	struct td_rpc_call call = {.rpc = pending->rpc,
	    .client = client,
	    .id = pending->id,
	    .index = -1,
	    .error = *error,
	    .errors = errors};

	error_name(&call.error, pending->method);
	if (client && call.id && rc < 0)
		call_error(&call, rc);
	else if (client && call.id)
		call_result(&call, result);
	if (client) {
		client->pending = NULL;
		td_rpc_client_resume(client);
	}
	json_decref(pending->id);
	json_decref(errors);
}

void td_rpc_list_begin(struct td_rpc_call *call, const char *name)
{
	call->streaming = true;
	call->rollback = td_rpc_client_waiting(call->client);
	if (!call->id)
		return;
	text_write(call->client, "{\"jsonrpc\":\"2.0\",\"id\":");
	id_write(call->client, call->id);
	text_write(call->client, ",\"result\":{\"");
	text_write(call->client, name);
	text_write(call->client, "\":[");
}

void td_rpc_list_item(struct td_rpc_call *call, json_t *item)
{
	if (!item)
		call->out_of_memory = true;
	if (call->id && !call->out_of_memory) {
		if (call->items++)
			text_write(call->client, ",");
		if (!json_write(call->client, item))
			call->out_of_memory = true;
	}
	json_decref(item);
}

int td_rpc_list_end(struct td_rpc_call *call)
{
	if (call->out_of_memory) {
		td_rpc_client_cut(call->client, call->rollback);
		return td_error_set(&call->error, -ENOMEM, "list", "", "does not fit into memory");
	}
	if (call->id)
		text_write(call->client, "]}}\n");
	return 0;
}

// ---- input ------------------------------------------------------------------------------------

static void call_run(struct td_rpc_call *call, const struct td_rpc_method *method)
{
	int rc;

	call->method = method->name;
	error_name(&call->error, method->name);
	if (json_object_get(call->params, "sas") && method->item_fields) {
		static const struct td_rpc_field sas[] = {{"sas", TD_RPC_ARRAY, true, 0, 0}, {0}};

		rc = td_rpc_params_check(call->params, sas, method->fields, &call->error);
	} else {
		rc = td_rpc_params_check(call->params, method->fields, method->item_fields, &call->error);
	}
	if (rc == 0)
		rc = method->handle(call);
	if (call->id && rc < 0)
		call_error(call, rc);
	else if (call->id && !call->streaming && rc != TD_RPC_LATER)
		call_result(call, NULL);
	json_decref(call->result);
	json_decref(call->errors);
}

// Returns what is wrong with a request, or NULL.
static const char *request_fault(const json_t *request)
{
	static const char *const members[] = {"jsonrpc", "id", "method", "params"};
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const json_t *id = json_object_get(request, "id");
	size_t known = 0;

	if (json_is_array(request))
		return "batches are not supported; the methods take many objects at once";
	if (!json_is_object(request))
		return "a request is an object";
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		known += json_object_get(request, members[i]) != NULL;
	if (known != json_object_size(request))
		return "a request has the members jsonrpc, id, method and params, and no others";
	if (!version || strcmp(version, "2.0") != 0)
		return "jsonrpc must be \"2.0\"";
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return "id must be a string, a number or null";
	if (!json_is_string(json_object_get(request, "method")))
		return "method must be a string";
	return NULL;
}

static void request_handle(struct td_rpc_client *client, json_t *request)
{
	const char *fault = request_fault(request);
	json_t *id = json_object_get(request, "id");

	if (fault) {
		bool usable = json_is_string(id) || json_is_number(id);

		td_rpc_json_error(client, usable ? id : NULL, CODE_REQUEST, fault);
		return;
	}
	const char *name = json_string_value(json_object_get(request, "method"));
	const struct td_rpc_method *method = td_rpc_method_find(name);
	if (!method) {
		char message[128] = "there is no such method";

		if (td_rpc_is_name(name))
			snprintf(message, sizeof(message), "there is no method \"%s\"", name);
		if (id)
			td_rpc_json_error(client, id, CODE_METHOD, message);
		return;
	}
	json_t *params = json_object_get(request, "params");
	json_t *none = params ? NULL : json_object();
	struct td_rpc_call call = {
	    .rpc = client->rpc,
	    .client = client,
	    .params = params ? params : none,
	    .id = id,
	    .index = -1,
	};
	call_run(&call, method);
	json_decref(none);
}

void td_rpc_json_request(struct td_rpc_client *client, const char *line, size_t length)
{
	json_error_t where;
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);

	if (request) {
		request_handle(client, request);
		json_decref(request);
		return;
	}
	// The parser's own text quotes its input, which may be a key.
	char message[96];
	enum json_error_code code = json_error_code(&where);
	if (code == json_error_out_of_memory)
		snprintf(message, sizeof(message), "out of memory");
	else if (code == json_error_duplicate_key)
		snprintf(message, sizeof(message), "an object has the same member twice (before byte %d)",
		    where.position);
	else
		snprintf(
		    message, sizeof(message), "the line is not JSON in UTF-8 (at byte %d)", where.position);
	td_rpc_json_error(client, NULL, code == json_error_out_of_memory ? 4 : CODE_PARSE, message);
}

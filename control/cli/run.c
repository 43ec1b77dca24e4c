// SPDX-License-Identifier: BSD-3-Clause
#include "common/clock.h"
#include "common/limits.h"
#include "common/secret.h"
#include "control/cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PING_PAUSE_MS 100

static void json_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
	fflush(stdout);
}

// ---- responses --------------------------------------------------------------------------------

static void detail_print(const json_t *data, const char *key, const char *message)
{
	const char *text = json_string_value(json_object_get(data, key));

	// Most messages are made of the details.
	if (text != NULL && text[0] != '\0' && strstr(message, text) == NULL)
		fprintf(stderr, "  %s: %s\n", key, text);
}

static void error_print(const json_t *error)
{
	const char *message = json_string_value(json_object_get(error, "message"));
	const json_t *data = json_object_get(error, "data");
	const json_t *index = json_object_get(data, "index");
	const json_t *lines = json_object_get(data, "errors");
	size_t line;
	const json_t *text;

	if (message == NULL)
		message = "the daemon refused";
	fprintf(stderr, "tandemctl: %s\n", message);
	detail_print(data, "object", message);
	detail_print(data, "field", message);
	detail_print(data, "reason", message);
	if (json_is_integer(index))
		fprintf(stderr, "  index: %" JSON_INTEGER_FORMAT " (counted from 0)\n",
		    json_integer_value(index));
	// The first one is the message.
	for (line = 1; (text = json_array_get(lines, line)) != NULL; line++)
		fprintf(stderr, "  %s\n", json_string_value(text));
}

enum td_exit td_response_print(const struct td_call *call, json_t *response)
{
	const json_t *error = json_object_get(response, "error");
	const json_t *result = json_object_get(response, "result");
	enum td_exit code = TD_EXIT_OK;

	if (error != NULL && !json_is_null(error)) {
		error_print(error);
		code = TD_EXIT_REFUSED;
	} else if (call->json) {
		json_print(result);
	} else {
		call->command->print(result);
	}
	json_decref(response);
	return code;
}

static json_t *params_take(struct td_call *call)
{
	json_t *params = call->params;

	call->params = NULL;
	return params;
}

static enum td_exit method_run(struct td_call *call, const char *method)
{
	struct td_client client;
	json_t *response;
	int ret = td_client_connect(&client, call->socket_path);
	int error;

	if (ret < 0)
		return td_client_explain(call->socket_path, -ret);
	response = td_client_call(&client, method, params_take(call));
	error = errno;
	td_client_close(&client);
	if (response == NULL)
		return td_client_explain(call->socket_path, error);
	return td_response_print(call, response);
}

enum td_exit td_call_run(struct td_call *call)
{
	return method_run(call, call->command->method);
}

// ---- call -------------------------------------------------------------------------------------

enum td_exit td_run_method(struct td_call *call)
{
	json_error_t error;

	if (call->operands[1] != NULL) {
		json_decref(call->params);
		call->params = json_loads(call->operands[1], 0, &error);
		if (call->params == NULL) {
			// The error's text may quote a key.
			fprintf(stderr, "tandemctl: the parameters are not JSON (at character %d)\n",
			    error.position);
			return TD_EXIT_USAGE;
		}
	}
	return method_run(call, call->operands[0]);
}

// ---- sa load ----------------------------------------------------------------------------------

// People write SPIs as "0x1001", for which JSON has no number.
static bool spi_convert(json_t *sa)
{
	const json_t *spi = json_object_get(sa, "spi");
	unsigned long long number;

	if (!json_is_string(spi))
		return true;
	if (!td_number_parse(json_string_value(spi), UINT32_MAX, &number))
		return false;
	return json_object_set_new(sa, "spi", json_integer((json_int_t)number)) == 0;
}

static enum td_exit sas_check(const char *path, json_t *sas)
{
	size_t index;
	json_t *sa;

	if (!json_is_array(sas)) {
		fprintf(stderr, "tandemctl: %s: not a JSON list of SA objects\n", path);
		return TD_EXIT_USAGE;
	}
	// Several requests would not be all or nothing.
	if (json_array_size(sas) > TD_RPC_BULK_MAX) {
		fprintf(stderr, "tandemctl: %s: %zu SAs, but one request takes at most %d; split the file\n",
		    path, json_array_size(sas), TD_RPC_BULK_MAX);
		return TD_EXIT_USAGE;
	}
	json_array_foreach (sas, index, sa) {
		if (json_is_object(sa) && spi_convert(sa))
			continue;
		fprintf(stderr,
		    "tandemctl: %s: entry %zu (counted from 0) is not an SA object with a valid spi\n", path,
		    index);
		return TD_EXIT_USAGE;
	}
	return TD_EXIT_OK;
}

enum td_exit td_run_sa_load(struct td_call *call)
{
	const char *path = call->operands[0];
	json_t *root, *sas;
	json_error_t error;
	enum td_exit code;
	size_t length;
	char *text;

	text = td_input_read(path, TD_RPC_LINE_MAX, &length);
	if (text == NULL)
		return TD_EXIT_USAGE;
	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	td_wipe(text, length);
	free(text);
	// The error's text may quote what it read, and that may be a key.
	if (root == NULL) {
		fprintf(stderr, "tandemctl: %s:%d: not valid JSON\n", path, error.line);
		return TD_EXIT_USAGE;
	}
	sas = json_is_object(root) ? json_object_get(root, "sas") : root;
	code = sas_check(path, sas);
	if (code == TD_EXIT_OK && json_object_set(call->params, "sas", sas) < 0)
		code = TD_EXIT_USAGE;
	json_decref(root);
	return code == TD_EXIT_OK ? td_call_run(call) : code;
}

// ---- ping -------------------------------------------------------------------------------------

// Returns 0 when the daemon answered, or an errno.
static int ping_once(const char *path)
{
	struct td_client client;
	json_t *response;
	int error = -td_client_connect(&client, path);

	if (error != 0)
		return error;
	response = td_client_call(&client, "version", NULL);
	error = response != NULL ? 0 : errno;
	json_decref(response);
	td_client_close(&client);
	return error;
}

enum td_exit td_run_ping(struct td_call *call)
{
	uint64_t start_ns = td_clock_now_ns();
	uint64_t end_ns = start_ns + (call->local > 0 ? (uint64_t)call->local * TD_NS_PER_S : 0);
	const struct timespec pause = {.tv_nsec = PING_PAUSE_MS * (long)TD_NS_PER_MS};
	uint64_t asked_ns = start_ns;
	double ms;
	int error;

	while ((error = ping_once(call->socket_path)) != 0 && td_clock_now_ns() < end_ns) {
		nanosleep(&pause, NULL);
		asked_ns = td_clock_now_ns();
	}
	if (error != 0)
		return td_client_explain(call->socket_path, error);
	ms = (double)(td_clock_now_ns() - asked_ns) / (double)TD_NS_PER_MS;
	printf(call->json ? "{\"ms\":%.3f}\n" : "tandemd answered in %.3f ms\n", ms);
	return TD_EXIT_OK;
}

// ---- events -----------------------------------------------------------------------------------

static void event_field_print(const char *key, const json_t *value)
{
	if (json_is_string(value))
		printf(" %s=%s", key, json_string_value(value));
	else if (json_is_integer(value) && strncmp(key, "spi", 3) == 0)
		printf(" %s=0x%08llx", key, (unsigned long long)json_integer_value(value));
	else if (json_is_integer(value))
		printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
}

static void event_print(json_t *params)
{
	const char *kind = json_string_value(json_object_get(params, "event"));
	struct timespec now;
	struct tm local;
	char text[16];
	const char *key;
	json_t *value;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	strftime(text, sizeof(text), "%H:%M:%S", &local);
	printf("%s.%03ld %-16s", text, now.tv_nsec / 1000000, kind != NULL ? kind : "?");
	json_object_foreach (params, key, value) {
		if (strcmp(key, "event") != 0)
			event_field_print(key, value);
	}
	putchar('\n');
	fflush(stdout);
}

static enum td_exit events_follow(const struct td_call *call, struct td_client *client)
{
	long left = call->local;
	json_t *message, *params;

	while (left != 0 && !ferror(stdout)) {
		message = td_client_next(client);
		if (message == NULL)
			return td_client_explain(call->socket_path, errno);
		params = json_object_get(message, "params");
		if (call->json)
			json_print(params);
		else
			event_print(params);
		json_decref(message);
		if (left > 0)
			left--;
	}
	return TD_EXIT_OK;
}

enum td_exit td_run_events(struct td_call *call)
{
	struct td_client client;
	json_t *response;
	enum td_exit code;
	int ret = td_client_connect(&client, call->socket_path);

	if (ret < 0)
		return td_client_explain(call->socket_path, -ret);
	response = td_client_call(&client, call->command->method, params_take(call));
	if (response == NULL)
		code = td_client_explain(call->socket_path, errno);
	else if (json_object_get(response, "error") != NULL)
		code = td_response_print(call, json_incref(response));
	else
		code = events_follow(call, &client);
	json_decref(response);
	td_client_close(&client);
	return code;
}

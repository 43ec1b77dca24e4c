// SPDX-License-Identifier: BSD-3-Clause
// "trace show": asks for a few packets at a time, because the daemon has more to do than to show them.
#include "control/cli/command.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FOLLOW_PAUSE_MS 200

// ---- for people -------------------------------------------------------------------------------

static void end_print(const json_t *step, const char *address, const char *port)
{
	const json_t *number = json_object_get(step, port);

	printf("%s", json_string_value(json_object_get(step, address)));
	if (number != NULL)
		printf(" port %" JSON_INTEGER_FORMAT, json_integer_value(number));
}

static bool is_said(const char *key)
{
	static const char *const keys[] = {
	    "step", "us", "worker", "source", "destination", "source_port", "destination_port", "protocol"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static void value_print(const char *key, const json_t *value)
{
	if (json_is_string(value))
		printf(" %s=%s", key, json_string_value(value));
	else if (json_is_true(value))
		printf(" %s", key);
	else if (strcmp(key, "spi") == 0 || strcmp(key, "ethertype") == 0)
		printf(" %s=0x%08llx", key, (unsigned long long)json_integer_value(value));
	else
		printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
}

// "   12.3 us  worker 0  received       10.1.0.2 port 1 > 10.2.0.5 port 2 udp port=inside length=114"
static void step_print(const json_t *step)
{
	const json_t *protocol = json_object_get(step, "protocol");
	const char *key;
	json_t *value;

	printf("  %9.1f us  worker %-2" JSON_INTEGER_FORMAT " %-13s",
	    json_real_value(json_object_get(step, "us")), json_integer_value(json_object_get(step, "worker")),
	    json_string_value(json_object_get(step, "step")));
	if (json_object_get(step, "source") != NULL) {
		putchar(' ');
		end_print(step, "source", "source_port");
		printf(" > ");
		end_print(step, "destination", "destination_port");
	}
	if (json_is_string(protocol))
		printf(" %s", json_string_value(protocol));
	else if (protocol != NULL)
		printf(" protocol %" JSON_INTEGER_FORMAT, json_integer_value(protocol));
	json_object_foreach ((json_t *)(uintptr_t)step, key, value)
		if (!is_said(key))
			value_print(key, value);
	putchar('\n');
}

static void packet_print(const json_t *packet)
{
	json_int_t lost = json_integer_value(json_object_get(packet, "steps_lost"));
	const json_t *step;
	size_t index;

	printf("packet %" JSON_INTEGER_FORMAT "%s\n", json_integer_value(json_object_get(packet, "number")),
	    json_is_true(json_object_get(packet, "complete")) ? "" : " (under way)");
	json_array_foreach (json_object_get(packet, "steps"), index, step)
		step_print(step);
	if (lost > 0)
		printf("  %" JSON_INTEGER_FORMAT " further steps are not shown\n", lost);
}

static void summary_print(const json_t *result)
{
	json_int_t lost = json_integer_value(json_object_get(result, "records_lost"));

	printf("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " packets traced%s\n",
	    json_integer_value(json_object_get(result, "traced")),
	    json_integer_value(json_object_get(result, "wanted")),
	    json_is_true(json_object_get(result, "running")) ? "; the trace is running" : "");
	if (lost > 0)
		printf("%" JSON_INTEGER_FORMAT
		       " steps were lost: the workers told them faster than they were taken\n",
		    lost);
}

// ---- asking -----------------------------------------------------------------------------------

// One answer. Returns NULL after a message, with *code set.
static json_t *page_ask(
    const struct td_call *call, struct td_client *client, json_int_t after, bool complete, enum td_exit *code)
{
	json_t *params = json_pack("{s:I, s:b}", "after", after, "complete", (int)complete);
	json_t *response = td_client_call(client, call->command->method, params);
	json_t *result = json_object_get(response, "result");

	if (result != NULL) {
		json_incref(result);
		json_decref(response);
		return result;
	}
	*code = response == NULL ? td_client_explain(call->socket_path, errno)
	                         : td_response_print(call, response);
	return NULL;
}

static void line_print(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT);
	putchar('\n');
}

static json_int_t packets_print(const struct td_call *call, const json_t *result, json_int_t after)
{
	const json_t *packet;
	size_t index;

	json_array_foreach (json_object_get(result, "packets"), index, packet) {
		after = json_integer_value(json_object_get(packet, "number"));
		if (call->json)
			line_print(packet);
		else
			packet_print(packet);
	}
	fflush(stdout);
	return after;
}

// One packet after the other, each when nothing more is expected of it, until the trace ends.
static enum td_exit trace_follow(const struct td_call *call, struct td_client *client)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_PAUSE_MS * (long)TD_NS_PER_MS};
	enum td_exit code = TD_EXIT_OK;
	json_int_t after = 0;
	bool more = true;

	while (more && !ferror(stdout)) {
		json_t *result = page_ask(call, client, after, true, &code);

		if (result == NULL)
			return code;
		after = packets_print(call, result, after);
		more = json_is_true(json_object_get(result, "more"));
		if (!more && json_is_true(json_object_get(result, "running"))) {
			nanosleep(&pause, NULL);
			more = true;
		}
		if (!more && !call->json)
			summary_print(result);
		json_decref(result);
	}
	return TD_EXIT_OK;
}

// All that is there now; in JSON as one object.
static enum td_exit trace_show(const struct td_call *call, struct td_client *client)
{
	json_t *packets = json_array(), *result = NULL;
	enum td_exit code = TD_EXIT_OK;
	json_int_t after = 0;

	do {
		json_decref(result);
		result = page_ask(call, client, after, false, &code);
		if (result == NULL)
			break;
		if (call->json)
			json_array_extend(packets, json_object_get(result, "packets"));
		else
			packets_print(call, result, after);
		after += (json_int_t)json_array_size(json_object_get(result, "packets"));
	} while (json_is_true(json_object_get(result, "more")));
	if (result != NULL && call->json) {
		json_object_set(result, "packets", packets);
		line_print(result);
	} else if (result != NULL) {
		summary_print(result);
	}
	json_decref(result);
	json_decref(packets);
	return code;
}

enum td_exit td_run_trace_show(struct td_call *call)
{
	struct td_client client;
	enum td_exit code;
	int ret = td_client_connect(&client, call->socket_path);

	if (ret < 0)
		return td_client_explain(call->socket_path, -ret);
	if (json_is_true(json_object_get(call->params, "follow")))
		code = trace_follow(call, &client);
	else
		code = trace_show(call, &client);
	td_client_close(&client);
	return code;
}

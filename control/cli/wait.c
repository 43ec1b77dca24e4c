// SPDX-License-Identifier: BSD-3-Clause
// "tunnel wait": subscribes first and looks then, so that nothing happens between the two unseen; and looks
// again when something happened to the tunnel, or when nothing did for some time: of some ends no event tells
// (a reload without the tunnel).
#include "common/clock.h"
#include "control/cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LOOK_AGAIN_NS (3 * TD_NS_PER_S)

// Bounds the next wait for the daemon; end_ns 0: not. Returns false when the time is over.
static bool patience_set(const struct td_client *client, uint64_t end_ns)
{
	uint64_t now_ns = end_ns > 0 ? td_clock_now_ns() : 0;
	struct timeval left = {0}; // no bound

	if (end_ns > 0 && now_ns >= end_ns)
		return false;
	if (end_ns > 0) {
		left.tv_sec = (time_t)((end_ns - now_ns) / TD_NS_PER_S);
		left.tv_usec = (suseconds_t)((end_ns - now_ns) % TD_NS_PER_S / 1000);
		left.tv_usec += left.tv_sec == 0 && left.tv_usec == 0;
	}
	return setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)) == 0;
}

// An event of the tunnel that may have given it keys, or news that events were lost.
static bool is_news(const json_t *params, const char *tunnel)
{
	const char *kind = json_string_value(json_object_get(params, "event"));
	const char *name = json_string_value(json_object_get(params, "tunnel"));

	if (kind == NULL || strcmp(kind, "lost") == 0)
		return true;
	return name != NULL && strcmp(name, tunnel) == 0 &&
	       (strncmp(kind, "tunnel_", 7) == 0 || strcmp(kind, "sa_switched") == 0 ||
	           strcmp(kind, "sa_added") == 0);
}

// Whether the tunnel has keys; what is known of it replaces *tunnel. Returns anything but TD_EXIT_OK after a
// message.
static enum td_exit look(const struct td_call *call, struct td_client *client, json_t **tunnel)
{
	json_t *params = json_pack("{s:O}", "tunnel", json_object_get(call->params, "tunnel"));
	json_t *response = td_client_call(client, call->command->method, params);
	json_t *found = json_array_get(json_object_get(json_object_get(response, "result"), "tunnels"), 0);

	if (response == NULL)
		return td_client_explain(call->socket_path, errno);
	if (found == NULL)
		return td_response_print(call, response);
	json_decref(*tunnel);
	*tunnel = json_incref(found);
	json_decref(response);
	return TD_EXIT_OK;
}

static enum td_exit late(const struct td_call *call, const json_t *tunnel)
{
	const char *reason = json_string_value(json_object_get(tunnel, "last_error"));

	fprintf(stderr, "tandemctl: tunnel %s is not established after %ld s%s%s\n",
	    json_string_value(json_object_get(tunnel, "name")), call->local,
	    reason != NULL && reason[0] != '\0' ? ": " : "", reason != NULL ? reason : "");
	return TD_EXIT_REFUSED;
}

static enum td_exit news_wait(
    const struct td_call *call, struct td_client *client, uint64_t end_ns, const json_t *tunnel)
{
	uint64_t look_ns = td_clock_now_ns() + LOOK_AGAIN_NS;
	bool news = false;

	if (end_ns > 0 && end_ns < look_ns)
		look_ns = end_ns;
	while (!news) {
		json_t *event;

		if (!patience_set(client, look_ns)) {
			if (look_ns == end_ns)
				return late(call, tunnel);
			break;
		}
		event = td_client_next(client);
		if (event == NULL && errno != EAGAIN)
			return td_client_explain(call->socket_path, errno);
		news = event != NULL && is_news(json_object_get(event, "params"), call->operands[0]);
		json_decref(event);
	}
	return patience_set(client, 0) ? TD_EXIT_OK : TD_EXIT_REFUSED;
}

static enum td_exit established_wait(const struct td_call *call, struct td_client *client, uint64_t end_ns)
{
	json_t *tunnel = NULL;
	enum td_exit code;

	for (;;) {
		code = look(call, client, &tunnel);
		if (code != TD_EXIT_OK || json_is_true(json_object_get(tunnel, "established")))
			break;
		code = news_wait(call, client, end_ns, tunnel);
		if (code != TD_EXIT_OK)
			break;
	}
	json_decref(tunnel);
	return code;
}

enum td_exit td_run_tunnel_wait(struct td_call *call)
{
	uint64_t end_ns = call->local >= 0 ? td_clock_now_ns() + (uint64_t)call->local * TD_NS_PER_S : 0;
	struct td_client client;
	enum td_exit code;
	json_t *response;
	int ret = td_client_connect(&client, call->socket_path);

	if (ret < 0)
		return td_client_explain(call->socket_path, -ret);
	response = td_client_call(&client, "events.subscribe", NULL);
	if (response == NULL)
		code = td_client_explain(call->socket_path, errno);
	else if (json_object_get(response, "error") != NULL)
		code = td_response_print(call, json_incref(response));
	else
		code = established_wait(call, &client, end_ns);
	json_decref(response);
	td_client_close(&client);
	return code;
}

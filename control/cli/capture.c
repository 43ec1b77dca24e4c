// SPDX-License-Identifier: BSD-3-Clause
// "capture start" and "stop". The file is opened here, with the rights of whoever calls: the daemon, which
// has more, is never told a path.
#include "control/cli/command.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STOP_PAUSE_MS 20

void td_print_capture(const json_t *result)
{
	const char *failure = json_string_value(json_object_get(result, "failure"));
	const char *state = json_string_value(json_object_get(result, "state"));
	json_int_t lost = json_integer_value(json_object_get(result, "lost"));

	printf("%s: %" JSON_INTEGER_FORMAT " of at most %" JSON_INTEGER_FORMAT
	       " packets written, %" JSON_INTEGER_FORMAT " bytes",
	    state != NULL ? state : "?", json_integer_value(json_object_get(result, "packets")),
	    json_integer_value(json_object_get(result, "count")),
	    json_integer_value(json_object_get(result, "bytes")));
	if (lost > 0)
		printf(", %" JSON_INTEGER_FORMAT " lost", lost);
	putchar('\n');
	if (failure != NULL)
		printf("the file could not be written: %s\n", failure);
}

static enum td_exit start_call(struct td_call *call, int fd)
{
	struct td_client client;
	json_t *response, *params = json_incref(call->params);
	int ret = td_client_connect(&client, call->socket_path), error;

	if (ret < 0) {
		json_decref(params);
		return td_client_explain(call->socket_path, -ret);
	}
	client.passed_fd = fd;
	response = td_client_call(&client, call->command->method, params);
	error = errno;
	td_client_close(&client);
	if (response == NULL)
		return td_client_explain(call->socket_path, error);
	return td_response_print(call, response);
}

enum td_exit td_run_capture_start(struct td_call *call)
{
	const char *path = call->operands[0];
	// Neither an existing file nor a link that somebody has put there is written to.
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	enum td_exit code;

	if (fd < 0) {
		fprintf(stderr, "tandemctl: cannot make %s: %s\n", path, strerror(errno));
		return TD_EXIT_USAGE;
	}
	code = start_call(call, fd);
	if (code != TD_EXIT_OK)
		unlink(path);
	close(fd);
	return code;
}

// The file is whole when the daemon has closed it, a moment after it was told to stop.
enum td_exit td_run_capture_stop(struct td_call *call)
{
	const struct timespec pause = {.tv_nsec = STOP_PAUSE_MS * (long)TD_NS_PER_MS};
	const char *method = call->command->method;
	struct td_client client;
	json_t *response;
	int ret = td_client_connect(&client, call->socket_path);
	enum td_exit code;

	if (ret < 0)
		return td_client_explain(call->socket_path, -ret);
	while ((response = td_client_call(&client, method, json_object())) != NULL) {
		const char *state =
		    json_string_value(json_object_get(json_object_get(response, "result"), "state"));

		if (state == NULL || strcmp(state, "stopping") != 0)
			break;
		json_decref(response);
		nanosleep(&pause, NULL);
		method = "capture.show";
	}
	code = response == NULL ? td_client_explain(call->socket_path, errno)
	                        : td_response_print(call, response);
	td_client_close(&client);
	return code;
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A connection to the control socket: one JSON object per line each way (docs/control-protocol.md).

#include <jansson.h>

// tandemctl's exit codes.
enum td_exit { TD_EXIT_OK, TD_EXIT_REFUSED, TD_EXIT_USAGE, TD_EXIT_UNREACHABLE };

struct td_client {
	int fd; // -1: not connected
	int passed_fd; // goes along with the next request, -1: none
	char *buffer;
	size_t used, size; // bytes
};

// Makes jansson wipe what it frees: requests may hold keys. Call it before anything else.
void td_client_init(void);

// Returns 0 or -errno.
int td_client_connect(struct td_client *client, const char *path);
void td_client_close(struct td_client *client);
// Sends a request and waits for its response. params (may be NULL) is taken over. Returns the whole response,
// to be released by the caller, or NULL with errno set (EPROTO: not the protocol, ECONNRESET: closed).
json_t *td_client_call(struct td_client *client, const char *method, json_t *params);
// Waits for the next notification. Returns as above.
json_t *td_client_next(struct td_client *client);

// Says on standard error why a connection failed and what to do. Returns TD_EXIT_UNREACHABLE.
enum td_exit td_client_explain(const char *path, int error);

// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/client.h"

#include "common/secret.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_MIN 65536
// A list of 100,000 SAs is some 40 MB; more than this is not an answer.
#define BUFFER_MAX (1u << 30)

// ---- memory -----------------------------------------------------------------------------------

union allocation {
	size_t size;
	max_align_t align;
};

static void *allocate(size_t size)
{
	union allocation *allocation;

	if (size > SIZE_MAX - sizeof(*allocation))
		return NULL;
	allocation = malloc(sizeof(*allocation) + size);
	if (allocation == NULL)
		return NULL;
	allocation->size = size;
	return allocation + 1;
}

static void release(void *memory)
{
	union allocation *allocation = memory;

	if (memory == NULL)
		return;
	allocation--;
	td_wipe(memory, allocation->size);
	free(allocation);
}

void td_client_init(void)
{
	json_set_alloc_funcs(allocate, release);
}

// ---- connection -------------------------------------------------------------------------------

int td_client_connect(struct td_client *client, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int error;

	*client = (struct td_client){.fd = -1, .passed_fd = -1};
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = errno;
		td_client_close(client);
		return -error;
	}
	return 0;
}

void td_client_close(struct td_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->buffer);
	*client = (struct td_client){.fd = -1, .passed_fd = -1};
}

// Sends the descriptor along with the first byte, if there is one.
static ssize_t part_send(struct td_client *client, const char *text, size_t length)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {(char *)(uintptr_t)text, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (client->passed_fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.align = (struct cmsghdr){
		    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(&control.align), &client->passed_fd, sizeof(int));
	}
	sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
	if (sent > 0)
		client->passed_fd = -1;
	return sent;
}

static int text_send(struct td_client *client, const char *text, size_t length)
{
	ssize_t sent;

	while (length > 0) {
		sent = part_send(client, text, length);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		text += sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int buffer_fill(struct td_client *client)
{
	size_t size = client->size > 0 ? client->size * 2 : BUFFER_MIN;
	ssize_t got;
	char *buffer;

	if (client->used == client->size) {
		if (size > BUFFER_MAX)
			return -EPROTO;
		buffer = realloc(client->buffer, size);
		if (buffer == NULL)
			return -ENOMEM;
		client->buffer = buffer;
		client->size = size;
	}
	do {
		got = recv(client->fd, client->buffer + client->used, client->size - client->used, 0);
	} while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -errno : -ECONNRESET;
	client->used += (size_t)got;
	return 0;
}

// Returns the next line as JSON, or NULL with errno set.
static json_t *message_read(struct td_client *client)
{
	size_t searched = 0, length;
	json_t *message;
	char *end = NULL;
	int ret;

	for (;;) {
		if (client->used > searched)
			end = memchr(client->buffer + searched, '\n', client->used - searched);
		if (end != NULL)
			break;
		searched = client->used;
		ret = buffer_fill(client);
		if (ret < 0) {
			errno = -ret;
			return NULL;
		}
	}
	length = (size_t)(end - client->buffer);
	message = json_loadb(client->buffer, length, 0, NULL);
	client->used -= length + 1;
	memmove(client->buffer, end + 1, client->used);
	if (!json_is_object(message)) {
		json_decref(message);
		errno = EPROTO;
		return NULL;
	}
	return message;
}

json_t *td_client_call(struct td_client *client, const char *method, json_t *params)
{
	json_t *request =
	    json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
	char *text = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *response;
	int ret = -ENOMEM;

	json_decref(request);
	if (text != NULL) {
		ret = text_send(client, text, strlen(text));
		if (ret == 0)
			ret = text_send(client, "\n", 1);
		release(text);
	}
	// A refused peer is cut off, perhaps before it has written: what it was told is still to be read.
	if (ret < 0 && ret != -EPIPE) {
		errno = -ret;
		return NULL;
	}
	while ((response = message_read(client)) != NULL) {
		if (json_object_get(response, "result") != NULL || json_object_get(response, "error") != NULL)
			return response;
		json_decref(response);
	}
	return NULL;
}

json_t *td_client_next(struct td_client *client)
{
	json_t *message;

	while ((message = message_read(client)) != NULL) {
		if (json_object_get(message, "method") != NULL)
			return message;
		json_decref(message);
	}
	return NULL;
}

enum td_exit td_client_explain(const char *path, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		fprintf(stderr,
		    "tandemctl: nothing listens on %s; start tandemd, or name its control socket with -s\n",
		    path);
		break;
	case EACCES:
	case EPERM:
		fprintf(stderr,
		    "tandemctl: no permission to use %s; run as root or as a member of group tandem\n", path);
		break;
	case ECONNRESET:
	case EPIPE:
		fprintf(stderr, "tandemctl: tandemd closed the connection; it stopped (see its log), or you "
		                "are neither root nor in "
		                "group tandem\n");
		break;
	case EPROTO:
		fprintf(stderr, "tandemctl: what listens on %s does not speak tandem's protocol\n", path);
		break;
	default:
		fprintf(stderr, "tandemctl: cannot use %s: %s\n", path, strerror(error));
	}
	return TD_EXIT_UNREACHABLE;
}

// SPDX-License-Identifier: BSD-3-Clause
// One connection: lines in, bounded output. Only the callback of its descriptor frees a client, so that a
// method or an event in the middle of something never loses one under its feet.
#include "common/clock.h"
#include "common/secret.h"
#include "control/rpc/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_MIN 4096u
// Then the others get their turn.
#define READS_PER_TURN 8
#define LINES_PER_TURN 64
#define TURN_NS (2 * TD_NS_PER_MS)
#define IN_MAX (TD_RPC_LINE_MAX + 1u)
#define FLUSH_EARLY 65536u // output that is worth a write before the next request of the same read
#define OUT_MUCH (1u << 20) // output that must be read before the next request is handled

// ---- output -----------------------------------------------------------------------------------

size_t td_rpc_client_waiting(const struct td_rpc_client *client)
{
	return client->out_length - client->out_start;
}

static int out_reserve(struct td_rpc_client *client, size_t more)
{
	if (client->out_start > client->out_capacity / 2) {
		memmove(client->out, client->out + client->out_start, td_rpc_client_waiting(client));
		client->out_length -= client->out_start;
		client->out_start = 0;
	}
	if (more <= client->out_capacity - client->out_length)
		return 0;
	size_t capacity = client->out_capacity ? client->out_capacity : BUFFER_MIN;
	while (capacity - client->out_length < more)
		capacity *= 2;
	char *grown = realloc(client->out, capacity);
	if (!grown)
		return -ENOMEM;
	client->out = grown;
	client->out_capacity = capacity;
	return 0;
}

static void watch_update(struct td_rpc_client *client)
{
	size_t waiting = td_rpc_client_waiting(client);
	uint32_t events = 0;

	// A client that does not read is not read from.
	if (!client->eof && !client->closing && !client->lines_wait && !client->pending &&
	    waiting <= OUT_MUCH)
		events |= EPOLLIN;
	// A dead client is closed by its callback, which EPOLLOUT or EPOLLHUP brings about. Lines that wait
	// get their turn by it, too.
	if (waiting || client->dead || client->closing || (client->lines_wait && !client->pending))
		events |= EPOLLOUT;
	if (events == client->watched)
		return;
	client->watched = events;
	if (td_loop_fd_modify(client->rpc->context->loop, client->fd, events))
		client->dead = true;
}

void td_rpc_client_append(struct td_rpc_client *client, const char *data, size_t length)
{
	if (client->dead)
		return;
	if (out_reserve(client, length)) {
		client->dead = true;
	} else {
		memcpy(client->out + client->out_length, data, length);
		client->out_length += length;
	}
}

void td_rpc_client_cut(struct td_rpc_client *client, size_t length)
{
	if (length < td_rpc_client_waiting(client))
		client->out_length = client->out_start + length;
}

static void out_flush(struct td_rpc_client *client)
{
	while (!client->dead && td_rpc_client_waiting(client)) {
		ssize_t sent = send(client->fd, client->out + client->out_start,
		    td_rpc_client_waiting(client), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (sent < 0)
			client->dead = true;
		else
			client->out_start += (size_t)sent;
	}
	free(client->out);
	client->out = NULL;
	client->out_start = client->out_length = client->out_capacity = 0;
}

// ---- events -----------------------------------------------------------------------------------

static void lost_tell(struct td_rpc_client *client)
{
	char text[128];
	int length = snprintf(text, sizeof(text),
	    "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"lost\",\"count\":%llu}}\n",
	    (unsigned long long)client->events_lost);

	td_rpc_client_append(client, text, (size_t)length);
	client->events_lost = 0;
}

void td_rpc_client_lost(struct td_rpc_client *client, uint64_t count)
{
	if (client->dead || client->closing)
		return;
	client->events_lost += count;
	if (td_rpc_client_waiting(client) < TD_RPC_EVENTS_MAX / 2)
		lost_tell(client);
	watch_update(client);
}

void td_rpc_client_event(struct td_rpc_client *client, const char *text, size_t length)
{
	if (client->dead || client->closing)
		return;
	if (td_rpc_client_waiting(client) + length > TD_RPC_EVENTS_MAX)
		out_flush(client);
	if (td_rpc_client_waiting(client) + length > TD_RPC_EVENTS_MAX) {
		client->events_lost++;
	} else {
		if (client->events_lost)
			lost_tell(client);
		td_rpc_client_append(client, text, length);
	}
	watch_update(client);
}

// ---- input ------------------------------------------------------------------------------------

static void in_release(struct td_rpc_client *client)
{
	if (client->in)
		td_wipe(client->in, client->in_length);
	free(client->in);
	client->in = NULL;
	client->in_length = client->in_scanned = client->in_capacity = 0;
}

// realloc could leave a copy of a key behind.
static int in_reserve(struct td_rpc_client *client)
{
	size_t capacity = client->in_capacity ? client->in_capacity * 2 : BUFFER_MIN;

	if (client->in_length < client->in_capacity)
		return 0;
	if (capacity > IN_MAX)
		capacity = IN_MAX;
	char *grown = malloc(capacity);
	if (!grown)
		return -ENOMEM;
	if (client->in) {
		memcpy(grown, client->in, client->in_length);
		td_wipe(client->in, client->in_length);
		free(client->in);
	}
	client->in = grown;
	client->in_capacity = capacity;
	return 0;
}

// What a client may use up before others get their turn.
struct turn {
	unsigned lines;
	uint64_t end_ns;
};

static bool turn_goes_on(struct td_rpc_client *client, struct turn *turn)
{
	if (td_rpc_client_waiting(client) > FLUSH_EARLY)
		out_flush(client);
	if (client->dead || td_rpc_client_waiting(client) > OUT_MUCH || turn->lines == 0 ||
	    td_clock_now_ns() >= turn->end_ns)
		return false;
	turn->lines--;
	return true;
}

static void line_handle(struct td_rpc_client *client, char *line, size_t length)
{
	if (length && line[length - 1] == '\r')
		length--;
	if (length)
		td_rpc_json_request(client, line, length);
}

static void lines_handle(struct td_rpc_client *client, struct turn *turn)
{
	size_t start = 0;
	char *end;

	client->lines_wait = false;
	while (!client->dead && (end = memchr(client->in + client->in_scanned, '\n',
	                             client->in_length - client->in_scanned))) {
		size_t length = (size_t)(end - client->in) - start;

		client->lines_wait = client->pending || !turn_goes_on(client, turn);
		if (client->lines_wait)
			break;
		line_handle(client, client->in + start, length);
		td_wipe(client->in + start, length);
		start += length + 1;
		client->in_scanned = start;
	}
	if (!client->lines_wait)
		client->in_scanned = client->in_length;
	if (start == client->in_length || client->dead) {
		in_release(client);
	} else if (start) {
		size_t left = client->in_length - start;

		memmove(client->in, client->in + start, left);
		td_wipe(client->in + left, start);
		client->in_length = left;
		client->in_scanned -= start;
	}
	if (client->in_length == IN_MAX && !client->lines_wait) {
		td_rpc_json_error(client, NULL, -32600, "the line is longer than 4 MiB");
		client->closing = true;
		in_release(client);
	}
}

static void passed_close(struct td_rpc_client *client)
{
	if (client->passed_fd >= 0)
		close(client->passed_fd);
	client->passed_fd = -1;
}

// Keeps the last descriptor that came along; a method that wants one takes it.
static void passed_keep(struct td_rpc_client *client, struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			passed_close(client);
			memcpy(&client->passed_fd, CMSG_DATA(part) + at, sizeof(int));
		}
	}
}

static ssize_t in_receive(struct td_rpc_client *client)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec rest = {client->in + client->in_length, client->in_capacity - client->in_length};
	struct msghdr message = {
	    .msg_iov = &rest, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got >= 0)
		passed_keep(client, &message);
	return got;
}

static void in_read(struct td_rpc_client *client, struct turn *turn)
{
	for (unsigned reads = 0; reads < READS_PER_TURN && !client->closing && !client->dead &&
	                         !client->lines_wait && !client->pending;
	     reads++) {
		if (in_reserve(client)) {
			client->dead = true;
			return;
		}
		ssize_t got = in_receive(client);
		if (got < 0 && errno == EINTR)
			continue;
		if (got > 0) {
			client->in_length += (size_t)got;
			lines_handle(client, turn);
			continue;
		}
		if (got == 0)
			client->eof = true;
		else if (errno != EAGAIN && errno != EWOULDBLOCK)
			client->dead = true;
		break;
	}
	// A half-written request of a client that went away is forgotten, not guessed.
	if ((client->eof && !client->lines_wait) || client->in_length == 0)
		in_release(client);
}

static void in_handle(struct td_rpc_client *client, uint32_t events)
{
	struct turn turn = {.lines = LINES_PER_TURN, .end_ns = td_clock_now_ns() + TURN_NS};

	if (client->pending) {
		if (events & (EPOLLHUP | EPOLLERR))
			client->dead = true;
		return;
	}
	if (client->lines_wait) {
		lines_handle(client, &turn);
		if (client->eof && !client->lines_wait)
			in_release(client);
		return;
	}
	if (!client->eof && !client->closing && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		in_read(client, &turn);
	else if (events & (EPOLLHUP | EPOLLERR))
		client->dead = true; // nobody is there to read the rest
}

static void client_ready(void *context, uint32_t events)
{
	struct td_rpc_client *client = context;

	out_flush(client);
	in_handle(client, events);
	out_flush(client);
	if (client->events_lost && td_rpc_client_waiting(client) < TD_RPC_EVENTS_MAX / 2) {
		lost_tell(client);
		out_flush(client);
	}
	bool done = client->closing ||
	            (client->eof && !client->subscribed && !client->lines_wait && !client->pending);
	if (!client->dead && !(done && !td_rpc_client_waiting(client)))
		watch_update(client);
	else
		client->dead = true;
	if (client->dead)
		td_rpc_client_free(client);
}

void td_rpc_client_resume(struct td_rpc_client *client)
{
	client->lines_wait = client->in_length > 0;
	watch_update(client);
}

int td_rpc_client_add(struct td_rpc *rpc, int fd)
{
	struct td_rpc_client *client = calloc(1, sizeof(*client));
	int rc = client ? 0 : -ENOMEM;

	if (client) {
		client->rpc = rpc;
		client->fd = fd;
		client->passed_fd = -1;
		client->watched = EPOLLIN;
		rc = td_loop_fd_add(rpc->context->loop, fd, EPOLLIN, client_ready, client);
	}
	if (rc) {
		free(client);
		close(fd);
		return rc;
	}
	TAILQ_INSERT_TAIL(&rpc->clients, client, link);
	rpc->client_count++;
	return 0;
}

void td_rpc_client_free(struct td_rpc_client *client)
{
	struct td_rpc *rpc = client->rpc;

	// When the daemon ends: what its end has answered.
	out_flush(client);
	td_loop_fd_remove(rpc->context->loop, client->fd);
	close(client->fd);
	passed_close(client);
	if (client->pending)
		client->pending->client = NULL;
	TAILQ_REMOVE(&rpc->clients, client, link);
	rpc->client_count--;
	in_release(client);
	free(client->out);
	free(client);
	td_rpc_accept_resume(rpc);
}

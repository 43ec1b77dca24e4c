// SPDX-License-Identifier: BSD-3-Clause
#include "control/negotiate/sockets.h"

#include "common/clock.h"
#include "common/limits.h"
#include "control/ike/registry.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// A second of what the data plane lets through: what waits here is lost with the kernel's default, masses of
// others' messages in front.
#define RECEIVE_BUFFER_BYTES (16 << 20)
#define MARKER_BYTES 4

// Both ports of one address.
struct endpoint {
	struct endpoint *next;
	struct td_ike_sockets *sockets;
	struct td_ip local;
	uint16_t port;
	int fd;
};

struct td_ike_sockets {
	struct td_loop *loop;
	td_ike_sockets_fn fn;
	void *context;
	struct endpoint *endpoints;
	uint8_t buffer[65536];
};

// ---- addresses --------------------------------------------------------------------------------

static socklen_t address_fill(struct sockaddr_storage *storage, const struct td_ip *ip, uint16_t port)
{
	memset(storage, 0, sizeof(*storage));
	if (ip->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)storage;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, ip->bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, ip->bytes, 16);
	return sizeof(*in6);
}

static bool address_read(const struct sockaddr_storage *storage, struct td_ip *ip, uint16_t *port)
{
	*ip = (struct td_ip){0};
	if (storage->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)storage;

		ip->family = 4;
		memcpy(ip->bytes, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
		return true;
	}
	if (storage->ss_family != AF_INET6)
		return false;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
	ip->family = 6;
	memcpy(ip->bytes, &in6->sin6_addr, 16);
	*port = ntohs(in6->sin6_port);
	return true;
}

// ---- receiving --------------------------------------------------------------------------------

static void message_hand_over(struct endpoint *endpoint, const struct sockaddr_storage *from, size_t length)
{
	struct td_ike_sockets *sockets = endpoint->sockets;
	struct td_path path = {.local = endpoint->local, .local_port = endpoint->port};
	struct td_cursor cursor = {sockets->buffer, length};
	uint32_t marker;

	if (!address_read(from, &path.remote, &path.remote_port))
		return;
	// On port 4500 only what the marker sets apart from ESP is IKE; keepalives are one byte (RFC
	// 3948 2.3).
	if (endpoint->port == TD_IKE_NATT_PORT && (!td_cursor_u32(&cursor, &marker) || marker != 0))
		return;
	sockets->fn(sockets->context, &path, td_cursor_rest(&cursor));
}

static void readable(void *context, uint32_t events)
{
	struct endpoint *endpoint = context;
	struct td_ike_sockets *sockets = endpoint->sockets;
	uint64_t end_ns = td_clock_now_ns() + TD_LOOP_TURN_US * 1000ull;

	(void)events;
	for (unsigned i = 0; i < TD_LOOP_MESSAGES; i++) {
		struct sockaddr_storage from;
		socklen_t from_bytes = sizeof(from);
		ssize_t length = recvfrom(endpoint->fd, sockets->buffer, sizeof(sockets->buffer), 0,
		    (struct sockaddr *)&from, &from_bytes);

		if (length < 0)
			return; // nothing more, or an ICMP error that proves nothing
		message_hand_over(endpoint, &from, (size_t)length);
		if (td_clock_now_ns() >= end_ns)
			return; // the descriptor is still readable: the loop comes back
	}
}

// ---- sending ----------------------------------------------------------------------------------

void td_ike_sockets_send(
    struct td_ike_sockets *sockets, const struct td_path *path, const uint8_t *message, size_t length)
{
	static const uint8_t marker[MARKER_BYTES];
	struct sockaddr_storage to;
	struct iovec parts[2] = {
	    {(void *)(uintptr_t)marker, MARKER_BYTES}, {(void *)(uintptr_t)message, length}};
	bool marked = path->local_port == TD_IKE_NATT_PORT;
	struct msghdr header = {
	    .msg_name = &to,
	    .msg_namelen = address_fill(&to, &path->remote, path->remote_port),
	    .msg_iov = marked ? parts : parts + 1,
	    .msg_iovlen = marked ? 2 : 1,
	};

	for (struct endpoint *endpoint = sockets->endpoints; endpoint; endpoint = endpoint->next)
		if (endpoint->port == path->local_port && td_ip_equal(&endpoint->local, &path->local)) {
			(void)sendmsg(endpoint->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
			return;
		}
}

// ---- making -----------------------------------------------------------------------------------

static void endpoint_close(struct endpoint *endpoint)
{
	if (endpoint->fd >= 0) {
		td_loop_fd_remove(endpoint->sockets->loop, endpoint->fd);
		close(endpoint->fd);
	}
	free(endpoint);
}

static int socket_open(const struct td_ip *local, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t bytes = address_fill(&address, local, port);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, buffer = RECEIVE_BUFFER_BYTES, error;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	// An IPv6 address may not have passed duplicate address detection yet. IPV6_FREEBIND is a Linux
	// option.
	if (local->family == 4)
		(void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	else
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, bytes) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int endpoint_open(
    struct td_ike_sockets *sockets, const struct td_ip *local, uint16_t port, struct td_error *error)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	char text[TD_IP_TEXT_MAX];
	int ret;

	if (!endpoint)
		return td_error_set(error, -ENOMEM, "ike", NULL, "no memory for a socket");
	*endpoint = (struct endpoint){.sockets = sockets, .local = *local, .port = port};
	endpoint->fd = socket_open(local, port);
	if (endpoint->fd < 0) {
		ret = td_error_set(error, endpoint->fd, "ike", NULL, "cannot listen on %s port %u: %s%s",
		    td_ip_format(local, text), port, strerror(-endpoint->fd),
		    endpoint->fd == -EADDRINUSE ? "; another IKE daemon runs in this namespace" : "");
		free(endpoint);
		return ret;
	}
	ret = td_loop_fd_add(sockets->loop, endpoint->fd, EPOLLIN, readable, endpoint);
	if (ret < 0) {
		close(endpoint->fd);
		free(endpoint);
		return td_error_set(error, ret, "ike", NULL, "cannot watch a socket: %s", strerror(-ret));
	}
	endpoint->next = sockets->endpoints;
	sockets->endpoints = endpoint;
	return 0;
}

struct td_ike_sockets *td_ike_sockets_create(struct td_loop *loop, td_ike_sockets_fn fn, void *context)
{
	struct td_ike_sockets *sockets = calloc(1, sizeof(*sockets));

	if (!sockets)
		return NULL;
	sockets->loop = loop;
	sockets->fn = fn;
	sockets->context = context;
	return sockets;
}

static bool is_open(const struct td_ike_sockets *sockets, const struct td_ip *local, uint16_t port)
{
	for (const struct endpoint *endpoint = sockets->endpoints; endpoint; endpoint = endpoint->next)
		if (endpoint->port == port && td_ip_equal(&endpoint->local, local))
			return true;
	return false;
}

int td_ike_sockets_listen(struct td_ike_sockets *sockets, const struct td_ip *local, struct td_error *error)
{
	static const uint16_t ports[] = {TD_IKE_PORT, TD_IKE_NATT_PORT};
	int ret = 0;

	// An attempt before may have opened the first alone.
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]) && ret == 0; i++)
		if (!is_open(sockets, local, ports[i]))
			ret = endpoint_open(sockets, local, ports[i], error);
	return ret;
}

void td_ike_sockets_destroy(struct td_ike_sockets *sockets)
{
	struct endpoint *endpoint;

	if (!sockets)
		return;
	while ((endpoint = sockets->endpoints)) {
		sockets->endpoints = endpoint->next;
		endpoint_close(endpoint);
	}
	free(sockets);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/kernel.h"

#include "common/clock.h"
#include "common/log.h"
#include "control/kernel/netlink_mirror.h"
#include "control/kernel/netlink_routes.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define RECEIVE_BYTES 65536 // more than the kernel puts into one datagram of a dump
#define RECEIVE_BURST 64 // datagrams at one wakeup
#define SOCKET_BUFFER_BYTES (8 << 20) // some 50,000 route changes at once
#define RESYNC_NS (20 * TD_NS_PER_MS) // several reasons for a dump within this time make one dump
#define RESYNC_DOUBLINGS 9 // dumps that are interrupted again and again come every 10 seconds at last
#define DUMP_RETRY_NS TD_NS_PER_S
#define DUMP_START_TIMEOUT_MS 10000
#define RESOLVE_SLOTS 1024
#define RESOLVE_INTERVAL_NS TD_NS_PER_S // per neighbour; the kernel itself asks once a second

enum dump_step { DUMP_IDLE, DUMP_ROUTES, DUMP_NEIGHBOURS };

struct resolve_slot {
	unsigned port;
	struct td_ip ip;
	uint64_t asked_ns;
};

struct td_netlink {
	struct td_loop *loop;
	const struct td_config *config;
	// Notifications, and requests that need no answer, go over one socket, dumps over another: an overrun
	// of the first must not lose a part of the dump that mends it.
	struct mnl_socket *events, *dump;
	struct td_mirror mirror;
	unsigned link_flags[TD_PORTS_MAX];

	enum dump_step step;
	uint32_t sequence;
	bool interrupted; // the dump under way
	bool complete; // the last dump was not interrupted and did not fail
	unsigned interruptions; // dumps in a row
	bool overrun; // of the events socket, and not yet read empty
	struct td_timer resync;

	// One neighbour per slot; a collision only makes the kernel be asked more often.
	struct resolve_slot resolved[RESOLVE_SLOTS];
	char buffer[RECEIVE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

// Gives messages to take until the socket is empty or others should have their turn. fault says whether there
// is more to read behind an error.
static void socket_read(struct td_netlink *netlink, struct mnl_socket *socket,
    void (*take)(struct td_netlink *netlink, const struct nlmsghdr *message),
    bool (*fault)(struct td_netlink *netlink, int error))
{
	for (unsigned i = 0; i < RECEIVE_BURST; i++) {
		ssize_t length = mnl_socket_recvfrom(socket, netlink->buffer, sizeof(netlink->buffer));
		const struct nlmsghdr *message = (const struct nlmsghdr *)netlink->buffer;
		int left = (int)length;

		if (length < 0 && !fault(netlink, errno))
			return;
		for (; length >= 0 && mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			take(netlink, message);
	}
}

// ---- asking about neighbours ------------------------------------------------------------------

static void neighbour_use(struct td_netlink *netlink, unsigned port, const struct td_ip *ip)
{
	char buffer[128] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ndmsg *body;

	message->nlmsg_type = RTM_NEWNEIGH;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
	body = mnl_nlmsg_put_extra_header(message, sizeof(*body));
	body->ndm_family = ip->family == 4 ? AF_INET : AF_INET6;
	body->ndm_ifindex = netlink->mirror.ifindexes[port];
	body->ndm_state = NUD_NONE;
	body->ndm_flags = NTF_USE;
	mnl_attr_put(message, NDA_DST, td_ip_length(ip->family), ip->bytes);
	if (mnl_socket_sendto(netlink->events, message, message->nlmsg_len) < 0)
		td_log_debug("cannot ask the kernel for a neighbour: %s", strerror(errno));
}

static void neighbour_verify(void *context, unsigned port, const struct td_ip *ip)
{
	neighbour_use(context, port, ip);
}

void td_netlink_resolve(struct td_netlink *netlink, unsigned port, const struct td_ip *ip)
{
	uint32_t hash = port;
	struct resolve_slot *slot;
	uint64_t now_ns = td_clock_now_ns();
	unsigned i;

	if (port >= netlink->mirror.port_count || (ip->family != 4 && ip->family != 6))
		return;
	for (i = 0; i < td_ip_length(ip->family); i++)
		hash = (hash ^ ip->bytes[i]) * 16777619u;
	slot = &netlink->resolved[(hash ^ hash >> 16) % RESOLVE_SLOTS];
	if (slot->port == port && slot->ip.family == ip->family && td_ip_equal(&slot->ip, ip) &&
	    now_ns - slot->asked_ns < RESOLVE_INTERVAL_NS)
		return;
	*slot = (struct resolve_slot){port, *ip, now_ns};
	// One that the kernel knows would not be notified again.
	if (!td_rib_neighbour_refresh(netlink->mirror.rib, port, ip))
		neighbour_use(netlink, port, ip);
}

// ---- dumps ------------------------------------------------------------------------------------

static void resync_soon(struct td_netlink *netlink, uint64_t delay_ns)
{
	if (!netlink->resync.armed)
		td_loop_timer_set(netlink->loop, &netlink->resync, td_clock_now_ns() + delay_ns);
}

static int dump_request(struct td_netlink *netlink, enum dump_step step)
{
	char buffer[128] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route;

	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++netlink->sequence;
	if (step == DUMP_ROUTES) {
		message->nlmsg_type = RTM_GETROUTE;
		route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
		route->rtm_family = AF_UNSPEC;
	} else {
		message->nlmsg_type = RTM_GETNEIGH;
		mnl_nlmsg_put_extra_header(message, sizeof(struct ndmsg));
	}
	if (mnl_socket_sendto(netlink->dump, message, message->nlmsg_len) < 0)
		return -errno;
	netlink->step = step;
	return 0;
}

// What a part of a dump says may be older than a notification that waits on the other socket, never newer
// than one that comes later. So notifications wait until the dump has been read: taken in between, one could
// be undone by an older part, and a deleted route would stay for ever.
static void events_hold(struct td_netlink *netlink, bool hold)
{
	(void)td_loop_fd_modify(netlink->loop, mnl_socket_get_fd(netlink->events), hold ? 0 : EPOLLIN);
}

static void dump_fail(struct td_netlink *netlink, int error)
{
	td_log_warning(
	    "cannot read routes and neighbours from the kernel: %s; trying again", strerror(error));
	netlink->step = DUMP_IDLE;
	events_hold(netlink, false);
	resync_soon(netlink, DUMP_RETRY_NS);
}

static void dump_start(struct td_netlink *netlink)
{
	int ret;

	netlink->interrupted = netlink->complete = false;
	td_rib_sweep_begin(netlink->mirror.rib);
	events_hold(netlink, true);
	ret = dump_request(netlink, DUMP_ROUTES);
	if (ret < 0)
		dump_fail(netlink, -ret);
}

static void dump_done(struct td_netlink *netlink)
{
	int ret;

	if (netlink->step == DUMP_ROUTES) {
		ret = dump_request(netlink, DUMP_NEIGHBOURS);
		if (ret < 0)
			dump_fail(netlink, -ret);
		return;
	}
	netlink->step = DUMP_IDLE;
	events_hold(netlink, false);
	// The kernel's tables changed under the dump, which may have missed something: removing what it did
	// not show would be a guess.
	if (netlink->interrupted) {
		resync_soon(netlink, RESYNC_NS << netlink->interruptions);
		if (netlink->interruptions < RESYNC_DOUBLINGS)
			netlink->interruptions++;
		return;
	}
	td_rib_sweep_end(netlink->mirror.rib);
	netlink->interruptions = 0;
	netlink->complete = true;
}

static void dump_message(struct td_netlink *netlink, const struct nlmsghdr *message)
{
	const struct nlmsgerr *error;

	if (message->nlmsg_seq != netlink->sequence || netlink->step == DUMP_IDLE)
		return;
	if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
		netlink->interrupted = true;
	if (message->nlmsg_type == NLMSG_DONE) {
		dump_done(netlink);
	} else if (message->nlmsg_type == NLMSG_ERROR) {
		error = mnl_nlmsg_get_payload(message);
		dump_fail(
		    netlink, mnl_nlmsg_get_payload_len(message) >= sizeof(*error) ? -error->error : EPROTO);
	} else if (td_mirror_message(&netlink->mirror, message) == -ENOMEM) {
		netlink->interrupted = true;
	}
}

static bool dump_fault(struct td_netlink *netlink, int error)
{
	if (error != EAGAIN && error != EINTR && netlink->step != DUMP_IDLE)
		dump_fail(netlink, error);
	return false;
}

static void dump_readable(void *context, uint32_t events)
{
	struct td_netlink *netlink = context;

	(void)events;
	socket_read(netlink, netlink->dump, dump_message, dump_fault);
}

static void resync_run(void *context)
{
	struct td_netlink *netlink = context;

	// A dump under way has begun before the reason for this one.
	if (netlink->step != DUMP_IDLE)
		resync_soon(netlink, RESYNC_NS);
	else
		dump_start(netlink);
}

// ---- notifications ----------------------------------------------------------------------------

static void link_message(struct td_netlink *netlink, const struct nlmsghdr *message)
{
	const struct ifinfomsg *body = mnl_nlmsg_get_payload(message);
	unsigned flags;
	int port;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*body))
		return;
	port = td_mirror_port(&netlink->mirror, body->ifi_index);
	if (port < 0)
		return;
	flags = message->nlmsg_type == RTM_NEWLINK ? body->ifi_flags & (IFF_UP | IFF_RUNNING) : 0;
	if (flags == netlink->link_flags[port])
		return;
	// Going down took configured routes along; nobody else would bring them back.
	if ((flags & IFF_UP) != 0 && (netlink->link_flags[port] & IFF_UP) == 0)
		td_netlink_routes_restore(netlink->config, netlink->mirror.ifindexes);
	netlink->link_flags[port] = flags;
	// The kernel flushes IPv4 routes of a link that went down without a word about each.
	resync_soon(netlink, RESYNC_NS);
}

static void event_message(struct td_netlink *netlink, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_message(netlink, message);
		break;
	case RTM_DELADDR:
		// Routes that preferred this source address go silently too.
		resync_soon(netlink, RESYNC_NS);
		break;
	default:
		if (td_mirror_message(&netlink->mirror, message) == -ENOMEM)
			resync_soon(netlink, DUMP_RETRY_NS);
	}
}

// From an overrun on, until the socket has been read empty, the kernel drops further notifications without
// saying so again: a dump that began earlier could miss what those told.
static void overrun_mend(struct td_netlink *netlink)
{
	if (!netlink->overrun)
		return;
	netlink->overrun = false;
	td_log_info("notifications of the kernel were lost; reading all routes again");
	resync_soon(netlink, RESYNC_NS);
}

static bool events_fault(struct td_netlink *netlink, int error)
{
	if (error == ENOBUFS)
		netlink->overrun = true;
	else if (error == EAGAIN)
		overrun_mend(netlink);
	return error == ENOBUFS;
}

static void events_readable(void *context, uint32_t events)
{
	struct td_netlink *netlink = context;

	(void)events;
	socket_read(netlink, netlink->events, event_message, events_fault);
}

// ---- another configuration --------------------------------------------------------------------

int td_netlink_routes_change(
    struct td_netlink *netlink, const struct td_config *config, struct td_error *error)
{
	return td_netlink_routes_exchange(netlink->config, config, netlink->mirror.ifindexes, error);
}

void td_netlink_routes_revert(struct td_netlink *netlink, const struct td_config *config)
{
	td_netlink_routes_back(netlink->config, config, netlink->mirror.ifindexes);
}

// ---- start and stop ---------------------------------------------------------------------------

static struct mnl_socket *socket_open(unsigned groups)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int bytes = SOCKET_BUFFER_BYTES, error;

	if (socket == NULL)
		return NULL;
	// Above the limit of net.core.rmem_max with CAP_NET_ADMIN, up to it without.
	if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) < 0) {
		error = errno;
		mnl_socket_close(socket);
		errno = error;
		return NULL;
	}
	return socket;
}

static int sockets_open(struct td_netlink *netlink)
{
	int ret;

	netlink->events = socket_open(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
	                              RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
	if (netlink->events == NULL)
		return -errno;
	netlink->dump = socket_open(0);
	if (netlink->dump == NULL)
		return -errno;
	ret = td_loop_fd_add(
	    netlink->loop, mnl_socket_get_fd(netlink->events), EPOLLIN, events_readable, netlink);
	if (ret < 0)
		return ret;
	return td_loop_fd_add(
	    netlink->loop, mnl_socket_get_fd(netlink->dump), EPOLLIN, dump_readable, netlink);
}

// A whole dump is waited for, so that "ready" means that the workers have the routes. The loop does not run
// yet: neither notifications nor the timer that repeats a dump come in between.
static int dump_wait(struct td_netlink *netlink)
{
	uint64_t end_ns = td_clock_now_ns() + DUMP_START_TIMEOUT_MS * TD_NS_PER_MS;
	struct pollfd wait = {.fd = mnl_socket_get_fd(netlink->dump), .events = POLLIN};

	dump_start(netlink);
	while (!netlink->complete) {
		if (td_clock_now_ns() > end_ns)
			return -ETIMEDOUT;
		// With nothing under way it is the time between two attempts.
		if (poll(&wait, 1, 100) > 0)
			dump_readable(netlink, 0);
		else if (netlink->step == DUMP_IDLE)
			dump_start(netlink);
	}
	td_loop_timer_cancel(netlink->loop, &netlink->resync);
	return 0;
}

// Packets to all hosts or routers of a link go to the TAP of the port that they came in on, whatever routes
// the kernel is given and loses.
static void group_routes_add(struct td_netlink *netlink)
{
	static const struct {
		uint32_t ip;
		uint8_t length;
	} groups[] = {{0xe0000000u, 24}, {0xffffffffu, 32}};
	unsigned i;

	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		struct td_dp_route route = {.kind = TD_ROUTE_LOCAL};
		int ret;

		route.prefix.ip = td_ip_from_v4(groups[i].ip);
		route.prefix.length = groups[i].length;
		ret = td_rib_route_fix(netlink->mirror.rib, &route);
		if (ret < 0)
			td_log_warning("cannot receive multicast and broadcast packets: %s", strerror(-ret));
	}
}

static int netlink_start(struct td_netlink *netlink, struct td_error *error)
{
	int ret;

	netlink->mirror.rib = td_rib_create();
	if (netlink->mirror.rib == NULL)
		return td_error_set(error, -ENOMEM, "netlink", NULL, "out of memory");
	ret = sockets_open(netlink);
	if (ret < 0)
		return td_error_set(error, ret, "netlink", NULL, "cannot open a socket: %s", strerror(-ret));
	ret = td_netlink_routes_add(netlink->config, netlink->mirror.ifindexes, error);
	if (ret < 0)
		return ret;
	group_routes_add(netlink);
	ret = dump_wait(netlink);
	if (ret < 0)
		return td_error_set(
		    error, ret, "netlink", NULL, "cannot read the kernel's routes: %s", strerror(-ret));
	return 0;
}

struct td_netlink *td_netlink_create(
    struct td_loop *loop, const struct td_config *config, const struct td_taps *taps, struct td_error *error)
{
	struct td_netlink *netlink = calloc(1, sizeof(*netlink));
	unsigned i;

	if (netlink == NULL) {
		td_error_set(error, -ENOMEM, "netlink", NULL, "out of memory");
		return NULL;
	}
	netlink->loop = loop;
	netlink->config = config;
	netlink->resync.fn = resync_run;
	netlink->resync.context = netlink;
	netlink->mirror.verify = neighbour_verify;
	netlink->mirror.context = netlink;
	netlink->mirror.port_count = config->port_count;
	for (i = 0; i < config->port_count; i++) {
		netlink->mirror.ifindexes[i] = td_taps_ifindex(taps, i);
		netlink->link_flags[i] = IFF_UP | IFF_RUNNING;
	}
	if (netlink_start(netlink, error) < 0) {
		td_netlink_destroy(netlink);
		return NULL;
	}
	return netlink;
}

static void socket_shut(struct td_netlink *netlink, struct mnl_socket *socket)
{
	if (socket == NULL)
		return;
	td_loop_fd_remove(netlink->loop, mnl_socket_get_fd(socket));
	mnl_socket_close(socket);
}

void td_netlink_destroy(struct td_netlink *netlink)
{
	if (netlink == NULL)
		return;
	td_loop_timer_cancel(netlink->loop, &netlink->resync);
	socket_shut(netlink, netlink->events);
	socket_shut(netlink, netlink->dump);
	td_rib_destroy(netlink->mirror.rib);
	free(netlink);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/kernel/kernel.h"

#include "common/log.h"
#include "control/kernel/netlink_request.h"
#include "dataplane/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// Frames read from one TAP at one wakeup, so that a busy one does not starve the control socket.
#define READ_BURST 64
// An Ethernet header with two VLAN tags above the largest MTU.
#define FRAME_MAX (TD_MTU_MAX + 14 + 8)

struct tap {
	struct td_loop *loop;
	int fd;
	int ifindex;
	unsigned port;
	char name[IFNAMSIZ];
	bool paused; // until the next tick
	bool refused; // the kernel did not take a punted frame, and it was logged
};

struct td_taps {
	struct td_loop *loop;
	unsigned count;
	struct tap taps[TD_PORTS_MAX];
};

static void tap_event(void *context, uint32_t events)
{
	struct tap *tap = context;
	uint8_t frame[FRAME_MAX];
	ssize_t length;
	unsigned i;
	int ret;

	for (i = 0; i < READ_BURST; i++) {
		length = read(tap->fd, frame, sizeof(frame));
		if (length <= 0)
			break;
		// A frame that the workers cannot take is counted there.
		ret = td_dp_inject(tap->port, frame, (size_t)length);
		if (ret != -ENOBUFS && ret != -ENOMEM)
			continue;
		// The others wait in the kernel's queue until the workers had time.
		tap->paused = td_loop_fd_modify(tap->loop, tap->fd, 0) == 0;
		return;
	}
	// A TAP that was deleted from outside reports errors for ever and cannot come back while we run.
	if (i == 0 && length < 0 && errno == EBADFD && (events & (EPOLLERR | EPOLLHUP)) != 0) {
		td_log_error("%s was deleted; restart tandemd to have it again", tap->name);
		td_loop_fd_remove(tap->loop, tap->fd);
	}
}

static int tap_open(struct tap *tap, const struct td_port_config *port, struct td_error *error)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0)
		return td_error_set(error, -errno, NULL, NULL,
		    "cannot open /dev/net/tun: %s; load it with \"modprobe tun\", and in a container pass "
		    "the device in",
		    strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", port->tap);
	if (ioctl(tap->fd, TUNSETIFF, &request) == 0) {
		memcpy(tap->name, request.ifr_name, sizeof(tap->name));
		return 0;
	}
	switch (errno) {
	case EPERM:
		return td_error_set(
		    error, -EPERM, NULL, "tap", "needs CAP_NET_ADMIN to make %s; run as root", port->tap);
	case EBUSY:
		return td_error_set(error, -EBUSY, NULL, "tap",
		    "%s is in use by another process; is another tandemd running?", port->tap);
	case EINVAL:
		return td_error_set(error, -EINVAL, NULL, "tap",
		    "an interface %s exists and is not a TAP, or the name is invalid; choose another name",
		    port->tap);
	default:
		return td_error_set(
		    error, -errno, NULL, "tap", "cannot make %s: %s", port->tap, strerror(errno));
	}
}

static int link_set(
    const struct tap *tap, int control, unsigned mtu, const uint8_t mac[6], struct td_error *error)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	if (ioctl(control, SIOCSIFHWADDR, &request) < 0)
		return td_error_set(
		    error, -errno, NULL, "tap", "cannot set the MAC of %s: %s", tap->name, strerror(errno));
	request.ifr_mtu = (int)mtu;
	if (ioctl(control, SIOCSIFMTU, &request) < 0)
		return td_error_set(error, -errno, NULL, "mtu", "cannot set MTU %u on %s: %s", mtu, tap->name,
		    strerror(errno));
	if (ioctl(control, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		if (ioctl(control, SIOCSIFFLAGS, &request) == 0)
			return 0;
	}
	return td_error_set(error, -errno, NULL, "tap", "cannot bring %s up: %s", tap->name, strerror(errno));
}

static int tap_configure(struct tap *tap, const struct td_port_config *port, struct td_error *error)
{
	char text[TD_PREFIX_TEXT_MAX];
	struct td_dp_port_info info;
	int control, ret;
	unsigned i;

	td_dp_port_info(tap->port, &info);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		return td_error_set(error, -errno, NULL, NULL, "cannot open a socket: %s", strerror(errno));
	// The device may take less than what was configured.
	ret = link_set(tap, control, info.mtu > 0 ? info.mtu : port->mtu, info.mac, error);
	close(control);
	if (ret < 0)
		return ret;
	tap->ifindex = (int)if_nametoindex(tap->name);
	for (i = 0; i < port->address_count; i++) {
		ret = td_netlink_address_add(tap->ifindex, &port->addresses[i]);
		if (ret < 0)
			return td_error_set(error, ret, NULL, "addresses", "cannot add %s to %s: %s%s",
			    td_prefix_format(&port->addresses[i], text), tap->name, strerror(-ret),
			    port->addresses[i].ip.family == 6 ? "; is IPv6 disabled (sysctl net.ipv6)?" : "");
	}
	return 0;
}

static int tap_create(struct td_taps *taps, const struct td_port_config *port, struct td_error *error)
{
	struct tap *tap = &taps->taps[taps->count];
	char object[TD_NAME_MAX + 8];
	int ret;

	snprintf(object, sizeof(object), "port %s", port->name);
	td_error_set(error, 0, object, NULL, " ");
	*tap = (struct tap){.loop = taps->loop, .fd = -1, .port = taps->count};
	taps->count++;
	ret = tap_open(tap, port, error);
	if (ret < 0)
		return ret;
	ret = tap_configure(tap, port, error);
	if (ret < 0)
		return ret;
	ret = td_loop_fd_add(taps->loop, tap->fd, EPOLLIN, tap_event, tap);
	if (ret < 0)
		return td_error_set(error, ret, NULL, NULL, "cannot watch %s: %s", tap->name, strerror(-ret));
	return 0;
}

struct td_taps *td_taps_create(struct td_loop *loop, const struct td_config *config, struct td_error *error)
{
	struct td_taps *taps = calloc(1, sizeof(*taps));
	unsigned i;

	if (taps == NULL) {
		td_error_set(error, -ENOMEM, "taps", NULL, "out of memory");
		return NULL;
	}
	taps->loop = loop;
	for (i = 0; i < config->port_count; i++) {
		if (tap_create(taps, &config->ports[i], error) < 0) {
			td_taps_destroy(taps);
			return NULL;
		}
	}
	return taps;
}

void td_taps_destroy(struct td_taps *taps)
{
	unsigned i;

	if (taps == NULL)
		return;
	for (i = 0; i < taps->count; i++) {
		if (taps->taps[i].fd < 0)
			continue;
		td_loop_fd_remove(taps->loop, taps->taps[i].fd);
		close(taps->taps[i].fd);
	}
	free(taps);
}

void td_taps_resume(struct td_taps *taps)
{
	unsigned i;

	for (i = 0; i < taps->count; i++) {
		if (!taps->taps[i].paused)
			continue;
		taps->taps[i].paused = false;
		(void)td_loop_fd_modify(taps->loop, taps->taps[i].fd, EPOLLIN);
	}
}

bool td_taps_punt(void *context, unsigned port, const uint8_t *frame, size_t length)
{
	struct td_taps *taps = context;
	struct tap *tap;

	if (port >= taps->count)
		return false;
	tap = &taps->taps[port];
	if (write(tap->fd, frame, length) >= 0)
		return true;
	if (!tap->refused)
		td_log_warning("%s: the kernel refused a packet of %zu bytes: %s (logged once)", tap->name,
		    length, strerror(errno));
	tap->refused = true;
	return false;
}

int td_taps_ifindex(const struct td_taps *taps, unsigned port)
{
	return port < taps->count ? taps->taps[port].ifindex : 0;
}

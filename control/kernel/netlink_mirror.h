// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From rtnetlink messages about routes and neighbours to the rib.

#include "control/kernel/rib.h"

#include <linux/netlink.h>

struct td_mirror {
	struct td_rib *rib;
	unsigned port_count;
	int ifindexes[TD_PORTS_MAX]; // of the ports' TAPs
	// Asked to make the kernel verify a neighbour that it has not heard from for a while.
	void (*verify)(void *context, unsigned port, const struct td_ip *ip);
	void *context;
};

// RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEIGH, RTM_DELNEIGH; others are ignored. Returns 0, -EINVAL (malformed)
// or -ENOMEM.
int td_mirror_message(struct td_mirror *mirror, const struct nlmsghdr *message);
// The port of a TAP, or -1.
int td_mirror_port(const struct td_mirror *mirror, int ifindex);

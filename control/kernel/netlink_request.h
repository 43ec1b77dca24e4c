// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Single rtnetlink changes that wait for the kernel's answer (which is immediate).

#include "common/ip.h"

// Adds an address to an interface; an IPv6 one is usable at once (no duplicate address detection).
// Returns 0 or -errno; an address that is there already is fine.
int td_netlink_address_add(int ifindex, const struct td_prefix *address);
#define TD_ROUTE_TEXT_MAX 128

// Adds a route to the main table, marked as ours (protocol 200), or replaces the one that has this mark.
// via->family 0: on the link; ifindex 0: the interface follows from via. Returns 0 or -errno; -EEXIST:
// somebody else's route to the same destinations is there, which text describes ("via 192.0.2.9 dev eth0
// proto 3").
int td_netlink_route_add(
    const struct td_prefix *to, const struct td_ip *via, int ifindex, char text[TD_ROUTE_TEXT_MAX]);
// Deletes a route that td_netlink_route_add made. Returns 0 or -errno; one that is not there is fine.
int td_netlink_route_delete(const struct td_prefix *to, const struct td_ip *via, int ifindex);

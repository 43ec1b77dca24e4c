// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The kernel's side of the gateway: one TAP per port (tap.c) and the rtnetlink mirror of addresses,
// routes and neighbours (netlink.c).

#include "common/error.h"
#include "control/config/config.h"
#include "control/loop.h"

struct td_taps;

// Makes a TAP for each port with the port's MAC, MTU and addresses, up, and watches it: frames that the
// kernel sends on it are injected. Returns NULL and fills *error (it says what to do).
struct td_taps *td_taps_create(struct td_loop *loop, const struct td_config *config, struct td_error *error);
void td_taps_destroy(struct td_taps *taps);
// Reads again from the TAPs whose frames the workers could not take. For the tick.
void td_taps_resume(struct td_taps *taps);
// Writes a punted frame to a port's TAP; a td_dp_punt_fn. False when the kernel did not take it;
// logged once.
bool td_taps_punt(void *taps, unsigned port, const uint8_t *frame, size_t length);
// Kernel interface index of a port's TAP.
int td_taps_ifindex(const struct td_taps *taps, unsigned port);

struct td_netlink;

// Subscribes to rtnetlink, adds the configured routes, dumps what is there and mirrors it from then on.
struct td_netlink *td_netlink_create(
    struct td_loop *loop, const struct td_config *config, const struct td_taps *taps, struct td_error *error);
void td_netlink_destroy(struct td_netlink *netlink);
// Asks the kernel to resolve a neighbour (NTF_USE).
void td_netlink_resolve(struct td_netlink *netlink, unsigned port, const struct td_ip *ip);
// The configured routes become those of another configuration. Returns 0, or -errno and fills *error: they
// are what they were then. From success the contents of the present configuration must be those of config.
int td_netlink_routes_change(
    struct td_netlink *netlink, const struct td_config *config, struct td_error *error);
// Takes back a change: config is what the routes were changed to.
void td_netlink_routes_revert(struct td_netlink *netlink, const struct td_config *config);

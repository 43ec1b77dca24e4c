// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The configured routes, which are given to the kernel: from there they come back to the mirror. ifindexes
// are those of the ports' TAPs, in the configuration's order.

#include "common/error.h"
#include "control/config/config.h"

// Adds all of them. Returns 0, or -errno and fills *error: those before the one at fault are there.
int td_netlink_routes_add(const struct td_config *config, const int *ifindexes, struct td_error *error);
// The same where some may be missing; what cannot be added is logged.
void td_netlink_routes_restore(const struct td_config *config, const int *ifindexes);
// Those of before become those of after. Returns 0, or -errno and fills *error: they are what they were then.
int td_netlink_routes_exchange(const struct td_config *before, const struct td_config *after,
    const int *ifindexes, struct td_error *error);
// Takes an exchange back, also one that was made in part.
void td_netlink_routes_back(
    const struct td_config *before, const struct td_config *after, const int *ifindexes);

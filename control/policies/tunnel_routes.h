// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The tunnels' routes: destinations that lead into a tunnel where no policy matches. Control thread.

#include "control/config/config.h"
#include "control/sad/sad.h"

// Gives the routes of all tunnels of a configuration to the data plane; those that are there already get
// their tunnel at once. Returns 0, or -errno and fills *error.
int td_tunnel_routes_set(const struct td_config *config, const struct td_sad *sad, struct td_error *error);
void td_tunnel_routes_delete(const struct td_config *config);
// Deletes the routes of a configuration that another one has not.
void td_tunnel_routes_prune(const struct td_config *config, const struct td_config *other);

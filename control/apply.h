// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From the configuration to what the data plane takes.

#include "control/config/config.h"
#include "control/sad/sad.h"

// Fills in what td_dp_start needs. program is argv[0].
void td_apply_dp_config(const struct td_config *config, const char *program, struct td_dp_config *dp);

// Publishes the policies: the configured ones in their order, then for each tunnel a protect rule in both
// directions for every pair of a local and a remote prefix of one family; behind them the tunnels' routes.
// Returns 0 or -errno and fills *error: some may be published then.
int td_apply_policies(const struct td_config *config, const struct td_sad *sad, struct td_error *error);
// Takes back policies and routes, as far as they are there: none may outlive the tunnels.
// Returns 0 or -errno and fills *error.
int td_apply_policies_withdraw(const struct td_config *config, struct td_error *error);

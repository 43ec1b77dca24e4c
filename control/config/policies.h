// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Policies that do not come from the file, but are read and checked as if they did.

#include "common/error.h"
#include "control/config/config.h"

#include <libconfig.h>
#include <stdbool.h>

// root holds a list "policies" of groups and nothing else; running names the tunnels. Returns 0 and the
// policies, to be freed, or -errno with the first error in *error and the position of its policy in *failed.
int td_config_policies_read(config_setting_t *root, const struct td_config *running,
    struct td_policy_config **policies, unsigned *count, unsigned *failed, struct td_error *error);
// Whether both are for the same packets, but with another action.
bool td_config_policy_contradicts(const struct td_policy_config *a, const struct td_policy_config *b);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// From the configuration to what the data plane takes.

#include "control/config/config.h"

// Fills in what td_dp_start needs. program is argv[0].
void td_apply_dp_config(const struct td_config *config, const char *program, struct td_dp_config *dp);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// DPDK's environment abstraction layer: its arguments, made from the configuration.

#include "dataplane/publish.h"

// Control thread. Returns 0, or -errno and says what to do in *error.
int td_eal_start(const struct td_dp_config *config, struct td_error *error);
void td_eal_stop(void);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A data plane of one worker and two net_ring ports, which give back what is sent on them.

#include "dataplane/publish.h"

enum td_load_port { TD_LOAD_INSIDE, TD_LOAD_OUTSIDE, TD_LOAD_PORTS };

// Starts it, the control thread on a core of its own if there is one. Returns 0 or -errno, which it has
// reported in the program's name. It ends with td_dp_stop.
int td_load_open(const char *program);
// Routes for what traffic.c and children send. Returns 0 or -errno.
int td_load_routes_set(void);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Many tunnels beside those of the traffic come, change their keys and go, as fast as the control thread can.

#include <stdint.h>

struct td_storm_rates {
	double install, change, withdraw; // tunnels, with a pair of SAs each, a second; NAN after an error
};

struct td_storm_rates td_storm_run(uint64_t tunnels);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets that go round: from each queue of the inside port through a tunnel, out, back from the far end, and
// in again. Both workers send into all tunnels and receive packets of all SAs.

#include <stdint.h>

#define TD_RACE_TUNNELS 4
#define TD_RACE_ORDERED 2 // the first tunnels: their SAs have one owner, whose packets keep their order
#define TD_RACE_WORKERS 2

extern const char *const td_race_devices[2]; // inside, outside

// Before there are tunnels: what one worker sends another may receive, and their own dummy packets, too, have
// to be seen (seen.h). Returns 0 or -ENOMEM.
int td_race_traffic_open(void);
// Addresses behind a tunnel: 10.2.TUNNEL.0/24.
void td_race_traffic_start(void);
void td_race_traffic_stop(void);
// Packets that came back.
uint64_t td_race_traffic_received(void);
// Those of the first tunnels that a later packet of their flow had overtaken.
uint64_t td_race_traffic_late(void);

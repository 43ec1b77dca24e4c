// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets that go round in this process, through the worker's real loop: inside port, seal, outside port,
// open, inside port. Both ports are net_ring devices, which give back what is sent on them. Callbacks on
// their receive side, which run on the worker, are source, far end and sink. A fixed number of packets is on
// the way, so that the worker never idles and a packet that does not come back is lost.

#include <stdint.h>

#define TD_TRAFFIC_PORTS 2
#define TD_TRAFFIC_TUNNELS 64 // numbers 0 to 63

extern const char *const td_traffic_devices[TD_TRAFFIC_PORTS]; // inside, outside

// All for the control thread, between td_traffic_start and td_traffic_stop (rows.def).

// Rolls the next tunnel over, in turn: the successor's inbound SA is installed, the outbound one switched,
// and the old child goes once all packets that were sealed with it have come back. Without traffic it does
// nothing. Returns 0 or -errno.
int td_traffic_rollover(void);
// Packets that came back so far.
uint64_t td_traffic_received(void);
// The longest time without a packet that came back since the last call, in microseconds.
double td_traffic_gap_us(void);
// Lets what is on the way come back and goes on; returns how many packets were lost since the program began.
uint64_t td_traffic_lost(void);

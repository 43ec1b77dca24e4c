// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets that go round in this process, through the worker's real loop: inside port, seal, outside port,
// open, inside port. Both ports are net_ring devices, which give back what is sent on them. Callbacks on
// their receive side, which run on the worker, are source, far end and sink. A fixed number of packets is on
// the way, so that the worker never idles and a packet that does not come back is lost.

#include "bench/load/latency.h"

#define TD_TRAFFIC_TUNNELS 64 // numbers 0 to 63

// All for the control thread. argument means nothing. Returns 0 or -errno.
int td_traffic_start(uint64_t argument);
void td_traffic_stop(void);

// Between the two:

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
// Rollovers since the start.
uint64_t td_traffic_rollovers(void);

// Lets what is on the way come back and stays so; returns the same.
uint64_t td_traffic_pause(void);
// Goes on, with no latencies counted so far.
void td_traffic_go_on(void);
// How long packets took, as counted until the pause: those that were on their way while a rollover went on or
// that were the first ones behind it, and the others. In TSC cycles, and in nanoseconds of processor time of
// the worker's thread, which does not go on while the machine runs something else on its core.
enum td_traffic_latency { TD_TRAFFIC_NEAR, TD_TRAFFIC_FAR, TD_TRAFFIC_LATENCIES };
enum td_traffic_clock { TD_TRAFFIC_TSC, TD_TRAFFIC_OWN_NS, TD_TRAFFIC_CLOCKS };
const struct td_latency *td_traffic_latency(enum td_traffic_latency which, enum td_traffic_clock clock);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Ports in memory. They are net_null devices whose burst functions give what lies ready here and take what is
// sent: nothing is copied, allocated or freed, so that a port costs a few clocks a packet
// (td_path_ports_cycles tells how many). What is offered and sent is the calling thread's, which is one
// worker.

#include <rte_mbuf.h>
#include <stdint.h>

enum td_path_port { TD_PATH_INSIDE, TD_PATH_OUTSIDE, TD_PATH_PORTS };

extern const char *const td_path_devices[TD_PATH_PORTS];

// Behind td_dp_open.
void td_path_ports_take_over(void);
// What the port's receive queue gives next. The array stays the caller's.
void td_path_port_offer(enum td_path_port port, struct rte_mbuf **mbufs, unsigned count);
// Packets that were sent by the port since the last call.
unsigned td_path_port_sent(enum td_path_port port);
// TSC cycles for moving what a port offers to the other one, as a worker's loop does, through no stage.
uint64_t td_path_ports_cycles(enum td_path_port from, struct rte_mbuf **mbufs, unsigned count);

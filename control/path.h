// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "common/ip.h"

// Where datagrams, or ESP packets, go and come from. For ESP ports are those of UDP encapsulation, 0: none.
struct td_path {
	struct td_ip local, remote;
	uint16_t local_port, remote_port; // host order
};

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What intel-ipsec-mb alone costs for the bytes of the packets, in the same buffers. AES-GCM: nothing but its
// direct calls, with everything that they are given made before. The other suites: their function in the data
// plane, which is the library's burst calls and the filling of its jobs.

#include "bench/path/packet.h"

#include <stdbool.h>

// TSC cycles for all packets of one direction. The buffers hold anything afterwards.
uint64_t td_path_raw_cycles(struct td_path_packets *packets, unsigned suite, bool seal);

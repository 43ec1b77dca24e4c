// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The gateway under test: one worker, an inside and an outside port, and tunnels that differ in peer, keys'
// memory and policy.
//
//	10.1.0.1 -- inside [gateway] 192.0.2.1 -- 192.0.2.254 -- peer n [10.128.0.0 + 16 n, /28]

#include "dataplane/publish.h"
#include "dataplane/suite.h"

#define TD_PATH_TUNNELS_MAX 100000u
#define TD_PATH_WORKERS_MAX 2

// Whose the SAs of a tunnel are.
enum td_path_owners {
	TD_PATH_OWNER_FIRST, // worker 0's
	TD_PATH_OWNER_TURNS, // worker n's, n being the tunnel's number modulo that of the workers
	TD_PATH_OWNER_EACH, // there are some for each worker
};

#define TD_PATH_MEMORY_MB 1024

// Starts the data plane; with hugepages, of which so much memory is reserved, DPDK's tables lie there. Its
// workers have no threads: whoever calls td_worker_turn is that worker, and the caller is the control thread
// and worker 0. Returns 0 or -errno, which it has reported.
int td_path_gateway_open(unsigned workers, bool hugepages);
void td_path_gateway_close(void);

// Puts tunnels in place, with SAs of the suite, in the place of what was there before: up to 1,000 by
// policies, more by tunnel routes. Only worker 0 may be at work. Returns 0 or -errno.
int td_path_tunnels_set(unsigned suite, unsigned count, enum td_path_owners owners);

// What the far end seals with: all tunnels have the same key, each in its own memory.
const void *td_path_far_schedule(void);
uint64_t td_path_far_sequence(unsigned tunnel, unsigned worker); // the next one
uint32_t td_path_spi(unsigned tunnel, unsigned worker); // host order, both ways
// Addresses, host order.
uint32_t td_path_peer(unsigned tunnel); // outer
uint32_t td_path_remote(unsigned tunnel); // inner
#define TD_PATH_OWN 0xc0000201u // 192.0.2.1
#define TD_PATH_LOCAL 0x0a010001u // 10.1.0.1

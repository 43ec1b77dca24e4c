// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The workers' side of a packet capture: copies of frames go through a ring to the control thread. The copies
// have a pool of their own, so that a capture that is not taken fast enough starves nobody.

#include "dataplane/rcu.h"
#include "dataplane/watch.h"

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdalign.h>

struct td_worker;

struct td_capture_lane {
	alignas(RTE_CACHE_LINE_SIZE) uint64_t lost; // Writer: worker
	struct rte_ring *ring; // of copies, to control (SPSC)
};

// Read-only for workers but for what names another writer; unpublished by RCU before it is freed.
struct td_capture {
	struct td_retired retired;
	struct td_dp_capture config;
	struct rte_mempool *pool;
	bool quiet; // no worker sees it any more. Control
	uint64_t taken; // frames copied. Writers: workers, by atomic addition
	struct td_capture_lane lanes[]; // of each worker
};

// Copies a frame if it is one that is wanted. Worker, while td_worker.capture.
void td_capture_take(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf,
    const struct td_dp_headers *headers, bool outbound, enum td_capture_kind kind);
// No worker runs any more.
void td_capture_fini(void);

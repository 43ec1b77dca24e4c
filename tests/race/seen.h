// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What ThreadSanitizer has to be told: it sees our code and DPDK's inline functions, but not what the
// libraries of DPDK do. seen.c stands between, so that no report has to be suppressed; what libraries
// themselves write is left out:
// - packet buffers lie in a pool of seen.c's own, under a mutex, instead of librte_mempool_ring's;
// - the start and the end of a worker order its memory accesses with the control thread's (librte_eal);
// - a packet that a worker sends is complete when another one receives it (net_ring, see td_seen_give).
// rte_ring's inline functions are compiled with RTE_USE_C11_MEM_MODEL: otherwise they rely on the order of
// x86's stores and a barrier for the compiler, which ThreadSanitizer does not know.

#include <rte_mbuf.h>

// Around the queues of a device: before the sender gives packets away, after the receiver has taken them.
void td_seen_give(struct rte_mbuf **mbufs, unsigned count);
void td_seen_take(struct rte_mbuf **mbufs, unsigned count);

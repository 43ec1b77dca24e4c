// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Deferred reclamation. The control thread unpublishes an object, retires it, and td_rcu_reclaim()
// frees it once every worker has passed a quiescent state. Nothing here waits.

#include <rte_rcu_qsbr.h>
#include <stdint.h>
#include <sys/queue.h>

// Embedded in whatever is retired, so that retiring needs no memory and cannot fail.
struct td_retired {
	STAILQ_ENTRY(td_retired) next;
	uint64_t token; // grace period after which no worker holds the object
	void (*release)(struct td_retired *retired);
};

// The one QSBR variable of the process; NULL before td_rcu_init.
extern struct rte_rcu_qsbr *td_rcu_qsbr;

// Control thread. Returns 0 or -ENOMEM.
int td_rcu_init(unsigned workers);
// Releases everything that is still retired; no worker may run any more.
void td_rcu_drain(void);
// Drain first. Whatever refers to td_rcu_qsbr (rte_lpm) must be gone.
void td_rcu_fini(void);
// Control thread: release is called from td_rcu_reclaim() after the grace period.
void td_rcu_retire(struct td_retired *retired, void (*release)(struct td_retired *retired));
// Control thread: releases what is due, without waiting. Returns how many objects.
unsigned td_rcu_reclaim(void);

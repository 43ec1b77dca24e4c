// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How many packets each policy was the first match of. Counters lie in chunks, each worker with its own, so
// that counting needs no atomic and shares no cache line; a policy has the same number at every worker.

#include "dataplane/policy.h"
#include "dataplane/worker.h"

enum td_hits_number {
	TD_HITS_UNMATCHED, // packets that nothing matched
	TD_HITS_UNREAD, // of rules that nobody asks for: tunnel routes
	TD_HITS_FIRST, // of policies
};

// Owner. The rules are those of td_policy_lookup.
static inline void td_policy_hits_count(
    struct td_worker *worker, const struct td_policy_rule *const *rules, unsigned count)
{
	// Packets of one flow follow each other.
	for (unsigned start = 0, end; start < count; start = end) {
		uint32_t number = rules[start] ? rules[start]->hits : TD_HITS_UNMATCHED;

		for (end = start + 1; end < count && rules[end] == rules[start]; end++)
			;
		td_counter_add(&worker->hits[number / TD_HITS_CHUNK][number % TD_HITS_CHUNK], end - start);
	}
}

// Control thread, before the worker runs: the first chunk. Returns 0 or -ENOMEM.
int td_policy_hits_init(struct td_worker *worker);
void td_policy_hits_fini(struct td_worker *worker);
// The number of struct td_dp_hits, or that of the unread ones for NULL.
uint32_t td_policy_hits_number(const struct td_dp_hits *hits);

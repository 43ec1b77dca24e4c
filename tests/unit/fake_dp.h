// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A data plane without packets: it counts what it is asked and fails on demand.

#include "dataplane/publish.h"

struct fake_dp {
	unsigned workers;
	unsigned in_live, out_live, in_published, in_removed, out_removed, in_stopped, out_stopped, switches;
	unsigned reserved[TD_WORKERS_MAX];
	unsigned create_fails_at; // the n-th create fails, from 1 on; 0: none
	unsigned creates;
	struct td_sa_params created; // the last one; what it points to may be gone
	bool reserve_fails;
	unsigned tunnels;
	unsigned tfc, dummy_rate; // of the last tunnel
	unsigned pmtu, moves, moved_port, keepalives; // last path MTU, moves of peers
	unsigned policy_fails, policy_count, policies_set,
	    hits_live; // td_dp_policy_set; the last list's length
	struct td_dp_policy policies[8]; // its beginning
	unsigned policy_ms; // how long building takes
	struct td_sa_stats in_stats, out_stats; // of every SA
	const struct td_trace_record *records; // of workers under trace, not taken yet
	unsigned record_count;
	bool tracing;
	struct td_dp_filter trace_filter; // of the last trace
	uint64_t trace_age_ns;
	struct td_dp_capture capture; // the last one
	bool capturing;
	const struct td_capture_frame *frames; // captured and not taken yet
	unsigned frame_count;
};
extern struct fake_dp fake_dp;

// Back to two workers, no failures, and SAs that some packets have used.
void fake_dp_reset(void);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The packet trace on the control thread: puts the workers' records together, packet by packet. Control
// thread.

#include "common/error.h"
#include "dataplane/publish.h"

struct td_trace_packet {
	uint32_t id; // the data plane's number
	unsigned number; // as people see it, from 1
	unsigned step_count, step_room, steps_lost;
	bool ended; // sent, dropped or punted, or given up
	bool kept; // it is one of the trace's packets, and not only a candidate
	uint64_t last_ns; // of the last record, since the trace was started
	struct td_trace_record *steps; // in order of time
};

struct td_tracer;

// NULL without memory.
struct td_tracer *td_tracer_create(void);
// Stops the trace. The data plane still runs.
void td_tracer_destroy(struct td_tracer *tracer);
// Forgets the packets of the last trace and starts one of count packets. worker: -1 for all. Returns 0 or
// -ENOMEM with *error.
int td_tracer_start(struct td_tracer *tracer, const struct td_dp_filter *filter, unsigned count, int worker,
    struct td_error *error);
// What was traced stays to be shown.
void td_tracer_stop(struct td_tracer *tracer);
// Takes what the workers told. Returns true when there was something. A trace ends by itself when its packets
// have.
bool td_tracer_tick(struct td_tracer *tracer);

struct td_tracer_state {
	bool running;
	unsigned wanted, packets; // to be traced, and traced so far
	uint64_t lost; // records that found no room
};
void td_tracer_state(const struct td_tracer *tracer, struct td_tracer_state *state);
// The packet of an index below state.packets.
const struct td_trace_packet *td_tracer_packet(const struct td_tracer *tracer, unsigned index);
// Nothing more is expected of the packet.
bool td_tracer_is_complete(const struct td_tracer *tracer, const struct td_trace_packet *packet);

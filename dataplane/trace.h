// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The workers' side of the packet trace. A packet under trace carries a mark in td_packet; every stage tells
// what it decided by a record in a ring to the control thread. While no trace runs, stages only look at
// td_worker.watched, once per burst where they can.

#include "dataplane/rcu.h"
#include "dataplane/watch.h"

#include <rte_mbuf.h>

struct td_worker;
struct td_adjacency;
struct td_policy_rule;

// A trace that runs. Read-only for workers but for admitted; replaced by RCU.
struct td_trace {
	struct td_retired retired;
	struct td_dp_filter filter;
	uint32_t count; // packets to trace; ignored when the filter has a drop reason
	int worker; // -1: any
	uint32_t session; // the upper bits of this trace's marks
	uint64_t start_tsc;
	uint32_t admitted; // packets that got a mark. Writers: workers, by atomic addition
};

// Marks of packets: session and number. 0: none.
#define TD_TRACE_NUMBER_BITS 24
#define TD_TRACE_NUMBER_MASK ((1u << TD_TRACE_NUMBER_BITS) - 1)

// All for the owner of the packet, while td_worker.watched; they do nothing for packets without a mark.
// A frame that fits the filter gets a mark; its td_packet has been set up.
void td_trace_admit(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf,
    const struct td_dp_headers *headers, enum td_trace_step step);
// A record with nothing but a code.
void td_trace_code(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, unsigned code);
void td_trace_codes(struct td_worker *worker, struct rte_mbuf *const *mbufs, unsigned count,
    enum td_trace_step step, unsigned code);
void td_trace_port(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, unsigned port);
void td_trace_policy(struct td_worker *worker, bool outbound, struct rte_mbuf *const *mbufs,
    const struct td_policy_rule *const *rules, unsigned count);
// A packet met an inbound SA, or was sealed by an outbound one.
void td_trace_sa(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_trace_step step, uint32_t spi,
    uint32_t tunnel, uint64_t sequence, unsigned code);
// An inner packet lies bare.
void td_trace_opened(struct td_worker *worker, struct rte_mbuf *mbuf);
// Where the routes lead.
void td_trace_routes(struct td_worker *worker, struct rte_mbuf *const *mbufs, unsigned count);

// ---- headers and filters (headers.c); any thread --------------------------------------------------

// Reads what is there of a frame.
void td_headers_read(const uint8_t *frame, uint32_t length, struct td_dp_headers *headers);
// The same of a packet that starts at its IP header.
void td_headers_read_ip(const uint8_t *packet, uint32_t length, struct td_dp_headers *headers);
bool td_filter_matches(const struct td_dp_filter *filter, unsigned port, const struct td_dp_headers *headers);

// ---- frames that come and go (observe.c); worker, while it is watched ------------------------------

// A frame from a port, or of the kernel; its td_packet has been set up.
void td_observe_received(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf);
void td_observe_injected(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf);
// A frame that a port is about to send.
void td_observe_sent(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf);
// A plain packet of a tunnel that passes no inside port: out of the tunnel, or (outbound) of the kernel,
// whose Ethernet header is still in the headroom. It starts at its IP header.
void td_observe_plain(struct td_worker *worker, struct rte_mbuf *mbuf, bool outbound);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packet trace and capture: what the control thread asks of them and gets back. A part of publish.h, which
// includes it.

#include "common/error.h"
#include "common/ip.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

// ---- which packets ----------------------------------------------------------------------------

// What of a frame's headers filters and traces know. Nothing of what lies behind the upper header.
struct td_dp_headers {
	uint16_t ethertype; // 0: the frame is too short for one
	uint8_t protocol; // behind IPv6 extension headers; of IP packets only
	bool fragment;
	struct td_ip source, destination; // family 0: no IP packet
	uint16_t source_port, destination_port; // of TCP, UDP and SCTP, 0: not seen
	uint32_t spi, sequence; // of AH, and of ESP, also in UDP port 4500; SPI 0: none
	uint16_t length; // bytes of the frame
};

// Every condition that is set has to hold.
struct td_dp_filter {
	struct td_prefix source, destination; // family 0: any
	int protocol; // -1: any
	uint32_t spi; // 0: any
	int port; // received on or sent by; -1: any
	int drop; // enum td_drop, of traces only: packets that end so; -1: however they end
};

// ---- trace ------------------------------------------------------------------------------------

enum td_trace_step {
	TD_TRACE_RECEIVED, // port, headers
	TD_TRACE_INJECTED, // by the kernel: port, headers
	TD_TRACE_CLASSIFIED, // code: enum td_trace_class
	TD_TRACE_POLICY, // outbound, code: enum td_policy_action or TD_TRACE_NO_POLICY, tunnel of protect
	TD_TRACE_ESP_IN, // spi, sequence, tunnel, code: the replay window's enum td_trace_replay
	TD_TRACE_ICV, // code: 1 right, 0 wrong
	TD_TRACE_OPENED, // headers of the inner packet
	TD_TRACE_ESP_OUT, // spi, sequence, tunnel, length: sealed
	TD_TRACE_HANDOFF, // code: to this worker
	TD_TRACE_HELD, // code: enum td_trace_wait
	TD_TRACE_CUT, // code: fragments
	TD_TRACE_REPLY, // an ICMP error went to the sender
	TD_TRACE_ROUTE, // code: enum td_trace_route, port, next_hop
	TD_TRACE_PUNTED, // port: to the kernel
	TD_TRACE_SENT, // port, length
	TD_TRACE_DROPPED, // code: enum td_drop
};

enum td_trace_class { TD_TRACE_CLASS_ESP, TD_TRACE_CLASS_TRANSIT, TD_TRACE_CLASS_PLAIN };
enum td_trace_replay { TD_TRACE_REPLAY_OK, TD_TRACE_REPLAY_SEEN, TD_TRACE_REPLAY_OLD, TD_TRACE_REPLAY_NONE };
enum td_trace_wait { TD_TRACE_WAIT_SA, TD_TRACE_WAIT_NEIGHBOUR, TD_TRACE_WAIT_FRAGMENTS };
enum td_trace_route {
	TD_TRACE_ROUTE_NONE,
	TD_TRACE_ROUTE_LOCAL,
	TD_TRACE_ROUTE_BLACKHOLE,
	TD_TRACE_ROUTE_HOP
};

#define TD_TRACE_NO_POLICY 255
#define TD_TRACE_NO_TUNNEL UINT32_MAX

// One thing that a worker did to a packet.
struct td_trace_record {
	uint64_t ns; // since the trace was started
	uint32_t packet; // number of the packet among those of the trace, from 0
	uint8_t step; // enum td_trace_step
	uint8_t worker, port, code;
	uint32_t spi, tunnel;
	uint64_t sequence;
	uint16_t length;
	bool outbound;
	union {
		struct td_dp_headers headers;
		struct td_ip next_hop;
	};
};

// From now on the next packets that fit the filter are traced: count of them, or for a filter with a drop
// reason all until the trace is stopped. worker: only what this one receives; -1: any. A trace that runs is
// replaced. Returns 0 or -ENOMEM.
int td_dp_trace_start(const struct td_dp_filter *filter, unsigned count, int worker);
// No step is told any more.
void td_dp_trace_stop(void);
// Takes at most max records of the running trace. Those of one worker are in order. Returns how many.
unsigned td_dp_trace_receive(struct td_trace_record *records, unsigned max);
// Records that found no room, since the trace was started.
uint64_t td_dp_trace_lost(void);
// All packets that the trace was started for have been met.
bool td_dp_trace_full(void);
// Nanoseconds since the trace was started.
uint64_t td_dp_trace_age_ns(void);

// ---- capture ----------------------------------------------------------------------------------

enum td_capture_side {
	TD_CAPTURE_PLAIN = 1, // frames of inside ports, and plain packets of tunnels that no inside port sees
	TD_CAPTURE_PROTECTED = 2, // frames of outside ports
	TD_CAPTURE_BOTH = 3,
};

struct td_dp_capture {
	struct td_dp_filter filter; // holds for each frame as it is captured; drop means nothing
	enum td_capture_side side;
	unsigned snaplen; // bytes that are kept of a frame
	uint64_t count; // frames
};

enum td_capture_kind {
	TD_CAPTURE_FRAME, // as a port received or sent it
	TD_CAPTURE_OPENED, // out of a tunnel, for the gateway or back to the outside; Ethernet header made up
	TD_CAPTURE_OWN, // of the gateway itself, before it is sealed
};

struct td_capture_frame {
	uint64_t age_ns; // how long ago it was captured
	const uint8_t *bytes;
	uint32_t captured, length; // bytes that are there, and that the frame had
	uint8_t port, worker;
	bool outbound;
	enum td_capture_kind kind;
};
typedef void (*td_capture_fn)(void *context, const struct td_capture_frame *frame);

// From now on workers copy frames. Returns 0, -ENOMEM, or -EBUSY: the last capture has not been freed yet.
int td_dp_capture_start(const struct td_dp_capture *capture);
// Hands at most max copies to fn. Those of one worker are in order. Returns how many.
unsigned td_dp_capture_receive(unsigned max, td_capture_fn fn, void *context);
// No more frames are copied, but for those of workers that have not seen it yet.
void td_dp_capture_stop(void);
// Behind td_dp_capture_stop: frees the capture when no worker sees it any more and all copies were received.
// False: not yet.
bool td_dp_capture_free(void);
// Frames that found no buffer or no room in a ring, since the capture was started.
uint64_t td_dp_capture_lost(void);

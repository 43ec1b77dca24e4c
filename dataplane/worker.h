// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One worker thread and what it owns. Read-only after start unless a writer is named.
// "owner" is the worker's own thread, "control" the control thread.

#include "dataplane/capture.h"
#include "dataplane/counter.h"
#include "dataplane/drops.h"
#include "dataplane/fib.h"
#include "dataplane/icmp.h"
#include "dataplane/packet.h"
#include "dataplane/policy.h"
#include "dataplane/policy_flows.h"
#include "dataplane/publish.h"
#include "dataplane/reassembly.h"
#include "dataplane/spi_table.h"
#include "dataplane/suite.h"
#include "dataplane/trace.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ring.h>
#include <stdalign.h>

// Packets that wait for room in a device's transmit queue.
#define TD_TX_BACKLOG (8 * TD_BURST)

struct td_rx_queue {
	uint8_t port; // index into td_dp.ports
	uint16_t queue;
};

struct td_tx_buffer {
	uint16_t count;
	bool queued; // this worker has a transmit queue of the port. Before the worker runs
	struct rte_mbuf *mbufs[TD_TX_BACKLOG];
};

// A token bucket: rate per second, burst of one tenth of it.
struct td_bucket {
	uint64_t last_tsc;
	uint64_t tokens; // scaled by the TSC frequency
};

// In the order in which the control thread takes them.
// IKE_FIRST: IKE messages that name no SPI of this gateway (common/ike_spi.h), which anybody can send in
// masses.
enum td_punt_class {
	TD_PUNT_IKE,
	TD_PUNT_IKE_FIRST,
	TD_PUNT_ARP,
	TD_PUNT_ICMP,
	TD_PUNT_OTHER,
	TD_PUNT_CLASSES
};

struct td_held {
	struct rte_mbuf *mbuf;
	struct td_ip next_hop;
	uint8_t port; // it may leave by this port only: policy was decided for it
	uint64_t deadline_tsc;
	uint64_t ask_tsc; // when the kernel is to be asked for the neighbour; the same for all its packets
};

struct td_acquire {
	struct rte_mbuf *mbuf; // its td_packet names the tunnel
	uint64_t deadline_tsc;
	uint64_t tell_tsc; // when the control thread is to hear of the tunnel; the same for all its packets
};

struct td_worker_counters {
	uint64_t loops, idle_loops, rx_packets, tx_packets;
	uint64_t esp_in_packets, esp_in_bytes, esp_out_packets, esp_out_bytes;
	uint64_t dummies_out, punted, injected, handoff_in, handoff_out, held;
	uint64_t drops[TD_DROP_COUNT];
	uint64_t events_lost, trace_lost, hints_unknown;
};

struct td_worker {
	uint16_t id; // also the QSBR thread id
	int core; // CPU or -1
	unsigned lcore;
	IMB_MGR *mgr; // owner
	struct td_spi_table spi_table; // writer: control; readers: all workers
	unsigned rx_count;
	struct td_rx_queue rx[TD_PORTS_MAX * TD_QUEUES_MAX];
	struct rte_ring *handoff[TD_WORKERS_MAX]; // from worker i to this one (SPSC)
	struct rte_ring *punt[TD_PUNT_CLASSES]; // to control (SPSC); apart, so that no class starves another
	struct rte_ring *inject; // from control (SPSC)
	struct rte_ring *events; // to control (SPSC), struct td_event
	// Chunks of policy_hits.h. Writer of the pointers: control; of the counters in them: the owner.
	uint64_t *hits[TD_HITS_CHUNKS];
	// To control (SPSC), struct td_trace_record. Writer: control, before it publishes a trace.
	struct rte_ring *trace_ring;

	// What the owner writes, apart from what other workers read above.
	alignas(RTE_CACHE_LINE_SIZE) uint64_t now_tsc; // start of this loop. Owner
	const struct td_trace *trace; // that runs in this loop, or NULL. Owner
	struct td_capture *capture; // the same. Owner
	bool watched; // there is one: the only thing that stages look at. Owner
	unsigned held_count; // owner
	struct td_bucket punt_buckets[TD_PUNT_CLASSES]; // owner
	struct td_bucket unknown_spi_bucket, acquire_bucket, icmp_bucket, pmtu_bucket; // owner
	uint32_t held_generation; // FIB generation of the last retry. Owner
	bool held_retrying; // owner
	struct td_held held[TD_HOLD_PER_WORKER]; // owner
	unsigned acquire_count; // owner
	uint64_t acquire_tunnels; // td_acquire_bit of those that they wait for. Owner
	uint32_t acquire_generation; // td_dp.switch_generation of the last look. Owner
	struct td_acquire acquire[TD_ACQUIRE_PER_WORKER]; // owner
	unsigned dummy_cursor; // place in td_dp.dummy_tunnels. Owner
	// Of ESP with AH and of other protocols, because librte_ip_frag does not tell protocols apart. Owner.
	struct td_reassembly *reassembly[2];
	struct td_tx_buffer tx[TD_PORTS_MAX]; // owner
	alignas(RTE_CACHE_LINE_SIZE) struct td_worker_counters counters; // writer: owner
	struct td_policy_flows flows[2]; // inbound, outbound. Owner
};

struct td_port {
	struct td_dp_port_config config;
	uint16_t eth_id; // DPDK's number
	uint16_t rx_queues, tx_queues;
	bool rss, started;
	enum td_steering steering;
	char driver[32];
	struct rte_ether_addr mac;
};

// The one data plane of the process.
struct td_dp {
	unsigned worker_count, port_count;
	struct td_worker *workers[TD_WORKERS_MAX];
	struct td_port ports[TD_PORTS_MAX];
	enum td_idle idle;
	bool icmp_unreachable, icmp_prohibited; // as configured
	uint64_t tsc_hz;
	struct rte_mempool *pool;
	IMB_MGR *control_mgr; // control
	struct td_policy_set *policies; // writer: control (release store); workers acquire it once per stage
	uint64_t policy_generation; // grows behind each change of policies. Writer: control (release store)
	uint32_t switch_generation; // grows with each switch. Writer: control
	// Tunnels with dummy packets: the number plus 1, 0 where none is. Writer: control, by release stores
	// that pair with the acquires in dummy.c
	uint32_t dummy_tunnels[TD_DUMMY_TUNNELS_MAX];
	unsigned dummy_used; // places behind this one never held a tunnel. Writer: control (release store)
	bool stop; // writer: control
	struct td_trace
	    *trace; // NULL: none runs. Writer: control (release store); workers acquire it once per loop
	uint64_t trace_lost; // records lost before it was started. Control
	struct td_capture *capture; // as trace
	struct td_capture *capture_open; // also while workers may still see it, NULL: freed. Control
	uint64_t control_drops[TD_DROP_COUNT]; // writer: control
};
extern struct td_dp td_dp;

// The worker that polls a receive queue: the first queue of each port goes to another worker.
static inline unsigned td_queue_worker(unsigned port, unsigned queue)
{
	return (port + queue) % td_dp.worker_count;
}

// Thread of rte_eal_remote_launch; argument is the struct td_worker.
int td_worker_run(void *worker);
// One turn of its loop: whatever has come in goes through all stages and out. Returns how much there was to
// do. The worker is online for RCU.
unsigned td_worker_turn(struct td_worker *worker);

// Control thread. td_dp_start without the threads: whoever takes a worker's turns, in one thread, is that
// worker. It ends with td_dp_stop.
int td_dp_open(const struct td_dp_config *config, struct td_error *error);

// Drops a packet for a reason. Owner.
static inline void td_drop(struct td_worker *worker, struct rte_mbuf *mbuf, enum td_drop reason)
{
	td_counter_add(&worker->counters.drops[reason], 1);
	if (unlikely(worker->watched))
		td_trace_code(worker, mbuf, TD_TRACE_DROPPED, reason);
	rte_pktmbuf_free(mbuf);
}

// What is watched in this loop of the worker.
static inline void td_watch_look(struct td_worker *worker)
{
	// Pair with the releases in trace.c and capture.c: what is seen is complete.
	worker->trace = __atomic_load_n(&td_dp.trace, __ATOMIC_ACQUIRE);
	worker->capture = __atomic_load_n(&td_dp.capture, __ATOMIC_ACQUIRE);
	worker->watched = worker->trace || worker->capture;
}

// Takes a token if there is one.
static inline bool td_bucket_take(struct td_bucket *bucket, uint64_t now_tsc, uint64_t tsc_hz, uint64_t rate)
{
	uint64_t full = tsc_hz * (rate / 10 + 1);
	uint64_t elapsed = now_tsc - bucket->last_tsc;

	bucket->last_tsc = now_tsc;
	// After a second or more the bucket is full whatever the rate, and the product could overflow.
	bucket->tokens = elapsed >= tsc_hz ? full : RTE_MIN(full, bucket->tokens + elapsed * rate);
	if (bucket->tokens < tsc_hz)
		return false;
	bucket->tokens -= tsc_hz;
	return true;
}

// ---- stages; each takes a burst of at most TD_BURST packets and keeps none of the array -----------

// Frames from a port (classify.c).
void td_classify(struct td_worker *worker, uint8_t port, struct rte_mbuf **mbufs, unsigned count);
// Frames that the kernel sent on a port's TAP (punt.c).
void td_inject_stage(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
// IP packets that cross to the outside: policy, then esp_out, forward or drop (outbound.c).
void td_outbound(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
// IP packets that were accepted from outside, decrypted or bypassed: to the gateway itself, inside, or (a
// hub) through the outbound policy to the outside again (inward.c).
void td_inward(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
// ESP and AH packets for this gateway (esp_in.c) and plain packets for the tunnel in td_packet (esp_out.c).
void td_esp_in(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
void td_esp_out(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
// The same for packets that waited (acquire.c) or are parts of one (esp_out.c): what still waits stays there.
void td_esp_out_ready(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count);
// Sends dummy packets on idle SAs (dummy.c), at most TD_BURST at a time.
void td_dummy_poll(struct td_worker *worker);
// Sends the one that the control thread wants (td_dp_dummy_send); takes the order.
void td_dummy_order(struct td_worker *worker, struct rte_mbuf *order);
// IP packets to their next hop; a local destination is punted (forward.c). inside_only: packets that
// the outbound policy has not seen; they do not leave by an outside port even if routes change meanwhile.
void td_forward(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count, bool inside_only);
// A packet whose next hop is not resolved (hold.c).
void td_hold(struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency);
// A packet whose tunnel has no outbound SA (acquire.c).
void td_acquire_hold(struct td_worker *worker, struct rte_mbuf *mbuf);
// Whether a packet of the tunnel waits for one: none may overtake it.
bool td_acquire_find(const struct td_worker *worker, uint32_t tunnel);
// Sends on what has an SA now, drops what waited too long.
void td_acquire_poll(struct td_worker *worker);
// Sends an ICMP error about a packet, rate limited (reply.c). The packet stays the caller's.
void td_reply(struct td_worker *worker, struct rte_mbuf *offending, enum td_icmp_error error, uint16_t mtu);
// Before a packet is dropped for want of a route, or by the outbound policy: tells its sender, as far as the
// configuration wants it.
void td_reply_no_route(struct td_worker *worker, struct rte_mbuf *offending);
void td_reply_prohibited(struct td_worker *worker, struct rte_mbuf *offending);
// Cuts a packet that is longer than mtu into at most TD_FRAGMENTS_MAX fragments and returns how many; 0: that
// may not be, the sender was told and the packet dropped for the reason.
int td_cut(struct td_worker *worker, struct rte_mbuf *mbuf, uint16_t mtu, struct rte_mbuf **fragments,
    enum td_drop reason);
// Looks whether a local ICMP packet is a path MTU hint about our ESP packets (pmtu.c).
void td_pmtu_hint(struct td_worker *worker, struct rte_mbuf *mbuf);
// Tries held packets again when the FIB changed, drops those that waited too long.
void td_hold_poll(struct td_worker *worker);
void td_hold_look(struct td_worker *worker); // only the first
// Before a packet leaves whose neighbour is known: others may have waited for that neighbour until just now.
static inline void td_hold_first(struct td_worker *worker)
{
	if (unlikely(worker->held_count))
		td_hold_look(worker);
}
// A complete frame to a port (port.c), in every case.
void td_tx_any(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf);
// Gives what waits to the devices; returns how many packets they did not take.
unsigned td_tx_flush(struct td_worker *worker);
// An IP packet, or a whole frame, to the TAP of a port (punt.c).
void td_punt(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf, enum td_punt_class class);
void td_punt_frame(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf, enum td_punt_class class);
// The class of an IP packet for this gateway.
enum td_punt_class td_punt_classify(struct rte_mbuf *mbuf);
// To another worker, to go on at td_packet.stage (handoff.c).
void td_handoff(struct td_worker *worker, unsigned target, struct rte_mbuf *mbuf, enum td_stage stage);
unsigned td_handoff_receive(struct td_worker *worker);
// To the control thread (event.c). False: its ring is full; what must not be missed is raised again later.
bool td_event_raise(struct td_worker *worker, struct td_event *event);
// Whether its ring has room, for events that would be raised again and again otherwise.
bool td_event_has_room(const struct td_worker *worker);

static inline uint64_t td_acquire_bit(uint32_t tunnel)
{
	return 1ull << tunnel % 64;
}

// The same as td_acquire_find, quick where no packet waits, or those of few other tunnels.
static inline bool td_acquire_waits(const struct td_worker *worker, uint32_t tunnel)
{
	return unlikely(worker->acquire_count) && worker->acquire_tunnels & td_acquire_bit(tunnel) &&
	       td_acquire_find(worker, tunnel);
}

// ---- ports (port.c), control thread --------------------------------------------------------------

int td_port_open(unsigned port, const struct td_dp_port_config *config, struct td_error *error);
int td_port_start(unsigned port, struct td_error *error);
void td_port_close(unsigned port);

// A complete frame to a port.
static inline void td_tx(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_tx_buffer *buffer = &worker->tx[port];

	if (likely(buffer->queued && buffer->count < TD_TX_BACKLOG && !worker->watched))
		buffer->mbufs[buffer->count++] = mbuf;
	else
		td_tx_any(worker, port, mbuf);
}

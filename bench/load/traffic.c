// SPDX-License-Identifier: BSD-3-Clause
#include "bench/load/traffic.h"

#include "bench/load/child.h"
#include "bench/load/gateway.h"
#include "bench/load/latency.h"
#include "common/clock.h"
#include "dataplane/counter.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WINDOW 256u // packets on the way: fits every ring
#define PAYLOAD_BYTES 100
#define LEAVING_MAX 64 // children that wait for their last packets
#define RETURN_NS 1000000000ull // what is not back after this is lost

struct stamp {
	uint64_t sent[TD_TRAFFIC_CLOCKS];
	uint32_t changes; // traffic.changes at that time
	uint32_t near; // 1: a change was going on, or its packets may have been the next ones
};

struct frame {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	union {
		struct stamp stamp;
		uint8_t payload[PAYLOAD_BYTES];
	};
} __attribute__((packed, aligned(2)));

// An old child and the number of sent packets at which no more of its packets can be on the way.
struct leaving {
	struct td_child child;
	uint64_t mark;
};

// What worker and control thread share.
static struct {
	bool running; // the source sends. Writer: control
	uint64_t sent, received; // writer: worker
	uint64_t gap; // TSC cycles. Writer: worker; control sets it back, and may miss one gap of that moment
	uint64_t last_tsc; // of the last packet that came back. Writer: worker while the source sends, else
	                   // control
	uint32_t changes; // grows before and after each change of a traffic's tunnel: odd while one goes on.
	                  // Writer: control
	uint32_t changes_seen; // worker
	uint64_t near_until; // packets sent up to here are near a change. Worker
	// Writer: worker; control reads and empties them while all packets are back.
	struct td_latency latencies[TD_TRAFFIC_LATENCIES][TD_TRAFFIC_CLOCKS];
} traffic;

static struct frame frames[TD_TRAFFIC_TUNNELS]; // worker, once started
static struct td_dp_tunnel *tunnels[TD_TRAFFIC_TUNNELS];
static struct td_child children[TD_TRAFFIC_TUNNELS];
static struct leaving leaving[LEAVING_MAX];
static unsigned leaving_first, leaving_count, next_tunnel;
static uint64_t rollovers; // since the start
static uint64_t lost_before; // of traffic that was stopped

// ---- worker -----------------------------------------------------------------------------------

static void clocks_read(uint64_t *clocks)
{
	struct timespec own;

	clocks[TD_TRAFFIC_TSC] = rte_rdtsc();
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &own);
	clocks[TD_TRAFFIC_OWN_NS] = (uint64_t)own.tv_sec * 1000000000 + (uint64_t)own.tv_nsec;
}

static void latency_add(const struct frame *frame, const uint64_t *now, uint32_t changes)
{
	bool near = frame->stamp.near || frame->stamp.changes != changes;
	struct td_latency *latencies = traffic.latencies[near ? TD_TRAFFIC_NEAR : TD_TRAFFIC_FAR];

	for (unsigned i = 0; i < TD_TRAFFIC_CLOCKS; i++)
		td_latency_add(&latencies[i], now[i] - frame->stamp.sent[i]);
}

static void sink(struct rte_mbuf **mbufs, uint16_t count)
{
	uint64_t now[TD_TRAFFIC_CLOCKS], now_tsc;
	// Pairs with the releases in td_traffic_rollover.
	uint32_t changes = __atomic_load_n(&traffic.changes, __ATOMIC_ACQUIRE);
	unsigned ours = 0;

	clocks_read(now);
	now_tsc = now[TD_TRAFFIC_TSC];
	// Anything else, an ICMP error for one, is not a packet that came back.
	for (unsigned i = 0; i < count; i++) {
		if (mbufs[i]->data_len != sizeof(struct frame))
			continue;
		latency_add(rte_pktmbuf_mtod(mbufs[i], const struct frame *), now, changes);
		ours++;
	}
	rte_pktmbuf_free_bulk(mbufs, count);
	if (ours == 0)
		return;
	td_counter_add(&traffic.received, ours);
	if (now_tsc - traffic.last_tsc > td_counter_read(&traffic.gap))
		__atomic_store_n(&traffic.gap, now_tsc - traffic.last_tsc, __ATOMIC_RELAXED);
	traffic.last_tsc = now_tsc;
}

// What all packets of a burst say about the time when they were sent. A change begins to matter to packets
// when it begins, and is over for those sent after each tunnel had two packets more.
static struct stamp stamp_make(void)
{
	uint32_t changes = __atomic_load_n(&traffic.changes, __ATOMIC_ACQUIRE);

	if (changes != traffic.changes_seen)
		traffic.near_until = traffic.sent + 2ul * TD_TRAFFIC_TUNNELS;
	traffic.changes_seen = changes;
	struct stamp stamp = {{0}, changes, changes % 2 || traffic.sent < traffic.near_until};
	clocks_read(stamp.sent);
	return stamp;
}

static uint16_t source(struct rte_mbuf **mbufs, unsigned most)
{
	// A lost packet leaves its place in the window empty.
	uint64_t room = WINDOW - RTE_MIN((uint64_t)WINDOW, traffic.sent - traffic.received);
	unsigned count = RTE_MIN((unsigned)room, most);

	// Pairs with the release in traffic_run: frames and last_tsc are filled in.
	if (!__atomic_load_n(&traffic.running, __ATOMIC_ACQUIRE) || count == 0 ||
	    rte_pktmbuf_alloc_bulk(td_dp.pool, mbufs, count))
		return 0;
	struct stamp stamp = stamp_make();
	for (unsigned i = 0; i < count; i++) {
		struct frame *frame = (void *)rte_pktmbuf_append(mbufs[i], sizeof(*frame));

		*frame = frames[(traffic.sent + i) % TD_TRAFFIC_TUNNELS];
		frame->stamp = stamp;
	}
	td_counter_add(&traffic.sent, count);
	return (uint16_t)count;
}

static uint16_t inside_receive(
    uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, uint16_t most, void *context)
{
	(void)port;
	(void)queue;
	(void)context;
	if (count)
		sink(mbufs, count);
	return source(mbufs, most);
}

// The far end: it sends back what it gets. The header's checksum stays right when two words change places.
static uint16_t outside_receive(
    uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, uint16_t most, void *context)
{
	(void)port;
	(void)queue;
	(void)most;
	(void)context;
	for (unsigned i = 0; i < count; i++) {
		struct rte_ipv4_hdr *ip =
		    rte_pktmbuf_mtod_offset(mbufs[i], struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
		rte_be32_t source_address = ip->src_addr;

		ip->src_addr = ip->dst_addr;
		ip->dst_addr = source_address;
	}
	return count;
}

// ---- set-up -----------------------------------------------------------------------------------

static struct td_prefix prefix(const char *text)
{
	struct td_prefix made;

	(void)td_prefix_parse(text, &made);
	return made;
}

static struct td_prefix prefix_of(unsigned tunnel)
{
	return (struct td_prefix){td_ip_from_v4(0x0a020000 + tunnel * 256), 24};
}

// A packet from 10.1.0.1 to tunnel n's 10.2.n.1 comes back as it was, so that it meets policy once as an
// outbound and once as an inbound packet.
static int policies_set(void)
{
	struct td_dp_policy policies[2 * TD_TRAFFIC_TUNNELS];

	for (unsigned i = 0; i < TD_TRAFFIC_TUNNELS; i++) {
		struct td_dp_policy policy = {
		    .directions = TD_POLICY_OUT,
		    .action = TD_POLICY_PROTECT,
		    .local = prefix("10.1.0.0/16"),
		    .remote = prefix_of(i),
		    .local_port_high = UINT16_MAX,
		    .remote_port_high = UINT16_MAX,
		    .tunnel = tunnels[i],
		};

		policies[2 * i] = policy;
		policy.directions = TD_POLICY_IN;
		policy.local = prefix_of(i);
		policy.remote = prefix("10.1.0.0/16");
		policies[2 * i + 1] = policy;
	}
	return td_dp_policy_set(policies, RTE_DIM(policies), NULL);
}

static void frame_fill(struct frame *frame, unsigned tunnel)
{
	*frame = (struct frame){
	    .ether =
	        {
	            .dst_addr = td_dp.ports[TD_LOAD_INSIDE].mac,
	            .ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
	        },
	    .ip =
	        {
	            .version_ihl = RTE_IPV4_VHL_DEF,
	            .total_length = rte_cpu_to_be_16(sizeof(*frame) - RTE_ETHER_HDR_LEN),
	            .time_to_live = 64,
	            .next_proto_id = IPPROTO_UDP,
	            .src_addr = rte_cpu_to_be_32(0x0a010001),
	            .dst_addr = rte_cpu_to_be_32(0x0a020001 + tunnel * 256),
	        },
	    .udp = {.dgram_len = rte_cpu_to_be_16(sizeof(frame->udp) + sizeof(frame->payload))},
	};
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
}

static int tunnels_create(void)
{
	for (unsigned i = 0; i < TD_TRAFFIC_TUNNELS; i++) {
		tunnels[i] = td_dp_tunnel_create(i);
		if (!tunnels[i])
			return -ENOMEM;
		int result = td_child_install(&children[i], tunnels[i]);
		if (result)
			return result;
		frame_fill(&frames[i], i);
	}
	return 0;
}

static int callbacks_add(void)
{
	static bool added;

	if (added)
		return 0;
	added = true;
	return rte_eth_add_rx_callback(td_dp.ports[TD_LOAD_INSIDE].eth_id, 0, inside_receive, NULL) &&
	               rte_eth_add_rx_callback(td_dp.ports[TD_LOAD_OUTSIDE].eth_id, 0, outside_receive, NULL)
	           ? 0
	           : -ENOMEM;
}

// ---- control ----------------------------------------------------------------------------------

uint64_t td_traffic_received(void)
{
	return td_counter_read(&traffic.received);
}

double td_traffic_gap_us(void)
{
	return (double)__atomic_exchange_n(&traffic.gap, 0, __ATOMIC_RELAXED) * 1e6 / (double)td_dp.tsc_hz;
}

uint64_t td_traffic_rollovers(void)
{
	return rollovers;
}

const struct td_latency *td_traffic_latency(enum td_traffic_latency which, enum td_traffic_clock clock)
{
	return &traffic.latencies[which][clock];
}

static void traffic_run(void)
{
	traffic.last_tsc = rte_rdtsc();
	// Pairs with the acquire in source.
	__atomic_store_n(&traffic.running, true, __ATOMIC_RELEASE);
}

static bool is_marked_back(const struct leaving *one)
{
	return td_counter_read(&traffic.received) >= one->mark;
}

// Removes the old children whose packets are all back; unasked, waits for none.
static void leaving_remove(bool all)
{
	while (leaving_count && (all || is_marked_back(&leaving[leaving_first]))) {
		td_child_remove(&leaving[leaving_first].child);
		leaving_first = (leaving_first + 1) % LEAVING_MAX;
		leaving_count--;
	}
}

int td_traffic_rollover(void)
{
	struct td_child *child = &children[next_tunnel], old = *child;

	leaving_remove(false);
	if (!traffic.running || leaving_count == LEAVING_MAX)
		return 0;
	__atomic_store_n(&traffic.changes, traffic.changes + 1, __ATOMIC_RELEASE);
	int result = td_child_install(child, tunnels[next_tunnel]);
	__atomic_store_n(&traffic.changes, traffic.changes + 1, __ATOMIC_RELEASE);
	if (result) {
		*child = old;
		return result;
	}
	rollovers++;
	next_tunnel = (next_tunnel + 1) % TD_TRAFFIC_TUNNELS;
	// The switch is visible before the count is read. Packets that met the old pointer are in it but for
	// what the worker's store buffer held, less than two bursts; and as packets stay in order, all of
	// them are back once so many are.
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	leaving[(leaving_first + leaving_count++) % LEAVING_MAX] =
	    (struct leaving){old, td_counter_read(&traffic.sent) + 2 * TD_BURST};
	return 0;
}

static void drops_print(void)
{
	for (unsigned reason = 0; reason < td_dp_drop_count(); reason++)
		if (td_dp_drops(0, reason))
			fprintf(stderr, "dropped since start, %s: %llu\n", td_dp_drop_info(reason)->name,
			    (unsigned long long)td_dp_drops(0, reason));
}

// Stops the source and waits until all is back, or long enough. Returns how many packets are missing.
static uint64_t traffic_halt(void)
{
	uint64_t deadline_ns = td_clock_now_ns() + RETURN_NS;

	__atomic_store_n(&traffic.running, false, __ATOMIC_RELAXED);
	// The worker may be in the source: its count comes a moment later.
	do
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	while (td_counter_read(&traffic.received) != td_counter_read(&traffic.sent) &&
	       td_clock_now_ns() < deadline_ns);
	uint64_t missing = td_counter_read(&traffic.sent) - td_counter_read(&traffic.received);
	if (missing)
		drops_print();
	return missing;
}

uint64_t td_traffic_lost(void)
{
	uint64_t missing = traffic_halt();

	traffic_run();
	return lost_before + missing;
}

uint64_t td_traffic_pause(void)
{
	return lost_before + traffic_halt();
}

void td_traffic_go_on(void)
{
	// The worker touches them only when a packet comes back.
	memset(traffic.latencies, 0, sizeof(traffic.latencies));
	traffic_run();
}

int td_traffic_start(uint64_t argument)
{
	(void)argument;
	traffic.sent = traffic.received = traffic.gap = 0;
	next_tunnel = leaving_first = 0;
	rollovers = 0;
	int result = tunnels_create();
	if (result == 0)
		result = policies_set();
	if (result == 0)
		result = td_load_routes_set();
	if (result == 0)
		result = callbacks_add();
	if (result == 0)
		traffic_run();
	return result;
}

void td_traffic_stop(void)
{
	lost_before += traffic_halt();
	(void)td_dp_policy_set(NULL, 0, NULL);
	leaving_remove(true);
	for (unsigned i = 0; i < TD_TRAFFIC_TUNNELS; i++) {
		if (!tunnels[i])
			continue;
		td_dp_tunnel_switch(tunnels[i], 0, NULL);
		td_child_remove(&children[i]);
		td_dp_tunnel_remove(tunnels[i]);
		tunnels[i] = NULL;
	}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/race/traffic.h"

#include "dataplane/counter.h"
#include "dataplane/worker.h"
#include "tests/race/seen.h"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

enum { INSIDE, OUTSIDE };

#define WINDOW 128u // packets on the way: fits every ring
#define PAYLOAD_BYTES 100
// Packets that an SA that is gone took along leave no place in the window empty for longer than so many
// looks.
#define STALL_LOOKS 2000

struct frame {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint32_t queue, tunnel; // a flow
	uint64_t number; // in its flow
	uint8_t payload[PAYLOAD_BYTES];
} __attribute__((packed, aligned(2)));

// net_ring: what is sent on a queue is received on the same.
const char *const td_race_devices[2] = {"net_ring0", "net_ring1"};

static bool running; // writer: control
static struct frame frames[TD_RACE_TUNNELS]; // before running
static struct {
	alignas(RTE_CACHE_LINE_SIZE) uint64_t sent, received, late; // writer: the worker of the queue
	unsigned looks;
	uint64_t latest[TD_RACE_WORKERS][TD_RACE_ORDERED]; // received of each flow
} queues[TD_RACE_WORKERS];

static uint64_t on_the_way(void)
{
	int64_t count = 0;

	for (unsigned i = 0; i < TD_RACE_WORKERS; i++)
		count += (int64_t)(td_counter_read(&queues[i].sent) - td_counter_read(&queues[i].received));
	return count > 0 ? (uint64_t)count : 0;
}

// A flow comes back by the queue of the SAs' owner.
static void order_check(uint16_t queue, const struct frame *frame)
{
	if (frame->queue >= TD_RACE_WORKERS || frame->tunnel >= TD_RACE_ORDERED)
		return;
	uint64_t *latest = &queues[queue].latest[frame->queue][frame->tunnel];
	if (frame->number <= *latest)
		td_counter_add(&queues[queue].late, 1);
	*latest = frame->number;
}

static void sink(uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	unsigned ours = 0;

	for (unsigned i = 0; i < count; i++)
		if (mbufs[i]->data_len == sizeof(struct frame)) {
			order_check(queue, rte_pktmbuf_mtod(mbufs[i], const struct frame *));
			ours++;
		}
	td_counter_add(&queues[queue].received, ours);
	rte_pktmbuf_free_bulk(mbufs, count);
}

static uint16_t source(uint16_t queue, struct rte_mbuf **mbufs)
{
	unsigned count = 8;

	// Pairs with the release in td_race_traffic_start: the frames are filled in.
	if (!__atomic_load_n(&running, __ATOMIC_ACQUIRE))
		return 0;
	if (on_the_way() > WINDOW && queues[queue].looks++ % STALL_LOOKS)
		return 0;
	if (rte_pktmbuf_alloc_bulk(td_dp.pool, mbufs, count))
		return 0;
	for (unsigned i = 0; i < count; i++) {
		struct frame *frame = (struct frame *)rte_pktmbuf_append(mbufs[i], sizeof(*frame));

		*frame = frames[(queues[queue].sent + i) % TD_RACE_TUNNELS];
		frame->queue = queue;
		frame->number = queues[queue].sent + i + 1;
	}
	td_counter_add(&queues[queue].sent, count);
	return (uint16_t)count;
}

static uint16_t inside_receive(
    uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, uint16_t most, void *context)
{
	(void)port, (void)most, (void)context;
	td_seen_take(mbufs, count);
	sink(queue, mbufs, count);
	return source(queue, mbufs);
}

// The far end. The header's checksum stays right when two words change places.
static uint16_t outside_receive(
    uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, uint16_t most, void *context)
{
	(void)port, (void)queue, (void)most, (void)context;
	td_seen_take(mbufs, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_ipv4_hdr *ip =
		    rte_pktmbuf_mtod_offset(mbufs[i], struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
		rte_be32_t source_address = ip->src_addr;

		ip->src_addr = ip->dst_addr;
		ip->dst_addr = source_address;
	}
	return count;
}

static uint16_t give(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count, void *context)
{
	(void)port, (void)queue, (void)context;
	td_seen_give(mbufs, count);
	return count;
}

static void frame_fill(struct frame *frame, unsigned tunnel)
{
	*frame = (struct frame){
	    .ether =
	        {
	            .dst_addr = td_dp.ports[INSIDE].mac,
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
	    .udp = {.dgram_len = rte_cpu_to_be_16(sizeof(*frame) - offsetof(struct frame, udp))},
	    .tunnel = tunnel,
	};
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
}

int td_race_traffic_open(void)
{
	for (uint16_t queue = 0; queue < TD_RACE_WORKERS; queue++)
		for (unsigned port = INSIDE; port <= OUTSIDE; port++)
			if (!rte_eth_add_tx_callback(td_dp.ports[port].eth_id, queue, give, NULL) ||
			    !rte_eth_add_rx_callback(td_dp.ports[port].eth_id, queue,
			        port == INSIDE ? inside_receive : outside_receive, NULL))
				return -ENOMEM;
	return 0;
}

void td_race_traffic_start(void)
{
	for (unsigned i = 0; i < TD_RACE_TUNNELS; i++)
		frame_fill(&frames[i], i);
	__atomic_store_n(&running, true, __ATOMIC_RELEASE);
}

void td_race_traffic_stop(void)
{
	__atomic_store_n(&running, false, __ATOMIC_RELAXED);
}

uint64_t td_race_traffic_late(void)
{
	uint64_t late = 0;

	for (unsigned i = 0; i < TD_RACE_WORKERS; i++)
		late += td_counter_read(&queues[i].late);
	return late;
}

uint64_t td_race_traffic_received(void)
{
	uint64_t received = 0;

	for (unsigned i = 0; i < TD_RACE_WORKERS; i++)
		received += td_counter_read(&queues[i].received);
	return received;
}

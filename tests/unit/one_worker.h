// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One worker whose turns the test takes: an inside and an outside port without devices, a neighbour on each.
// What it sends stays in its transmit buffers. The hosts are 10.1.0.0/24 here and 10.2.0.0/24 behind the
// peer; since there is one gateway for both ends, the second network lies on the inside port, too.

#include "dataplane/policy_hits.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"
#include "tests/unit/eal.h"

#include <netinet/in.h>
#include <rte_malloc.h>
#include <rte_udp.h>

enum { INSIDE, OUTSIDE };

#define TEST_TSC_HZ 1000000000u

static struct td_worker *worker;

static inline struct rte_mempool *pool_new(const char *name, unsigned buffers, uint16_t room)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
	    name, buffers, 0, RTE_ALIGN_CEIL(sizeof(struct td_packet), 8), room, SOCKET_ID_ANY);

	cr_assert_not_null(pool);
	return pool;
}

static inline struct td_prefix prefix(const char *text)
{
	struct td_prefix made;

	cr_assert_eq(td_prefix_parse(text, &made), 0);
	return made;
}

// A network on a port's link, and one neighbour in it.
static inline void link_new(unsigned port, const char *network, const char *neighbour)
{
	struct td_dp_route route = {prefix(network), TD_ROUTE_CONNECTED, port, {0}};
	struct td_ip ip = prefix(neighbour).ip;

	cr_assert_eq(td_dp_route_set(&route), 0);
	td_dp_reclaim(); // IPv6 routes take a grace period
	cr_assert_eq(td_dp_neighbour_set(port, &ip, td_dp.ports[port].mac.addr_bytes), 0);
	td_dp_reclaim();
}

static inline void local_new(unsigned port, const char *address)
{
	struct td_dp_route route = {prefix(address), TD_ROUTE_LOCAL, port, {0}};

	cr_assert_eq(td_dp_route_set(&route), 0);
}

static inline struct rte_ring *events_new(void)
{
	struct rte_ring *ring = rte_ring_create_elem(
	    "events", sizeof(struct td_event), 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	cr_assert_not_null(ring);
	return ring;
}

static inline void worker_start(unsigned mtu, unsigned buffers, uint16_t room)
{
	test_eal_start();
	cr_assert_eq(td_fib_init(), 0);
	td_dp.worker_count = 1;
	td_dp.port_count = 2;
	td_dp.tsc_hz = TEST_TSC_HZ;
	td_dp.control_mgr = td_suite_manager_create();
	td_dp.pool = pool_new("packets", buffers, room);
	worker = rte_zmalloc("worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);
	cr_assert(td_dp.control_mgr && worker);
	td_dp.workers[0] = worker;
	worker->mgr = td_suite_manager_create();
	worker->events = events_new();
	cr_assert(
	    worker->mgr && td_spi_table_init(&worker->spi_table) == 0 && td_policy_hits_init(worker) == 0);
	for (unsigned port = INSIDE; port <= OUTSIDE; port++)
		td_dp.ports[port] = (struct td_port){
		    .config = {.role = port == INSIDE ? TD_ROLE_INSIDE : TD_ROLE_OUTSIDE, .mtu = mtu},
		    .tx_queues = 1,
		    .mac = {.addr_bytes = {2, 0, 0, 0, 0, (uint8_t)port}}};
	link_new(INSIDE, "10.2.0.0/24", "10.2.0.1");
	link_new(OUTSIDE, "192.0.2.0/24", "192.0.2.2");
	local_new(OUTSIDE, "192.0.2.1/32");
}

// An IPv4 packet of length bytes as it comes from inside: DF, TTL 64, UDP's number, and bytes behind.
static inline void ipv4_fill(struct rte_ipv4_hdr *ip, uint32_t source, uint32_t destination, uint32_t length)
{
	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length = rte_cpu_to_be_16((uint16_t)length),
	    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
	    .time_to_live = 64,
	    .next_proto_id = IPPROTO_UDP,
	    .src_addr = rte_cpu_to_be_32(source),
	    .dst_addr = rte_cpu_to_be_32(destination),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

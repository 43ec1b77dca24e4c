// SPDX-License-Identifier: BSD-3-Clause
// Classification of bursts by policy, as the stages do it: from packets to rules.

#include "dataplane/policy.h"

#include "bench/common/shuffle.h"
#include "bench/load/grace.h"
#include "bench/micro/row.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdlib.h>

#define BURSTS 64
#define PACKETS (BURSTS * TD_BURST)
#define ROUNDS 20
#define PORT_LOW 1000

static struct td_dp_tunnel *tunnel;
static uint64_t route_count;
static struct rte_mbuf *mbufs[PACKETS];

// Rule n protects 10.1.0.0/16 towards a /24 of its own, UDP to a range of ports.
static uint32_t remote_of(uint64_t rule)
{
	return 0x0b000000u + (uint32_t)rule * 256;
}

static struct td_dp_policy rule_make(uint64_t rule)
{
	return (struct td_dp_policy){
	    .directions = TD_POLICY_BOTH,
	    .action = TD_POLICY_PROTECT,
	    .local = {td_ip_from_v4(0x0a010000), 16},
	    .remote = {td_ip_from_v4(remote_of(rule)), 24},
	    .protocol = IPPROTO_UDP,
	    .local_port_high = UINT16_MAX,
	    .remote_port_low = PORT_LOW,
	    .remote_port_high = (uint16_t)(PORT_LOW + rule % 100 + 10),
	    .tunnel = tunnel,
	};
}

static int rules_set(uint64_t count)
{
	struct td_dp_policy *policies = calloc(count, sizeof(policies[0]));

	if (!policies)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i++)
		policies[i] = rule_make(i);
	int result = td_dp_policy_set(policies, (unsigned)count, NULL);
	free(policies);
	return result;
}

// A packet that one of count rules is for.
static struct rte_mbuf *packet_make(uint64_t count, uint64_t random)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	struct {
		struct rte_ipv4_hdr ip;
		struct rte_udp_hdr udp;
	} __attribute__((packed)) headers = {
	    .ip =
	        {
	            .version_ihl = RTE_IPV4_VHL_DEF,
	            .total_length = rte_cpu_to_be_16(sizeof(headers)),
	            .time_to_live = 64,
	            .next_proto_id = IPPROTO_UDP,
	            .src_addr = rte_cpu_to_be_32(0x0a010000 + (uint32_t)(random >> 48)),
	            .dst_addr = rte_cpu_to_be_32(remote_of(random % count) + (uint32_t)(random >> 40 & 0xff)),
	        },
	    .udp = {.src_port = (rte_be16_t)(random >> 24), .dst_port = rte_cpu_to_be_16(PORT_LOW + 1)},
	};

	if (!mbuf)
		return NULL;
	memcpy(rte_pktmbuf_append(mbuf, sizeof(headers)), &headers, sizeof(headers));
	return mbuf;
}

static struct td_prefix route_of(uint64_t n)
{
	return (struct td_prefix){td_ip_from_v4(remote_of(n)), 24};
}

void td_spd_empty(void)
{
	while (route_count) {
		struct td_prefix prefix = route_of(--route_count);

		td_dp_tunnel_route_delete(&prefix);
	}
	td_grace_wait();
	(void)td_dp_policy_set(NULL, 0, NULL);
	for (unsigned i = 0; i < PACKETS; i++) {
		rte_pktmbuf_free(mbufs[i]);
		mbufs[i] = NULL;
	}
	if (tunnel)
		td_dp_tunnel_remove(tunnel);
	tunnel = NULL;
}

static int packets_make(uint64_t rules)
{
	uint64_t random = 1;

	tunnel = td_dp_tunnel_create(0);
	if (!tunnel)
		return -ENOMEM;
	for (unsigned i = 0; i < PACKETS; i++) {
		mbufs[i] = packet_make(rules, td_shuffle_next(&random));
		if (!mbufs[i])
			return -ENOMEM;
	}
	return 0;
}

int td_spd_fill(uint64_t argument)
{
	int result = packets_make(argument);

	return result ? result : rules_set(argument);
}

// No policy, and for each /24 a tunnel route.
int td_spd_routes_fill(uint64_t argument)
{
	int result = packets_make(argument);

	while (result == 0 && route_count < argument) {
		struct td_prefix prefix = route_of(route_count);

		result = td_dp_tunnel_route_set(&prefix, tunnel);
		route_count += result == 0;
	}
	td_grace_wait();
	return result;
}

double td_spd_classify(uint64_t argument)
{
	const struct td_policy_rule *rules[TD_BURST];
	unsigned missing = 0;
	uint64_t start = rte_rdtsc_precise();

	(void)argument;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned first = 0; first < PACKETS; first += TD_BURST) {
			td_policy_lookup(td_dp.policies, true, &mbufs[first], rules, TD_BURST);
			for (unsigned i = 0; i < TD_BURST; i++)
				missing += !rules[i];
		}
	uint64_t cycles = rte_rdtsc_precise() - start;
	return missing ? NAN : (double)cycles / ROUNDS / PACKETS;
}

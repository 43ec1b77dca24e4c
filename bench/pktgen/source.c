// SPDX-License-Identifier: BSD-3-Clause
// A source and counter of packets on two DPDK ports, for where there is no Pktgen: it sends on port 0 and
// counts what port 1 gets. Each line on standard input is a trial: size of the IP packets (0: the IMIX),
// packets a second (0: as many as it can), milliseconds. Each is answered by: sent, received, nanoseconds,
// latency in microseconds (median, 99.9 %).

#include "bench/load/latency.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdio.h>
#include <stdlib.h>

#define BURST 32
#define BUFFERS 16384
#define DESCRIPTORS 1024
#define SAMPLES 65536 // bursts on the way
#define REST_MS 200 // for what is on the way
#define LINK_TRIES 3000

static const unsigned imix[] = {64, 570, 64, 64, 570, 64, 1400, 64, 570, 64, 570, 64};
static const struct rte_ether_addr gateway_mac = {{2, 0, 0, 0, 0, 1}}, own_mac = {{2, 0, 0, 0, 1, 2}};

struct headers {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

// A burst of one time of sending: packets up to this number. Packets come back in their order.
struct sample {
	uint64_t until, tsc;
};

static struct rte_mempool *pool;
static struct sample samples[SAMPLES];
static struct td_latency latency;
static struct {
	unsigned size;
	uint64_t sent, received, first, last; // first, last: samples
} trial;

static int port_start(uint16_t port)
{
	struct rte_eth_conf conf = {0};
	int result = rte_eth_dev_configure(port, 1, 1, &conf);

	if (result == 0)
		result = rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, 0, NULL, pool);
	if (result == 0)
		result = rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, 0, NULL);
	return result ? result : rte_eth_dev_start(port);
}

static bool is_linked(uint16_t port)
{
	struct rte_eth_link link = {0};

	for (unsigned i = 0; i < LINK_TRIES && link.link_status != RTE_ETH_LINK_UP; i++) {
		(void)rte_eth_link_get_nowait(port, &link);
		rte_delay_us_sleep(10000);
	}
	return link.link_status == RTE_ETH_LINK_UP;
}

static void packet_fill(struct rte_mbuf *mbuf, unsigned size)
{
	struct headers *headers = rte_pktmbuf_mtod(mbuf, struct headers *);

	mbuf->pkt_len = mbuf->data_len = (uint16_t)(sizeof(headers->ether) + size);
	*headers = (struct headers){
	    .ether = {gateway_mac, own_mac, rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)},
	    .ip =
	        {
	            .version_ihl = RTE_IPV4_VHL_DEF,
	            .total_length = rte_cpu_to_be_16((uint16_t)size),
	            .time_to_live = 64,
	            .next_proto_id = IPPROTO_UDP,
	            .src_addr = rte_cpu_to_be_32(0x0a010001),
	            .dst_addr = rte_cpu_to_be_32(0x0a020001),
	        },
	    .udp = {.dgram_len = rte_cpu_to_be_16((uint16_t)(size - sizeof(struct rte_ipv4_hdr)))},
	};
	headers->ip.hdr_checksum = rte_ipv4_cksum(&headers->ip);
}

static void packets_send(unsigned wanted)
{
	struct rte_mbuf *mbufs[BURST];
	unsigned count = RTE_MIN(wanted, (unsigned)BURST);

	if (trial.last - trial.first == SAMPLES || rte_pktmbuf_alloc_bulk(pool, mbufs, count))
		return;
	for (unsigned i = 0; i < count; i++)
		packet_fill(mbufs[i], trial.size ? trial.size : imix[(trial.sent + i) % RTE_DIM(imix)]);
	uint64_t now = rte_rdtsc();
	uint16_t taken = rte_eth_tx_burst(0, 0, mbufs, (uint16_t)count);
	rte_pktmbuf_free_bulk(&mbufs[taken], count - taken);
	if (taken == 0)
		return;
	trial.sent += taken;
	samples[trial.last++ % SAMPLES] = (struct sample){trial.sent, now};
}

static void packets_receive(void)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count = rte_eth_rx_burst(1, 0, mbufs, BURST);
	uint64_t now = rte_rdtsc();

	for (unsigned i = 0; i < count; i++) {
		// IKE, ARP and the like are none of ours.
		const struct headers *headers = rte_pktmbuf_mtod(mbufs[i], const struct headers *);
		bool ours = headers->ether.ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) &&
		            headers->ip.next_proto_id == IPPROTO_ESP;

		if (!ours || trial.first == trial.last)
			continue;
		trial.received++;
		td_latency_add(&latency, now - samples[trial.first % SAMPLES].tsc);
		trial.first += trial.received == samples[trial.first % SAMPLES].until;
	}
	rte_pktmbuf_free_bulk(mbufs, count);
}

static void trial_run(unsigned size, uint64_t rate, uint64_t duration_ms)
{
	uint64_t hz = rte_get_tsc_hz(), duration = hz * duration_ms / 1000;

	memset(&trial, 0, sizeof(trial));
	memset(&latency, 0, sizeof(latency));
	trial.size = size;
	uint64_t start = rte_rdtsc(), passed = 0;
	for (; passed < duration; passed = rte_rdtsc() - start) {
		uint64_t due = rate ? (uint64_t)((double)passed * (double)rate / (double)hz) : UINT64_MAX;

		if (due > trial.sent)
			packets_send((unsigned)RTE_MIN(due - trial.sent, (uint64_t)BURST));
		packets_receive();
	}
	for (uint64_t end = rte_rdtsc() + hz * REST_MS / 1000; rte_rdtsc() < end;)
		packets_receive();
	printf("%" PRIu64 " %" PRIu64 " %.0f %.2f %.2f\n", trial.sent, trial.received,
	    (double)passed * 1e9 / (double)hz, (double)td_latency_quantile(&latency, 0.5) * 1e6 / (double)hz,
	    (double)td_latency_quantile(&latency, 0.999) * 1e6 / (double)hz);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[128];

	if (rte_eal_init(argc, argv) < 0 || rte_eth_dev_count_avail() != 2) {
		fputs("source: it needs two ports (--vdev)\n", stderr);
		return 1;
	}
	pool = rte_pktmbuf_pool_create("source", BUFFERS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!pool || port_start(0) || port_start(1) || !is_linked(0) || !is_linked(1)) {
		fputs("source: the ports do not start, or have no link\n", stderr);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		unsigned size;
		uint64_t rate, duration_ms;

		if (sscanf(line, "%u %" SCNu64 " %" SCNu64, &size, &rate, &duration_ms) != 3 ||
		    (size && (size < 28 || size > 1500)))
			return 2;
		trial_run(size, rate, duration_ms);
	}
	return 0;
}

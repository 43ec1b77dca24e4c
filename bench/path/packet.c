// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/packet.h"

#include "bench/common/shuffle.h"
#include "bench/path/gateway.h"
#include "bench/path/port.h"
#include "dataplane/esp.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_udp.h>

// Every so many-th tunnel is next, so that nothing finds the next one's memory by itself. It has no divisor
// in common with the numbers of tunnels.
#define TUNNEL_STEP 61803u
#define BUFFER_BYTES 1600

struct headers {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

static int mbufs_create(struct rte_mbuf **mbufs)
{
	uint64_t random = 1;

	if (rte_pktmbuf_alloc_bulk(td_dp.pool, mbufs, TD_PATH_PACKETS))
		return -ENOMEM;
	for (unsigned i = 0; i < TD_PATH_PACKETS; i++) {
		uint64_t *words = rte_pktmbuf_mtod(mbufs[i], uint64_t *);

		for (unsigned word = 0; word < BUFFER_BYTES / sizeof(*words); word++)
			words[word] = td_shuffle_next(&random);
	}
	return 0;
}

int td_path_packets_create(struct td_path_packets *packets)
{
	int result = mbufs_create(packets->plain);

	return result ? result : mbufs_create(packets->sealed);
}

static void sizes_set(struct td_path_packets *packets, unsigned size)
{
	static const uint16_t imix[12] = {64, 570, 64, 64, 570, 64, 1400, 64, 570, 64, 64, 570};

	for (unsigned i = 0; i < TD_PATH_PACKETS; i++)
		packets->sizes[i] = size == TD_PATH_IMIX ? imix[i % RTE_DIM(imix)] : (uint16_t)size;
}

void td_path_packets_begin(struct td_path_packets *packets, unsigned size, unsigned tunnels)
{
	sizes_set(packets, size);
	packets->worker = 0;
	packets->tunnels = tunnels;
	packets->plain_tunnel = packets->sealed_tunnel = 0;
}

void td_path_packets_begin_one(
    struct td_path_packets *packets, unsigned size, unsigned worker, unsigned tunnel)
{
	sizes_set(packets, size);
	packets->worker = worker;
	packets->tunnels = 1;
	packets->plain_tunnel = packets->sealed_tunnel = tunnel;
}

static unsigned tunnel_next(const struct td_path_packets *packets, unsigned *tunnel)
{
	unsigned now = *tunnel;

	if (packets->tunnels > 1)
		*tunnel = (now + TUNNEL_STEP) % packets->tunnels;
	return now;
}

static void ipv4_write(
    struct rte_ipv4_hdr *ip, uint32_t source, uint32_t destination, uint8_t protocol, uint32_t total)
{
	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .total_length = rte_cpu_to_be_16((uint16_t)total),
	    .time_to_live = 64,
	    .next_proto_id = protocol,
	    .src_addr = rte_cpu_to_be_32(source),
	    .dst_addr = rte_cpu_to_be_32(destination),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

static void inner_write(struct headers *headers, uint32_t source, uint32_t destination, uint32_t size)
{
	ipv4_write(&headers->ip, source, destination, IPPROTO_UDP, size);
	headers->udp = (struct rte_udp_hdr){
	    .src_port = rte_cpu_to_be_16(1024),
	    .dst_port = rte_cpu_to_be_16(1025),
	    .dgram_len = rte_cpu_to_be_16((uint16_t)(size - sizeof(headers->ip))),
	};
}

static uint8_t *mbuf_reset(struct rte_mbuf *mbuf, enum td_path_port port, uint32_t length)
{
	rte_pktmbuf_reset(mbuf);
	mbuf->data_len = (uint16_t)length;
	mbuf->pkt_len = length;
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	*ether = (struct rte_ether_hdr){
	    .dst_addr = td_dp.ports[port].mac,
	    .ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
	};
	return (uint8_t *)ether;
}

void td_path_plain_make(struct td_path_packets *packets)
{
	for (unsigned i = 0; i < TD_PATH_PACKETS; i++) {
		uint32_t size = packets->sizes[i];
		uint8_t *start =
		    mbuf_reset(packets->plain[i], TD_PATH_INSIDE, size + (uint32_t)RTE_ETHER_HDR_LEN);

		inner_write((struct headers *)start, TD_PATH_LOCAL,
		    td_path_remote(tunnel_next(packets, &packets->plain_tunnel)), size);
	}
}

uint32_t td_path_sealed_bytes(unsigned suite, uint32_t size)
{
	return RTE_ALIGN_CEIL(size + (uint32_t)sizeof(struct td_esp_trailer), td_suite_at(suite)->align);
}

// The far end's packet but for its sealing.
static void sealed_build(
    struct td_path_packets *packets, unsigned number, unsigned suite, struct td_crypt_op *op)
{
	struct rte_mbuf *mbuf = packets->sealed[number];
	const struct td_suite_info *info = td_dp_suite_info(suite);
	unsigned tunnel = tunnel_next(packets, &packets->sealed_tunnel), size = packets->sizes[number];
	uint32_t front =
	    (uint32_t)(sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_esp_hdr)) + info->iv_bytes;
	uint32_t length = td_path_sealed_bytes(suite, size), total = front + length + info->icv_bytes;
	uint8_t *start = mbuf_reset(mbuf, TD_PATH_OUTSIDE, total + (uint32_t)RTE_ETHER_HDR_LEN);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(start + RTE_ETHER_HDR_LEN);
	struct rte_esp_hdr *esp = (struct rte_esp_hdr *)(ip + 1);
	uint8_t *inner = start + RTE_ETHER_HDR_LEN + front, *end = inner + size;
	uint32_t pad = length - size - (uint32_t)sizeof(struct td_esp_trailer);

	// What the last pass decrypted stands there, but for what lies in front of the UDP header.
	inner_write(
	    (struct headers *)(inner - RTE_ETHER_HDR_LEN), td_path_remote(tunnel), TD_PATH_LOCAL, size);
	memcpy(end, td_esp_padding, pad);
	end[pad] = (uint8_t)pad;
	end[pad + 1] = IPPROTO_IPIP;
	ipv4_write(ip, td_path_peer(tunnel), TD_PATH_OWN, IPPROTO_ESP, total);
	uint64_t sequence = td_path_far_sequence(tunnel, packets->worker);
	*esp = (struct rte_esp_hdr){
	    .spi = rte_cpu_to_be_32(td_path_spi(tunnel, packets->worker)),
	    .seq = rte_cpu_to_be_32((uint32_t)sequence),
	};
	*op = (struct td_crypt_op){
	    .schedule = td_path_far_schedule(),
	    .esp = (uint8_t *)esp,
	    .data = inner,
	    .length = length,
	    .sequence = sequence,
	    .counter = sequence,
	    .esn = true,
	};
}

void td_path_sealed_make(struct td_path_packets *packets, unsigned suite)
{
	struct td_crypt_op ops[TD_BURST];

	for (unsigned first = 0; first < TD_PATH_PACKETS; first += TD_BURST) {
		for (unsigned i = 0; i < TD_BURST; i++)
			sealed_build(packets, first + i, suite, &ops[i]);
		td_suite_at(suite)->seal(td_dp.workers[packets->worker]->mgr, ops, TD_BURST);
	}
}

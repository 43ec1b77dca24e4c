// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/ip_packet.h"

#include "dataplane/ipv6_ext.h"

#include <netinet/in.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <string.h>

static struct td_ip address(uint8_t family, const void *bytes)
{
	struct td_ip ip = {.family = family};

	memcpy(ip.bytes, bytes, td_ip_length(family));
	return ip;
}

struct td_ip td_ip_source(struct rte_mbuf *mbuf)
{
	return td_ip_family(mbuf) == 4 ? address(4, &td_ipv4(mbuf)->src_addr)
	                               : address(6, td_ipv6(mbuf)->src_addr);
}

struct td_ip td_ip_destination(struct rte_mbuf *mbuf)
{
	return td_ip_family(mbuf) == 4 ? address(4, &td_ipv4(mbuf)->dst_addr)
	                               : address(6, td_ipv6(mbuf)->dst_addr);
}

uint8_t td_ip_protocol(struct rte_mbuf *mbuf)
{
	struct td_ipv6_upper upper;

	if (td_ip_family(mbuf) == 4)
		return td_ipv4(mbuf)->next_proto_id;
	if (!td_ipv6_upper(rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, &upper))
		return td_ipv6(mbuf)->proto;
	return upper.protocol;
}

static void ipv4_set_tos(struct rte_ipv4_hdr *ip, uint8_t tos)
{
	// RFC 1624: the first word changed by the difference.
	uint32_t sum = (uint16_t)~ip->hdr_checksum +
	               (uint32_t)(uint16_t)~rte_cpu_to_be_16(ip->type_of_service) + rte_cpu_to_be_16(tos);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = (uint16_t)~sum;
	ip->type_of_service = tos;
}

void td_ip_set_ecn(struct rte_mbuf *mbuf, uint8_t ecn)
{
	uint8_t tos = (uint8_t)((td_ip_tos(mbuf) & 0xfcu) | ecn);

	if (td_ip_family(mbuf) == 4) {
		ipv4_set_tos(td_ipv4(mbuf), tos);
		return;
	}
	struct rte_ipv6_hdr *ip = td_ipv6(mbuf);
	ip->vtc_flow = (ip->vtc_flow & ~rte_cpu_to_be_32(RTE_IPV6_HDR_TC_MASK)) |
	               rte_cpu_to_be_32((uint32_t)tos << RTE_IPV6_HDR_TC_SHIFT);
}

uint16_t td_ip_upper_checksum(struct rte_mbuf *mbuf, uint32_t offset, uint8_t protocol)
{
	uint32_t length = mbuf->data_len - offset;
	struct {
		uint8_t addresses[32];
		rte_be32_t length, protocol;
	} pseudo = {.length = rte_cpu_to_be_32(length), .protocol = rte_cpu_to_be_32(protocol)};

	// The words of both pseudo headers (RFC 9293 3.1, RFC 8200 8.1) add up alike; IPv4 addresses leave
	// zeros.
	if (td_ip_family(mbuf) == 4)
		memcpy(pseudo.addresses, &td_ipv4(mbuf)->src_addr, 8);
	else
		memcpy(pseudo.addresses, td_ipv6(mbuf)->src_addr, 32);
	uint32_t sum = rte_raw_cksum(&pseudo, sizeof(pseudo));
	sum += rte_raw_cksum(rte_pktmbuf_mtod_offset(mbuf, const void *, offset), length);
	sum = (sum & 0xffff) + (sum >> 16);
	uint16_t checksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	return checksum ? checksum : UINT16_MAX; // RFC 768: zero means none
}

void td_ip_fix_upper_checksum(struct rte_mbuf *mbuf, uint32_t offset, uint8_t protocol)
{
	bool tcp = protocol == IPPROTO_TCP;
	uint32_t place =
	    tcp ? offsetof(struct rte_tcp_hdr, cksum) : offsetof(struct rte_udp_hdr, dgram_cksum);
	uint32_t header = tcp ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr);

	if ((!tcp && protocol != IPPROTO_UDP) || mbuf->data_len < offset + header)
		return;
	uint16_t *checksum = rte_pktmbuf_mtod_offset(mbuf, uint16_t *, offset + place);
	if (!tcp && *checksum == 0)
		return;
	*checksum = 0;
	*checksum = td_ip_upper_checksum(mbuf, offset, protocol);
}

enum td_drop td_ipv6_check(const struct rte_ipv6_hdr *ip, uint32_t length, uint16_t *total)
{
	static const uint8_t loopback[16] = {[15] = 1};

	if (length < sizeof(*ip))
		return TD_DROP_RX_RUNT;
	uint32_t whole = (uint32_t)sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	if (whole > length || whole > UINT16_MAX)
		return TD_DROP_IP_LENGTH;
	*total = (uint16_t)whole;
	// RFC 4291 2.5.3 and 2.7. The unspecified address is for ND, which the kernel answers.
	if (ip->src_addr[0] == 0xff || memcmp(ip->src_addr, loopback, sizeof(loopback)) == 0)
		return TD_DROP_IP_SOURCE;
	return TD_DROP_COUNT;
}

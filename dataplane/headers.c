// SPDX-License-Identifier: BSD-3-Clause
// Headers of a frame for filters, traces and captures: read as far as they are there, judged by nobody.

#include "dataplane/ah.h"
#include "dataplane/ipv6_ext.h"
#include "dataplane/trace.h"

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_esp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <string.h>

#define NATT_PORT 4500

// SPI and sequence number, which lie alike in ESP and, behind its first bytes, in AH.
static void esp_read(const uint8_t *at, uint32_t length, struct td_dp_headers *headers)
{
	struct rte_esp_hdr esp;

	if (length < sizeof(esp))
		return;
	memcpy(&esp, at, sizeof(esp));
	headers->spi = rte_be_to_cpu_32(esp.spi);
	headers->sequence = rte_be_to_cpu_32(esp.seq);
}

static void upper_read(const uint8_t *at, uint32_t length, struct td_dp_headers *headers)
{
	rte_be16_t ports[2];

	if (headers->protocol == IPPROTO_ESP)
		esp_read(at, length, headers);
	else if (headers->protocol == IPPROTO_AH && length > offsetof(struct td_ah, spi))
		esp_read(at + offsetof(struct td_ah, spi), length - (uint32_t)offsetof(struct td_ah, spi),
		    headers);
	if ((headers->protocol != IPPROTO_UDP && headers->protocol != IPPROTO_TCP &&
	        headers->protocol != IPPROTO_SCTP) ||
	    length < sizeof(ports))
		return;
	memcpy(ports, at, sizeof(ports));
	headers->source_port = rte_be_to_cpu_16(ports[0]);
	headers->destination_port = rte_be_to_cpu_16(ports[1]);
	// RFC 3948 2: four zero bytes there mean IKE, and so no SPI.
	if (headers->protocol == IPPROTO_UDP && length >= sizeof(struct rte_udp_hdr) &&
	    (headers->source_port == NATT_PORT || headers->destination_port == NATT_PORT)) {
		esp_read(
		    at + sizeof(struct rte_udp_hdr), length - (uint32_t)sizeof(struct rte_udp_hdr), headers);
		if (headers->spi == 0)
			headers->sequence = 0;
	}
}

static void ipv4_read(const uint8_t *packet, uint32_t length, struct td_dp_headers *headers)
{
	struct rte_ipv4_hdr ip;

	if (length < sizeof(ip))
		return;
	memcpy(&ip, packet, sizeof(ip));
	headers->source = td_ip_from_v4(rte_be_to_cpu_32(ip.src_addr));
	headers->destination = td_ip_from_v4(rte_be_to_cpu_32(ip.dst_addr));
	headers->protocol = ip.next_proto_id;
	headers->fragment = ip.fragment_offset & rte_cpu_to_be_16((uint16_t)~RTE_IPV4_HDR_DF_FLAG);
	uint32_t offset = rte_ipv4_hdr_len(&ip);
	if (offset >= sizeof(ip) && offset <= length &&
	    !(ip.fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)))
		upper_read(packet + offset, length - offset, headers);
}

static void ipv6_read(const uint8_t *packet, uint32_t length, struct td_dp_headers *headers)
{
	struct td_ipv6_upper upper;
	struct rte_ipv6_hdr ip;

	if (length < sizeof(ip))
		return;
	memcpy(&ip, packet, sizeof(ip));
	headers->source.family = headers->destination.family = 6;
	memcpy(headers->source.bytes, ip.src_addr, sizeof(headers->source.bytes));
	memcpy(headers->destination.bytes, ip.dst_addr, sizeof(headers->destination.bytes));
	headers->protocol = ip.proto;
	if (!td_ipv6_upper(packet, length, &upper))
		return;
	headers->protocol = upper.protocol;
	headers->fragment = !(upper.first && upper.last);
	if (upper.first && upper.offset <= length)
		upper_read(packet + upper.offset, length - upper.offset, headers);
}

void td_headers_read_ip(const uint8_t *packet, uint32_t length, struct td_dp_headers *headers)
{
	*headers = (struct td_dp_headers){.length = (uint16_t)length};
	if (length == 0)
		return;
	headers->ethertype = *packet >> 4 == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6;
	if (*packet >> 4 == 4)
		ipv4_read(packet, length, headers);
	else if (*packet >> 4 == 6)
		ipv6_read(packet, length, headers);
}

void td_headers_read(const uint8_t *frame, uint32_t length, struct td_dp_headers *headers)
{
	rte_be16_t type;

	*headers = (struct td_dp_headers){.length = (uint16_t)length};
	if (length < RTE_ETHER_HDR_LEN)
		return;
	memcpy(&type, frame + 2 * RTE_ETHER_ADDR_LEN, sizeof(type));
	headers->ethertype = rte_be_to_cpu_16(type);
	if (headers->ethertype == RTE_ETHER_TYPE_IPV4)
		ipv4_read(frame + RTE_ETHER_HDR_LEN, length - RTE_ETHER_HDR_LEN, headers);
	else if (headers->ethertype == RTE_ETHER_TYPE_IPV6)
		ipv6_read(frame + RTE_ETHER_HDR_LEN, length - RTE_ETHER_HDR_LEN, headers);
}

// ---- filters ----------------------------------------------------------------------------------

static bool prefix_holds(const struct td_prefix *prefix, const struct td_ip *ip)
{
	unsigned bytes = prefix->length / 8, bits = prefix->length % 8;

	if (prefix->ip.family == 0)
		return true;
	if (prefix->ip.family != ip->family || memcmp(prefix->ip.bytes, ip->bytes, bytes) != 0)
		return false;
	return bits == 0 || (prefix->ip.bytes[bytes] ^ ip->bytes[bytes]) >> (8 - bits) == 0;
}

bool td_filter_matches(const struct td_dp_filter *filter, unsigned port, const struct td_dp_headers *headers)
{
	if (filter->port >= 0 && (unsigned)filter->port != port)
		return false;
	if (filter->spi && filter->spi != headers->spi)
		return false;
	if (filter->protocol >= 0 && (headers->source.family == 0 || filter->protocol != headers->protocol))
		return false;
	return prefix_holds(&filter->source, &headers->source) &&
	       prefix_holds(&filter->destination, &headers->destination);
}

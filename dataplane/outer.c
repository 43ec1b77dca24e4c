// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/outer.h"

#include "dataplane/esp.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static void template_ipv4(struct rte_ipv4_hdr *ip, const struct td_sa_params *params, uint8_t protocol)
{
	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .time_to_live = TD_IPV4_TTL,
	    .next_proto_id = protocol,
	};
	memcpy(&ip->src_addr, params->local.bytes, sizeof(ip->src_addr));
	memcpy(&ip->dst_addr, params->remote.bytes, sizeof(ip->dst_addr));
}

static void template_ipv6(struct rte_ipv6_hdr *ip, const struct td_sa_params *params, uint8_t protocol)
{
	*ip = (struct rte_ipv6_hdr){
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .proto = protocol,
	    .hop_limits = TD_IPV4_TTL,
	};
	memcpy(ip->src_addr, params->local.bytes, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, params->remote.bytes, sizeof(ip->dst_addr));
}

struct td_outer *td_outer_create(const struct td_sa_params *params)
{
	struct td_outer *outer = calloc(1, sizeof(*outer));
	bool udp = params->udp_remote_port != 0;
	bool ah = td_dp_suite_info(params->suite)->protocol == TD_SA_AH;
	uint8_t protocol = udp ? IPPROTO_UDP : ah ? IPPROTO_AH : IPPROTO_ESP;

	if (!outer)
		return NULL;
	outer->family = params->remote.family;
	outer->remote = params->remote;
	outer->protocol = protocol;
	outer->df = params->df;
	outer->dscp = (int16_t)params->dscp;
	if (params->mode == TD_SA_TUNNEL && outer->family == 4) {
		outer->ip_length = sizeof(struct rte_ipv4_hdr);
		template_ipv4((struct rte_ipv4_hdr *)outer->header, params, protocol);
		outer->sum = rte_raw_cksum(outer->header, outer->ip_length);
	} else if (params->mode == TD_SA_TUNNEL) {
		outer->ip_length = sizeof(struct rte_ipv6_hdr);
		template_ipv6((struct rte_ipv6_hdr *)outer->header, params, protocol);
	}
	if (udp) {
		outer->udp_length = sizeof(struct rte_udp_hdr);
		// The checksum stays zero (RFC 3948 2.1); for IPv6 it is computed behind sealing.
		*(struct rte_udp_hdr *)(outer->header + outer->ip_length) = (struct rte_udp_hdr){
		    .src_port = rte_cpu_to_be_16(params->udp_local_port),
		    .dst_port = rte_cpu_to_be_16(params->udp_remote_port),
		};
	}
	return outer;
}

struct td_outer *td_outer_copy(
    const struct td_outer *outer, const struct td_ip *remote, uint16_t udp_remote_port)
{
	struct td_outer *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *outer;
	copy->remote = *remote;
	if (copy->ip_length == sizeof(struct rte_ipv4_hdr)) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)copy->header;

		memcpy(&ip->dst_addr, remote->bytes, sizeof(ip->dst_addr));
		copy->sum = rte_raw_cksum(copy->header, copy->ip_length);
	} else if (copy->ip_length) {
		memcpy(((struct rte_ipv6_hdr *)copy->header)->dst_addr, remote->bytes, 16);
	}
	((struct rte_udp_hdr *)(copy->header + copy->ip_length))->dst_port =
	    rte_cpu_to_be_16(udp_remote_port);
	return copy;
}

void td_outer_free(struct td_outer *outer)
{
	free(outer);
}

// RFC 4301 5.1.2.1: DF as configured, DSCP copied or fixed, ECN copied (RFC 6040 4.1).
static void fill_ipv4(const struct td_outer *outer, struct rte_ipv4_hdr *ip, uint32_t total, uint8_t tos,
    bool inner_df, uint16_t identification)
{
	bool df = outer->df == TD_DF_SET || (outer->df == TD_DF_COPY && inner_df);

	ip->type_of_service = tos;
	ip->total_length = rte_cpu_to_be_16((uint16_t)total);
	// An identification matters only where somebody may fragment (RFC 6864).
	ip->packet_id = df ? 0 : rte_cpu_to_be_16(identification);
	ip->fragment_offset = df ? rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG) : 0;
	// One's complement sum of the template's and this packet's words (RFC 1071).
	uint32_t sum = (uint32_t)outer->sum + rte_cpu_to_be_16(tos) + ip->total_length + ip->packet_id +
	               ip->fragment_offset;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = (uint16_t)~sum;
}

static void fill_ipv6(struct rte_ipv6_hdr *ip, uint32_t payload, uint8_t tos, rte_be32_t flow)
{
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << RTE_IPV6_HDR_TC_SHIFT) |
	               (flow & rte_cpu_to_be_32(RTE_IPV6_HDR_FL_MASK));
	ip->payload_len = rte_cpu_to_be_16((uint16_t)payload);
}

void td_outer_fill_udp(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes)
{
	memcpy(start, outer->header + outer->ip_length, sizeof(struct rte_udp_hdr));
	((struct rte_udp_hdr *)start)->dgram_len =
	    rte_cpu_to_be_16((uint16_t)(esp_bytes + sizeof(struct rte_udp_hdr)));
}

void td_outer_fill(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes,
    struct td_outer_inner inner, uint16_t identification)
{
	uint32_t payload = esp_bytes + outer->udp_length;
	uint8_t tos =
	    outer->dscp == TD_DSCP_COPY ? inner.tos : (uint8_t)(outer->dscp << 2 | (inner.tos & TD_ECN_MASK));

	memcpy(start, outer->header, outer->ip_length);
	if (outer->family == 4)
		fill_ipv4(outer, (struct rte_ipv4_hdr *)start, payload + outer->ip_length, tos, inner.df,
		    identification);
	else
		fill_ipv6((struct rte_ipv6_hdr *)start, payload, tos, inner.flow);
	if (outer->udp_length)
		td_outer_fill_udp(outer, start + outer->ip_length, esp_bytes);
}

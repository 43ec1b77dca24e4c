// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/outer.h"

#include "dataplane/esp.h"
#include "dataplane/slab.h"

#include <netinet/in.h>
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
	struct td_outer *outer = td_slab_alloc(sizeof(*outer));
	bool udp = params->udp_remote_port != 0;
	bool ah = td_dp_suite_info(params->suite)->protocol == TD_SA_AH;
	uint8_t protocol = udp ? IPPROTO_UDP : ah ? IPPROTO_AH : IPPROTO_ESP;

	if (!outer)
		return NULL;
	outer->remote = params->remote;
	outer->local = params->local;
	outer->protocol = protocol;
	outer->df_copy = params->df == TD_DF_COPY;
	outer->df_set = params->df == TD_DF_SET;
	outer->tos_copy = params->dscp == TD_DSCP_COPY ? UINT8_MAX : TD_ECN_MASK;
	outer->tos_set = params->dscp == TD_DSCP_COPY ? 0 : (uint8_t)(params->dscp << 2);
	if (params->mode == TD_SA_TUNNEL && outer->remote.family == 4) {
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
	struct td_outer *copy = td_slab_alloc(sizeof(*copy));

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
	td_slab_free(outer, sizeof(*outer));
}

void td_outer_fill_udp(const struct td_outer *outer, uint8_t *start, uint32_t esp_bytes)
{
	memcpy(start, outer->header + outer->ip_length, sizeof(struct rte_udp_hdr));
	((struct rte_udp_hdr *)start)->dgram_len =
	    rte_cpu_to_be_16((uint16_t)(esp_bytes + sizeof(struct rte_udp_hdr)));
}

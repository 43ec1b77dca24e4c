// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/icmp.h"

#include "common/limits.h"
#include "dataplane/ipv6_ext.h"
#include "dataplane/packet.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <rte_ip.h>
#include <string.h>

// What both versions put between the IP header and the quoted packet.
struct icmp_header {
	uint8_t type;
	uint8_t code;
	rte_be16_t checksum;
	rte_be32_t rest; // MTU, or zero
};

struct meaning {
	uint8_t type;
	uint8_t code;
};

// Routers' messages are internetwork control (RFC 1812 4.3.2.5).
#define TOS_INTERNETWORK_CONTROL 0xc0

static const struct meaning meanings4[] = {
    [TD_ICMP_TOO_BIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED},
    [TD_ICMP_TIME_EXCEEDED] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL},
    [TD_ICMP_NET_UNREACHABLE] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH},
    [TD_ICMP_HOST_UNREACHABLE] = {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH},
    [TD_ICMP_PROHIBITED] = {ICMP_DEST_UNREACH, ICMP_PKT_FILTERED}, // RFC 1812 5.2.7.1
};

static const struct meaning meanings6[] = {
    [TD_ICMP_TOO_BIG] = {ICMP6_PACKET_TOO_BIG, 0},
    [TD_ICMP_TIME_EXCEEDED] = {ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT},
    [TD_ICMP_NET_UNREACHABLE] = {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE},
    [TD_ICMP_HOST_UNREACHABLE] = {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR},
    [TD_ICMP_PROHIBITED] = {ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN},
};

// A buffer for an error with an IP header of header_bytes that quotes as much of a packet as max_bytes
// allow; the quote and the part in front of it are filled in. NULL without a buffer.
static struct rte_mbuf *error_create(struct rte_mempool *pool, const struct rte_mbuf *offending,
    size_t header_bytes, uint16_t max_bytes, struct icmp_header header)
{
	size_t front = header_bytes + sizeof(header);
	size_t quoted = RTE_MIN((size_t)rte_pktmbuf_data_len(offending), max_bytes - front);
	struct rte_mbuf *error = rte_pktmbuf_alloc(pool);
	char *start = error ? rte_pktmbuf_append(error, (uint16_t)(front + quoted)) : NULL;

	if (!start) {
		rte_pktmbuf_free(error);
		return NULL;
	}
	*td_packet(error) = (struct td_packet){0};
	memcpy(start + header_bytes, &header, sizeof(header));
	memcpy(start + front, rte_pktmbuf_mtod(offending, const void *), quoted);
	return error;
}

// ---- IPv4 -------------------------------------------------------------------------------------

static bool is_error_type4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

// RFC 1812 4.3.2.7.
static bool may_answer4(const struct rte_mbuf *offending)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(offending, const struct rte_ipv4_hdr *);

	if (rte_pktmbuf_data_len(offending) < sizeof(*ip))
		return false;
	uint32_t source = rte_be_to_cpu_32(ip->src_addr), destination = rte_be_to_cpu_32(ip->dst_addr);
	// Sources that are no single host: 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3; multicast and broadcast.
	if (source >> 24 == 0 || source >> 24 == 127 || source >> 29 == 7 || destination >> 28 == 14 ||
	    destination == UINT32_MAX)
		return false;
	if (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	if (ip->next_proto_id != IPPROTO_ICMP)
		return true;
	unsigned header = rte_ipv4_hdr_len(ip);
	return rte_pktmbuf_data_len(offending) > header &&
	       !is_error_type4(*rte_pktmbuf_mtod_offset(offending, const uint8_t *, header));
}

struct rte_mbuf *td_icmp_error_ipv4(struct rte_mempool *pool, const struct rte_mbuf *offending,
    rte_be32_t source, enum td_icmp_error error, uint16_t mtu)
{
	struct icmp_header header = {
	    .type = meanings4[error].type,
	    .code = meanings4[error].code,
	    .rest = error == TD_ICMP_TOO_BIG ? rte_cpu_to_be_32(mtu) : 0,
	};

	if (!may_answer4(offending))
		return NULL;
	struct rte_mbuf *made =
	    error_create(pool, offending, sizeof(struct rte_ipv4_hdr), TD_ICMP_ERROR_MAX_BYTES, header);
	if (!made)
		return NULL;
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(made, struct rte_ipv4_hdr *);
	struct icmp_header *icmp = (struct icmp_header *)(ip + 1);
	icmp->checksum = (uint16_t)~rte_raw_cksum(icmp, made->data_len - sizeof(*ip));
	*ip = (struct rte_ipv4_hdr){
	    .version_ihl = RTE_IPV4_VHL_DEF,
	    .type_of_service = TOS_INTERNETWORK_CONTROL,
	    .total_length = rte_cpu_to_be_16(made->data_len),
	    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG), // so that it needs no identification
	    .time_to_live = TD_IPV4_TTL,
	    .next_proto_id = IPPROTO_ICMP,
	    .src_addr = source,
	    .dst_addr = rte_pktmbuf_mtod(offending, const struct rte_ipv4_hdr *)->src_addr,
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return made;
}

// ---- IPv6 -------------------------------------------------------------------------------------

// Neither unspecified, nor loopback, nor multicast.
static bool is_source6(const uint8_t source[16])
{
	static const uint8_t zero[15];

	return source[0] != 0xff && (memcmp(source, zero, sizeof(zero)) != 0 || source[15] > 1);
}

// RFC 4443 2.4 e. A fragment behind the first may belong to an ICMPv6 error, so it is not answered either.
static bool may_answer6(const struct rte_mbuf *offending, enum td_icmp_error error)
{
	const uint8_t *packet = rte_pktmbuf_mtod(offending, const uint8_t *);
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)packet;
	struct td_ipv6_upper upper;

	if (!td_ipv6_upper(packet, rte_pktmbuf_data_len(offending), &upper) || !upper.first)
		return false;
	// Path MTU discovery works for multicast too (RFC 4443 2.4 e.3).
	if (!is_source6(ip->src_addr) || (ip->dst_addr[0] == 0xff && error != TD_ICMP_TOO_BIG))
		return false;
	if (upper.protocol != IPPROTO_ICMPV6)
		return true;
	return upper.offset < rte_pktmbuf_data_len(offending) && packet[upper.offset] & ICMP6_INFOMSG_MASK &&
	       packet[upper.offset] != ND_REDIRECT;
}

struct rte_mbuf *td_icmp_error_ipv6(struct rte_mempool *pool, const struct rte_mbuf *offending,
    const uint8_t source[16], enum td_icmp_error error, uint16_t mtu)
{
	struct icmp_header header = {
	    .type = meanings6[error].type,
	    .code = meanings6[error].code,
	    .rest = error == TD_ICMP_TOO_BIG ? rte_cpu_to_be_32(mtu) : 0,
	};

	if (!may_answer6(offending, error))
		return NULL;
	struct rte_mbuf *made =
	    error_create(pool, offending, sizeof(struct rte_ipv6_hdr), TD_ICMP6_ERROR_MAX_BYTES, header);
	if (!made)
		return NULL;
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(made, struct rte_ipv6_hdr *);
	struct icmp_header *icmp = (struct icmp_header *)(ip + 1);
	*ip = (struct rte_ipv6_hdr){
	    .vtc_flow = rte_cpu_to_be_32(6u << 28),
	    .payload_len = rte_cpu_to_be_16((uint16_t)(made->data_len - sizeof(*ip))),
	    .proto = IPPROTO_ICMPV6,
	    .hop_limits = TD_IPV4_TTL,
	};
	memcpy(ip->src_addr, source, 16);
	memcpy(ip->dst_addr, rte_pktmbuf_mtod(offending, const struct rte_ipv6_hdr *)->src_addr, 16);
	icmp->checksum = rte_ipv6_udptcp_cksum(ip, icmp);
	return made;
}

bool td_icmp_may_answer(const struct rte_mbuf *offending, enum td_icmp_error error)
{
	bool ipv4 = *rte_pktmbuf_mtod(offending, const uint8_t *) >> 4 == 4;

	return ipv4 ? may_answer4(offending) : may_answer6(offending, error);
}

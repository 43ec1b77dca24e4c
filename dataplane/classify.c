// SPDX-License-Identifier: BSD-3-Clause
// Frames from a port: what they are and where they go on.

#include "dataplane/ah.h"
#include "dataplane/forward.h"
#include "dataplane/ip_packet.h"
#include "dataplane/ipv6_ext.h"
#include "dataplane/policy_hits.h"
#include "dataplane/worker.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <rte_udp.h>

#define IKE_NATT_PORT 4500
#define NAT_KEEPALIVE 0xff // RFC 3948 2.3

struct classified {
	struct rte_mbuf *esp[TD_BURST]; // for this gateway
	struct rte_mbuf *plain_in[TD_BURST]; // from outside, subject to the inbound policy
	struct rte_mbuf *transit[TD_BURST]; // from inside, subject to the outbound policy
	unsigned esp_count, plain_in_count, transit_count;
	// IPv4 addresses that a packet of the burst went to: of this gateway, and not. 0: none yet.
	rte_be32_t local, foreign;
};

// What of the headers decides where a packet goes.
struct headers {
	uint16_t offset; // of the upper header
	uint16_t protocol_offset; // of the byte that names it
	uint8_t protocol;
	uint8_t
	    datagram; // what all fragments of a datagram name: IPv6 options may stand in front of protocol
	bool fragment;
};

static bool is_local(struct rte_mbuf *mbuf)
{
	const struct td_adjacency *adjacency = td_ip_route(mbuf);

	return adjacency && adjacency->kind == TD_ADJ_LOCAL;
}

// The same in a burst, most of which goes to one address.
static inline bool is_local_of(struct rte_mbuf *mbuf, struct classified *out)
{
	if (unlikely(td_ip_family(mbuf) != 4))
		return is_local(mbuf);
	rte_be32_t address = td_ipv4(mbuf)->dst_addr;

	if (likely(address == out->foreign && address))
		return false;
	if (likely(address == out->local && address))
		return true;
	bool local = is_local(mbuf);
	*(local ? &out->local : &out->foreign) = address;
	return local;
}

static bool headers_read6(struct rte_mbuf *mbuf, struct headers *headers)
{
	const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	struct td_ipv6_upper upper;

	if (!td_ipv6_upper(packet, mbuf->data_len, &upper))
		return false;
	*headers = (struct headers){
	    .offset = (uint16_t)upper.offset,
	    .protocol_offset = (uint16_t)upper.protocol_at,
	    .protocol = upper.protocol,
	    .datagram = upper.fragment_at ? packet[upper.fragment_at] : upper.protocol,
	    .fragment = !(upper.first && upper.last),
	};
	return true;
}

static inline bool headers_read(struct rte_mbuf *mbuf, struct headers *headers)
{
	if (unlikely(td_ip_family(mbuf) != 4))
		return headers_read6(mbuf, headers);
	const struct rte_ipv4_hdr *ip = td_ipv4(mbuf);

	*headers = (struct headers){
	    .offset = rte_ipv4_hdr_len(ip),
	    .protocol_offset = offsetof(struct rte_ipv4_hdr, next_proto_id),
	    .protocol = ip->next_proto_id,
	    .datagram = ip->next_proto_id,
	    .fragment = ip->fragment_offset & rte_cpu_to_be_16((uint16_t)~RTE_IPV4_HDR_DF_FLAG),
	};
	return true;
}

// ---- from outside -----------------------------------------------------------------------------

static inline void esp_enter(
    struct rte_mbuf *mbuf, const struct headers *headers, bool udp, struct classified *out)
{
	struct td_packet *packet = td_packet(mbuf);

	packet->esp_offset = (uint16_t)(headers->offset + (udp ? sizeof(struct rte_udp_hdr) : 0));
	packet->protocol_offset = headers->protocol_offset;
	packet->udp = udp;
	out->esp[out->esp_count++] = mbuf;
}

static void ah_enter(struct rte_mbuf *mbuf, const struct headers *headers, struct classified *out)
{
	esp_enter(mbuf, headers, false, out);
	td_packet(mbuf)->esp_offset += (uint16_t)offsetof(struct td_ah, spi);
	td_packet(mbuf)->protocol = TD_SA_AH;
}

// UDP to port 4500 (RFC 3948 2): ESP, a keepalive, or IKE behind the non-ESP marker. False: none of them.
static bool udp_enter(
    struct td_worker *worker, struct rte_mbuf *mbuf, const struct headers *headers, struct classified *out)
{
	uint32_t payload = headers->offset + (uint32_t)sizeof(struct rte_udp_hdr);
	uint32_t marker;

	if (headers->protocol != IPPROTO_UDP || mbuf->data_len < payload ||
	    rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, headers->offset)->dst_port !=
	        rte_cpu_to_be_16(IKE_NATT_PORT))
		return false;
	if (mbuf->data_len == payload + 1 &&
	    *rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, payload) == NAT_KEEPALIVE) {
		td_drop(worker, mbuf, TD_DROP_ESP_KEEPALIVE);
		return true;
	}
	if (mbuf->data_len < payload + sizeof(marker)) {
		td_drop(worker, mbuf, TD_DROP_ESP_SHORT);
		return true;
	}
	memcpy(&marker, rte_pktmbuf_mtod_offset(mbuf, const void *, payload), sizeof(marker));
	if (marker == 0)
		return false;
	esp_enter(mbuf, headers, true, out);
	return true;
}

// A whole packet for the gateway, but not plain ESP: AH, ESP in UDP and IKE are taken out. False: it was
// taken.
static bool local_enter(struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf,
    const struct headers *headers, struct classified *out)
{
	if (headers->protocol == IPPROTO_AH) {
		ah_enter(mbuf, headers, out);
		return false;
	}
	if (udp_enter(worker, mbuf, headers, out))
		return false;
	// Before policy, which may want everything from the outside protected: routers are not asked.
	if (headers->protocol == IPPROTO_ICMP || headers->protocol == IPPROTO_ICMPV6)
		td_pmtu_hint(worker, mbuf);
	enum td_punt_class class = td_punt_classify(mbuf);
	if (class == TD_PUNT_IKE || class == TD_PUNT_IKE_FIRST) {
		td_punt(worker, port, mbuf, class);
		return false;
	}
	return true;
}

static __rte_always_inline void from_outside(struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf,
    struct headers *headers, struct classified *out)
{
	if (is_local_of(mbuf, out)) {
		// Reassembly comes before decryption (RFC 4303 3.4.1), and before policy, which wants ports.
		if (headers->fragment) {
			bool protected = headers->datagram == IPPROTO_ESP || headers->datagram == IPPROTO_AH;

			if (unlikely(worker->watched))
				td_trace_code(worker, mbuf, TD_TRACE_HELD, TD_TRACE_WAIT_FRAGMENTS);
			mbuf = td_reassembly_take(worker->reassembly[protected], mbuf, worker->now_tsc);
			if (!mbuf)
				return;
			if (!headers_read(mbuf, headers)) {
				td_drop(worker, mbuf, TD_DROP_IP_HEADER);
				return;
			}
		}
		if (likely(headers->protocol == IPPROTO_ESP)) {
			esp_enter(mbuf, headers, false, out);
			return;
		}
		if (!local_enter(worker, port, mbuf, headers, out))
			return;
	}
	out->plain_in[out->plain_in_count++] = mbuf;
}

static bool is_icmp_or_udp(struct rte_mbuf *mbuf)
{
	uint8_t protocol = td_ip_protocol(mbuf);

	return protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

// Packets from outside that are not ours to decrypt: only what a bypass policy lets through, and
// ICMP and UDP for the gateway's own addresses when no policy speaks against it.
static void inbound_policy(struct td_worker *worker, uint8_t port, struct rte_mbuf **mbufs, unsigned count)
{
	const struct td_policy_rule *rules[TD_BURST];

	td_policy_find(worker, false, mbufs, rules, count);
	td_policy_hits_count(worker, rules, count);
	if (unlikely(worker->watched))
		td_trace_policy(worker, false, mbufs, rules, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		bool local = is_local(mbuf);

		// A bypass may be wide, but these belong on their link (RFC 4291 2.5.6).
		if (!local && td_ip_is_link_scope(mbuf))
			td_drop(worker, mbuf, TD_DROP_IP_SOURCE);
		else if (!rules[i] && !(local && is_icmp_or_udp(mbuf)))
			td_drop(worker, mbuf, TD_DROP_POLICY_NONE);
		else if (rules[i] && rules[i]->action == TD_POLICY_DISCARD)
			td_drop(worker, mbuf, TD_DROP_POLICY_DISCARD);
		else if (rules[i] && rules[i]->action == TD_POLICY_PROTECT)
			td_drop(worker, mbuf, TD_DROP_POLICY_PLAINTEXT);
		else if (local)
			td_punt(worker, port, mbuf, td_punt_classify(mbuf));
		else
			td_inward(worker, &mbuf, 1);
	}
}

// ---- from inside ------------------------------------------------------------------------------

static __rte_always_inline void from_inside(
    struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, struct classified *out)
{
	if (is_local_of(mbuf, out))
		td_punt(worker, port, mbuf, td_punt_classify(mbuf));
	else if (td_ip_is_link_scope(mbuf))
		td_drop(worker, mbuf, TD_DROP_IP_SOURCE);
	else if (td_forward_ttl(worker, mbuf))
		out->transit[out->transit_count++] = mbuf;
}

// ---- frames -----------------------------------------------------------------------------------

// Multicast, or limited broadcast.
static bool is_group(struct rte_mbuf *mbuf)
{
	if (td_ip_family(mbuf) == 4)
		return rte_be_to_cpu_32(td_ipv4(mbuf)->dst_addr) >> 29 == 7;
	return td_ipv6(mbuf)->dst_addr[0] == 0xff;
}

// Takes off the Ethernet header and padding. False: dropped.
static __rte_always_inline bool ip_enter(struct td_worker *worker, struct rte_mbuf *mbuf, uint8_t family)
{
	bool verified = (mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	bool broadcast =
	    rte_is_multicast_ether_addr(&rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->dst_addr);
	uint16_t total = 0;

	td_ip_clip(mbuf, RTE_ETHER_HDR_LEN, mbuf->data_len - (uint32_t)RTE_ETHER_HDR_LEN);
	enum td_drop reason = TD_DROP_IP_VERSION;
	if (mbuf->data_len == 0 || td_ip_family(mbuf) == family)
		reason = td_ip_check(rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len, !verified, &total);
	if (reason == TD_DROP_COUNT && broadcast && !is_group(mbuf))
		reason = TD_DROP_RX_BROADCAST;
	if (reason != TD_DROP_COUNT) {
		td_drop(worker, mbuf, reason);
		return false;
	}
	td_ip_clip(mbuf, 0, total);
	return true;
}

// Neighbour discovery (RFC 4861) goes to the kernel unasked, as ARP does.
static bool is_nd(struct rte_mbuf *mbuf, const struct headers *headers)
{
	if (headers->protocol != IPPROTO_ICMPV6 || headers->fragment || mbuf->data_len <= headers->offset)
		return false;
	uint8_t type = *rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, headers->offset);
	return type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT;
}

static __rte_always_inline void ip(
    struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, uint8_t family, struct classified *out)
{
	bool outside = td_dp.ports[port].config.role == TD_ROLE_OUTSIDE;
	struct headers headers;

	if (!ip_enter(worker, mbuf, family))
		return;
	if (family == 4 && !outside)
		from_inside(worker, port, mbuf, out);
	else if (!headers_read(mbuf, &headers))
		td_drop(worker, mbuf, TD_DROP_IP_HEADER);
	else if (family == 6 && is_nd(mbuf, &headers))
		td_punt(worker, port, mbuf, TD_PUNT_ARP);
	else if (outside)
		from_outside(worker, port, mbuf, &headers, out);
	else
		from_inside(worker, port, mbuf, out);
}

static __rte_always_inline void frame(
    struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, struct classified *out)
{
	if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf)) {
		td_drop(worker, mbuf, TD_DROP_RX_LINEARIZE);
		return;
	}
	if (mbuf->data_len < RTE_ETHER_HDR_LEN) {
		td_drop(worker, mbuf, TD_DROP_RX_RUNT);
		return;
	}
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	if (!rte_is_multicast_ether_addr(&ether->dst_addr) &&
	    !rte_is_same_ether_addr(&ether->dst_addr, &td_dp.ports[port].mac)) {
		td_drop(worker, mbuf, TD_DROP_RX_OTHER_MAC);
		return;
	}
	switch (rte_be_to_cpu_16(ether->ether_type)) {
	case RTE_ETHER_TYPE_IPV4:
		ip(worker, port, mbuf, 4, out);
		break;
	case RTE_ETHER_TYPE_IPV6:
		ip(worker, port, mbuf, 6, out);
		break;
	case RTE_ETHER_TYPE_ARP:
		td_punt_frame(worker, port, mbuf, TD_PUNT_ARP);
		break;
	default:
		td_drop(worker, mbuf, TD_DROP_RX_ETHERTYPE);
	}
}

static void classified_trace(struct td_worker *worker, const struct classified *out)
{
	td_trace_codes(worker, out->esp, out->esp_count, TD_TRACE_CLASSIFIED, TD_TRACE_CLASS_ESP);
	td_trace_codes(worker, out->transit, out->transit_count, TD_TRACE_CLASSIFIED, TD_TRACE_CLASS_TRANSIT);
	td_trace_codes(worker, out->plain_in, out->plain_in_count, TD_TRACE_CLASSIFIED, TD_TRACE_CLASS_PLAIN);
}

void td_classify(struct td_worker *worker, uint8_t port, struct rte_mbuf **mbufs, unsigned count)
{
	struct classified out;

	out.esp_count = out.plain_in_count = out.transit_count = 0;
	out.local = out.foreign = 0;
	for (unsigned i = 0; i < count; i++) {
		if (i + 4 < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 4], void *));
		*td_packet(mbufs[i]) = (struct td_packet){.port = port};
		if (unlikely(worker->watched))
			td_observe_received(worker, port, mbufs[i]);
		frame(worker, port, mbufs[i], &out);
	}
	if (unlikely(worker->watched))
		classified_trace(worker, &out);
	if (out.esp_count)
		td_esp_in(worker, out.esp, out.esp_count);
	if (out.transit_count)
		td_outbound(worker, out.transit, out.transit_count);
	if (out.plain_in_count)
		inbound_policy(worker, port, out.plain_in, out.plain_in_count);
}

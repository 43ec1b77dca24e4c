// SPDX-License-Identifier: BSD-3-Clause
// Frames from a port: what they are and where they go on.

#include "dataplane/ipv4_check.h"
#include "dataplane/worker.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>

struct classified {
	struct rte_mbuf *esp[TD_BURST]; // for this gateway
	struct rte_mbuf *plain_in[TD_BURST]; // from outside, subject to the inbound policy
	struct rte_mbuf *transit[TD_BURST]; // from inside, subject to the outbound policy
	unsigned esp_count, plain_in_count, transit_count;
};

static bool is_local(rte_be32_t address)
{
	const struct td_adjacency *adjacency = td_fib_lookup(rte_be_to_cpu_32(address));

	return adjacency && adjacency->kind == TD_ADJ_LOCAL;
}

// Multicast or limited broadcast.
static bool is_group(rte_be32_t address)
{
	return rte_be_to_cpu_32(address) >> 29 == 7;
}

// Takes off the Ethernet header and padding. False: dropped.
static bool ipv4_enter(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	bool broadcast =
	    rte_is_multicast_ether_addr(&rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->dst_addr);
	uint16_t total = 0;
	bool verified = (mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;

	rte_pktmbuf_adj(mbuf, RTE_ETHER_HDR_LEN);
	enum td_drop reason = td_ipv4_check(td_packet_ipv4(mbuf), mbuf->data_len, !verified, &total);
	if (reason != TD_DROP_COUNT) {
		td_drop(worker, mbuf, reason);
		return false;
	}
	if (broadcast && !is_group(td_packet_ipv4(mbuf)->dst_addr)) {
		td_drop(worker, mbuf, TD_DROP_RX_BROADCAST);
		return false;
	}
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - total));
	return true;
}

static void outside_ipv4(
    struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, struct classified *out)
{
	const struct rte_ipv4_hdr *ip = td_packet_ipv4(mbuf);

	if (is_local(ip->dst_addr)) {
		if (ip->next_proto_id == IPPROTO_ESP) {
			if (ip->fragment_offset & rte_cpu_to_be_16((uint16_t)~RTE_IPV4_HDR_DF_FLAG))
				td_drop(worker, mbuf, TD_DROP_IP_FRAGMENT);
			else
				out->esp[out->esp_count++] = mbuf;
			return;
		}
		if (td_punt_classify(mbuf) == TD_PUNT_IKE) {
			td_punt(worker, port, mbuf, TD_PUNT_IKE);
			return;
		}
	}
	out->plain_in[out->plain_in_count++] = mbuf;
}

static void inside_ipv4(struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, struct classified *out)
{
	if (is_local(td_packet_ipv4(mbuf)->dst_addr))
		td_punt(worker, port, mbuf, td_punt_classify(mbuf));
	else if (td_forward_ttl(worker, mbuf))
		out->transit[out->transit_count++] = mbuf;
}

// Neighbour discovery and multicast of the link, and what the kernel itself has to answer. IPv6 is
// not forwarded.
static void ipv6(struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf)
{
	const struct rte_ipv6_hdr *ip =
	    rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);

	if (mbuf->data_len < RTE_ETHER_HDR_LEN + sizeof(*ip) + 1) {
		td_drop(worker, mbuf, TD_DROP_RX_RUNT);
		return;
	}
	uint8_t type = *(const uint8_t *)(ip + 1);
	if (ip->proto == IPPROTO_ICMPV6 && type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT)
		td_punt_frame(worker, port, mbuf, TD_PUNT_ARP);
	else if (ip->proto == IPPROTO_ICMPV6)
		td_punt_frame(worker, port, mbuf, TD_PUNT_ICMP); // the kernel drops what is not for it
	else
		td_drop(worker, mbuf, TD_DROP_IPV6_FORWARD);
}

// Packets from outside that are not ours to decrypt: only what a bypass policy lets through, and
// ICMP and UDP for the gateway's own addresses when no policy speaks against it.
static void inbound_policy(struct td_worker *worker, uint8_t port, struct rte_mbuf **mbufs, unsigned count)
{
	struct td_policy_key keys[TD_BURST];
	const struct td_policy_rule *rules[TD_BURST];

	for (unsigned i = 0; i < count; i++)
		td_policy_key_fill(&keys[i], mbufs[i], false);
	// Pairs with the release in policy.c.
	td_policy_classify(__atomic_load_n(&td_dp.policies, __ATOMIC_ACQUIRE), false, keys, rules, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		bool local = is_local(td_packet_ipv4(mbuf)->dst_addr);
		bool own = local && (keys[i].protocol == IPPROTO_ICMP || keys[i].protocol == IPPROTO_UDP) &&
		           !rules[i];

		if (!rules[i] && !own)
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

static void frame(struct td_worker *worker, uint8_t port, struct rte_mbuf *mbuf, struct classified *out)
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
	*td_packet(mbuf) = (struct td_packet){.port = port};
	switch (rte_be_to_cpu_16(ether->ether_type)) {
	case RTE_ETHER_TYPE_IPV4:
		if (!ipv4_enter(worker, mbuf))
			break;
		if (td_dp.ports[port].config.role == TD_ROLE_OUTSIDE)
			outside_ipv4(worker, port, mbuf, out);
		else
			inside_ipv4(worker, port, mbuf, out);
		break;
	case RTE_ETHER_TYPE_ARP:
		td_punt_frame(worker, port, mbuf, TD_PUNT_ARP);
		break;
	case RTE_ETHER_TYPE_IPV6:
		ipv6(worker, port, mbuf);
		break;
	default:
		td_drop(worker, mbuf, TD_DROP_RX_ETHERTYPE);
	}
}

void td_classify(struct td_worker *worker, uint8_t port, struct rte_mbuf **mbufs, unsigned count)
{
	struct classified out;

	out.esp_count = out.plain_in_count = out.transit_count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (i + 4 < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 4], void *));
		frame(worker, port, mbufs[i], &out);
	}
	if (out.esp_count)
		td_esp_in(worker, out.esp, out.esp_count);
	if (out.transit_count)
		td_outbound(worker, out.transit, out.transit_count);
	if (out.plain_in_count)
		inbound_policy(worker, port, out.plain_in, out.plain_in_count);
}

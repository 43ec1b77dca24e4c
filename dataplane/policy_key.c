// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_key.h"

#include "dataplane/ipv6_ext.h"

#include <netinet/in.h>
#include <rte_ip.h>
#include <string.h>

bool td_policy_has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// What the first bytes of the upper layer say; length of them are there.
static void ports_fill(
    struct td_policy_key *key, uint8_t icmp, const uint8_t *upper, uint32_t length, bool outbound)
{
	rte_be16_t words[2];

	if (length < sizeof(words))
		return;
	memcpy(words, upper, sizeof(words));
	if (td_policy_has_ports(key->protocol)) {
		key->ports[0] = words[!outbound];
		key->ports[1] = words[outbound];
	} else if (key->protocol == icmp) {
		key->ports[0] = words[0];
		key->ports[1] = rte_cpu_to_be_16(TD_POLICY_ICMP_SHOWN);
	}
}

static void ipv4_fill(
    struct td_policy_key *key, const struct rte_ipv4_hdr *ip, uint32_t length, bool outbound)
{
	unsigned header = rte_ipv4_hdr_len(ip);

	key->family = 4;
	key->protocol = ip->next_proto_id;
	key->local[0] = outbound ? ip->src_addr : ip->dst_addr;
	key->remote[0] = outbound ? ip->dst_addr : ip->src_addr;
	// A fragment behind the first has no ports; it then matches rules for any port only (RFC 4301 7.1).
	if (!(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)))
		ports_fill(key, IPPROTO_ICMP, (const uint8_t *)ip + header, length - header, outbound);
}

static void ipv6_fill(
    struct td_policy_key *key, const struct rte_ipv6_hdr *ip, uint32_t length, bool outbound)
{
	struct td_ipv6_upper upper;

	if (!td_ipv6_upper((const uint8_t *)ip, length, &upper))
		return;
	key->family = 6;
	key->protocol = upper.protocol;
	memcpy(key->local, outbound ? ip->src_addr : ip->dst_addr, sizeof(key->local));
	memcpy(key->remote, outbound ? ip->dst_addr : ip->src_addr, sizeof(key->remote));
	if (upper.first)
		ports_fill(
		    key, IPPROTO_ICMPV6, (const uint8_t *)ip + upper.offset, length - upper.offset, outbound);
}

void td_policy_key_fill(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound)
{
	const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);

	*key = (struct td_policy_key){0};
	if (packet[0] >> 4 == 6)
		ipv6_fill(key, (const struct rte_ipv6_hdr *)packet, mbuf->data_len, outbound);
	else
		ipv4_fill(key, (const struct rte_ipv4_hdr *)packet, mbuf->data_len, outbound);
}

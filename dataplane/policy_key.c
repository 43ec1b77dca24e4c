// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/policy_key.h"

#include "dataplane/ipv6_ext.h"

#include <netinet/in.h>
#include <string.h>

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
	if (!upper.first)
		return;
	uint32_t ports = td_policy_key_ports(upper.protocol, IPPROTO_ICMPV6,
	    (const uint8_t *)ip + upper.offset, length - upper.offset, outbound);
	memcpy(key->ports, &ports, sizeof(ports));
}

void td_policy_key_fill6(struct td_policy_key *key, const struct rte_mbuf *mbuf, bool outbound)
{
	*key = (struct td_policy_key){0};
	ipv6_fill(key, rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *), mbuf->data_len, outbound);
}

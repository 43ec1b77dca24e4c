// SPDX-License-Identifier: BSD-3-Clause
// IP packets to their next hop.

#include "dataplane/worker.h"

bool td_forward_ttl(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	struct rte_ipv4_hdr *ip = td_packet_ipv4(mbuf);

	if (ip->time_to_live <= 1) {
		td_drop(worker, mbuf, TD_DROP_IP_TTL);
		return false;
	}
	ip->time_to_live--;
	// RFC 1624: the word that holds the TTL fell by 0x0100, so the checksum rises by it.
	uint32_t sum = (uint32_t)ip->hdr_checksum + rte_cpu_to_be_16(0x0100);
	ip->hdr_checksum = (uint16_t)(sum + (sum >= 0xffff));
	return true;
}

void td_forward_resolved(
    struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	if (mbuf->data_len > td_dp.ports[adjacency->port].config.mtu) {
		td_drop(worker, mbuf, TD_DROP_MTU);
		return;
	}
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)rte_pktmbuf_prepend(mbuf, sizeof(*ether));
	if (!ether) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_ROOM);
		return;
	}
	*ether = adjacency->ether;
	td_tx(worker, adjacency->port, mbuf);
}

static bool is_inside(const struct td_adjacency *adjacency)
{
	return adjacency->kind == TD_ADJ_LOCAL || adjacency->kind == TD_ADJ_BLACKHOLE ||
	       td_dp.ports[adjacency->port].config.role == TD_ROLE_INSIDE;
}

void td_forward(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count, bool inside_only)
{
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		uint32_t destination = rte_be_to_cpu_32(td_packet_ipv4(mbuf)->dst_addr);
		const struct td_adjacency *adjacency = td_fib_lookup(destination);

		if (!adjacency || (inside_only && !is_inside(adjacency))) {
			td_drop(worker, mbuf, TD_DROP_NO_ROUTE);
			continue;
		}
		switch (adjacency->kind) {
		case TD_ADJ_RESOLVED:
			td_forward_resolved(worker, mbuf, adjacency);
			break;
		case TD_ADJ_LOCAL:
			td_punt(worker, adjacency->port, mbuf, td_punt_classify(mbuf));
			break;
		case TD_ADJ_LINK:
			td_hold(worker, mbuf, adjacency->port, destination);
			break;
		case TD_ADJ_UNRESOLVED:
			td_hold(worker, mbuf, adjacency->port, adjacency->next_hop);
			break;
		case TD_ADJ_BLACKHOLE:
			td_drop(worker, mbuf, TD_DROP_BLACKHOLE);
			break;
		}
	}
}

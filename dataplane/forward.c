// SPDX-License-Identifier: BSD-3-Clause
// IP packets to their next hop.

#include "dataplane/ip_packet.h"
#include "dataplane/worker.h"

bool td_forward_ttl(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint8_t *ttl = td_ip_family(mbuf) == 4 ? &td_ipv4(mbuf)->time_to_live : &td_ipv6(mbuf)->hop_limits;

	if (*ttl <= 1) {
		td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
		td_drop(worker, mbuf, TD_DROP_IP_TTL);
		return false;
	}
	(*ttl)--;
	if (td_ip_family(mbuf) == 4) {
		struct rte_ipv4_hdr *ip = td_ipv4(mbuf);
		// RFC 1624: the word that holds the TTL fell by 0x0100, so the checksum rises by it.
		uint32_t sum = (uint32_t)ip->hdr_checksum + rte_cpu_to_be_16(0x0100);

		ip->hdr_checksum = (uint16_t)(sum + (sum >= 0xffff));
	}
	return true;
}

static void frame_send(struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)rte_pktmbuf_prepend(mbuf, sizeof(*ether));

	if (!ether) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_ROOM);
		return;
	}
	*ether = adjacency->ether;
	td_tx(worker, adjacency->port, mbuf);
}

void td_forward_resolved(
    struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	uint16_t mtu = (uint16_t)td_dp.ports[adjacency->port].config.mtu;
	struct rte_mbuf *fragments[TD_FRAGMENTS_MAX];

	if (likely(mbuf->data_len <= mtu)) {
		frame_send(worker, mbuf, adjacency);
		return;
	}
	int count = td_cut(worker, mbuf, mtu, fragments, TD_DROP_MTU);
	for (int i = 0; i < count; i++)
		frame_send(worker, fragments[i], adjacency);
}

static bool is_inside(const struct td_adjacency *adjacency)
{
	return adjacency->kind == TD_ADJ_LOCAL || adjacency->kind == TD_ADJ_BLACKHOLE ||
	       td_dp.ports[adjacency->port].config.role == TD_ROLE_INSIDE;
}

void td_forward(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count, bool inside_only)
{
	if (unlikely(worker->watched))
		td_trace_routes(worker, mbufs, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		const struct td_adjacency *adjacency = td_ip_route(mbuf);

		if (!adjacency || (inside_only && !is_inside(adjacency))) {
			td_reply_no_route(worker, mbuf);
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
		case TD_ADJ_UNRESOLVED:
			td_hold(worker, mbuf, adjacency);
			break;
		case TD_ADJ_BLACKHOLE:
			td_drop(worker, mbuf, TD_DROP_BLACKHOLE);
			break;
		}
	}
}

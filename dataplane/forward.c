// SPDX-License-Identifier: BSD-3-Clause
// IP packets to their next hop.

#include "dataplane/forward.h"

#include "dataplane/ip_packet.h"

void td_forward_expired(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	td_reply(worker, mbuf, TD_ICMP_TIME_EXCEEDED, 0);
	td_drop(worker, mbuf, TD_DROP_IP_TTL);
}

void td_forward_cut(struct td_worker *worker, struct rte_mbuf *mbuf, const struct td_adjacency *adjacency)
{
	struct rte_mbuf *fragments[TD_FRAGMENTS_MAX];
	int count = td_cut(worker, mbuf, adjacency->mtu, fragments, TD_DROP_MTU);

	for (int i = 0; i < count; i++)
		td_frame_send(worker, fragments[i], adjacency);
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
			td_hold_first(worker);
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

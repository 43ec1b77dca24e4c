// SPDX-License-Identifier: BSD-3-Clause
// Packets that were accepted from outside, decrypted or by a bypass policy.

#include "dataplane/forward.h"
#include "dataplane/ip_packet.h"
#include "dataplane/worker.h"

void td_inward(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct rte_mbuf *inside[TD_BURST], *outside[TD_BURST];
	unsigned inside_count = 0, outside_count = 0;

	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		const struct td_adjacency *adjacency = td_ip_route(mbuf);

		if (adjacency && adjacency->kind == TD_ADJ_LOCAL) {
			if (unlikely(worker->watched) && td_packet(mbuf)->decrypted)
				td_observe_plain(worker, mbuf, false);
			td_punt(worker, adjacency->port, mbuf, td_punt_classify(mbuf));
			continue;
		}
		if (!td_forward_ttl(worker, mbuf))
			continue;
		// Towards the outside, or where no route says, the outbound policy decides: a hub sends it
		// into another tunnel, and nothing that was protected leaves in plaintext unasked.
		bool to_inside = adjacency && adjacency->kind != TD_ADJ_BLACKHOLE &&
		                 td_dp.ports[adjacency->port].config.role == TD_ROLE_INSIDE;
		if (likely(to_inside && adjacency->kind == TD_ADJ_RESOLVED && inside_count == 0 &&
		           !worker->watched)) {
			td_hold_first(worker);
			td_forward_resolved(worker, mbuf, adjacency);
		} else if (to_inside) {
			inside[inside_count++] = mbuf;
		} else {
			outside[outside_count++] = mbuf;
		}
	}
	for (unsigned i = 0; unlikely(worker->watched) && i < outside_count; i++)
		if (td_packet(outside[i])->decrypted)
			td_observe_plain(worker, outside[i], false);
	td_forward(worker, inside, inside_count, true);
	td_outbound(worker, outside, outside_count);
}

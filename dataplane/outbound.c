// SPDX-License-Identifier: BSD-3-Clause
// The outbound policy: every IP packet that may cross from inside to outside comes through here.

#include "dataplane/policy_hits.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

// A packet of the kernel leaves with the kernel's own Ethernet header: it may be multicast, which the FIB
// does not route.
static void bypass(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	if (td_packet(mbuf)->guarded) {
		td_drop(worker, mbuf, TD_DROP_POLICY_NONE);
		return;
	}
	if (td_packet(mbuf)->kernel) {
		rte_pktmbuf_prepend(mbuf, RTE_ETHER_HDR_LEN); // still in the headroom
		td_tx(worker, td_packet(mbuf)->port, mbuf);
	} else {
		td_forward(worker, &mbuf, 1, false);
	}
}

void td_outbound(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	const struct td_policy_rule *rules[TD_BURST];
	struct rte_mbuf *protect[TD_BURST];
	unsigned protect_count = 0;

	if (count == 0)
		return;
	td_policy_find(worker, true, mbufs, rules, count);
	td_policy_hits_count(worker, rules, count);
	if (unlikely(worker->watched))
		td_trace_policy(worker, true, mbufs, rules, count);
	for (unsigned i = 0; i < count; i++) {
		if (!rules[i]) {
			td_reply_prohibited(worker, mbufs[i]);
			td_drop(worker, mbufs[i], TD_DROP_POLICY_NONE);
			continue;
		}
		switch (rules[i]->action) {
		case TD_POLICY_PROTECT:
			td_packet(mbufs[i])->tunnel = rules[i]->tunnel->id;
			td_packet(mbufs[i])->ports = rules[i]->ports;
			protect[protect_count++] = mbufs[i];
			break;
		case TD_POLICY_BYPASS:
			bypass(worker, mbufs[i]);
			break;
		case TD_POLICY_DISCARD:
			td_reply_prohibited(worker, mbufs[i]);
			td_drop(worker, mbufs[i], TD_DROP_POLICY_DISCARD);
			break;
		}
	}
	for (unsigned i = 0; unlikely(worker->watched) && i < protect_count; i++)
		if (td_packet(protect[i])->kernel)
			td_observe_plain(worker, protect[i], true);
	td_esp_out(worker, protect, protect_count);
}

// SPDX-License-Identifier: BSD-3-Clause
// Frames that come and go, as traces and captures see them.

#include "dataplane/trace.h"
#include "dataplane/worker.h"

static void headers_of(struct rte_mbuf *mbuf, struct td_dp_headers *headers)
{
	// Headers that a device spread over segments are read as far as the first goes.
	td_headers_read(rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, headers);
	headers->length = (uint16_t)RTE_MIN(mbuf->pkt_len, (uint32_t)UINT16_MAX);
}

void td_observe_received(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_dp_headers headers;

	headers_of(mbuf, &headers);
	td_trace_admit(worker, port, mbuf, &headers, TD_TRACE_RECEIVED);
}

void td_observe_injected(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_dp_headers headers;

	headers_of(mbuf, &headers);
	td_trace_admit(worker, port, mbuf, &headers, TD_TRACE_INJECTED);
}

void td_observe_sent(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	td_trace_port(worker, mbuf, TD_TRACE_SENT, port);
}

// SPDX-License-Identifier: BSD-3-Clause
// Frames that come and go, as traces and captures see them.

#include "dataplane/capture.h"
#include "dataplane/ip_packet.h"
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
	if (worker->capture)
		td_capture_take(worker, port, mbuf, &headers, false, TD_CAPTURE_FRAME);
}

void td_observe_injected(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_dp_headers headers;

	headers_of(mbuf, &headers);
	td_trace_admit(worker, port, mbuf, &headers, TD_TRACE_INJECTED);
}

void td_observe_sent(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf)
{
	struct td_dp_headers headers;

	td_trace_port(worker, mbuf, TD_TRACE_SENT, port);
	if (!worker->capture)
		return;
	headers_of(mbuf, &headers);
	td_capture_take(worker, port, mbuf, &headers, true, TD_CAPTURE_FRAME);
}

void td_observe_plain(struct td_worker *worker, struct rte_mbuf *mbuf, bool outbound)
{
	uint8_t family = td_ip_family(mbuf), port = td_packet(mbuf)->port;
	struct td_dp_headers headers;

	if (!worker->capture)
		return;
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)rte_pktmbuf_prepend(mbuf, sizeof(*ether));
	if (!ether)
		return;
	if (!outbound)
		*ether = (struct rte_ether_hdr){
		    .dst_addr = td_dp.ports[port].mac,
		    .src_addr = {.addr_bytes = {RTE_ETHER_LOCAL_ADMIN_ADDR}},
		    .ether_type = rte_cpu_to_be_16(family == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6),
		};
	headers_of(mbuf, &headers);
	td_capture_take(
	    worker, port, mbuf, &headers, outbound, outbound ? TD_CAPTURE_OWN : TD_CAPTURE_OPENED);
	rte_pktmbuf_adj(mbuf, sizeof(*ether));
}

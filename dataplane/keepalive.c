// SPDX-License-Identifier: BSD-3-Clause
// NAT keepalives (RFC 3948 2.3): one byte over UDP that keeps a NAT's mapping of an idle tunnel alive.
// Control thread.

#include "dataplane/ip_packet.h"
#include "dataplane/outer.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define KEEPALIVE 0xff

int td_dp_nat_keepalive(
    const struct td_ip *local, const struct td_ip *remote, uint16_t udp_local_port, uint16_t udp_remote_port)
{
	const struct td_sa_params params = {
	    .mode = TD_SA_TUNNEL,
	    .local = *local,
	    .remote = *remote,
	    .udp_local_port = udp_local_port,
	    .udp_remote_port = udp_remote_port,
	    .df = TD_DF_CLEAR,
	};
	struct td_outer *outer = td_outer_create(&params);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	int result = -ENOMEM;

	if (outer && mbuf) {
		uint16_t headers = (uint16_t)(outer->ip_length + outer->udp_length);
		uint8_t *start = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(headers + 1));

		td_outer_fill(outer, start, 1, (struct td_outer_inner){.df = false}, 0);
		start[headers] = KEEPALIVE;
		if (outer->remote.family == 6)
			((struct rte_udp_hdr *)(start + outer->ip_length))->dgram_cksum =
			    td_ip_upper_checksum(mbuf, outer->ip_length, IPPROTO_UDP);
		*td_packet(mbuf) = (struct td_packet){.own = true};
		result = rte_ring_sp_enqueue(td_dp.workers[0]->inject, mbuf);
	}
	if (result)
		rte_pktmbuf_free(mbuf);
	td_outer_free(outer);
	return result;
}

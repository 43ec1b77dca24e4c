// SPDX-License-Identifier: BSD-3-Clause
// Path MTU hints: ICMP errors that routers on the way send about our ESP and AH packets (RFC 1191, RFC 8201,
// RFC 4301 8.2). They are not authenticated: only one that quotes an outbound SA's SPI and peer reaches the
// control thread. Any number of others takes nothing from these.

#include "dataplane/ah.h"
#include "dataplane/ip_packet.h"
#include "dataplane/ipv6_ext.h"
#include "dataplane/out_table.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <rte_esp.h>
#include <rte_udp.h>

#define ICMP_HEADER_BYTES 8

// Reads the quoted packet: our ESP or AH packet's destination and SPI.
static bool quote_read(const uint8_t *quote, uint32_t length, uint8_t family, struct td_event *event)
{
	uint32_t header, protocol;

	event->destination = (struct td_ip){.family = family};
	if (family == 4) {
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)quote;

		if (length < sizeof(*ip) || ip->version_ihl >> 4 != 4)
			return false;
		header = rte_ipv4_hdr_len(ip);
		protocol = ip->next_proto_id;
		memcpy(event->destination.bytes, &ip->dst_addr, sizeof(ip->dst_addr));
	} else {
		const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)quote;
		struct td_ipv6_upper upper;

		// A sealed packet that this gateway has cut, too (RFC 2473 7.1).
		if (!td_ipv6_upper(quote, length, &upper) || !upper.first)
			return false;
		header = upper.offset;
		protocol = upper.protocol;
		memcpy(event->destination.bytes, ip->dst_addr, sizeof(ip->dst_addr));
	}
	if (protocol == IPPROTO_UDP)
		header += (uint32_t)sizeof(struct rte_udp_hdr);
	else if (protocol == IPPROTO_AH)
		header += (uint32_t)offsetof(struct td_ah, spi);
	else if (protocol != IPPROTO_ESP)
		return false;
	rte_be32_t spi;
	if (length < header + sizeof(spi))
		return false;
	memcpy(&spi, quote + header, sizeof(spi));
	event->spi = rte_be_to_cpu_32(spi);
	return true;
}

// Tells the control thread of a hint that quotes an SA, if it is lower than what the tunnel has learned.
static void hint_tell(struct td_worker *worker, struct td_event *event)
{
	const struct td_sa_out *sa = td_out_table_find(event->spi, &event->destination);

	if (!sa) {
		td_counter_add(&worker->counters.hints_unknown, 1);
		return;
	}
	uint32_t low = event->destination.family == 6 ? TD_IPV6_MTU_MIN : TD_MTU_MIN;
	uint16_t known = __atomic_load_n(&sa->tunnel->pmtu, __ATOMIC_RELAXED);
	event->tunnel = sa->tunnel->id;
	if ((known == 0 || RTE_MAX(event->count, low) < known) &&
	    td_bucket_take(&worker->pmtu_bucket, worker->now_tsc, td_dp.tsc_hz, TD_PMTU_EVENTS_PER_S))
		(void)td_event_raise(worker, event);
}

void td_pmtu_hint(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint8_t family = td_ip_family(mbuf);
	uint32_t offset =
	    family == 4 ? rte_ipv4_hdr_len(td_ipv4(mbuf)) : (uint32_t)sizeof(struct rte_ipv6_hdr);
	uint8_t protocol = family == 4 ? td_ipv4(mbuf)->next_proto_id : td_ipv6(mbuf)->proto;
	const uint8_t *icmp = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset);
	struct td_event event = {.kind = TD_EVENT_PMTU, .source = td_ip_source(mbuf)};

	if (protocol != (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) ||
	    mbuf->data_len < offset + ICMP_HEADER_BYTES)
		return;
	if (family == 4 && icmp[0] == ICMP_DEST_UNREACH && icmp[1] == ICMP_FRAG_NEEDED)
		event.count = (uint32_t)icmp[6] << 8 | icmp[7];
	else if (family == 6 && icmp[0] == ICMP6_PACKET_TOO_BIG)
		event.count =
		    (uint32_t)icmp[4] << 24 | (uint32_t)icmp[5] << 16 | (uint32_t)icmp[6] << 8 | icmp[7];
	else
		return;
	offset += ICMP_HEADER_BYTES;
	if (quote_read(icmp + ICMP_HEADER_BYTES, mbuf->data_len - offset, family, &event))
		hint_tell(worker, &event);
}

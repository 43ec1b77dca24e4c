// SPDX-License-Identifier: BSD-3-Clause
// The exception path: packets for the gateway itself go to the kernel, the kernel's packets come in.
// Rings lie between, so that no worker makes a system call.

#include "common/ike_spi.h"
#include "dataplane/ip_packet.h"
#include "dataplane/ipv6_ext.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <rte_udp.h>
#include <string.h>

#define IKE_PORT 500
#define IKE_NATT_PORT 4500
#define IKE_FLAGS_AT 19
#define IKE_FLAG_INITIATOR 0x08 // the sender is the original initiator

static const struct {
	uint64_t rate;
	enum td_drop over;
} punt_classes[TD_PUNT_CLASSES] = {
    [TD_PUNT_ARP] = {TD_PUNT_ARP_PER_S, TD_DROP_PUNT_ARP_RATE},
    [TD_PUNT_IKE] = {TD_PUNT_IKE_PER_S, TD_DROP_PUNT_IKE_RATE},
    [TD_PUNT_IKE_FIRST] = {TD_PUNT_IKE_FIRST_PER_S, TD_DROP_PUNT_IKE_FIRST_RATE},
    [TD_PUNT_ICMP] = {TD_PUNT_ICMP_PER_S, TD_DROP_PUNT_ICMP_RATE},
    [TD_PUNT_OTHER] = {TD_PUNT_OTHER_PER_S, TD_DROP_PUNT_OTHER_RATE},
};

// ---- workers: to the kernel -------------------------------------------------------------------

// The upper protocol's place in an IP packet. False: it shows none (malformed, or a fragment behind the
// first).
static bool upper_find(struct rte_mbuf *mbuf, uint8_t *protocol, uint32_t *offset)
{
	if (td_ip_family(mbuf) == 4) {
		const struct rte_ipv4_hdr *ip = td_ipv4(mbuf);

		*protocol = ip->next_proto_id;
		*offset = rte_ipv4_hdr_len(ip);
		return !(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK));
	}
	struct td_ipv6_upper upper;
	if (!td_ipv6_upper(rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, &upper))
		return false;
	*protocol = upper.protocol;
	*offset = upper.offset;
	return upper.first;
}

// True for UDP with an IKE port.
static bool is_ike(struct rte_mbuf *mbuf, bool source)
{
	uint8_t protocol;
	uint32_t offset;

	if (!upper_find(mbuf, &protocol, &offset) || protocol != IPPROTO_UDP ||
	    mbuf->data_len < offset + sizeof(struct rte_udp_hdr))
		return false;
	const struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, offset);
	uint16_t port = rte_be_to_cpu_16(source ? udp->src_port : udp->dst_port);
	return port == IKE_PORT || port == IKE_NATT_PORT;
}

// Whether an IKE message names an SA that this gateway may have. Others are the first ones of an exchange, or
// made up. What is too short to tell counts as such.
static bool is_ike_own(struct rte_mbuf *mbuf)
{
	uint8_t protocol;
	uint32_t offset;
	rte_be64_t spi;

	if (!upper_find(mbuf, &protocol, &offset))
		return false;
	const struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(mbuf, const struct rte_udp_hdr *, offset);
	// At port 4500 behind the non-ESP marker (RFC 3948 2.2).
	uint32_t marker = rte_be_to_cpu_16(udp->dst_port) == IKE_NATT_PORT ? 4 : 0;
	offset += (uint32_t)sizeof(*udp) + marker;
	if (mbuf->data_len < offset + IKE_FLAGS_AT + 1)
		return false;
	const uint8_t *ike = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset);
	// The initiator's SPI stands first (RFC 7296 3.1).
	memcpy(&spi, ike[IKE_FLAGS_AT] & IKE_FLAG_INITIATOR ? ike + sizeof(spi) : ike, sizeof(spi));
	return td_ike_spi_is_own(rte_be_to_cpu_64(spi));
}

enum td_punt_class td_punt_classify(struct rte_mbuf *mbuf)
{
	uint8_t protocol = td_ip_protocol(mbuf);

	if (is_ike(mbuf, false))
		return is_ike_own(mbuf) ? TD_PUNT_IKE : TD_PUNT_IKE_FIRST;
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? TD_PUNT_ICMP : TD_PUNT_OTHER;
}

void td_punt_frame(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf, enum td_punt_class class)
{
	if (!td_bucket_take(
	        &worker->punt_buckets[class], worker->now_tsc, td_dp.tsc_hz, punt_classes[class].rate)) {
		td_drop(worker, mbuf, punt_classes[class].over);
		return;
	}
	td_packet(mbuf)->port = (uint8_t)port;
	if (unlikely(worker->watched) && !rte_ring_full(worker->punt[class]))
		td_trace_port(worker, mbuf, TD_TRACE_PUNTED, port);
	if (rte_ring_sp_enqueue(worker->punt[class], mbuf)) {
		td_drop(worker, mbuf, TD_DROP_PUNT_FULL);
		return;
	}
	td_counter_add(&worker->counters.punted, 1);
}

void td_punt(struct td_worker *worker, unsigned port, struct rte_mbuf *mbuf, enum td_punt_class class)
{
	uint8_t family = td_ip_family(mbuf);
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)rte_pktmbuf_prepend(mbuf, sizeof(*ether));

	if (!ether) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_ROOM);
		return;
	}
	// The frame that brought the packet may be gone (it was decrypted); the kernel only wants
	// to see its own MAC.
	*ether = (struct rte_ether_hdr){
	    .dst_addr = td_dp.ports[port].mac,
	    .src_addr = {.addr_bytes = {RTE_ETHER_LOCAL_ADMIN_ADDR}},
	    .ether_type = rte_cpu_to_be_16(family == 4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6),
	};
	td_punt_frame(worker, port, mbuf, class);
}

// ---- workers: from the kernel -----------------------------------------------------------------

// Neighbour discovery (RFC 4861) bypasses the policy, as ARP does. mbuf starts at its IP header.
static bool is_nd(struct rte_mbuf *mbuf)
{
	uint8_t protocol;
	uint32_t offset;

	if (td_ip_family(mbuf) != 6 || !upper_find(mbuf, &protocol, &offset) || protocol != IPPROTO_ICMPV6 ||
	    mbuf->data_len <= offset)
		return false;
	uint8_t type = *rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset);
	return type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT;
}

// One frame of the kernel. True: it is an IP packet that has to pass the outbound policy, and starts at its
// IP header now. Else it was sent or dropped.
static bool inject_frame(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint8_t port = td_packet(mbuf)->port;
	uint16_t type = rte_be_to_cpu_16(rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->ether_type);
	uint16_t total = 0;

	if (td_dp.ports[port].config.role == TD_ROLE_INSIDE || type == RTE_ETHER_TYPE_ARP) {
		td_tx(worker, port, mbuf);
		return false;
	}
	if (type != RTE_ETHER_TYPE_IPV4 && type != RTE_ETHER_TYPE_IPV6) {
		td_drop(worker, mbuf, TD_DROP_RX_ETHERTYPE);
		return false;
	}
	rte_pktmbuf_adj(mbuf, RTE_ETHER_HDR_LEN);
	enum td_drop reason = td_ip_check(rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len, false, &total);
	// The kernel's first packets on an interface have no source yet (DHCP, MLD); policy decides on them.
	if (reason != TD_DROP_COUNT && reason != TD_DROP_IP_SOURCE) {
		td_drop(worker, mbuf, reason);
		return false;
	}
	if (is_ike(mbuf, true) || is_nd(mbuf)) {
		rte_pktmbuf_prepend(mbuf, RTE_ETHER_HDR_LEN); // the header is still there
		td_tx(worker, port, mbuf);
		return false;
	}
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - total));
	return true;
}

void td_inject_stage(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct rte_mbuf *outbound[TD_BURST];
	unsigned outbound_count = 0;

	td_counter_add(&worker->counters.injected, count);
	for (unsigned i = 0; unlikely(worker->watched) && i < count; i++)
		if (!td_packet(mbufs[i])->own)
			td_observe_injected(worker, td_packet(mbufs[i])->port, mbufs[i]);
	for (unsigned i = 0; i < count; i++)
		if (td_packet(mbufs[i])->dummy)
			td_dummy_order(worker, mbufs[i]);
		else if (td_packet(mbufs[i])->own)
			td_forward(worker, &mbufs[i], 1, false);
		else if (inject_frame(worker, mbufs[i]))
			outbound[outbound_count++] = mbufs[i];
	td_outbound(worker, outbound, outbound_count);
}

// ---- control thread ---------------------------------------------------------------------------

// Delivers at most max packets of one ring.
static unsigned ring_deliver(struct rte_ring *ring, unsigned max, td_dp_punt_fn fn, void *context)
{
	struct rte_mbuf *mbufs[TD_BURST];
	unsigned delivered = 0, count;

	do {
		unsigned wanted = RTE_MIN(max - delivered, (unsigned)TD_BURST);

		count = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, wanted, NULL);
		for (unsigned i = 0; i < count; i++)
			if (!fn(context, td_packet(mbufs[i])->port,
			        rte_pktmbuf_mtod(mbufs[i], const uint8_t *), mbufs[i]->data_len))
				td_counter_add(&td_dp.control_drops[TD_DROP_PUNT_REFUSED], 1);
		rte_pktmbuf_free_bulk(mbufs, count);
		delivered += count;
	} while (count == TD_BURST && delivered < max);
	return delivered;
}

unsigned td_dp_punt_receive(unsigned max, td_dp_punt_fn fn, void *context)
{
	// Each worker and class gets its part, so that a flood on one does not starve another.
	unsigned share = RTE_MAX(max / td_dp.worker_count / TD_PUNT_CLASSES, 8u);
	unsigned received = 0;

	for (unsigned class = 0; class < TD_PUNT_CLASSES; class ++)
		for (unsigned i = 0; i < td_dp.worker_count; i++)
			received += ring_deliver(td_dp.workers[i]->punt[class], share, fn, context);
	return received;
}

static int inject_failed(int code)
{
	td_counter_add(&td_dp.control_drops[TD_DROP_INJECT_FULL], 1);
	return code;
}

int td_dp_inject(unsigned port, const uint8_t *frame, size_t length)
{
	if (length < RTE_ETHER_HDR_LEN || length > UINT16_MAX)
		return inject_failed(-EMSGSIZE);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);
	if (!mbuf)
		return inject_failed(-ENOMEM);
	char *data = rte_pktmbuf_append(mbuf, (uint16_t)length);
	if (!data) {
		rte_pktmbuf_free(mbuf);
		return inject_failed(-EMSGSIZE);
	}
	memcpy(data, frame, length);
	*td_packet(mbuf) = (struct td_packet){.port = (uint8_t)port, .kernel = true};
	if (rte_ring_sp_enqueue(td_dp.workers[port % td_dp.worker_count]->inject, mbuf)) {
		rte_pktmbuf_free(mbuf);
		return inject_failed(-ENOBUFS);
	}
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
// ESP outbound (RFC 4303 3.3), IPv4 tunnel mode: a burst of plain packets, each with its tunnel in
// td_packet, becomes a burst of sealed packets that go to forward.

#include "dataplane/esp.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

#define ESP_OUT_HANDOFFS_MAX 4

const uint8_t td_esp_padding[TD_ESP_PAD_MAX] = {
#define P(n)                                                                                                 \
	n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10, n + 11, n + 12, n + 13,    \
	    n + 14
    P(1), P(16), P(31), P(46), P(61), P(76), P(91), P(106), P(121), P(136), P(151), P(166), P(181), P(196),
    P(211), P(226), P(241)
#undef P
};

static bool limit_raise(
    struct td_worker *worker, const struct td_sa_out *sa, enum td_event_kind kind, enum td_limit_kind limit)
{
	struct td_event event = {
	    .kind = kind,
	    .limit = limit,
	    .spi = rte_be_to_cpu_32(sa->spi),
	    .tunnel = sa->tunnel->id,
	    .outbound = true,
	};

	return td_event_raise(worker, &event);
}

static void acquire_raise(struct td_worker *worker, uint32_t tunnel, const struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	struct td_event event = {
	    .kind = TD_EVENT_ACQUIRE,
	    .tunnel = tunnel,
	    .source = td_ip_from_v4(rte_be_to_cpu_32(ip->src_addr)),
	    .destination = td_ip_from_v4(rte_be_to_cpu_32(ip->dst_addr)),
	    .protocol = ip->next_proto_id,
	};

	if (td_bucket_take(&worker->acquire_bucket, worker->now_tsc, td_dp.tsc_hz, TD_ACQUIRE_EVENTS_PER_S))
		td_event_raise(worker, &event);
}

// The hard limit that was reached, or -1.
static int hard_limit(const struct td_sa_out *sa)
{
	if (sa->sequence >= td_sa_sequence_max(sa->esn))
		return TD_LIMIT_SEQUENCE;
	if (sa->limits.hard_packets && sa->sequence >= sa->limits.hard_packets)
		return TD_LIMIT_PACKETS;
	if (sa->limits.hard_bytes && sa->bytes >= sa->limits.hard_bytes)
		return TD_LIMIT_BYTES;
	return -1;
}

// The packet just counted reached a check value: stops the SA or raises the soft event, whichever is due.
static void limits_check(struct td_worker *worker, struct td_sa_out *sa)
{
	int hard = hard_limit(sa);

	if (hard >= 0) {
		__atomic_store_n(&sa->stopped, true, __ATOMIC_RELAXED);
		limit_raise(worker, sa, TD_EVENT_HARD_LIMIT, (enum td_limit_kind)hard);
		return;
	}
	enum td_limit_kind kind = TD_LIMIT_SEQUENCE;
	if (sa->limits.soft_packets && sa->sequence >= sa->limits.soft_packets)
		kind = TD_LIMIT_PACKETS;
	else if (sa->limits.soft_bytes && sa->bytes >= sa->limits.soft_bytes)
		kind = TD_LIMIT_BYTES;
	// Not queued: the next packet tries again.
	sa->soft_raised = limit_raise(worker, sa, TD_EVENT_SOFT_LIMIT, kind);
	td_sa_out_rearm(sa);
}

// Bytes in front of the plain packet.
static uint32_t header_length(const struct td_suite *suite)
{
	return (uint32_t)(sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_esp_hdr)) + suite->info.iv_bytes;
}

// Bytes of the ESP packet, outer header included, that carries length bytes.
static uint32_t sealed_length(const struct td_suite *suite, uint32_t length)
{
	uint32_t plain = RTE_ALIGN_CEIL(length + (uint32_t)sizeof(struct td_esp_trailer), suite->align);

	return header_length(suite) + plain + suite->info.icv_bytes;
}

// MTU of the port by which packets of an SA leave now; without a route forward will say so.
static uint32_t egress_mtu(const struct td_sa_out *sa)
{
	const struct td_adjacency *adjacency = td_fib_lookup(rte_be_to_cpu_32(sa->outer.dst_addr));

	if (!adjacency || adjacency->kind == TD_ADJ_LOCAL || adjacency->kind == TD_ADJ_BLACKHOLE)
		return TD_MTU_MAX;
	return td_dp.ports[adjacency->port].config.mtu;
}

// The outer header for one packet (RFC 4301 5.1.2.1): DSCP, ECN and DF are copied.
static void outer_fill(
    struct rte_ipv4_hdr *outer, const struct td_sa_out *sa, uint16_t total, uint8_t tos, rte_be16_t df)
{
	*outer = sa->outer;
	outer->type_of_service = tos;
	outer->total_length = rte_cpu_to_be_16(total);
	// An identification matters only where somebody may fragment (RFC 6864).
	outer->packet_id = df ? 0 : rte_cpu_to_be_16((uint16_t)sa->sequence);
	outer->fragment_offset = df;
	// One's complement sum of the template's and this packet's words (RFC 1071).
	uint32_t sum = (uint32_t)sa->outer.hdr_checksum + rte_cpu_to_be_16(tos) + outer->total_length +
	               outer->packet_id + df;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	outer->hdr_checksum = (uint16_t)~sum;
}

// Builds the ESP packet around the plain one and fills in *op. The room has been checked.
static void encapsulate(struct td_sa_out *sa, struct rte_mbuf *mbuf, struct td_crypt_op *op)
{
	const struct td_suite *suite = sa->suite;
	const struct rte_ipv4_hdr *inner = td_packet_ipv4(mbuf);
	uint32_t length = mbuf->data_len;
	uint32_t total = sealed_length(suite, length);
	uint8_t tos = inner->type_of_service;
	rte_be16_t df = inner->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	uint32_t header = header_length(suite);
	uint32_t tail = total - header - length;
	uint32_t pad = tail - suite->info.icv_bytes - (uint32_t)sizeof(struct td_esp_trailer);

	uint8_t *end = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)tail);
	memcpy(end, td_esp_padding, pad);
	end[pad] = (uint8_t)pad;
	end[pad + 1] = IPPROTO_IPIP;

	struct rte_ipv4_hdr *outer = (struct rte_ipv4_hdr *)rte_pktmbuf_prepend(mbuf, (uint16_t)header);
	struct rte_esp_hdr *esp = (struct rte_esp_hdr *)(outer + 1);
	td_counter_add(&sa->sequence, 1);
	td_counter_add(&sa->bytes, length);
	outer_fill(outer, sa, (uint16_t)total, tos, df);
	esp->spi = sa->spi;
	esp->seq = rte_cpu_to_be_32((uint32_t)sa->sequence);
	// Unique under the key because the sequence number is (RFC 4106 3.1).
	uint64_t iv = rte_cpu_to_be_64(sa->iv_base + sa->sequence);
	memcpy(esp + 1, &iv, sizeof(iv));

	op->schedule = sa->schedule;
	op->data = (uint8_t *)(esp + 1) + suite->info.iv_bytes;
	op->length = length + pad + (uint32_t)sizeof(struct td_esp_trailer);
	op->icv = op->data + op->length;
	memcpy(op->nonce, &sa->salt, sizeof(sa->salt));
	memcpy(op->nonce + sizeof(sa->salt), &iv, sizeof(iv));
	op->aad_length = td_esp_aad(op->aad, sa->spi, sa->sequence, sa->esn);
}

// The reason why a packet cannot be sealed on an SA of this worker, or TD_DROP_COUNT.
static enum td_drop admit(const struct td_sa_out *sa, const struct rte_mbuf *mbuf, uint32_t mtu)
{
	uint32_t total = sealed_length(sa->suite, mbuf->data_len);

	if (__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))
		return sa->sequence >= td_sa_sequence_max(sa->esn) ? TD_DROP_ESP_SEQUENCE
		                                                   : TD_DROP_ESP_OUT_EXPIRED;
	if (total > mtu)
		return TD_DROP_ESP_TOO_BIG;
	uint32_t header = header_length(sa->suite);
	if (rte_pktmbuf_headroom(mbuf) < header + RTE_ETHER_HDR_LEN ||
	    rte_pktmbuf_tailroom(mbuf) < total - header - mbuf->data_len)
		return TD_DROP_ESP_NO_ROOM;
	return TD_DROP_COUNT;
}

// The SA that this worker seals a packet with, or NULL: the packet was handed to its owner or dropped.
static struct td_sa_out *sa_select(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint32_t id = td_packet(mbuf)->tunnel;
	const struct td_dp_tunnel *tunnel = td_tunnel_at(id);
	// Pairs with the release in td_dp_tunnel_switch: the SA behind the pointer is complete.
	struct td_sa_out *sa = tunnel ? __atomic_load_n(&tunnel->out[worker->id], __ATOMIC_ACQUIRE) : NULL;

	if (!sa) {
		if (tunnel)
			acquire_raise(worker, id, mbuf);
		td_drop(worker, mbuf, TD_DROP_ESP_NO_SA);
		return NULL;
	}
	if (sa->owner != worker->id) {
		// The control thread writes the new owner's slot first, so one hand-off is enough but for a
		// switch back and forth in between.
		if (++td_packet(mbuf)->handoffs > ESP_OUT_HANDOFFS_MAX) {
			td_drop(worker, mbuf, TD_DROP_HANDOFF_LOOP);
			return NULL;
		}
		td_handoff(worker, sa->owner, mbuf, TD_STAGE_ESP_OUT);
		return NULL;
	}
	return sa;
}

void td_esp_out(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct td_crypt_op ops[TD_BURST];
	const struct td_suite *suites[TD_BURST];
	struct rte_mbuf *sealed[TD_BURST];
	const struct td_sa_out *last = NULL;
	uint32_t mtu = 0;
	uint64_t bytes = 0;
	unsigned ready = 0;

	for (unsigned i = 0; i < count; i++) {
		struct td_sa_out *sa = sa_select(worker, mbufs[i]);

		if (!sa)
			continue;
		if (sa != last) {
			mtu = egress_mtu(sa);
			last = sa;
		}
		enum td_drop reason = admit(sa, mbufs[i], mtu);
		if (reason != TD_DROP_COUNT) {
			td_drop(worker, mbufs[i], reason);
			continue;
		}
		encapsulate(sa, mbufs[i], &ops[ready]);
		if (unlikely(sa->sequence >= sa->check_sequence || sa->bytes >= sa->check_bytes))
			limits_check(worker, sa);
		bytes += mbufs[i]->data_len;
		suites[ready] = sa->suite;
		sealed[ready++] = mbufs[i];
	}
	for (unsigned start = 0, end; start < ready; start = end) {
		for (end = start + 1; end < ready && suites[end] == suites[start]; end++)
			;
		suites[start]->seal(worker->mgr, &ops[start], end - start);
	}
	td_counter_add(&worker->counters.esp_out_packets, ready);
	td_counter_add(&worker->counters.esp_out_bytes, bytes);
	td_forward(worker, sealed, ready, false);
}

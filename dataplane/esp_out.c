// SPDX-License-Identifier: BSD-3-Clause
// ESP and AH outbound (RFC 4303 3.3, RFC 4302 3.3): a burst of plain packets, each with its tunnel in
// td_packet, becomes a burst of sealed packets that go to forward.

#include "dataplane/ah.h"
#include "dataplane/esp.h"
#include "dataplane/esp_batch.h"
#include "dataplane/esp_tunnel.h"
#include "dataplane/ip_packet.h"
#include "dataplane/ipv6_esp.h"
#include "dataplane/sa.h"
#include "dataplane/selectors.h"
#include "dataplane/worker.h"

#include <netinet/in.h>

#define ESP_OUT_HANDOFFS_MAX 4

const uint8_t td_esp_padding[TD_ESP_PAD_MAX] = {
#define P(n)                                                                                                 \
	n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10, n + 11, n + 12, n + 13,    \
	    n + 14
    P(1), P(16), P(31), P(46), P(61), P(76), P(91), P(106), P(121), P(136), P(151), P(166), P(181), P(196),
    P(211), P(226), P(241)
#undef P
};

// How one packet is going to look.
struct plan {
	const struct td_outer *outer;
	uint32_t kept; // bytes of the packet that stay in front of ESP: its IP header in transport mode
	// Bytes put in front of, or behind, what is kept: outer headers, ESP header and IV, or AH.
	uint32_t front;
	uint32_t tfc; // bytes put behind the packet (RFC 4303 2.7)
	uint32_t pad; // bytes
	uint32_t tail; // TFC padding, padding, trailer and ICV; AH: 0
	uint32_t esp; // bytes from the ESP header, or AH, to the end
	uint16_t protocol_offset; // transport mode: of the byte that names what follows
	uint8_t next_header;
};

// ---- events and limits ------------------------------------------------------------------------

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
		(void)limit_raise(worker, sa, TD_EVENT_HARD_LIMIT, (enum td_limit_kind)hard);
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

// ---- planning ---------------------------------------------------------------------------------

// Transport mode puts ESP behind the IP header, for IPv6 behind the extension headers that routers read (RFC
// 4303 3.1.1). False: the packet has no place for it, or is not between the two ends.
static bool plan_transport(struct plan *plan, struct rte_mbuf *mbuf)
{
	const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	struct td_ip source = td_ip_source(mbuf), destination = td_ip_destination(mbuf);

	// The header stays as it is: a packet of others would miss the peer, or be refused there. One with
	// this gateway's address that it did not send itself would be taken for its own.
	if (!td_packet(mbuf)->kernel || !td_ip_equal(&source, &plan->outer->local) ||
	    !td_ip_equal(&destination, &plan->outer->remote))
		return false;
	if (td_ip_family(mbuf) == 4) {
		const struct rte_ipv4_hdr *ip = td_ipv4(mbuf);

		plan->kept = rte_ipv4_hdr_len(ip);
		plan->protocol_offset = offsetof(struct rte_ipv4_hdr, next_proto_id);
		// RFC 4303 3.3.4: transport mode works on whole packets only.
		if (ip->fragment_offset & rte_cpu_to_be_16((uint16_t)~RTE_IPV4_HDR_DF_FLAG))
			return false;
	} else {
		struct td_ipv6_split split;

		if (!td_ipv6_esp_place(packet, mbuf->data_len, &split))
			return false;
		plan->kept = split.offset;
		plan->protocol_offset = split.protocol_offset;
	}
	plan->next_header = packet[plan->protocol_offset];
	return true;
}

// Works out the sizes for a payload, TFC padding included.
static void plan_size(struct plan *plan, const struct td_sa_out *sa, uint32_t payload)
{
	const struct td_suite *suite = sa->suite;

	if (unlikely(suite->info.protocol == TD_SA_AH)) {
		uint32_t ah = td_ah_bytes(suite, plan->outer->remote.family);

		plan->front = plan->outer->ip_length + ah;
		plan->pad = plan->tail = 0;
		plan->esp = ah + payload;
		return;
	}
	uint32_t plain = RTE_ALIGN_CEIL(payload + (uint32_t)sizeof(struct td_esp_trailer), suite->align);
	uint32_t header = (uint32_t)sizeof(struct rte_esp_hdr) + suite->info.iv_bytes;

	plan->front = plan->outer->ip_length + plan->outer->udp_length + header;
	plan->pad = plain - payload - (uint32_t)sizeof(struct td_esp_trailer);
	plan->tail = plain - payload + plan->tfc + suite->info.icv_bytes;
	plan->esp = header + plain + suite->info.icv_bytes;
}

static bool plan_make(struct plan *plan, const struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	// Pairs with the release in td_dp_sa_out_move.
	plan->outer = __atomic_load_n(&sa->outer, __ATOMIC_ACQUIRE);
	plan->kept = plan->protocol_offset = 0;
	plan->tfc = 0;
	if (td_packet(mbuf)->dummy)
		plan->next_header = IPPROTO_NONE;
	else if (sa->mode == TD_SA_TUNNEL)
		plan->next_header = td_ip_family(mbuf) == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	else if (!plan_transport(plan, mbuf))
		return false;
	plan_size(plan, sa, mbuf->data_len - plan->kept);
	return true;
}

// The longest sealed packet that goes out now: MTU of the port towards the peer, or less where the path is
// known. Without a route forward will say so.
static uint32_t egress_mtu(const struct td_sa_out *sa, const struct td_ip *remote)
{
	const struct td_adjacency *adjacency =
	    remote->family == 4 ? td_fib_lookup(td_ip_v4(remote)) : td_fib_lookup6(remote->bytes);
	uint32_t pmtu = __atomic_load_n(&sa->tunnel->pmtu, __ATOMIC_RELAXED);

	if (!adjacency || adjacency->kind == TD_ADJ_LOCAL || adjacency->kind == TD_ADJ_BLACKHOLE)
		return TD_MTU_MAX;
	uint32_t mtu = td_dp.ports[adjacency->port].config.mtu;
	return pmtu && pmtu < mtu ? pmtu : mtu;
}

// The longest packet that, sealed like the planned one, fits an MTU.
static uint32_t inner_mtu(const struct td_sa_out *sa, const struct plan *plan, uint32_t mtu)
{
	if (sa->suite->info.protocol == TD_SA_AH)
		return mtu - plan->front;
	uint32_t room = mtu - plan->kept - plan->front - sa->suite->info.icv_bytes;

	return plan->kept + room / sa->suite->align * sa->suite->align -
	       (uint32_t)sizeof(struct td_esp_trailer);
}

// Pads a packet that is shorter than the tunnel wants, as far as path and buffer go (RFC 4303 2.7). Dummy
// packets are padding only.
static void plan_tfc(struct plan *plan, const struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	uint32_t goal = __atomic_load_n(&sa->tunnel->tfc, __ATOMIC_RELAXED);
	uint32_t length = mbuf->data_len, room = rte_pktmbuf_tailroom(mbuf);

	if (unlikely(td_packet(mbuf)->dummy) && goal == 0)
		goal = TD_DUMMY_BYTES;
	if (likely(goal <= length) || sa->mode != TD_SA_TUNNEL || sa->suite->info.protocol != TD_SA_ESP ||
	    room < plan->tail + sa->suite->align)
		return;
	goal = RTE_MIN(goal, length + room - plan->tail - sa->suite->align);
	goal = RTE_MIN(goal, inner_mtu(sa, plan, egress_mtu(sa, &plan->outer->remote)));
	if (goal <= length)
		return;
	plan->tfc = goal - length;
	plan_size(plan, sa, goal);
}

// The reason why a planned packet cannot be sealed, or TD_DROP_COUNT.
static enum td_drop admit(const struct td_sa_out *sa, const struct plan *plan, struct rte_mbuf *mbuf)
{
	if (__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))
		return sa->sequence >= td_sa_sequence_max(sa->esn) ? TD_DROP_ESP_SEQUENCE
		                                                   : TD_DROP_ESP_OUT_EXPIRED;
	if (rte_pktmbuf_headroom(mbuf) < plan->front + RTE_ETHER_HDR_LEN ||
	    rte_pktmbuf_tailroom(mbuf) < plan->tail)
		return TD_DROP_ESP_NO_ROOM;
	if (likely(sa->suite->info.protocol == TD_SA_ESP))
		return TD_DROP_COUNT;
	// A 64-bit sequence number is completed behind the packet while its ICV is computed.
	if (rte_pktmbuf_tailroom(mbuf) < sizeof(rte_be32_t))
		return TD_DROP_ESP_NO_ROOM;
	if (plan->kept && !td_ah_headers_valid(rte_pktmbuf_mtod(mbuf, uint8_t *), plan->kept))
		return TD_DROP_AH_HEADERS;
	return TD_DROP_COUNT;
}

// ---- building ---------------------------------------------------------------------------------

// Transport mode: the packet's own header says that ESP, UDP or AH follows and how long it is now.
static void header_patch(const struct plan *plan, uint8_t *start, uint32_t total)
{
	start[plan->protocol_offset] = plan->outer->protocol;
	if (*start >> 4 == 4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)start;

		ip->total_length = rte_cpu_to_be_16((uint16_t)total);
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	} else {
		((struct rte_ipv6_hdr *)start)->payload_len =
		    rte_cpu_to_be_16((uint16_t)(total - sizeof(struct rte_ipv6_hdr)));
	}
}

// Writes what lies in front of the ESP header, or AH; returns that one's place.
static uint8_t *front_build(const struct td_sa_out *sa, const struct plan *plan, struct rte_mbuf *mbuf)
{
	struct td_outer_inner inner =
	    td_esp_inner_fields(mbuf, mbuf->data_len - plan->tail, td_packet(mbuf)->dummy);
	uint8_t *start = (uint8_t *)rte_pktmbuf_prepend(mbuf, (uint16_t)plan->front);

	if (sa->mode == TD_SA_TUNNEL) {
		td_outer_fill(plan->outer, start, plan->esp, inner, (uint16_t)(sa->sequence + sa->iv_base));
		return start + plan->outer->ip_length + plan->outer->udp_length;
	}
	memmove(start, start + plan->front, plan->kept);
	header_patch(plan, start, mbuf->data_len);
	if (plan->outer->udp_length)
		td_outer_fill_udp(plan->outer, start + plan->kept, plan->esp);
	return start + plan->kept + plan->outer->udp_length;
}

// Writes AH with zeros for IV, ICV and padding, and says where the cryptography of its packet finds it.
static void ah_write(const struct td_sa_out *sa, const struct plan *plan, struct rte_mbuf *mbuf,
    uint8_t *start, struct td_crypt_op *op)
{
	uint32_t header = td_ah_bytes(sa->suite, plan->outer->remote.family);
	struct td_ah *ah = (struct td_ah *)start;

	memset(ah, 0, header);
	ah->next_header = plan->next_header;
	ah->words = (uint8_t)(header / 4 - 2);
	ah->spi = sa->spi;
	ah->sequence = rte_cpu_to_be_32((uint32_t)sa->sequence);
	op->esp = rte_pktmbuf_mtod(mbuf, uint8_t *);
	op->data = (uint8_t *)(ah + 1);
	op->length = plan->esp - (uint32_t)sizeof(*ah);
}

// Appends padding and trailer of ESP, and room for the ICV.
static void tail_write(const struct plan *plan, struct rte_mbuf *mbuf)
{
	uint8_t *end = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)plan->tail);

	// What a buffer held before stays here.
	memset(end, 0, plan->tfc);
	end += plan->tfc;
	memcpy(end, td_esp_padding, plan->pad);
	end[plan->pad] = (uint8_t)plan->pad;
	end[plan->pad + 1] = plan->next_header;
}

// Builds the ESP or AH packet around the plain one and fills in *op. The room has been checked.
static void encapsulate(
    struct td_sa_out *sa, const struct plan *plan, struct rte_mbuf *mbuf, struct td_crypt_op *op)
{
	const struct td_suite_info *info = &sa->suite->info;

	td_counter_add(&sa->sequence, 1);
	// RFC 4301 4.4.2.1: a lifetime in bytes is about all that the algorithm is applied to.
	td_counter_add(&sa->bytes, mbuf->data_len + plan->tfc);
	if (likely(info->protocol == TD_SA_ESP))
		tail_write(plan, mbuf);
	struct rte_esp_hdr *esp = (struct rte_esp_hdr *)front_build(sa, plan, mbuf);
	*op = (struct td_crypt_op){
	    .schedule = sa->schedule,
	    .esp = (uint8_t *)esp,
	    .data = (uint8_t *)(esp + 1) + info->iv_bytes,
	    .length = plan->esp - (uint32_t)sizeof(*esp) - info->iv_bytes - info->icv_bytes,
	    .sequence = sa->sequence,
	    .counter = sa->iv_base + sa->sequence,
	    .esn = sa->esn,
	};
	if (unlikely(info->protocol == TD_SA_AH)) {
		ah_write(sa, plan, mbuf, (uint8_t *)esp, op);
		return;
	}
	esp->spi = sa->spi;
	esp->seq = rte_cpu_to_be_32((uint32_t)sa->sequence);
}

// ---- the stage --------------------------------------------------------------------------------

// The SA that this worker seals a packet with, of the one that sas_find found, or NULL: the packet waits, was
// handed to its owner or dropped. The slot may have an SA before td_acquire_poll learns of it, so that others
// still wait: then it goes behind these.
static struct td_sa_out *sa_select(struct td_worker *worker, struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	uint32_t id = td_packet(mbuf)->tunnel;

	if (!sa && !td_tunnel_at(id)) {
		td_drop(worker, mbuf, TD_DROP_ESP_NO_SA);
		return NULL;
	}
	if (!sa || td_acquire_waits(worker, id)) {
		td_acquire_hold(worker, mbuf);
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

// A packet that does not fit the tunnel's MTU: its fragments take its place (RFC 4301 8.2), or the sender is
// told.
static void too_big(struct td_worker *worker, struct td_esp_batch *batch, struct td_sa_out *sa,
    struct rte_mbuf *mbuf, uint32_t mtu)
{
	struct rte_mbuf *fragments[TD_FRAGMENTS_MAX];

	// What came before goes before.
	td_esp_batch_finish(worker, batch);
	int count = td_cut(worker, mbuf, (uint16_t)mtu, fragments, TD_DROP_ESP_TOO_BIG);
	if (count == 0)
		td_counter_add(&sa->dropped, 1);
	td_esp_out_ready(worker, fragments, (unsigned)count);
}

// Without DF it may be sealed as it is, and what it becomes is cut: in transport mode, which protects whole
// packets (RFC 4303 3.3.4), and where the peer looks for ports that fragments of it would not show (RFC
// 4301 7).
static bool cut_later(const struct td_sa_out *sa, const struct td_outer *outer, struct rte_mbuf *mbuf)
{
	bool whole = sa->mode == TD_SA_TRANSPORT || ((td_packet(mbuf)->ports || sa->narrowed) &&
	                                                !(outer->remote.family == 4 && outer->df_set));

	return whole && td_ip_family(mbuf) == 4 &&
	       !(td_ipv4(mbuf)->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG));
}

// Every IPv6 sender may send 1280 bytes, whatever the path is known to carry (RFC 8200 5). So the packet that
// such a one becomes is cut, whose source is this gateway: an IPv6 one here (RFC 2473 7.1), an IPv4 one by
// forward, or on the way, where it has no DF.
static bool cut_sealed(const struct td_outer *outer, struct rte_mbuf *mbuf)
{
	return !td_packet(mbuf)->dummy && td_ip_family(mbuf) == 6 && mbuf->data_len <= TD_IPV6_MTU_MIN &&
	       !(outer->remote.family == 4 && outer->df_set);
}

// Whether the peer takes a packet on this SA. What it does not take goes nowhere: the tunnel has no other SA
// for it, and policy wants it protected.
static bool carries(const struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	struct td_packet *packet = td_packet(mbuf);

	if (!packet->selected && !packet->dummy)
		packet->selected = td_selectors_match(sa->selectors, mbuf, true);
	return packet->selected || packet->dummy;
}

static void refuse(struct td_worker *worker, struct td_sa_out *sa, struct rte_mbuf *mbuf, enum td_drop reason)
{
	td_counter_add(&sa->dropped, 1);
	td_drop(worker, mbuf, reason);
}

static void packet_seal(
    struct td_worker *worker, struct td_esp_batch *batch, struct td_sa_out *sa, struct rte_mbuf *mbuf)
{
	struct plan plan;

	if (unlikely(sa->narrowed) && !carries(sa, mbuf)) {
		refuse(worker, sa, mbuf, TD_DROP_POLICY_NARROWED);
		return;
	}
	if (!plan_make(&plan, sa, mbuf)) {
		refuse(worker, sa, mbuf, TD_DROP_ESP_TRANSPORT);
		return;
	}
	uint32_t mtu = egress_mtu(sa, &plan.outer->remote);
	bool fits = mbuf->data_len + plan.front + plan.tail <= mtu;
	if (unlikely(!fits) && !cut_later(sa, plan.outer, mbuf) && !cut_sealed(plan.outer, mbuf)) {
		too_big(worker, batch, sa, mbuf, inner_mtu(sa, &plan, mtu));
		return;
	}
	plan_tfc(&plan, sa, mbuf);
	enum td_drop reason = admit(sa, &plan, mbuf);
	if (reason != TD_DROP_COUNT) {
		refuse(worker, sa, mbuf, reason);
		return;
	}
	bool cut = !fits && plan.outer->remote.family == 6;
	// It is sealed alone: what came before goes before.
	if (unlikely(cut))
		td_esp_batch_finish(worker, batch);
	encapsulate(sa, &plan, mbuf, &batch->ops[batch->count]);
	if (unlikely(td_packet(mbuf)->dummy)) {
		td_counter_add(&sa->dummies, 1);
		td_counter_add(&worker->counters.dummies_out, 1);
	}
	if (unlikely(td_sa_out_is_due(sa)))
		limits_check(worker, sa);
	uint16_t udp = 0;
	if (plan.outer->udp_length && td_ip_family(mbuf) == 6)
		udp = (uint16_t)(plan.kept + plan.outer->ip_length);
	td_esp_batch_add(batch, sa, mbuf, NULL, udp);
	if (unlikely(cut))
		td_esp_batch_finish_cut(worker, batch, (uint16_t)mtu, (uint32_t)(sa->sequence + sa->iv_base));
}

// The current outbound SA of each packet's tunnel, NULL where there is none. Whatever the packets will need
// of tunnels and SAs that are not in the cache is fetched for all of them at once.
static void sas_find(
    const struct td_worker *worker, struct rte_mbuf **mbufs, struct td_sa_out **sas, unsigned count)
{
	const struct td_dp_tunnel *tunnels[TD_BURST], *tunnel = NULL;
	struct td_sa_out *sa = NULL;
	uint32_t last = UINT32_MAX;

	// The packet before is remembered in a variable: what was just stored takes longer to read again.
	for (unsigned i = 0; i < count; i++) {
		uint32_t id = td_packet(mbufs[i])->tunnel;

		if (unlikely(id != last)) {
			last = id;
			tunnel = td_tunnel_at(id);
			rte_prefetch0(tunnel);
		}
		tunnels[i] = tunnel;
	}
	tunnel = NULL;
	for (unsigned i = 0; i < count; i++) {
		if (unlikely(tunnels[i] != tunnel)) {
			tunnel = tunnels[i];
			// Pairs with the release in td_dp_tunnel_switch: the SA behind the pointer is
			// complete.
			sa = tunnel ? __atomic_load_n(&tunnel->out[worker->id], __ATOMIC_ACQUIRE) : NULL;
			if (sa)
				td_sa_out_prefetch(sa);
		}
		sas[i] = sa;
	}
	sa = NULL;
	for (unsigned i = 0; i < count; i++)
		if (unlikely(sas[i] != sa)) {
			sa = sas[i];
			if (sa)
				td_sa_out_prefetch_more(sa);
		}
}

void td_esp_out_ready(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct td_sa_out *sas[TD_BURST];
	struct td_esp_batch batch;

	td_esp_batch_init(&batch);
	sas_find(worker, mbufs, sas, count);
	for (unsigned i = 0; i < count; i++) {
		struct td_sa_out *sa = sas[i];

		if (likely(sa && sa->owner == worker->id) &&
		    likely(!td_acquire_waits(worker, td_packet(mbufs[i])->tunnel))) {
			if (unlikely(!td_esp_tunnel_seal(&batch, sa, mbufs[i])))
				packet_seal(worker, &batch, sa, mbufs[i]);
			else if (unlikely(td_sa_out_is_due(sa)))
				limits_check(worker, sa);
			continue;
		}
		sa = sa_select(worker, sa, mbufs[i]);
		if (sa)
			packet_seal(worker, &batch, sa, mbufs[i]);
	}
	td_esp_batch_finish(worker, &batch);
}

void td_esp_out(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	// What waited for an SA goes before what came later.
	td_acquire_poll(worker);
	td_esp_out_ready(worker, mbufs, count);
}

void td_esp_out_dummies(struct td_worker *worker, struct td_sa_out **sas, unsigned count)
{
	struct td_esp_batch batch;

	td_esp_batch_init(&batch);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(td_dp.pool);

		// Then true packets need the buffers more.
		if (!mbuf)
			break;
		*td_packet(mbuf) = (struct td_packet){.tunnel = sas[i]->tunnel->id, .dummy = true};
		packet_seal(worker, &batch, sas[i], mbuf);
		sas[i]->dummy_sequence = sas[i]->sequence;
	}
	td_esp_batch_finish(worker, &batch);
}

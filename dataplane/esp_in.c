// SPDX-License-Identifier: BSD-3-Clause
// ESP and AH inbound (RFC 4303 3.4, RFC 4302 3.4): a burst of packets that start at their outer IP header
// becomes a burst of inner packets that go to inward. The order is that of the RFC: look up, check the replay
// window, authenticate, and only then check again and change anything of the SA.

#include "dataplane/ah.h"
#include "dataplane/esp.h"
#include "dataplane/ip_packet.h"
#include "dataplane/policy_hits.h"
#include "dataplane/sa.h"
#include "dataplane/selectors.h"
#include "dataplane/worker.h"

#include <netinet/in.h>

// One packet of the burst between lookup and the verdict.
struct pending {
	struct rte_mbuf *mbuf;
	struct td_sa_in *sa;
	uint64_t sequence;
	uint16_t outer_length; // bytes of the ESP packet
	struct td_ip source; // outer; UDP-encapsulated
	rte_be16_t source_port; // UDP-encapsulated
	uint8_t outer_tos;
	bool dummy; // no inner packet (RFC 4303 2.6)
};

static bool sa_event_raise(struct td_worker *worker, const struct td_sa_in *sa, struct td_event event)
{
	event.spi = sa->spi;
	event.tunnel = sa->tunnel->id;
	return td_event_raise(worker, &event);
}

// ---- lookup -----------------------------------------------------------------------------------

// Another worker's SA: the packet goes there. False: no worker has it.
static bool owner_find(struct td_worker *worker, struct rte_mbuf *mbuf, uint32_t spi)
{
	unsigned named = td_dp_spi_owner(spi);

	// The worker that the SPI names, then the others: an SPI that somebody else chose names anybody.
	for (unsigned i = 0; i <= td_dp.worker_count; i++) {
		unsigned other = i == 0 ? named : i - 1;

		if (other < td_dp.worker_count && other != worker->id && (i == 0 || other != named) &&
		    td_spi_table_find(&td_dp.workers[other]->spi_table, spi)) {
			td_handoff(worker, other, mbuf, TD_STAGE_ESP_IN);
			return true;
		}
	}
	return false;
}

static bool is_late(const struct td_worker *worker, uint32_t spi)
{
	uint32_t now_s = (uint32_t)(worker->now_tsc / td_dp.tsc_hz);

	for (unsigned i = 0; i < td_dp.worker_count; i++)
		if (td_spi_table_is_late(&td_dp.workers[i]->spi_table, spi, now_s))
			return true;
	return false;
}

static void unknown_spi(struct td_worker *worker, struct rte_mbuf *mbuf, uint32_t spi)
{
	bool late = spi >= TD_SPI_MIN && is_late(worker, spi);
	struct td_event event = {
	    .kind = TD_EVENT_UNKNOWN_SPI,
	    .spi = spi,
	    .port = td_packet(mbuf)->port,
	    .source = td_ip_source(mbuf),
	    .destination = td_ip_destination(mbuf),
	};

	if (!late && td_bucket_take(&worker->unknown_spi_bucket, worker->now_tsc, td_dp.tsc_hz,
	                 TD_UNKNOWN_SPI_EVENTS_PER_S))
		td_event_raise(worker, &event);
	td_drop(worker, mbuf, late ? TD_DROP_ESP_SPI_LATE : TD_DROP_ESP_SPI_UNKNOWN);
}

// A packet for which this worker has no SA: it is handed to the owner of one, or dropped.
static void sa_missing(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	uint16_t offset = td_packet(mbuf)->esp_offset;

	if (mbuf->data_len < offset + sizeof(struct rte_esp_hdr)) {
		td_drop(worker, mbuf, TD_DROP_ESP_SHORT);
		return;
	}
	uint32_t spi =
	    rte_be_to_cpu_32(rte_pktmbuf_mtod_offset(mbuf, const struct rte_esp_hdr *, offset)->spi);
	if (spi < TD_SPI_MIN || !owner_find(worker, mbuf, spi))
		unknown_spi(worker, mbuf, spi);
}

// ---- checks before authentication -------------------------------------------------------------

static enum td_drop replay_reason(enum td_replay_verdict verdict)
{
	return verdict == TD_REPLAY_OLD ? TD_DROP_ESP_REPLAY_OLD : TD_DROP_ESP_REPLAY;
}

// Whether the outer addresses are the SA's. Behind a NAT the source is whatever the NAT made of it: there the
// ICV alone says who sent the packet.
static inline bool outer_matches(const struct td_sa_in *sa, struct rte_mbuf *mbuf)
{
	uint8_t family = td_ip_family(mbuf);

	if (family != sa->outer_family)
		return false;
	if (likely(family == 4))
		return memcmp(&td_ipv4(mbuf)->dst_addr, sa->local, 4) == 0 &&
		       (sa->udp || memcmp(&td_ipv4(mbuf)->src_addr, sa->remote, 4) == 0);
	return memcmp(td_ipv6(mbuf)->dst_addr, sa->local, 16) == 0 &&
	       (sa->udp || memcmp(td_ipv6(mbuf)->src_addr, sa->remote, 16) == 0);
}

// The header and what is in front of it. A longer header than this gateway sends is fine where its padding is
// that of the other IP version: Linux pads so, and the ICV covers the padding.
static enum td_drop ah_check(const struct td_suite *suite, struct rte_mbuf *mbuf)
{
	uint32_t offset = td_packet(mbuf)->esp_offset - (uint32_t)offsetof(struct td_ah, spi);
	uint32_t bytes = td_ah_received_bytes(rte_pktmbuf_mtod_offset(mbuf, const struct td_ah *, offset));

	if (bytes < td_ah_least_bytes(suite) || bytes > td_ah_bytes(suite, 6) ||
	    offset + bytes > mbuf->data_len)
		return TD_DROP_ESP_SHORT;
	if (!td_ah_headers_valid(rte_pktmbuf_mtod(mbuf, uint8_t *), offset))
		return TD_DROP_AH_HEADERS;
	return rte_pktmbuf_tailroom(mbuf) < sizeof(rte_be32_t) ? TD_DROP_ESP_NO_ROOM : TD_DROP_COUNT;
}

// What the cryptography of an AH packet works on, in place of what it is for ESP.
static void ah_place(struct td_crypt_op *op, struct rte_mbuf *mbuf)
{
	op->data = op->esp - offsetof(struct td_ah, spi) + sizeof(struct td_ah);
	op->esp = rte_pktmbuf_mtod(mbuf, uint8_t *);
	op->length = (uint32_t)(op->esp + mbuf->data_len - op->data);
}

// Checks what can be checked cheaply and fills in *op and *pending. Returns TD_DROP_COUNT when the
// packet goes on to decryption.
static __rte_always_inline enum td_drop prepare(
    struct td_sa_in *sa, struct rte_mbuf *mbuf, struct pending *pending, struct td_crypt_op *op)
{
	const struct td_suite *suite = sa->suite;
	uint32_t offset = td_packet(mbuf)->esp_offset;
	uint8_t *start = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, offset);
	const struct rte_esp_hdr *esp = (const struct rte_esp_hdr *)start;
	uint32_t fixed = offset + (uint32_t)sizeof(*esp) + suite->info.iv_bytes + suite->info.icv_bytes;

	if (td_packet(mbuf)->protocol != suite->info.protocol)
		return TD_DROP_ESP_PROTOCOL;
	if (unlikely(suite->info.protocol == TD_SA_AH)) {
		enum td_drop reason = ah_check(suite, mbuf);

		if (reason != TD_DROP_COUNT)
			return reason;
	} else if (mbuf->data_len < fixed + sizeof(struct td_esp_trailer) ||
	           (mbuf->data_len - fixed) % suite->align) {
		return TD_DROP_ESP_SHORT;
	}
	if (__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))
		return TD_DROP_ESP_IN_EXPIRED;
	if (td_packet(mbuf)->udp != sa->udp)
		return TD_DROP_ESP_ENCAPSULATION;
	if (!outer_matches(sa, mbuf))
		return TD_DROP_ESP_OUTER;
	uint32_t low = rte_be_to_cpu_32(esp->seq);
	uint64_t sequence = sa->esn ? td_replay_infer(&sa->replay, low) : low;
	enum td_replay_verdict verdict = td_replay_check(&sa->replay, sa->bitmap, sequence);
	if (verdict != TD_REPLAY_OK) {
		td_counter_add(&sa->replayed, 1);
		return replay_reason(verdict);
	}
	pending->mbuf = mbuf;
	pending->sa = sa;
	pending->sequence = sequence;
	pending->outer_length = mbuf->data_len;
	pending->outer_tos = td_ip_tos(mbuf);
	pending->dummy = false;
	if (unlikely(sa->udp)) {
		pending->source = td_ip_source(mbuf);
		pending->source_port =
		    ((const struct rte_udp_hdr *)(start - sizeof(struct rte_udp_hdr)))->src_port;
	}
	*op = (struct td_crypt_op){
	    .schedule = sa->schedule,
	    .esp = start,
	    .data = start + sizeof(*esp) + suite->info.iv_bytes,
	    .length = mbuf->data_len - fixed,
	    .sequence = sequence,
	    .esn = sa->esn,
	};
	if (unlikely(suite->info.protocol == TD_SA_AH))
		ah_place(op, mbuf);
	return TD_DROP_COUNT;
}

// ---- after decryption -------------------------------------------------------------------------

static void auth_failed(struct td_worker *worker, const struct pending *pending)
{
	struct td_sa_in *sa = pending->sa;

	// Failures change no state of the SA but these counters.
	td_counter_add(&sa->auth_failed, 1);
	if (worker->now_tsc - sa->burst_start_tsc > td_dp.tsc_hz) {
		sa->burst_start_tsc = worker->now_tsc;
		sa->burst_failures = 0;
	}
	if (++sa->burst_failures == TD_AUTH_BURST) {
		sa_event_raise(worker, sa,
		    (struct td_event){
		        .kind = TD_EVENT_AUTH_BURST,
		        .count = TD_AUTH_BURST,
		        .source = td_ip_source(pending->mbuf),
		    });
	}
}

// The packet just counted reached a check value.
static void limits_check(struct td_worker *worker, struct td_sa_in *sa)
{
	bool hard_packets = sa->limits.hard_packets && sa->packets >= sa->limits.hard_packets;
	bool hard_bytes = sa->limits.hard_bytes && sa->bytes >= sa->limits.hard_bytes;
	bool soft_packets = sa->limits.soft_packets && sa->packets >= sa->limits.soft_packets;

	if (hard_packets || hard_bytes) {
		__atomic_store_n(&sa->stopped, true, __ATOMIC_RELAXED);
		sa_event_raise(worker, sa,
		    (struct td_event){
		        .kind = TD_EVENT_HARD_LIMIT,
		        .limit = hard_packets ? TD_LIMIT_PACKETS : TD_LIMIT_BYTES,
		    });
		return;
	}
	// Not queued: the next packet tries again.
	sa->soft_raised = sa_event_raise(worker, sa,
	    (struct td_event){
	        .kind = TD_EVENT_SOFT_LIMIT,
	        .limit = soft_packets ? TD_LIMIT_PACKETS : TD_LIMIT_BYTES,
	    });
	sa->check_packets = td_limit_next(sa->limits.soft_packets, sa->limits.hard_packets, sa->soft_raised);
	sa->check_bytes = td_limit_next(sa->limits.soft_bytes, sa->limits.hard_bytes, sa->soft_raised);
}

// The packet authenticated, is no replay and carries what it may: the one place where an inbound SA moves on.
static void sa_advance(struct td_worker *worker, struct td_sa_in *sa, uint64_t sequence, uint32_t bytes)
{
	td_replay_advance(&sa->replay, sa->bitmap, sequence);
	td_counter_add(&sa->packets, 1);
	td_counter_add(&sa->bytes, bytes);
	// Not queued: the next packet tries again.
	if (unlikely(!sa->used))
		sa->used = sa_event_raise(worker, sa, (struct td_event){.kind = TD_EVENT_FIRST_USE});
	if (unlikely(sa->packets >= sa->check_packets || sa->bytes >= sa->check_bytes))
		limits_check(worker, sa);
}

// 1, 2, 3, ... in front of the trailer, which is length bytes from the start of the data.
static inline bool padding_valid(const uint8_t *trailer, uint32_t length)
{
	uint32_t pad = trailer[0];
	uint64_t word;

	if (unlikely(pad + sizeof(struct td_esp_trailer) > length))
		return false;
	if (pad == 0)
		return true;
	if (unlikely(pad > sizeof(word)))
		return memcmp(trailer - pad, td_esp_padding, pad) == 0;
	// All at once: at least the ESP header stands in front of the data, so that there is a word to read.
	// Its last bytes, on this little-endian CPU the upper ones, are the padding.
	memcpy(&word, trailer - sizeof(word), sizeof(word));
	return (word ^ 0x0807060504030201ull << (64 - 8 * pad)) >> (64 - 8 * pad) == 0;
}

// A UDP-encapsulated peer sent its newest packet from another address or port: outbound packets are to follow
// it (RFC 3948 and RFC 7296 2.23). Not queued: the next packet tells again.
static void peer_follow(struct td_worker *worker, struct td_sa_in *sa, const struct pending *pending)
{
	// Another SA of the tunnel may have moved the peer since this one last told where it is.
	uint32_t generation = __atomic_load_n(&sa->tunnel->peer_generation, __ATOMIC_RELAXED);

	if (sa->replay.top != pending->sequence || pending->source_port == 0 ||
	    (sa->peer_generation == generation && sa->peer_port == pending->source_port &&
	        memcmp(sa->remote, pending->source.bytes, sizeof(sa->remote)) == 0))
		return;
	struct td_event event = {
	    .kind = TD_EVENT_PEER_MOVED,
	    .source = pending->source,
	    .source_port = rte_be_to_cpu_16(pending->source_port),
	};
	if (sa_event_raise(worker, sa, event)) {
		sa->peer_generation = generation;
		sa->peer_port = pending->source_port;
		memcpy(sa->remote, pending->source.bytes, sizeof(sa->remote));
	}
}

// Tunnel mode: the inner packet starts where the data does. What lies behind its own length is traffic
// flow confidentiality padding (RFC 4303 2.7).
static inline enum td_drop unwrap_tunnel(
    const struct pending *pending, const uint8_t *data, uint32_t length, uint8_t next_header)
{
	struct rte_mbuf *mbuf = pending->mbuf;
	uint16_t total;

	if (next_header != IPPROTO_IPIP && next_header != IPPROTO_IPV6)
		return TD_DROP_ESP_NEXT_HEADER;
	if (length == 0 || *data >> 4 != (next_header == IPPROTO_IPIP ? 4 : 6) ||
	    td_ip_check(data, length, true, &total) != TD_DROP_COUNT)
		return TD_DROP_ESP_INNER;
	td_ip_clip(mbuf, (uint32_t)(data - rte_pktmbuf_mtod(mbuf, uint8_t *)), total);
	if (td_ip_is_link_scope(mbuf))
		return TD_DROP_ESP_INNER;
	uint8_t inner = td_ip_tos(mbuf) & TD_ECN_MASK;
	int ecn = td_ecn_decapsulate(pending->outer_tos & TD_ECN_MASK, inner);
	if (ecn < 0)
		return TD_DROP_ESP_ECN;
	if (ecn != inner)
		td_ip_set_ecn(mbuf, (uint8_t)ecn);
	return TD_DROP_COUNT;
}

// How much of the data of a transport mode packet is its own: UDP says how long it is, and traffic flow
// confidentiality padding may follow (RFC 4303 2.7). Other protocols leave their length to IP.
static uint32_t transport_length(const uint8_t *data, uint32_t length, uint8_t next_header)
{
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)data;

	if (next_header != IPPROTO_UDP || length < sizeof(*udp))
		return length;
	uint32_t own = rte_be_to_cpu_16(udp->dgram_len);
	return own >= sizeof(*udp) && own < length ? own : length;
}

// Transport mode: the IP header, with all that is kept in front of UDP, ESP or AH, moves up to the data.
static enum td_drop unwrap_transport(
    const struct pending *pending, uint8_t *data, uint32_t length, uint8_t next_header)
{
	struct rte_mbuf *mbuf = pending->mbuf;
	const struct td_packet *packet = td_packet(mbuf);
	uint8_t *start = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t ahead = packet->protocol == TD_SA_AH ? (uint32_t)offsetof(struct td_ah, spi)
	                 : packet->udp                ? (uint32_t)sizeof(struct rte_udp_hdr)
	                                              : 0;
	uint32_t kept = packet->esp_offset - ahead;
	uint32_t gap = (uint32_t)(data - start) - kept;

	length = transport_length(data, length, next_header);
	start[packet->protocol_offset] = next_header;
	memmove(start + gap, start, kept);
	rte_pktmbuf_adj(mbuf, (uint16_t)gap);
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - kept - length));
	if (td_ip_family(mbuf) == 4) {
		struct rte_ipv4_hdr *ip = td_ipv4(mbuf);

		ip->total_length = rte_cpu_to_be_16((uint16_t)(kept + length));
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	} else {
		td_ipv6(mbuf)->payload_len =
		    rte_cpu_to_be_16((uint16_t)(kept + length - sizeof(struct rte_ipv6_hdr)));
	}
	if (packet->udp)
		td_ip_fix_upper_checksum(mbuf, kept, next_header);
	return TD_DROP_COUNT;
}

// Lays the inner packet bare. Returns TD_DROP_COUNT when it is fit to go on.
static enum td_drop unwrap(const struct pending *pending, const struct td_crypt_op *op)
{
	uint32_t length = op->length;
	uint8_t *data = op->data, next_header;

	if (likely(pending->sa->suite->info.protocol == TD_SA_ESP)) {
		const uint8_t *trailer = data + length - sizeof(struct td_esp_trailer);

		if (!padding_valid(trailer, length))
			return TD_DROP_ESP_PAD;
		next_header = trailer[1];
		if (next_header == IPPROTO_NONE)
			return TD_DROP_ESP_DUMMY; // RFC 4303 2.6
		length -= (uint32_t)sizeof(struct td_esp_trailer) + trailer[0];
	} else {
		const struct td_ah *ah = (const struct td_ah *)(data - sizeof(*ah));
		uint32_t field = td_ah_received_bytes(ah) - (uint32_t)sizeof(*ah);

		next_header = ah->next_header;
		data += field;
		length -= field;
	}
	if (pending->sa->mode == TD_SA_TUNNEL)
		return unwrap_tunnel(pending, data, length, next_header);
	return unwrap_transport(pending, data, length, next_header);
}

// The second look at what other packets of this burst may have changed meanwhile: the replay window
// (RFC 4303 3.4.3) and the limits. Then the packet counts. TD_DROP_COUNT: accepted.
static enum td_drop admit(struct td_worker *worker, const struct pending *pending, uint32_t bytes)
{
	struct td_sa_in *sa = pending->sa;
	enum td_replay_verdict verdict = td_replay_check(&sa->replay, sa->bitmap, pending->sequence);

	if (verdict != TD_REPLAY_OK) {
		td_counter_add(&sa->replayed, 1);
		return replay_reason(verdict);
	}
	if (unlikely(__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))) {
		td_counter_add(&sa->rejected, 1);
		return TD_DROP_ESP_IN_EXPIRED;
	}
	sa_advance(worker, sa, pending->sequence, bytes);
	if (sa->udp)
		peer_follow(worker, sa, pending);
	return TD_DROP_COUNT;
}

// The verdict on one decrypted packet, before policy. TD_DROP_COUNT: an inner packet lies bare, or it is a
// dummy.
static enum td_drop reveal(struct td_worker *worker, struct pending *pending, const struct td_crypt_op *op)
{
	if (!op->authentic) {
		if (unlikely(worker->watched))
			td_trace_code(worker, pending->mbuf, TD_TRACE_ICV, false);
		auth_failed(worker, pending);
		return TD_DROP_ESP_AUTH;
	}
	enum td_drop reason = unwrap(pending, op);
	if (reason == TD_DROP_ESP_DUMMY) {
		pending->dummy = true;
		return TD_DROP_COUNT;
	}
	if (reason != TD_DROP_COUNT) {
		td_counter_add(&pending->sa->malformed, 1);
		if (unlikely(worker->watched))
			td_trace_code(worker, pending->mbuf, TD_TRACE_ICV, true);
	}
	return reason;
}

// Decrypts a burst. The packets whose inner packet lies bare move to the front; returns how many.
static unsigned open_all(
    struct td_worker *worker, struct pending *pending, struct td_crypt_op *ops, unsigned count)
{
	unsigned bare = 0;

	for (unsigned start = 0, end; start < count; start = end) {
		const struct td_suite *suite = pending[start].sa->suite;

		for (end = start + 1; end < count && pending[end].sa->suite == suite; end++)
			;
		suite->open(worker->mgr, &ops[start], end - start);
	}
	for (unsigned i = 0; i < count; i++) {
		enum td_drop reason = reveal(worker, &pending[i], &ops[i]);

		if (unlikely(reason != TD_DROP_COUNT)) {
			td_drop(worker, pending[i].mbuf, reason);
			continue;
		}
		if (unlikely(bare != i))
			pending[bare] = pending[i];
		bare++;
	}
	return bare;
}

// The inner packet must be one that policy sends through this very tunnel, and that its peer has agreed to
// for this SA (RFC 4301 5.2 step 4).
static bool selector_matches(
    const struct td_policy_rule *rule, const struct td_sa_in *sa, const struct rte_mbuf *mbuf)
{
	return rule && rule->action == TD_POLICY_PROTECT && rule->tunnel == sa->tunnel &&
	       (likely(!sa->narrowed) || td_selectors_match(sa->selectors, mbuf, false));
}

// The last word on a decrypted packet, in the order of arrival. TD_DROP_COUNT: it goes inward.
static enum td_drop verdict(
    struct td_worker *worker, const struct pending *pending, const struct td_policy_rule *rule)
{
	if (!pending->dummy && !selector_matches(rule, pending->sa, pending->mbuf)) {
		td_counter_add(&pending->sa->policy_failed, 1);
		return TD_DROP_POLICY_SELECTOR;
	}
	enum td_drop reason = admit(worker, pending, pending->dummy ? 0 : pending->mbuf->data_len);
	return reason == TD_DROP_COUNT && pending->dummy ? TD_DROP_ESP_DUMMY : reason;
}

static void opened_trace(struct td_worker *worker, const struct pending *pending,
    const struct td_policy_rule *const *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = pending[i].mbuf;

		td_trace_code(worker, mbuf, TD_TRACE_ICV, true);
		if (pending[i].dummy)
			continue;
		td_trace_opened(worker, mbuf);
		td_trace_policy(worker, false, &mbuf, rules++, 1);
	}
}

static void conclude(struct td_worker *worker, const struct pending *pending, unsigned count)
{
	const struct td_policy_rule *rules[TD_BURST], **rule = rules;
	struct rte_mbuf *inner[TD_BURST];
	unsigned opened = 0, passed = 0;
	uint64_t bytes = 0;

	// Dummies hold nothing that policy could decide on, or count.
	for (unsigned i = 0; i < count; i++)
		if (likely(!pending[i].dummy))
			inner[opened++] = pending[i].mbuf;
	td_policy_find(worker, false, inner, rules, opened);
	td_policy_hits_count(worker, rules, opened);
	if (unlikely(worker->watched))
		opened_trace(worker, pending, rules, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = pending[i].mbuf;
		enum td_drop reason = verdict(worker, &pending[i], pending[i].dummy ? NULL : *rule++);

		if (reason != TD_DROP_COUNT) {
			td_drop(worker, mbuf, reason);
			continue;
		}
		bytes += pending[i].outer_length;
		td_packet(mbuf)->decrypted = true;
		inner[passed++] = mbuf;
	}
	td_counter_add(&worker->counters.esp_in_packets, passed);
	td_counter_add(&worker->counters.esp_in_bytes, bytes);
	td_inward(worker, inner, passed);
}

// The packet still starts at its outer header. What came too short to tell a sequence number never had its
// window looked at.
static void prepared_trace(
    struct td_worker *worker, const struct td_sa_in *sa, struct rte_mbuf *mbuf, enum td_drop reason)
{
	uint32_t low = rte_be_to_cpu_32(
	    rte_pktmbuf_mtod_offset(mbuf, const struct rte_esp_hdr *, td_packet(mbuf)->esp_offset)->seq);
	enum td_trace_replay verdict = TD_TRACE_REPLAY_NONE;

	if (reason == TD_DROP_COUNT)
		verdict = TD_TRACE_REPLAY_OK;
	else if (reason == TD_DROP_ESP_REPLAY)
		verdict = TD_TRACE_REPLAY_SEEN;
	else if (reason == TD_DROP_ESP_REPLAY_OLD)
		verdict = TD_TRACE_REPLAY_OLD;
	td_trace_sa(worker, mbuf, TD_TRACE_ESP_IN, sa->spi, sa->tunnel->id,
	    sa->esn ? td_replay_infer(&sa->replay, low) : low, verdict);
}

// This worker's SA for each packet, NULL where there is none or the packet does not tell. Whatever the
// packets will need of SAs that are not in the cache is fetched for all of them at once.
static void sas_find(
    const struct td_worker *worker, struct rte_mbuf **mbufs, struct td_sa_in **sas, unsigned count)
{
	uint32_t spis[TD_BURST], last = 0;
	struct td_sa_in *sa = NULL;

	for (unsigned i = 0; i < count; i++) {
		uint16_t offset = td_packet(mbufs[i])->esp_offset;

		spis[i] = 0;
		if (likely(mbufs[i]->data_len >= offset + sizeof(struct rte_esp_hdr)))
			spis[i] = rte_be_to_cpu_32(
			    rte_pktmbuf_mtod_offset(mbufs[i], const struct rte_esp_hdr *, offset)->spi);
		if (unlikely(spis[i] != last))
			td_spi_table_prefetch(&worker->spi_table, spis[i]);
		last = spis[i];
	}
	// The packet before is remembered in variables: what was just stored takes longer to read again. SPI
	// 0 marks an empty slot of the table.
	last = 0;
	for (unsigned i = 0; i < count; i++) {
		if (unlikely(spis[i] != last)) {
			last = spis[i];
			sa = last ? td_spi_table_find(&worker->spi_table, last) : NULL;
			if (sa)
				td_sa_in_prefetch(sa);
		}
		sas[i] = sa;
	}
	sa = NULL;
	for (unsigned i = 0; i < count; i++)
		if (unlikely(sas[i] != sa)) {
			sa = sas[i];
			if (sa)
				td_sa_in_prefetch_more(sa);
		}
}

void td_esp_in(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct td_sa_in *sas[TD_BURST];
	struct pending pending[TD_BURST];
	struct td_crypt_op ops[TD_BURST];
	unsigned ready = 0;

	sas_find(worker, mbufs, sas, count);
	for (unsigned i = 0; i < count; i++) {
		struct td_sa_in *sa = sas[i];

		if (unlikely(!sa)) {
			sa_missing(worker, mbufs[i]);
			continue;
		}
		enum td_drop reason = prepare(sa, mbufs[i], &pending[ready], &ops[ready]);
		if (reason == TD_DROP_COUNT) {
			ready++;
			continue;
		}
		if (reason != TD_DROP_ESP_REPLAY && reason != TD_DROP_ESP_REPLAY_OLD)
			td_counter_add(&sa->rejected, 1);
		if (unlikely(worker->watched))
			prepared_trace(worker, sa, mbufs[i], reason);
		td_drop(worker, mbufs[i], reason);
	}
	for (unsigned i = 0; unlikely(worker->watched) && i < ready; i++)
		prepared_trace(worker, pending[i].sa, pending[i].mbuf, TD_DROP_COUNT);
	ready = open_all(worker, pending, ops, ready);
	if (ready)
		conclude(worker, pending, ready);
}

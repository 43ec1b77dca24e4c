// SPDX-License-Identifier: BSD-3-Clause
// ESP inbound (RFC 4303 3.4), IPv4 tunnel mode: a burst of ESP packets that start at their outer IP header
// becomes a burst of inner packets that go to inward. The order is that of the RFC: look up, check the
// replay window, authenticate, and only then check again and change anything of the SA.

#include "dataplane/esp.h"
#include "dataplane/ipv4_check.h"
#include "dataplane/sa.h"
#include "dataplane/worker.h"

// One packet of the burst between lookup and the verdict.
struct pending {
	struct rte_mbuf *mbuf;
	struct td_sa_in *sa;
	uint64_t sequence;
	uint16_t outer_length; // bytes of the ESP packet
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
	for (unsigned i = 0; i < td_dp.worker_count; i++)
		if (i != worker->id && td_spi_table_find(&td_dp.workers[i]->spi_table, spi)) {
			td_handoff(worker, i, mbuf, TD_STAGE_ESP_IN);
			return true;
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
	const struct rte_ipv4_hdr *outer = td_packet_ipv4(mbuf);
	struct td_event event = {
	    .kind = TD_EVENT_UNKNOWN_SPI,
	    .spi = spi,
	    .port = td_packet(mbuf)->port,
	    .source = td_ip_from_v4(rte_be_to_cpu_32(outer->src_addr)),
	    .destination = td_ip_from_v4(rte_be_to_cpu_32(outer->dst_addr)),
	};

	if (!late && td_bucket_take(&worker->unknown_spi_bucket, worker->now_tsc, td_dp.tsc_hz,
	                 TD_UNKNOWN_SPI_EVENTS_PER_S))
		td_event_raise(worker, &event);
	td_drop(worker, mbuf, late ? TD_DROP_ESP_SPI_LATE : TD_DROP_ESP_SPI_UNKNOWN);
}

// The SA for a packet, NULL when the packet was handed to the owner or dropped.
static struct td_sa_in *sa_select(struct td_worker *worker, struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *outer = td_packet_ipv4(mbuf);
	unsigned header = rte_ipv4_hdr_len(outer);

	if (mbuf->data_len < header + sizeof(struct rte_esp_hdr)) {
		td_drop(worker, mbuf, TD_DROP_ESP_SHORT);
		return NULL;
	}
	uint32_t spi =
	    rte_be_to_cpu_32(rte_pktmbuf_mtod_offset(mbuf, const struct rte_esp_hdr *, header)->spi);
	// SPI 0 marks an empty slot of the table.
	struct td_sa_in *sa = spi ? td_spi_table_find(&worker->spi_table, spi) : NULL;
	if (likely(sa != NULL))
		return sa;
	if (spi < TD_SPI_MIN || !owner_find(worker, mbuf, spi))
		unknown_spi(worker, mbuf, spi);
	return NULL;
}

// ---- checks before authentication -------------------------------------------------------------

static enum td_drop replay_reason(enum td_replay_verdict verdict)
{
	return verdict == TD_REPLAY_OLD ? TD_DROP_ESP_REPLAY_OLD : TD_DROP_ESP_REPLAY;
}

// Checks what can be checked cheaply and fills in *op and *pending. Returns TD_DROP_COUNT when the
// packet goes on to decryption.
static enum td_drop prepare(
    struct td_sa_in *sa, struct rte_mbuf *mbuf, struct pending *pending, struct td_crypt_op *op)
{
	const struct td_suite *suite = sa->suite;
	const struct rte_ipv4_hdr *outer = td_packet_ipv4(mbuf);
	unsigned header = rte_ipv4_hdr_len(outer);
	const struct rte_esp_hdr *esp = rte_pktmbuf_mtod_offset(mbuf, const struct rte_esp_hdr *, header);
	uint32_t fixed = header + (uint32_t)sizeof(*esp) + suite->info.iv_bytes + suite->info.icv_bytes;

	if (mbuf->data_len < fixed + sizeof(struct td_esp_trailer) || (mbuf->data_len - fixed) % suite->align)
		return TD_DROP_ESP_SHORT;
	if (__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED))
		return TD_DROP_ESP_IN_EXPIRED;
	if (outer->src_addr != sa->outer_source || outer->dst_addr != sa->outer_destination)
		return TD_DROP_ESP_OUTER;
	uint32_t low = rte_be_to_cpu_32(esp->seq);
	uint64_t sequence = sa->esn ? td_replay_infer(&sa->replay, low) : low;
	enum td_replay_verdict verdict = td_replay_check(&sa->replay, sa->bitmap, sequence);
	if (verdict != TD_REPLAY_OK) {
		td_counter_add(&sa->replayed, 1);
		return replay_reason(verdict);
	}
	*pending = (struct pending){
	    .mbuf = mbuf,
	    .sa = sa,
	    .sequence = sequence,
	    .outer_length = mbuf->data_len,
	    .outer_tos = outer->type_of_service,
	};
	op->schedule = sa->schedule;
	op->data =
	    (uint8_t *)rte_pktmbuf_mtod_offset(mbuf, uint8_t *, header + sizeof(*esp)) + suite->info.iv_bytes;
	op->length = mbuf->data_len - fixed;
	op->icv = op->data + op->length;
	memcpy(op->nonce, &sa->salt, sizeof(sa->salt));
	memcpy(op->nonce + sizeof(sa->salt), esp + 1, TD_NONCE_BYTES - sizeof(sa->salt));
	op->aad_length = td_esp_aad(op->aad, esp->spi, sequence, sa->esn);
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
		const struct rte_ipv4_hdr *outer = td_packet_ipv4(pending->mbuf);

		sa_event_raise(worker, sa,
		    (struct td_event){
		        .kind = TD_EVENT_AUTH_BURST,
		        .count = TD_AUTH_BURST,
		        .source = td_ip_from_v4(rte_be_to_cpu_32(outer->src_addr)),
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

static bool padding_valid(const uint8_t *trailer, uint32_t length)
{
	uint32_t pad = trailer[0];

	return pad + sizeof(struct td_esp_trailer) <= length &&
	       memcmp(trailer - pad, td_esp_padding, pad) == 0;
}

static void ecn_set(struct rte_ipv4_hdr *ip, uint8_t ecn)
{
	uint8_t tos = (uint8_t)((ip->type_of_service & ~TD_ECN_MASK) | ecn);
	// RFC 1624: the first word grew by the difference.
	uint32_t sum = (uint16_t)~ip->hdr_checksum +
	               (uint32_t)(uint16_t)~rte_cpu_to_be_16(ip->type_of_service) + rte_cpu_to_be_16(tos);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = (uint16_t)~sum;
	ip->type_of_service = tos;
}

// Lays the inner packet bare: trailer, header, ECN. Returns TD_DROP_COUNT when it is fit to go on.
static enum td_drop unwrap(const struct pending *pending, const struct td_crypt_op *op)
{
	struct rte_mbuf *mbuf = pending->mbuf;
	const uint8_t *trailer = op->data + op->length - sizeof(struct td_esp_trailer);
	uint16_t total;

	if (!padding_valid(trailer, op->length))
		return TD_DROP_ESP_PAD;
	if (trailer[1] == IPPROTO_NONE)
		return TD_DROP_ESP_DUMMY; // RFC 4303 2.6
	if (trailer[1] != IPPROTO_IPIP)
		return TD_DROP_ESP_NEXT_HEADER;
	uint32_t length = op->length - (uint32_t)sizeof(struct td_esp_trailer) - trailer[0];
	rte_pktmbuf_adj(mbuf, (uint16_t)(op->data - rte_pktmbuf_mtod(mbuf, uint8_t *)));
	struct rte_ipv4_hdr *inner = td_packet_ipv4(mbuf);
	if (td_ipv4_check(inner, length, true, &total) != TD_DROP_COUNT)
		return TD_DROP_ESP_INNER;
	// What lies behind the inner packet's own length is traffic flow confidentiality padding (RFC
	// 4303 2.7).
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - total));
	int ecn = td_ecn_decapsulate(pending->outer_tos & TD_ECN_MASK, inner->type_of_service & TD_ECN_MASK);
	if (ecn < 0)
		return TD_DROP_ESP_ECN;
	if (ecn != (int)(inner->type_of_service & TD_ECN_MASK))
		ecn_set(inner, (uint8_t)ecn);
	return TD_DROP_COUNT;
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
	if (unlikely(__atomic_load_n(&sa->stopped, __ATOMIC_RELAXED)))
		return TD_DROP_ESP_IN_EXPIRED;
	sa_advance(worker, sa, pending->sequence, bytes);
	return TD_DROP_COUNT;
}

// The verdict on one decrypted packet, before policy. TD_DROP_COUNT: an inner packet lies bare, or it is a
// dummy.
static enum td_drop reveal(struct td_worker *worker, struct pending *pending, const struct td_crypt_op *op)
{
	if (!op->authentic) {
		auth_failed(worker, pending);
		return TD_DROP_ESP_AUTH;
	}
	enum td_drop reason = unwrap(pending, op);
	if (reason == TD_DROP_ESP_DUMMY) {
		pending->dummy = true;
		return TD_DROP_COUNT;
	}
	if (reason != TD_DROP_COUNT)
		td_counter_add(&pending->sa->malformed, 1);
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

		if (reason == TD_DROP_COUNT)
			pending[bare++] = pending[i];
		else
			td_drop(worker, pending[i].mbuf, reason);
	}
	return bare;
}

// The inner packet must be one that policy sends through this very tunnel (RFC 4301 5.2 step 4).
static bool selector_matches(const struct td_policy_rule *rule, const struct td_sa_in *sa)
{
	return rule && rule->action == TD_POLICY_PROTECT && rule->tunnel == sa->tunnel;
}

// The last word on a decrypted packet, in the order of arrival. TD_DROP_COUNT: it goes inward.
static enum td_drop verdict(
    struct td_worker *worker, const struct pending *pending, const struct td_policy_rule *rule)
{
	if (!pending->dummy && !selector_matches(rule, pending->sa)) {
		td_counter_add(&pending->sa->policy_failed, 1);
		return TD_DROP_POLICY_SELECTOR;
	}
	enum td_drop reason = admit(worker, pending, pending->dummy ? 0 : pending->mbuf->data_len);
	return reason == TD_DROP_COUNT && pending->dummy ? TD_DROP_ESP_DUMMY : reason;
}

static void conclude(struct td_worker *worker, const struct pending *pending, unsigned count)
{
	struct td_policy_key keys[TD_BURST];
	const struct td_policy_rule *rules[TD_BURST];
	struct rte_mbuf *inner[TD_BURST];
	unsigned passed = 0;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		td_policy_key_fill(&keys[i], pending[i].mbuf, false);
	// Pairs with the release in policy.c.
	td_policy_classify(__atomic_load_n(&td_dp.policies, __ATOMIC_ACQUIRE), false, keys, rules, count);
	for (unsigned i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = pending[i].mbuf;
		enum td_drop reason = verdict(worker, &pending[i], rules[i]);

		if (reason != TD_DROP_COUNT) {
			td_drop(worker, mbuf, reason);
			continue;
		}
		bytes += pending[i].outer_length;
		inner[passed++] = mbuf;
	}
	td_counter_add(&worker->counters.esp_in_packets, passed);
	td_counter_add(&worker->counters.esp_in_bytes, bytes);
	td_inward(worker, inner, passed);
}

void td_esp_in(struct td_worker *worker, struct rte_mbuf **mbufs, unsigned count)
{
	struct pending pending[TD_BURST];
	struct td_crypt_op ops[TD_BURST];
	unsigned ready = 0;

	for (unsigned i = 0; i < count; i++) {
		struct td_sa_in *sa = sa_select(worker, mbufs[i]);

		if (!sa)
			continue;
		enum td_drop reason = prepare(sa, mbufs[i], &pending[ready], &ops[ready]);
		if (reason == TD_DROP_COUNT)
			ready++;
		else
			td_drop(worker, mbufs[i], reason);
	}
	ready = open_all(worker, pending, ops, ready);
	if (ready)
		conclude(worker, pending, ready);
}

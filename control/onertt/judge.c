// SPDX-License-Identifier: BSD-3-Clause
// Whether an authentic message 1 is of now and may become a session, and what its sender is told if not.

#include "control/onertt/asked.h"

#include <errno.h>

static const struct td_bytes nothing;

// Each peer has its own few, apart from answers that anybody can ask for: who uses those up keeps nobody from
// hearing what time it is. Who has one of the peer's messages can use up these, too; whoever returns a cookie
// therefore has as many again, with all others of its address only.
static bool refusal_allowed(const struct td_onertt_asked *asked)
{
	uint64_t second = td_ike_now(asked->ike) / 1000000000u;
	struct td_ike_peer *peer = asked->peer;

	if (asked->returned)
		return td_onertt_refusal_allowed(asked);
	if (second != peer->told_second) {
		peer->told_second = second;
		peer->told = 0;
	}
	return peer->told++ < TD_ONERTT_REFUSALS_PER_S;
}

// Says no, as somebody whom the initiator knows; nothing is kept.
static void refuse(struct td_onertt_asked *asked, uint16_t notify, uint64_t time_us)
{
	const struct td_freshness_window *window = &asked->peer->config.onertt.window;
	struct td_freshness_stamp stamp;
	struct td_ike_chain outer, chain;
	TD_SECRET_AUTO code_key = {0};
	size_t begin;

	if (!refusal_allowed(asked)) {
		if (!asked->returned)
			td_onertt_cookie_send(asked);
		return;
	}
	td_onertt_message_start(asked->ike, &outer);
	begin = td_ike_payload_begin(&outer, TD_IKE_PAYLOAD_NOISE);
	td_writer_u32(&outer.writer, (uint32_t)asked->pattern << 24);
	if (td_noise_write_tokens(&asked->noise, td_onertt_random, asked->ike, &outer.writer) < 0 ||
	    td_onertt_export_key(&asked->noise, "code", &code_key) < 0 ||
	    td_freshness_stamp_make(window, &code_key, time_us, &stamp) < 0)
		return;
	td_onertt_chain_start(asked->ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, notify, nothing);
	td_onertt_stamp_write(&chain, &stamp);
	if (td_noise_write_payload(&asked->noise, td_onertt_chain_end(asked->ike, &chain), &outer.writer) < 0)
		return;
	td_ike_payload_end(&outer, begin);
	td_onertt_answer_clear(asked, &outer);
	td_onertt_stats_of(asked->ike)->told_stale += notify == TD_N_STALE;
}

// Whether message 1 is of now, and none that was accepted or could have been.
static bool is_fresh(struct td_onertt_asked *asked)
{
	struct td_ike *ike = asked->ike;
	uint64_t wall_us = ike->env.wall_us(ike->env.context), steady_us = td_onertt_steady_us(ike);
	enum td_freshness_verdict verdict = TD_FRESHNESS_WRONG_CODE;
	struct td_freshness_stamp stamp = {0};
	TD_SECRET_AUTO code_key = {0};

	asked->incarnation = td_onertt_incarnation_of(&asked->payloads);
	asked->now_us = td_accepted_now(ike->env.accepted, wall_us, steady_us);
	if (td_onertt_stamp_read(&asked->payloads, &stamp) &&
	    td_onertt_export_key(&asked->noise, "code", &code_key) == 0)
		verdict =
		    td_freshness_judge(&asked->peer->config.onertt.window, &code_key, &stamp, asked->now_us);
	// Of a former life, and met since: it cannot be told from a replay.
	if (verdict == TD_FRESHNESS_FRESH && stamp.time_us <= asked->peer->met_us &&
	    asked->incarnation != asked->peer->met_incarnation)
		verdict = TD_FRESHNESS_REPLAYED;
	if (verdict == TD_FRESHNESS_FRESH)
		verdict = td_accepted_check(ike->env.accepted, &asked->name, stamp.time_us);
	td_onertt_verdict_count(ike, verdict);
	if (verdict == TD_FRESHNESS_STALE || verdict == TD_FRESHNESS_FUTURE ||
	    verdict == TD_FRESHNESS_REPLAYED) {
		refuse(
		    asked, TD_N_STALE, td_accepted_tell(ike->env.accepted, &asked->name, wall_us, steady_us));
	}
	asked->time_us = stamp.time_us;
	return verdict == TD_FRESHNESS_FRESH;
}

// What the session is to be like. Only what is configured: less would be a downgrade by the initiator.
static bool is_wanted(struct td_onertt_asked *asked)
{
	const struct td_ike_notify *about = td_ike_notify_find(&asked->payloads, TD_N_ONE_ROUND_TRIP);
	const struct td_onertt_config *config = &asked->peer->config.onertt;
	struct td_cursor cursor = td_cursor_of(about ? about->data : nothing);
	uint8_t source, delivery;

	if (!td_cursor_u8(&cursor, &source) || !td_cursor_u8(&cursor, &delivery) ||
	    !td_cursor_skip(&cursor, 2) ||
	    (source == TD_ONERTT_INITIATOR &&
	        (!td_cursor_u32(&cursor, &asked->spi) || asked->spi < TD_SPI_MIN)) ||
	    asked->payloads.nonce.length < TD_IKE_NONCE_MIN_BYTES ||
	    asked->payloads.nonce.length > TD_IKE_NONCE_MAX_BYTES) {
		td_onertt_stats_of(asked->ike)->malformed++;
		return false;
	}
	if (source == config->source && delivery == config->delivery) {
		asked->source = config->source;
		asked->delivery = config->delivery;
		return true;
	}
	td_onertt_stats_of(asked->ike)->mismatched++;
	// The same message can come many times while its time is good.
	if (asked->ike->env.event && td_ike_refusal_due(asked->peer))
		asked->ike->env.event(asked->ike->env.context, "ike_failed", asked->peer, NULL,
		    "the peer has another key_source or key_delivery");
	refuse(asked, TD_N_NO_PROPOSAL_CHOSEN, asked->now_us);
	return false;
}

// Nothing moves to another session while a child is being made in the old one, whose answer would then
// come to nobody (RFC 7296 2.25.2 for rekeys of the IKE SA). The initiator asks again. Its time is kept
// before that: what was refused is not accepted when it comes again.
static bool is_settled(struct td_onertt_asked *asked)
{
	const struct td_ike_notify *notify = td_ike_notify_find(&asked->payloads, TD_N_CONTINUES);
	struct td_cursor cursor = td_cursor_of(notify ? notify->data : nothing);
	const struct td_ike_sa *old;
	uint64_t spi_i, spi_r;

	if (!td_cursor_u64(&cursor, &spi_i) || !td_cursor_u64(&cursor, &spi_r))
		return true;
	TAILQ_FOREACH (old, &asked->peer->sas, of_peer)
		if (old->spi_i == spi_i && old->spi_r == spi_r && old->state == TD_IKE_ESTABLISHED &&
		    old->exchange.task &&
		    (old->exchange.task->kind == TD_TASK_CREATE ||
		        old->exchange.task->kind == TD_TASK_REKEY_CHILD)) {
			refuse(asked, TD_N_TEMPORARY_FAILURE, asked->now_us);
			return false;
		}
	return true;
}

static bool keep(const struct td_onertt_asked *asked)
{
	struct td_ike *ike = asked->ike;
	int result = td_accepted_commit(ike->env.accepted, &asked->name, asked->time_us,
	    ike->env.wall_us(ike->env.context), td_onertt_steady_us(ike));

	td_onertt_stats_of(ike)->not_kept += result != 0 && result != -EAGAIN;
	return result == 0;
}

bool td_onertt_is_acceptable(struct td_onertt_asked *asked)
{
	return is_fresh(asked) && is_wanted(asked) && keep(asked) && is_settled(asked);
}

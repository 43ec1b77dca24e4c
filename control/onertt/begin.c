// SPDX-License-Identifier: BSD-3-Clause
// The initiator: message 1, and what message 2 makes of it.

#include "control/onertt/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct td_bytes nothing;

static struct td_bytes id_data(const struct td_ike_id *id)
{
	return (struct td_bytes){id->data, id->length};
}

// The responder's clock, as far as it is known.
static uint64_t time_now(const struct td_ike_sa *sa)
{
	const struct td_ike_peer *peer = sa->peer;
	struct td_ike *ike = sa->ike;

	return peer->ahead_known ? td_onertt_steady_us(ike) + (uint64_t)peer->ahead_us
	                         : ike->env.wall_us(ike->env.context);
}

// The responder takes none that is not later than the last one, when the estimate went too far.
static uint64_t first_time(const struct td_ike_sa *sa)
{
	uint64_t now_us = time_now(sa), last_us = sa->peer->first_us;

	return sa->peer->first_us = now_us > last_us ? now_us : last_us + 1;
}

// ---- message 1 --------------------------------------------------------------------------------

static void about_write(const struct td_onertt_first *first, struct td_ike_chain *chain)
{
	uint8_t data[8] = {(uint8_t)first->source, (uint8_t)first->delivery};
	struct td_writer writer = {.data = data, .capacity = sizeof(data), .length = 4};

	if (first->spi)
		td_writer_u32(&writer, first->spi);
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, nothing, TD_N_ONE_ROUND_TRIP, td_writer_bytes_of(&writer));
}

static void continues_write(const struct td_onertt *session, struct td_ike_chain *chain)
{
	uint8_t data[16];
	struct td_writer writer = {.data = data, .capacity = sizeof(data)};

	if (!session->continues_i)
		return;
	td_writer_u64(&writer, session->continues_i);
	td_writer_u64(&writer, session->continues_r);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_CONTINUES, td_writer_bytes_of(&writer));
}

// The child that is wanted: a new one, or the successor of one of the session before.
static int child_write(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	struct td_ike_task *task = sa->exchange.task;
	uint8_t spi[4];
	struct td_writer writer = {.data = spi, .capacity = sizeof(spi)};

	if (task->kind == TD_TASK_REKEY_CHILD) {
		if (!task->child || task->child->replaced || task->child->erasing)
			return -EALREADY;
		task->tunnel = task->child->life->tunnel;
		task->slot = task->child->life->slot;
		task->child->rekeying = true;
		td_writer_u32(&writer, task->child->spi_in);
		td_ike_notify_write(
		    chain, TD_IKE_PROTO_ESP, td_writer_bytes_of(&writer), TD_N_REKEY_SA, nothing);
	}
	return td_ike_child_offer(
	    sa, task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL, task->slot, 0, true, chain);
}

// What the initiator's own keys need: an SPI at the responder, and the keys or where they come from.
static int first_make(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	struct td_onertt_first *first = td_onertt_first_create(config->source, config->delivery);
	const struct td_noise *noise = &sa->onertt->attempt->noise;

	td_onertt_first_free(sa->handshake->first);
	sa->handshake->first = first;
	if (!first)
		return -ENOMEM;
	if (config->source != TD_ONERTT_INITIATOR)
		return 0;
	do
		sa->ike->env.random(sa->ike->env.context, &first->spi, sizeof(first->spi));
	while (first->spi < TD_SPI_MIN);
	return td_onertt_export_key(noise, "traffic", &first->traffic);
}

static int payloads_write(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	const struct td_ike_peer_config *config = &sa->peer->config;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_onertt_first *first = sa->handshake->first;
	struct td_freshness_stamp stamp;
	TD_SECRET_AUTO code_key = {0};
	int ret = td_onertt_export_key(&attempt->noise, "code", &code_key);

	attempt->time_us = first_time(sa);
	if (ret == 0)
		ret = td_freshness_stamp_make(&config->onertt.window, &code_key, attempt->time_us, &stamp);
	if (ret < 0)
		return ret;
	about_write(first, chain);
	td_onertt_stamp_write(chain, &stamp);
	if (config->onertt.authentication != TD_ONERTT_KEY) {
		td_ike_id_write(chain, TD_IKE_PAYLOAD_IDI, config->local_id.type, id_data(&config->local_id));
		if (config->remote_id.type)
			td_ike_id_write(
			    chain, TD_IKE_PAYLOAD_IDR, config->remote_id.type, id_data(&config->remote_id));
	}
	td_ike_nonce_write(chain, td_ike_nonce_bytes(&sa->handshake->nonce_i));
	td_onertt_incarnation_write(sa->peer, chain);
	td_ike_natd_write(chain, sa, sa->spi_i, 0);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	td_ike_token_write(sa, chain);
	continues_write(sa->onertt, chain);
	ret = child_write(sa, chain);
	if (ret < 0 || first->source != TD_ONERTT_INITIATOR || first->delivery != TD_ONERTT_WRAPPED)
		return ret;
	struct td_ike_suite suite = td_ike_suite_of(&sa->exchange.negotiation.proposals.list[0]);
	td_onertt_first_draw(sa->ike, first, td_ike_suite_key_bytes(&suite));
	return td_onertt_wrapped_write(first, &attempt->noise, chain);
}

static int noise_start(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	enum td_noise_pattern pattern = td_onertt_pattern(config->authentication);
	uint8_t bytes[TD_ONERTT_PROLOGUE_BYTES];
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_noise_setup setup = {
	    .pattern = pattern,
	    .initiator = true,
	    .prologue = td_onertt_prologue(sa->spi_i, pattern, config->remote->key_id, bytes),
	    .own = pattern == TD_NOISE_IK ? &attempt->own : NULL,
	    .remote = config->remote->public_key,
	};
	struct td_noise *noise = &attempt->noise;
	int ret;

	td_x25519_free(&attempt->own);
	ret = pattern == TD_NOISE_IK ? td_x25519_copy(&config->own->pair, &attempt->own) : 0;
	if (ret == 0)
		ret = td_noise_start(noise, &setup);
	if (ret == 0 && pattern == TD_NOISE_NKPSK2)
		ret = td_noise_psk_set(noise, &config->secret);
	return ret;
}

// Makes the body of the NOISE payload anew.
static int body_make(struct td_ike_sa *sa)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_writer writer = {.data = sa->ike->message, .capacity = sizeof(sa->ike->message)};
	struct td_ike_chain chain;
	uint8_t *body;
	int ret = noise_start(sa);

	if (ret < 0)
		return ret;
	td_writer_u8(&writer, (uint8_t)attempt->noise.pattern);
	td_writer_bytes(&writer, "\0\0\0", 3);
	td_writer_bytes(&writer, sa->peer->config.onertt.remote->key_id, TD_ONERTT_KEY_ID_BYTES);
	ret = td_noise_write_tokens(&attempt->noise, td_onertt_random, sa->ike, &writer);
	if (ret == 0)
		ret = first_make(sa);
	td_onertt_chain_start(sa->ike, &chain);
	if (ret == 0)
		ret = payloads_write(sa, &chain);
	if (ret == 0 && chain.writer.overflow)
		ret = -ENOSPC;
	if (ret == 0)
		ret = td_noise_write_payload(&attempt->noise, td_onertt_chain_end(sa->ike, &chain), &writer);
	td_wipe(sa->ike->chain, chain.writer.length + 1);
	if (ret < 0)
		return ret;
	body = malloc(writer.length);
	if (!body)
		return -ENOMEM;
	memcpy(body, writer.data, writer.length);
	free((void *)(uintptr_t)attempt->body.data);
	attempt->body = (struct td_bytes){body, writer.length};
	return 0;
}

static void message_2_awaited(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	// It comes by td_onertt_answered.
	(void)sa;
	(void)answer;
}

static int message_1_send(struct td_ike_sa *sa)
{
	struct td_ike_handshake *handshake = sa->handshake;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_header header = {.spi_i = sa->spi_i, .flags = TD_IKE_FLAG_INITIATOR};
	struct td_ike_chain outer;
	size_t begin;

	td_onertt_message_start(sa->ike, &outer);
	if (handshake->cookie_length)
		td_ike_notify_write(&outer, TD_IKE_PROTO_NONE, nothing, TD_N_COOKIE,
		    (struct td_bytes){handshake->cookie, handshake->cookie_length});
	begin = td_ike_payload_begin(&outer, TD_IKE_PAYLOAD_NOISE);
	td_writer_bytes(&outer.writer, attempt->body.data, attempt->body.length);
	td_ike_payload_end(&outer, begin);
	if (outer.writer.overflow)
		return -ENOSPC;
	return td_ike_request_clear(
	    sa, TD_IKE_ONE_ROUND_TRIP, td_onertt_message_end(sa->ike, header, &outer), message_2_awaited);
}

// ---- early data -------------------------------------------------------------------------------

static void early_due(void *context)
{
	struct td_ike_sa *sa = context;

	if (sa->exchange.negotiation.early)
		td_life_child_early(sa->exchange.negotiation.early->life);
}

// Without the child the packets wait for the answer.
static void early_prepare(struct td_ike_sa *sa)
{
	const struct td_onertt_config *config = &sa->peer->config.onertt;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_task *task = sa->exchange.task;
	uint32_t spi = sa->exchange.negotiation.spi;
	struct td_error error = {0};

	// Where there is a child to send on, that is used until the answer is here.
	if (!config->early_data || task->kind != TD_TASK_CREATE || !task->tunnel ||
	    td_life_tunnel_current(task->tunnel, task->slot) ||
	    !td_ike_child_early(sa, td_ike_tunnel_of(sa->ike, task->tunnel), task->slot, task->child,
	        sa->handshake->first->spi, &error))
		return;
	attempt->early_spi = spi;
	attempt->early_in_udp = sa->nat_local || sa->nat_remote;
	td_timers_set(
	    sa->ike->env.timers, &attempt->early_timer, td_ike_now(sa->ike) + config->early_delay_ns);
}

// What was prepared for an attempt that is made anew.
static void early_undo(struct td_ike_sa *sa)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	struct td_ike_child *child = sa->exchange.negotiation.early;

	td_timers_cancel(sa->ike->env.timers, &attempt->early_timer);
	attempt->early_spi = 0;
	if (child)
		td_ike_child_forget(child, false);
	td_ike_negotiation_clear(sa);
}

// ---- beginning --------------------------------------------------------------------------------

static int attempt_send(struct td_ike_sa *sa)
{
	int ret = body_make(sa);

	if (ret == 0) {
		sa->onertt->attempt->sent_ns = td_ike_now(sa->ike);
		ret = message_1_send(sa);
	}
	if (ret == 0)
		early_prepare(sa);
	return ret;
}

static bool remote_is_valid(struct td_ike_sa *sa)
{
	struct td_ike *ike = sa->ike;
	struct td_error error = {0};

	if (td_onertt_remote_check_time(
	        sa->peer->config.onertt.remote, ike->env.unix_time(ike->env.context), &error) == 0)
		return true;
	td_ike_sa_fail(sa, TD_FAIL_PERMANENT, error.reason);
	return false;
}

void td_onertt_start(struct td_ike_sa *sa, struct td_ike_sa *old)
{
	struct td_onertt *session = td_onertt_create(sa, true);
	struct td_onertt_attempt *attempt = calloc(1, sizeof(*attempt));

	if (!session || !attempt || !sa->ike->env.wall_us) {
		free(attempt);
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "out of memory");
		return;
	}
	session->attempt = attempt;
	attempt->early_timer = (struct td_timer){.fn = early_due, .context = sa};
	// What is known before the answer about a NAT: early data goes by it.
	sa->nat_local = sa->peer->config.encapsulate || (old && old->nat_local);
	if (old) {
		sa->nat_remote = old->nat_remote;
		session->continues_i = old->spi_i;
		session->continues_r = old->spi_r;
	}
	if (!remote_is_valid(sa))
		return;
	sa->exchange.task = td_ike_create_take(sa);
	if (!sa->exchange.task) {
		td_ike_sa_close(sa, "ike_down", "not wanted any more");
		return;
	}
	if (attempt_send(sa) < 0)
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "the first message could not be made");
}

// ---- message 2 --------------------------------------------------------------------------------

static void cookie_take(struct td_ike_sa *sa, const struct td_ike_notify *cookie)
{
	struct td_ike_handshake *handshake = sa->handshake;

	// Anybody can say so: what is wrong is not followed, and the request is repeated as it is.
	if (handshake->restarts >= TD_IKE_INIT_RESTARTS || cookie->data.length == 0 ||
	    cookie->data.length > TD_IKE_COOKIE_MAX_BYTES) {
		sa->ike->stats.unexpected++;
		return;
	}
	handshake->restarts++;
	memcpy(handshake->cookie, cookie->data.data, cookie->data.length);
	handshake->cookie_length = (uint16_t)cookie->data.length;
	if (message_1_send(sa) < 0)
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "the first message could not be made");
}

// The responder does not take our time: its own is known now, and the system's clock stays as it is (S5).
static void stale_told(struct td_ike_sa *sa, uint64_t time_us)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;
	int ret;

	sa->peer->ahead_us = (int64_t)(time_us - td_onertt_steady_us(sa->ike));
	sa->peer->ahead_known = true;
	sa->peer->first_us = 0;
	if (attempt->again) {
		// Repetitions may have been on their way for longer than the window. A session that this one
		// goes on for, and its children, are not given up for that.
		if (!td_onertt_again(sa))
			td_ike_sa_fail(
			    sa, TD_FAIL_TEMPORARY, "the peer takes the time of the first message for stale");
		return;
	}
	attempt->again = true;
	early_undo(sa);
	ret = attempt_send(sa);
	// The child that was to have a successor has gone meanwhile. The others have not: once more for them.
	if (ret < 0 && (ret != -EALREADY || !td_onertt_again(sa)))
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "the first message could not be made");
}

static void refusal_told(struct td_ike_sa *sa, const struct td_ike_notify *refusal, uint64_t time_us)
{
	struct td_error error = {0};

	if (refusal->type == TD_N_STALE) {
		stale_told(sa, time_us);
		return;
	}
	if (refusal->type == TD_N_TEMPORARY_FAILURE && td_onertt_again(sa))
		return;
	(void)td_error_set(&error, 0, NULL, NULL, "the peer refuses: %s", td_ike_notify_name(refusal->type));
	td_ike_sa_fail(sa, refusal->type == TD_N_TEMPORARY_FAILURE ? TD_FAIL_TEMPORARY : TD_FAIL_PERMANENT,
	    error.reason);
}

// SPIr is not in the prologue, so it stands inside too. Returns NULL, or what is wrong.
static const char *answer_check(
    struct td_ike_sa *sa, const struct td_ike_header *header, const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *about = td_ike_notify_find(answer, TD_N_ONE_ROUND_TRIP);
	const struct td_onertt_first *first = sa->handshake->first;
	struct td_cursor cursor;
	uint8_t source, delivery;
	uint64_t spi_r;

	if (!about)
		return "the answer lacks ONE_ROUND_TRIP";
	cursor = td_cursor_of(about->data);
	if (!td_cursor_u8(&cursor, &source) || !td_cursor_u8(&cursor, &delivery) ||
	    !td_cursor_skip(&cursor, 2) || !td_cursor_u64(&cursor, &spi_r) || spi_r == 0 ||
	    spi_r != header->spi_r)
		return "the answer is for another SPI";
	if (source != first->source || delivery != first->delivery)
		return "the peer has chosen another key source or delivery";
	if (answer->nonce.length < TD_IKE_NONCE_MIN_BYTES || answer->nonce.length > TD_IKE_NONCE_MAX_BYTES)
		return "the answer lacks a nonce";
	return NULL;
}

// The session's time at the responder: it made the answer, which may be a repetition, between the first
// sending of message 1 and now. Where our estimate fits, it stays.
static uint64_t session_time(const struct td_ike_sa *sa, uint64_t answer_us)
{
	uint64_t now_us = td_onertt_steady_us(sa->ike);
	uint64_t latest = answer_us + now_us - sa->onertt->attempt->sent_ns / 1000;
	uint64_t estimate = time_now(sa);

	return estimate < answer_us ? answer_us : estimate > latest ? latest : estimate;
}

// The peer may have nothing of the child that was to have a successor: then neither has this side, and the
// lifecycle makes another (RFC 7296 2.25.1).
static void child_failed(struct td_ike_task *task, const struct td_ike_payloads *answer,
    enum td_life_failure failure, const char *reason)
{
	const struct td_ike_notify *refusal = td_ike_notify_error(answer);
	struct td_ike_child *old = task->child;

	if (!refusal || refusal->type != TD_N_CHILD_SA_NOT_FOUND || !old) {
		td_ike_task_failed(task, failure, reason);
		return;
	}
	task->child = NULL;
	td_ike_child_forget(old, true);
}

static void early_settle(struct td_ike_sa *sa, struct td_ike_task *task, struct td_ike_tunnel *tunnel,
    const struct td_ike_payloads *answer)
{
	struct td_ike_child *child = sa->exchange.negotiation.early;
	bool in_udp = sa->nat_local || sa->nat_remote;
	enum td_life_failure failure = TD_FAIL_TEMPORARY;
	struct td_error error = {0};

	sa->exchange.negotiation.early = NULL;
	if (in_udp != sa->onertt->attempt->early_in_udp) {
		// The peer's half of the child goes the other way.
		(void)td_error_set(&error, 0, NULL, NULL, "early data does not go as the NAT there needs it");
	} else if (child && td_ike_child_early_check(sa, answer, tunnel, child, &failure, &error)) {
		td_ike_nonce_lowest(td_ike_nonce_bytes(&sa->handshake->nonce_i),
		    td_ike_nonce_bytes(&sa->handshake->nonce_r), &child->lowest);
		if (task->child)
			task->child->replaced = true;
		td_life_child_answered(child->life);
		return;
	}
	// It is gone already, or goes now; the peer may have it.
	if (!td_ike_notify_error(answer))
		td_ike_orphan_erase(sa, sa->onertt->attempt->early_spi);
	if (child)
		td_ike_child_forget(child, false);
	child_failed(task, answer, failure, error.reason);
}

// Whether the session is there for more than a child that nobody wants any more.
static bool is_wanted(const struct td_ike_sa *sa)
{
	const struct td_ike_child *child;
	const struct td_ike_task *task;

	TAILQ_FOREACH (task, &sa->tasks, entry)
		if (task->kind == TD_TASK_CREATE)
			return true;
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (!child->erasing)
			return true;
	return sa->onertt->continues_i != 0;
}

// agreed: the peer knows the session before, and so the child that is to have a successor.
static void first_child(
    struct td_ike_sa *sa, struct td_ike_task *task, const struct td_ike_payloads *answer, bool agreed)
{
	struct td_ike_tunnel *tunnel = task->tunnel ? td_ike_tunnel_of(sa->ike, task->tunnel) : NULL;
	enum td_life_failure failure = TD_FAIL_TEMPORARY;
	struct td_error error = {0};
	struct td_ike_child *child;

	if (task->child)
		task->child->rekeying = false;
	if (!tunnel) {
		if (!is_wanted(sa))
			(void)td_ike_task_add(sa, TD_TASK_DELETE_IKE);
		else if (task->orphan_spi)
			td_ike_orphan_erase(sa, task->orphan_spi);
		return;
	}
	if (sa->onertt->attempt->early_spi) {
		early_settle(sa, task, tunnel, answer);
		return;
	}
	child = td_ike_child_accept(
	    sa, answer, tunnel, task->slot, agreed ? task->child : NULL, true, &failure, &error);
	if (!child) {
		child_failed(task, answer, failure, error.reason);
		return;
	}
	if (task->child)
		task->child->replaced = true;
	td_life_child_answered(child->life);
}

// Children and tasks of the session before go on in this one, if the peer still knows it.
static void go_on(struct td_ike_sa *sa, bool agreed)
{
	struct td_ike_sa *old = td_onertt_continued(sa);

	if (!old)
		return;
	if (!agreed) {
		td_ike_sa_close(old, "ike_down", "the peer does not know the session any more");
		return;
	}
	td_onertt_stats_of(sa->ike)->renewed++;
	td_ike_replace(old, sa);
	td_ike_sa_delete(old);
}

static void old_child_erase(struct td_ike_sa *sa, struct td_ike_child *old)
{
	struct td_ike_task *task;

	if (old->erasing || !(task = td_ike_task_add(sa, TD_TASK_ERASE)))
		return;
	old->erasing = true;
	task->child = old;
}

// A message 1 that is still under way from a former life of the peer's does not end this session.
static void meeting_note(struct td_ike_sa *sa)
{
	struct td_ike *ike = sa->ike;

	if (!ike->env.accepted)
		return;
	sa->peer->met_us =
	    td_accepted_now(ike->env.accepted, ike->env.wall_us(ike->env.context), td_onertt_steady_us(ike));
	sa->peer->met_incarnation = sa->onertt->incarnation;
}

static void session_take(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	struct td_ike_task *task = sa->exchange.task;
	bool agreed = td_ike_notify_find(answer, TD_N_CONTINUES) != NULL;

	sa->exchange.task = NULL;
	first_child(sa, task, answer, agreed);
	struct td_ike_child *old = task->child && task->child->replaced ? task->child : NULL;
	td_ike_task_free(task);
	(void)td_ike_exchange_end(sa);
	td_onertt_attempt_free(sa);
	td_onertt_established(sa);
	sa->ike->stats.established++;
	td_onertt_stats_of(sa->ike)->answered++;
	td_ike_event(sa, "ike_up", "in one round trip");
	go_on(sa, agreed);
	td_onertt_former_close(sa);
	meeting_note(sa);
	if (old && agreed && old->sa == sa)
		old_child_erase(sa, old);
	// The responder believes in an initiator without a static key when it hears of it once more.
	if (sa->peer->config.onertt.authentication == TD_ONERTT_SECRET)
		(void)td_ike_task_add(sa, TD_TASK_LIVENESS);
	td_ike_tasks_run(sa);
}

static void answer_take(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_noise *noise,
    const struct td_ike_payloads *answer, uint64_t time_us)
{
	const char *wrong = answer_check(sa, header, answer);
	struct td_onertt_first *first = sa->handshake->first;

	if (wrong) {
		td_ike_sa_fail(sa, TD_FAIL_PERMANENT, wrong);
		return;
	}
	sa->handshake->nonce_r.length = (uint16_t)answer->nonce.length;
	memcpy(sa->handshake->nonce_r.data, answer->nonce.data, answer->nonce.length);
	sa->spi_r = header->spi_r;
	if (td_onertt_keys_make(sa, noise) < 0 ||
	    td_onertt_begin(sa, session_time(sa, time_us), sa->onertt->attempt->time_us, time_us) < 0) {
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "no keys from the handshake");
		return;
	}
	// Without keys there is no child, and the responder says why.
	if (first->source == TD_ONERTT_CONTRIBUTORY && first->delivery == TD_ONERTT_WRAPPED)
		(void)td_onertt_wrapped_read(first, noise, answer);
	sa->peer->ahead_us = sa->onertt->freshness.offset_us;
	sa->peer->ahead_known = true;
	sa->peer_fragments = td_ike_notify_find(answer, TD_N_FRAGMENTATION_SUPPORTED) != NULL;
	sa->remote_id = sa->peer->config.remote_id;
	td_ike_token_read(sa, answer);
	sa->onertt->incarnation = td_onertt_incarnation_of(answer);
	td_ike_natd_check(sa, answer, sa->spi_i, sa->spi_r);
	if (sa->nat_local || sa->nat_remote) {
		sa->path.local_port = TD_IKE_NATT_PORT;
		if (sa->path.remote_port == TD_IKE_PORT)
			sa->path.remote_port = TD_IKE_NATT_PORT;
	}
	session_take(sa, answer);
}

// The NOISE payload of message 2 on a copy of the handshake, so that a wrong one changes nothing: the request
// is repeated (S5).
static void noise_received(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_noise *noise,
    struct td_cursor message)
{
	struct td_onertt_stats *stats = td_onertt_stats_of(sa->ike);
	struct td_freshness_stamp stamp;
	struct td_ike_payloads answer;
	TD_SECRET_AUTO code_key = {0};
	int ret;

	if (td_noise_read_tokens(noise, &message) < 0 || td_onertt_export_key(noise, "code", &code_key) < 0) {
		stats->unauthentic++;
		return;
	}
	ret = td_onertt_payloads_read(sa->ike, noise, &message, &answer);
	if (ret < 0) {
		*(ret == -EACCES ? &stats->unauthentic : &stats->malformed) += 1;
		return;
	}
	// Its time is fresh because the handshake is: nobody could have made it before.
	if (!td_onertt_stamp_read(&answer, &stamp) ||
	    td_freshness_judge(&sa->peer->config.onertt.window, &code_key, &stamp, stamp.time_us) !=
	        TD_FRESHNESS_FRESH) {
		stats->wrong_code++;
		return;
	}
	// Without a session there is nothing but a reason and a time.
	if (!td_ike_notify_find(&answer, TD_N_ONE_ROUND_TRIP) && td_ike_notify_error(&answer))
		refusal_told(sa, td_ike_notify_error(&answer), stamp.time_us);
	else
		answer_take(sa, header, noise, &answer, stamp.time_us);
}

// An answer comes from where the request went (RFC 7296 2.11).
static bool is_from_there(const struct td_ike_sa *sa, const struct td_path *path)
{
	return td_ip_equal(&sa->path.remote, &path->remote) && sa->path.remote_port == path->remote_port;
}

static bool answer_allowed(const struct td_ike_sa *sa)
{
	uint64_t second = td_ike_now(sa->ike) / 1000000000u;
	struct td_onertt_attempt *attempt = sa->onertt->attempt;

	if (second != attempt->heard_second) {
		attempt->heard_second = second;
		attempt->heard = 0;
	}
	return attempt->heard++ < TD_ONERTT_ATTEMPT_ANSWERS_PER_S && td_onertt_answer_allowed(sa->ike);
}

void td_onertt_answered(struct td_ike_sa *sa, const struct td_path *path, const struct td_ike_header *header,
    const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *cookie = td_ike_notify_find(answer, TD_N_COOKIE);
	struct td_cursor cursor = td_cursor_of(answer->noise);
	uint8_t pattern;

	if (sa->state != TD_IKE_CONNECTING || !sa->initiator || !sa->onertt || !sa->onertt->attempt ||
	    sa->exchange.type != TD_IKE_ONE_ROUND_TRIP || !sa->exchange.answered || header->message_id != 0 ||
	    !is_from_there(sa, path)) {
		sa->ike->stats.unexpected++;
		return;
	}
	td_onertt_stats_of(sa->ike)->answers++;
	if (!answer->noise.data && cookie) {
		cookie_take(sa, cookie);
		return;
	}
	if (!td_cursor_u8(&cursor, &pattern) || !td_cursor_skip(&cursor, 3) ||
	    pattern != sa->onertt->attempt->noise.pattern) {
		td_onertt_stats_of(sa->ike)->malformed++;
		return;
	}
	if (!answer_allowed(sa)) {
		td_onertt_stats_of(sa->ike)->limited++;
		return;
	}
	struct td_noise noise = sa->onertt->attempt->noise;
	noise_received(sa, header, &noise, cursor);
	td_noise_wipe(&noise);
}

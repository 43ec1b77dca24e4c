// SPDX-License-Identifier: BSD-3-Clause
// The initiator: what message 2 makes of its attempt.

#include "control/onertt/internal.h"

#include <errno.h>
#include <string.h>

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
	if (td_onertt_message_1_send(sa) < 0)
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
	td_onertt_early_undo(sa);
	ret = td_onertt_attempt_send(sa);
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

// The responder's SPI stands inside, because the header is in the clear; 0: not there.
static uint64_t spi_inside(const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *about = td_ike_notify_find(answer, TD_N_ONE_ROUND_TRIP);
	struct td_cursor cursor = td_cursor_of(about ? about->data : (struct td_bytes){0});
	uint64_t spi_r = 0;

	return td_cursor_skip(&cursor, 4) && td_cursor_u64(&cursor, &spi_r) ? spi_r : 0;
}

// Returns NULL, or what is wrong.
static const char *answer_check(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *about = td_ike_notify_find(answer, TD_N_ONE_ROUND_TRIP);
	const struct td_onertt_first *first = sa->handshake->first;
	struct td_cursor cursor;
	uint8_t source, delivery;

	if (!about)
		return "the answer lacks ONE_ROUND_TRIP";
	cursor = td_cursor_of(about->data);
	if (!td_cursor_u8(&cursor, &source) || !td_cursor_u8(&cursor, &delivery) || !spi_inside(answer))
		return "the answer lacks an SPI";
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
	uint64_t estimate = td_onertt_time_now(sa);

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
	const char *wrong = answer_check(sa, answer);
	struct td_onertt_first *first = sa->handshake->first;

	// Somebody has changed the header on the way. The answer to the next repetition may be whole.
	if (!wrong && header->spi_r != spi_inside(answer)) {
		td_onertt_stats_of(sa->ike)->unauthentic++;
		return;
	}
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

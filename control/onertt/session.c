// SPDX-License-Identifier: BSD-3-Clause
// A session: an IKE SA that the one-round-trip exchange has made, and those that rekeys make of it. Every
// message of it carries a time and its code (S5).

#include "control/onertt/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void soon_due(void *context);

struct td_onertt *td_onertt_create(struct td_ike_sa *sa, bool client)
{
	struct td_onertt *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->client = client;
	session->end_timer = (struct td_timer){.fn = td_onertt_end_due, .context = sa};
	session->soon_timer = (struct td_timer){.fn = soon_due, .context = sa};
	sa->onertt = session;
	return session;
}

static int code_key_set(struct td_ike_sa *sa)
{
	TD_SECRET_AUTO key = {0};
	int ret = td_code_key(&sa->keys.d, "code", &key);

	if (ret == 0)
		td_freshness_key_set(&sa->onertt->freshness, &key);
	return ret;
}

int td_onertt_begin(struct td_ike_sa *sa, uint64_t session_us, uint64_t own_us, uint64_t seen_us)
{
	struct td_onertt *session = sa->onertt;

	td_freshness_start(&session->freshness, &sa->peer->config.onertt.window, session->client, session_us,
	    td_onertt_steady_us(sa->ike));
	td_freshness_note(&session->freshness, own_us,
	    session->client ? TD_FRESHNESS_ANSWER : TD_FRESHNESS_REQUEST, seen_us);
	return code_key_set(sa);
}

void td_onertt_established(struct td_ike_sa *sa)
{
	struct td_onertt *session = sa->onertt;
	uint64_t validity = sa->peer->config.onertt.session_ns;

	bool linked = sa->init_linked;

	td_ike_sa_established(sa);
	// Early data may have proved the initiator before it has message 2.
	if (linked)
		td_ike_sa_init_link(sa, false);
	session->end_ns = validity ? td_ike_now(sa->ike) + validity : 0;
	if (session->end_ns)
		td_timers_set(sa->ike->env.timers, &session->end_timer, session->end_ns);
}

int td_onertt_inherit(struct td_ike_sa *successor, const struct td_ike_sa *sa)
{
	const struct td_onertt *from = sa->onertt;
	struct td_onertt *session;

	if (!from)
		return 0;
	session = td_onertt_create(successor, from->client);
	if (!session)
		return -ENOMEM;
	session->freshness = from->freshness;
	// Its codes have a key of their own, so nothing of the old SA can come again.
	memset(session->freshness.seen_us, 0, sizeof(session->freshness.seen_us));
	session->incarnation = from->incarnation;
	session->end_ns = from->end_ns;
	if (session->end_ns)
		td_timers_set(sa->ike->env.timers, &session->end_timer, session->end_ns);
	return code_key_set(successor);
}

void td_onertt_attempt_free(struct td_ike_sa *sa)
{
	struct td_onertt_attempt *attempt = sa->onertt->attempt;

	if (!attempt)
		return;
	td_timers_cancel(sa->ike->env.timers, &attempt->early_timer);
	td_noise_wipe(&attempt->noise);
	td_x25519_free(&attempt->own);
	free((void *)(uintptr_t)attempt->body.data);
	td_wipe(attempt, sizeof(*attempt));
	free(attempt);
	sa->onertt->attempt = NULL;
}

// INITIAL_CONTACT would say this too, but it is written long before it is read: both sides may have made
// another session meanwhile.
void td_onertt_former_close(struct td_ike_sa *sa)
{
	struct td_ike_sa *other, *next;

	if (!sa->onertt->incarnation)
		return;
	for (other = TAILQ_FIRST(&sa->peer->sas); other; other = next) {
		next = TAILQ_NEXT(other, of_peer);
		if (other != sa && other->state != TD_IKE_CONNECTING && other->onertt &&
		    other->onertt->incarnation && other->onertt->incarnation != sa->onertt->incarnation &&
		    td_ike_id_equal(&other->remote_id, sa->remote_id.type,
		        (struct td_bytes){sa->remote_id.data, sa->remote_id.length}))
			td_ike_sa_close(other, "ike_down", "the peer has started anew");
	}
}

struct td_ike_sa *td_onertt_continued(struct td_ike_sa *sa)
{
	const struct td_onertt *session = sa->onertt;
	const uint64_t spis[2] = {session->continues_i, session->continues_r};

	// After rekeys by either side, either of the two may be ours.
	for (unsigned i = 0; i < 2; i++) {
		struct td_ike_sa *old = spis[i] ? td_ike_sa_find(sa->ike, spis[i]) : NULL;

		if (old && old != sa && old->spi_i == spis[0] && old->spi_r == spis[1] &&
		    old->peer == sa->peer && old->onertt && old->state == TD_IKE_ESTABLISHED)
			return old;
	}
	return NULL;
}

// A session is given up, because no other goes on for it, and the peer may not know: with the next one it
// hears that none of before is left.
static void life_count(const struct td_ike_sa *sa)
{
	const struct td_ike_sa *other;

	if (!sa->peer)
		return;
	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (other != sa && other->established_ns != 0)
			return;
	sa->peer->lives++;
}

void td_onertt_free(struct td_ike_sa *sa, const char *reason)
{
	struct td_onertt *session = sa->onertt;
	struct td_ike_sa *old;

	if (!session)
		return;
	// What it should have gone on for cannot go on.
	old = session->attempt && sa->peer ? td_onertt_continued(sa) : NULL;
	td_onertt_attempt_free(sa);
	td_timers_cancel(sa->ike->env.timers, &session->end_timer);
	td_timers_cancel(sa->ike->env.timers, &session->soon_timer);
	td_freshness_wipe(&session->freshness);
	free(session);
	sa->onertt = NULL;
	if (old) {
		life_count(old);
		td_ike_sa_close(
		    old, "ike_dead", reason ? reason : "its session has ended, and no other begins");
	}
}

// ---- messages ---------------------------------------------------------------------------------

int td_onertt_stamp(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	struct td_freshness_stamp stamp;
	int ret = td_freshness_next(&sa->onertt->freshness, td_onertt_steady_us(sa->ike), &stamp);

	if (ret < 0)
		return ret;
	td_onertt_stamp_write(chain, &stamp);
	return 0;
}

void td_onertt_verdict_count(struct td_ike *ike, enum td_freshness_verdict verdict)
{
	struct td_onertt_stats *stats = td_onertt_stats_of(ike);

	switch (verdict) {
	case TD_FRESHNESS_STALE:
		stats->stale++;
		break;
	case TD_FRESHNESS_FUTURE:
		stats->future++;
		break;
	case TD_FRESHNESS_REPLAYED:
		stats->replayed++;
		break;
	case TD_FRESHNESS_WRONG_CODE:
	case TD_FRESHNESS_FAILED:
		stats->wrong_code++;
		break;
	case TD_FRESHNESS_FRESH:
		break;
	}
}

// The responder's clock drifts against ours. Its answer was made between our request and now: where the
// session's time says otherwise, it is moved as little as that needs.
static void align(struct td_ike_sa *sa, uint64_t answer_us)
{
	struct td_freshness *freshness = &sa->onertt->freshness;
	int64_t most = (int64_t)(answer_us - sa->exchange.sent_ns / 1000);
	int64_t least = (int64_t)(answer_us - td_onertt_steady_us(sa->ike));

	if (freshness->offset_us > most)
		freshness->offset_us = most;
	if (freshness->offset_us < least)
		freshness->offset_us = least;
	sa->peer->ahead_us = freshness->offset_us;
	sa->peer->ahead_known = true;
}

bool td_onertt_fresh(struct td_ike_sa *sa, bool response, struct td_bytes inside, uint8_t first)
{
	struct td_freshness_stamp stamp;
	struct td_ike_payloads payloads;
	enum td_freshness_verdict verdict = TD_FRESHNESS_WRONG_CODE;
	int ret;

	if (!sa->onertt)
		return true;
	ret = td_ike_payloads_read(inside, first, &payloads);
	if ((ret == 0 || ret == -ENOTSUP) && td_onertt_stamp_read(&payloads, &stamp))
		verdict = td_freshness_accept(&sa->onertt->freshness,
		    response ? TD_FRESHNESS_ANSWER : TD_FRESHNESS_REQUEST, &stamp,
		    td_onertt_steady_us(sa->ike));
	td_onertt_verdict_count(sa->ike, verdict);
	if (verdict == TD_FRESHNESS_FRESH && response && sa->onertt->client)
		align(sa, stamp.time_us);
	return verdict == TD_FRESHNESS_FRESH;
}

// ---- proof of mode "secret" -------------------------------------------------------------------

bool td_onertt_is_unproven(const struct td_ike_sa *sa)
{
	return sa->onertt && !sa->initiator && sa->state == TD_IKE_CONNECTING &&
	       sa->peer->config.onertt.authentication == TD_ONERTT_SECRET;
}

// Whether a message deletes the child that goes out with this SPI.
static bool deletes(const struct td_ike_payloads *message, uint32_t spi_out)
{
	uint32_t spi;

	for (unsigned i = 0; i < message->delete_count; i++) {
		struct td_cursor cursor = td_cursor_of(message->deletes[i].spis);

		while (message->deletes[i].protocol == TD_IKE_PROTO_ESP && td_cursor_u32(&cursor, &spi))
			if (spi == spi_out)
				return true;
	}
	return false;
}

// By a message, or NULL: by a packet. A child that it deletes is not sent on any more.
static void proved(struct td_ike_sa *sa, const struct td_ike_payloads *message)
{
	struct td_ike_sa *old = td_onertt_continued(sa);
	struct td_ike_child *child, *next;

	td_onertt_established(sa);
	sa->ike->stats.established++;
	td_ike_event(sa, "ike_up", "in one round trip");
	if (old) {
		td_onertt_stats_of(sa->ike)->renewed++;
		td_ike_replace(old, sa);
	}
	for (child = TAILQ_FIRST(&sa->children); child; child = next) {
		next = TAILQ_NEXT(child, of_sa);
		if (child->life->state == TD_CHILD_PENDING && !(message && deletes(message, child->spi_out)))
			td_life_child_confirmed(child->life);
	}
	td_onertt_former_close(sa);
	td_ike_tasks_run(sa);
}

static void soon_due(void *context)
{
	struct td_ike_sa *sa = context;

	td_ike_bury(sa->ike);
	if (td_onertt_is_unproven(sa))
		proved(sa, NULL);
	else
		td_ike_tasks_run(sa);
}

void td_onertt_proved(struct td_ike_sa *sa, struct td_bytes inside, uint8_t first)
{
	struct td_ike_payloads message;

	if (td_onertt_is_unproven(sa))
		proved(sa, td_ike_payloads_read(inside, first, &message) == 0 ? &message : NULL);
}

void td_onertt_overtaken(struct td_ike_sa *sa)
{
	struct td_ike_sa *other;

	TAILQ_FOREACH (other, &sa->peer->sas, of_peer)
		if (td_onertt_is_unproven(other) && td_onertt_continued(other) == sa) {
			proved(other, NULL);
			return;
		}
}

void td_onertt_proved_soon(struct td_ike_sa *sa)
{
	if (td_onertt_is_unproven(sa))
		td_timers_set(sa->ike->env.timers, &sa->onertt->soon_timer, td_ike_now(sa->ike));
}

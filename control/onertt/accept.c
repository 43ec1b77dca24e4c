// SPDX-License-Identifier: BSD-3-Clause
// The session that a message 1 becomes, and message 2.

#include "control/onertt/asked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct td_bytes nothing;

static int handshake_make(struct td_ike_sa *sa, const struct td_onertt_asked *asked)
{
	struct td_ike_handshake *handshake = calloc(1, sizeof(*handshake));

	sa->handshake = handshake;
	if (!handshake)
		return -ENOMEM;
	handshake->first = td_onertt_first_create(asked->source, asked->delivery);
	if (!handshake->first)
		return -ENOMEM;
	handshake->first->spi = asked->spi;
	handshake->nonce_i.length = (uint16_t)asked->payloads.nonce.length;
	memcpy(handshake->nonce_i.data, asked->payloads.nonce.data, asked->payloads.nonce.length);
	handshake->nonce_r.length = TD_IKE_NONCE_BYTES;
	sa->ike->env.random(sa->ike->env.context, handshake->nonce_r.data, TD_IKE_NONCE_BYTES);
	if (asked->source != TD_ONERTT_INITIATOR)
		return 0;
	return asked->delivery == TD_ONERTT_WRAPPED
	           ? td_onertt_wrapped_read(handshake->first, &asked->noise, &asked->payloads)
	           : td_onertt_export_key(&asked->noise, "traffic", &handshake->first->traffic);
}

// The keys of the session are those of a finished handshake, and message 2 cannot be finished before the
// child that needs them is in place: they are taken from a copy, with an empty payload that nobody sees.
static int keys_make(struct td_ike_sa *sa, const struct td_noise *noise)
{
	uint8_t bytes[TD_NOISE_TAG_BYTES];
	struct td_writer unseen = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_noise copy = *noise;
	int ret = td_noise_write_payload(&copy, nothing, &unseen);

	if (ret == 0)
		ret = td_onertt_keys_make(sa, &copy);
	td_noise_wipe(&copy);
	return ret;
}

static void head_write(const struct td_ike_sa *sa, const struct td_onertt_asked *asked,
    const struct td_freshness_stamp *stamp, bool continues, struct td_ike_chain *chain)
{
	uint8_t about[12] = {(uint8_t)asked->source, (uint8_t)asked->delivery};
	struct td_writer writer = {.data = about, .capacity = sizeof(about), .length = 4};

	td_writer_u64(&writer, sa->spi_r);
	td_ike_notify_write(
	    chain, TD_IKE_PROTO_NONE, nothing, TD_N_ONE_ROUND_TRIP, td_writer_bytes_of(&writer));
	td_onertt_stamp_write(chain, stamp);
	td_ike_nonce_write(chain, td_ike_nonce_bytes(&sa->handshake->nonce_r));
	td_ike_natd_write(chain, sa, sa->spi_i, sa->spi_r);
	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	td_ike_token_write(sa, chain);
	td_onertt_incarnation_write(sa->peer, chain);
	if (continues)
		td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_CONTINUES, nothing);
}

// The SPIs of the session that message 1 goes on from; 0: of none.
static void continues_read(const struct td_ike_payloads *request, uint64_t *spi_i, uint64_t *spi_r)
{
	const struct td_ike_notify *notify = td_ike_notify_find(request, TD_N_CONTINUES);
	struct td_cursor cursor = td_cursor_of(notify ? notify->data : nothing);

	if (!td_cursor_u64(&cursor, spi_i) || !td_cursor_u64(&cursor, spi_r))
		*spi_i = *spi_r = 0;
}

// The child that message 1 wants to replace; NULL when it names none, or when the session before is not known
// here, which message 2 says. Returns 0 or the notify to refuse the child with: the ends would disagree about
// what it is a successor of (RFC 7296 2.25).
static uint16_t old_child(
    struct td_ike_sa *old, const struct td_ike_payloads *request, struct td_ike_child **child)
{
	const struct td_ike_notify *rekey = td_ike_notify_find(request, TD_N_REKEY_SA);

	*child = NULL;
	if (!old || !rekey)
		return 0;
	*child = td_ike_child_find_out(old, td_ike_spi32(rekey->spi));
	if (!*child)
		return old->exchange.negotiation.spi ? TD_N_TEMPORARY_FAILURE : TD_N_CHILD_SA_NOT_FOUND;
	return (*child)->erasing || (*child)->replaced ? TD_N_TEMPORARY_FAILURE : 0;
}

// The child first: rule 1. Returns 0 or -errno.
static int child_write(struct td_ike_sa *sa, const struct td_onertt_asked *asked,
    const struct td_noise *noise, struct td_ike_sa *old, struct td_ike_chain *chain)
{
	struct td_onertt_first *first = sa->handshake->first;
	struct td_ike_child *before, *child = NULL;
	uint16_t refusal = old_child(old, &asked->payloads, &before), group = 0;

	if (!refusal)
		child = td_ike_child_answer(sa, &asked->payloads, before, true, chain, &refusal, &group);
	if (!child) {
		td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, refusal, nothing);
		return 0;
	}
	if (before)
		before->replaced = true;
	if (first->source == TD_ONERTT_CONTRIBUTORY && first->delivery == TD_ONERTT_WRAPPED)
		return td_onertt_wrapped_write(first, noise, chain);
	return 0;
}

// Message 2, kept for repetitions of message 1. Returns 0 or -errno.
static int answer_make(struct td_ike_sa *sa, struct td_onertt_asked *asked, struct td_ike_sa *old)
{
	struct td_ike_header header = {.spi_i = sa->spi_i, .spi_r = sa->spi_r, .flags = TD_IKE_FLAG_RESPONSE};
	struct td_freshness_stamp stamp;
	struct td_ike_chain outer, chain;
	TD_SECRET_AUTO code_key = {0};
	size_t begin;
	int ret;

	td_onertt_message_start(sa->ike, &outer);
	begin = td_ike_payload_begin(&outer, TD_IKE_PAYLOAD_NOISE);
	td_writer_u32(&outer.writer, (uint32_t)asked->pattern << 24);
	ret = td_noise_write_tokens(&asked->noise, td_onertt_random, sa->ike, &outer.writer);
	if (ret == 0)
		ret = td_onertt_export_key(&asked->noise, "code", &code_key);
	if (ret == 0)
		ret = td_freshness_stamp_make(
		    &asked->peer->config.onertt.window, &code_key, asked->now_us, &stamp);
	if (ret == 0)
		ret = keys_make(sa, &asked->noise);
	if (ret == 0)
		ret = td_onertt_begin(sa, asked->now_us, asked->now_us, asked->time_us);
	if (ret < 0)
		return ret;
	td_onertt_chain_start(sa->ike, &chain);
	head_write(sa, asked, &stamp, old != NULL, &chain);
	ret = child_write(sa, asked, &asked->noise, old, &chain);
	if (ret == 0 && chain.writer.overflow)
		ret = -ENOSPC;
	if (ret == 0)
		ret = td_noise_write_payload(
		    &asked->noise, td_onertt_chain_end(sa->ike, &chain), &outer.writer);
	td_wipe(sa->ike->chain, chain.writer.length + 1);
	if (ret < 0)
		return ret;
	td_ike_payload_end(&outer, begin);
	return td_ike_packets_clear(&sa->answer, td_onertt_message_end(sa->ike, header, &outer));
}

// IK proves the initiator by message 1; who has only a secret has to show up once more.
static void answer_send(struct td_ike_sa *sa, struct td_ike_sa *old)
{
	bool unproven = td_onertt_is_unproven(sa);

	sa->expected_id = 1;
	if (unproven) {
		td_timers_set(sa->ike->env.timers, &sa->end_timer,
		    td_ike_now(sa->ike) + TD_IKE_HALF_OPEN_MS * 1000000ull);
	} else {
		td_onertt_established(sa);
		sa->ike->stats.established++;
		td_ike_event(sa, "ike_up", "in one round trip");
	}
	td_ike_sa_init_link(sa, unproven);
	td_ike_packets_send(sa, &sa->answer);
	if (unproven)
		return;
	if (old) {
		td_onertt_stats_of(sa->ike)->renewed++;
		td_ike_replace(old, sa);
	}
	td_onertt_former_close(sa);
	td_ike_tasks_run(sa);
}

// No message of the session has come but message 1. Packets of its child may have: early data, which the
// initiator gives up together with the attempt. In mode "secret" they are the proof that a new message 1
// still owes.
static bool is_untouched(const struct td_ike_sa *sa)
{
	bool secret = sa->peer->config.onertt.authentication == TD_ONERTT_SECRET;
	const struct td_ike_child *child;

	if (!sa->onertt || sa->initiator || !sa->init_linked || sa->onertt->continues_i ||
	    sa->heard_ns > sa->established_ns)
		return false;
	TAILQ_FOREACH (child, &sa->children, of_sa)
		if (secret && child->life->state != TD_CHILD_PENDING)
			return false;
	return true;
}

// An initiator that begins anew has given up what it did not go on with.
static void unproved_close(const struct td_ike_sa *anew)
{
	const struct td_onertt *session = anew->onertt;
	struct td_ike_sa *sa, *next;

	for (sa = TAILQ_FIRST(&anew->peer->sas); sa; sa = next) {
		next = TAILQ_NEXT(sa, of_peer);
		if (sa == anew || (sa->spi_i == session->continues_i && sa->spi_r == session->continues_r))
			continue;
		if (td_onertt_is_unproven(sa) || is_untouched(sa))
			td_ike_sa_close(sa, NULL, "the peer has begun anew");
	}
}

void td_onertt_accept(struct td_onertt_asked *asked)
{
	struct td_ike *ike = asked->ike;
	struct td_ike_sa *sa = td_ike_sa_create(ike, false, asked->path), *old;
	int ret;

	if (!sa)
		return;
	sa->spi_i = asked->header->spi_i;
	td_ike_sa_peer_set(sa, asked->peer);
	ret = td_onertt_create(sa, false) ? td_sha256(&asked->body, 1, sa->onertt->digest) : -ENOMEM;
	if (ret == 0)
		ret = handshake_make(sa, asked);
	if (ret < 0) {
		td_onertt_stats_of(ike)->malformed += ret == -ENOENT || ret == -EBADMSG;
		td_ike_sa_close(sa, NULL, NULL);
		return;
	}
	sa->peer_fragments = td_ike_notify_find(&asked->payloads, TD_N_FRAGMENTATION_SUPPORTED) != NULL;
	sa->remote_id = asked->peer->config.remote_id;
	td_ike_token_read(sa, &asked->payloads);
	td_ike_natd_check(sa, &asked->payloads, sa->spi_i, 0);
	sa->onertt->incarnation = asked->incarnation;
	continues_read(&asked->payloads, &sa->onertt->continues_i, &sa->onertt->continues_r);
	unproved_close(sa);
	old = td_onertt_continued(sa);
	// It names the session by SPIs that a rekey has brought: who has begun that has its children there.
	if (old)
		td_ike_rekey_settle(old);
	if (answer_make(sa, asked, old) < 0) {
		td_ike_sa_close(sa, "ike_failed", "an answer could not be made");
		return;
	}
	td_onertt_stats_of(ike)->accepted++;
	answer_send(sa, old);
}

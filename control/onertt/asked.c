// SPDX-License-Identifier: BSD-3-Clause
// The responder: who message 1 is from, whether it is fresh, and the session that answers it.

#include "control/onertt/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES 1024 // addresses that are counted apart, mostly
#define EPHEMERAL_BYTES 32

static const struct td_bytes nothing;

// A message 1 on its way to a session.
struct asked {
	struct td_ike *ike;
	const struct td_path *path;
	const struct td_ike_header *header;
	struct td_bytes body; // of the NOISE payload
	enum td_noise_pattern pattern;
	struct td_bytes key_id;
	struct td_noise noise;
	struct td_onertt_search search;
	struct td_ike_peer *peer;
	struct td_ike_payloads payloads;
	struct td_accepted_name name;
	uint64_t time_us, now_us; // its own, and ours
	enum td_onertt_source source;
	enum td_onertt_delivery delivery;
	uint32_t spi;
	uint64_t incarnation;
};

// ---- load ---------------------------------------------------------------------------------------

// First messages of this second.
struct td_onertt_load {
	uint64_t second, seed;
	unsigned asked, answers;
	uint16_t sources[SOURCES];
};

void td_onertt_load_free(struct td_ike *ike)
{
	free(ike->onertt_load);
	td_onertt_index_free(ike);
}

static struct td_onertt_load *load_of(struct td_ike *ike)
{
	uint64_t second = td_ike_now(ike) / 1000000000u;
	struct td_onertt_load *load = ike->onertt_load;

	if (!load) {
		load = ike->onertt_load = calloc(1, sizeof(*load));
		if (!load)
			return NULL;
		ike->env.random(ike->env.context, &load->seed, sizeof(load->seed));
	}
	if (load->second != second) {
		load->second = second;
		load->asked = load->answers = 0;
		memset(load->sources, 0, sizeof(load->sources));
	}
	return load;
}

bool td_onertt_answer_allowed(struct td_ike *ike)
{
	struct td_onertt_load *load = load_of(ike);

	return load && load->answers++ < TD_ONERTT_ANSWERS_PER_S;
}

static void clear_answer(const struct asked *asked, const struct td_ike_chain *outer, uint64_t spi_r)
{
	struct td_ike_header header = {
	    .spi_i = asked->header->spi_i, .spi_r = spi_r, .flags = TD_IKE_FLAG_RESPONSE};
	struct td_bytes message = td_onertt_message_end(asked->ike, header, outer);

	asked->ike->env.send(asked->ike->env.context, asked->path, message.data, message.length);
}

static void cookie_send(const struct asked *asked, struct td_bytes ephemeral)
{
	uint8_t cookie[TD_IKE_COOKIE_BYTES];
	struct td_ike_chain outer;

	td_ike_cookie_make(asked->ike, asked->path, asked->header->spi_i, ephemeral, cookie);
	td_onertt_message_start(asked->ike, &outer);
	td_ike_notify_write(
	    &outer, TD_IKE_PROTO_NONE, nothing, TD_N_COOKIE, (struct td_bytes){cookie, sizeof(cookie)});
	clear_answer(asked, &outer, 0);
	td_onertt_stats_of(asked->ike)->cookies_sent++;
}

// Under load nothing is computed for an initiator that has not shown that it receives at its address, and not
// much for one address.
static bool load_passed(
    const struct asked *asked, const struct td_ike_payloads *request, struct td_bytes ephemeral)
{
	const struct td_ike_notify *cookie = td_ike_notify_find(request, TD_N_COOKIE);
	struct td_ike *ike = asked->ike;
	struct td_onertt_load *load = load_of(ike);
	uint64_t hash;

	if (!load)
		return false;
	if (++load->asked <= TD_ONERTT_FREE_PER_S && ike->half_open < TD_IKE_HALF_OPEN_COOKIE)
		return true;
	if (!cookie ||
	    !td_ike_cookie_valid(ike, asked->path, asked->header->spi_i, ephemeral, cookie->data)) {
		ike->stats.cookies_wrong += cookie != NULL;
		cookie_send(asked, ephemeral);
		return false;
	}
	hash = td_hash_mix(load->seed ^ td_ike_addresses_hash(&asked->path->local, &asked->path->remote));
	if (load->sources[hash % SOURCES]++ >= TD_ONERTT_SOURCE_PER_S) {
		td_onertt_stats_of(ike)->limited++;
		return false;
	}
	// With IK nothing stays half open.
	if (asked->pattern == TD_NOISE_IK || ike->half_open < TD_IKE_HALF_OPEN_MAX)
		return true;
	ike->stats.half_open_refused++;
	return false;
}

// ---- who it is ----------------------------------------------------------------------------------

static bool static_is_valid(const struct asked *asked, const struct td_ike_peer *peer)
{
	int64_t now = asked->ike->env.unix_time(asked->ike->env.context);
	struct td_error error;

	return td_onertt_remote_check_time(peer->config.onertt.remote, now, &error) == 0;
}

static bool static_is_known(struct asked *asked)
{
	const struct td_ike_peer *peer;

	if (asked->pattern != TD_NOISE_IK)
		return true;
	td_onertt_search_static(&asked->search, asked->noise.remote_static);
	while ((peer = td_onertt_search_next(asked->ike, &asked->search)))
		if (static_is_valid(asked, peer))
			return true;
	return false;
}

// The identity in message 1 is the peer's, and means us.
static bool ids_fit(const struct asked *asked, const struct td_ike_peer *peer)
{
	const struct td_ike_peer_config *config = &peer->config;
	const struct td_ike_payloads *request = &asked->payloads;

	if (config->onertt.authentication == TD_ONERTT_KEY)
		return true;
	return request->id_i.data.data &&
	       td_ike_id_equal(&config->remote_id, request->id_i.type, request->id_i.data) &&
	       (!request->id_r.data.data ||
	           td_ike_id_equal(&config->local_id, request->id_r.type, request->id_r.data));
}

static bool peer_find(struct asked *asked)
{
	const struct td_ike_id_view *id = &asked->payloads.id_i;
	struct td_ike_peer *peer;

	if (asked->pattern == TD_NOISE_IK)
		td_onertt_search_static(&asked->search, asked->noise.remote_static);
	else
		td_onertt_search_id(&asked->search, id->type, id->data);
	while ((peer = td_onertt_search_next(asked->ike, &asked->search)))
		if (ids_fit(asked, peer) && (asked->pattern != TD_NOISE_IK || static_is_valid(asked, peer)))
			break;
	asked->peer = peer;
	return peer != NULL;
}

// Opens message 1. True: it is from asked->peer, as far as the pattern proves that.
static bool open_it(struct asked *asked, const struct td_ike_peer *with, struct td_cursor message)
{
	struct td_onertt_stats *stats = td_onertt_stats_of(asked->ike);
	uint8_t bytes[TD_ONERTT_PROLOGUE_BYTES];
	struct td_noise_setup setup = {
	    .pattern = asked->pattern,
	    .prologue = td_onertt_prologue(asked->header->spi_i, asked->pattern, asked->key_id.data, bytes),
	    .own = &with->config.onertt.own->pair,
	};
	int ret;

	if (td_noise_start(&asked->noise, &setup) < 0 || td_noise_read_static(&asked->noise, &message) < 0) {
		stats->unauthentic++;
		return false;
	}
	if (!static_is_known(asked)) {
		stats->unknown_key++;
		return false;
	}
	if (td_noise_read_tokens(&asked->noise, &message) < 0) {
		stats->unauthentic++;
		return false;
	}
	ret = td_onertt_payloads_read(asked->ike, &asked->noise, &message, &asked->payloads);
	if (ret < 0) {
		*(ret == -EACCES ? &stats->unauthentic : &stats->malformed) += 1;
		return false;
	}
	if (!peer_find(asked)) {
		stats->unknown_id++;
		return false;
	}
	if (asked->pattern == TD_NOISE_NKPSK2 &&
	    td_noise_psk_set(&asked->noise, &asked->peer->config.onertt.secret) < 0)
		return false;
	return true;
}

static bool name_make(struct asked *asked)
{
	const struct td_ike_id_view *id = &asked->payloads.id_i;

	return (asked->pattern == TD_NOISE_IK
	               ? td_accepted_name_key(asked->noise.remote_static, &asked->name)
	               : td_accepted_name_id(id->type, id->data.data, id->data.length, &asked->name)) == 0;
}

// ---- refusing -----------------------------------------------------------------------------------

// Each peer has its own few, apart from answers that anybody can ask for: who uses those up keeps nobody from
// hearing what time it is.
static bool refusal_allowed(const struct asked *asked)
{
	uint64_t second = td_ike_now(asked->ike) / 1000000000u;
	struct td_ike_peer *peer = asked->peer;

	if (second != peer->told_second) {
		peer->told_second = second;
		peer->told = 0;
	}
	return peer->told++ < TD_ONERTT_REFUSALS_PER_S;
}

// Says no, as somebody whom the initiator knows; nothing is kept.
static void refuse(struct asked *asked, uint16_t notify, uint64_t time_us)
{
	const struct td_freshness_window *window = &asked->peer->config.onertt.window;
	struct td_freshness_stamp stamp;
	struct td_ike_chain outer, chain;
	TD_SECRET_AUTO code_key = {0};
	size_t begin;

	if (!refusal_allowed(asked))
		return;
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
	clear_answer(asked, &outer, 0);
	td_onertt_stats_of(asked->ike)->told_stale += notify == TD_N_STALE;
}

// Whether message 1 is of now, and none that was accepted or could have been.
static bool is_fresh(struct asked *asked)
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
static bool is_wanted(struct asked *asked)
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

// ---- accepting ----------------------------------------------------------------------------------

static int handshake_make(struct td_ike_sa *sa, const struct asked *asked)
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

static void head_write(const struct td_ike_sa *sa, const struct asked *asked,
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
static int child_write(struct td_ike_sa *sa, const struct asked *asked, const struct td_noise *noise,
    struct td_ike_sa *old, struct td_ike_chain *chain)
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
static int answer_make(struct td_ike_sa *sa, struct asked *asked, struct td_ike_sa *old)
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

static void accept_it(struct asked *asked)
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
	if (answer_make(sa, asked, old) < 0) {
		td_ike_sa_close(sa, "ike_failed", "an answer could not be made");
		return;
	}
	td_onertt_stats_of(ike)->accepted++;
	answer_send(sa, old);
}

// Nothing moves to another session while a child is being made in the old one, whose answer would then
// come to nobody (RFC 7296 2.25.2 for rekeys of the IKE SA). The initiator asks again. Its time is kept
// before that: what was refused is not accepted when it comes again.
static bool is_settled(struct asked *asked)
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

static bool keep(const struct asked *asked)
{
	struct td_ike *ike = asked->ike;
	int result = td_accepted_commit(ike->env.accepted, &asked->name, asked->time_us,
	    ike->env.wall_us(ike->env.context), td_onertt_steady_us(ike));

	td_onertt_stats_of(ike)->not_kept += result != 0 && result != -EAGAIN;
	return result == 0;
}

// ---- message 1 ----------------------------------------------------------------------------------

// A request that comes again gets the same answer again, until the initiator has gone on.
static bool answered_again(const struct asked *asked)
{
	struct td_ike_sa *sa = td_ike_sa_find_init(asked->ike, asked->header->spi_i, asked->path);
	uint8_t digest[sizeof(sa->onertt->digest)];

	if (!sa)
		return false;
	if (sa->onertt && td_sha256(&asked->body, 1, digest) == 0 &&
	    memcmp(sa->onertt->digest, digest, sizeof(digest)) == 0)
		td_ike_answer_again(sa, asked->path);
	else
		asked->ike->stats.unexpected++;
	return true;
}

static void noise_asked(struct asked *asked, const struct td_ike_payloads *request, struct td_cursor message)
{
	const struct td_ike_peer *with;

	if (!load_passed(asked, request, (struct td_bytes){message.next, EPHEMERAL_BYTES}))
		return;
	td_onertt_search_key(&asked->search, asked->path, asked->pattern, asked->key_id);
	with = td_onertt_search_next(asked->ike, &asked->search);
	if (!with) {
		td_onertt_stats_of(asked->ike)->unknown_key++;
		return;
	}
	if (open_it(asked, with, message) && name_make(asked) && is_fresh(asked) && is_wanted(asked) &&
	    keep(asked) && is_settled(asked))
		accept_it(asked);
	td_noise_wipe(&asked->noise);
}

void td_onertt_asked(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message)
{
	struct td_bytes body = {message.data + TD_IKE_HEADER_BYTES, message.length - TD_IKE_HEADER_BYTES};
	struct asked asked = {.ike = ike, .path = path, .header = header};
	struct td_ike_payloads request;
	struct td_cursor cursor;
	uint8_t pattern, zero;
	uint16_t zeros;

	if (!ike->env.accepted || !ike->env.wall_us) {
		ike->stats.unexpected++;
		return;
	}
	td_onertt_stats_of(ike)->asked++;
	if (message.length > TD_IKE_INIT_MAX || header->spi_i == 0 || header->spi_r != 0 ||
	    header->message_id != 0 || !(header->flags & TD_IKE_FLAG_INITIATOR) ||
	    td_ike_payloads_read(body, header->next_payload, &request) < 0 || !request.noise.data)
		goto malformed;
	cursor = td_cursor_of(request.noise);
	// The three bytes are not in the prologue: whoever changed them on the way would make another message
	// of it, that only looks like the one which comes again.
	if (!td_cursor_u8(&cursor, &pattern) || !td_cursor_u8(&cursor, &zero) ||
	    !td_cursor_u16(&cursor, &zeros) || zero != 0 || zeros != 0 ||
	    !td_cursor_take(&cursor, TD_ONERTT_KEY_ID_BYTES, &asked.key_id) ||
	    cursor.left < EPHEMERAL_BYTES || (pattern != TD_NOISE_IK && pattern != TD_NOISE_NKPSK2))
		goto malformed;
	asked.pattern = (enum td_noise_pattern)pattern;
	asked.body = request.noise;
	if (!answered_again(&asked))
		noise_asked(&asked, &request, cursor);
	return;
malformed:
	td_onertt_stats_of(ike)->malformed++;
}

// SPDX-License-Identifier: BSD-3-Clause
// IKE_SA_INIT (RFC 7296 1.2): keys out of nonces and a Diffie-Hellman exchange, nothing authenticated yet.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct td_bytes nothing;

void td_ike_nonce_lowest(struct td_bytes a, struct td_bytes b, struct td_ike_nonce *lowest)
{
	size_t common = a.length < b.length ? a.length : b.length;
	int order = memcmp(a.data, b.data, common);
	struct td_bytes low = order < 0 || (order == 0 && a.length < b.length) ? a : b;

	lowest->length = (uint16_t)low.length;
	memcpy(lowest->data, low.data, low.length);
}

int td_ike_nonce_compare(const struct td_ike_nonce *a, const struct td_ike_nonce *b)
{
	size_t common = a->length < b->length ? a->length : b->length;
	int order = memcmp(a->data, b->data, common);

	return order ? order : (int)a->length - (int)b->length;
}

static void nonce_make(struct td_ike *ike, struct td_ike_nonce *nonce)
{
	nonce->length = TD_IKE_NONCE_BYTES;
	ike->env.random(ike->env.context, nonce->data, nonce->length);
}

static bool nonce_take(struct td_bytes bytes, struct td_ike_nonce *nonce)
{
	if (bytes.length < TD_IKE_NONCE_MIN_BYTES || bytes.length > TD_IKE_NONCE_MAX_BYTES)
		return false;
	nonce->length = (uint16_t)bytes.length;
	memcpy(nonce->data, bytes.data, bytes.length);
	return true;
}

// RFC 7427 4: which hashes we take in signatures.
static void hashes_write(struct td_ike_chain *chain)
{
	static const uint8_t hashes[] = {
	    0, TD_HASH_SHA2_256, 0, TD_HASH_SHA2_384, 0, TD_HASH_SHA2_512, 0, TD_HASH_IDENTITY};

	td_ike_notify_write(chain, TD_IKE_PROTO_NONE, nothing, TD_N_SIGNATURE_HASH_ALGORITHMS,
	    (struct td_bytes){hashes, sizeof(hashes)});
}

static void abilities_read(struct td_ike_sa *sa, const struct td_ike_payloads *payloads)
{
	const struct td_ike_notify *hashes = td_ike_notify_find(payloads, TD_N_SIGNATURE_HASH_ALGORITHMS);
	uint16_t hash;

	sa->peer_fragments = td_ike_notify_find(payloads, TD_N_FRAGMENTATION_SUPPORTED) != NULL;
	if (!hashes)
		return;
	for (struct td_cursor cursor = td_cursor_of(hashes->data); td_cursor_u16(&cursor, &hash);)
		if (hash < 32)
			sa->peer_hashes |= 1u << hash;
}

// Our first message, whole. *length is in and out. Returns 0 or -ENOSPC.
static int message_write(
    struct td_ike_sa *sa, const struct td_ike_chain *chain, bool response, struct td_writer *writer)
{
	struct td_ike_header header = {
	    .spi_i = sa->spi_i,
	    .spi_r = sa->spi_r,
	    .next_payload = chain->first,
	    .version = TD_IKE_VERSION,
	    .exchange = TD_IKE_SA_INIT,
	    .flags = response ? TD_IKE_FLAG_RESPONSE : TD_IKE_FLAG_INITIATOR,
	    .length = (uint32_t)(TD_IKE_HEADER_BYTES + chain->writer.length),
	};

	td_ike_header_write(writer, &header);
	td_writer_bytes(writer, chain->writer.data, chain->writer.length);
	return writer->overflow || chain->writer.overflow ? -ENOSPC : 0;
}

static int message_keep(uint8_t **copy, size_t *length, struct td_bytes message)
{
	uint8_t *bytes = malloc(message.length);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, message.data, message.length);
	free(*copy);
	*copy = bytes;
	*length = message.length;
	return 0;
}

// g^ir becomes the keys of the SA. Returns 0, -EBADMSG (the peer's value is bad) or -EIO.
static int keys_make(struct td_ike_sa *sa, struct td_bytes peer_value)
{
	struct td_ike_handshake *handshake = sa->handshake;
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	const struct td_ike_random random = td_ike_random_of(sa->ike);
	size_t length;
	int ret = td_dh_agree(handshake->dh, peer_value, shared, &length);

	if (ret == 0)
		ret = td_ike_keys_derive(&sa->suite, (struct td_bytes){shared, length},
		    td_ike_nonce_bytes(&handshake->nonce_i), td_ike_nonce_bytes(&handshake->nonce_r),
		    sa->spi_i, sa->spi_r, NULL, 0, &random, &sa->keys);
	td_wipe(shared, sizeof(shared));
	return ret;
}

// ---- initiator --------------------------------------------------------------------------------

static void init_answered(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	// Answers in the clear come by td_ike_init_answered, which needs their bytes.
	(void)sa;
	(void)answer;
}

// Sends the request, with whatever cookie and group it has by now. Returns 0 or -errno.
static int init_send(struct td_ike_sa *sa)
{
	struct td_ike_handshake *handshake = sa->handshake;
	struct td_writer writer = {.data = sa->ike->message, .capacity = sizeof(sa->ike->message)};
	struct td_ike_chain chain;
	int ret;

	if (!handshake->dh || td_dh_group(handshake->dh) != handshake->group) {
		td_dh_free(handshake->dh);
		handshake->dh = td_dh_create(handshake->group);
		if (!handshake->dh)
			return -EIO;
	}
	td_ike_chain_start(sa->ike, &chain);
	if (handshake->cookie_length)
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_COOKIE,
		    (struct td_bytes){handshake->cookie, handshake->cookie_length});
	td_ike_proposals_write(&chain, &sa->peer->config.proposals, NULL, 0);
	td_ike_ke_write(&chain, handshake->group, td_dh_public(handshake->dh));
	td_ike_nonce_write(&chain, td_ike_nonce_bytes(&handshake->nonce_i));
	td_ike_natd_write(&chain, sa, sa->spi_i, 0);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	hashes_write(&chain);
	ret = message_write(sa, &chain, false, &writer);
	if (ret == 0)
		ret = message_keep(
		    &handshake->own_message, &handshake->own_length, td_writer_bytes_of(&writer));
	return ret < 0 ? ret
	               : td_ike_request_clear(sa, TD_IKE_SA_INIT, td_writer_bytes_of(&writer), init_answered);
}

static struct td_ike_sa *connecting(const struct td_ike_peer *peer)
{
	struct td_ike_sa *sa;

	TAILQ_FOREACH (sa, &peer->sas, of_peer)
		if (sa->state == TD_IKE_CONNECTING && sa->initiator)
			return sa;
	return NULL;
}

static void tasks_take(struct td_ike_peer *peer, struct td_ike_sa *sa)
{
	struct td_ike_task *task;

	while ((task = TAILQ_FIRST(&peer->waiting))) {
		TAILQ_REMOVE(&peer->waiting, task, entry);
		TAILQ_INSERT_TAIL(&sa->tasks, task, entry);
	}
}

static void waiting_fail(struct td_ike_peer *peer, const char *reason)
{
	struct td_ike_task *task;

	while ((task = TAILQ_FIRST(&peer->waiting))) {
		TAILQ_REMOVE(&peer->waiting, task, entry);
		td_ike_task_failed(task, TD_FAIL_TEMPORARY, reason);
		td_ike_task_free(task);
	}
}

void td_ike_init_start(struct td_ike_peer *peer)
{
	struct td_path path = {
	    .local = peer->config.local_address,
	    .remote = peer->config.remote_address,
	    .local_port = TD_IKE_PORT,
	    .remote_port = TD_IKE_PORT,
	};
	struct td_ike_sa *sa = connecting(peer);

	if (peer->config.onertt.enabled && peer->config.encapsulate)
		path.local_port = path.remote_port = TD_IKE_NATT_PORT;
	if (sa) {
		tasks_take(peer, sa);
		return;
	}
	if (path.remote.family == 0) {
		waiting_fail(peer, "the peer's address is not known; it has to start");
		return;
	}
	if (peer->config.onertt.enabled && !peer->config.onertt.remote) {
		waiting_fail(peer, "the peer's key is not known; it has to start");
		return;
	}
	sa = td_ike_sa_create(peer->ike, true, &path);
	if (!sa) {
		waiting_fail(peer, "out of memory");
		return;
	}
	td_ike_sa_peer_set(sa, peer);
	tasks_take(peer, sa);
	sa->handshake = calloc(1, sizeof(*sa->handshake));
	if (!sa->handshake) {
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "out of memory");
		return;
	}
	nonce_make(peer->ike, &sa->handshake->nonce_i);
	if (peer->config.onertt.enabled) {
		td_onertt_start(sa, NULL);
		return;
	}
	sa->handshake->group = td_ike_proposals_dh(&peer->config.proposals);
	if (init_send(sa) < 0)
		td_ike_sa_fail(sa, TD_FAIL_TEMPORARY, "IKE_SA_INIT could not be made");
}

// What came has no proof of its sender: the request goes on being repeated, and this is why it failed if
// nothing better comes (RFC 7296 2.21.1). The first reason counts: whoever looks on can only be the second.
static void refusal_note(struct td_ike_sa *sa, enum td_life_failure failure, const char *reason)
{
	struct td_ike_handshake *handshake = sa->handshake;

	if (handshake->refusal.reason[0])
		return;
	(void)td_error_set(&handshake->refusal, 0, NULL, NULL, "%s", reason);
	handshake->failure = failure;
	td_ike_event(sa, "ike_refused", handshake->refusal.reason);
}

// The responder wants a cookie or another group. True: the request was sent again.
static bool init_restart(struct td_ike_sa *sa, const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *cookie = td_ike_notify_find(answer, TD_N_COOKIE);
	const struct td_ike_notify *group = td_ike_notify_find(answer, TD_N_INVALID_KE_PAYLOAD);
	struct td_ike_handshake *handshake = sa->handshake;
	uint16_t wanted;

	if (handshake->restarts >= TD_IKE_INIT_RESTARTS)
		return false;
	if (cookie && cookie->data.length > 0 && cookie->data.length <= TD_IKE_COOKIE_MAX_BYTES) {
		memcpy(handshake->cookie, cookie->data.data, cookie->data.length);
		handshake->cookie_length = (uint16_t)cookie->data.length;
	} else if (group) {
		struct td_cursor cursor = td_cursor_of(group->data);

		if (!td_cursor_u16(&cursor, &wanted) || wanted == handshake->group ||
		    !td_ike_proposals_have_dh(&sa->peer->config.proposals, wanted))
			return false;
		handshake->group = wanted;
	} else {
		return false;
	}
	handshake->restarts++;
	return init_send(sa) == 0;
}

// What the responder chose must be something that was offered. Returns NULL, or what is wrong.
static const char *init_choice(
    struct td_ike_sa *sa, const struct td_ike_header *header, const struct td_ike_payloads *answer)
{
	struct td_ike_proposals chosen;

	if (header->spi_r == 0 || !answer->sa.data || !answer->ke.data || !answer->nonce.data)
		return "the answer to IKE_SA_INIT lacks a payload";
	if (td_ike_proposals_read(answer->sa, &chosen) < 0 || chosen.count != 1 ||
	    !td_ike_proposal_is_choice(&sa->peer->config.proposals, &chosen.list[0], false))
		return "the peer chose a proposal that was not offered";
	sa->suite = td_ike_suite_of(&chosen.list[0]);
	if (sa->suite.dh != sa->handshake->group || answer->ke_group != sa->handshake->group)
		return "the peer chose a Diffie-Hellman group and used another";
	if (!nonce_take(answer->nonce, &sa->handshake->nonce_r))
		return "the peer's nonce has a wrong length";
	return NULL;
}

void td_ike_init_answered(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes message,
    const struct td_ike_payloads *answer)
{
	const struct td_ike_notify *failure = td_ike_notify_error(answer);
	struct td_error error = {0};
	const char *wrong;

	if (sa->state != TD_IKE_CONNECTING || !sa->initiator || sa->exchange.type != TD_IKE_SA_INIT ||
	    !sa->exchange.answered || header->message_id != 0) {
		sa->ike->stats.unexpected++;
		return;
	}
	if (td_ike_notify_find(answer, TD_N_COOKIE) || td_ike_notify_find(answer, TD_N_INVALID_KE_PAYLOAD)) {
		if (!init_restart(sa, answer))
			refusal_note(
			    sa, TD_FAIL_TEMPORARY, "the peer's wishes for IKE_SA_INIT cannot be met");
		return;
	}
	if (failure) {
		sa->ike->stats.no_proposal += failure->type == TD_N_NO_PROPOSAL_CHOSEN;
		(void)td_error_set(
		    &error, 0, NULL, NULL, "the peer refuses: %s", td_ike_notify_name(failure->type));
		refusal_note(sa, TD_FAIL_PERMANENT, error.reason);
		return;
	}
	wrong = init_choice(sa, header, answer);
	if (wrong) {
		refusal_note(sa, TD_FAIL_PERMANENT, wrong);
		return;
	}
	sa->spi_r = header->spi_r;
	if (keys_make(sa, answer->ke) < 0 ||
	    message_keep(&sa->handshake->peer_message, &sa->handshake->peer_length, message) < 0) {
		sa->spi_r = 0;
		td_ike_keys_wipe(&sa->keys);
		refusal_note(sa, TD_FAIL_TEMPORARY, "no keys from IKE_SA_INIT");
		return;
	}
	sa->handshake->refusal.reason[0] = 0;
	abilities_read(sa, answer);
	td_ike_natd_check(sa, answer, sa->spi_i, sa->spi_r);
	if (sa->nat_local || sa->nat_remote) {
		sa->path.local_port = TD_IKE_NATT_PORT;
		sa->path.remote_port = TD_IKE_NATT_PORT;
	}
	(void)td_ike_exchange_end(sa);
	td_ike_auth_start(sa);
}

// ---- responder --------------------------------------------------------------------------------

static void init_refuse(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    uint16_t notify, struct td_bytes data)
{
	uint8_t message[256];
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};
	struct td_ike_sa stub = {.spi_i = header->spi_i};
	struct td_ike_chain chain;

	td_ike_chain_start(ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, notify, data);
	if (message_write(&stub, &chain, true, &writer) == 0)
		ike->env.send(ike->env.context, path, message, writer.length);
}

// It has cost keys, or a comparison of proposals: a flood of such has to show cookies too.
static void spoil(struct td_ike *ike)
{
	ike->spoiled += ike->spoiled < TD_IKE_HALF_OPEN_COOKIE;
	ike->spoiled_until_ns = td_ike_now(ike) + TD_IKE_HALF_OPEN_MS * 1000000ull;
}

// Under load nothing is kept before the initiator has shown that it receives at its address (RFC 7296 2.6).
static bool cookie_passed(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    const struct td_ike_payloads *request)
{
	const struct td_ike_notify *notify = td_ike_notify_find(request, TD_N_COOKIE);
	uint8_t cookie[TD_IKE_COOKIE_BYTES];

	if (ike->spoiled && td_ike_now(ike) >= ike->spoiled_until_ns)
		ike->spoiled = 0;
	if (ike->half_open + ike->spoiled < TD_IKE_HALF_OPEN_COOKIE)
		return true;
	if (notify && td_ike_cookie_valid(ike, path, header->spi_i, request->nonce, notify->data)) {
		if (ike->half_open < TD_IKE_HALF_OPEN_MAX &&
		    td_ike_source_count(ike, &path->remote) < TD_IKE_HALF_OPEN_SOURCE_MAX)
			return true;
		ike->stats.half_open_refused++;
		return false;
	}
	if (notify)
		ike->stats.cookies_wrong++;
	ike->stats.cookies_sent++;
	td_ike_cookie_make(ike, path, header->spi_i, request->nonce, cookie);
	init_refuse(ike, path, header, TD_N_COOKIE, (struct td_bytes){cookie, sizeof(cookie)});
	return false;
}

// The first peer between these addresses that has a proposal in common with the offer.
static struct td_ike_peer *peer_choose(struct td_ike *ike, const struct td_path *path,
    struct td_bytes sa_payload, struct td_ike_proposal *chosen)
{
	const struct td_ike_place *place = NULL;
	struct td_ike_proposals offered;

	if (td_ike_proposals_read(sa_payload, &offered) < 0)
		return NULL;
	while ((place = td_ike_place_next(ike, path, place)))
		for (unsigned i = 0; i < place->offer_count; i++)
			if (td_ike_proposal_choose(
			        &place->offers[i]->config.proposals, &offered, false, chosen) == 0)
				return place->offers[i];
	return NULL;
}

// Who is not asked for certificates may send none (RFC 7296 3.7). The initiator can still be any of the peers
// between these addresses.
static void certreqs_write(struct td_ike_sa *sa, struct td_ike_chain *chain)
{
	const struct td_ike_place *place = NULL;
	unsigned written = 0;

	while ((place = td_ike_place_next(sa->ike, &sa->path, place)))
		for (unsigned i = 0; i < place->truster_count && written < TD_IKE_CERTS_MAX; i++, written++)
			td_ike_certreq_write(chain, place->trusters[i]->config.remote);
}

static int init_answer(struct td_ike_sa *sa, const struct td_ike_proposal *chosen)
{
	struct td_ike_handshake *handshake = sa->handshake;
	struct td_ike_proposals proposals = {.count = 1, .list = {*chosen}};
	struct td_writer writer = {.data = sa->ike->message, .capacity = sizeof(sa->ike->message)};
	struct td_ike_chain chain;
	int ret;

	td_ike_chain_start(sa->ike, &chain);
	td_ike_proposals_write(&chain, &proposals, NULL, 0);
	td_ike_ke_write(&chain, sa->suite.dh, td_dh_public(handshake->dh));
	td_ike_nonce_write(&chain, td_ike_nonce_bytes(&handshake->nonce_r));
	td_ike_natd_write(&chain, sa, sa->spi_i, sa->spi_r);
	certreqs_write(sa, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, nothing, TD_N_FRAGMENTATION_SUPPORTED, nothing);
	hashes_write(&chain);
	ret = message_write(sa, &chain, true, &writer);
	if (ret == 0)
		ret = message_keep(
		    &handshake->own_message, &handshake->own_length, td_writer_bytes_of(&writer));
	if (ret == 0)
		ret = td_ike_packets_clear(&sa->answer, td_writer_bytes_of(&writer));
	return ret;
}

// Fills a new responder's SA from the request. Returns 0, -EBADMSG or another -errno.
static int init_accept(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes message,
    const struct td_ike_payloads *request, const struct td_ike_proposal *chosen)
{
	struct td_ike_handshake *handshake = calloc(1, sizeof(*handshake));
	int ret;

	if (!handshake)
		return -ENOMEM;
	sa->handshake = handshake;
	sa->spi_i = header->spi_i;
	handshake->chosen = *chosen;
	sa->suite = td_ike_suite_of(chosen);
	handshake->dh = td_dh_create(sa->suite.dh);
	if (!handshake->dh)
		return -EIO;
	if (!nonce_take(request->nonce, &handshake->nonce_i))
		return -EBADMSG;
	nonce_make(sa->ike, &handshake->nonce_r);
	ret = keys_make(sa, request->ke);
	if (ret == 0)
		ret = message_keep(&handshake->peer_message, &handshake->peer_length, message);
	if (ret < 0)
		return ret;
	abilities_read(sa, request);
	td_ike_natd_check(sa, request, sa->spi_i, 0);
	sa->expected_id = 1;
	return init_answer(sa, chosen);
}

void td_ike_init_asked(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message)
{
	struct td_bytes body = {message.data + TD_IKE_HEADER_BYTES, message.length - TD_IKE_HEADER_BYTES};
	struct td_ike_payloads request;
	struct td_ike_proposal chosen;
	struct td_ike_peer *peer;
	struct td_ike_sa *sa;

	if (message.length > TD_IKE_INIT_MAX || header->spi_i == 0 || header->spi_r != 0 ||
	    header->message_id != 0 || !(header->flags & TD_IKE_FLAG_INITIATOR) ||
	    td_ike_payloads_read(body, header->next_payload, &request) < 0 || !request.sa.data ||
	    !request.ke.data || request.nonce.length < TD_IKE_NONCE_MIN_BYTES ||
	    request.nonce.length > TD_IKE_NONCE_MAX_BYTES) {
		ike->stats.malformed++;
		return;
	}
	sa = td_ike_sa_find_init(ike, header->spi_i, path, false);
	if (sa) {
		// Only the very request is one that comes again (RFC 7296 2.1), and gets no more than it
		// cost.
		if (sa->handshake && td_bytes_equal(message, (struct td_bytes){sa->handshake->peer_message,
		                                                 sa->handshake->peer_length}))
			td_ike_answer_again(sa, path);
		else
			ike->stats.unexpected++;
		return;
	}
	if (!cookie_passed(ike, path, header, &request))
		return;
	peer = peer_choose(ike, path, request.sa, &chosen);
	if (!peer) {
		ike->stats.no_proposal++;
		spoil(ike);
		td_ike_init_refused(ike, path, &request);
		if (td_ike_hint_allowed(ike))
			init_refuse(ike, path, header, TD_N_NO_PROPOSAL_CHOSEN, nothing);
		return;
	}
	struct td_ike_suite suite = td_ike_suite_of(&chosen);
	if (request.ke_group != suite.dh) {
		uint8_t group[2] = {(uint8_t)(suite.dh >> 8), (uint8_t)suite.dh};

		init_refuse(
		    ike, path, header, TD_N_INVALID_KE_PAYLOAD, (struct td_bytes){group, sizeof(group)});
		return;
	}
	sa = td_ike_sa_create(ike, false, path);
	if (!sa)
		return;
	td_ike_sa_peer_set(sa, peer);
	if (init_accept(sa, header, message, &request, &chosen) < 0) {
		spoil(ike);
		td_ike_sa_close(sa, NULL, NULL);
		return;
	}
	td_ike_sa_init_link(sa, true);
	td_timers_set(ike->env.timers, &sa->end_timer, td_ike_now(ike) + TD_IKE_HALF_OPEN_MS * 1000000ull);
	td_ike_packets_send(sa, &sa->answer);
}

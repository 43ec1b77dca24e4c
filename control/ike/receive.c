// SPDX-License-Identifier: BSD-3-Clause
// Which SA a message, or a hint of the data plane, is for, and which exchange it belongs to.

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- messages ---------------------------------------------------------------------------------

// Unprotected answers are few, whoever asks (RFC 7296 2.21.4).
bool td_ike_hint_allowed(struct td_ike *ike)
{
	uint64_t second = td_ike_now(ike) / 1000000000u;

	if (second != ike->hint_second) {
		ike->hint_second = second;
		ike->hints = 0;
	}
	return ike->hints++ < TD_IKE_HINTS_PER_S;
}

static void clear_send(struct td_ike *ike, const struct td_path *path, struct td_ike_header header,
    const struct td_ike_chain *chain)
{
	uint8_t message[512];
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};

	header.next_payload = chain->first;
	header.version = TD_IKE_VERSION;
	header.length = (uint32_t)(TD_IKE_HEADER_BYTES + chain->writer.length);
	td_ike_header_write(&writer, &header);
	td_writer_bytes(&writer, chain->writer.data, chain->writer.length);
	if (!writer.overflow)
		ike->env.send(ike->env.context, path, message, writer.length);
}

static void clear_answer(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    uint8_t exchange, const struct td_ike_chain *chain)
{
	struct td_ike_header answer = {
	    .spi_i = header->spi_i,
	    .spi_r = header->spi_r,
	    .exchange = exchange,
	    .flags =
	        TD_IKE_FLAG_RESPONSE | (header->flags & TD_IKE_FLAG_INITIATOR ? 0 : TD_IKE_FLAG_INITIATOR),
	    .message_id = header->message_id,
	};

	clear_send(ike, path, answer, chain);
}

// The peer believes in an IKE SA that is not here: says so, with the token that proves it (RFC 6290 4.4).
static void spi_unknown(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header)
{
	uint8_t token[TD_IKE_QCD_BYTES];
	struct td_ike_chain chain;

	ike->stats.unexpected++;
	if (td_ike_is_response(header) || header->exchange == TD_IKE_SA_INIT || !td_ike_hint_allowed(ike))
		return;
	td_ike_chain_start(ike, &chain);
	if (ike->env.token_secret) {
		td_ike_token_make(
		    ike, header->flags & TD_IKE_FLAG_INITIATOR ? header->spi_r : header->spi_i, token);
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0},
		    TD_N_QUICK_CRASH_DETECTION, (struct td_bytes){token, sizeof(token)});
	}
	td_ike_notify_write(
	    &chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_INVALID_IKE_SPI, (struct td_bytes){0});
	clear_answer(ike, path, header, TD_IKE_INFORMATIONAL, &chain);
}

// A message in the clear for an SA that has keys proves nothing, but for the peer's token.
static void clear_received(struct td_ike_sa *sa, const struct td_ike_payloads *payloads)
{
	const struct td_ike_notify *token = td_ike_notify_find(payloads, TD_N_QUICK_CRASH_DETECTION);

	sa->ike->stats.unexpected++;
	if (sa->state != TD_IKE_ESTABLISHED && sa->state != TD_IKE_REKEYED)
		return;
	if (token && sa->peer_token_length > 0 && token->data.length == sa->peer_token_length &&
	    td_equal_constant_time(token->data.data, sa->peer_token, sa->peer_token_length)) {
		td_ike_rekey_overtaken(sa);
		td_ike_sa_close(sa, "ike_dead", "the peer has forgotten the IKE SA and proves it (RFC 6290)");
		return;
	}
	if (td_ike_notify_find(payloads, TD_N_INVALID_IKE_SPI) ||
	    td_ike_notify_find(payloads, TD_N_INVALID_SPI))
		td_ike_probe(sa);
}

// The payloads that an authentic message carries. False: not authentic, or not whole yet.
static bool message_open(struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes message,
    const struct td_ike_payloads *outer, struct td_bytes *inside)
{
	struct td_ike *ike = sa->ike;
	bool request = !td_ike_is_response(header);
	uint16_t number, total;

	if (td_ike_open(&sa->keys, !sa->initiator, message, outer, ike->plain, inside, &number, &total) < 0) {
		ike->stats.unauthentic++;
		return false;
	}
	if (total == 0)
		return true;
	bool unproved = sa->state == TD_IKE_CONNECTING && !sa->initiator;
	return td_ike_fragment_add(ike, request ? &sa->request_fragments : &sa->answer_fragments,
	           header->message_id, outer->encrypted_next, *inside, number, total,
	           unproved ? TD_IKE_UNPROVED_MAX : TD_IKE_MESSAGE_MAX, inside) == 0;
}

static void request_dispatch(
    struct td_ike_sa *sa, const struct td_ike_header *header, const struct td_ike_payloads *request)
{
	// S5: with keys whose validity has ended nothing new is made.
	if (td_onertt_is_over(sa) && header->exchange == TD_IKE_CREATE_CHILD_SA) {
		td_ike_answer_notify(sa, header->exchange, TD_N_KEY_EXPIRED, (struct td_bytes){0});
		return;
	}
	switch (header->exchange) {
	case TD_IKE_AUTH:
		if (sa->state == TD_IKE_CONNECTING && !sa->initiator) {
			td_ike_auth_asked(sa, request);
			return;
		}
		break;
	case TD_IKE_CREATE_CHILD_SA:
		if (sa->state != TD_IKE_CONNECTING) {
			td_ike_rekey_settle(sa);
			// An SA payload without selectors is for the IKE SA (RFC 7296 1.3.2).
			if (request->ts_i.data || request->ts_r.data)
				td_ike_create_asked(sa, request);
			else
				td_ike_rekey_asked(sa, request);
			return;
		}
		break;
	case TD_IKE_INFORMATIONAL:
		if (sa->state != TD_IKE_CONNECTING) {
			td_ike_informational_asked(sa, request);
			return;
		}
		break;
	}
	sa->ike->stats.unexpected++;
	td_ike_answer_notify(sa, header->exchange, TD_N_INVALID_SYNTAX, (struct td_bytes){0});
}

static void request_act(
    struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes inside, uint8_t first)
{
	struct td_ike_payloads request;
	int ret = td_ike_payloads_read(inside, first, &request);

	// What is protected cannot hold something protected again.
	if (ret == 0 && request.encrypted_type != 0)
		ret = -EBADMSG;
	if (ret == 0) {
		request_dispatch(sa, header, &request);
		return;
	}
	sa->ike->stats.malformed++;
	if (ret == -ENOTSUP)
		td_ike_answer_notify(sa, header->exchange, TD_N_UNSUPPORTED_CRITICAL_PAYLOAD,
		    (struct td_bytes){&request.unsupported, 1});
	else
		td_ike_answer_notify(sa, header->exchange, TD_N_INVALID_SYNTAX, (struct td_bytes){0});
}

static void request_received(
    struct td_ike_sa *sa, const struct td_ike_header *header, struct td_bytes inside, uint8_t first)
{
	request_act(sa, header, inside, first);
	// IKE_AUTH is what comes first, and ends or establishes the SA. With another answer than that the SA
	// counts as half-open no more, so it must not stay: strangers would have as many as they like.
	if (sa->state != TD_IKE_CONNECTING)
		return;
	td_ike_sa_close(sa, td_ike_refusal_due(sa->peer) ? "ike_failed" : NULL,
	    "the initiator proves nothing: its first request is no IKE_AUTH, or malformed");
}

static void answer_received(struct td_ike_sa *sa, struct td_bytes inside, uint8_t first)
{
	struct td_ike_payloads answer;

	// A malformed answer is authentic nonsense: the request is repeated until the SA is given up.
	if (td_ike_payloads_read(inside, first, &answer) < 0) {
		sa->ike->stats.malformed++;
		return;
	}
	if (sa->onertt && td_ike_notify_find(&answer, TD_N_KEY_EXPIRED))
		td_onertt_told(sa, &answer);
	else
		sa->exchange.answered(sa, &answer);
}

// A protected message for an SA that has keys: authenticates it, then looks at its number, then acts.
static void protected_received(struct td_ike_sa *sa, const struct td_path *path,
    const struct td_ike_header *header, struct td_bytes message, const struct td_ike_payloads *outer)
{
	bool response = td_ike_is_response(header);
	bool again = !response && header->message_id + 1 == sa->expected_id && sa->answer.count > 0;
	uint8_t first = outer->encrypted_next;
	struct td_bytes inside;

	// Before the responder has proved who it is nothing is done for it; it asks again.
	if (!response && sa->state == TD_IKE_CONNECTING && sa->initiator) {
		sa->ike->stats.unexpected++;
		return;
	}
	if (response ? !sa->exchange.answered || header->message_id != sa->exchange.id ||
	                   header->exchange != sa->exchange.type
	             : !again && header->message_id != sa->expected_id) {
		sa->ike->stats.unexpected++;
		return;
	}
	if (again) {
		uint16_t number, total;

		if (td_ike_open(&sa->keys, !sa->initiator, message, outer, sa->ike->plain, &inside, &number,
		        &total) < 0)
			sa->ike->stats.unauthentic++;
		else if (number <= 1 && // RFC 7383 2.6.1
		         (number == 1 || td_onertt_fresh(sa, false, inside, first)))
			td_ike_answer_again(sa, path);
		return;
	}
	if (!message_open(sa, header, message, outer, &inside))
		return;
	if (outer->encrypted_type == TD_IKE_PAYLOAD_SKF)
		first = response ? sa->answer_fragments.first : sa->request_fragments.first;
	if (!td_onertt_fresh(sa, response, inside, first))
		return;
	td_onertt_proved(sa, inside, first);
	sa->heard_ns = td_ike_now(sa->ike);
	td_ike_sa_path_update(sa, path);
	if (response)
		answer_received(sa, inside, first);
	else
		request_received(sa, header, inside, first);
}

// Somebody has no SA for our ESP packets, and no IKE SA to say so with (RFC 7296 1.5): we ask who should have
// both.
static void hint_received(
    struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header, struct td_bytes body)
{
	struct td_ike_sa *sa = td_ike_sa_find_path(ike, &path->local, &path->remote);
	struct td_ike_payloads payloads;

	ike->stats.unexpected++;
	if (sa && td_ike_payloads_read(body, header->next_payload, &payloads) == 0 &&
	    td_ike_notify_find(&payloads, TD_N_INVALID_SPI))
		td_ike_probe(sa);
}

// A message for an SA, or for none.
static void sa_received(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message)
{
	uint64_t own_spi = header->flags & TD_IKE_FLAG_INITIATOR ? header->spi_r : header->spi_i;
	struct td_bytes body = {message.data + TD_IKE_HEADER_BYTES, message.length - TD_IKE_HEADER_BYTES};
	struct td_ike_sa *sa = td_ike_sa_find(ike, own_spi);
	struct td_ike_payloads payloads;

	if (header->spi_i == 0 && header->exchange == TD_IKE_INFORMATIONAL && !td_ike_is_response(header)) {
		hint_received(ike, path, header, body);
		return;
	}
	if (!sa) {
		spi_unknown(ike, path, header);
		return;
	}
	// Its SPI in the other role: an answer would give away the token of an SA that lives (RFC 6290 9.2).
	if (sa->initiator == ((header->flags & TD_IKE_FLAG_INITIATOR) != 0)) {
		ike->stats.unexpected++;
		return;
	}
	if (td_ike_payloads_read(body, header->next_payload, &payloads) < 0) {
		ike->stats.malformed++;
		return;
	}
	if (header->exchange == TD_IKE_SA_INIT) {
		td_ike_init_answered(sa, header, message, &payloads);
		return;
	}
	if (header->exchange == TD_IKE_ONE_ROUND_TRIP) {
		td_onertt_answered(sa, path, header, &payloads);
		return;
	}
	uint64_t peer_spi = sa->initiator ? sa->spi_r : sa->spi_i;
	if (peer_spi != (sa->initiator ? header->spi_r : header->spi_i)) {
		ike->stats.unexpected++;
		return;
	}
	if (payloads.encrypted_type == 0)
		clear_received(sa, &payloads);
	else if (sa->keys.prf != 0)
		protected_received(sa, path, header, message, &payloads);
	else
		ike->stats.unexpected++;
}

void td_ike_receive(struct td_ike *ike, const struct td_path *path, struct td_bytes message)
{
	struct td_ike_header header;
	int ret = td_ike_header_read(message, &header);

	td_ike_bury(ike);
	ike->stats.received++;
	if (message.length > TD_IKE_MESSAGE_MAX || ret == -EBADMSG) {
		ike->stats.malformed++;
	} else if (ret < 0) {
		struct td_ike_chain chain;

		ike->stats.malformed++;
		if (td_ike_is_response(&header) || !td_ike_hint_allowed(ike))
			return;
		td_ike_chain_start(ike, &chain);
		td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0},
		    TD_N_INVALID_MAJOR_VERSION, (struct td_bytes){0});
		clear_answer(ike, path, &header, header.exchange, &chain);
	} else if (header.exchange == TD_IKE_SA_INIT && !td_ike_is_response(&header)) {
		td_ike_init_asked(ike, path, &header, message);
	} else if (header.exchange == TD_IKE_ONE_ROUND_TRIP && !td_ike_is_response(&header)) {
		td_onertt_asked(ike, path, &header, message);
	} else {
		sa_received(ike, path, &header, message);
	}
	td_ike_bury(ike);
}

// ---- hints of the data plane ------------------------------------------------------------------

void td_ike_unknown_spi(
    struct td_ike *ike, const struct td_ip *local, const struct td_ip *remote, uint32_t spi)
{
	struct td_ike_sa *sa = td_ike_sa_find_path(ike, local, remote);
	struct td_path path = {
	    .local = *local, .remote = *remote, .local_port = TD_IKE_PORT, .remote_port = TD_IKE_PORT};
	struct td_ike_chain chain;
	uint8_t wire[4] = {(uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8), (uint8_t)spi};

	td_ike_bury(ike);
	if (sa) {
		td_ike_probe(sa);
		return;
	}
	// Without an IKE SA nothing can be said with authority: a hint (RFC 7296 1.5), which makes the peer
	// ask. Only to those whom the configuration knows.
	if (!td_ike_peer_next(ike, &path, NULL) || !td_ike_hint_allowed(ike))
		return;
	// RFC 7296 1.5: a request of nobody's.
	struct td_ike_header header = {.exchange = TD_IKE_INFORMATIONAL, .flags = TD_IKE_FLAG_INITIATOR};
	td_ike_chain_start(ike, &chain);
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, TD_N_INVALID_SPI,
	    (struct td_bytes){wire, sizeof(wire)});
	clear_send(ike, &path, header, &chain);
}

void td_ike_peer_moved(
    struct td_ike *ike, const struct td_life_tunnel *life, const struct td_ip *remote, uint16_t port)
{
	struct td_ike_tunnel *tunnel = td_ike_tunnel_of(ike, life);
	struct td_ike_sa *sa = tunnel ? td_ike_peer_sa(tunnel->peer) : NULL;

	if (!sa)
		return;
	struct td_path path = sa->path;
	path.remote = *remote;
	path.remote_port = port;
	td_ike_sa_path_update(sa, &path);
}

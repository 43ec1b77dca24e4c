// SPDX-License-Identifier: BSD-3-Clause
// The responder: message 1, and who it is from.

#include "control/onertt/asked.h"

#include <errno.h>
#include <string.h>

#define EPHEMERAL_BYTES 32

void td_onertt_answer_clear(const struct td_onertt_asked *asked, const struct td_ike_chain *outer)
{
	struct td_ike_header header = {.spi_i = asked->header->spi_i, .flags = TD_IKE_FLAG_RESPONSE};
	struct td_bytes message = td_onertt_message_end(asked->ike, header, outer);

	asked->ike->env.send(asked->ike->env.context, asked->path, message.data, message.length);
}

// ---- who it is ----------------------------------------------------------------------------------

static bool static_is_valid(const struct td_onertt_asked *asked, const struct td_ike_peer *peer)
{
	int64_t now = asked->ike->env.unix_time(asked->ike->env.context);
	struct td_error error;

	return td_onertt_remote_check_time(peer->config.onertt.remote, now, &error) == 0;
}

static bool static_is_known(struct td_onertt_asked *asked)
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
static bool ids_fit(const struct td_onertt_asked *asked, const struct td_ike_peer *peer)
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

static bool peer_find(struct td_onertt_asked *asked)
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
static bool open_it(struct td_onertt_asked *asked, const struct td_ike_peer *with, struct td_cursor message)
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

static bool name_make(struct td_onertt_asked *asked)
{
	const struct td_ike_id_view *id = &asked->payloads.id_i;

	return (asked->pattern == TD_NOISE_IK
	               ? td_accepted_name_key(asked->noise.remote_static, &asked->name)
	               : td_accepted_name_id(id->type, id->data.data, id->data.length, &asked->name)) == 0;
}

// ---- message 1 ----------------------------------------------------------------------------------

// A request that comes again gets the same answer again, until the initiator has gone on.
static bool answered_again(const struct td_onertt_asked *asked)
{
	struct td_ike_sa *sa = td_ike_sa_find_init(asked->ike, asked->header->spi_i, asked->path, true);
	uint8_t digest[sizeof(sa->onertt->digest)];

	if (!sa)
		return false;
	if (td_sha256(&asked->body, 1, digest) == 0 &&
	    memcmp(sa->onertt->digest, digest, sizeof(digest)) == 0)
		td_ike_answer_again(sa, asked->path);
	else
		asked->ike->stats.unexpected++;
	return true;
}

static void noise_asked(
    struct td_onertt_asked *asked, const struct td_ike_payloads *request, struct td_cursor message)
{
	const struct td_ike_peer *with;

	asked->ephemeral = (struct td_bytes){message.next, EPHEMERAL_BYTES};
	if (!td_onertt_load_passed(asked, request))
		return;
	td_onertt_search_key(&asked->search, asked->path, asked->pattern, asked->key_id);
	with = td_onertt_search_next(asked->ike, &asked->search);
	if (!with) {
		td_onertt_stats_of(asked->ike)->unknown_key++;
		return;
	}
	if (open_it(asked, with, message) && name_make(asked) && td_onertt_is_acceptable(asked))
		td_onertt_accept(asked);
	td_noise_wipe(&asked->noise);
}

void td_onertt_asked(struct td_ike *ike, const struct td_path *path, const struct td_ike_header *header,
    struct td_bytes message)
{
	struct td_bytes body = {message.data + TD_IKE_HEADER_BYTES, message.length - TD_IKE_HEADER_BYTES};
	struct td_onertt_asked asked = {.ike = ike, .path = path, .header = header};
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

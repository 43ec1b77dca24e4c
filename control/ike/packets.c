// SPDX-License-Identifier: BSD-3-Clause
// Messages on the wire: one datagram, or fragments of one message (RFC 7383).

#include "control/ike/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IPV4_UDP_BYTES 28
#define IPV6_UDP_BYTES 48
#define NON_ESP_MARKER_BYTES 4

// A message of a session before it is sealed.
struct td_ike_plain {
	uint8_t exchange, first;
	bool response;
	uint32_t id;
	size_t next_at, length;
	uint8_t payloads[];
};

void td_ike_packets_free(struct td_ike_packets *packets)
{
	if (packets->plain)
		td_wipe(packets->plain, sizeof(*packets->plain) + packets->plain->length);
	free(packets->plain);
	free(packets->data);
	*packets = (struct td_ike_packets){0};
}

int td_ike_packets_clear(struct td_ike_packets *packets, struct td_bytes message)
{
	td_ike_packets_free(packets);
	packets->data = malloc(message.length);
	if (!packets->data)
		return -ENOMEM;
	memcpy(packets->data, message.data, message.length);
	packets->count = 1;
	packets->lengths[0] = (uint16_t)message.length;
	return 0;
}

static void send_to(struct td_ike_sa *sa, const struct td_path *path, const struct td_ike_packets *packets)
{
	const uint8_t *data = packets->data;

	for (unsigned i = 0; i < packets->count; i++) {
		sa->ike->env.send(sa->ike->env.context, path, data, packets->lengths[i]);
		data += packets->lengths[i];
	}
}

void td_ike_packets_send(struct td_ike_sa *sa, const struct td_ike_packets *packets)
{
	send_to(sa, &sa->path, packets);
}

// Bytes of an IKE message that fit one IP packet on the way to the peer.
static size_t datagram_max(const struct td_ike_sa *sa)
{
	unsigned headers = sa->path.remote.family == 6 ? IPV6_UDP_BYTES : IPV4_UDP_BYTES;

	return sa->peer->config.fragment_bytes - headers - NON_ESP_MARKER_BYTES;
}

static int seal_whole(struct td_ike_sa *sa, const struct td_ike_header *header,
    const struct td_ike_chain *chain, struct td_ike_packets *packets)
{
	struct td_writer writer = {.data = sa->ike->message, .capacity = sizeof(sa->ike->message)};
	int ret = td_ike_seal(
	    &sa->keys, sa->initiator, header, chain->first, td_writer_bytes_of(&chain->writer), &writer);

	return ret < 0 ? ret : td_ike_packets_clear(packets, td_writer_bytes_of(&writer));
}

// Seals the chain in pieces of at most room bytes each.
static int seal_pieces(struct td_ike_sa *sa, const struct td_ike_header *header,
    const struct td_ike_chain *chain, size_t room, struct td_ike_packets *packets)
{
	struct td_cursor left = td_cursor_of(td_writer_bytes_of(&chain->writer));
	unsigned total = (unsigned)((left.left + room - 1) / room);
	struct td_writer all = {.capacity = total * (room + TD_IKE_HEADER_BYTES + 4 + TD_IKE_SEAL_MAX_BYTES)};
	struct td_bytes piece;

	if (total > TD_IKE_FRAGMENTS_MAX)
		return -EMSGSIZE;
	td_ike_packets_free(packets);
	packets->data = malloc(all.capacity);
	if (!packets->data)
		return -ENOMEM;
	all.data = packets->data;
	for (uint16_t number = 1; number <= total; number++) {
		struct td_writer writer = {
		    .data = all.data + all.length, .capacity = all.capacity - all.length};
		int ret;

		(void)td_cursor_take(&left, left.left < room ? left.left : room, &piece);
		ret = td_ike_seal_fragment(&sa->keys, sa->initiator, header, number == 1 ? chain->first : 0,
		    piece, number, (uint16_t)total, &writer);
		if (ret < 0) {
			td_ike_packets_free(packets);
			return ret;
		}
		packets->lengths[packets->count++] = (uint16_t)writer.length;
		all.length += writer.length;
	}
	return 0;
}

static int seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    const struct td_ike_chain *chain, struct td_ike_packets *packets)
{
	struct td_ike_header header = {
	    .spi_i = sa->spi_i,
	    .spi_r = sa->spi_r,
	    .version = TD_IKE_VERSION,
	    .exchange = exchange,
	    .flags = (uint8_t)((sa->initiator ? TD_IKE_FLAG_INITIATOR : 0) |
	                       (response ? TD_IKE_FLAG_RESPONSE : 0)),
	    .message_id = id,
	};
	size_t overhead = TD_IKE_HEADER_BYTES + TD_IKE_SEAL_MAX_BYTES;
	size_t max = sa->peer ? datagram_max(sa) : SIZE_MAX;

	if (chain->writer.overflow)
		return -ENOSPC;
	if (!sa->peer_fragments || chain->writer.length + overhead <= max)
		return seal_whole(sa, &header, chain, packets);
	return seal_pieces(sa, &header, chain, max - overhead - 4, packets);
}

static struct td_ike_plain *plain_of(
    uint8_t exchange, bool response, uint32_t id, const struct td_ike_chain *chain)
{
	struct td_ike_plain *plain = malloc(sizeof(*plain) + chain->writer.length);

	if (!plain)
		return NULL;
	*plain = (struct td_ike_plain){
	    .exchange = exchange,
	    .first = chain->first,
	    .response = response,
	    .id = id,
	    .next_at = chain->next_at,
	    .length = chain->writer.length,
	};
	memcpy(plain->payloads, chain->writer.data, chain->writer.length);
	return plain;
}

int td_ike_packets_seal(struct td_ike_sa *sa, uint8_t exchange, bool response, uint32_t id,
    struct td_ike_chain *chain, struct td_ike_packets *packets)
{
	struct td_ike_plain *plain = NULL;
	int ret;

	if (!sa->onertt)
		return seal(sa, exchange, response, id, chain, packets);
	if (!chain->writer.overflow && !(plain = plain_of(exchange, response, id, chain)))
		return -ENOMEM;
	ret = td_onertt_stamp(sa, chain);
	if (ret == 0)
		ret = seal(sa, exchange, response, id, chain, packets);
	if (ret == 0)
		packets->plain = plain;
	else
		free(plain);
	return ret;
}

void td_ike_packets_repeat(struct td_ike_sa *sa, const struct td_path *path, struct td_ike_packets *packets)
{
	const struct td_ike_plain *plain = packets->plain;
	struct td_ike_packets again = {0};
	struct td_ike_chain chain;

	if (plain) {
		td_ike_chain_start(sa->ike, &chain);
		td_writer_bytes(&chain.writer, plain->payloads, plain->length);
		chain.first = plain->first;
		chain.next_at = plain->next_at;
		// Without memory the old ones go out, which may be stale, and the next repetition is another.
		if (td_ike_packets_seal(sa, plain->exchange, plain->response, plain->id, &chain, &again) ==
		    0) {
			td_ike_packets_free(packets);
			*packets = again;
		}
	}
	send_to(sa, path, packets);
}

// ---- putting together ---------------------------------------------------------------------------

void td_ike_fragments_free(struct td_ike_fragments *fragments)
{
	for (unsigned i = 0; i < TD_IKE_FRAGMENTS_MAX; i++)
		free((void *)(uintptr_t)fragments->pieces[i].data);
	*fragments = (struct td_ike_fragments){0};
}

static int fragments_join(struct td_ike *ike, struct td_ike_fragments *fragments, struct td_bytes *whole)
{
	struct td_writer writer = {.data = ike->plain, .capacity = sizeof(ike->plain)};
	uint8_t first = fragments->first;

	for (unsigned i = 0; i < fragments->total; i++)
		td_writer_bytes(&writer, fragments->pieces[i].data, fragments->pieces[i].length);
	td_ike_fragments_free(fragments);
	fragments->first = first;
	if (writer.overflow)
		return -EBADMSG;
	*whole = td_writer_bytes_of(&writer);
	return 0;
}

int td_ike_fragment_add(struct td_ike *ike, struct td_ike_fragments *fragments, uint32_t message_id,
    uint8_t first, struct td_bytes piece, uint16_t number, uint16_t total, size_t most,
    struct td_bytes *whole)
{
	if (number == 0 || number > total || total > TD_IKE_FRAGMENTS_MAX)
		return -EBADMSG;
	// Another message, or the same one cut into smaller pieces (RFC 7383 2.5.2), starts anew.
	if (fragments->total == 0 || fragments->message_id != message_id || total > fragments->total) {
		td_ike_fragments_free(fragments);
		fragments->message_id = message_id;
		fragments->total = total;
	}
	if (total != fragments->total || fragments->pieces[number - 1].data)
		return -EAGAIN;
	if (fragments->bytes + piece.length > most)
		return -EBADMSG;
	uint8_t *copy = malloc(piece.length ? piece.length : 1);
	if (!copy)
		return -EAGAIN;
	memcpy(copy, piece.data, piece.length);
	fragments->pieces[number - 1] = (struct td_bytes){copy, piece.length};
	fragments->bytes += piece.length;
	if (number == 1)
		fragments->first = first;
	return ++fragments->seen < total ? -EAGAIN : fragments_join(ike, fragments, whole);
}

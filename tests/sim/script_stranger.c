// SPDX-License-Identifier: BSD-3-Clause
// Who sees the messages of an arrow script, and can send some and alter others, but has no keys.

#include "tests/sim/script.h"

#include "control/ike/internal.h"

#include <string.h>

// Somebody who has seen the SPIs of a node's IKE SA asks about it, with the roles the wrong way round.
void sim_stranger_asks(struct sim_node *node, unsigned peer)
{
	const struct td_ike_sa *sa = TAILQ_FIRST(&node->peers[peer]->sas);
	uint8_t bytes[TD_IKE_HEADER_BYTES];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_ike_header header = {
	    .spi_i = sa->spi_r,
	    .spi_r = sa->spi_i,
	    .version = TD_IKE_VERSION,
	    .exchange = TD_IKE_INFORMATIONAL,
	    .flags = sa->initiator ? TD_IKE_FLAG_INITIATOR : 0,
	    .message_id = 1,
	    .length = TD_IKE_HEADER_BYTES,
	};

	td_ike_header_write(&writer, &header);
	td_ike_receive(node->ike, &sa->path, td_writer_bytes_of(&writer));
}

// Somebody who has seen a node's first message answers it with a notify of this type.
void sim_stranger_answers(struct sim_node *node, unsigned peer, uint16_t notify)
{
	const struct td_ike_sa *sa = TAILQ_FIRST(&node->peers[peer]->sas);
	uint8_t payloads[64], bytes[TD_IKE_HEADER_BYTES + sizeof(payloads)];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_ike_chain chain;

	if (!sa)
		return;
	td_ike_chain_init(&chain, payloads, sizeof(payloads));
	td_ike_notify_write(&chain, TD_IKE_PROTO_NONE, (struct td_bytes){0}, notify,
	    (struct td_bytes){(const uint8_t *)"anything", 8});
	struct td_ike_header header = {
	    .spi_i = sa->spi_i,
	    .next_payload = chain.first,
	    .version = TD_IKE_VERSION,
	    .exchange = TD_IKE_SA_INIT,
	    .flags = TD_IKE_FLAG_RESPONSE,
	    .length = (uint32_t)(TD_IKE_HEADER_BYTES + chain.writer.length),
	};
	td_ike_header_write(&writer, &header);
	td_writer_bytes(&writer, payloads, chain.writer.length);
	td_ike_receive(node->ike, &sa->path, td_writer_bytes_of(&writer));
}

// Somebody who has seen a node's first message sends the peer another one with the same SPI, from the same
// address.
void sim_stranger_squats(struct sim_node *node, unsigned peer)
{
	static const uint8_t base[32] = {9}, nonce[32] = {1};
	const struct td_ike_sa *sa = TAILQ_FIRST(&node->peers[peer]->sas);
	uint8_t payloads[512], bytes[TD_IKE_HEADER_BYTES + sizeof(payloads)];
	struct td_writer writer = {.data = bytes, .capacity = sizeof(bytes)};
	struct td_ike_chain chain;

	if (!sa)
		return;
	struct td_path path = {sa->path.remote, sa->path.local, sa->path.remote_port, sa->path.local_port};
	td_ike_chain_init(&chain, payloads, sizeof(payloads));
	td_ike_proposals_write(&chain, &node->peer_config[peer].proposals, NULL, 0);
	td_ike_ke_write(&chain, TD_DH_X25519, (struct td_bytes){base, sizeof(base)});
	td_ike_nonce_write(&chain, (struct td_bytes){nonce, sizeof(nonce)});
	struct td_ike_header header = {
	    .spi_i = sa->spi_i,
	    .next_payload = chain.first,
	    .version = TD_IKE_VERSION,
	    .exchange = TD_IKE_SA_INIT,
	    .flags = TD_IKE_FLAG_INITIATOR,
	    .length = (uint32_t)(TD_IKE_HEADER_BYTES + chain.writer.length),
	};
	td_ike_header_write(&writer, &header);
	td_writer_bytes(&writer, payloads, chain.writer.length);
	td_ike_receive(node->world->nodes[peer].ike, &path, td_writer_bytes_of(&writer));
}

static void key_exchange_clear(struct sim_message *message)
{
	struct td_bytes body = {message->data + TD_IKE_HEADER_BYTES, message->length - TD_IKE_HEADER_BYTES};
	struct td_ike_payloads payloads;
	struct td_ike_header header;

	if (td_ike_header_read((struct td_bytes){message->data, message->length}, &header) < 0 ||
	    td_ike_payloads_read(body, header.next_payload, &payloads) < 0 || !payloads.ke.data)
		sim_fail(message->world, "there is no KE payload to clear");
	else
		memset(message->data + (payloads.ke.data - message->data), 0, payloads.ke.length);
}

void sim_message_alter(struct sim_message *message, char how)
{
	switch (how) {
	case '~':
		message->data[message->length - 1] ^= 1;
		break;
	case '^': // behind the headers and the pattern, when there is no cookie
		message->data[TD_IKE_HEADER_BYTES + 4 + 2] ^= 1;
		break;
	case '@': // of the first transform, its number
		message->data[TD_IKE_HEADER_BYTES + 4 + 8 + 7] ^= 0x40;
		break;
	case '%': // of the header, the responder's SPI
		message->data[15] ^= 1;
		break;
	case '_':
		key_exchange_clear(message);
		break;
	}
}

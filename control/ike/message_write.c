// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/message.h"

#define PAYLOAD_MAX_BYTES UINT16_MAX // its length has 16 bits

void td_ike_header_write(struct td_writer *writer, const struct td_ike_header *header)
{
	td_writer_u64(writer, header->spi_i);
	td_writer_u64(writer, header->spi_r);
	td_writer_u8(writer, header->next_payload);
	td_writer_u8(writer, header->version);
	td_writer_u8(writer, header->exchange);
	td_writer_u8(writer, header->flags);
	td_writer_u32(writer, header->message_id);
	td_writer_u32(writer, header->length);
}

void td_ike_chain_init(struct td_ike_chain *chain, uint8_t *buffer, size_t capacity)
{
	*chain = (struct td_ike_chain){
	    .writer = {.data = buffer, .capacity = capacity},
	    .first = TD_IKE_PAYLOAD_NONE,
	    .next_at = SIZE_MAX,
	};
}

size_t td_ike_payload_begin(struct td_ike_chain *chain, uint8_t type)
{
	size_t begin = chain->writer.length;

	if (chain->next_at == SIZE_MAX)
		chain->first = type;
	else
		td_writer_patch_u8(&chain->writer, chain->next_at, type);
	chain->next_at = begin;
	td_writer_u8(&chain->writer, TD_IKE_PAYLOAD_NONE);
	td_writer_u8(&chain->writer, 0); // not critical: every payload of RFC 7296 (3.2)
	td_writer_u16(&chain->writer, 0);
	return begin;
}

void td_ike_payload_end(struct td_ike_chain *chain, size_t begin)
{
	size_t length = chain->writer.length - begin;

	if (length > PAYLOAD_MAX_BYTES)
		chain->writer.overflow = true;
	td_writer_patch_u16(&chain->writer, begin + 2, (uint16_t)length);
}

static void bytes_write(struct td_ike_chain *chain, struct td_bytes bytes)
{
	td_writer_bytes(&chain->writer, bytes.data, bytes.length);
}

static void zeros_write(struct td_ike_chain *chain, unsigned count)
{
	while (count-- > 0)
		td_writer_u8(&chain->writer, 0);
}

void td_ike_nonce_write(struct td_ike_chain *chain, struct td_bytes nonce)
{
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_NONCE);

	bytes_write(chain, nonce);
	td_ike_payload_end(chain, begin);
}

void td_ike_ke_write(struct td_ike_chain *chain, uint16_t group, struct td_bytes public_value)
{
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_KE);

	td_writer_u16(&chain->writer, group);
	zeros_write(chain, 2);
	bytes_write(chain, public_value);
	td_ike_payload_end(chain, begin);
}

void td_ike_id_write(struct td_ike_chain *chain, uint8_t payload, uint8_t type, struct td_bytes data)
{
	size_t begin = td_ike_payload_begin(chain, payload);

	td_writer_u8(&chain->writer, type);
	zeros_write(chain, 3);
	bytes_write(chain, data);
	td_ike_payload_end(chain, begin);
}

void td_ike_auth_write(struct td_ike_chain *chain, uint8_t method, struct td_bytes data)
{
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_AUTH);

	td_writer_u8(&chain->writer, method);
	zeros_write(chain, 3);
	bytes_write(chain, data);
	td_ike_payload_end(chain, begin);
}

void td_ike_cert_write(struct td_ike_chain *chain, uint8_t payload, uint8_t encoding, struct td_bytes data)
{
	size_t begin = td_ike_payload_begin(chain, payload);

	td_writer_u8(&chain->writer, encoding);
	bytes_write(chain, data);
	td_ike_payload_end(chain, begin);
}

void td_ike_notify_write(
    struct td_ike_chain *chain, uint8_t protocol, struct td_bytes spi, uint16_t type, struct td_bytes data)
{
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_NOTIFY);

	td_writer_u8(&chain->writer, protocol);
	td_writer_u8(&chain->writer, (uint8_t)spi.length);
	td_writer_u16(&chain->writer, type);
	bytes_write(chain, spi);
	bytes_write(chain, data);
	td_ike_payload_end(chain, begin);
}

void td_ike_delete_write(
    struct td_ike_chain *chain, uint8_t protocol, uint8_t spi_size, uint16_t count, struct td_bytes spis)
{
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_DELETE);

	td_writer_u8(&chain->writer, protocol);
	td_writer_u8(&chain->writer, spi_size);
	td_writer_u16(&chain->writer, count);
	bytes_write(chain, spis);
	td_ike_payload_end(chain, begin);
}

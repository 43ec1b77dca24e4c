// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// IKEv2 messages (RFC 7296 3): reading a message into views of its bytes, and writing one payload by payload.
// Nothing here keeps state; a message read is only syntax, not yet authentic.

#include "common/cursor.h"
#include "control/ike/registry.h"

#define TD_IKE_HEADER_BYTES 28
#define TD_IKE_NONCE_MIN_BYTES 16
#define TD_IKE_NONCE_MAX_BYTES 256
#define TD_IKE_NOTIFIES_MAX 32 // of one message
#define TD_IKE_DELETES_MAX 8
#define TD_IKE_CERTS_MAX 8

struct td_ike_header {
	uint64_t spi_i, spi_r; // host order; only compared
	uint8_t next_payload, version, exchange, flags;
	uint32_t message_id;
	uint32_t length; // bytes of the whole message
};

static inline bool td_ike_is_response(const struct td_ike_header *header)
{
	return (header->flags & TD_IKE_FLAG_RESPONSE) != 0;
}

// Reads and checks the header: version 2, length that of the datagram. Returns 0 or -EBADMSG, or
// -EPROTONOSUPPORT for another major version (*header is filled in).
int td_ike_header_read(struct td_bytes datagram, struct td_ike_header *header);
void td_ike_header_write(struct td_writer *writer, const struct td_ike_header *header);

struct td_ike_notify {
	uint16_t type;
	uint8_t protocol; // enum td_ike_protocol
	struct td_bytes spi, data;
};

struct td_ike_delete {
	uint8_t protocol;
	uint8_t spi_size;
	uint16_t count;
	struct td_bytes spis; // count times spi_size
};

struct td_ike_cert {
	uint8_t encoding;
	struct td_bytes data;
};

struct td_ike_id_view {
	uint8_t type;
	struct td_bytes data;
	struct td_bytes body; // type, three reserved bytes and data: what AUTH covers (RFC 7296 2.15)
};

// The payloads of one message; data NULL: not there. Views into the message's bytes.
struct td_ike_payloads {
	struct td_bytes sa; // for td_ike_proposals_read
	uint16_t ke_group;
	struct td_bytes ke, nonce;
	struct td_ike_id_view id_i, id_r;
	uint8_t auth_method;
	struct td_bytes auth;
	unsigned cert_count, certreq_count;
	struct td_ike_cert certs[TD_IKE_CERTS_MAX], certreqs[TD_IKE_CERTS_MAX];
	struct td_bytes ts_i, ts_r; // for td_ts_read
	struct td_bytes noise; // of the one-round-trip exchange
	unsigned notify_count;
	struct td_ike_notify notifies[TD_IKE_NOTIFIES_MAX];
	unsigned delete_count;
	struct td_ike_delete deletes[TD_IKE_DELETES_MAX];
	bool eap, configuration; // payloads that are there and not looked into
	// SK or SKF, always the last: its whole body, what the first payload inside is, and where its generic
	// header starts.
	uint8_t encrypted_type; // TD_IKE_PAYLOAD_SK, TD_IKE_PAYLOAD_SKF or 0
	uint8_t encrypted_next;
	struct td_bytes encrypted;
	size_t encrypted_offset; // of the generic payload header, from the start of the bytes read
	uint8_t unsupported; // a payload type with the critical bit that is not known; 0: none
};

// Reads a chain of payloads, of which the first has type first. Unknown payloads without the critical bit are
// skipped. Returns 0, -EBADMSG (INVALID_SYNTAX: truncated, wrong length, a payload twice that may be there
// once), -ENOTSUP (unsupported is set) or -E2BIG (more payloads of a kind than anybody sends).
int td_ike_payloads_read(struct td_bytes bytes, uint8_t first, struct td_ike_payloads *payloads);
// The first notify of a type, or NULL.
const struct td_ike_notify *td_ike_notify_find(const struct td_ike_payloads *payloads, uint16_t type);
// The first notify that is an error, or NULL.
const struct td_ike_notify *td_ike_notify_error(const struct td_ike_payloads *payloads);
// A four-byte SPI of ESP or AH in the notify or delete payload, in host order; 0: none.
uint32_t td_ike_spi32(struct td_bytes spi);

// ---- writing ----------------------------------------------------------------------------------

// A chain of payloads being written. first is the type of the first one: it goes into the header or into the
// SK payload.
struct td_ike_chain {
	struct td_writer writer;
	uint8_t first;
	size_t next_at; // where the type of the next payload goes; SIZE_MAX: first
};

void td_ike_chain_init(struct td_ike_chain *chain, uint8_t *buffer, size_t capacity);
// Starts a payload; what the caller writes into chain->writer until td_ike_payload_end is its body.
// Returns where it starts, for td_ike_payload_end.
size_t td_ike_payload_begin(struct td_ike_chain *chain, uint8_t type);
void td_ike_payload_end(struct td_ike_chain *chain, size_t begin);
void td_ike_nonce_write(struct td_ike_chain *chain, struct td_bytes nonce);
void td_ike_ke_write(struct td_ike_chain *chain, uint16_t group, struct td_bytes public_value);
void td_ike_id_write(struct td_ike_chain *chain, uint8_t payload, uint8_t type, struct td_bytes data);
void td_ike_auth_write(struct td_ike_chain *chain, uint8_t method, struct td_bytes data);
void td_ike_cert_write(struct td_ike_chain *chain, uint8_t payload, uint8_t encoding, struct td_bytes data);
void td_ike_notify_write(
    struct td_ike_chain *chain, uint8_t protocol, struct td_bytes spi, uint16_t type, struct td_bytes data);
// spis: count times spi_size bytes, in wire order (spi_size 0: the IKE SA itself).
void td_ike_delete_write(
    struct td_ike_chain *chain, uint8_t protocol, uint8_t spi_size, uint16_t count, struct td_bytes spis);

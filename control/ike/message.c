// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/message.h"

#include <errno.h>
#include <string.h>

#define CRITICAL 0x80 // RFC 7296 3.2; the bits below it are ignored
#define GENERIC_HEADER_BYTES 4
#define SPI_BYTES 4 // of ESP and AH

#define IPV4_BYTES 4
#define IPV6_BYTES 16

int td_ike_header_read(struct td_bytes datagram, struct td_ike_header *header)
{
	struct td_cursor cursor = td_cursor_of(datagram);

	if (!td_cursor_u64(&cursor, &header->spi_i) || !td_cursor_u64(&cursor, &header->spi_r) ||
	    !td_cursor_u8(&cursor, &header->next_payload) || !td_cursor_u8(&cursor, &header->version) ||
	    !td_cursor_u8(&cursor, &header->exchange) || !td_cursor_u8(&cursor, &header->flags) ||
	    !td_cursor_u32(&cursor, &header->message_id) || !td_cursor_u32(&cursor, &header->length))
		return -EBADMSG;
	// Before anything else: what the other fields mean is up to the version (RFC 7296 2.5).
	if (header->version >> 4 != TD_IKE_VERSION >> 4)
		return -EPROTONOSUPPORT;
	if (header->length != datagram.length)
		return -EBADMSG;
	// RFC 7296 3.1; a message about an unknown SPI of ESP may have no IKE SA (1.5).
	if (header->spi_i == 0 && header->exchange != TD_IKE_INFORMATIONAL)
		return -EBADMSG;
	return 0;
}

// The readers of one payload's body return 0 or -errno like td_ike_payloads_read.

static int ke_read(struct td_cursor body, struct td_ike_payloads *payloads)
{
	if (payloads->ke.data || !td_cursor_u16(&body, &payloads->ke_group) || !td_cursor_skip(&body, 2) ||
	    body.left == 0)
		return -EBADMSG;
	payloads->ke = td_cursor_rest(&body);
	return 0;
}

static int nonce_read(struct td_cursor body, struct td_ike_payloads *payloads)
{
	if (payloads->nonce.data || body.left < TD_IKE_NONCE_MIN_BYTES || body.left > TD_IKE_NONCE_MAX_BYTES)
		return -EBADMSG;
	payloads->nonce = td_cursor_rest(&body);
	return 0;
}

static int id_read(struct td_cursor body, struct td_ike_id_view *id)
{
	struct td_cursor whole = body;

	if (id->data.data || !td_cursor_u8(&body, &id->type) || !td_cursor_skip(&body, 3))
		return -EBADMSG;
	if (id->type == TD_ID_IPV4 && body.left != IPV4_BYTES)
		return -EBADMSG;
	if (id->type == TD_ID_IPV6 && body.left != IPV6_BYTES)
		return -EBADMSG;
	id->data = td_cursor_rest(&body);
	id->body = td_cursor_rest(&whole);
	return 0;
}

static int auth_read(struct td_cursor body, struct td_ike_payloads *payloads)
{
	if (payloads->auth.data || !td_cursor_u8(&body, &payloads->auth_method) ||
	    !td_cursor_skip(&body, 3) || body.left == 0)
		return -EBADMSG;
	payloads->auth = td_cursor_rest(&body);
	return 0;
}

// CERT and CERTREQ. An empty list of authorities is a valid request.
static int cert_read(struct td_cursor body, struct td_ike_cert *certs, unsigned *count)
{
	struct td_ike_cert cert;

	if (!td_cursor_u8(&body, &cert.encoding))
		return -EBADMSG;
	if (*count == TD_IKE_CERTS_MAX)
		return -E2BIG;
	cert.data = td_cursor_rest(&body);
	certs[(*count)++] = cert;
	return 0;
}

static int notify_read(struct td_cursor body, struct td_ike_payloads *payloads)
{
	struct td_ike_notify notify;
	uint8_t spi_size;

	if (!td_cursor_u8(&body, &notify.protocol) || !td_cursor_u8(&body, &spi_size) ||
	    !td_cursor_u16(&body, &notify.type) || !td_cursor_take(&body, spi_size, &notify.spi))
		return -EBADMSG;
	if (payloads->notify_count == TD_IKE_NOTIFIES_MAX)
		return -E2BIG;
	notify.data = td_cursor_rest(&body);
	payloads->notifies[payloads->notify_count++] = notify;
	return 0;
}

static int delete_read(struct td_cursor body, struct td_ike_payloads *payloads)
{
	struct td_ike_delete delete;

	if (!td_cursor_u8(&body, &delete.protocol) || !td_cursor_u8(&body, &delete.spi_size) ||
	    !td_cursor_u16(&body, &delete.count) || body.left != (size_t) delete.spi_size * delete.count)
		return -EBADMSG;
	// The IKE SA is named by the header (RFC 7296 3.11).
	if (delete.protocol == TD_IKE_PROTO_IKE && delete.spi_size != 0)
		return -EBADMSG;
	if ((delete.protocol == TD_IKE_PROTO_ESP || delete.protocol == TD_IKE_PROTO_AH) &&
	    delete.spi_size != SPI_BYTES)
		return -EBADMSG;
	if (payloads->delete_count == TD_IKE_DELETES_MAX)
		return -E2BIG;
	delete.spis = td_cursor_rest(&body);
	payloads->deletes[payloads->delete_count++] = delete;
	return 0;
}

static int once_read(struct td_cursor body, struct td_bytes *payload)
{
	if (payload->data)
		return -EBADMSG;
	*payload = td_cursor_rest(&body);
	return 0;
}

static int once_note(bool *seen)
{
	if (*seen)
		return -EBADMSG;
	*seen = true;
	return 0;
}

static int body_read(uint8_t type, bool critical, struct td_cursor body, struct td_ike_payloads *payloads)
{
	switch (type) {
	case TD_IKE_PAYLOAD_SA:
		return once_read(body, &payloads->sa);
	case TD_IKE_PAYLOAD_KE:
		return ke_read(body, payloads);
	case TD_IKE_PAYLOAD_IDI:
		return id_read(body, &payloads->id_i);
	case TD_IKE_PAYLOAD_IDR:
		return id_read(body, &payloads->id_r);
	case TD_IKE_PAYLOAD_CERT:
		return cert_read(body, payloads->certs, &payloads->cert_count);
	case TD_IKE_PAYLOAD_CERTREQ:
		return cert_read(body, payloads->certreqs, &payloads->certreq_count);
	case TD_IKE_PAYLOAD_AUTH:
		return auth_read(body, payloads);
	case TD_IKE_PAYLOAD_NONCE:
		return nonce_read(body, payloads);
	case TD_IKE_PAYLOAD_NOTIFY:
		return notify_read(body, payloads);
	case TD_IKE_PAYLOAD_DELETE:
		return delete_read(body, payloads);
	case TD_IKE_PAYLOAD_VENDOR:
		return 0;
	case TD_IKE_PAYLOAD_TSI:
		return once_read(body, &payloads->ts_i);
	case TD_IKE_PAYLOAD_TSR:
		return once_read(body, &payloads->ts_r);
	case TD_IKE_PAYLOAD_NOISE:
		return once_read(body, &payloads->noise);
	case TD_IKE_PAYLOAD_CP:
		return once_note(&payloads->configuration);
	case TD_IKE_PAYLOAD_EAP:
		return once_note(&payloads->eap);
	default:
		// The first one is named in the answer (RFC 7296 2.5).
		if (critical && !payloads->unsupported)
			payloads->unsupported = type;
		return 0;
	}
}

static int chain_read(struct td_bytes bytes, uint8_t type, struct td_ike_payloads *payloads)
{
	struct td_cursor cursor = td_cursor_of(bytes);

	while (type != TD_IKE_PAYLOAD_NONE) {
		size_t offset = bytes.length - cursor.left;
		struct td_bytes body;
		uint8_t next, flags;
		uint16_t length;

		if (!td_cursor_u8(&cursor, &next) || !td_cursor_u8(&cursor, &flags) ||
		    !td_cursor_u16(&cursor, &length) || length < GENERIC_HEADER_BYTES ||
		    !td_cursor_take(&cursor, length - GENERIC_HEADER_BYTES, &body))
			return -EBADMSG;
		if (type == TD_IKE_PAYLOAD_SK || type == TD_IKE_PAYLOAD_SKF) {
			payloads->encrypted_type = type;
			payloads->encrypted_next = next;
			payloads->encrypted = body;
			payloads->encrypted_offset = offset;
			break; // next is the first one inside (RFC 7296 3.14)
		}
		int result = body_read(type, flags & CRITICAL, td_cursor_of(body), payloads);
		if (result)
			return result;
		type = next;
	}
	return cursor.left == 0 ? 0 : -EBADMSG;
}

int td_ike_payloads_read(struct td_bytes bytes, uint8_t first, struct td_ike_payloads *payloads)
{
	memset(payloads, 0, sizeof(*payloads));
	int result = chain_read(bytes, first, payloads);
	if (result) {
		memset(payloads, 0, sizeof(*payloads)); // half a message is none
		return result;
	}
	return payloads->unsupported ? -ENOTSUP : 0;
}

const struct td_ike_notify *td_ike_notify_find(const struct td_ike_payloads *payloads, uint16_t type)
{
	for (unsigned i = 0; i < payloads->notify_count; i++)
		if (payloads->notifies[i].type == type)
			return &payloads->notifies[i];
	return NULL;
}

const struct td_ike_notify *td_ike_notify_error(const struct td_ike_payloads *payloads)
{
	for (unsigned i = 0; i < payloads->notify_count; i++)
		if (payloads->notifies[i].type < TD_N_STATUS_MIN)
			return &payloads->notifies[i];
	return NULL;
}

uint32_t td_ike_spi32(struct td_bytes spi)
{
	struct td_cursor cursor = td_cursor_of(spi);
	uint32_t value = 0;

	if (spi.length == SPI_BYTES)
		td_cursor_u32(&cursor, &value);
	return value;
}

// SPDX-License-Identifier: BSD-3-Clause
// IKEv2 messages: what is written is read again, and everything malformed is refused.

#include "control/ike/message.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(text) ((struct td_bytes){(const uint8_t *)(text), sizeof(text) - 1})
#define NONCE TEXT("0123456789abcdef")
#define CRITICAL 0x80
#define UNKNOWN 200 // a payload type of nobody

// ---- header -----------------------------------------------------------------------------------

static const struct td_ike_header sample_header = {
    .spi_i = 0x0102030405060708,
    .spi_r = 0x1112131415161718,
    .next_payload = TD_IKE_PAYLOAD_SA,
    .version = TD_IKE_VERSION,
    .exchange = TD_IKE_SA_INIT,
    .flags = TD_IKE_FLAG_INITIATOR,
    .message_id = 0x21222324,
    .length = TD_IKE_HEADER_BYTES,
};

static const uint8_t sample_header_bytes[TD_IKE_HEADER_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13,
    0x14, 0x15, 0x16, 0x17, 0x18, 33, 0x20, 34, 0x08, 0x21, 0x22, 0x23, 0x24, 0, 0, 0, TD_IKE_HEADER_BYTES};

Test(ike_header, is_written_as_the_rfc_draws_it)
{
	uint8_t buffer[TD_IKE_HEADER_BYTES];
	struct td_writer writer = {.data = buffer, .capacity = sizeof(buffer)};

	td_ike_header_write(&writer, &sample_header);
	cr_expect_not(writer.overflow);
	cr_expect_arr_eq(buffer, sample_header_bytes, sizeof(buffer));
}

static const struct {
	const char *name;
	size_t at; // one byte changed
	uint8_t value;
	int result;
} headers[] = {
    {"nothing changed", 19, 0x08, 0},
    {"response", 19, 0x20, 0},
    {"reserved flags", 19, 0xff, 0},
    {"later minor version", 17, 0x2f, 0},
    {"IKEv1", 17, 0x10, -EPROTONOSUPPORT},
    {"IKEv3", 17, 0x30, -EPROTONOSUPPORT},
    {"no version", 17, 0x00, -EPROTONOSUPPORT},
    {"length of one byte less", 27, TD_IKE_HEADER_BYTES - 1, -EBADMSG},
    {"length of one byte more", 27, TD_IKE_HEADER_BYTES + 1, -EBADMSG},
    {"length 0", 27, 0, -EBADMSG},
    {"huge length", 24, 0xff, -EBADMSG},
};

Test(ike_header, is_checked)
{
	for (size_t i = 0; i < COUNT(headers); i++) {
		uint8_t bytes[TD_IKE_HEADER_BYTES];
		struct td_ike_header header = {0};

		memcpy(bytes, sample_header_bytes, sizeof(bytes));
		bytes[headers[i].at] = headers[i].value;
		cr_expect_eq(td_ike_header_read((struct td_bytes){bytes, sizeof(bytes)}, &header),
		    headers[i].result, "%s", headers[i].name);
		cr_expect_eq(header.spi_i, sample_header.spi_i, "%s", headers[i].name);
		cr_expect_eq(header.spi_r, sample_header.spi_r, "%s", headers[i].name);
		cr_expect_eq(header.message_id, sample_header.message_id, "%s", headers[i].name);
		cr_expect_eq(td_ike_is_response(&header), (bytes[19] & 0x20) != 0, "%s", headers[i].name);
	}
}

Test(ike_header, is_whole)
{
	for (size_t length = 0; length < TD_IKE_HEADER_BYTES; length++) {
		struct td_ike_header header;
		uint8_t *bytes = malloc(length + 1); // exactly what may be read, for the sanitizer

		memcpy(bytes + 1, sample_header_bytes, length);
		cr_expect_eq(td_ike_header_read((struct td_bytes){bytes + 1, length}, &header), -EBADMSG);
		free(bytes);
	}
}

// RFC 7296 3.1 forbids it, 1.5 makes an exception of INVALID_SPI without an IKE SA.
Test(ike_header, has_an_spi_of_the_initiator)
{
	static const struct {
		uint8_t exchange;
		int result;
	} rows[] = {
	    {TD_IKE_SA_INIT, -EBADMSG},
	    {TD_IKE_AUTH, -EBADMSG},
	    {TD_IKE_CREATE_CHILD_SA, -EBADMSG},
	    {TD_IKE_INFORMATIONAL, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t bytes[TD_IKE_HEADER_BYTES];
		struct td_ike_header header;

		memcpy(bytes, sample_header_bytes, sizeof(bytes));
		memset(bytes, 0, 8);
		bytes[18] = rows[i].exchange;
		cr_expect_eq(
		    td_ike_header_read((struct td_bytes){bytes, sizeof(bytes)}, &header), rows[i].result);
	}
}

// ---- a message with every payload -------------------------------------------------------------

#define BUFFER_BYTES 4096

struct message {
	uint8_t buffer[BUFFER_BYTES];
	struct td_ike_chain chain;
};

static void payload_write(struct td_ike_chain *chain, uint8_t type, struct td_bytes body)
{
	size_t begin = td_ike_payload_begin(chain, type);

	td_writer_bytes(&chain->writer, body.data, body.length);
	td_ike_payload_end(chain, begin);
}

static void everything_write(struct td_ike_chain *chain)
{
	td_ike_nonce_write(chain, NONCE);
	payload_write(chain, TD_IKE_PAYLOAD_SA, TEXT("an SA"));
	td_ike_ke_write(chain, TD_DH_X25519, TEXT("public"));
	td_ike_id_write(chain, TD_IKE_PAYLOAD_IDI, TD_ID_FQDN, TEXT("gw-a.example"));
	td_ike_id_write(chain, TD_IKE_PAYLOAD_IDR, TD_ID_IPV4, TEXT("\xc0\x00\x02\x01"));
	td_ike_cert_write(chain, TD_IKE_PAYLOAD_CERT, TD_CERT_X509, TEXT("first"));
	td_ike_cert_write(chain, TD_IKE_PAYLOAD_CERT, TD_CERT_X509, TEXT("second"));
	td_ike_cert_write(chain, TD_IKE_PAYLOAD_CERTREQ, TD_CERT_X509, TEXT(""));
	td_ike_auth_write(chain, TD_AUTH_PSK, TEXT("proof"));
	td_ike_notify_write(chain, 0, TEXT(""), TD_N_INITIAL_CONTACT, TEXT(""));
	td_ike_notify_write(chain, TD_IKE_PROTO_ESP, TEXT("\x00\x00\x10\x01"), TD_N_REKEY_SA, TEXT("data"));
	td_ike_notify_write(chain, 0, TEXT(""), TD_N_TS_UNACCEPTABLE, TEXT(""));
	td_ike_delete_write(chain, TD_IKE_PROTO_ESP, 4, 2, TEXT("\x00\x00\x10\x01\x00\x00\x10\x02"));
	td_ike_delete_write(chain, TD_IKE_PROTO_IKE, 0, 0, TEXT(""));
	payload_write(chain, TD_IKE_PAYLOAD_VENDOR, TEXT("tandem"));
	payload_write(chain, TD_IKE_PAYLOAD_VENDOR, TEXT(""));
	payload_write(chain, UNKNOWN, TEXT("not critical"));
	payload_write(chain, TD_IKE_PAYLOAD_TSI, TEXT("selectors i"));
	payload_write(chain, TD_IKE_PAYLOAD_TSR, TEXT("selectors r"));
	payload_write(chain, TD_IKE_PAYLOAD_CP, TEXT("cp"));
	payload_write(chain, TD_IKE_PAYLOAD_EAP, TEXT("eap"));
}

static int chain_read(const struct td_ike_chain *chain, struct td_ike_payloads *payloads)
{
	cr_assert_not(chain->writer.overflow);
	return td_ike_payloads_read(td_writer_bytes_of(&chain->writer), chain->first, payloads);
}

static struct td_ike_chain *message_init(struct message *message)
{
	td_ike_chain_init(&message->chain, message->buffer, sizeof(message->buffer));
	return &message->chain;
}

#define EXPECT_BYTES(bytes, text) cr_expect(td_bytes_equal(bytes, TEXT(text)))

Test(ike_payloads, are_read_as_written)
{
	struct message message;
	struct td_ike_payloads got;

	everything_write(message_init(&message));
	cr_expect_eq(message.chain.first, TD_IKE_PAYLOAD_NONCE);
	cr_assert_eq(chain_read(&message.chain, &got), 0);

	EXPECT_BYTES(got.nonce, "0123456789abcdef");
	EXPECT_BYTES(got.sa, "an SA");
	cr_expect_eq(got.ke_group, TD_DH_X25519);
	EXPECT_BYTES(got.ke, "public");
	cr_expect_eq(got.id_i.type, TD_ID_FQDN);
	EXPECT_BYTES(got.id_i.data, "gw-a.example");
	EXPECT_BYTES(got.id_i.body, "\x02\0\0\0gw-a.example");
	cr_expect_eq(got.id_r.type, TD_ID_IPV4);
	EXPECT_BYTES(got.id_r.data, "\xc0\x00\x02\x01");
	cr_expect_eq(got.cert_count, 2);
	cr_expect_eq(got.certs[0].encoding, TD_CERT_X509);
	EXPECT_BYTES(got.certs[0].data, "first");
	EXPECT_BYTES(got.certs[1].data, "second");
	cr_expect_eq(got.certreq_count, 1);
	EXPECT_BYTES(got.certreqs[0].data, "");
	cr_expect_eq(got.auth_method, TD_AUTH_PSK);
	EXPECT_BYTES(got.auth, "proof");
	cr_expect_eq(got.notify_count, 3);
	cr_expect_eq(got.delete_count, 2);
	EXPECT_BYTES(got.ts_i, "selectors i");
	EXPECT_BYTES(got.ts_r, "selectors r");
	cr_expect(got.configuration);
	cr_expect(got.eap);
	cr_expect_eq(got.encrypted_type, 0);
	cr_expect_eq(got.unsupported, 0);
}

Test(ike_payloads, notifies_and_deletes_are_found)
{
	struct message message;
	struct td_ike_payloads got;

	everything_write(message_init(&message));
	cr_assert_eq(chain_read(&message.chain, &got), 0);

	const struct td_ike_notify *rekey = td_ike_notify_find(&got, TD_N_REKEY_SA);
	cr_assert_not_null(rekey);
	cr_expect_eq(rekey->protocol, TD_IKE_PROTO_ESP);
	cr_expect_eq(td_ike_spi32(rekey->spi), 0x1001);
	EXPECT_BYTES(rekey->data, "data");
	cr_expect_eq(td_ike_notify_error(&got), td_ike_notify_find(&got, TD_N_TS_UNACCEPTABLE));
	cr_expect_not_null(td_ike_notify_error(&got));
	cr_expect_null(td_ike_notify_find(&got, TD_N_COOKIE));
	cr_expect_eq(td_ike_spi32(td_ike_notify_find(&got, TD_N_INITIAL_CONTACT)->spi), 0);

	cr_expect_eq(got.deletes[0].protocol, TD_IKE_PROTO_ESP);
	cr_expect_eq(got.deletes[0].spi_size, 4);
	cr_expect_eq(got.deletes[0].count, 2);
	EXPECT_BYTES(got.deletes[0].spis, "\x00\x00\x10\x01\x00\x00\x10\x02");
	cr_expect_eq(got.deletes[1].protocol, TD_IKE_PROTO_IKE);
	cr_expect_eq(got.deletes[1].spis.length, 0);
}

Test(ike_payloads, of_an_empty_message)
{
	struct td_ike_payloads got;

	cr_expect_eq(td_ike_payloads_read((struct td_bytes){0}, TD_IKE_PAYLOAD_NONE, &got), 0);
	cr_expect_eq(td_ike_payloads_read((struct td_bytes){0}, TD_IKE_PAYLOAD_NONCE, &got), -EBADMSG);
	cr_expect_eq(td_ike_payloads_read(TEXT("\0"), TD_IKE_PAYLOAD_NONE, &got), -EBADMSG,
	    "bytes behind the last payload");
}

// Every cut is seen, and no byte behind it is read (the sanitizer looks at the copy's end).
Test(ike_payloads, truncated_at_every_byte)
{
	struct message message;
	struct td_ike_payloads got, zero;

	memset(&zero, 0, sizeof(zero));
	everything_write(message_init(&message));
	for (size_t length = 0; length < message.chain.writer.length; length++) {
		uint8_t *cut = malloc(length + 1);

		memcpy(cut + 1, message.buffer, length);
		cr_expect_eq(
		    td_ike_payloads_read((struct td_bytes){cut + 1, length}, message.chain.first, &got),
		    -EBADMSG, "%zu bytes", length);
		cr_expect_eq(memcmp(&got, &zero, sizeof(got)), 0, "%zu bytes leave something", length);
		free(cut);
	}
}

// A byte too many is one that no payload has.
Test(ike_payloads, with_a_byte_behind)
{
	struct message message;
	struct td_ike_payloads got;

	everything_write(message_init(&message));
	td_writer_u8(&message.chain.writer, 0);
	cr_expect_eq(chain_read(&message.chain, &got), -EBADMSG);
}

// Whatever one byte becomes: no crash, no view beyond the message.
static void inside(struct td_bytes view, struct td_bytes whole)
{
	cr_expect(
	    !view.data || (view.data >= whole.data && view.data + view.length <= whole.data + whole.length));
}

Test(ike_payloads, with_every_byte_changed)
{
	static const uint8_t values[] = {0, 1, 3, 4, 0x7f, 0x80, 0xff, 33, 41, 46, 53};
	struct message message;
	struct td_ike_payloads got;

	everything_write(message_init(&message));
	struct td_bytes whole = td_writer_bytes_of(&message.chain.writer);
	for (size_t at = 0; at < whole.length; at++) {
		uint8_t right = message.buffer[at];

		for (size_t v = 0; v < COUNT(values); v++) {
			message.buffer[at] = values[v];
			td_ike_payloads_read(whole, message.chain.first, &got);
			inside(got.sa, whole);
			inside(got.ke, whole);
			inside(got.nonce, whole);
			inside(got.id_i.body, whole);
			inside(got.encrypted, whole);
			for (unsigned i = 0; i < got.notify_count; i++)
				inside(got.notifies[i].data, whole);
			for (unsigned i = 0; i < got.delete_count; i++)
				cr_expect_eq(got.deletes[i].spis.length,
				    (size_t)got.deletes[i].count * got.deletes[i].spi_size);
		}
		message.buffer[at] = right;
	}
}

// ---- one payload ------------------------------------------------------------------------------

#define BODY(text) text, sizeof(text) - 1
#define NONCE_16 "0123456789abcdef"
#define NONCE_256                                                                                            \
	NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16   \
	    NONCE_16 NONCE_16 NONCE_16 NONCE_16 NONCE_16

static const struct {
	const char *name;
	uint8_t type;
	const char *body;
	size_t length;
	int result;
} bodies[] = {
    {"KE without a value", TD_IKE_PAYLOAD_KE, BODY("\0\x1f\0\0"), -EBADMSG},
    {"KE of one byte", TD_IKE_PAYLOAD_KE, BODY("\0\x1f\0\0x"), 0},
    {"KE with reserved bits", TD_IKE_PAYLOAD_KE, BODY("\0\x1f\xff\xffx"), 0},
    {"KE of an unknown group", TD_IKE_PAYLOAD_KE, BODY("\xff\xff\0\0x"), 0},
    {"KE of three bytes", TD_IKE_PAYLOAD_KE, BODY("\0\x1f\0"), -EBADMSG},
    {"nonce of 15 bytes", TD_IKE_PAYLOAD_NONCE, BODY("0123456789abcde"), -EBADMSG},
    {"nonce of 16 bytes", TD_IKE_PAYLOAD_NONCE, BODY(NONCE_16), 0},
    {"nonce of 256 bytes", TD_IKE_PAYLOAD_NONCE, BODY(NONCE_256), 0},
    {"nonce of 257 bytes", TD_IKE_PAYLOAD_NONCE, BODY(NONCE_256 "x"), -EBADMSG},
    {"empty nonce", TD_IKE_PAYLOAD_NONCE, BODY(""), -EBADMSG},
    {"ID of three bytes", TD_IKE_PAYLOAD_IDI, BODY("\x02\0\0"), -EBADMSG},
    {"ID of IPv4, 3 bytes", TD_IKE_PAYLOAD_IDI, BODY("\x01\0\0\0abc"), -EBADMSG},
    {"ID of IPv4, 5 bytes", TD_IKE_PAYLOAD_IDR, BODY("\x01\0\0\0abcde"), -EBADMSG},
    {"ID of IPv4", TD_IKE_PAYLOAD_IDR, BODY("\x01\0\0\0abcd"), 0},
    {"ID of IPv6, 4 bytes", TD_IKE_PAYLOAD_IDI, BODY("\x05\0\0\0abcd"), -EBADMSG},
    {"ID of IPv6", TD_IKE_PAYLOAD_IDI, BODY("\x05\0\0\0" NONCE_16), 0},
    {"ID with reserved bits", TD_IKE_PAYLOAD_IDI, BODY("\x02\xff\xff\xffgw"), 0},
    {"CERT without encoding", TD_IKE_PAYLOAD_CERT, BODY(""), -EBADMSG},
    {"CERTREQ without encoding", TD_IKE_PAYLOAD_CERTREQ, BODY(""), -EBADMSG},
    {"CERTREQ without authorities", TD_IKE_PAYLOAD_CERTREQ, BODY("\x04"), 0},
    {"AUTH without data", TD_IKE_PAYLOAD_AUTH, BODY("\x02\0\0\0"), -EBADMSG},
    {"AUTH of three bytes", TD_IKE_PAYLOAD_AUTH, BODY("\x02\0\0"), -EBADMSG},
    {"AUTH", TD_IKE_PAYLOAD_AUTH, BODY("\x02\0\0\0x"), 0},
    {"notify of three bytes", TD_IKE_PAYLOAD_NOTIFY, BODY("\0\0\0"), -EBADMSG},
    {"notify without SPI and data", TD_IKE_PAYLOAD_NOTIFY, BODY("\0\0\0\x0e"), 0},
    {"notify with an SPI that is cut", TD_IKE_PAYLOAD_NOTIFY, BODY("\x03\x04\0\x0e\0\0\x10"), -EBADMSG},
    {"notify with an SPI of 255 bytes", TD_IKE_PAYLOAD_NOTIFY, BODY("\x03\xff\0\x0e\0\0\x10\x01"), -EBADMSG},
    {"notify with an SPI", TD_IKE_PAYLOAD_NOTIFY, BODY("\x03\x04\0\x0e\0\0\x10\x01"), 0},
    {"delete of three bytes", TD_IKE_PAYLOAD_DELETE, BODY("\x03\x04\0"), -EBADMSG},
    {"delete of one SPI", TD_IKE_PAYLOAD_DELETE, BODY("\x03\x04\0\x01\0\0\x10\x01"), 0},
    {"delete of no SPI", TD_IKE_PAYLOAD_DELETE, BODY("\x03\x04\0\0"), 0},
    {"delete that announces two of one", TD_IKE_PAYLOAD_DELETE, BODY("\x03\x04\0\x02\0\0\x10\x01"), -EBADMSG},
    {"delete with a byte behind", TD_IKE_PAYLOAD_DELETE, BODY("\x03\x04\0\x01\0\0\x10\x01x"), -EBADMSG},
    {"delete of ESP, SPI of 8", TD_IKE_PAYLOAD_DELETE,
        BODY("\x03\x08\0\x01"
             "12345678"),
        -EBADMSG},
    {"delete of AH, SPI of 2", TD_IKE_PAYLOAD_DELETE,
        BODY("\x02\x02\0\x01"
             "12"),
        -EBADMSG},
    {"delete of ESP, SPI of 0", TD_IKE_PAYLOAD_DELETE, BODY("\x03\0\0\x05"), -EBADMSG},
    {"delete of the IKE SA", TD_IKE_PAYLOAD_DELETE, BODY("\x01\0\0\0"), 0},
    {"delete of the IKE SA with SPI", TD_IKE_PAYLOAD_DELETE,
        BODY("\x01\x08\0\x01"
             "12345678"),
        -EBADMSG},
    {"delete of an unknown protocol", TD_IKE_PAYLOAD_DELETE,
        BODY("\x09\x02\0\x01"
             "12"),
        0},
    {"empty vendor ID", TD_IKE_PAYLOAD_VENDOR, BODY(""), 0},
    {"empty unknown payload", UNKNOWN, BODY(""), 0},
    {"payload type of IKEv1", 1, BODY("x"), 0},
};

Test(ike_payload, bodies)
{
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct message message;
		struct td_ike_payloads got;

		payload_write(message_init(&message), bodies[i].type,
		    (struct td_bytes){(const uint8_t *)bodies[i].body, bodies[i].length});
		cr_expect_eq(chain_read(&message.chain, &got), bodies[i].result, "%s", bodies[i].name);
	}
}

Test(ike_payload, is_at_least_its_header)
{
	static const struct {
		uint8_t length;
		int result;
	} rows[] = {{0, -EBADMSG}, {1, -EBADMSG}, {2, -EBADMSG}, {3, -EBADMSG}, {4, 0}, {5, -EBADMSG}};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t bytes[] = {TD_IKE_PAYLOAD_NONE, 0, 0, rows[i].length};
		struct td_ike_payloads got;

		cr_expect_eq(td_ike_payloads_read(
		                 (struct td_bytes){bytes, sizeof(bytes)}, TD_IKE_PAYLOAD_VENDOR, &got),
		    rows[i].result, "length %u", rows[i].length);
	}
}

// A payload whose length is 0 would be its own successor for ever.
Test(ike_payload, cannot_follow_itself)
{
	uint8_t bytes[64];
	struct td_ike_payloads got;

	for (size_t i = 0; i < sizeof(bytes); i += 4)
		memcpy(bytes + i, (const uint8_t[]){TD_IKE_PAYLOAD_VENDOR, 0, 0, 0}, 4);
	cr_expect_eq(
	    td_ike_payloads_read((struct td_bytes){bytes, sizeof(bytes)}, TD_IKE_PAYLOAD_VENDOR, &got),
	    -EBADMSG);
	for (size_t i = 0; i < sizeof(bytes); i += 4)
		bytes[i + 3] = 4;
	cr_expect_eq(
	    td_ike_payloads_read((struct td_bytes){bytes, sizeof(bytes)}, TD_IKE_PAYLOAD_VENDOR, &got),
	    -EBADMSG, "the last one announces another");
	bytes[sizeof(bytes) - 4] = TD_IKE_PAYLOAD_NONE;
	cr_expect_eq(
	    td_ike_payloads_read((struct td_bytes){bytes, sizeof(bytes)}, TD_IKE_PAYLOAD_VENDOR, &got), 0);
}

// ---- how many of a kind -----------------------------------------------------------------------

static const struct {
	uint8_t type;
	const char *body;
	size_t length;
	unsigned most; // 0: as many as fit
	int result; // with one more
} kinds[] = {
    {TD_IKE_PAYLOAD_SA, BODY("sa"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_KE, BODY("\0\x1f\0\0x"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_IDI, BODY("\x02\0\0\0gw"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_IDR, BODY("\x02\0\0\0gw"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_AUTH, BODY("\x02\0\0\0x"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_NONCE, BODY(NONCE_16), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_TSI, BODY("ts"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_TSR, BODY("ts"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_CP, BODY("cp"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_EAP, BODY("eap"), 1, -EBADMSG},
    {TD_IKE_PAYLOAD_CERT, BODY("\x04x"), TD_IKE_CERTS_MAX, -E2BIG},
    {TD_IKE_PAYLOAD_CERTREQ, BODY("\x04x"), TD_IKE_CERTS_MAX, -E2BIG},
    {TD_IKE_PAYLOAD_NOTIFY, BODY("\0\0\x40\0"), TD_IKE_NOTIFIES_MAX, -E2BIG},
    {TD_IKE_PAYLOAD_DELETE, BODY("\x01\0\0\0"), TD_IKE_DELETES_MAX, -E2BIG},
    {TD_IKE_PAYLOAD_VENDOR, BODY("v"), 0, 0},
    {UNKNOWN, BODY("u"), 0, 0},
};

// Also when the first one is empty of data: empty SA and TS payloads count.
Test(ike_payloads, as_many_of_a_kind_as_are_allowed)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct td_bytes body = {(const uint8_t *)kinds[i].body, kinds[i].length};
		struct message message;
		struct td_ike_payloads got;
		unsigned most = kinds[i].most ? kinds[i].most : 300;

		message_init(&message);
		for (unsigned n = 0; n < most; n++)
			payload_write(&message.chain, kinds[i].type, body);
		cr_expect_eq(chain_read(&message.chain, &got), 0, "type %u", kinds[i].type);
		payload_write(&message.chain, kinds[i].type, body);
		cr_expect_eq(chain_read(&message.chain, &got), kinds[i].result, "type %u", kinds[i].type);
	}
}

Test(ike_payloads, an_empty_payload_is_there_too)
{
	static const uint8_t types[] = {TD_IKE_PAYLOAD_SA, TD_IKE_PAYLOAD_TSI, TD_IKE_PAYLOAD_TSR};

	for (size_t i = 0; i < COUNT(types); i++) {
		struct message message;
		struct td_ike_payloads got;

		payload_write(message_init(&message), types[i], TEXT(""));
		cr_expect_eq(chain_read(&message.chain, &got), 0);
		payload_write(&message.chain, types[i], TEXT("x"));
		cr_expect_eq(chain_read(&message.chain, &got), -EBADMSG, "type %u", types[i]);
	}
}

// ---- critical payloads ------------------------------------------------------------------------

static const struct {
	const char *name;
	uint8_t type, flags, second_type, second_flags;
	int result;
	uint8_t unsupported;
} criticals[] = {
    {"unknown", UNKNOWN, 0, UNKNOWN, 0, 0, 0},
    {"unknown with reserved bits", UNKNOWN, 0x7f, UNKNOWN, 0x7f, 0, 0},
    {"unknown and critical", UNKNOWN, CRITICAL, UNKNOWN, 0, -ENOTSUP, UNKNOWN},
    {"known and critical", TD_IKE_PAYLOAD_VENDOR, 0xff, UNKNOWN, 0, 0, 0},
    {"second is critical", UNKNOWN, 0, UNKNOWN + 1, CRITICAL, -ENOTSUP, UNKNOWN + 1},
    {"the first of two", UNKNOWN, CRITICAL, UNKNOWN + 1, CRITICAL, -ENOTSUP, UNKNOWN},
    {"of IKEv1", 1, CRITICAL, UNKNOWN, 0, -ENOTSUP, 1},
};

Test(ike_payloads, critical_ones_that_are_not_known)
{
	for (size_t i = 0; i < COUNT(criticals); i++) {
		struct message message;
		struct td_ike_payloads got;

		payload_write(message_init(&message), criticals[i].type, TEXT("abcd"));
		payload_write(&message.chain, criticals[i].second_type, TEXT("abcd"));
		td_ike_nonce_write(&message.chain, NONCE);
		message.buffer[1] = criticals[i].flags;
		message.buffer[9] = criticals[i].second_flags;
		cr_expect_eq(chain_read(&message.chain, &got), criticals[i].result, "%s", criticals[i].name);
		cr_expect_eq(got.unsupported, criticals[i].unsupported, "%s", criticals[i].name);
		cr_expect_eq(got.nonce.length, 16, "%s: the others are read", criticals[i].name);
		// Malformed is worse than unsupported.
		message.chain.writer.length--;
		cr_expect_eq(chain_read(&message.chain, &got), -EBADMSG, "%s", criticals[i].name);
		cr_expect_eq(got.unsupported, 0);
	}
}

// ---- SK and SKF -------------------------------------------------------------------------------

Test(ike_encrypted, is_the_last_and_names_the_first_inside)
{
	static const uint8_t types[] = {TD_IKE_PAYLOAD_SK, TD_IKE_PAYLOAD_SKF};

	for (size_t i = 0; i < COUNT(types); i++) {
		struct message message;
		struct td_ike_payloads got;

		td_ike_nonce_write(message_init(&message), NONCE);
		size_t begin = message.chain.writer.length;
		payload_write(&message.chain, types[i], TEXT("sealed"));
		message.buffer[begin] = TD_IKE_PAYLOAD_IDI;
		cr_expect_eq(chain_read(&message.chain, &got), 0);
		cr_expect_eq(got.encrypted_type, types[i]);
		cr_expect_eq(got.encrypted_next, TD_IKE_PAYLOAD_IDI);
		cr_expect_eq(got.encrypted_offset, begin);
		EXPECT_BYTES(got.encrypted, "sealed");

		payload_write(&message.chain, TD_IKE_PAYLOAD_VENDOR, TEXT(""));
		cr_expect_eq(chain_read(&message.chain, &got), -EBADMSG, "something behind it");
		cr_expect_eq(got.encrypted_type, 0);
	}
}

Test(ike_encrypted, alone)
{
	struct message message;
	struct td_ike_payloads got;

	payload_write(message_init(&message), TD_IKE_PAYLOAD_SK, TEXT("sealed"));
	cr_expect_eq(message.chain.first, TD_IKE_PAYLOAD_SK);
	cr_expect_eq(chain_read(&message.chain, &got), 0);
	cr_expect_eq(got.encrypted_next, TD_IKE_PAYLOAD_NONE, "an empty request");
	cr_expect_eq(got.encrypted_offset, 0);
}

// ---- writing ----------------------------------------------------------------------------------

Test(ike_chain, overflows_at_every_capacity)
{
	struct message whole, message;

	everything_write(message_init(&whole));
	size_t length = whole.chain.writer.length;
	for (size_t capacity = 0; capacity <= length; capacity++) {
		memset(message.buffer, 0xee, sizeof(message.buffer));
		td_ike_chain_init(&message.chain, message.buffer, capacity);
		everything_write(&message.chain);
		cr_expect_eq(message.chain.writer.overflow, capacity < length, "%zu", capacity);
		cr_expect_eq(message.buffer[capacity], 0xee, "%zu", capacity);
	}
	cr_expect_arr_eq(message.buffer, whole.buffer, length);
}

Test(ike_chain, payload_of_more_than_its_length_says)
{
	static uint8_t buffer[1 << 17];
	static const size_t lengths[] = {65531, 65532};

	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct td_ike_chain chain;

		td_ike_chain_init(&chain, buffer, sizeof(buffer));
		size_t begin = td_ike_payload_begin(&chain, TD_IKE_PAYLOAD_VENDOR);
		cr_assert_not_null(td_writer_room(&chain.writer, lengths[i]));
		td_ike_payload_end(&chain, begin);
		cr_expect_eq(chain.writer.overflow, i == 1);
	}
}

Test(ike_chain, empty)
{
	struct message message;

	message_init(&message);
	cr_expect_eq(message.chain.first, TD_IKE_PAYLOAD_NONE);
	cr_expect_eq(message.chain.writer.length, 0);
}

// ---- numbers ----------------------------------------------------------------------------------

Test(ike_registry, names)
{
	cr_expect_str_eq(td_ike_notify_name(TD_N_NO_PROPOSAL_CHOSEN), "NO_PROPOSAL_CHOSEN");
	cr_expect_str_eq(td_ike_notify_name(16390), "COOKIE");
	cr_expect_str_eq(td_ike_notify_name(8193), "notify");
	cr_expect_str_eq(td_ike_exchange_name(34), "IKE_SA_INIT");
	cr_expect_str_eq(td_ike_exchange_name(35), "IKE_AUTH");
	cr_expect_str_eq(td_ike_exchange_name(36), "CREATE_CHILD_SA");
	cr_expect_str_eq(td_ike_exchange_name(37), "INFORMATIONAL");
	cr_expect_str_eq(td_ike_exchange_name(241), "exchange");
}

Test(ike_spi, is_of_four_bytes)
{
	cr_expect_eq(td_ike_spi32(TEXT("\x12\x34\x56\x78")), 0x12345678);
	cr_expect_eq(td_ike_spi32(TEXT("\x12\x34\x56")), 0);
	cr_expect_eq(td_ike_spi32(TEXT("\x12\x34\x56\x78\x9a")), 0);
	cr_expect_eq(td_ike_spi32((struct td_bytes){0}), 0);
}

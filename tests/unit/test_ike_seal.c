// SPDX-License-Identifier: BSD-3-Clause
// Protected messages of IKEv2: round trips, whatever may be wrong with one, and those of vectors/ike.py.
#include "control/ike/crypto.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGE_MAX 70000

static const struct {
	const char *name;
	uint16_t encr, key_bits, integ;
	size_t iv_bytes, icv_bytes;
} suites[] = {
    {"aes128gcm16", TD_ENCR_AES_GCM_16, 128, TD_INTEG_NONE, 8, 16},
    {"aes192gcm16", TD_ENCR_AES_GCM_16, 192, TD_INTEG_NONE, 8, 16},
    {"aes256gcm16", TD_ENCR_AES_GCM_16, 256, TD_INTEG_NONE, 8, 16},
    {"chacha20poly1305", TD_ENCR_CHACHA20_POLY1305, 0, TD_INTEG_NONE, 8, 16},
    {"aes128-sha256", TD_ENCR_AES_CBC, 128, TD_INTEG_SHA2_256_128, 16, 16},
    {"aes192-sha384", TD_ENCR_AES_CBC, 192, TD_INTEG_SHA2_384_192, 16, 24},
    {"aes256-sha512", TD_ENCR_AES_CBC, 256, TD_INTEG_SHA2_512_256, 16, 32},
    {"aes256-sha256", TD_ENCR_AES_CBC, 256, TD_INTEG_SHA2_256_128, 16, 16},
};

// Other bytes each time; or, if set, these.
static uint8_t given;

static void random_fill(void *context, void *bytes, size_t length)
{
	static uint64_t drawn;

	(void)context;
	for (size_t i = 0; i < length; i++)
		((uint8_t *)bytes)[i] = given ? given : (uint8_t)((drawn >> i % 8 * 8) + i / 8);
	drawn++;
}

static const struct td_ike_random any = {.fill = random_fill};

static const struct td_ike_header header = {
    .spi_i = 0x0102030405060708,
    .spi_r = 0x1112131415161718,
    .version = TD_IKE_VERSION,
    .exchange = TD_IKE_INFORMATIONAL,
    .flags = TD_IKE_FLAG_INITIATOR,
    .message_id = 7,
};

static struct td_ike_keys keys_of(size_t suite)
{
	static const uint8_t some[32] = {1, 2, 3};
	const struct td_bytes bytes = {some, sizeof(some)};
	const struct td_ike_suite chosen = {.protocol = TD_IKE_PROTO_IKE,
	    .encr = suites[suite].encr,
	    .key_bits = suites[suite].key_bits,
	    .prf = TD_PRF_SHA2_256,
	    .integ = suites[suite].integ,
	    .dh = TD_DH_X25519};
	struct td_ike_keys keys;

	cr_assert_eq(td_ike_keys_derive(&chosen, bytes, bytes, bytes, 1, 2, NULL, 0, &any, &keys), 0);
	return keys;
}

// A message, and where its encrypted payload is.
struct message {
	uint8_t data[MESSAGE_MAX];
	struct td_writer writer;
	struct td_ike_payloads outer;
};

static struct td_bytes bytes_of(const struct message *message)
{
	return td_writer_bytes_of(&message->writer);
}

static void message_read(struct message *message)
{
	struct td_ike_header read;

	cr_assert_eq(td_ike_header_read(bytes_of(message), &read), 0);
	cr_assert_eq(td_ike_payloads_read((struct td_bytes){message->data + TD_IKE_HEADER_BYTES,
	                                      message->writer.length - TD_IKE_HEADER_BYTES},
	                 read.next_payload, &message->outer),
	    0);
}

// total 0: SK.
static void message_seal(struct message *message, struct td_ike_keys *keys, struct td_bytes inside,
    uint16_t number, uint16_t total)
{
	message->writer = (struct td_writer){.data = message->data, .capacity = sizeof(message->data)};
	if (total)
		cr_assert_eq(td_ike_seal_fragment(keys, true, &header, TD_IKE_PAYLOAD_NOTIFY, inside, number,
		                 total, &message->writer),
		    0);
	else
		cr_assert_eq(
		    td_ike_seal(keys, true, &header, TD_IKE_PAYLOAD_NOTIFY, inside, &message->writer), 0);
	message_read(message);
}

// Opens in memory of its exact size, for a sanitizer to see.
static int message_open(const struct td_ike_keys *keys, bool from_initiator, struct td_bytes datagram,
    const struct td_ike_payloads *outer, struct td_bytes right, uint16_t *number, uint16_t *total)
{
	uint8_t *plain = malloc(datagram.length);
	struct td_bytes inside;
	int result = td_ike_open(keys, from_initiator, datagram, outer, plain, &inside, number, total);

	if (!result)
		cr_expect(td_bytes_equal(inside, right), "%zu bytes inside instead of %zu, or others",
		    inside.length, right.length);
	free(plain);
	return result;
}

static struct message message; // too large for a stack

Test(seal, opens_what_it_sealed)
{
	static uint8_t inside[65400];

	for (size_t i = 0; i < sizeof(inside); i++)
		inside[i] = (uint8_t)(i * 7);
	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite);

		for (size_t length = 0; length <= sizeof(inside);
		     length = length < 70 ? length + 1 : length * 2 + 5)
			for (uint16_t total = 0; total < 3; total++) {
				struct td_bytes payloads = {inside, length};
				uint16_t got_number = 99, got_total = 99;

				message_seal(&message, &keys, payloads, total, total);
				cr_expect_leq(message.writer.length,
				    TD_IKE_HEADER_BYTES + length + TD_IKE_SEAL_MAX_BYTES + (total ? 4 : 0));
				cr_expect_eq(message.outer.encrypted_type,
				    total ? TD_IKE_PAYLOAD_SKF : TD_IKE_PAYLOAD_SK);
				cr_expect_eq(message.outer.encrypted_next,
				    total == 2 ? TD_IKE_PAYLOAD_NONE : TD_IKE_PAYLOAD_NOTIFY, "%u", total);
				cr_expect_eq(message_open(&keys, true, bytes_of(&message), &message.outer,
				                 payloads, &got_number, &got_total),
				    0, "%s, %zu bytes", suites[suite].name, length);
				cr_expect_eq(got_number, total);
				cr_expect_eq(got_total, total);
			}
	}
}

Test(seal, keeps_what_the_header_says)
{
	struct td_ike_keys keys = keys_of(0);
	struct td_ike_header read;

	message_seal(&message, &keys, (struct td_bytes){0}, 0, 0);
	cr_assert_eq(td_ike_header_read(bytes_of(&message), &read), 0);
	cr_expect_eq(read.spi_i, header.spi_i);
	cr_expect_eq(read.spi_r, header.spi_r);
	cr_expect_eq(read.exchange, header.exchange);
	cr_expect_eq(read.flags, header.flags);
	cr_expect_eq(read.message_id, header.message_id);
	cr_expect_eq(read.next_payload, TD_IKE_PAYLOAD_SK);
	cr_expect_eq(read.length, message.writer.length);
}

Test(seal, refuses_every_byte_changed)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	static const uint8_t inside[37] = {1, 2, 3};
	const struct td_bytes none = {0};
	uint16_t number, total;

	for (size_t suite = 0; suite < COUNT(suites); suite++)
		for (uint16_t fragments = 0; fragments < 2; fragments++) {
			struct td_ike_keys keys = keys_of(suite);

			message_seal(
			    &message, &keys, (struct td_bytes){inside, sizeof(inside)}, fragments, fragments);
			// What the payloads are stays as it was read before: that the bytes are not authentic
			// is for the cryptography to see, not for a parser.
			for (size_t i = 0; i < message.writer.length * COUNT(masks); i++) {
				message.data[i / COUNT(masks)] ^= masks[i % COUNT(masks)];
				cr_expect_eq(message_open(&keys, true, bytes_of(&message), &message.outer,
				                 none, &number, &total),
				    -EBADMSG, "%s, byte %zu", suites[suite].name, i / COUNT(masks));
				message.data[i / COUNT(masks)] ^= masks[i % COUNT(masks)];
			}
			cr_expect_eq(message_open(&keys, true, bytes_of(&message), &message.outer,
			                 (struct td_bytes){inside, sizeof(inside)}, &number, &total),
			    0);
		}
}

Test(seal, refuses_every_truncation)
{
	static const uint8_t inside[37] = {1, 2, 3};
	const struct td_bytes none = {0};
	uint16_t number, total;

	for (size_t suite = 0; suite < COUNT(suites); suite++)
		for (uint16_t fragments = 0; fragments < 2; fragments++) {
			struct td_ike_keys keys = keys_of(suite);

			message_seal(
			    &message, &keys, (struct td_bytes){inside, sizeof(inside)}, fragments, fragments);
			// The rest of the message as it is, and its views cut with it.
			for (size_t length = message.writer.length; length-- > 0;) {
				struct td_ike_payloads outer = message.outer;
				size_t start = TD_IKE_HEADER_BYTES + 4;
				uint8_t *copy = malloc(length);

				memcpy(copy, message.data, length);
				outer.encrypted.data = copy + start;
				outer.encrypted.length = length < start ? 0 : length - start;
				cr_expect_eq(message_open(&keys, true, (struct td_bytes){copy, length},
				                 &outer, none, &number, &total),
				    -EBADMSG, "%s, %zu bytes", suites[suite].name, length);
				free(copy);
			}
		}
}

Test(seal, refuses_views_of_other_bytes)
{
	struct td_ike_keys keys = keys_of(0);
	const struct td_bytes none = {0};
	struct td_ike_payloads outer;
	uint16_t number, total;

	message_seal(&message, &keys, none, 0, 0);
	outer = message.outer;
	outer.encrypted_offset += 1;
	cr_expect_eq(message_open(&keys, true, bytes_of(&message), &outer, none, &number, &total), -EBADMSG);
	outer.encrypted_offset = 100000;
	cr_expect_eq(message_open(&keys, true, bytes_of(&message), &outer, none, &number, &total), -EBADMSG);
	outer = message.outer;
	outer.encrypted.length--;
	cr_expect_eq(message_open(&keys, true, bytes_of(&message), &outer, none, &number, &total), -EBADMSG);
	outer = message.outer;
	outer.encrypted_type = 0;
	cr_expect_eq(message_open(&keys, true, bytes_of(&message), &outer, none, &number, &total), -EBADMSG);
	outer.encrypted_type = TD_IKE_PAYLOAD_SKF;
	cr_expect_eq(message_open(&keys, true, bytes_of(&message), &outer, none, &number, &total), -EBADMSG);
}

Test(seal, refuses_other_keys)
{
	static const uint8_t inside[20] = {1};
	const struct td_bytes payloads = {inside, sizeof(inside)};
	uint16_t number, total;

	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite), other;

		message_seal(&message, &keys, payloads, 0, 0);
		cr_expect_eq(
		    message_open(&keys, false, bytes_of(&message), &message.outer, payloads, &number, &total),
		    -EBADMSG, "%s: reflected", suites[suite].name);
		other = keys;
		other.e_i.bytes[0] ^= 1;
		// CBC without a right padding may decrypt to anything: authenticity is the other key's.
		if (suites[suite].integ == TD_INTEG_NONE)
			cr_expect_eq(message_open(&other, true, bytes_of(&message), &message.outer, payloads,
			                 &number, &total),
			    -EBADMSG, "%s: another cipher key", suites[suite].name);
		other = keys;
		other.e_i.bytes[other.e_i.length - 1] ^= 1;
		other.a_i.bytes[0] ^= 1;
		cr_expect_eq(
		    message_open(&other, true, bytes_of(&message), &message.outer, payloads, &number, &total),
		    -EBADMSG, "%s: another salt or integrity key", suites[suite].name);
		td_ike_keys_wipe(&other);
		cr_expect_eq(
		    message_open(&other, true, bytes_of(&message), &message.outer, payloads, &number, &total),
		    -EBADMSG, "%s: no keys", suites[suite].name);
	}
}

Test(seal, leaves_nothing_of_what_it_refuses)
{
	static const uint8_t inside[20] = {1, 2, 3};
	uint8_t plain[200];
	struct td_bytes opened = {NULL, 4711};
	uint16_t number = 5, total = 6;

	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite);

		message_seal(&message, &keys, (struct td_bytes){inside, sizeof(inside)}, 0, 0);
		message.data[message.writer.length - 1] ^= 1;
		memset(plain, 0, sizeof(plain));
		cr_assert_eq(td_ike_open(&keys, true, bytes_of(&message), &message.outer, plain, &opened,
		                 &number, &total),
		    -EBADMSG);
		for (size_t i = 0; i < sizeof(plain); i++)
			cr_assert_eq(plain[i], 0, "%s, byte %zu", suites[suite].name, i);
		cr_expect(opened.length == 4711 && number == 5 && total == 6);
	}
}

Test(seal, never_uses_an_iv_twice)
{
	uint64_t starts[COUNT(suites)] = {0};

	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite);
		uint8_t ivs[64][16] = {0};

		starts[suite] = keys.iv_next;
		for (size_t i = 0; i < COUNT(ivs); i++) {
			message_seal(&message, &keys, (struct td_bytes){0}, 0, 0);
			memcpy(ivs[i], message.outer.encrypted.data, suites[suite].iv_bytes);
			for (size_t j = 0; j < i; j++)
				cr_assert_neq(memcmp(ivs[i], ivs[j], 16), 0, "%s", suites[suite].name);
		}
		if (suites[suite].integ == TD_INTEG_NONE)
			cr_expect_eq(keys.iv_next, starts[suite] + COUNT(ivs));
		for (size_t j = 0; j < suite; j++)
			cr_expect_neq(starts[suite], starts[j]);
	}
}

Test(seal, draws_ivs_from_where_it_is_told)
{
	static const uint8_t wanted[16] = {
	    0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5};

	given = 0xa5;
	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite);

		message_seal(&message, &keys, (struct td_bytes){0}, 0, 0);
		cr_expect_arr_eq(
		    message.outer.encrypted.data, wanted, suites[suite].iv_bytes, "%s", suites[suite].name);
	}
	given = 0;
}

Test(seal, counts_past_the_last_iv)
{
	struct td_ike_keys keys = keys_of(0);
	const struct td_bytes none = {0};
	uint16_t number, total;

	keys.iv_next = UINT64_MAX;
	for (int i = 0; i < 2; i++) {
		message_seal(&message, &keys, none, 0, 0);
		cr_expect_eq(
		    message_open(&keys, true, bytes_of(&message), &message.outer, none, &number, &total), 0);
	}
	cr_expect_eq(keys.iv_next, 1);
}

Test(seal, needs_room)
{
	static const uint8_t inside[65536] = {1};
	const struct td_bytes payloads = {inside, 20}, most = {inside, 65535 - 4 - 8 - 1 - 16},
	                      more = {inside, most.length + 1};

	for (size_t suite = 0; suite < COUNT(suites); suite++) {
		struct td_ike_keys keys = keys_of(suite);
		size_t needed;

		message_seal(&message, &keys, payloads, 0, 0);
		needed = message.writer.length;
		for (size_t capacity = 0; capacity < needed; capacity++) {
			uint8_t *exact = malloc(capacity);
			struct td_writer writer = {.data = exact, .capacity = capacity};

			cr_expect_eq(td_ike_seal(&keys, true, &header, 0, payloads, &writer), -ENOSPC,
			    "%s, %zu", suites[suite].name, capacity);
			free(exact);
		}
		struct td_writer writer = {.data = message.data, .capacity = needed};
		cr_expect_eq(td_ike_seal(&keys, true, &header, 0, payloads, &writer), 0);
	}
	// A payload's length is in 16 bits.
	struct td_ike_keys keys = keys_of(0);
	message_seal(&message, &keys, most, 0, 0);
	struct td_writer writer = {.data = message.data, .capacity = sizeof(message.data)};
	cr_expect_eq(td_ike_seal(&keys, true, &header, 0, more, &writer), -ENOSPC);
	cr_expect_eq(writer.length, 0);
}

Test(seal, refuses_what_cannot_be)
{
	struct td_ike_keys keys = keys_of(0), none = {0};
	struct td_writer writer = {.data = message.data, .capacity = sizeof(message.data)};

	cr_expect_eq(td_ike_seal(&none, true, &header, 0, (struct td_bytes){0}, &writer), -EIO);
	cr_expect_eq(
	    td_ike_seal_fragment(&keys, true, &header, 0, (struct td_bytes){0}, 0, 2, &writer), -EIO);
	cr_expect_eq(
	    td_ike_seal_fragment(&keys, true, &header, 0, (struct td_bytes){0}, 3, 2, &writer), -EIO);
	cr_expect_eq(writer.length, 0);
}

// encr, bits, integ, SK_e, SK_a, ..., the message last.
static struct td_ike_keys vector_keys(const struct vector *vector)
{
	struct td_ike_keys keys = {.encr = (uint16_t)vector->fields[0].number,
	    .key_bits = (uint16_t)vector->fields[1].number,
	    .integ = (uint16_t)vector->fields[2].number,
	    .prf = TD_PRF_SHA2_256};
	struct td_bytes message_bytes = vector->fields[vector->count - 1].bytes;

	keys.e_r.length = vector->fields[3].bytes.length;
	memcpy(keys.e_r.bytes, vector->fields[3].bytes.data, keys.e_r.length);
	keys.a_r.length = vector->fields[4].bytes.length;
	memcpy(keys.a_r.bytes, vector->fields[4].bytes.data, keys.a_r.length);
	message.writer = (struct td_writer){.data = message.data, .length = message_bytes.length};
	memcpy(message.data, message_bytes.data, message_bytes.length);
	message_read(&message);
	return keys;
}

// ..., number, total, what is inside, message.
static void sealed_check(const struct vector *vector)
{
	struct td_ike_keys keys = vector_keys(vector);
	uint16_t number, total;

	cr_expect_eq(message_open(&keys, false, bytes_of(&message), &message.outer, vector->fields[7].bytes,
	                 &number, &total),
	    0, "cipher %u, %u bits", keys.encr, keys.key_bits);
	cr_expect_eq(number, vector->fields[5].number);
	cr_expect_eq(total, vector->fields[6].number);
}

Test(seal, opens_what_another_implementation_sealed)
{
	vectors_each("sealed", 52, sealed_check);
}

// ..., name, message.
static void refused_check(const struct vector *vector)
{
	struct td_ike_keys keys = vector_keys(vector);
	const struct td_bytes none = {0};
	uint16_t number, total;

	cr_expect_eq(message_open(&keys, false, bytes_of(&message), &message.outer, none, &number, &total),
	    -EBADMSG, "cipher %u, %u bits, message of %zu bytes", keys.encr, keys.key_bits,
	    message.writer.length);
}

Test(seal, refuses_what_is_malformed_inside)
{
	vectors_each("refused", 56, refused_check);
}

// SPDX-License-Identifier: BSD-3-Clause
// The Noise handshake against published vectors (vectors/noise.json), and what it refuses.
#include "control/onertt/noise.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <jansson.h>
#include <openssl/evp.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MESSAGE_MAX 512

// ---- two sides --------------------------------------------------------------------------------

struct side {
	struct td_x25519 own;
	struct td_secret ephemeral; // what random is to give
	struct td_noise noise;
};

struct pair {
	struct side i, r;
	struct td_secret psk;
};

static int give(void *context, void *bytes, size_t length)
{
	const struct td_secret *secret = context;

	cr_assert_eq(length, secret->length);
	memcpy(bytes, secret->bytes, length);
	return 0;
}

static struct td_secret key_of(uint8_t byte)
{
	struct td_secret secret = {.length = TD_X25519_BYTES};

	memset(secret.bytes, byte, secret.length);
	return secret;
}

static void side_start(struct side *side, enum td_noise_pattern pattern, bool initiator, const char *prologue,
    const uint8_t *remote)
{
	const struct td_noise_setup setup = {
	    .pattern = pattern,
	    .initiator = initiator,
	    .prologue = {(const uint8_t *)prologue, strlen(prologue)},
	    .own = initiator && pattern == TD_NOISE_NKPSK2 ? NULL : &side->own,
	    .remote = remote,
	};

	cr_assert_eq(td_noise_start(&side->noise, &setup), 0);
}

static void pair_start(struct pair *pair, enum td_noise_pattern pattern)
{
	const struct td_secret own_i = key_of(1), own_r = key_of(2);

	*pair = (struct pair){.psk = key_of(5)};
	pair->i.ephemeral = key_of(3);
	pair->r.ephemeral = key_of(4);
	cr_assert_eq(td_x25519_make(&own_i, &pair->i.own), 0);
	cr_assert_eq(td_x25519_make(&own_r, &pair->r.own), 0);
	side_start(&pair->i, pattern, true, "prologue", pair->r.own.public_key);
	side_start(&pair->r, pattern, false, "prologue", NULL);
	if (pattern != TD_NOISE_NKPSK2)
		return;
	cr_assert_eq(td_noise_psk_set(&pair->i.noise, &pair->psk), 0);
	cr_assert_eq(td_noise_psk_set(&pair->r.noise, &pair->psk), 0);
}

static void pair_end(struct pair *pair)
{
	td_x25519_free(&pair->i.own);
	td_x25519_free(&pair->r.own);
	td_noise_wipe(&pair->i.noise);
	td_noise_wipe(&pair->r.noise);
}

static size_t write_message(struct side *side, struct td_bytes plain, uint8_t *message)
{
	struct td_writer writer = {.data = message, .capacity = MESSAGE_MAX};

	cr_assert_eq(td_noise_write_tokens(&side->noise, give, &side->ephemeral, &writer), 0);
	cr_assert_eq(td_noise_write_payload(&side->noise, plain, &writer), 0);
	return writer.length;
}

// All steps of reading; the first failure counts.
static int read_message(struct td_noise *noise, struct td_bytes message, uint8_t *plain, size_t *length)
{
	struct td_cursor cursor = td_cursor_of(message);
	int result = 0;

	if (!noise->initiator)
		result = td_noise_read_static(noise, &cursor);
	if (result == 0)
		result = td_noise_read_tokens(noise, &cursor);
	return result ? result : td_noise_read_payload(noise, &cursor, plain, length);
}

static void expect_read(struct side *side, struct td_bytes message, struct td_bytes plain)
{
	uint8_t got[MESSAGE_MAX];
	size_t length = 0;

	cr_assert_eq(read_message(&side->noise, message, got, &length), 0);
	cr_assert_eq(length, plain.length);
	cr_assert_eq(memcmp(got, plain.data, length), 0);
}

static const struct td_bytes payload = {(const uint8_t *)"payload", 7};

// ---- vectors ----------------------------------------------------------------------------------

static struct td_bytes field(const json_t *object, const char *name, uint8_t *memory)
{
	const char *text = json_string_value(json_object_get(object, name));

	cr_assert_not_null(text, "%s", name);
	return unhex(text, memory, MESSAGE_MAX);
}

static struct td_secret secret_field(const json_t *object, const char *name)
{
	uint8_t memory[MESSAGE_MAX];
	struct td_bytes bytes = field(object, name, memory);
	struct td_secret secret = {.length = bytes.length};

	memcpy(secret.bytes, bytes.data, bytes.length);
	return secret;
}

static void vector_side(
    const json_t *vector, struct side *side, enum td_noise_pattern pattern, bool initiator)
{
	uint8_t prologue[MESSAGE_MAX], remote[MESSAGE_MAX], psk[MESSAGE_MAX];
	const char *name = initiator ? "init" : "resp";
	const json_t *psks;
	char key[32];

	snprintf(key, sizeof(key), "%s_ephemeral", name);
	side->ephemeral = secret_field(vector, key);
	snprintf(key, sizeof(key), "%s_static", name);
	if (json_object_get(vector, key)) {
		const struct td_secret own = secret_field(vector, key);

		cr_assert_eq(td_x25519_make(&own, &side->own), 0);
	}
	snprintf(key, sizeof(key), "%s_prologue", name);
	side->noise = (struct td_noise){0};
	const struct td_noise_setup setup = {
	    .pattern = pattern,
	    .initiator = initiator,
	    .prologue = field(vector, key, prologue),
	    .own = side->own.key ? &side->own : NULL,
	    .remote = initiator ? field(vector, "init_remote_static", remote).data : NULL,
	};
	cr_assert_eq(td_noise_start(&side->noise, &setup), 0);
	snprintf(key, sizeof(key), "%s_psks", name);
	psks = json_object_get(vector, key);
	if (json_array_size(psks) == 0)
		return;
	struct td_secret secret = {.length = 32};
	memcpy(secret.bytes, unhex(json_string_value(json_array_get(psks, 0)), psk, sizeof(psk)).data, 32);
	cr_assert_eq(td_noise_psk_set(&side->noise, &secret), 0);
}

// A message behind the handshake, by AES-256-GCM with an empty header.
static void transport_check(
    const struct td_secret *key, uint8_t nonce, struct td_bytes plain, struct td_bytes sealed)
{
	uint8_t iv[12] = {[11] = nonce}, got[MESSAGE_MAX];
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length, last;

	cr_assert_eq(EVP_EncryptInit_ex2(context, EVP_aes_256_gcm(), key->bytes, iv, NULL), 1);
	cr_assert_eq(EVP_EncryptUpdate(context, got, &length, plain.data, (int)plain.length), 1);
	cr_assert_eq(EVP_EncryptFinal_ex(context, got + length, &last), 1);
	cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, got + length), 1);
	EVP_CIPHER_CTX_free(context);
	cr_expect(td_bytes_equal((struct td_bytes){got, (size_t)length + 16}, sealed));
}

static void vector_check(const json_t *vector, enum td_noise_pattern pattern)
{
	uint8_t message[MESSAGE_MAX], plain_memory[MESSAGE_MAX], sealed_memory[MESSAGE_MAX];
	const json_t *messages = json_object_get(vector, "messages");
	struct td_secret keys[2][2];
	struct side sides[2] = {0}; // initiator, responder

	vector_side(vector, &sides[0], pattern, true);
	vector_side(vector, &sides[1], pattern, false);
	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *step = json_array_get(messages, i);
		struct td_bytes plain = field(step, "payload", plain_memory);
		struct td_bytes sealed = field(step, "ciphertext", sealed_memory);

		if (i >= 2) {
			transport_check(&keys[0][i % 2], (uint8_t)(i / 2 - 1), plain, sealed);
			continue;
		}
		size_t length = write_message(&sides[i], plain, message);
		cr_expect(td_bytes_equal((struct td_bytes){message, length}, sealed), "message %zu", i + 1);
		expect_read(&sides[1 - i], sealed, plain);
		if (i == 0)
			continue;
		for (unsigned side = 0; side < 2; side++)
			cr_assert_eq(td_noise_split(&sides[side].noise, &keys[side][0], &keys[side][1]), 0);
		cr_expect(td_secret_equal(&keys[0][0], &keys[1][0]));
		cr_expect(td_secret_equal(&keys[0][1], &keys[1][1]));
	}
	if (json_object_get(vector, "handshake_hash"))
		cr_expect(td_bytes_equal(field(vector, "handshake_hash", message),
		    (struct td_bytes){sides[0].noise.hash, TD_NOISE_HASH_BYTES}));
	td_x25519_free(&sides[0].own);
	td_x25519_free(&sides[1].own);
}

Test(noise, published_vectors)
{
	json_t *all = json_load_file(TD_SOURCE_DIR "/tests/unit/vectors/noise.json", 0, NULL);
	const json_t *vectors = json_object_get(all, "vectors");
	unsigned seen[3] = {0};
	const json_t *vector;
	size_t i;

	json_array_foreach (vectors, i, vector) {
		const char *name = json_string_value(json_object_get(vector, "protocol_name"));
		enum td_noise_pattern pattern = strstr(name, "_NKpsk2_") ? TD_NOISE_NKPSK2 : TD_NOISE_IK;

		vector_check(vector, pattern);
		seen[pattern]++;
	}
	cr_expect_eq(seen[TD_NOISE_IK], 2);
	cr_expect_eq(seen[TD_NOISE_NKPSK2], 1);
	json_decref(all);
}

// ---- what is shared ---------------------------------------------------------------------------

static void expect_same_export(const struct pair *pair, struct td_secret *secret)
{
	struct td_secret other;

	cr_assert_eq(td_noise_export(&pair->i.noise, secret), 0);
	cr_assert_eq(td_noise_export(&pair->r.noise, &other), 0);
	cr_expect(td_secret_equal(secret, &other));
	cr_expect_eq(secret->length, 32);
}

Test(noise, exports)
{
	static const enum td_noise_pattern both[] = {TD_NOISE_IK, TD_NOISE_NKPSK2};
	struct td_secret first, second, none;
	uint8_t message[MESSAGE_MAX];
	struct pair pair;

	for (size_t i = 0; i < COUNT(both); i++) {
		pair_start(&pair, both[i]);
		cr_expect_eq(td_noise_export(&pair.i.noise, &none), -EINVAL);
		size_t length = write_message(&pair.i, payload, message);
		expect_read(&pair.r, (struct td_bytes){message, length}, payload);
		expect_same_export(&pair, &first);
		length = write_message(&pair.r, payload, message);
		expect_read(&pair.i, (struct td_bytes){message, length}, payload);
		expect_same_export(&pair, &second);
		cr_expect_not(td_secret_equal(&first, &second));
		pair_end(&pair);
	}
}

// It is the same before and behind the payload, because the payload needs it and is read by it.
Test(noise, export_does_not_depend_on_the_payload)
{
	uint8_t message[MESSAGE_MAX];
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};
	struct td_secret before, behind;
	struct pair pair;

	pair_start(&pair, TD_NOISE_IK);
	cr_assert_eq(td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), 0);
	cr_assert_eq(td_noise_export(&pair.i.noise, &before), 0);
	cr_assert_eq(td_noise_write_payload(&pair.i.noise, payload, &writer), 0);
	cr_assert_eq(td_noise_export(&pair.i.noise, &behind), 0);
	cr_expect(td_secret_equal(&before, &behind));
	pair_end(&pair);
}

// The responder learns by the payload of message 1 whose secret it is about.
Test(noise, psk_known_late)
{
	uint8_t message[MESSAGE_MAX];
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};
	struct td_secret short_psk = {.length = 31}, secret;
	struct pair pair;

	pair_start(&pair, TD_NOISE_NKPSK2);
	pair.r.noise.psk.length = 0;
	size_t length = write_message(&pair.i, payload, message);
	expect_read(&pair.r, (struct td_bytes){message, length}, payload);
	cr_expect_eq(td_noise_export(&pair.r.noise, &secret), -EINVAL);
	cr_expect_eq(td_noise_write_tokens(&pair.r.noise, give, &pair.r.ephemeral, &writer), -EINVAL);
	cr_expect_eq(td_noise_psk_set(&pair.r.noise, &short_psk), -EINVAL);
	cr_assert_eq(td_noise_psk_set(&pair.r.noise, &pair.psk), 0);
	expect_same_export(&pair, &secret);
	length = write_message(&pair.r, payload, message);
	expect_read(&pair.i, (struct td_bytes){message, length}, payload);
	pair_end(&pair);
}

// The responder can look the initiator up after one operation.
Test(noise, static_key_is_read_first)
{
	uint8_t message[MESSAGE_MAX], plain[MESSAGE_MAX];
	struct td_cursor cursor;
	struct td_secret secret;
	size_t length;
	struct pair pair;

	pair_start(&pair, TD_NOISE_IK);
	cursor = td_cursor_of((struct td_bytes){message, write_message(&pair.i, payload, message)});
	cr_assert_eq(td_noise_read_static(&pair.r.noise, &cursor), 0);
	cr_expect_eq(memcmp(pair.r.noise.remote_static, pair.i.own.public_key, TD_X25519_BYTES), 0);
	cr_expect_eq(td_noise_export(&pair.r.noise, &secret), -EINVAL);
	cr_expect_eq(td_noise_read_payload(&pair.r.noise, &cursor, plain, &length), -EINVAL);
	cr_assert_eq(td_noise_read_tokens(&pair.r.noise, &cursor), 0);
	cr_assert_eq(td_noise_read_payload(&pair.r.noise, &cursor, plain, &length), 0);
	cr_expect_eq(cursor.left, 0);
	pair_end(&pair);
}

// ---- what is refused --------------------------------------------------------------------------

// Every point of low order on the curve and on its twist, p and p + 1 among them, which are not reduced
// (cr.yp.to/ecdh.html#validate). X25519 ignores the uppermost bit (RFC 7748 5).
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

// As the initiator's ephemeral or static key, as the responder's ephemeral or static key.
Test(noise, low_order_keys)
{
	uint8_t message[MESSAGE_MAX], plain[MESSAGE_MAX], bad[TD_X25519_BYTES];
	size_t length;

	for (size_t i = 0; i < 2 * COUNT(low_order); i++) {
		struct td_writer writer = {.data = message, .capacity = sizeof(message)};
		struct pair pair;

		unhex(low_order[i / 2], bad, sizeof(bad));
		bad[TD_X25519_BYTES - 1] |= i % 2 ? 0x80 : 0;
		pair_start(&pair, TD_NOISE_IK);
		length = write_message(&pair.i, payload, message);
		memcpy(message, bad, sizeof(bad));
		cr_expect_eq(read_message(&pair.r.noise, (struct td_bytes){message, length}, plain, &length),
		    -EBADMSG);
		pair_end(&pair);

		pair_start(&pair, TD_NOISE_IK);
		memcpy(pair.i.own.public_key, bad, sizeof(bad));
		length = write_message(&pair.i, payload, message);
		cr_expect_eq(read_message(&pair.r.noise, (struct td_bytes){message, length}, plain, &length),
		    -EBADMSG);
		pair_end(&pair);

		pair_start(&pair, TD_NOISE_NKPSK2);
		length = write_message(&pair.i, payload, message);
		memcpy(message, bad, sizeof(bad));
		cr_expect_eq(read_message(&pair.i.noise, (struct td_bytes){message, length}, plain, &length),
		    -EBADMSG);
		pair_end(&pair);

		pair_start(&pair, TD_NOISE_IK);
		memcpy(pair.i.noise.remote_static, bad, sizeof(bad));
		cr_expect_eq(
		    td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), -EBADMSG);
		cr_expect_eq(writer.length, 0);
		pair_end(&pair);
	}
}

// A message with one byte changed or missing is refused, and the handshake goes on with the right one.
static void damage(struct side *reader, const uint8_t *message, size_t length)
{
	struct td_noise before = reader->noise;
	uint8_t bad[MESSAGE_MAX], plain[MESSAGE_MAX];
	size_t ignored;

	for (size_t i = 0; i < 2 * length; i++) {
		size_t left = i < length ? length : i - length;

		memcpy(bad, message, length);
		if (i < length)
			bad[i] ^= 0x40;
		cr_expect_eq(read_message(&reader->noise, (struct td_bytes){bad, left}, plain, &ignored),
		    -EBADMSG, "%zu", i);
		reader->noise = before;
	}
	expect_read(reader, (struct td_bytes){message, length}, payload);
}

Test(noise, altered_and_truncated)
{
	static const enum td_noise_pattern both[] = {TD_NOISE_IK, TD_NOISE_NKPSK2};
	static const size_t firsts[] = {TD_NOISE_IK_1_BYTES, TD_NOISE_NK_1_BYTES};
	uint8_t message[MESSAGE_MAX];
	struct pair pair;

	for (size_t i = 0; i < COUNT(both); i++) {
		pair_start(&pair, both[i]);
		size_t length = write_message(&pair.i, payload, message);
		cr_expect_eq(length, firsts[i] + payload.length);
		damage(&pair.r, message, length);
		length = write_message(&pair.r, payload, message);
		cr_expect_eq(length, TD_NOISE_2_BYTES + payload.length);
		damage(&pair.i, message, length);
		pair_end(&pair);
	}
}

// Each call that fails leaves the handshake as it was, to the byte.
Test(noise, failure_changes_nothing)
{
	uint8_t message[MESSAGE_MAX], plain[MESSAGE_MAX];
	struct td_noise before;
	struct td_cursor cursor;
	size_t length;
	struct pair pair;

	pair_start(&pair, TD_NOISE_IK);
	length = write_message(&pair.i, payload, message);
	message[40] ^= 1; // in the static key
	before = pair.r.noise;
	cursor = (struct td_cursor){message, length};
	cr_expect_eq(td_noise_read_static(&pair.r.noise, &cursor), -EBADMSG);
	cr_expect_eq(cursor.left, length);
	cr_expect_eq(memcmp(&before, &pair.r.noise, sizeof(before)), 0);
	message[40] ^= 1;
	message[length - 1] ^= 1; // in the payload's tag
	cr_assert_eq(td_noise_read_tokens(&pair.r.noise, &cursor), 0);
	before = pair.r.noise;
	cr_expect_eq(td_noise_read_payload(&pair.r.noise, &cursor, plain, &length), -EBADMSG);
	cr_expect_eq(memcmp(&before, &pair.r.noise, sizeof(before)), 0);
	pair_end(&pair);
}

static int no_random(void *context, void *bytes, size_t length)
{
	(void)context;
	(void)bytes;
	(void)length;
	return -EAGAIN;
}

Test(noise, out_of_turn)
{
	uint8_t message[MESSAGE_MAX], plain[MESSAGE_MAX];
	struct td_writer writer = {.data = message, .capacity = sizeof(message)};
	struct td_cursor cursor = {message, sizeof(message)};
	struct td_secret k1, k2;
	struct pair pair;
	size_t length;

	pair_start(&pair, TD_NOISE_IK);
	cr_expect_eq(td_noise_write_tokens(&pair.r.noise, give, &pair.r.ephemeral, &writer), -EINVAL);
	cr_expect_eq(td_noise_write_payload(&pair.i.noise, payload, &writer), -EINVAL);
	cr_expect_eq(td_noise_read_tokens(&pair.i.noise, &cursor), -EINVAL);
	cr_expect_eq(td_noise_read_static(&pair.i.noise, &cursor), -EINVAL);
	cr_expect_eq(td_noise_read_payload(&pair.r.noise, &cursor, plain, &length), -EINVAL);
	cr_expect_eq(td_noise_split(&pair.i.noise, &k1, &k2), -EINVAL);
	cr_expect_eq(td_noise_write_tokens(&pair.i.noise, no_random, NULL, &writer), -EAGAIN);
	writer.capacity = 31;
	cr_expect_eq(td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), -ENOSPC);
	writer.capacity = 79; // one less than all tokens
	cr_expect_eq(td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), -ENOSPC);
	cr_expect_eq(writer.length, 0);
	writer.capacity = 80;
	cr_expect_eq(td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), 0);
	cr_expect_eq(td_noise_write_tokens(&pair.i.noise, give, &pair.i.ephemeral, &writer), -EINVAL);
	cr_expect_eq(td_noise_write_payload(&pair.i.noise, payload, &writer), -ENOSPC);
	writer.capacity = sizeof(message);
	cr_expect_eq(td_noise_write_payload(&pair.i.noise, payload, &writer), 0);
	expect_read(&pair.r, td_writer_bytes_of(&writer), payload);
	cr_expect_eq(td_noise_split(&pair.r.noise, &k1, &k2), -EINVAL);
	pair_end(&pair);
}

// Whoever differs in one of these is refused.
Test(noise, sides_that_differ)
{
	uint8_t message[MESSAGE_MAX], plain[MESSAGE_MAX];
	const struct td_secret other = key_of(9);
	struct td_x25519 key;
	struct pair pair;
	size_t length;

	cr_assert_eq(td_x25519_make(&other, &key), 0);
	for (unsigned i = 0; i < 3; i++) {
		pair_start(&pair, i < 2 ? TD_NOISE_IK : TD_NOISE_NKPSK2);
		if (i == 0)
			side_start(&pair.r, TD_NOISE_IK, false, "another prologue", NULL);
		if (i == 1)
			side_start(&pair.i, TD_NOISE_IK, true, "prologue", key.public_key);
		length = write_message(&pair.i, payload, message);
		if (i < 2) {
			cr_expect_eq(
			    read_message(&pair.r.noise, (struct td_bytes){message, length}, plain, &length),
			    -EBADMSG);
		} else {
			expect_read(&pair.r, (struct td_bytes){message, length}, payload);
			cr_assert_eq(td_noise_psk_set(&pair.r.noise, &other), 0);
			length = write_message(&pair.r, payload, message);
			cr_expect_eq(
			    read_message(&pair.i.noise, (struct td_bytes){message, length}, plain, &length),
			    -EBADMSG);
		}
		pair_end(&pair);
	}
	td_x25519_free(&key);
}

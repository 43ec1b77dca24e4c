// SPDX-License-Identifier: BSD-3-Clause
// The AUTH payload: each method signed and verified, and whatever may be wrong with one.
#include "control/ike/credential.h"
#include "tests/unit/ike_pki.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>
#include <openssl/rsa.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HASH(name) (1u << TD_HASH_##name)
#define ALL_HASHES (HASH(SHA2_256) | HASH(SHA2_384) | HASH(SHA2_512) | HASH(IDENTITY))
#define AUTH_MAX 1200

TestSuite(auth, .fini = pki_end);
TestSuite(chain, .fini = pki_end);

static void reason_has(const struct td_error *error, const char *part)
{
	cr_expect_not_null(strstr(error->reason, part), "\"%s\" is not in \"%s\"", part, error->reason);
}

// What two sides have in common, and the AUTH payload that one sends the other.
struct exchange {
	struct td_ike_keys keys;
	struct td_ike_signed what;
	struct td_ike_id id;
	struct td_ike_payloads payloads;
	uint8_t auth[AUTH_MAX];
	size_t auth_bytes;
	uint8_t certs[TD_IKE_CERTS_MAX][2048];
};

static struct td_bytes text_bytes(const char *text)
{
	return (struct td_bytes){(const uint8_t *)text, strlen(text)};
}

static struct exchange *exchange_create(const char *id)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	exchange->keys = (struct td_ike_keys){.prf = TD_PRF_SHA2_384, .p_i.length = 48, .p_r.length = 48};
	memset(exchange->keys.p_i.bytes, 'i', 48);
	memset(exchange->keys.p_r.bytes, 'r', 48);
	exchange->what = (struct td_ike_signed){.keys = &exchange->keys,
	    .initiator = true,
	    .message = text_bytes("a whole IKE_SA_INIT message"),
	    .nonce = text_bytes("0123456789abcdef"),
	    .id_body = text_bytes("type and identity")};
	cr_assert_eq(td_ike_id_parse(id, &exchange->id), 0);
	return exchange;
}

static int exchange_sign(struct exchange *exchange, const struct td_ike_credential *own, uint32_t hashes)
{
	struct td_writer data = {.data = exchange->auth, .capacity = sizeof(exchange->auth)};
	int result = td_ike_auth_sign(own, &exchange->what, hashes, &exchange->payloads.auth_method, &data);

	exchange->auth_bytes = data.length;
	exchange->payloads.auth = td_writer_bytes_of(&data);
	return result;
}

static void exchange_add_cert(struct exchange *exchange, X509 *certificate)
{
	unsigned index = exchange->payloads.cert_count++;
	unsigned char *next = exchange->certs[index];
	int length = i2d_X509(certificate, &next);

	exchange->payloads.certs[index] =
	    (struct td_ike_cert){TD_CERT_X509, {exchange->certs[index], (size_t)length}};
}

static int exchange_verify(
    const struct exchange *exchange, const struct td_ike_credential *trust, struct td_error *error)
{
	*error = (struct td_error){0};
	return td_ike_auth_verify(trust, &exchange->what, &exchange->id, &exchange->payloads, PKI_NOW, error);
}

// ---- pre-shared keys --------------------------------------------------------------------------

// prf, key, SK_p, message, nonce, ID, AUTH.
static void psk_check(const struct vector *vector)
{
	struct td_ike_credential *psk = td_ike_credential_psk_bytes(vector->fields[1].bytes);
	struct td_bytes sk_p = vector->fields[2].bytes, right = vector->fields[6].bytes;

	for (unsigned initiator = 0; initiator < 2; initiator++) {
		struct exchange *exchange = exchange_create("gw-a.example");
		struct td_secret *p = initiator ? &exchange->keys.p_i : &exchange->keys.p_r;
		struct td_error error;

		exchange->keys.prf = (uint16_t)vector->fields[0].number;
		exchange->what.initiator = initiator;
		exchange->what.message = vector->fields[3].bytes;
		exchange->what.nonce = vector->fields[4].bytes;
		exchange->what.id_body = vector->fields[5].bytes;
		p->length = sk_p.length;
		memcpy(p->bytes, sk_p.data, sk_p.length);
		cr_assert_eq(exchange_sign(exchange, psk, ALL_HASHES), 0);
		cr_expect_eq(exchange->payloads.auth_method, TD_AUTH_PSK);
		cr_expect(td_bytes_equal(exchange->payloads.auth, right), "PRF %u", exchange->keys.prf);
		cr_expect_eq(exchange_verify(exchange, psk, &error), 0);
		free(exchange);
	}
	td_ike_credential_free(psk);
}

Test(auth, by_psk_agrees_with_another_implementation)
{
	vectors_each("psk", 3, psk_check);
}

Test(auth, by_psk_refuses_other_keys)
{
	struct td_ike_credential *own = td_ike_credential_psk_bytes(text_bytes("0123456789abcdef"));
	struct td_ike_credential *other = td_ike_credential_psk_bytes(text_bytes("0123456789abcdeF"));
	struct exchange *exchange = exchange_create("gw-a.example");
	struct td_error error;

	cr_assert_eq(exchange_sign(exchange, own, 0), 0);
	cr_expect_eq(exchange_verify(exchange, own, &error), 0);
	cr_expect_eq(exchange_verify(exchange, other, &error), -EACCES);
	reason_has(&error, "pre-shared keys are not the same");
	for (size_t i = 0; i < exchange->auth_bytes; i++) {
		exchange->auth[i] ^= 1;
		cr_expect_eq(exchange_verify(exchange, own, &error), -EACCES, "byte %zu", i);
		exchange->auth[i] ^= 1;
		exchange->payloads.auth.length = i;
		cr_expect_eq(exchange_verify(exchange, own, &error), -EACCES, "%zu bytes", i);
		exchange->payloads.auth.length = exchange->auth_bytes;
	}
	exchange->payloads.auth.length++;
	cr_expect_eq(exchange_verify(exchange, own, &error), -EACCES, "a byte more");
	exchange->payloads.auth = (struct td_bytes){0};
	cr_expect_eq(exchange_verify(exchange, own, &error), -EACCES);
	reason_has(&error, "no AUTH payload");
	free(exchange);
	td_ike_credential_free(own);
	td_ike_credential_free(other);
}

// ---- signatures by raw keys -------------------------------------------------------------------

// A key of a kind, as its owner and as its peer have it.
struct pair {
	EVP_PKEY *key;
	struct td_ike_credential *own, *trust;
};

static struct pair pair_create(const char *kind)
{
	struct pair pair = {.key = pki_key(kind)};
	struct td_error error;

	pair.own = td_ike_credential_key(pki_key_file("key", pair.key, NULL), NULL, &error);
	pair.trust = td_ike_credential_trust(NULL, pki_public_file("public", pair.key), &error);
	cr_assert(pair.own && pair.trust, "%s", error.reason);
	return pair;
}

static void pair_free(struct pair *pair)
{
	td_ike_credential_free(pair->own);
	td_ike_credential_free(pair->trust);
}

#define SHA2(arc) "060960864801650304020" #arc
// RFC 7427 A.4.3, for each hash.
#define PSS_256                                                                                              \
	"48304606092a864886f70d01010a3039a00f300d" SHA2(1) "0500a11c301a06092a864886f70d010108300d" SHA2(    \
	    1) "0500a203020120a303020101"
#define PSS_384                                                                                              \
	"48304606092a864886f70d01010a3039a00f300d" SHA2(2) "0500a11c301a06092a864886f70d010108300d" SHA2(    \
	    2) "0500a203020130a303020101"
#define PSS_512                                                                                              \
	"48304606092a864886f70d01010a3039a00f300d" SHA2(3) "0500a11c301a06092a864886f70d010108300d" SHA2(    \
	    3) "0500a203020140a303020101"
#define ECDSA_256 "0c300a06082a8648ce3d040302"
#define ECDSA_384 "0c300a06082a8648ce3d040303"
#define ECDSA_512 "0c300a06082a8648ce3d040304"
#define ED25519 "07300506032b6570"

static const struct {
	const char *kind; // those of one kind stand together: they share a key
	uint32_t hashes;
	int result;
	uint8_t method;
	const char *algorithm; // what method 14 begins with
	size_t signature_bytes; // behind that; 0: DER, whose length varies
} methods[] = {
    {"P-256", ALL_HASHES, 0, TD_AUTH_SIGNATURE, ECDSA_256, 0},
    {"P-256", HASH(SHA2_384) | HASH(SHA2_512), 0, TD_AUTH_SIGNATURE, ECDSA_384, 0}, // the next stronger
    {"P-256", 0, 0, TD_AUTH_ECDSA_256, "", 64},
    {"P-256", 1u << 1 | HASH(IDENTITY), 0, TD_AUTH_ECDSA_256, "", 64}, // SHA-1 only
    {"P-384", ALL_HASHES, 0, TD_AUTH_SIGNATURE, ECDSA_384, 0},
    {"P-384", HASH(SHA2_256) | HASH(SHA2_512), 0, TD_AUTH_SIGNATURE, ECDSA_512, 0},
    {"P-384", 0, 0, TD_AUTH_ECDSA_384, "", 96},
    {"P-521", ALL_HASHES, 0, TD_AUTH_SIGNATURE, ECDSA_512, 0},
    {"P-521", HASH(SHA2_256) | HASH(SHA2_384), 0, TD_AUTH_SIGNATURE, ECDSA_384, 0}, // the next weaker
    {"P-521", HASH(SHA2_256), 0, TD_AUTH_SIGNATURE, ECDSA_256, 0},
    {"P-521", 0, 0, TD_AUTH_ECDSA_521, "", 132},
    {"ED25519", ALL_HASHES, 0, TD_AUTH_SIGNATURE, ED25519, 64},
    {"ED25519", HASH(IDENTITY), 0, TD_AUTH_SIGNATURE, ED25519, 64},
    {"ED25519", HASH(SHA2_256) | HASH(SHA2_512), -ENOTSUP, 0, NULL, 0},
    {"ED25519", 0, -ENOTSUP, 0, NULL, 0},
    {"RSA-2048", ALL_HASHES, 0, TD_AUTH_SIGNATURE, PSS_256, 256},
    {"RSA-2048", HASH(SHA2_384), 0, TD_AUTH_SIGNATURE, PSS_384, 256},
    {"RSA-2048", HASH(SHA2_512), 0, TD_AUTH_SIGNATURE, PSS_512, 256},
    {"RSA-2048", 0, -ENOTSUP, 0, NULL, 0}, // RSA with SHA-1 is not for us
    {"RSA-2048", 1u << 1, -ENOTSUP, 0, NULL, 0},
    {"RSA-3200", ALL_HASHES, 0, TD_AUTH_SIGNATURE, PSS_384, 400},
};

Test(auth, by_signature_is_made_as_the_rfcs_say)
{
	struct pair pair = {0};

	for (size_t i = 0; i < COUNT(methods); i++) {
		if (i == 0 || strcmp(methods[i].kind, methods[i - 1].kind) != 0) {
			pair_free(&pair);
			pair = pair_create(methods[i].kind);
		}
		struct exchange *exchange = exchange_create("gw-a.example");
		uint8_t memory[128];
		struct td_error error;

		cr_expect_eq(
		    exchange_sign(exchange, pair.own, methods[i].hashes), methods[i].result, "row %zu", i);
		if (!methods[i].result) {
			struct td_bytes algorithm = unhex(methods[i].algorithm, memory, sizeof(memory));

			cr_expect_eq(exchange->payloads.auth_method, methods[i].method, "row %zu", i);
			cr_assert_geq(exchange->auth_bytes, algorithm.length);
			cr_expect_arr_eq(exchange->auth, algorithm.data, algorithm.length, "row %zu", i);
			if (methods[i].signature_bytes)
				cr_expect_eq(exchange->auth_bytes,
				    algorithm.length + methods[i].signature_bytes, "row %zu", i);
			cr_expect_eq(
			    exchange_verify(exchange, pair.trust, &error), 0, "row %zu: %s", i, error.reason);
		}
		free(exchange);
	}
	pair_free(&pair);
}

// One key of each type, with the method of RFC 7427 and without.
static const struct {
	const char *kind;
	uint32_t hashes;
} signers[] = {{"P-256", ALL_HASHES}, {"P-256", 0}, {"P-384", 0}, {"P-521", ALL_HASHES},
    {"ED25519", ALL_HASHES}, {"RSA-2048", ALL_HASHES}};

Test(auth, by_signature_refuses_every_byte_changed)
{
	for (size_t i = 0; i < COUNT(signers); i++) {
		struct pair pair = pair_create(signers[i].kind);
		struct exchange *exchange = exchange_create("gw-a.example");
		struct td_error error;

		cr_assert_eq(exchange_sign(exchange, pair.own, signers[i].hashes), 0);
		for (size_t j = 0; j < exchange->auth_bytes; j++) {
			// The bit of byte 0 that makes the length of the algorithm a little different is
			// among them.
			exchange->auth[j] ^= 1;
			cr_expect_eq(exchange_verify(exchange, pair.trust, &error), -EACCES, "%s, byte %zu",
			    signers[i].kind, j);
			exchange->auth[j] ^= 1;
			uint8_t *copy = malloc(j ? j : 1);
			memcpy(copy, exchange->auth, j);
			exchange->payloads.auth = (struct td_bytes){copy, j};
			cr_expect_eq(exchange_verify(exchange, pair.trust, &error), -EACCES, "%s, %zu bytes",
			    signers[i].kind, j);
			free(copy);
			exchange->payloads.auth = (struct td_bytes){exchange->auth, exchange->auth_bytes};
		}
		exchange->payloads.auth.length++;
		cr_expect_eq(exchange_verify(exchange, pair.trust, &error), -EACCES, "%s, a byte more",
		    signers[i].kind);
		exchange->payloads.auth.length--;
		cr_expect_eq(exchange_verify(exchange, pair.trust, &error), 0, "%s", signers[i].kind);
		free(exchange);
		pair_free(&pair);
	}
}

// Each changes one thing that AUTH covers.
static void change_message(struct exchange *exchange)
{
	exchange->what.message = text_bytes("a whole IKE_SA_INIT messagE");
}

static void change_nonce(struct exchange *exchange)
{
	exchange->what.nonce = text_bytes("0123456789abcdeF");
}

// The same bytes in all, cut elsewhere, are not found out by the signature: lengths of the parts are the
// messages'.
static void change_id(struct exchange *exchange)
{
	exchange->what.id_body = text_bytes("type and identitY");
}

static void change_side(struct exchange *exchange)
{
	exchange->what.initiator = false;
}

static void change_key(struct exchange *exchange)
{
	exchange->keys.p_i.bytes[47] ^= 1;
}

static void change_prf(struct exchange *exchange)
{
	exchange->keys.prf = TD_PRF_SHA2_256;
}

static const struct {
	const char *name;
	void (*change)(struct exchange *exchange);
} changes[] = {{"message", change_message}, {"nonce", change_nonce}, {"ID", change_id}, {"side", change_side},
    {"SK_p", change_key}, {"PRF", change_prf}};

Test(auth, covers_everything)
{
	struct td_ike_credential *psk = td_ike_credential_psk_bytes(text_bytes("0123456789abcdef"));

	for (size_t i = 0; i <= COUNT(signers); i++) {
		struct pair pair = {.own = psk, .trust = psk};

		if (i < COUNT(signers))
			pair = pair_create(signers[i].kind);
		for (size_t j = 0; j < COUNT(changes); j++) {
			struct exchange *exchange = exchange_create("gw-a.example");
			struct td_error error;

			cr_assert_eq(
			    exchange_sign(exchange, pair.own, i < COUNT(signers) ? signers[i].hashes : 0), 0);
			cr_expect_eq(exchange_verify(exchange, pair.trust, &error), 0);
			changes[j].change(exchange);
			cr_expect_eq(exchange_verify(exchange, pair.trust, &error), -EACCES, "signer %zu, %s",
			    i, changes[j].name);
			free(exchange);
		}
		if (i < COUNT(signers))
			pair_free(&pair);
	}
	td_ike_credential_free(psk);
}

Test(auth, refuses_other_keys)
{
	struct pair pairs[COUNT(signers)], others[COUNT(signers)];
	struct td_error error;

	for (size_t i = 0; i < COUNT(signers); i++) {
		pairs[i] = pair_create(signers[i].kind);
		others[i] = pair_create(signers[i].kind);
	}
	for (size_t i = 0; i < COUNT(signers); i++) {
		struct exchange *exchange = exchange_create("gw-a.example");

		cr_assert_eq(exchange_sign(exchange, pairs[i].own, signers[i].hashes), 0);
		for (size_t j = 0; j < COUNT(signers); j++) {
			cr_expect_eq(exchange_verify(exchange, pairs[j].trust, &error), i == j ? 0 : -EACCES,
			    "%s by %s", signers[i].kind, signers[j].kind);
			cr_expect_eq(exchange_verify(exchange, others[j].trust, &error), -EACCES,
			    "%s by another %s", signers[i].kind, signers[j].kind);
		}
		free(exchange);
	}
	for (size_t i = 0; i < COUNT(signers); i++) {
		pair_free(&pairs[i]);
		pair_free(&others[i]);
	}
}

Test(auth, refuses_other_methods)
{
	static const uint8_t others[] = {0, TD_AUTH_RSA, TD_AUTH_PSK, 3, TD_AUTH_ECDSA_256, TD_AUTH_ECDSA_384,
	    TD_AUTH_ECDSA_521, 12, TD_AUTH_SIGNATURE, 255};
	struct td_ike_credential *psk = td_ike_credential_psk_bytes(text_bytes("0123456789abcdef"));

	for (size_t i = 0; i < COUNT(signers); i++) {
		struct pair pair = pair_create(signers[i].kind);
		struct exchange *exchange = exchange_create("gw-a.example");
		struct td_error error;
		uint8_t method;

		cr_assert_eq(exchange_sign(exchange, pair.own, signers[i].hashes), 0);
		method = exchange->payloads.auth_method;
		for (size_t j = 0; j < COUNT(others); j++) {
			exchange->payloads.auth_method = others[j];
			cr_expect_eq(exchange_verify(exchange, pair.trust, &error),
			    others[j] == method ? 0 : -EACCES, "%s, method %u", signers[i].kind, others[j]);
		}
		exchange->payloads.auth_method = method;
		cr_expect_eq(exchange_verify(exchange, psk, &error), -EACCES);
		reason_has(&error, "a pre-shared key is expected");
		cr_expect_eq(
		    exchange_verify(exchange, pair.own, &error), -EACCES, "a private key verifies nothing");
		cr_expect_eq(
		    exchange_sign(exchange, pair.trust, ALL_HASHES), -ENOTSUP, "a public key signs nothing");
		free(exchange);
		pair_free(&pair);
	}
	td_ike_credential_free(psk);
}

Test(auth, needs_room)
{
	for (size_t i = 0; i < COUNT(signers); i++) {
		struct pair pair = pair_create(signers[i].kind);
		struct exchange *exchange = exchange_create("gw-a.example");
		uint8_t data[40], method;
		struct td_writer writer = {.data = data, .capacity = sizeof(data)};

		cr_expect_eq(td_ike_auth_sign(pair.own, &exchange->what, signers[i].hashes, &method, &writer),
		    -ENOSPC, "%s", signers[i].kind);
		free(exchange);
		pair_free(&pair);
	}
}

// ---- signatures that others make --------------------------------------------------------------

// Signs what an exchange covers with libcrypto alone.
static void foreign_sign(struct exchange *exchange, EVP_PKEY *key, const char *algorithm, const char *digest,
    int padding, int salt)
{
	const struct td_ike_signed *what = &exchange->what;
	struct td_writer data = {.data = exchange->auth, .capacity = sizeof(exchange->auth)};
	uint8_t octets[512], memory[128];
	struct td_bytes identifier = unhex(algorithm, memory, sizeof(memory));
	struct td_writer writer = {.data = octets, .capacity = sizeof(octets)};
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options;
	size_t length;

	td_writer_bytes(&writer, what->message.data, what->message.length);
	td_writer_bytes(&writer, what->nonce.data, what->nonce.length);
	cr_assert_eq(td_prf(exchange->keys.prf, (struct td_bytes){exchange->keys.p_i.bytes, 48},
	                 &what->id_body, 1, td_writer_room(&writer, 48)),
	    0);
	td_writer_bytes(&data, identifier.data, identifier.length);
	length = data.capacity - data.length;
	cr_assert_eq(EVP_DigestSignInit_ex(context, &options, digest, NULL, NULL, key, NULL), 1);
	if (padding)
		cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(options, padding), 1);
	if (padding == RSA_PKCS1_PSS_PADDING)
		cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt), 1);
	cr_assert_eq(EVP_DigestSign(context, data.data + data.length, &length, octets, writer.length), 1);
	EVP_MD_CTX_free(context);
	exchange->payloads.auth_method = TD_AUTH_SIGNATURE;
	exchange->auth_bytes = data.length + length;
	exchange->payloads.auth = (struct td_bytes){exchange->auth, exchange->auth_bytes};
}

#define PKCS1 RSA_PKCS1_PADDING
#define PSS_PADDING RSA_PKCS1_PSS_PADDING
#define MGF1(arc) "a11c301a06092a864886f70d010108300d" SHA2(arc) "0500"

static const struct {
	const char *name, *kind, *algorithm, *digest;
	int padding, salt;
	bool good;
} others[] = {
    {"PKCS1 SHA-256", "RSA-2048", "0f300d06092a864886f70d01010b0500", "SHA256", PKCS1, 0, true},
    {"PKCS1 SHA-384", "RSA-2048", "0f300d06092a864886f70d01010c0500", "SHA384", PKCS1, 0, true},
    {"PKCS1 SHA-512", "RSA-2048", "0f300d06092a864886f70d01010d0500", "SHA512", PKCS1, 0, true},
    {"PKCS1 SHA-256 without NULL", "RSA-2048", "0d300b06092a864886f70d01010b", "SHA256", PKCS1, 0, true},
    {"PKCS1 SHA-1", "RSA-2048", "0f300d06092a864886f70d0101050500", "SHA1", PKCS1, 0, false},
    {"PKCS1 SHA-224", "RSA-2048", "0f300d06092a864886f70d01010e0500", "SHA224", PKCS1, 0, false},
    {"PKCS1 under PSS's name", "RSA-2048", PSS_256, "SHA256", PKCS1, 0, false},
    {"PSS under PKCS1's name", "RSA-2048", "0f300d06092a864886f70d01010b0500", "SHA256", PSS_PADDING, 32,
        false},
    {"PSS SHA-256", "RSA-2048", PSS_256, "SHA256", PSS_PADDING, 32, true},
    {"PSS SHA-512", "RSA-2048", PSS_512, "SHA512", PSS_PADDING, 64, true},
    // strongSwan leaves the trailer out, as DER wants it for a default.
    {"PSS without trailer", "RSA-2048",
        "43304106092a864886f70d01010a3034a00f300d" SHA2(1) "0500" MGF1(1) "a203020120", "SHA256", PSS_PADDING,
        32, true},
    {"PSS without NULL", "RSA-2048",
        "44304206092a864886f70d01010a3035a00d300b" SHA2(1) "a11a301806092a864886f70d010108300b" SHA2(
            1) "a203020120a303020101",
        "SHA256", PSS_PADDING, 32, true},
    {"PSS with another salt than named", "RSA-2048", PSS_256, "SHA256", PSS_PADDING, 20, false},
    {"PSS with a short salt", "RSA-2048",
        "48304606092a864886f70d01010a3039a00f300d" SHA2(1) "0500" MGF1(1) "a203020114a303020101", "SHA256",
        PSS_PADDING, 20, false},
    {"PSS with two hashes", "RSA-2048",
        "48304606092a864886f70d01010a3039a00f300d" SHA2(1) "0500" MGF1(2) "a203020120a303020101", "SHA256",
        PSS_PADDING, 32, false},
    {"PSS with another trailer", "RSA-2048",
        "48304606092a864886f70d01010a3039a00f300d" SHA2(1) "0500" MGF1(1) "a203020120a303020102", "SHA256",
        PSS_PADDING, 32, false},
    {"PSS by default, which is SHA-1", "RSA-2048", "0f300d06092a864886f70d01010a3000", "SHA1", PSS_PADDING,
        20, false},
    {"PSS without parameters", "RSA-2048", "0d300b06092a864886f70d01010a", "SHA256", PSS_PADDING, 32, false},
    {"PSS with SHA-1 in full (RFC 7427 A.4.2)", "RSA-2048",
        "40303e06092a864886f70d01010a3031a00b300906052b0e03021a0500a118301606092a864886f70d010108300906052b0e"
        "03"
        "021a0500a203020114a303020101",
        "SHA1", PSS_PADDING, 20, false},
    {"ECDSA SHA-512 by P-256", "P-256", ECDSA_512, "SHA512", 0, 0, true},
    {"ECDSA SHA-256 by P-521", "P-521", ECDSA_256, "SHA256", 0, 0, true},
    {"ECDSA with NULL", "P-256", "0e300c06082a8648ce3d0403020500", "SHA256", 0, 0, true},
    {"ECDSA SHA-1", "P-256", "0b300906072a8648ce3d0401", "SHA1", 0, 0, false},
    {"ECDSA by another hash than named", "P-256", ECDSA_256, "SHA384", 0, 0, false},
    {"ECDSA under RSA's name", "P-256", "0f300d06092a864886f70d01010b0500", "SHA256", 0, 0, false},
    {"ECDSA under Ed25519's name", "P-256", ED25519, "SHA256", 0, 0, false},
    {"RSA under ECDSA's name", "RSA-2048", ECDSA_256, "SHA256", PKCS1, 0, false},
    {"Ed25519", "ED25519", ED25519, NULL, 0, 0, true},
    {"Ed25519 under Ed448's name", "ED25519", "07300506032b6571", NULL, 0, 0, false},
    {"Ed25519 under ECDSA's name", "ED25519", ECDSA_256, NULL, 0, 0, false},
    {"no algorithm", "P-256", "00", "SHA256", 0, 0, false},
    {"an algorithm with more behind it", "P-256", "0d300a06082a8648ce3d04030200", "SHA256", 0, 0, false},
    {"an algorithm cut short", "P-256", "0b300a06082a8648ce3d040302", "SHA256", 0, 0, false},
    {"no sequence", "P-256", "0a06082a8648ce3d040302", "SHA256", 0, 0, false},
};

Test(auth, by_others_is_accepted_when_it_is_strong)
{
	struct pair pairs[] = {
	    pair_create("RSA-2048"), pair_create("P-256"), pair_create("P-521"), pair_create("ED25519")};
	static const char *const names[] = {"RSA-2048", "P-256", "P-521", "ED25519"};

	for (size_t i = 0; i < COUNT(others); i++) {
		struct exchange *exchange = exchange_create("gw-a.example");
		struct td_error error;
		size_t j = 0;

		while (strcmp(names[j], others[i].kind) != 0)
			j++;
		foreign_sign(exchange, pairs[j].key, others[i].algorithm, others[i].digest, others[i].padding,
		    others[i].salt);
		cr_expect_eq(exchange_verify(exchange, pairs[j].trust, &error), others[i].good ? 0 : -EACCES,
		    "%s: %s", others[i].name, error.reason);
		cr_expect_eq(error.reason[0] != '\0', !others[i].good, "%s", others[i].name);
		free(exchange);
	}
	for (size_t i = 0; i < COUNT(pairs); i++)
		pair_free(&pairs[i]);
}

Test(auth, by_rsa_with_sha1_is_refused)
{
	struct pair pair = pair_create("RSA-2048");
	struct exchange *exchange = exchange_create("gw-a.example");
	struct td_error error;

	foreign_sign(exchange, pair.key, "", "SHA1", PKCS1, 0);
	exchange->payloads.auth_method = TD_AUTH_RSA;
	cr_expect_eq(exchange_verify(exchange, pair.trust, &error), -EACCES);
	reason_has(&error, "SHA-1");
	free(exchange);
	pair_free(&pair);
}

// ---- certificates -----------------------------------------------------------------------------

#define GATEWAY .subject = "CN=gw-a", .san = "DNS:gw-a.example,IP:192.0.2.1", .usage = "digitalSignature"

static const struct pki_spec root_spec = {.subject = "CN=Root", .authority = true};
static const struct pki_spec middle_spec = {.subject = "CN=Middle", .authority = true};
static const struct pki_spec gateway_spec = {GATEWAY};

// A root, an authority below it, and a gateway of that; each test bends what it wants to.
struct world {
	struct pki_cert root, middle, gateway;
	struct td_ike_credential *own, *trust;
	struct exchange *exchange;
	struct td_error error;
};

static struct world world_create(const char *kind, const struct pki_spec *root, const struct pki_spec *middle,
    const struct pki_spec *gateway)
{
	struct world world = {.root = pki_issue("P-256", root, NULL)};

	world.middle = pki_issue("P-256", middle, &world.root);
	world.gateway = pki_issue(kind, gateway, &world.middle);
	world.own = td_ike_credential_key(pki_key_file("key", world.gateway.key, NULL), NULL, &world.error);
	world.trust =
	    td_ike_credential_trust(pki_cert_file("root", 1, &world.root.certificate), NULL, &world.error);
	cr_assert(world.own && world.trust, "%s", world.error.reason);
	world.exchange = exchange_create("gw-a.example");
	cr_assert_eq(exchange_sign(world.exchange, world.own, ALL_HASHES), 0);
	exchange_add_cert(world.exchange, world.gateway.certificate);
	exchange_add_cert(world.exchange, world.middle.certificate);
	return world;
}

static void world_free(struct world *world)
{
	td_ike_credential_free(world->own);
	td_ike_credential_free(world->trust);
	free(world->exchange);
}

static void world_refuses(struct world *world, const char *reason)
{
	cr_expect_eq(exchange_verify(world->exchange, world->trust, &world->error), -EACCES, "%s", reason);
	reason_has(&world->error, reason);
	world_free(world);
}

Test(chain, to_an_authority_is_accepted)
{
	static const char *const kinds[] = {"P-256", "P-384", "ED25519", "RSA-2048"};

	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct world world = world_create(kinds[i], &root_spec, &middle_spec, &gateway_spec);

		cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s: %s",
		    kinds[i], world.error.reason);
		world_free(&world);
	}
}

Test(chain, that_is_known_is_checked_again)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct exchange *exchange = world.exchange;

	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(
		    exchange_verify(exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	cr_expect_eq(td_ike_auth_verify(world.trust, &exchange->what, &exchange->id, &exchange->payloads,
	                 PKI_NOW + 2 * PKI_DAY, &world.error),
	    -EACCES);
	reason_has(&world.error, "expired");
	cr_assert_eq(td_ike_id_parse("gw-b.example", &exchange->id), 0);
	world_refuses(&world, "is not for gw-b.example");
}

static const struct {
	const char *id;
	bool good;
} ids[] = {{"gw-a.example", true}, {"GW-A.example", true}, {"192.0.2.1", true}, {"CN=gw-a", true},
    {"gw-a", false}, {"gw-b.example", false}, {"192.0.2.2", false}, {"CN=gw-b", false}, {"CN=Middle", false},
    {"a@gw-a.example", false}, {"keyid:gw-a.example", false}, {"keyid:0xc0000201", false}};

Test(chain, is_for_its_ids_only)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	for (size_t i = 0; i < COUNT(ids); i++) {
		cr_assert_eq(td_ike_id_parse(ids[i].id, &world.exchange->id), 0);
		cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error),
		    ids[i].good ? 0 : -EACCES, "%s", ids[i].id);
		if (!ids[i].good)
			reason_has(&world.error, "the certificate of CN=gw-a is not for");
	}
	world_free(&world);
}

// Each bends one thing of the world, the certificates of which are as the table says.
static const struct {
	const char *name;
	struct pki_spec root, middle, gateway;
	const char *reason; // NULL: accepted all the same
} bent[] = {
    {"expired", {.subject = "CN=Root", .authority = true}, {.subject = "CN=Middle", .authority = true},
        {GATEWAY, .from = -2 * PKI_DAY, .until = -1}, "has expired"},
    {"not yet valid", {.subject = "CN=Root", .authority = true}, {.subject = "CN=Middle", .authority = true},
        {GATEWAY, .from = 60}, "not yet valid"},
    {"just valid", {.subject = "CN=Root", .authority = true}, {.subject = "CN=Middle", .authority = true},
        {GATEWAY, .from = -1, .until = 1}, NULL},
    {"middle expired", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true, .from = -2 * PKI_DAY, .until = -1}, {GATEWAY},
        "has expired"},
    {"root expired", {.subject = "CN=Root", .authority = true, .from = -2 * PKI_DAY, .until = -1},
        {.subject = "CN=Middle", .authority = true}, {GATEWAY}, "has expired"},
    {"middle is no authority", {.subject = "CN=Root", .authority = true}, {.subject = "CN=Middle"}, {GATEWAY},
        "invalid CA certificate"},
    {"middle may not sign certificates", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true, .usage = "digitalSignature"}, {GATEWAY},
        "is not trusted"},
    {"gateway may not sign", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true},
        {.subject = "CN=gw-a", .san = "DNS:gw-a.example", .usage = "keyEncipherment"}, "digitalSignature"},
    {"gateway may sign by non-repudiation", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true},
        {.subject = "CN=gw-a", .san = "DNS:gw-a.example", .usage = "nonRepudiation"}, NULL},
    {"no key usage", {.subject = "CN=Root", .authority = true}, {.subject = "CN=Middle", .authority = true},
        {.subject = "CN=gw-a", .san = "DNS:gw-a.example"}, NULL},
    {"signed with SHA-1", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true}, {GATEWAY, .digest = "SHA1"}, "too weak"},
    {"name in the subject only", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true}, {.subject = "CN=gw-a.example"},
        "is not for gw-a.example"},
    {"name by a pattern only", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true}, {.subject = "CN=a", .san = "DNS:*.example"},
        "is not for gw-a.example"},
    {"name as mail or URI only", {.subject = "CN=Root", .authority = true},
        {.subject = "CN=Middle", .authority = true},
        {.subject = "CN=a", .san = "email:gw-a.example,URI:gw-a.example"}, "is not for gw-a.example"},
};

Test(chain, is_checked)
{
	for (size_t i = 0; i < COUNT(bent); i++) {
		struct world world = world_create("P-256", &bent[i].root, &bent[i].middle, &bent[i].gateway);

		cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error),
		    bent[i].reason ? -EACCES : 0, "%s: %s", bent[i].name, world.error.reason);
		if (bent[i].reason)
			reason_has(&world.error, bent[i].reason);
		world_free(&world);
	}
}

Test(chain, needs_its_middle)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	world.exchange->payloads.cert_count = 1;
	world_refuses(&world, "certificate issued by CN=Middle is not trusted");
}

Test(chain, needs_a_certificate)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	world.exchange->payloads.cert_count = 0;
	world_refuses(&world, "sent no certificate");
}

Test(chain, begins_with_the_signers_certificate)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct td_ike_cert first = world.exchange->payloads.certs[0];

	world.exchange->payloads.certs[0] = world.exchange->payloads.certs[1];
	world.exchange->payloads.certs[1] = first;
	world_refuses(&world, "the certificate of CN=Middle is not for");
}

Test(chain, must_be_well_formed)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	world.exchange->payloads.certs[1].data.length--;
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), -EACCES);
	reason_has(&world.error, "malformed");
	world.exchange->payloads.certs[1].data.length += 2;
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), -EACCES);
	reason_has(&world.error, "malformed");
	world.exchange->payloads.certs[1].data.length = 0;
	world_refuses(&world, "malformed");
}

// A certificate cannot be changed in any byte.
Test(chain, refuses_every_byte_of_a_certificate_changed)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	for (size_t i = 0; i < world.exchange->payloads.certs[0].data.length; i++) {
		world.exchange->certs[0][i] ^= 1;
		cr_expect_eq(
		    exchange_verify(world.exchange, world.trust, &world.error), -EACCES, "byte %zu", i);
		world.exchange->certs[0][i] ^= 1;
	}
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0);
	world_free(&world);
}

Test(chain, passes_over_other_encodings)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct td_ike_payloads *payloads = &world.exchange->payloads;

	payloads->certs[2] = payloads->certs[1];
	payloads->certs[1] = payloads->certs[0];
	payloads->certs[0] = (struct td_ike_cert){7, text_bytes("a CRL")};
	payloads->cert_count = 3;
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	world_free(&world);
}

Test(chain, to_another_authority_is_refused)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	// Of the same name, with another key.
	struct pki_cert other = pki_issue("P-256", &root_spec, NULL);

	td_ike_credential_free(world.trust);
	world.trust =
	    td_ike_credential_trust(pki_cert_file("other", 1, &other.certificate), NULL, &world.error);
	// Whatever the peer sends along: its own root is no authority of ours.
	exchange_add_cert(world.exchange, world.root.certificate);
	world_refuses(&world, "is not trusted");
}

Test(chain, of_a_self_signed_certificate_is_refused)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct pki_cert alone = pki_issue("P-256", &gateway_spec, NULL);

	world.exchange->payloads.cert_count = 0;
	exchange_add_cert(world.exchange, alone.certificate);
	world_refuses(&world, "is not trusted");
}

Test(chain, may_end_at_an_authority_below_a_root)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	td_ike_credential_free(world.trust);
	world.trust = td_ike_credential_trust(
	    pki_cert_file("middle", 1, &world.middle.certificate), NULL, &world.error);
	world.exchange->payloads.cert_count = 1;
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	world_free(&world);
}

// A good certificate of somebody else proves nothing.
Test(chain, needs_the_signature_of_its_key)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct pki_cert stranger = pki_issue("P-256", &gateway_spec, &world.middle);

	td_ike_credential_free(world.own);
	world.own = td_ike_credential_key(pki_key_file("stranger", stranger.key, NULL), NULL, &world.error);
	cr_assert_eq(exchange_sign(world.exchange, world.own, ALL_HASHES), 0);
	world_refuses(&world, "signature is wrong");
}

Test(chain, with_weak_keys_is_refused)
{
	struct world world = world_create("RSA-2048", &root_spec, &middle_spec, &gateway_spec);
	struct pki_cert weak = pki_issue("RSA-1024", &gateway_spec, &world.middle);

	world.exchange->payloads.cert_count = 0;
	exchange_add_cert(world.exchange, weak.certificate);
	exchange_add_cert(world.exchange, world.middle.certificate);
	foreign_sign(world.exchange, weak.key, PSS_256, "SHA256", PSS_PADDING, 32);
	world_refuses(&world, "is not trusted: EE certificate key too weak");
}

Test(chain, with_a_pinned_key_needs_both)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);
	struct pki_cert second = pki_issue("P-256", &gateway_spec, &world.middle);
	const char *root_path = pki_cert_file("roots", 1, &world.root.certificate);

	td_ike_credential_free(world.trust);
	world.trust =
	    td_ike_credential_trust(root_path, pki_public_file("pinned", world.gateway.key), &world.error);
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	td_ike_credential_free(world.trust);
	world.trust = td_ike_credential_trust(root_path, pki_public_file("second", second.key), &world.error);
	world_refuses(&world, "of another key than the one configured");
}

// The peer's very certificate: nobody vouches for it, and the peer need not send it.
Test(chain, may_be_one_pinned_certificate)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &gateway_spec);

	td_ike_credential_free(world.trust);
	world.trust = td_ike_credential_trust(
	    NULL, pki_cert_file("pinned", 1, &world.gateway.certificate), &world.error);
	world.exchange->payloads.cert_count = 0;
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	td_ike_id_parse("gw-b.example", &world.exchange->id);
	world_refuses(&world, "is not for gw-b.example");
}

Test(chain, of_a_pinned_certificate_has_its_time)
{
	static const struct pki_spec specs[] = {
	    {GATEWAY, .from = -2 * PKI_DAY, .until = -1}, {GATEWAY, .from = 60}};
	static const char *const reasons[] = {"has expired", "not valid yet"};

	for (size_t i = 0; i < COUNT(specs); i++) {
		struct world world = world_create("P-256", &root_spec, &middle_spec, &specs[i]);

		td_ike_credential_free(world.trust);
		world.trust = td_ike_credential_trust(
		    NULL, pki_cert_file("pinned", 1, &world.gateway.certificate), &world.error);
		world_refuses(&world, reasons[i]);
	}
}

// With a raw key the configuration says who has it: certificates that come along mean nothing.
Test(chain, does_not_matter_for_a_raw_key)
{
	struct world world = world_create("P-256", &root_spec, &middle_spec, &bent[0].gateway);

	td_ike_credential_free(world.trust);
	world.trust =
	    td_ike_credential_trust(NULL, pki_public_file("public", world.gateway.key), &world.error);
	td_ike_id_parse("keyid:gw", &world.exchange->id);
	cr_expect_eq(exchange_verify(world.exchange, world.trust, &world.error), 0, "%s", world.error.reason);
	world_free(&world);
}

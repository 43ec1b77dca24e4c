// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/signature.h"

#include "control/ike/registry.h"
#include "control/ike/signature_algorithm.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS (TD_SIGNATURE_MAX_BYTES * 8)

// ECDSA's curves, with the method of RFC 4754 that stands for both curve and hash.
static const struct curve {
	const char *name; // libcrypto's
	uint8_t method;
	uint8_t hash; // the one as strong as the curve
	unsigned number_bytes; // of r and of s
} curves[] = {
    {"prime256v1", TD_AUTH_ECDSA_256, TD_HASH_SHA2_256, 32},
    {"secp384r1", TD_AUTH_ECDSA_384, TD_HASH_SHA2_384, 48},
    {"secp521r1", TD_AUTH_ECDSA_521, TD_HASH_SHA2_512, 66},
};

static const struct curve *curve_of(const EVP_PKEY *key)
{
	char name[32];

	if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1)
		return NULL;
	for (size_t i = 0; i < COUNT(curves); i++)
		if (strcmp(curves[i].name, name) == 0)
			return &curves[i];
	return NULL;
}

int td_signature_key_check(const EVP_PKEY *key, struct td_error *error)
{
	const char *type = EVP_PKEY_get0_type_name(key);
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_is_a(key, "ED25519") || curve_of(key))
		return 0;
	if (!EVP_PKEY_is_a(key, "RSA"))
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "is a key of type %s with %d bits; ECDSA P-256, P-384 or P-521, RSA or Ed25519 is needed",
		    type ? type : "unknown", bits);
	if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "is an RSA key of %d bits; between %d and %d are allowed", bits, RSA_MIN_BITS,
		    RSA_MAX_BITS);
	return 0;
}

static enum td_signature_scheme scheme_of(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "EC"))
		return TD_SIGNATURE_ECDSA;
	return EVP_PKEY_is_a(key, "RSA") ? TD_SIGNATURE_RSA_PSS : TD_SIGNATURE_ED25519;
}

// The wanted hash or, when the peer has it not, a stronger one, or a weaker one; 0: none.
static uint8_t hash_choose(uint8_t wanted, uint32_t hashes)
{
	for (uint8_t hash = wanted; hash <= TD_HASH_SHA2_512; hash++)
		if (hashes & 1u << hash)
			return hash;
	for (uint8_t hash = wanted; hash >= TD_HASH_SHA2_256; hash--)
		if (hashes & 1u << hash)
			return hash;
	return 0;
}

// The hash to sign with by RFC 7427; 0: the peer has none that fits. Strengths of RSA by NIST SP 800-57.
static uint8_t hash_of(const EVP_PKEY *key, uint32_t hashes)
{
	const struct curve *curve = curve_of(key);
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_is_a(key, "ED25519"))
		return hashes & 1u << TD_HASH_IDENTITY ? TD_HASH_IDENTITY : 0;
	if (curve)
		return hash_choose(curve->hash, hashes);
	return hash_choose(bits <= 3072   ? TD_HASH_SHA2_256
	                   : bits <= 7680 ? TD_HASH_SHA2_384
	                                  : TD_HASH_SHA2_512,
	    hashes);
}

// libcrypto's context with scheme and hash set; NULL when it fails or when the key is not of the scheme.
static EVP_MD_CTX *start(EVP_PKEY *key, const struct td_signature_algorithm *algorithm, bool sign)
{
	bool rsa = algorithm->scheme == TD_SIGNATURE_RSA_PSS || algorithm->scheme == TD_SIGNATURE_RSA_PKCS1;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const char *digest = td_signature_digest(algorithm->hash);
	EVP_PKEY_CTX *options;

	if (!context)
		return NULL;
	if ((sign ? EVP_DigestSignInit_ex(context, &options, digest, NULL, NULL, key, NULL)
	          : EVP_DigestVerifyInit_ex(context, &options, digest, NULL, NULL, key, NULL)) != 1)
		goto fail;
	if (rsa &&
	    EVP_PKEY_CTX_set_rsa_padding(options,
	        algorithm->scheme == TD_SIGNATURE_RSA_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1)
		goto fail;
	// The salt is as long as the hash, in both directions.
	if (algorithm->scheme == TD_SIGNATURE_RSA_PSS &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)
		goto fail;
	return context;
fail:
	EVP_MD_CTX_free(context);
	return NULL;
}

static int sign(EVP_PKEY *key, const struct td_signature_algorithm *algorithm, struct td_bytes octets,
    uint8_t signature[TD_SIGNATURE_MAX_BYTES], size_t *length)
{
	EVP_MD_CTX *context = start(key, algorithm, true);
	bool good;

	*length = TD_SIGNATURE_MAX_BYTES;
	good = context && EVP_DigestSign(context, signature, length, octets.data, octets.length) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good ? 0 : -EIO;
}

// RFC 4754 7: r and s, each as long as the curve's order, instead of DER.
static int raw_write(const struct curve *curve, const uint8_t *der, size_t length, struct td_writer *data)
{
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)length);
	int bytes = (int)curve->number_bytes;
	uint8_t *room = signature ? td_writer_room(data, 2 * curve->number_bytes) : NULL;
	bool good = room && BN_bn2binpad(ECDSA_SIG_get0_r(signature), room, bytes) == bytes &&
	            BN_bn2binpad(ECDSA_SIG_get0_s(signature), room + bytes, bytes) == bytes;
	int failure = signature && !room ? -ENOSPC : -EIO;

	ECDSA_SIG_free(signature);
	return good ? 0 : failure;
}

int td_signature_make(
    EVP_PKEY *key, struct td_bytes octets, uint32_t hashes, uint8_t *method, struct td_writer *data)
{
	struct td_signature_algorithm algorithm = {.scheme = scheme_of(key), .hash = hash_of(key, hashes)};
	const struct curve *curve = curve_of(key);
	uint8_t signature[TD_SIGNATURE_MAX_BYTES];
	size_t length;
	int result;

	if (algorithm.hash) {
		*method = TD_AUTH_SIGNATURE;
		result = sign(key, &algorithm, octets, signature, &length);
		if (result)
			return result;
		td_signature_algorithm_write(data, &algorithm);
		td_writer_bytes(data, signature, length);
		return data->overflow ? -ENOSPC : 0;
	}
	if (!curve)
		return -ENOTSUP; // RSA's old method has SHA-1
	algorithm.hash = curve->hash;
	*method = curve->method;
	result = sign(key, &algorithm, octets, signature, &length);
	return result ? result : raw_write(curve, signature, length, data);
}

static int refuse(struct td_error *error, const char *reason)
{
	ERR_clear_error();
	return td_error_set(error, -EACCES, NULL, NULL, "%s", reason);
}

static int check(EVP_PKEY *key, const struct td_signature_algorithm *algorithm, struct td_bytes signature,
    struct td_bytes octets, struct td_error *error)
{
	EVP_MD_CTX *context = start(key, algorithm, false);
	bool good = context && EVP_DigestVerify(context, signature.data, signature.length, octets.data,
	                           octets.length) == 1;

	EVP_MD_CTX_free(context);
	return good ? 0
	            : refuse(
	                  error, "the peer's signature is wrong: it is of another key or of other messages");
}

// Brings r | s into the DER that libcrypto verifies.
static int raw_verify(EVP_PKEY *key, const struct curve *curve, struct td_bytes data, struct td_bytes octets,
    struct td_error *error)
{
	const struct td_signature_algorithm algorithm = {.scheme = TD_SIGNATURE_ECDSA, .hash = curve->hash};
	int bytes = (int)curve->number_bytes;
	ECDSA_SIG *signature = ECDSA_SIG_new();
	BIGNUM *r, *s;
	uint8_t *der = NULL;
	int length = 0, result;

	if (data.length != 2 * curve->number_bytes) {
		ECDSA_SIG_free(signature);
		return refuse(error, "the peer's ECDSA signature has the wrong length");
	}
	r = BN_bin2bn(data.data, bytes, NULL);
	s = BN_bin2bn(data.data + bytes, bytes, NULL);
	if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
		length = i2d_ECDSA_SIG(signature, &der);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(signature);
	result = length > 0 ? check(key, &algorithm, (struct td_bytes){der, (size_t)length}, octets, error)
	                    : refuse(error, "libcrypto cannot read the peer's ECDSA signature");
	OPENSSL_free(der);
	return result;
}

// RFC 7427 3: the algorithm, then the signature.
static int named_verify(EVP_PKEY *key, struct td_bytes data, struct td_bytes octets, struct td_error *error)
{
	struct td_signature_algorithm algorithm;
	enum td_signature_scheme fitting = scheme_of(key);
	struct td_cursor cursor = td_cursor_of(data);

	if (td_signature_algorithm_read(&cursor, &algorithm) != 0)
		return refuse(error, "the peer signs with an algorithm that is not known or too weak");
	if (algorithm.scheme == TD_SIGNATURE_RSA_PKCS1)
		fitting = fitting == TD_SIGNATURE_RSA_PSS ? TD_SIGNATURE_RSA_PKCS1 : fitting;
	if (algorithm.scheme != fitting)
		return refuse(error, "the peer's signature is not of its key's type");
	return check(key, &algorithm, td_cursor_rest(&cursor), octets, error);
}

int td_signature_verify(
    EVP_PKEY *key, uint8_t method, struct td_bytes data, struct td_bytes octets, struct td_error *error)
{
	const struct curve *curve = curve_of(key);

	switch (method) {
	case TD_AUTH_SIGNATURE:
		return named_verify(key, data, octets, error);
	case TD_AUTH_ECDSA_256:
	case TD_AUTH_ECDSA_384:
	case TD_AUTH_ECDSA_521:
		if (!curve || curve->method != method)
			return refuse(error, "the peer's ECDSA signature is not of its key's curve");
		return raw_verify(key, curve, data, octets, error);
	case TD_AUTH_RSA:
		return refuse(
		    error, "the peer signs by RSA with SHA-1, which is too weak; it needs RFC 7427");
	default:
		return td_error_set(error, -EACCES, NULL, NULL,
		    "the peer authenticates by method %u, a signature is needed", method);
	}
}

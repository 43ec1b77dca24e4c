// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/signature_algorithm.h"

#include "control/ike/registry.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct hash {
	uint8_t hash;
	const char *name; // libcrypto's
	int nid;
	uint8_t bytes;
	uint8_t arc; // the last of its OID 2.16.840.1.101.3.4.2.x
} hashes[] = {
    {TD_HASH_SHA2_256, "SHA2-256", NID_sha256, 32, 1},
    {TD_HASH_SHA2_384, "SHA2-384", NID_sha384, 48, 2},
    {TD_HASH_SHA2_512, "SHA2-512", NID_sha512, 64, 3},
};

// What needs no parameters; RSASSA-PSS is not among it.
static const struct {
	int nid;
	struct td_signature_algorithm algorithm;
} simple[] = {
    {NID_sha256WithRSAEncryption, {TD_SIGNATURE_RSA_PKCS1, TD_HASH_SHA2_256}},
    {NID_sha384WithRSAEncryption, {TD_SIGNATURE_RSA_PKCS1, TD_HASH_SHA2_384}},
    {NID_sha512WithRSAEncryption, {TD_SIGNATURE_RSA_PKCS1, TD_HASH_SHA2_512}},
    {NID_ecdsa_with_SHA256, {TD_SIGNATURE_ECDSA, TD_HASH_SHA2_256}},
    {NID_ecdsa_with_SHA384, {TD_SIGNATURE_ECDSA, TD_HASH_SHA2_384}},
    {NID_ecdsa_with_SHA512, {TD_SIGNATURE_ECDSA, TD_HASH_SHA2_512}},
    {NID_ED25519, {TD_SIGNATURE_ED25519, TD_HASH_IDENTITY}},
};

static const struct hash *hash_find(uint8_t hash)
{
	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].hash == hash)
			return &hashes[i];
	return NULL;
}

const char *td_signature_digest(uint8_t hash)
{
	const struct hash *found = hash_find(hash);

	return found ? found->name : NULL;
}

// RFC 7427 A.4.3, with places for the OIDs' last arcs and for the salt's length.
static void pss_write(struct td_writer *writer, const struct hash *hash)
{
	uint8_t der[] = {
	    0x30, 0x46, // SEQUENCE
	    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, // id-RSASSA-PSS
	    0x30, 0x39, // RSASSA-PSS-params
	    0xa0, 0x0f, 0x30, 0x0d, // hashAlgorithm
	    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, hash->arc, 0x05, 0x00, //
	    0xa1, 0x1c, 0x30, 0x1a, // maskGenAlgorithm
	    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, // id-mgf1
	    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, hash->arc, 0x05, 0x00, //
	    0xa2, 0x03, 0x02, 0x01, hash->bytes, // saltLength
	    0xa3, 0x03, 0x02, 0x01, 0x01, // trailerField
	};

	td_writer_u8(writer, sizeof(der));
	td_writer_bytes(writer, der, sizeof(der));
}

void td_signature_algorithm_write(struct td_writer *writer, const struct td_signature_algorithm *algorithm)
{
	// ecdsa-with-SHA256, -384 and -512 end in 2, 3 and 4 (RFC 5758 3.2), as do the numbers of enum
	// td_ike_hash.
	const uint8_t ecdsa[] = {
	    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, algorithm->hash};
	static const uint8_t ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}; // RFC 8420 A

	if (algorithm->scheme == TD_SIGNATURE_RSA_PSS) {
		pss_write(writer, hash_find(algorithm->hash));
	} else if (algorithm->scheme == TD_SIGNATURE_ECDSA) {
		td_writer_u8(writer, sizeof(ecdsa));
		td_writer_bytes(writer, ecdsa, sizeof(ecdsa));
	} else {
		td_writer_u8(writer, sizeof(ed25519));
		td_writer_bytes(writer, ed25519, sizeof(ed25519));
	}
}

static int nid_of(const X509_ALGOR *algorithm, int *parameter_type, const void **parameter)
{
	const ASN1_OBJECT *object;

	X509_ALGOR_get0(&object, parameter_type, parameter, algorithm);
	return OBJ_obj2nid(object);
}

// Parameters that say nothing: none, or NULL.
static bool is_nothing(int parameter_type)
{
	return parameter_type == V_ASN1_UNDEF || parameter_type == V_ASN1_NULL;
}

static const struct hash *hash_of(const X509_ALGOR *algorithm)
{
	int parameter_type;
	const void *parameter;
	int nid = algorithm ? nid_of(algorithm, &parameter_type, &parameter) : NID_undef;

	for (size_t i = 0; i < COUNT(hashes); i++)
		if (hashes[i].nid == nid && is_nothing(parameter_type))
			return &hashes[i];
	return NULL; // or none given, which means SHA-1
}

// Whether the mask is MGF1 with the hash.
static bool mask_fits(const X509_ALGOR *mask, const struct hash *hash)
{
	int parameter_type;
	const void *parameter;
	X509_ALGOR *inner;
	bool fits;

	if (!mask || nid_of(mask, &parameter_type, &parameter) != NID_mgf1 ||
	    parameter_type != V_ASN1_SEQUENCE)
		return false;
	inner = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), mask->parameter);
	fits = hash_of(inner) == hash;
	X509_ALGOR_free(inner);
	return fits;
}

// One hash throughout and a salt as long as it, which is what everybody sends (RFC 8017 9.1 suggests it).
static int pss_read(const X509_ALGOR *algorithm, struct td_signature_algorithm *result)
{
	RSA_PSS_PARAMS *parameters =
	    ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
	const struct hash *hash = parameters ? hash_of(parameters->hashAlgorithm) : NULL;
	bool good = hash && mask_fits(parameters->maskGenAlgorithm, hash) && parameters->saltLength &&
	            ASN1_INTEGER_get(parameters->saltLength) == hash->bytes &&
	            (!parameters->trailerField || ASN1_INTEGER_get(parameters->trailerField) == 1);

	RSA_PSS_PARAMS_free(parameters);
	if (!good)
		return -ENOTSUP;
	*result = (struct td_signature_algorithm){TD_SIGNATURE_RSA_PSS, hash->hash};
	return 0;
}

static int identify(const X509_ALGOR *algorithm, struct td_signature_algorithm *result)
{
	int parameter_type;
	const void *parameter;
	int nid = nid_of(algorithm, &parameter_type, &parameter);

	if (nid == NID_rsassaPss && parameter_type == V_ASN1_SEQUENCE)
		return pss_read(algorithm, result);
	for (size_t i = 0; i < COUNT(simple); i++)
		if (simple[i].nid == nid && is_nothing(parameter_type)) {
			*result = simple[i].algorithm;
			return 0;
		}
	return -ENOTSUP;
}

int td_signature_algorithm_read(struct td_cursor *cursor, struct td_signature_algorithm *result)
{
	struct td_bytes der;
	const unsigned char *next;
	X509_ALGOR *algorithm;
	uint8_t length;
	int failure = -ENOTSUP;

	if (!td_cursor_u8(cursor, &length) || !td_cursor_take(cursor, length, &der) || length == 0)
		return -ENOTSUP;
	next = der.data;
	algorithm = d2i_X509_ALGOR(NULL, &next, (long)der.length);
	if (algorithm && next == der.data + der.length)
		failure = identify(algorithm, result);
	X509_ALGOR_free(algorithm);
	ERR_clear_error();
	return failure;
}

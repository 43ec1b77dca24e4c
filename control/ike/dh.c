// SPDX-License-Identifier: BSD-3-Clause
// Diffie-Hellman of IKEv2: MODP (RFC 3526), ECP (RFC 5903) and X25519 (RFC 8031) groups.
#include "control/ike/crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POINT_UNCOMPRESSED 0x04 // libcrypto puts it before x | y, the KE payload does not (RFC 5903 7)

enum kind { MODP, ECP, X25519 };

struct group {
	uint16_t id;
	enum kind kind;
	const char *name; // libcrypto's, of the parameters
	size_t public_bytes, shared_bytes; // both of fixed length
};

static const struct group groups[] = {
    {TD_DH_MODP_2048, MODP, "modp_2048", 256, 256},
    {TD_DH_MODP_3072, MODP, "modp_3072", 384, 384},
    {TD_DH_ECP_256, ECP, "P-256", 64, 32},
    {TD_DH_ECP_384, ECP, "P-384", 96, 48},
    {TD_DH_ECP_521, ECP, "P-521", 132, 66},
    {TD_DH_X25519, X25519, NULL, 32, 32},
};

struct td_dh {
	const struct group *group;
	EVP_PKEY *key;
	uint8_t public_value[TD_DH_PUBLIC_MAX_BYTES];
};

// Parameters of each row of groups: to look a curve up by name costs as much as a tenth of an agreement.
// X25519 has none. Written once, NULL where libcrypto failed.
static EVP_PKEY *parameters[COUNT(groups)];
static BIGNUM *largest[COUNT(groups)]; // p - 1 of the MODP groups
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static const char *type_name(const struct group *group)
{
	static const char *const names[] = {[MODP] = "DH", [ECP] = "EC", [X25519] = "X25519"};

	return names[group->kind];
}

static EVP_PKEY *parameters_create(const struct group *group)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type_name(group), NULL);
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group->name, 0),
	    OSSL_PARAM_END};
	EVP_PKEY *made = NULL;

	if (context && EVP_PKEY_fromdata_init(context) == 1)
		EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEY_PARAMETERS, params);
	EVP_PKEY_CTX_free(context);
	return made;
}

static void fetch(void)
{
	for (size_t i = 0; i < COUNT(groups); i++) {
		if (groups[i].kind == X25519)
			continue;
		parameters[i] = parameters_create(&groups[i]);
		if (groups[i].kind == MODP && parameters[i] &&
		    EVP_PKEY_get_bn_param(parameters[i], OSSL_PKEY_PARAM_FFC_P, &largest[i]) == 1)
			BN_sub_word(largest[i], 1);
	}
}

static const struct group *find(uint16_t id)
{
	for (size_t i = 0; i < COUNT(groups); i++)
		if (groups[i].id == id)
			return &groups[i];
	return NULL;
}

bool td_dh_known(uint16_t group)
{
	return find(group) != NULL;
}

static EVP_PKEY *generate(const struct group *group)
{
	EVP_PKEY *own = parameters[group - groups];
	EVP_PKEY_CTX *context = group->kind == X25519
	                            ? EVP_PKEY_CTX_new_from_name(NULL, type_name(group), NULL)
	                        : own ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL)
	                              : NULL;
	EVP_PKEY *made = NULL;

	if (context && EVP_PKEY_keygen_init(context) == 1)
		EVP_PKEY_generate(context, &made);
	EVP_PKEY_CTX_free(context);
	return made;
}

// The public value as the KE payload has it: libcrypto's encoding, padded to the group's length by itself.
static bool export_public(struct td_dh *dh)
{
	uint8_t encoded[1 + TD_DH_PUBLIC_MAX_BYTES];
	size_t prefix = dh->group->kind == ECP ? 1 : 0;
	size_t length;

	if (EVP_PKEY_get_octet_string_param(
	        dh->key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, encoded, sizeof(encoded), &length) != 1)
		return false;
	if (length != prefix + dh->group->public_bytes || (prefix && encoded[0] != POINT_UNCOMPRESSED))
		return false;
	memcpy(dh->public_value, encoded + prefix, dh->group->public_bytes);
	return true;
}

// Takes the key over; NULL for the key makes NULL.
static struct td_dh *wrap(const struct group *group, EVP_PKEY *key)
{
	struct td_dh *dh = key ? calloc(1, sizeof(*dh)) : NULL;

	if (dh) {
		dh->group = group;
		dh->key = key;
		if (export_public(dh))
			return dh;
	}
	ERR_clear_error();
	EVP_PKEY_free(key);
	free(dh);
	return NULL;
}

struct td_dh *td_dh_create(uint16_t group)
{
	const struct group *found = find(group);

	pthread_once(&fetched, fetch);
	return found ? wrap(found, generate(found)) : NULL;
}

// The parts of a MODP or ECP key for EVP_PKEY_fromdata, to be freed.
static OSSL_PARAM *key_parts(const struct group *group, const BIGNUM *secret, struct td_bytes public_value,
    const BIGNUM *public_number)
{
	uint8_t point[1 + TD_DH_PUBLIC_MAX_BYTES] = {POINT_UNCOMPRESSED};
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *parts = NULL;
	bool good;

	if (!builder)
		return NULL;
	memcpy(point + 1, public_value.data, public_value.length);
	good = OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group->name, 0) == 1 &&
	       OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret) == 1;
	if (group->kind == ECP)
		good = good && OSSL_PARAM_BLD_push_octet_string(
		                   builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + public_value.length) == 1;
	else
		good = good && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PUB_KEY, public_number) == 1;
	if (good)
		parts = OSSL_PARAM_BLD_to_param(builder);
	OSSL_PARAM_BLD_free(builder);
	return parts;
}

static EVP_PKEY *import(
    const struct group *group, struct td_bytes private_value, struct td_bytes public_value)
{
	BIGNUM *secret = BN_bin2bn(private_value.data, (int)private_value.length, NULL);
	BIGNUM *public_number = BN_bin2bn(public_value.data, (int)public_value.length, NULL);
	OSSL_PARAM *parts =
	    secret && public_number ? key_parts(group, secret, public_value, public_number) : NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type_name(group), NULL);
	EVP_PKEY *made = NULL;

	if (parts && context && EVP_PKEY_fromdata_init(context) == 1)
		EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parts);
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(parts);
	BN_clear_free(secret);
	BN_free(public_number);
	return made;
}

struct td_dh *td_dh_import(uint16_t group, struct td_bytes private_value, struct td_bytes public_value)
{
	const struct group *found = find(group);

	pthread_once(&fetched, fetch);
	if (!found || public_value.length != found->public_bytes ||
	    private_value.length > found->public_bytes)
		return NULL;
	if (found->kind != X25519)
		return wrap(found, import(found, private_value, public_value));
	return wrap(found, EVP_PKEY_new_raw_private_key_ex(
	                       NULL, type_name(found), NULL, private_value.data, private_value.length));
}

void td_dh_free(struct td_dh *dh)
{
	if (!dh)
		return;
	EVP_PKEY_free(dh->key); // libcrypto wipes the private key
	free(dh);
}

uint16_t td_dh_group(const struct td_dh *dh)
{
	return dh->group->id;
}

struct td_bytes td_dh_public(const struct td_dh *dh)
{
	return (struct td_bytes){dh->public_value, dh->group->public_bytes};
}

// RFC 6989 2.1: 1 < y < p - 1. p is a safe prime, and the private key is used once: that is all there is to
// check. libcrypto 3.0 looks at it too, without promising to.
static bool modp_in_range(const struct group *group, struct td_bytes peer)
{
	const BIGNUM *limit = largest[group - groups];
	BIGNUM *number = BN_bin2bn(peer.data, (int)peer.length, NULL);
	bool good =
	    number && limit && !BN_is_zero(number) && !BN_is_one(number) && BN_ucmp(number, limit) < 0;

	BN_free(number);
	return good;
}

// The peer's value as a key; NULL when it is not of the group. libcrypto itself refuses a point with a
// coordinate that is too large or that is not on the curve, which is all that RFC 6989 2.3 asks of curves of
// cofactor 1.
static EVP_PKEY *peer_key(const struct group *group, struct td_bytes peer)
{
	uint8_t encoded[1 + TD_DH_PUBLIC_MAX_BYTES] = {POINT_UNCOMPRESSED};
	size_t prefix = group->kind == ECP ? 1 : 0;
	EVP_PKEY *key;

	if (peer.length != group->public_bytes)
		return NULL;
	if (group->kind == X25519)
		return EVP_PKEY_new_raw_public_key_ex(NULL, type_name(group), NULL, peer.data, peer.length);
	if (group->kind == MODP && !modp_in_range(group, peer))
		return NULL;
	memcpy(encoded + prefix, peer.data, peer.length);
	key = EVP_PKEY_new();
	if (key && EVP_PKEY_copy_parameters(key, parameters[group - groups]) == 1 &&
	    EVP_PKEY_set1_encoded_public_key(key, encoded, prefix + peer.length) == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static int derive(const struct td_dh *dh, EVP_PKEY *peer, uint8_t *shared)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, dh->key, NULL);
	size_t got = TD_DH_SHARED_MAX_BYTES;
	int result = -EIO;

	// peer_key has validated the value; libcrypto's check would cost one more multiplication by the
	// order.
	if (!context || EVP_PKEY_derive_init(context) != 1 ||
	    EVP_PKEY_derive_set_peer_ex(context, peer, 0) != 1)
		goto out;
	if (dh->group->kind == MODP && EVP_PKEY_CTX_set_dh_pad(context, 1) != 1)
		goto out;
	if (EVP_PKEY_derive(context, shared, &got) == 1)
		result = got == dh->group->shared_bytes ? 0 : -EIO;
	else if (dh->group->kind == X25519)
		result = -EBADMSG; // a result of all zeros (RFC 7748 6.1): the point is of low order
out:
	EVP_PKEY_CTX_free(context);
	return result;
}

int td_dh_agree(const struct td_dh *dh, struct td_bytes peer, uint8_t *shared, size_t *length)
{
	EVP_PKEY *key = peer_key(dh->group, peer);
	int result = key ? derive(dh, key, shared) : -EBADMSG;

	EVP_PKEY_free(key);
	if (result) {
		ERR_clear_error();
		td_wipe(shared, TD_DH_SHARED_MAX_BYTES);
		return result;
	}
	*length = dh->group->shared_bytes;
	return 0;
}

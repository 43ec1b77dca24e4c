// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/static_key.h"

#include "control/ike/certificate.h"
#include "control/ike/credential_state.h"
#include "control/ike/pem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGISTRATION_BYTES 32 // a psk of Noise has this length

int td_onertt_key_id(const uint8_t public_key[TD_X25519_BYTES], uint8_t id[TD_ONERTT_KEY_ID_BYTES])
{
	const struct td_bytes part = {public_key, TD_X25519_BYTES};
	uint8_t digest[32];
	int result = td_sha256(&part, 1, digest);

	memcpy(id, digest, TD_ONERTT_KEY_ID_BYTES);
	return result;
}

static int check_type(const EVP_PKEY *key, const char *path, struct td_error *error)
{
	const char *name = EVP_PKEY_get0_type_name(key);

	if (EVP_PKEY_is_a(key, "X25519"))
		return 0;
	return td_error_set(error, -EINVAL, NULL, NULL,
	    "%s holds a key of %s, the one-round-trip exchange needs X25519; make one with: tandemctl key "
	    "gen "
	    "FILE",
	    path, name ? name : "an unknown kind");
}

// ---- ours -------------------------------------------------------------------------------------

static int pair_load(struct td_onertt_static *own, const char *path, struct td_error *error)
{
	TD_SECRET_AUTO private_key = {.length = TD_SECRET_MAX_BYTES};
	EVP_PKEY *key = td_pem_private_key(path, error);
	int result;

	if (!key)
		return -EINVAL;
	result = check_type(key, path, error);
	if (result == 0 && (EVP_PKEY_get_raw_private_key(key, private_key.bytes, &private_key.length) != 1 ||
	                       td_x25519_make(&private_key, &own->pair) != 0 ||
	                       td_onertt_key_id(own->pair.public_key, own->key_id) != 0))
		result = td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot use the key of %s", path);
	EVP_PKEY_free(key);
	return result;
}

static int certificate_check(
    const struct td_onertt_static *own, const char *key_path, const char *path, struct td_error *error)
{
	struct td_onertt_remote *same = td_onertt_remote_load(path, error);
	int result = 0;

	if (!same)
		return -EINVAL;
	if (memcmp(same->public_key, own->pair.public_key, TD_X25519_BYTES) != 0)
		result =
		    td_error_set(error, -EINVAL, NULL, NULL, "%s is of another key than %s", path, key_path);
	td_onertt_remote_free(same);
	return result;
}

struct td_onertt_static *td_onertt_static_load(
    const char *key_path, const char *certificate_path, struct td_error *error)
{
	struct td_onertt_static *own = calloc(1, sizeof(*own));

	if (!own) {
		td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
		return NULL;
	}
	if (pair_load(own, key_path, error) == 0 &&
	    (!certificate_path || certificate_check(own, key_path, certificate_path, error) == 0))
		return own;
	td_onertt_static_free(own);
	return NULL;
}

void td_onertt_static_free(struct td_onertt_static *own)
{
	if (own)
		td_x25519_free(&own->pair);
	free(own);
}

// ---- the peer's -------------------------------------------------------------------------------

// Every private key makes zero of such a point (RFC 7748 6.1), so any one finds out.
static bool is_low_order(const uint8_t public_key[TD_X25519_BYTES])
{
	struct td_secret any = {.length = TD_X25519_BYTES, .bytes = {1}};
	TD_SECRET_AUTO shared = {0};
	struct td_x25519 pair;
	int result = td_x25519_make(&any, &pair);

	if (result == 0) {
		result = td_x25519_agree(&pair, public_key, &shared);
		td_x25519_free(&pair);
	}
	return result != 0;
}

static int public_load(struct td_onertt_remote *remote, const char *path, struct td_error *error)
{
	size_t length = TD_X25519_BYTES;
	EVP_PKEY *key;
	int result = td_pem_public_key(path, &key, &remote->certificate, error);

	if (result)
		return result;
	result = check_type(key, path, error);
	if (result == 0 && (EVP_PKEY_get_raw_public_key(key, remote->public_key, &length) != 1 ||
	                       td_onertt_key_id(remote->public_key, remote->key_id) != 0))
		result = td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot use the key of %s", path);
	if (result == 0 && is_low_order(remote->public_key))
		result = td_error_set(error, -EINVAL, NULL, NULL,
		    "%s holds a key of low order, with which everybody could agree on the same secret", path);
	EVP_PKEY_free(key);
	return result;
}

struct td_onertt_remote *td_onertt_remote_load(const char *path, struct td_error *error)
{
	struct td_onertt_remote *remote = calloc(1, sizeof(*remote));

	if (!remote) {
		td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
		return NULL;
	}
	if (public_load(remote, path, error) == 0)
		return remote;
	td_onertt_remote_free(remote);
	ERR_clear_error();
	return NULL;
}

void td_onertt_remote_free(struct td_onertt_remote *remote)
{
	if (remote)
		X509_free(remote->certificate);
	free(remote);
}

int td_onertt_remote_check_time(
    const struct td_onertt_remote *remote, int64_t unix_time, struct td_error *error)
{
	return remote->certificate ? td_certificate_check_time(remote->certificate, unix_time, error) : 0;
}

int td_onertt_remote_check_id(
    const struct td_onertt_remote *remote, const struct td_ike_id *id, struct td_error *error)
{
	if (!remote->certificate || td_certificate_is_for(remote->certificate, id))
		return 0;
	return td_certificate_refuse_id(remote->certificate, id, error);
}

int td_onertt_secret_load(const char *path, struct td_secret *secret, struct td_error *error)
{
	struct td_ike_credential *credential = td_ike_credential_psk(path, error);
	int result = 0;

	if (!credential)
		return -EINVAL;
	if (credential->psk.length == REGISTRATION_BYTES)
		*secret = credential->psk;
	else
		result = td_error_set(error, -EINVAL, NULL, NULL,
		    "%s holds a secret of %zu bytes, a registration secret has %d; make one with: tandemctl "
		    "key "
		    "register NAME --out FILE",
		    path, credential->psk.length, REGISTRATION_BYTES);
	td_ike_credential_free(credential);
	return result;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/x25519.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>
#include <string.h>

#define ALGORITHM "X25519"

int td_x25519_make(const struct td_secret *private_key, struct td_x25519 *pair)
{
	size_t length = TD_X25519_BYTES;

	*pair = (struct td_x25519){
	    .key = EVP_PKEY_new_raw_private_key_ex(
	        NULL, ALGORITHM, NULL, private_key->bytes, private_key->length),
	};
	if (pair->key && EVP_PKEY_get_raw_public_key(pair->key, pair->public_key, &length) == 1 &&
	    length == TD_X25519_BYTES)
		return 0;
	ERR_clear_error();
	td_x25519_free(pair);
	return -EIO;
}

int td_x25519_import(
    const struct td_secret *private_key, const uint8_t public_key[TD_X25519_BYTES], struct td_x25519 *pair)
{
	OSSL_PARAM parts[] = {
	    OSSL_PARAM_construct_octet_string(
	        OSSL_PKEY_PARAM_PRIV_KEY, (void *)private_key->bytes, private_key->length),
	    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)public_key, TD_X25519_BYTES),
	    OSSL_PARAM_END,
	};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, ALGORITHM, NULL);

	*pair = (struct td_x25519){0};
	memcpy(pair->public_key, public_key, TD_X25519_BYTES);
	if (context && EVP_PKEY_fromdata_init(context) == 1)
		EVP_PKEY_fromdata(context, &pair->key, EVP_PKEY_KEYPAIR, parts);
	EVP_PKEY_CTX_free(context);
	if (pair->key)
		return 0;
	ERR_clear_error();
	return -EIO;
}

void td_x25519_free(struct td_x25519 *pair)
{
	EVP_PKEY_free(pair->key);
	*pair = (struct td_x25519){0};
}

int td_x25519_agree(
    const struct td_x25519 *pair, const uint8_t peer[TD_X25519_BYTES], struct td_secret *shared)
{
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key_ex(NULL, ALGORITHM, NULL, peer, TD_X25519_BYTES);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pair->key, NULL);
	size_t length = sizeof(shared->bytes);
	int result = -EIO;

	// Every 32 bytes are a public key (RFC 7748 5); what is wrong with some shows in the result.
	if (other && context && EVP_PKEY_derive_init(context) == 1 &&
	    EVP_PKEY_derive_set_peer_ex(context, other, 0) == 1)
		result = EVP_PKEY_derive(context, shared->bytes, &length) == 1 ? 0 : -EBADMSG;
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(other);
	if (result == 0) {
		shared->length = length;
		return 0;
	}
	ERR_clear_error();
	td_secret_wipe(shared);
	return result;
}

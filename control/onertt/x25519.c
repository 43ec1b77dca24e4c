// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/x25519.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHM "X25519"

// What libcrypto looks up by name, and allocates, takes a seventh of the time of an agreement: so each thread
// makes these once.
struct tools {
	EVP_PKEY_CTX *importer;
	EVP_PKEY *peer; // holds the public key of whoever is agreed with next
};

static pthread_key_t thread_key;
static bool has_thread_key;
static pthread_once_t begun = PTHREAD_ONCE_INIT;

static void tools_free(void *memory)
{
	struct tools *tools = memory;

	EVP_PKEY_CTX_free(tools->importer);
	EVP_PKEY_free(tools->peer);
	free(tools);
}

static struct tools *tools_make(void)
{
	static const uint8_t any[TD_X25519_BYTES] = {9};
	struct tools *tools = calloc(1, sizeof(*tools));

	if (!tools)
		return NULL;
	tools->importer = EVP_PKEY_CTX_new_from_name(NULL, ALGORITHM, NULL);
	tools->peer = EVP_PKEY_new_raw_public_key_ex(NULL, ALGORITHM, NULL, any, sizeof(any));
	if (tools->importer && tools->peer && EVP_PKEY_fromdata_init(tools->importer) == 1 &&
	    pthread_setspecific(thread_key, tools) == 0)
		return tools;
	tools_free(tools);
	return NULL;
}

static void begin(void)
{
	has_thread_key = pthread_key_create(&thread_key, tools_free) == 0;
}

// This thread's, NULL when libcrypto or memory fails.
static struct tools *tools_get(void)
{
	struct tools *tools;

	pthread_once(&begun, begin);
	if (!has_thread_key)
		return NULL;
	tools = pthread_getspecific(thread_key);
	return tools ? tools : tools_make();
}

// Without its public half libcrypto computes that.
static bool import(const OSSL_PARAM *parts, struct td_x25519 *pair)
{
	struct tools *tools = tools_get();

	if (tools &&
	    EVP_PKEY_fromdata(tools->importer, &pair->key, EVP_PKEY_KEYPAIR, (OSSL_PARAM *)parts) == 1)
		pair->agreement = EVP_PKEY_CTX_new_from_pkey(NULL, pair->key, NULL);
	return pair->agreement && EVP_PKEY_derive_init(pair->agreement) == 1;
}

static OSSL_PARAM private_part(const struct td_secret *private_key)
{
	return OSSL_PARAM_construct_octet_string(
	    OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)private_key->bytes, private_key->length);
}

int td_x25519_make(const struct td_secret *private_key, struct td_x25519 *pair)
{
	const OSSL_PARAM parts[] = {private_part(private_key), OSSL_PARAM_END};
	size_t length = TD_X25519_BYTES;

	*pair = (struct td_x25519){0};
	if (import(parts, pair) && EVP_PKEY_get_raw_public_key(pair->key, pair->public_key, &length) == 1 &&
	    length == TD_X25519_BYTES)
		return 0;
	ERR_clear_error();
	td_x25519_free(pair);
	return -EIO;
}

int td_x25519_import(
    const struct td_secret *private_key, const uint8_t public_key[TD_X25519_BYTES], struct td_x25519 *pair)
{
	const OSSL_PARAM parts[] = {
	    private_part(private_key),
	    OSSL_PARAM_construct_octet_string(
	        OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)public_key, TD_X25519_BYTES),
	    OSSL_PARAM_END,
	};

	*pair = (struct td_x25519){0};
	memcpy(pair->public_key, public_key, TD_X25519_BYTES);
	if (import(parts, pair))
		return 0;
	ERR_clear_error();
	td_x25519_free(pair);
	return -EIO;
}

int td_x25519_copy(const struct td_x25519 *pair, struct td_x25519 *copy)
{
	*copy = *pair;
	copy->agreement = EVP_PKEY_CTX_dup(pair->agreement);
	if (EVP_PKEY_up_ref(copy->key) != 1)
		copy->key = NULL;
	if (copy->key && copy->agreement)
		return 0;
	ERR_clear_error();
	td_x25519_free(copy);
	return -EIO;
}

void td_x25519_free(struct td_x25519 *pair)
{
	EVP_PKEY_CTX_free(pair->agreement);
	EVP_PKEY_free(pair->key);
	*pair = (struct td_x25519){0};
}

int td_x25519_agree(
    const struct td_x25519 *pair, const uint8_t peer[TD_X25519_BYTES], struct td_secret *shared)
{
	struct tools *tools = tools_get();
	size_t length = sizeof(shared->bytes);
	int result = -EIO;

	// Every 32 bytes are a public key (RFC 7748 5); what is wrong with some shows in the result.
	if (tools && EVP_PKEY_set1_encoded_public_key(tools->peer, peer, TD_X25519_BYTES) == 1 &&
	    EVP_PKEY_derive_set_peer_ex(pair->agreement, tools->peer, 0) == 1)
		result = EVP_PKEY_derive(pair->agreement, shared->bytes, &length) == 1 ? 0 : -EBADMSG;
	if (result == 0) {
		shared->length = length;
		return 0;
	}
	ERR_clear_error();
	td_secret_wipe(shared);
	return result;
}

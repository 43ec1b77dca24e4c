// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PRF_PLUS_OUTPUTS_MAX 255u // RFC 7296 2.13: the counter is one byte

struct prf {
	uint16_t id;
	unsigned bytes;
	const char *digest;
};

static const struct prf prfs[] = {
    {TD_PRF_SHA2_256, 32, "SHA2-256"},
    {TD_PRF_SHA2_384, 48, "SHA2-384"},
    {TD_PRF_SHA2_512, 64, "SHA2-512"},
};

// HMACs that have their digest but no key yet, one for each row of prfs, and the digests that are used
// without a key. To fetch them by name for each use would cost more than hashing a short message. Written
// once, NULL where libcrypto failed.
static EVP_MAC_CTX *keyless[COUNT(prfs)];
static EVP_MD *sha1, *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static EVP_MAC_CTX *keyless_create(EVP_MAC *hmac, const char *digest)
{
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0), OSSL_PARAM_END};
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);

	if (context && EVP_MAC_CTX_set_params(context, params) == 1)
		return context;
	EVP_MAC_CTX_free(context);
	return NULL;
}

static void fetch(void)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	for (size_t i = 0; hmac && i < COUNT(prfs); i++)
		keyless[i] = keyless_create(hmac, prfs[i].digest);
	EVP_MAC_free(hmac);
	sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

static const struct prf *find(uint16_t id)
{
	for (size_t i = 0; i < COUNT(prfs); i++)
		if (prfs[i].id == id)
			return &prfs[i];
	return NULL;
}

// An HMAC with its key; NULL when libcrypto fails.
static EVP_MAC_CTX *keyed(const struct prf *prf, struct td_bytes key)
{
	const uint8_t *bytes =
	    key.data ? key.data : (const uint8_t *)""; // NULL would mean "the key of before"
	EVP_MAC_CTX *context = NULL;

	pthread_once(&fetched, fetch);
	if (keyless[prf - prfs])
		context = EVP_MAC_CTX_dup(keyless[prf - prfs]);
	if (context && EVP_MAC_init(context, bytes, key.length, NULL) == 1)
		return context;
	EVP_MAC_CTX_free(context);
	return NULL;
}

static bool update(EVP_MAC_CTX *context, const struct td_bytes *parts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (parts[i].length > 0 && EVP_MAC_update(context, parts[i].data, parts[i].length) != 1)
			return false;
	return true;
}

static bool finish(EVP_MAC_CTX *context, const struct prf *prf, uint8_t *out)
{
	size_t length;

	return EVP_MAC_final(context, out, &length, prf->bytes) == 1 && length == prf->bytes;
}

unsigned td_prf_bytes(uint16_t prf)
{
	const struct prf *found = find(prf);

	return found ? found->bytes : 0;
}

int td_prf(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out)
{
	const struct prf *found = find(prf);
	EVP_MAC_CTX *context = found ? keyed(found, key) : NULL;
	bool done = context && update(context, parts, count) && finish(context, found, out);

	EVP_MAC_CTX_free(context);
	return done ? 0 : -EIO;
}

// One output: prf(K, previous | parts | counter).
static bool step(EVP_MAC_CTX *context, const struct prf *prf, const struct td_bytes *parts, unsigned count,
    uint8_t counter, uint8_t *block)
{
	const struct td_bytes previous = {block, counter == 1 ? 0 : prf->bytes};
	const struct td_bytes last = {&counter, 1};

	// The key of before is set again, which costs no more than two copies of a hash state.
	if (counter > 1 && EVP_MAC_init(context, NULL, 0, NULL) != 1)
		return false;
	return update(context, &previous, 1) && update(context, parts, count) && update(context, &last, 1) &&
	       finish(context, prf, block);
}

int td_prf_plus(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out,
    size_t length)
{
	const struct prf *found = find(prf);
	uint8_t block[TD_PRF_MAX_BYTES];
	size_t done = 0;
	bool good;

	if (!found || length > (size_t)PRF_PLUS_OUTPUTS_MAX * found->bytes)
		return -EIO;
	EVP_MAC_CTX *context = keyed(found, key);
	good = context != NULL;
	for (unsigned counter = 1; good && done < length; counter++) {
		size_t piece = length - done < found->bytes ? length - done : found->bytes;

		good = step(context, found, parts, count, (uint8_t)counter, block);
		if (good)
			memcpy(out + done, block, piece);
		done += piece;
	}
	EVP_MAC_CTX_free(context);
	td_wipe(block, sizeof(block));
	if (!good)
		td_wipe(out, length);
	return good ? 0 : -EIO;
}

static int hash(const EVP_MD *digest, const struct td_bytes *parts, unsigned count, uint8_t *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && digest && EVP_DigestInit_ex2(context, digest, NULL) == 1;

	for (unsigned i = 0; good && i < count; i++)
		good = EVP_DigestUpdate(context, parts[i].data, parts[i].length) == 1;
	good = good && EVP_DigestFinal_ex(context, out, NULL) == 1;
	EVP_MD_CTX_free(context);
	return good ? 0 : -EIO;
}

int td_sha1(const struct td_bytes *parts, unsigned count, uint8_t out[20])
{
	pthread_once(&fetched, fetch);
	return hash(sha1, parts, count, out);
}

int td_sha256(const struct td_bytes *parts, unsigned count, uint8_t out[32])
{
	pthread_once(&fetched, fetch);
	return hash(sha256, parts, count, out);
}

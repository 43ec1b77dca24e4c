// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/crypto.h"

#include <openssl/evp.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PRF_PLUS_OUTPUTS_MAX 255u // RFC 7296 2.13: the counter is one byte
#define BLOCK_MAX_BYTES 128
// ipad and opad of RFC 2104, on eight bytes at once.
#define INNER 0x3636363636363636u
#define OUTER 0x5c5c5c5c5c5c5c5cu

enum digest { SHA2_256, SHA2_384, SHA2_512, SHA1, DIGESTS };

struct prf {
	uint16_t id;
	enum digest digest;
	unsigned bytes, block_bytes;
};

static const struct prf prfs[] = {
    {TD_PRF_SHA2_256, SHA2_256, 32, 64},
    {TD_PRF_SHA2_384, SHA2_384, 48, 128},
    {TD_PRF_SHA2_512, SHA2_512, 64, 128},
};

// ---- digests ----------------------------------------------------------------------------------

// To fetch them by name for each use would cost more than hashing a short message. Written once, NULL where
// libcrypto failed.
static EVP_MD *digests[DIGESTS];
static pthread_key_t thread_key;
static bool has_thread_key;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

// A thread's contexts, one for each digest, made when it is needed first. Between two uses it holds no more
// than the digest that it gave last; start() wipes that, too.
struct contexts {
	EVP_MD_CTX *of[DIGESTS];
};

static void contexts_free(void *memory)
{
	struct contexts *contexts = memory;

	for (unsigned i = 0; i < DIGESTS; i++)
		EVP_MD_CTX_free(contexts->of[i]);
	free(contexts);
}

static void fetch(void)
{
	static const char *const names[DIGESTS] = {"SHA2-256", "SHA2-384", "SHA2-512", "SHA1"};

	for (unsigned i = 0; i < DIGESTS; i++)
		digests[i] = EVP_MD_fetch(NULL, names[i], NULL);
	has_thread_key = pthread_key_create(&thread_key, contexts_free) == 0;
}

static struct contexts *contexts_get(void)
{
	struct contexts *contexts;

	pthread_once(&fetched, fetch);
	contexts = has_thread_key ? pthread_getspecific(thread_key) : NULL;
	if (contexts || !has_thread_key)
		return contexts;
	contexts = calloc(1, sizeof(*contexts));
	if (contexts && pthread_setspecific(thread_key, contexts) == 0)
		return contexts;
	free(contexts);
	return NULL;
}

// An empty digest of this thread's, NULL when libcrypto or memory fails.
static EVP_MD_CTX *start(enum digest digest)
{
	struct contexts *contexts = contexts_get();

	if (!contexts || !digests[digest])
		return NULL;
	if (!contexts->of[digest])
		contexts->of[digest] = EVP_MD_CTX_new();
	if (contexts->of[digest] && EVP_DigestInit_ex2(contexts->of[digest], digests[digest], NULL) == 1)
		return contexts->of[digest];
	return NULL;
}

static bool update(EVP_MD_CTX *context, const struct td_bytes *parts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (parts[i].length > 0 && EVP_DigestUpdate(context, parts[i].data, parts[i].length) != 1)
			return false;
	return true;
}

static bool finish(EVP_MD_CTX *context, uint8_t *out)
{
	return EVP_DigestFinal_ex(context, out, NULL) == 1;
}

static int hash(enum digest digest, const struct td_bytes *parts, unsigned count, uint8_t *out)
{
	EVP_MD_CTX *context = start(digest);

	return context && update(context, parts, count) && finish(context, out) ? 0 : -EIO;
}

int td_sha1(const struct td_bytes *parts, unsigned count, uint8_t out[20])
{
	return hash(SHA1, parts, count, out);
}

int td_sha256(const struct td_bytes *parts, unsigned count, uint8_t out[32])
{
	return hash(SHA2_256, parts, count, out);
}

// ---- HMAC (RFC 2104) --------------------------------------------------------------------------

// On digests, because the HMAC of libcrypto 3.0 allocates some twenty times for a key and takes twice as
// long: a handshake asks for dozens of short ones.
struct hmac {
	const struct prf *prf;
	EVP_MD_CTX *context; // of this thread; NULL: not started
	uint64_t pad[BLOCK_MAX_BYTES / sizeof(uint64_t)]; // the key, with INNER on all of a block
};

static void pad_change(struct hmac *hmac, uint64_t change)
{
	for (unsigned i = 0; i < COUNT(hmac->pad); i++)
		hmac->pad[i] ^= change;
}

static bool hmac_key(struct hmac *hmac, const struct prf *prf, struct td_bytes key)
{
	bool good = true;

	*hmac = (struct hmac){.prf = prf};
	// A key of more than a block counts as its digest.
	if (key.length > prf->block_bytes)
		good = hash(prf->digest, &key, 1, (uint8_t *)hmac->pad) == 0;
	else if (key.length > 0)
		memcpy(hmac->pad, key.data, key.length);
	pad_change(hmac, INNER);
	return good;
}

static bool hmac_start(struct hmac *hmac)
{
	const struct td_bytes pad = {(const uint8_t *)hmac->pad, hmac->prf->block_bytes};

	hmac->context = start(hmac->prf->digest);
	return hmac->context && update(hmac->context, &pad, 1);
}

// Ready for another one under the same key.
static bool hmac_finish(struct hmac *hmac, uint8_t *out)
{
	const struct td_bytes inner = {out, hmac->prf->bytes};
	bool good = finish(hmac->context, out);

	pad_change(hmac, INNER ^ OUTER);
	good = good && hmac_start(hmac) && update(hmac->context, &inner, 1) && finish(hmac->context, out);
	pad_change(hmac, INNER ^ OUTER);
	return good;
}

static void hmac_end(struct hmac *hmac)
{
	(void)start(hmac->prf->digest); // what it gave last is a key
	td_wipe(hmac, sizeof(*hmac));
}

// ---- PRF --------------------------------------------------------------------------------------

static const struct prf *find(uint16_t id)
{
	for (size_t i = 0; i < COUNT(prfs); i++)
		if (prfs[i].id == id)
			return &prfs[i];
	return NULL;
}

unsigned td_prf_bytes(uint16_t prf)
{
	const struct prf *found = find(prf);

	return found ? found->bytes : 0;
}

int td_prf(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out)
{
	const struct prf *found = find(prf);
	struct hmac hmac;
	bool done;

	if (!found)
		return -EIO;
	done = hmac_key(&hmac, found, key) && hmac_start(&hmac) && update(hmac.context, parts, count) &&
	       hmac_finish(&hmac, out);
	hmac_end(&hmac);
	return done ? 0 : -EIO;
}

// One output: prf(K, previous | parts | counter).
static bool step(
    struct hmac *hmac, const struct td_bytes *parts, unsigned count, uint8_t counter, uint8_t *block)
{
	const struct td_bytes previous = {block, counter == 1 ? 0 : hmac->prf->bytes};
	const struct td_bytes last = {&counter, 1};
	return hmac_start(hmac) && update(hmac->context, &previous, 1) &&
	       update(hmac->context, parts, count) && update(hmac->context, &last, 1) &&
	       hmac_finish(hmac, block);
}

int td_prf_plus(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out,
    size_t length)
{
	const struct prf *found = find(prf);
	uint8_t block[TD_PRF_MAX_BYTES];
	struct hmac hmac;
	size_t done = 0;
	bool good;

	if (!found || length > (size_t)PRF_PLUS_OUTPUTS_MAX * found->bytes)
		return -EIO;
	good = hmac_key(&hmac, found, key);
	for (unsigned counter = 1; good && done < length; counter++) {
		size_t piece = length - done < found->bytes ? length - done : found->bytes;

		good = step(&hmac, parts, count, (uint8_t)counter, block);
		if (good)
			memcpy(out + done, block, piece);
		done += piece;
	}
	hmac_end(&hmac);
	td_wipe(block, sizeof(block));
	if (!good)
		td_wipe(out, length);
	return good ? 0 : -EIO;
}

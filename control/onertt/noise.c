// SPDX-License-Identifier: BSD-3-Clause
// The Noise handshake, revision 34: what its section 5 calls SymmetricState and HandshakeState, for two
// patterns.
#include "control/onertt/noise.h"

#include "control/ike/cipher.h"
#include "control/ike/crypto.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>
#include <string.h>

#define AES_GCM_NONCE_BYTES 12
#define EXPORT_LABEL "tandem one-round-trip 1"
#define HKDF_OUTPUTS_MAX 3

enum token { END, E, S, EE, ES, SE, SS, PSK };

struct pattern {
	const char *name; // no longer than a hash, which it is the first value of (section 5.2)
	bool psk;
	enum token messages[2][5];
};

static const struct pattern patterns[] = {
    [TD_NOISE_IK] = {"Noise_IK_25519_AESGCM_SHA256", false, {{E, ES, S, SS, END}, {E, EE, SE, END}}},
    [TD_NOISE_NKPSK2] = {"Noise_NKpsk2_25519_AESGCM_SHA256", true, {{E, ES, END}, {E, EE, PSK, END}}},
};

static struct td_bytes secret_bytes(const struct td_secret *secret)
{
	return (struct td_bytes){secret->bytes, secret->length};
}

static void secret_set(struct td_secret *secret, const uint8_t *bytes)
{
	memcpy(secret->bytes, bytes, TD_NOISE_KEY_BYTES);
	secret->length = TD_NOISE_KEY_BYTES;
}

// ---- the symmetric state (section 5.2) --------------------------------------------------------

static int mix_hash(struct td_noise *noise, struct td_bytes data)
{
	const struct td_bytes parts[] = {{noise->hash, sizeof(noise->hash)}, data};

	return td_sha256(parts, 2, noise->hash);
}

// HKDF (section 4.3). With nothing to add, prf+ is the same thing.
static int hkdf(const struct td_secret *chaining_key, struct td_bytes input, unsigned outputs,
    uint8_t out[HKDF_OUTPUTS_MAX][TD_NOISE_KEY_BYTES])
{
	TD_SECRET_AUTO temporary = {.length = TD_NOISE_HASH_BYTES};
	int result = td_prf(TD_PRF_SHA2_256, secret_bytes(chaining_key), &input, 1, temporary.bytes);

	return result ? result
	              : td_prf_plus(TD_PRF_SHA2_256, secret_bytes(&temporary), NULL, 0, out[0],
	                    (size_t)outputs * TD_NOISE_KEY_BYTES);
}

// Whether the token under way is the last one before something is sealed: else its key is replaced unused.
static bool key_is_used(const struct td_noise *noise)
{
	enum token next = patterns[noise->pattern].messages[noise->message - 1][noise->token + 1];

	return next == S || next == END;
}

// MixKey, or with a hash MixKeyAndHash.
static int mix_key(struct td_noise *noise, const struct td_secret *input, bool and_hash)
{
	uint8_t out[HKDF_OUTPUTS_MAX][TD_NOISE_KEY_BYTES];
	unsigned outputs = and_hash ? 3 : key_is_used(noise) ? 2 : 1;
	int result = hkdf(&noise->chaining_key, secret_bytes(input), outputs, out);

	if (result == 0 && and_hash)
		result = mix_hash(noise, (struct td_bytes){out[1], sizeof(out[1])});
	if (result == 0) {
		secret_set(&noise->chaining_key, out[0]);
		td_secret_wipe(&noise->key);
		if (outputs > 1)
			secret_set(&noise->key, out[outputs - 1]);
		noise->nonce = 0;
	}
	td_wipe(out, sizeof(out));
	return result;
}

// AESGCM of section 12.3: 32 bits of zeros and the nonce, big-endian. NULL when libcrypto fails.
static EVP_CIPHER_CTX *cipher_start(const struct td_noise *noise, bool encrypt)
{
	uint8_t iv[AES_GCM_NONCE_BYTES];
	struct td_writer writer = {.data = iv, .capacity = sizeof(iv)};
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int ignored;

	td_writer_u32(&writer, 0);
	td_writer_u64(&writer, noise->nonce);
	if (context &&
	    EVP_CipherInit_ex2(context, td_ike_cipher_algorithm(td_ike_cipher_find(TD_ENCR_AES_GCM_16, 256)),
	        noise->key.bytes, iv, encrypt, NULL) == 1 &&
	    EVP_CipherUpdate(context, NULL, &ignored, noise->hash, sizeof(noise->hash)) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

static int encrypt_and_hash(struct td_noise *noise, struct td_bytes plain, struct td_writer *writer)
{
	uint8_t *sealed = td_writer_room(writer, plain.length + TD_NOISE_TAG_BYTES);
	EVP_CIPHER_CTX *context;
	int length = 0, last = 0;
	bool good;

	if (!sealed)
		return -ENOSPC;
	context = cipher_start(noise, true);
	good = context != NULL;
	if (good && plain.length > 0)
		good = EVP_EncryptUpdate(context, sealed, &length, plain.data, (int)plain.length) == 1;
	good = good && EVP_EncryptFinal_ex(context, sealed + length, &last) == 1 &&
	       EVP_CIPHER_CTX_ctrl(
	           context, EVP_CTRL_AEAD_GET_TAG, TD_NOISE_TAG_BYTES, sealed + plain.length) == 1;
	EVP_CIPHER_CTX_free(context);
	if (!good) {
		ERR_clear_error();
		return -EIO;
	}
	noise->nonce++;
	return mix_hash(noise, (struct td_bytes){sealed, plain.length + TD_NOISE_TAG_BYTES});
}

static int decrypt_and_hash(struct td_noise *noise, struct td_bytes sealed, uint8_t *plain)
{
	size_t plain_length;
	EVP_CIPHER_CTX *context;
	int length = 0, last = 0, result = -EIO;

	if (sealed.length < TD_NOISE_TAG_BYTES)
		return -EBADMSG;
	plain_length = sealed.length - TD_NOISE_TAG_BYTES;
	context = cipher_start(noise, false);
	if (context &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TD_NOISE_TAG_BYTES,
	        (void *)(sealed.data + plain_length)) == 1 &&
	    (plain_length == 0 ||
	        EVP_DecryptUpdate(context, plain, &length, sealed.data, (int)plain_length) == 1))
		result = EVP_DecryptFinal_ex(context, plain + length, &last) == 1 ? 0 : -EBADMSG;
	EVP_CIPHER_CTX_free(context);
	if (result == 0) {
		noise->nonce++;
		return mix_hash(noise, sealed);
	}
	ERR_clear_error();
	td_wipe(plain, plain_length);
	return result;
}

// ---- tokens (section 5.3) ---------------------------------------------------------------------

// One call's work on a copy of the handshake, so that what fails has changed nothing.
struct run {
	struct td_noise noise;
	struct td_x25519 ephemeral; // ours, once it is needed
	// Writing or reading.
	struct td_writer *writer;
	td_noise_random_fn random;
	void *context;
	struct td_cursor *message;
};

static int mix_agreed(struct run *run, const struct td_x25519 *own, const uint8_t *peer)
{
	TD_SECRET_AUTO shared = {0};
	int result = td_x25519_agree(own, peer, &shared);

	return result ? result : mix_key(&run->noise, &shared, false);
}

// Our ephemeral key of an earlier message.
static int ephemeral_get(struct run *run)
{
	if (run->ephemeral.key)
		return 0;
	return td_x25519_import(&run->noise.ephemeral, run->noise.ephemeral_public, &run->ephemeral);
}

static int ephemeral_make(struct run *run)
{
	struct td_noise *noise = &run->noise;
	int result;

	noise->ephemeral.length = TD_X25519_BYTES;
	result = run->random(run->context, noise->ephemeral.bytes, TD_X25519_BYTES);
	if (result == 0)
		result = td_x25519_make(&noise->ephemeral, &run->ephemeral);
	if (result == 0)
		memcpy(noise->ephemeral_public, run->ephemeral.public_key, TD_X25519_BYTES);
	return result;
}

// With a psk the public key is mixed into the keys too (section 9.2).
static int token_e(struct run *run)
{
	struct td_noise *noise = &run->noise;
	TD_SECRET_AUTO mixed = {0};
	const uint8_t *key = noise->remote_ephemeral;
	int result;

	if (run->writer) {
		result = ephemeral_make(run);
		key = noise->ephemeral_public;
		td_writer_bytes(run->writer, key, TD_X25519_BYTES);
		if (result == 0 && run->writer->overflow)
			result = -ENOSPC;
	} else {
		result =
		    td_cursor_copy(run->message, noise->remote_ephemeral, TD_X25519_BYTES) ? 0 : -EBADMSG;
	}
	if (result == 0)
		result = mix_hash(noise, (struct td_bytes){key, TD_X25519_BYTES});
	if (result || !patterns[noise->pattern].psk)
		return result;
	secret_set(&mixed, key);
	return mix_key(noise, &mixed, false);
}

static int token_s(struct run *run)
{
	struct td_noise *noise = &run->noise;
	struct td_bytes sealed;

	if (run->writer)
		return encrypt_and_hash(
		    noise, (struct td_bytes){noise->own->public_key, TD_X25519_BYTES}, run->writer);
	if (!td_cursor_take(run->message, TD_X25519_BYTES + TD_NOISE_TAG_BYTES, &sealed))
		return -EBADMSG;
	return decrypt_and_hash(noise, sealed, noise->remote_static);
}

// The first letter is the initiator's key.
static int token_agree(struct run *run, enum token token)
{
	const struct td_noise *noise = &run->noise;
	bool own_static = token == SS || token == (noise->initiator ? SE : ES);
	bool remote_static = token == SS || token == (noise->initiator ? ES : SE);
	int result = own_static ? 0 : ephemeral_get(run);

	if (result)
		return result;
	return mix_agreed(run, own_static ? noise->own : &run->ephemeral,
	    remote_static ? noise->remote_static : noise->remote_ephemeral);
}

static int token_do(struct run *run, enum token token)
{
	switch (token) {
	case E:
		return token_e(run);
	case S:
		return token_s(run);
	case PSK:
		return mix_key(&run->noise, &run->noise.psk, true);
	default:
		return token_agree(run, token);
	}
}

static enum token token_next(const struct td_noise *noise)
{
	return patterns[noise->pattern].messages[noise->message - 1][noise->token];
}

static int export_keep(struct td_noise *noise)
{
	const struct td_bytes parts[] = {
	    {(const uint8_t *)EXPORT_LABEL, sizeof(EXPORT_LABEL) - 1},
	    {&noise->message, 1},
	    {noise->hash, sizeof(noise->hash)},
	};

	noise->exported.length = TD_NOISE_HASH_BYTES;
	return td_prf(TD_PRF_SHA2_256, secret_bytes(&noise->chaining_key), parts, 3, noise->exported.bytes);
}

// Does the tokens that are left, to the end or behind the one named.
static int tokens_do(struct run *run, enum token last)
{
	struct td_noise *noise = &run->noise;
	enum token token;
	int result = 0;

	while (result == 0 && (token = token_next(noise)) != END) {
		result = token_do(run, token);
		noise->token++;
		if (token == last)
			return result;
	}
	return result ? result : export_keep(noise);
}

static void run_end(struct run *run, struct td_noise *noise, int result)
{
	if (result == 0)
		*noise = run->noise;
	td_x25519_free(&run->ephemeral);
	td_noise_wipe(&run->noise);
}

// ---- the handshake ----------------------------------------------------------------------------

static bool is_ours(const struct td_noise *noise)
{
	return noise->message <= 2 && (noise->message == 1) == noise->initiator;
}

static bool is_peers(const struct td_noise *noise)
{
	return noise->message <= 2 && (noise->message == 1) != noise->initiator;
}

static bool lacks_psk(const struct td_noise *noise)
{
	return patterns[noise->pattern].psk && noise->psk.length == 0;
}

int td_noise_start(struct td_noise *noise, const struct td_noise_setup *setup)
{
	const struct pattern *pattern = &patterns[setup->pattern];
	const uint8_t *responder = setup->initiator ? setup->remote : setup->own->public_key;
	int result;

	*noise = (struct td_noise){
	    .pattern = setup->pattern,
	    .initiator = setup->initiator,
	    .message = 1,
	    .own = setup->own,
	};
	if (setup->initiator)
		memcpy(noise->remote_static, setup->remote, TD_X25519_BYTES);
	memcpy(noise->hash, pattern->name, strlen(pattern->name));
	secret_set(&noise->chaining_key, noise->hash);
	result = mix_hash(noise, setup->prologue);
	// The pre-message of both patterns: "<- s".
	return result ? result : mix_hash(noise, (struct td_bytes){responder, TD_X25519_BYTES});
}

void td_noise_wipe(struct td_noise *noise)
{
	td_wipe(noise, sizeof(*noise));
}

int td_noise_psk_set(struct td_noise *noise, const struct td_secret *psk)
{
	if (psk->length != TD_NOISE_KEY_BYTES)
		return -EINVAL;
	noise->psk = *psk;
	return 0;
}

int td_noise_write_tokens(
    struct td_noise *noise, td_noise_random_fn random, void *context, struct td_writer *writer)
{
	struct run run = {.noise = *noise, .writer = writer, .random = random, .context = context};
	struct td_writer before = *writer;
	int result = -EINVAL;

	if (is_ours(noise) && noise->token == 0 && !(noise->message == 2 && lacks_psk(noise)))
		result = tokens_do(&run, END);
	if (result)
		*writer = before;
	run_end(&run, noise, result);
	return result;
}

int td_noise_write_payload(struct td_noise *noise, struct td_bytes plain, struct td_writer *writer)
{
	struct run run = {.noise = *noise};
	struct td_writer before = *writer;
	int result = -EINVAL;

	if (is_ours(noise) && token_next(noise) == END)
		result = encrypt_and_hash(&run.noise, plain, writer);
	if (result)
		*writer = before;
	run.noise.message++;
	run.noise.token = 0;
	run_end(&run, noise, result);
	return result;
}

static int read_until(struct td_noise *noise, struct td_cursor *message, enum token last)
{
	struct td_cursor ahead = *message;
	struct run run = {.noise = *noise, .message = &ahead};
	int result = tokens_do(&run, last);

	if (result == 0)
		*message = ahead;
	run_end(&run, noise, result);
	return result;
}

int td_noise_read_static(struct td_noise *noise, struct td_cursor *message)
{
	if (!is_peers(noise) || noise->token > 0)
		return -EINVAL;
	if (noise->pattern != TD_NOISE_IK || noise->message != 1)
		return 0;
	return read_until(noise, message, S);
}

int td_noise_read_tokens(struct td_noise *noise, struct td_cursor *message)
{
	if (!is_peers(noise) || token_next(noise) == END || (noise->message == 2 && lacks_psk(noise)))
		return -EINVAL;
	return read_until(noise, message, END);
}

int td_noise_read_payload(struct td_noise *noise, struct td_cursor *message, uint8_t *plain, size_t *length)
{
	struct run run = {.noise = *noise};
	struct td_cursor ahead = *message;
	struct td_bytes sealed = td_cursor_rest(&ahead);
	int result = -EINVAL;

	if (is_peers(noise) && token_next(noise) == END)
		result = decrypt_and_hash(&run.noise, sealed, plain);
	if (result == 0) {
		*length = sealed.length - TD_NOISE_TAG_BYTES;
		*message = ahead;
	}
	run.noise.message++;
	run.noise.token = 0;
	run_end(&run, noise, result);
	return result;
}

int td_noise_export(const struct td_noise *noise, struct td_secret *secret)
{
	bool of_first = noise->message == 1 || (noise->message == 2 && noise->token == 0);
	const struct td_bytes exported = secret_bytes(&noise->exported);

	if (exported.length == 0 || (of_first && lacks_psk(noise)))
		return -EINVAL;
	*secret = noise->exported;
	if (!of_first || !patterns[noise->pattern].psk)
		return 0;
	return td_prf(TD_PRF_SHA2_256, secret_bytes(&noise->psk), &exported, 1, secret->bytes);
}

int td_noise_split(const struct td_noise *noise, struct td_secret *k1, struct td_secret *k2)
{
	uint8_t out[HKDF_OUTPUTS_MAX][TD_NOISE_KEY_BYTES];
	int result;

	if (noise->message != 3)
		return -EINVAL;
	result = hkdf(&noise->chaining_key, (struct td_bytes){0}, 2, out);
	if (result == 0) {
		secret_set(k1, out[0]);
		secret_set(k2, out[1]);
	}
	td_wipe(out, sizeof(out));
	return result;
}

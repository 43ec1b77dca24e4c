// SPDX-License-Identifier: BSD-3-Clause
// AES-CBC (RFC 3602), AES-CTR (RFC 3686) and NULL (RFC 2410), each with HMAC-SHA-2 (RFC 4868). The
// synchronous bursts of the library cipher, then hash, several packets side by side, and keep no job.

#include "common/secret.h"
#include "dataplane/suite_family.h"

#define HMAC_BLOCK_MAX_BYTES IMB_SHA_512_BLOCK_SIZE
#define AES_BLOCK_BYTES 16
#define IV_KEY_BYTES 16

struct td_hmac_cipher {
	IMB_CIPHER_MODE mode;
	IMB_KEY_SIZE_BYTES key_bytes;
	unsigned nonce_bytes;
};

static const struct td_hmac_cipher cbc128 = {IMB_CIPHER_CBC, IMB_KEY_128_BYTES, 0};
static const struct td_hmac_cipher cbc192 = {IMB_CIPHER_CBC, IMB_KEY_192_BYTES, 0};
static const struct td_hmac_cipher cbc256 = {IMB_CIPHER_CBC, IMB_KEY_256_BYTES, 0};
static const struct td_hmac_cipher ctr128 = {IMB_CIPHER_CNTR, IMB_KEY_128_BYTES, TD_SALT_BYTES};
static const struct td_hmac_cipher ctr192 = {IMB_CIPHER_CNTR, IMB_KEY_192_BYTES, TD_SALT_BYTES};
static const struct td_hmac_cipher ctr256 = {IMB_CIPHER_CNTR, IMB_KEY_256_BYTES, TD_SALT_BYTES};
static const struct td_hmac_cipher null = {IMB_CIPHER_NULL, 0, 0};

static const struct td_hmac_hash sha256 = {IMB_AUTH_HMAC_SHA_256, 32, IMB_SHA_256_BLOCK_SIZE, 16};
static const struct td_hmac_hash sha384 = {IMB_AUTH_HMAC_SHA_384, 48, IMB_SHA_384_BLOCK_SIZE, 24};
static const struct td_hmac_hash sha512 = {IMB_AUTH_HMAC_SHA_512, 64, IMB_SHA_512_BLOCK_SIZE, 32};

// ---- keys -------------------------------------------------------------------------------------

static void aes_expand(
    IMB_MGR *mgr, IMB_KEY_SIZE_BYTES key_bytes, const uint8_t *key, struct td_hmac_schedule *schedule)
{
	switch (key_bytes) {
	case IMB_KEY_128_BYTES:
		IMB_AES_KEYEXP_128(mgr, key, schedule->encrypt, schedule->decrypt);
		break;
	case IMB_KEY_192_BYTES:
		IMB_AES_KEYEXP_192(mgr, key, schedule->encrypt, schedule->decrypt);
		break;
	case IMB_KEY_256_BYTES:
		IMB_AES_KEYEXP_256(mgr, key, schedule->encrypt, schedule->decrypt);
		break;
	}
}

// The state of the hash after the key, padded to a block and XORed with pad (RFC 2104 2).
static void hmac_state(
    IMB_MGR *mgr, const struct td_hmac_hash *hash, const uint8_t *key, uint8_t pad, uint8_t *state)
{
	uint8_t block[HMAC_BLOCK_MAX_BYTES];

	memset(block, pad, sizeof(block));
	for (unsigned i = 0; i < hash->key_bytes; i++)
		block[i] ^= key[i];
	if (hash->algorithm == IMB_AUTH_HMAC_SHA_256)
		IMB_SHA256_ONE_BLOCK(mgr, block, state);
	else if (hash->algorithm == IMB_AUTH_HMAC_SHA_384)
		IMB_SHA384_ONE_BLOCK(mgr, block, state);
	else
		IMB_SHA512_ONE_BLOCK(mgr, block, state);
	td_wipe(block, sizeof(block));
}

// A key for IVs that has nothing to do with the traffic key.
static int iv_key_draw(IMB_MGR *mgr, struct td_hmac_schedule *schedule)
{
	alignas(16) uint8_t unused[TD_AES_SCHEDULE_BYTES];
	uint8_t key[IV_KEY_BYTES];
	int error = td_random(key, sizeof(key));

	if (!error)
		IMB_AES_KEYEXP_128(mgr, key, schedule->iv_key, unused);
	td_wipe(key, sizeof(key));
	td_wipe(unused, sizeof(unused));
	return error;
}

// Keying material: encryption key, nonce of CTR (RFC 3686 5.1), integrity key (RFC 7296 2.17).
static int expand(IMB_MGR *mgr, const uint8_t *key, struct td_hmac_schedule *schedule,
    const struct td_hmac_cipher *cipher, const struct td_hmac_hash *hash)
{
	const uint8_t *nonce = key + cipher->key_bytes;
	const uint8_t *integrity = nonce + cipher->nonce_bytes;

	schedule->cipher = cipher;
	schedule->hash = hash;
	aes_expand(mgr, cipher->key_bytes, key, schedule);
	memcpy(schedule->nonce, nonce, cipher->nonce_bytes);
	hmac_state(mgr, hash, integrity, 0x36, schedule->inner);
	hmac_state(mgr, hash, integrity, 0x5c, schedule->outer);
	return cipher->mode == IMB_CIPHER_CBC ? iv_key_draw(mgr, schedule) : 0;
}

#define HMAC_EXPAND(cipher, hash)                                                                            \
	int td_##cipher##_##hash##_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)                  \
	{                                                                                                    \
		return expand(mgr, key, schedule, &cipher, &hash);                                           \
	}
TD_HMAC_SUITES(HMAC_EXPAND)

// ---- packets ----------------------------------------------------------------------------------

// Unique because the counter is, and unpredictable without the IV key (RFC 3602 3, CVE-2022-46397): one
// block of AES over the counter.
static void cbc_iv(IMB_MGR *mgr, const struct td_crypt_op *op)
{
	static const uint8_t zero[AES_BLOCK_BYTES];
	const struct td_hmac_schedule *schedule = op->schedule;
	alignas(16) uint8_t block[AES_BLOCK_BYTES] = {0};

	memcpy(block, &op->counter, sizeof(op->counter));
	// One block of CFB is the block cipher's output XORed with the input, here with nothing.
	IMB_AES128_CFB_ONE(mgr, td_op_iv(op), zero, block, schedule->iv_key, AES_BLOCK_BYTES);
}

static void ivs_write(IMB_MGR *mgr, IMB_CIPHER_MODE mode, const struct td_crypt_op *ops, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (mode == IMB_CIPHER_CBC)
			cbc_iv(mgr, &ops[i]);
		else if (mode == IMB_CIPHER_CNTR)
			td_counter_iv(&ops[i]);
}

static IMB_JOB cipher_job(const struct td_crypt_op *op, uint8_t *nonce)
{
	const struct td_hmac_schedule *schedule = op->schedule;
	bool cbc = schedule->cipher->mode == IMB_CIPHER_CBC;

	// RFC 3686 4: the library appends the block counter, which starts with 1.
	if (!cbc)
		td_nonce_fill(nonce, schedule->nonce, TD_SALT_BYTES, op);
	return (IMB_JOB){
	    .enc_keys = schedule->encrypt,
	    .dec_keys = schedule->decrypt,
	    .key_len_in_bytes = schedule->cipher->key_bytes,
	    .src = op->data,
	    .dst = op->data,
	    .msg_len_to_cipher_in_bytes = op->length,
	    .iv = cbc ? td_op_iv(op) : nonce,
	    .iv_len_in_bytes = cbc ? TD_CBC_IV_BYTES : TD_NONCE_BYTES,
	};
}

// Enciphers all packets, or deciphers those that are authentic. False: the library left some undone.
static bool cipher_all(
    IMB_MGR *mgr, const struct td_crypt_op *ops, unsigned count, IMB_CIPHER_DIRECTION direction)
{
	const struct td_hmac_cipher *cipher = ((const struct td_hmac_schedule *)ops->schedule)->cipher;
	uint8_t nonces[TD_BURST][TD_NONCE_BYTES];
	IMB_JOB jobs[TD_BURST];
	unsigned ready = 0;

	if (cipher->mode == IMB_CIPHER_NULL)
		return true;
	for (unsigned i = 0; i < count; i++)
		if (direction == IMB_DIR_ENCRYPT || ops[i].authentic) {
			jobs[ready] = cipher_job(&ops[i], nonces[ready]);
			ready++;
		}
	return ready == 0 || IMB_SUBMIT_CIPHER_BURST_NOCHECK(
	                         mgr, jobs, ready, cipher->mode, direction, cipher->key_bytes) == ready;
}

static IMB_JOB hash_job(const struct td_crypt_op *op, uint8_t *icv)
{
	const struct td_hmac_schedule *schedule = op->schedule;

	return (IMB_JOB){
	    .src = op->esp,
	    .msg_len_to_hash_in_bytes =
	        (uint64_t)(td_op_icv(op) - op->esp) + (op->esn ? sizeof(rte_be32_t) : 0),
	    .auth_tag_output = icv,
	    .auth_tag_output_len_in_bytes = schedule->hash->icv_bytes,
	    .u.HMAC._hashed_auth_key_xor_ipad = schedule->inner,
	    .u.HMAC._hashed_auth_key_xor_opad = schedule->outer,
	};
}

// What the high half of a sequence number covers meanwhile is put back: the ICV of ESP begins there.
bool td_hmac_hash(
    IMB_MGR *mgr, const struct td_crypt_op *ops, unsigned count, uint8_t (*icvs)[TD_ICV_MAX_BYTES])
{
	const struct td_hmac_hash *hash = ((const struct td_hmac_schedule *)ops->schedule)->hash;
	uint8_t covered[TD_BURST][sizeof(rte_be32_t)];
	IMB_JOB jobs[TD_BURST];

	for (unsigned i = 0; i < count; i++) {
		rte_be32_t high = rte_cpu_to_be_32((uint32_t)(ops[i].sequence >> 32));

		if (ops[i].esn) {
			memcpy(covered[i], td_op_icv(&ops[i]), sizeof(high));
			memcpy(td_op_icv(&ops[i]), &high, sizeof(high));
		}
		jobs[i] = hash_job(&ops[i], icvs[i]);
	}
	bool done = IMB_SUBMIT_HASH_BURST_NOCHECK(mgr, jobs, count, hash->algorithm) == count;
	for (unsigned i = 0; i < count; i++)
		if (ops[i].esn)
			memcpy(td_op_icv(&ops[i]), covered[i], sizeof(covered[i]));
	return done;
}

void td_hmac_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	const struct td_hmac_schedule *schedule = ops->schedule;
	uint8_t icvs[TD_BURST][TD_ICV_MAX_BYTES];

	ivs_write(mgr, schedule->cipher->mode, ops, count);
	bool done = cipher_all(mgr, ops, count, IMB_DIR_ENCRYPT) && td_hmac_hash(mgr, ops, count, icvs);
	for (unsigned i = 0; i < count; i++) {
		ops[i].failed = !done;
		if (done)
			memcpy(td_op_icv(&ops[i]), icvs[i], schedule->hash->icv_bytes);
	}
}

void td_hmac_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	const struct td_hmac_schedule *schedule = ops->schedule;
	uint8_t icvs[TD_BURST][TD_ICV_MAX_BYTES];
	bool done = td_hmac_hash(mgr, ops, count, icvs);

	for (unsigned i = 0; i < count; i++)
		ops[i].authentic =
		    done && td_icv_equal(icvs[i], td_op_icv(&ops[i]), schedule->hash->icv_bytes);
	done = cipher_all(mgr, ops, count, IMB_DIR_DECRYPT);
	for (unsigned i = 0; i < count; i++)
		ops[i].authentic &= done;
}

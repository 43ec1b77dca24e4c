// SPDX-License-Identifier: BSD-3-Clause
// AES-CCM (RFC 4309) and ChaCha20-Poly1305 (RFC 7634) by the job API: CCM has no other and runs several
// packets side by side, ChaCha20-Poly1305 is faster by it for short packets and alike for long ones.

#include "common/secret.h"
#include "dataplane/suite_family.h"

struct td_job_cipher {
	IMB_CIPHER_MODE mode;
	IMB_HASH_ALG hash;
	IMB_CHAIN_ORDER seal_order, open_order;
	unsigned key_bytes;
	unsigned salt_bytes;
};

// CCM authenticates the plaintext.
static const struct td_job_cipher ccm128 = {
    IMB_CIPHER_CCM, IMB_AUTH_AES_CCM, IMB_ORDER_HASH_CIPHER, IMB_ORDER_CIPHER_HASH, 16, TD_CCM_SALT_BYTES};
static const struct td_job_cipher ccm256 = {
    IMB_CIPHER_CCM, IMB_AUTH_AES_CCM, IMB_ORDER_HASH_CIPHER, IMB_ORDER_CIPHER_HASH, 32, TD_CCM_SALT_BYTES};
static const struct td_job_cipher chacha = {IMB_CIPHER_CHACHA20_POLY1305, IMB_AUTH_CHACHA20_POLY1305,
    IMB_ORDER_CIPHER_HASH, IMB_ORDER_HASH_CIPHER, 32, TD_SALT_BYTES};

// What a job points to until it is done.
struct scratch {
	uint8_t nonce[TD_NONCE_BYTES];
	uint8_t aad[TD_ESP_AAD_MAX_BYTES];
	uint8_t icv[TD_AEAD_ICV_BYTES];
};

int td_ccm128_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)
{
	struct td_job_schedule *job = schedule;
	alignas(16) uint8_t unused[TD_AES_SCHEDULE_BYTES];

	IMB_AES_KEYEXP_128(mgr, key, job->key, unused);
	td_wipe(unused, sizeof(unused));
	memcpy(job->salt, key + ccm128.key_bytes, TD_CCM_SALT_BYTES);
	job->cipher = &ccm128;
	return 0;
}

int td_ccm256_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)
{
	struct td_job_schedule *job = schedule;
	alignas(16) uint8_t unused[TD_AES_SCHEDULE_BYTES];

	IMB_AES_KEYEXP_256(mgr, key, job->key, unused);
	td_wipe(unused, sizeof(unused));
	memcpy(job->salt, key + ccm256.key_bytes, TD_CCM_SALT_BYTES);
	job->cipher = &ccm256;
	return 0;
}

int td_chacha_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)
{
	struct td_job_schedule *job = schedule;

	(void)mgr;
	memcpy(job->key, key, chacha.key_bytes);
	memcpy(job->salt, key + chacha.key_bytes, TD_SALT_BYTES);
	job->cipher = &chacha;
	return 0;
}

static void job_fill(
    IMB_JOB *job, struct scratch *scratch, const struct td_crypt_op *op, IMB_CIPHER_DIRECTION direction)
{
	const struct td_job_schedule *schedule = op->schedule;
	const struct td_job_cipher *cipher = schedule->cipher;
	bool seal = direction == IMB_DIR_ENCRYPT;

	td_nonce_fill(scratch->nonce, schedule->salt, cipher->salt_bytes, op);
	*job = (IMB_JOB){
	    .enc_keys = schedule->key,
	    .dec_keys = schedule->key,
	    .key_len_in_bytes = cipher->key_bytes,
	    .src = op->data,
	    .dst = op->data,
	    .msg_len_to_cipher_in_bytes = op->length,
	    .msg_len_to_hash_in_bytes = op->length,
	    .iv = scratch->nonce,
	    .iv_len_in_bytes = cipher->salt_bytes + TD_COUNTER_IV_BYTES,
	    .auth_tag_output = seal ? td_op_icv(op) : scratch->icv,
	    .auth_tag_output_len_in_bytes = TD_AEAD_ICV_BYTES,
	    .cipher_mode = cipher->mode,
	    .cipher_direction = direction,
	    .hash_alg = cipher->hash,
	    .chain_order = seal ? cipher->seal_order : cipher->open_order,
	};
	if (cipher->mode == IMB_CIPHER_CCM) {
		job->u.CCM.aad = scratch->aad;
		job->u.CCM.aad_len_in_bytes = td_esp_aad(scratch->aad, op);
	} else {
		job->u.CHACHA20_POLY1305.aad = scratch->aad;
		job->u.CHACHA20_POLY1305.aad_len_in_bytes = td_esp_aad(scratch->aad, op);
	}
}

// Submits all, then flushes all. False: the library left jobs undone.
static bool jobs_run(IMB_MGR *mgr, struct scratch *scratch, const struct td_crypt_op *ops, unsigned count,
    IMB_CIPHER_DIRECTION direction)
{
	IMB_JOB *jobs[TD_BURST];

	if (IMB_GET_NEXT_BURST(mgr, count, jobs) != count)
		return false;
	for (unsigned i = 0; i < count; i++)
		job_fill(jobs[i], &scratch[i], &ops[i], direction);
	unsigned done = IMB_SUBMIT_BURST_NOCHECK(mgr, count, jobs);
	if (done < count)
		done += IMB_FLUSH_BURST(mgr, count - done, jobs);
	return done == count;
}

void td_job_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	struct scratch scratch[TD_BURST];

	for (unsigned i = 0; i < count; i++)
		td_counter_iv(&ops[i]);
	bool done = jobs_run(mgr, scratch, ops, count, IMB_DIR_ENCRYPT);
	for (unsigned i = 0; i < count; i++)
		ops[i].failed = !done;
}

void td_job_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	struct scratch scratch[TD_BURST];
	bool done = jobs_run(mgr, scratch, ops, count, IMB_DIR_DECRYPT);

	for (unsigned i = 0; i < count; i++)
		ops[i].authentic =
		    done && td_icv_equal(scratch[i].icv, td_op_icv(&ops[i]), TD_AEAD_ICV_BYTES);
}

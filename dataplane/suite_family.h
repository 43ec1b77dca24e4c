// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the families of suites (suite_gcm.c, suite_gmac.c, suite_job.c, suite_hmac.c) share, and what
// they give to the table in suite.c.

#include "dataplane/esp.h"
#include "dataplane/suite.h"

#include <stdalign.h>

#define TD_SALT_BYTES 4 // of GCM, GMAC and ChaCha20-Poly1305; the nonce of CTR (RFC 3686 4)
#define TD_CCM_SALT_BYTES 3 // RFC 4309 4
#define TD_COUNTER_IV_BYTES 8 // of all counter modes
#define TD_CBC_IV_BYTES 16 // RFC 3602 3
#define TD_NONCE_BYTES 12 // salt and counter IV
#define TD_AEAD_ICV_BYTES 16
#define TD_AES_SCHEDULE_BYTES (15 * 16) // round keys of AES-256
#define TD_HMAC_STATE_BYTES 64 // of SHA-512; SHA-256 has half of it

// GCM and GMAC.
struct td_gcm_schedule {
	struct gcm_key_data key;
	uint8_t salt[TD_SALT_BYTES];
} __attribute__((aligned(64)));

struct td_job_cipher;
// CCM: round keys. ChaCha20: the key itself.
struct td_job_schedule {
	alignas(64) uint8_t key[TD_AES_SCHEDULE_BYTES];
	uint8_t salt[TD_SALT_BYTES];
	const struct td_job_cipher *cipher;
};

struct td_hmac_cipher;
struct td_hmac_hash {
	IMB_HASH_ALG algorithm;
	unsigned key_bytes; // RFC 4868 2.6: that of the digest
	unsigned block_bytes;
	unsigned icv_bytes; // half of the digest
};
struct td_hmac_schedule {
	alignas(64) uint8_t encrypt[TD_AES_SCHEDULE_BYTES];
	alignas(16) uint8_t decrypt[TD_AES_SCHEDULE_BYTES]; // CBC
	alignas(16) uint8_t iv_key[11 * 16]; // CBC: AES-128 round keys that make IVs
	// Hash states after the padded key (RFC 2104).
	alignas(16) uint8_t inner[TD_HMAC_STATE_BYTES];
	alignas(16) uint8_t outer[TD_HMAC_STATE_BYTES];
	uint8_t nonce[TD_SALT_BYTES]; // CTR
	const struct td_hmac_cipher *cipher;
	const struct td_hmac_hash *hash;
};

_Static_assert(sizeof(struct td_gcm_schedule) <= TD_SCHEDULE_MAX_BYTES, "GCM fits an SA");
_Static_assert(sizeof(struct td_hmac_schedule) <= TD_SCHEDULE_MAX_BYTES, "CBC with HMAC fits an SA");

#define TD_EXPAND_DECLARE(name) int td_##name##_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule);
#define TD_CRYPT_DECLARE(name)                                                                               \
	void td_##name##_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);                        \
	void td_##name##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count);

TD_EXPAND_DECLARE(gcm128)
TD_EXPAND_DECLARE(gcm192)
TD_EXPAND_DECLARE(gcm256)
TD_CRYPT_DECLARE(gcm128)
TD_CRYPT_DECLARE(gcm192)
TD_CRYPT_DECLARE(gcm256)
// GMAC expands as GCM does.
TD_CRYPT_DECLARE(gmac128)
TD_CRYPT_DECLARE(gmac192)
TD_CRYPT_DECLARE(gmac256)

TD_EXPAND_DECLARE(ccm128)
TD_EXPAND_DECLARE(ccm256)
TD_EXPAND_DECLARE(chacha)
TD_CRYPT_DECLARE(job)

// X(cipher, hash) for every cipher with HMAC.
#define TD_HMAC_SUITES_OF(X, cipher) X(cipher, sha256) X(cipher, sha384) X(cipher, sha512)
#define TD_HMAC_SUITES(X)                                                                                    \
	TD_HMAC_SUITES_OF(X, cbc128)                                                                         \
	TD_HMAC_SUITES_OF(X, cbc192)                                                                         \
	TD_HMAC_SUITES_OF(X, cbc256)                                                                         \
	TD_HMAC_SUITES_OF(X, ctr128)                                                                         \
	TD_HMAC_SUITES_OF(X, ctr192)                                                                         \
	TD_HMAC_SUITES_OF(X, ctr256)                                                                         \
	TD_HMAC_SUITES_OF(X, null)

#define TD_HMAC_DECLARE(cipher, hash) TD_EXPAND_DECLARE(cipher##_##hash)
TD_HMAC_SUITES(TD_HMAC_DECLARE)
TD_CRYPT_DECLARE(hmac)
// AH expands as NULL with HMAC, and as GCM.
TD_CRYPT_DECLARE(auth_hmac)
TD_CRYPT_DECLARE(auth_gmac128)
TD_CRYPT_DECLARE(auth_gmac192)
TD_CRYPT_DECLARE(auth_gmac256)

// The HMAC of each packet from op->esp to the end of its data, and behind that, where four bytes must be
// there, the high half of a 64-bit sequence number, which is not sent (RFC 4303 2.2.1, RFC 4302 3.3.3.2.2).
// False: the library left jobs undone.
bool td_hmac_hash(
    IMB_MGR *mgr, const struct td_crypt_op *ops, unsigned count, uint8_t (*icvs)[TD_ICV_MAX_BYTES]);

// Constant time: the position of the first wrong byte must not show. length is a multiple of 8.
static inline bool td_icv_equal(const uint8_t *a, const uint8_t *b, unsigned length)
{
	uint64_t difference = 0;

	for (unsigned i = 0; i < length; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		difference |= x ^ y;
	}
	return difference == 0;
}

static inline uint8_t *td_op_iv(const struct td_crypt_op *op)
{
	return op->esp + sizeof(struct rte_esp_hdr);
}

static inline uint8_t *td_op_icv(const struct td_crypt_op *op)
{
	return op->data + op->length;
}

// Unique under the key because the counter is (RFC 4106 3.1).
static inline void td_counter_iv(const struct td_crypt_op *op)
{
	rte_be64_t iv = rte_cpu_to_be_64(op->counter);

	memcpy(td_op_iv(op), &iv, sizeof(iv));
}

// Salt and explicit IV (RFC 4106 4, RFC 4309 4, RFC 7634 2).
static inline void td_nonce_fill(
    uint8_t *nonce, const uint8_t *salt, unsigned salt_bytes, const struct td_crypt_op *op)
{
	memcpy(nonce, salt, salt_bytes);
	memcpy(nonce + salt_bytes, td_op_iv(op), TD_COUNTER_IV_BYTES);
}

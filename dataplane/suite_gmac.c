// SPDX-License-Identifier: BSD-3-Clause
// NULL encryption with AES-GMAC (RFC 4543): ESP header, IV and data are authenticated, nothing is encrypted.
// The direct calls are faster than the job API at every length.

#include "dataplane/suite_family.h"

// With ESN the high half of the sequence number goes between SPI and low half (RFC 4543 3.3): then the ESP
// header is hashed from a copy.
#define GMAC_SUITE(bits)                                                                                     \
	static void gmac##bits##_compute(IMB_MGR *mgr, const struct td_crypt_op *op, uint8_t *icv)           \
	{                                                                                                    \
		const struct td_gcm_schedule *gcm = op->schedule;                                            \
		struct gcm_context_data context;                                                             \
		uint8_t nonce[TD_NONCE_BYTES], aad[TD_ESP_AAD_MAX_BYTES];                                    \
		const uint8_t *start = op->esp;                                                              \
                                                                                                             \
		td_nonce_fill(nonce, gcm->salt, TD_SALT_BYTES, op);                                          \
		IMB_AES##bits##_GMAC_INIT(mgr, &gcm->key, &context, nonce, TD_NONCE_BYTES);                  \
		if (op->esn) {                                                                               \
			start = td_op_iv(op);                                                                \
			IMB_AES##bits##_GMAC_UPDATE(mgr, &gcm->key, &context, aad, td_esp_aad(aad, op));     \
		}                                                                                            \
		IMB_AES##bits##_GMAC_UPDATE(                                                                 \
		    mgr, &gcm->key, &context, start, (uint64_t)(td_op_icv(op) - start));                     \
		IMB_AES##bits##_GMAC_FINALIZE(mgr, &gcm->key, &context, icv, TD_AEAD_ICV_BYTES);             \
	}                                                                                                    \
	void td_gmac##bits##_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                     \
	{                                                                                                    \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			td_counter_iv(op);                                                                   \
			gmac##bits##_compute(mgr, op, td_op_icv(op));                                        \
		}                                                                                            \
	}                                                                                                    \
	void td_gmac##bits##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                     \
	{                                                                                                    \
		uint8_t icv[TD_AEAD_ICV_BYTES];                                                              \
                                                                                                             \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			gmac##bits##_compute(mgr, op, icv);                                                  \
			op->authentic = td_icv_equal(icv, td_op_icv(op), TD_AEAD_ICV_BYTES);                 \
		}                                                                                            \
	}

GMAC_SUITE(128)
GMAC_SUITE(192)
GMAC_SUITE(256)

// SPDX-License-Identifier: BSD-3-Clause
// AES-GCM (RFC 4106). The direct calls cost half of the job API for 64-byte packets (docs/architecture.md).

#include "dataplane/suite_family.h"

#define GCM_SUITE(bits)                                                                                      \
	int td_gcm##bits##_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)                          \
	{                                                                                                    \
		struct td_gcm_schedule *gcm = schedule;                                                      \
                                                                                                             \
		IMB_AES##bits##_GCM_PRE(mgr, key, &gcm->key);                                                \
		memcpy(gcm->salt, key + bits / 8, TD_SALT_BYTES);                                            \
		return 0;                                                                                    \
	}                                                                                                    \
	void td_gcm##bits##_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                      \
	{                                                                                                    \
		struct gcm_context_data context;                                                             \
		uint8_t nonce[TD_NONCE_BYTES], aad[TD_ESP_AAD_MAX_BYTES];                                    \
                                                                                                             \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			const struct td_gcm_schedule *gcm = op->schedule;                                    \
                                                                                                             \
			td_counter_iv(op);                                                                   \
			td_nonce_fill(nonce, gcm->salt, TD_SALT_BYTES, op);                                  \
			IMB_AES##bits##_GCM_ENC(mgr, &gcm->key, &context, op->data, op->data, op->length,    \
			    nonce, aad, td_esp_aad(aad, op), td_op_icv(op), TD_AEAD_ICV_BYTES);              \
		}                                                                                            \
	}                                                                                                    \
	void td_gcm##bits##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                      \
	{                                                                                                    \
		struct gcm_context_data context;                                                             \
		uint8_t nonce[TD_NONCE_BYTES], aad[TD_ESP_AAD_MAX_BYTES], icv[TD_AEAD_ICV_BYTES];            \
                                                                                                             \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			const struct td_gcm_schedule *gcm = op->schedule;                                    \
                                                                                                             \
			td_nonce_fill(nonce, gcm->salt, TD_SALT_BYTES, op);                                  \
			IMB_AES##bits##_GCM_DEC(mgr, &gcm->key, &context, op->data, op->data, op->length,    \
			    nonce, aad, td_esp_aad(aad, op), icv, TD_AEAD_ICV_BYTES);                        \
			op->authentic = td_icv_equal(icv, td_op_icv(op), TD_AEAD_ICV_BYTES);                 \
		}                                                                                            \
	}

GCM_SUITE(128)
GCM_SUITE(192)
GCM_SUITE(256)

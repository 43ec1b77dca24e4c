// SPDX-License-Identifier: BSD-3-Clause
// AES-GCM (RFC 4106). The direct calls cost half of the job API for 64-byte packets (docs/architecture.md).

#include "dataplane/suite_family.h"

// What a packet's call reads beside the packet. The library loads each of these as a vector, which has to
// wait for the narrow stores of just before to reach the cache: so those of all packets are written first.
struct input {
	alignas(32) uint8_t nonce[16], aad[16]; // of which the first TD_NONCE_BYTES and aad_bytes count
};

static inline void inputs_fill(struct input *inputs, const struct td_crypt_op *ops, unsigned count, bool seal)
{
	for (unsigned i = 0; i < count; i++) {
		const struct td_gcm_schedule *gcm = ops[i].schedule;

		if (seal)
			td_counter_iv(&ops[i]);
		td_nonce_fill(inputs[i].nonce, gcm->salt, TD_SALT_BYTES, &ops[i]);
		(void)td_esp_aad(inputs[i].aad, &ops[i]);
	}
}

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
		struct input inputs[TD_BURST];                                                               \
                                                                                                             \
		inputs_fill(inputs, ops, count, true);                                                       \
		for (unsigned i = 0; i < count; i++) {                                                       \
			const struct td_gcm_schedule *gcm = ops[i].schedule;                                 \
                                                                                                             \
			IMB_AES##bits##_GCM_ENC(mgr, &gcm->key, &context, ops[i].data, ops[i].data,          \
			    ops[i].length, inputs[i].nonce, inputs[i].aad, td_esp_aad_bytes(&ops[i]),        \
			    td_op_icv(&ops[i]), TD_AEAD_ICV_BYTES);                                          \
		}                                                                                            \
	}                                                                                                    \
	void td_gcm##bits##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                      \
	{                                                                                                    \
		struct gcm_context_data context;                                                             \
		struct input inputs[TD_BURST];                                                               \
		uint8_t icvs[TD_BURST][TD_AEAD_ICV_BYTES];                                                   \
                                                                                                             \
		inputs_fill(inputs, ops, count, false);                                                      \
		for (unsigned i = 0; i < count; i++) {                                                       \
			const struct td_gcm_schedule *gcm = ops[i].schedule;                                 \
                                                                                                             \
			IMB_AES##bits##_GCM_DEC(mgr, &gcm->key, &context, ops[i].data, ops[i].data,          \
			    ops[i].length, inputs[i].nonce, inputs[i].aad, td_esp_aad_bytes(&ops[i]),        \
			    icvs[i], TD_AEAD_ICV_BYTES);                                                     \
		}                                                                                            \
		for (unsigned i = 0; i < count; i++)                                                         \
			ops[i].authentic = td_icv_equal(icvs[i], td_op_icv(&ops[i]), TD_AEAD_ICV_BYTES);     \
	}

GCM_SUITE(128)
GCM_SUITE(192)
GCM_SUITE(256)

// SPDX-License-Identifier: BSD-3-Clause
#include "bench/path/raw.h"

#include "bench/path/gateway.h"
#include "dataplane/suite_family.h"
#include "dataplane/worker.h"

// Where the inner packet lies, with what a tunnel puts in front of it.
#define FRONT_BYTES                                                                                          \
	(RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_esp_hdr) + TD_COUNTER_IV_BYTES)

static void ops_fill(struct td_path_packets *packets, unsigned suite, bool seal, struct td_crypt_op *ops)
{
	for (unsigned i = 0; i < TD_PATH_PACKETS; i++) {
		struct rte_mbuf *mbuf = seal ? packets->plain[i] : packets->sealed[i];
		uint8_t *start = (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
		uint8_t *data = start + (seal ? RTE_ETHER_HDR_LEN : FRONT_BYTES);

		ops[i] = (struct td_crypt_op){
		    .schedule = td_path_far_schedule(),
		    .esp = data - td_dp_suite_info(suite)->iv_bytes - sizeof(struct rte_esp_hdr),
		    .data = data,
		    .length = td_path_sealed_bytes(suite, packets->sizes[i]),
		    .sequence = i,
		    .counter = i,
		    .esn = true,
		};
	}
}

#define GCM_RAW(bits)                                                                                        \
	static void gcm##bits##_raw(const struct td_crypt_op *ops, bool seal)                                \
	{                                                                                                    \
		IMB_MGR *mgr = td_dp.workers[0]->mgr;                                                        \
		const struct gcm_key_data *key =                                                             \
		    &((const struct td_gcm_schedule *)td_path_far_schedule())->key;                          \
		uint8_t nonce[TD_NONCE_BYTES] = {0}, aad[TD_ESP_AAD_MAX_BYTES] = {0};                        \
		uint8_t icv[TD_AEAD_ICV_BYTES];                                                              \
		struct gcm_context_data context;                                                             \
                                                                                                             \
		for (const struct td_crypt_op *op = ops; op < ops + TD_PATH_PACKETS; op++)                   \
			if (seal)                                                                            \
				IMB_AES##bits##_GCM_ENC(mgr, key, &context, op->data, op->data, op->length,  \
				    nonce, aad, sizeof(aad), td_op_icv(op), TD_AEAD_ICV_BYTES);              \
			else                                                                                 \
				IMB_AES##bits##_GCM_DEC(mgr, key, &context, op->data, op->data, op->length,  \
				    nonce, aad, sizeof(aad), icv, TD_AEAD_ICV_BYTES);                        \
	}
GCM_RAW(128)
GCM_RAW(192)
GCM_RAW(256)

static void suite_raw(struct td_crypt_op *ops, const struct td_suite *suite, bool seal)
{
	for (unsigned first = 0; first < TD_PATH_PACKETS; first += TD_BURST)
		(seal ? suite->seal : suite->open)(td_dp.workers[0]->mgr, &ops[first], TD_BURST);
}

uint64_t td_path_raw_cycles(struct td_path_packets *packets, unsigned number, bool seal)
{
	static struct td_crypt_op ops[TD_PATH_PACKETS];
	const struct td_suite *suite = td_suite_at(number);

	ops_fill(packets, number, seal, ops);
	uint64_t start = rte_rdtsc_precise();
	if (suite->seal == td_gcm128_seal)
		gcm128_raw(ops, seal);
	else if (suite->seal == td_gcm192_seal)
		gcm192_raw(ops, seal);
	else if (suite->seal == td_gcm256_seal)
		gcm256_raw(ops, seal);
	else
		suite_raw(ops, suite, seal);
	return rte_rdtsc_precise() - start;
}

// SPDX-License-Identifier: BSD-3-Clause
// AH's integrity algorithms: HMAC-SHA-2 (RFC 4868) and AES-GMAC (RFC 4543). The ICV covers the packet from
// its IP header to its end (RFC 4302 3.3.3). For as long as it is computed, what it does not cover is zero in
// the packet itself: the mutable fields in front of AH, and IV and ICV.

#include "dataplane/ah.h"
#include "dataplane/suite_family.h"

#define GMAC_FIELD_BYTES (TD_COUNTER_IV_BYTES + TD_AEAD_ICV_BYTES)

// What a packet has to do without meanwhile.
struct aside {
	uint8_t headers[TD_AH_HEADERS_MAX];
	uint8_t field[TD_ICV_MAX_BYTES]; // IV and ICV
};

_Static_assert(GMAC_FIELD_BYTES <= TD_ICV_MAX_BYTES, "IV and ICV of GMAC fit");

static uint32_t headers_bytes(const struct td_crypt_op *op)
{
	return (uint32_t)(op->data - op->esp) - (uint32_t)sizeof(struct td_ah);
}

static void put_aside(struct aside *aside, const struct td_crypt_op *op, unsigned field_bytes)
{
	memcpy(aside->headers, op->esp, headers_bytes(op));
	memcpy(aside->field, op->data, field_bytes);
	memset(op->data, 0, field_bytes);
	td_ah_mute(op->esp, headers_bytes(op));
}

static void put_back(const struct aside *aside, const struct td_crypt_op *op)
{
	memcpy(op->esp, aside->headers, headers_bytes(op));
}

void td_auth_hmac_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	unsigned bytes = ((const struct td_hmac_schedule *)ops->schedule)->hash->icv_bytes;
	uint8_t icvs[TD_BURST][TD_ICV_MAX_BYTES];
	struct aside asides[TD_BURST];

	for (unsigned i = 0; i < count; i++)
		put_aside(&asides[i], &ops[i], bytes);
	bool done = td_hmac_hash(mgr, ops, count, icvs);
	for (unsigned i = 0; i < count; i++) {
		ops[i].failed = !done;
		put_back(&asides[i], &ops[i]);
		if (!done)
			continue;
		memcpy(ops[i].data, icvs[i], bytes);
	}
}

void td_auth_hmac_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)
{
	unsigned bytes = ((const struct td_hmac_schedule *)ops->schedule)->hash->icv_bytes;
	uint8_t icvs[TD_BURST][TD_ICV_MAX_BYTES];
	struct aside asides[TD_BURST];

	for (unsigned i = 0; i < count; i++)
		put_aside(&asides[i], &ops[i], bytes);
	bool done = td_hmac_hash(mgr, ops, count, icvs);
	for (unsigned i = 0; i < count; i++) {
		put_back(&asides[i], &ops[i]);
		ops[i].authentic = done && td_icv_equal(icvs[i], asides[i].field, bytes);
	}
}

// The high half of a 64-bit sequence number goes behind the packet (RFC 4302 3.3.3.2.2). The IV is covered as
// the nonce.
#define AUTH_GMAC(bits)                                                                                      \
	static void gmac##bits##_compute(                                                                    \
	    IMB_MGR *mgr, const struct td_crypt_op *op, const uint8_t *iv, uint8_t *icv)                     \
	{                                                                                                    \
		const struct td_gcm_schedule *gcm = op->schedule;                                            \
		rte_be32_t high = rte_cpu_to_be_32((uint32_t)(op->sequence >> 32));                          \
		struct gcm_context_data context;                                                             \
		uint8_t nonce[TD_NONCE_BYTES];                                                               \
                                                                                                             \
		memcpy(nonce, gcm->salt, TD_SALT_BYTES);                                                     \
		memcpy(nonce + TD_SALT_BYTES, iv, TD_COUNTER_IV_BYTES);                                      \
		IMB_AES##bits##_GMAC_INIT(mgr, &gcm->key, &context, nonce, TD_NONCE_BYTES);                  \
		IMB_AES##bits##_GMAC_UPDATE(                                                                 \
		    mgr, &gcm->key, &context, op->esp, (uint64_t)(op->data + op->length - op->esp));         \
		if (op->esn)                                                                                 \
			IMB_AES##bits##_GMAC_UPDATE(                                                         \
			    mgr, &gcm->key, &context, (const uint8_t *)&high, sizeof(high));                 \
		IMB_AES##bits##_GMAC_FINALIZE(mgr, &gcm->key, &context, icv, TD_AEAD_ICV_BYTES);             \
	}                                                                                                    \
	void td_auth_gmac##bits##_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                \
	{                                                                                                    \
		uint8_t field[GMAC_FIELD_BYTES];                                                             \
		struct aside aside;                                                                          \
                                                                                                             \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			rte_be64_t iv = rte_cpu_to_be_64(op->counter);                                       \
                                                                                                             \
			memcpy(field, &iv, sizeof(iv));                                                      \
			put_aside(&aside, op, GMAC_FIELD_BYTES);                                             \
			gmac##bits##_compute(mgr, op, field, field + TD_COUNTER_IV_BYTES);                   \
			put_back(&aside, op);                                                                \
			memcpy(op->data, field, sizeof(field));                                              \
		}                                                                                            \
	}                                                                                                    \
	void td_auth_gmac##bits##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                \
	{                                                                                                    \
		uint8_t icv[TD_AEAD_ICV_BYTES];                                                              \
		struct aside aside;                                                                          \
                                                                                                             \
		for (struct td_crypt_op *op = ops; op < ops + count; op++) {                                 \
			put_aside(&aside, op, GMAC_FIELD_BYTES);                                             \
			gmac##bits##_compute(mgr, op, aside.field, icv);                                     \
			put_back(&aside, op);                                                                \
			op->authentic =                                                                      \
			    td_icv_equal(icv, aside.field + TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES);         \
		}                                                                                            \
	}

AUTH_GMAC(128)
AUTH_GMAC(192)
AUTH_GMAC(256)

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/suite.h"

#include "common/secret.h"

#include <errno.h>
#include <string.h>

#define GCM_ICV_BYTES 16

// Constant time: the position of the first wrong byte must not show.
static bool icv_equal(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

// The direct GCM calls cost half of the job API for 64-byte packets (docs/architecture.md).
#define GCM_SUITE(bits)                                                                                      \
	static void gcm##bits##_expand(IMB_MGR *mgr, const uint8_t *key, void *schedule)                     \
	{                                                                                                    \
		IMB_AES##bits##_GCM_PRE(mgr, key, schedule);                                                 \
	}                                                                                                    \
	static void gcm##bits##_seal(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                  \
	{                                                                                                    \
		struct gcm_context_data context;                                                             \
                                                                                                             \
		for (unsigned i = 0; i < count; i++)                                                         \
			IMB_AES##bits##_GCM_ENC(mgr, ops[i].schedule, &context, ops[i].data, ops[i].data,    \
			    ops[i].length, ops[i].nonce, ops[i].aad, ops[i].aad_length, ops[i].icv,          \
			    GCM_ICV_BYTES);                                                                  \
	}                                                                                                    \
	static void gcm##bits##_open(IMB_MGR *mgr, struct td_crypt_op *ops, unsigned count)                  \
	{                                                                                                    \
		struct gcm_context_data context;                                                             \
		uint8_t icv[GCM_ICV_BYTES];                                                                  \
                                                                                                             \
		for (unsigned i = 0; i < count; i++) {                                                       \
			IMB_AES##bits##_GCM_DEC(mgr, ops[i].schedule, &context, ops[i].data, ops[i].data,    \
			    ops[i].length, ops[i].nonce, ops[i].aad, ops[i].aad_length, icv, GCM_ICV_BYTES); \
			ops[i].authentic = icv_equal(icv, ops[i].icv);                                       \
		}                                                                                            \
	}

GCM_SUITE(128)
GCM_SUITE(256)

#define GCM_ROW(bits)                                                                                        \
	{                                                                                                    \
		.info = {.name = "aes" #bits "gcm16",                                                        \
		    .key_bytes = bits / 8 + 4,                                                               \
		    .iv_bytes = 8,                                                                           \
		    .icv_bytes = GCM_ICV_BYTES,                                                              \
		    .reference = "RFC 4106"},                                                                \
		.salt_bytes = 4, .align = 4, .schedule_bytes = sizeof(struct gcm_key_data),                  \
		.expand = gcm##bits##_expand, .seal = gcm##bits##_seal, .open = gcm##bits##_open,            \
	}

static const struct td_suite suites[] = {GCM_ROW(128), GCM_ROW(256)};

const struct td_suite *td_suite_at(unsigned suite)
{
	return &suites[suite];
}

unsigned td_dp_suite_count(void)
{
	return sizeof(suites) / sizeof(suites[0]);
}

const struct td_suite_info *td_dp_suite_info(unsigned suite)
{
	return &suites[suite].info;
}

int td_dp_suite_find(const char *name)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++)
		if (strcmp(suites[i].info.name, name) == 0)
			return (int)i;
	return -ENOENT;
}

IMB_MGR *td_suite_manager_create(void)
{
	IMB_MGR *mgr = alloc_mb_mgr(0);

	if (!mgr)
		return NULL;
	init_mb_mgr_auto(mgr, NULL);
	if (imb_get_errno(mgr) != 0) {
		free_mb_mgr(mgr);
		return NULL;
	}
	return mgr;
}

void td_suite_manager_destroy(IMB_MGR *mgr)
{
	if (!mgr)
		return;
	td_wipe(mgr, imb_get_mb_mgr_size());
	free_mb_mgr(mgr);
}

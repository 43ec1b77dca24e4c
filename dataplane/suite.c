// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/suite.h"

#include "common/secret.h"
#include "dataplane/suite_family.h"

#include <errno.h>
#include <string.h>

// Without these the library emulates AES by tables, slowly and not in constant time.
#define NEEDS_AES IMB_FEATURE_AESNI
#define NEEDS_GCM (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)
#define NEEDS_LITTLE IMB_FEATURE_SSE4_2

#define GCM_ROW(bits)                                                                                        \
	{                                                                                                    \
		{"aes" #bits "gcm16", bits / 8 + TD_SALT_BYTES, TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES,      \
		    "RFC 4106", TD_SA_ESP},                                                                  \
		    4, sizeof(struct td_gcm_schedule), NEEDS_GCM, td_gcm##bits##_expand,                     \
		    td_gcm##bits##_seal, td_gcm##bits##_open,                                                \
	}
#define GMAC_ROW(bits)                                                                                       \
	{                                                                                                    \
		{"aes" #bits "gmac", bits / 8 + TD_SALT_BYTES, TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES,       \
		    "RFC 4543", TD_SA_ESP},                                                                  \
		    4, sizeof(struct td_gcm_schedule), NEEDS_GCM, td_gcm##bits##_expand,                     \
		    td_gmac##bits##_seal, td_gmac##bits##_open,                                              \
	}
#define CCM_ROW(bits)                                                                                        \
	{                                                                                                    \
		{"aes" #bits "ccm16", bits / 8 + TD_CCM_SALT_BYTES, TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES,  \
		    "RFC 4309", TD_SA_ESP},                                                                  \
		    4, sizeof(struct td_job_schedule), NEEDS_AES, td_ccm##bits##_expand, td_job_seal,        \
		    td_job_open,                                                                             \
	}
#define CHACHA_ROW                                                                                           \
	{                                                                                                    \
		{"chacha20poly1305", 32 + TD_SALT_BYTES, TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES, "RFC 7634", \
		    TD_SA_ESP},                                                                              \
		    4, sizeof(struct td_job_schedule), NEEDS_LITTLE, td_chacha_expand, td_job_seal,          \
		    td_job_open,                                                                             \
	}
// The integrity key is as long as the digest, the ICV half as long (RFC 4868 2.6).
#define CBC_ROW(bits, sha)                                                                                   \
	{                                                                                                    \
		{"aes" #bits "-sha" #sha, bits / 8 + sha / 8, TD_CBC_IV_BYTES, sha / 16,                     \
		    "RFC 3602, RFC 4868", TD_SA_ESP},                                                        \
		    16, sizeof(struct td_hmac_schedule), NEEDS_AES, td_cbc##bits##_sha##sha##_expand,        \
		    td_hmac_seal, td_hmac_open,                                                              \
	}
#define CTR_ROW(bits, sha)                                                                                   \
	{                                                                                                    \
		{"aes" #bits "ctr-sha" #sha, bits / 8 + TD_SALT_BYTES + sha / 8, TD_COUNTER_IV_BYTES,        \
		    sha / 16, "RFC 3686, RFC 4868", TD_SA_ESP},                                              \
		    4, sizeof(struct td_hmac_schedule), NEEDS_AES, td_ctr##bits##_sha##sha##_expand,         \
		    td_hmac_seal, td_hmac_open,                                                              \
	}
#define NULL_ROW(sha)                                                                                        \
	{                                                                                                    \
		{"null-sha" #sha, sha / 8, 0, sha / 16, "RFC 2410, RFC 4868", TD_SA_ESP}, 4,                 \
		    sizeof(struct td_hmac_schedule), NEEDS_LITTLE, td_null_sha##sha##_expand, td_hmac_seal,  \
		    td_hmac_open,                                                                            \
	}
// AH. The length of what is authenticated is any.
#define AUTH_ROW(sha)                                                                                        \
	{                                                                                                    \
		{"sha" #sha, sha / 8, 0, sha / 16, "RFC 4868", TD_SA_AH}, 1,                                 \
		    sizeof(struct td_hmac_schedule), NEEDS_LITTLE, td_null_sha##sha##_expand,                \
		    td_auth_hmac_seal, td_auth_hmac_open,                                                    \
	}
#define AUTH_GMAC_ROW(bits)                                                                                  \
	{                                                                                                    \
		{"aes" #bits "gmac", bits / 8 + TD_SALT_BYTES, TD_COUNTER_IV_BYTES, TD_AEAD_ICV_BYTES,       \
		    "RFC 4543", TD_SA_AH},                                                                   \
		    1, sizeof(struct td_gcm_schedule), NEEDS_GCM, td_gcm##bits##_expand,                     \
		    td_auth_gmac##bits##_seal, td_auth_gmac##bits##_open,                                    \
	}

// The library has no AES-192-CCM.
static const struct td_suite suites[] = {
    GCM_ROW(128), GCM_ROW(192), GCM_ROW(256), //
    CHACHA_ROW, //
    CBC_ROW(128, 256), CBC_ROW(192, 256), CBC_ROW(256, 256), //
    CBC_ROW(128, 384), CBC_ROW(192, 384), CBC_ROW(256, 384), //
    CBC_ROW(128, 512), CBC_ROW(192, 512), CBC_ROW(256, 512), //
    CTR_ROW(128, 256), CTR_ROW(192, 256), CTR_ROW(256, 256), //
    CTR_ROW(128, 384), CTR_ROW(192, 384), CTR_ROW(256, 384), //
    CTR_ROW(128, 512), CTR_ROW(192, 512), CTR_ROW(256, 512), //
    CCM_ROW(128), CCM_ROW(256), //
    GMAC_ROW(128), GMAC_ROW(192), GMAC_ROW(256), //
    NULL_ROW(256), NULL_ROW(384), NULL_ROW(512), //
    AUTH_ROW(256), AUTH_ROW(384), AUTH_ROW(512), //
    AUTH_GMAC_ROW(128), AUTH_GMAC_ROW(192), AUTH_GMAC_ROW(256), //
};

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

int td_dp_suite_find(enum td_sa_protocol protocol, const char *name)
{
	for (unsigned i = 0; i < td_dp_suite_count(); i++)
		if (suites[i].info.protocol == protocol && strcmp(suites[i].info.name, name) == 0)
			return (int)i;
	return -ENOENT;
}

// What this CPU gives the library, 0 when that does not run at all.
static uint64_t features_probe(void)
{
	IMB_MGR *mgr = td_suite_manager_create();
	uint64_t features = mgr ? mgr->features : 0;

	td_suite_manager_destroy(mgr);
	return features;
}

bool td_dp_suite_available(unsigned suite)
{
	static uint64_t features; // writer and reader: control thread

	if (!features)
		features = features_probe();
	return (suites[suite].features & ~features) == 0;
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

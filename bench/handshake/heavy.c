// SPDX-License-Identifier: BSD-3-Clause
// The heaviest public-key work for one message. All of it is done on the control thread, which stands still
// meanwhile.

#include "bench/handshake/pair.h"
#include "bench/handshake/row.h"
#include "control/ike/crypto.h"

#include <openssl/evp.h>

#include <errno.h>
#include <string.h>

static const uint16_t groups[] = {TD_DH_MODP_2048, TD_DH_MODP_3072, TD_DH_ECP_384};
static const unsigned rsa_bits[] = {3072, 4096};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))
#define KEYS (sizeof(rsa_bits) / sizeof(rsa_bits[0]))

static EVP_PKEY *keys[KEYS];
static unsigned count;

int td_heavy_setup(const struct td_group *group, const struct td_pki *pki, unsigned times)
{
	(void)group, (void)pki;
	count = times;
	for (unsigned i = 0; i < KEYS; i++) {
		keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)rsa_bits[i]);
		if (!keys[i])
			return -EIO;
	}
	return 0;
}

void td_heavy_teardown(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		EVP_PKEY_free(keys[i]);
		keys[i] = NULL;
	}
}

// A responder's key and agreement, as it makes them between an IKE_SA_INIT and its answer.
static int exchange(uint16_t number)
{
	struct td_dh *peer = td_dh_create(number);
	uint8_t shared[TD_DH_SHARED_MAX_BYTES];
	size_t length;
	int ret = peer ? 0 : -EIO;

	for (unsigned i = 0; ret == 0 && i < count; i++) {
		struct td_dh *own = td_dh_create(number);

		ret = own ? td_dh_agree(own, td_dh_public(peer), shared, &length) : -EIO;
		td_dh_free(own);
	}
	td_dh_free(peer);
	return ret;
}

static int sign(EVP_PKEY *key)
{
	uint8_t digest[32] = {0}, signature[512];
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool done = context && EVP_PKEY_sign_init(context) == 1;

	for (unsigned i = 0; done && i < count; i++) {
		size_t length = sizeof(signature);

		done = EVP_PKEY_sign(context, signature, &length, digest, sizeof(digest)) == 1;
	}
	EVP_PKEY_CTX_free(context);
	return done ? 0 : -EIO;
}

int td_heavy_round(const struct td_group *group, double *values)
{
	int ret = 0;

	(void)group;
	for (unsigned i = 0; ret == 0 && i < GROUPS + KEYS; i++) {
		uint64_t start_ns = td_cpu_now_ns();

		ret = i < GROUPS ? exchange(groups[i]) : sign(keys[i - GROUPS]);
		values[i] = (double)(td_cpu_now_ns() - start_ns) / count / 1e3;
	}
	return ret;
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the two gateways prove themselves with: the same pre-shared key, or ECDSA P-256 certificates of one
// authority, made when the program starts.

#include "control/ike/credential.h"

#include <openssl/types.h>

#define TD_PKI_NOW 1800000000 // in January 2027

struct td_pki {
	struct td_ike_credential *psk;
	struct td_ike_credential *keys[2], *trust; // of each side; what both trust
	EVP_PKEY *key; // of the first side, for the raw operations
	X509 *authority;
};

// Names in the certificates: "a.example" and "b.example". Returns 0 or -errno.
int td_pki_make(struct td_pki *pki);
// Trust in the same authority that knows no certificate yet; NULL: libcrypto failed.
struct td_ike_credential *td_pki_trust(const struct td_pki *pki);
void td_pki_free(struct td_pki *pki);

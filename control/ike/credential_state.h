// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a credential is made of, for the files that make and use it.

#include "control/ike/credential.h"
#include "control/ike/known.h"

#include <openssl/types.h>

#define TD_PSK_MIN_BYTES 16 // of a file
#define TD_CERTREQ_HASH_BYTES 20 // SHA-1 of an authority's SubjectPublicKeyInfo (RFC 7296 3.7)

enum td_credential_kind { TD_CREDENTIAL_PSK, TD_CREDENTIAL_KEY, TD_CREDENTIAL_TRUST };

struct td_ike_credential {
	enum td_credential_kind kind;
	struct td_secret psk; // PSK
	EVP_PKEY *key; // KEY: ours, private; TRUST: the peer's, NULL when authorities vouch for any
	X509 *pinned; // TRUST: the peer's very certificate, which has that key; or NULL
	X509_STORE *authorities; // TRUST: or NULL
	struct td_known *known; // with authorities: certificates that came from them
	struct td_bytes certreq; // TRUST: hashes of the authorities' keys; owned
	unsigned cert_count; // KEY
	X509 *certs[TD_IKE_CERTS_MAX];
	struct td_bytes cert_der[TD_IKE_CERTS_MAX]; // owned
};

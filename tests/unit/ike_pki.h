// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys, certificates and the files they lie in, made while a test runs. Everything lives until the test's
// process ends.

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PKI_NOW 1800000000 // in January 2027
#define PKI_DAY 86400

struct pki_spec {
	const char *subject; // of td_ike_id_parse: "CN=..."
	const char *san; // libcrypto's, "DNS:gw-a.example,IP:192.0.2.1"; NULL: none
	const char *usage; // "digitalSignature"; NULL: none
	bool authority;
	int64_t from, until; // seconds from PKI_NOW; 0, 0: a day before and a day after
	const char *digest; // "SHA1"; NULL: SHA-256, or what the issuer's key needs
};

struct pki_cert {
	EVP_PKEY *key;
	X509 *certificate;
};

// "P-256", "P-384", "P-521", "P-224", "ED25519", "ED448", "RSA-2048", ...
EVP_PKEY *pki_key(const char *kind);
// issuer NULL: self-signed.
struct pki_cert pki_issue(const char *kind, const struct pki_spec *spec, const struct pki_cert *issuer);

// Files in a directory of this test's own, of which one of the same name takes the place; each returns its
// path.
const char *pki_file(const char *name, const void *data, size_t length, unsigned mode);
const char *pki_key_file(const char *name, EVP_PKEY *key, const char *passphrase);
const char *pki_public_file(const char *name, EVP_PKEY *key);
// count certificates one behind the other.
const char *pki_cert_file(const char *name, unsigned count, X509 *const *list);
// Frees and removes all of it.
void pki_end(void);

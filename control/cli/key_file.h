// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys and certificates that "tandemctl key" makes, in files.

#include "common/error.h"
#include "control/ike/credential.h"

#include <openssl/types.h>

#include <stdbool.h>
#include <stddef.h>

// A new file with the bytes: of mode 0600 when it is secret, else as the umask has it. One that exists is
// refused, and what was written in part is removed. Returns 0 or -errno and *error.
int td_key_file_write(
    const char *path, bool secret, const void *bytes, size_t length, struct td_error *error);
// A new private key in PEM (PKCS #8); type: "x25519", "ed25519", "ecdsa-p256". Returns 0, or -errno and
// *error.
int td_key_file_generate(const char *path, const char *type, struct td_error *error);
// The public key of a private key's file, or of a file with a public key or a certificate. NULL and *error;
// to be freed.
EVP_PKEY *td_key_file_public(const char *path, struct td_error *error);

struct td_certificate_order {
	const char *key_path; // private key, or public key in PEM
	const struct td_ike_id *id;
	const char *id_text;
	unsigned days; // of validity
	const char *authority_key_path, *authority_path; // both or none (NULL)
};

// The certificate in PEM, in memory to be freed by BIO_free. Without an authority a key that signs signs for
// itself; for one that does not (X25519) a new Ed25519 key signs, which is forgotten; its certificate
// follows. NULL and *error.
BIO *td_certificate_issue(const struct td_certificate_order *order, struct td_error *error);

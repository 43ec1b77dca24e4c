// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys and certificates in PEM files.

#include "common/error.h"

#include <openssl/types.h>
#include <openssl/x509.h>

// Each fills *error when it fails. What is returned is to be freed.

// From a file that is closed to others and has no passphrase; NULL on failure.
EVP_PKEY *td_pem_private_key(const char *path, struct td_error *error);
// All of a file, at least one, in its order; NULL on failure.
STACK_OF(X509) * td_pem_certificates(const char *path, struct td_error *error);
// A public key or a certificate: *key is set in either case, *certificate in the second (else NULL).
// Returns 0 or -EINVAL.
int td_pem_public_key(const char *path, EVP_PKEY **key, X509 **certificate, struct td_error *error);

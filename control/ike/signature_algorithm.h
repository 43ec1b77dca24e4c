// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The AlgorithmIdentifier before a signature of RFC 7427, as its appendix A writes it.

#include "common/cursor.h"

enum td_signature_scheme {
	TD_SIGNATURE_RSA_PKCS1, // only verified
	TD_SIGNATURE_RSA_PSS,
	TD_SIGNATURE_ECDSA,
	TD_SIGNATURE_ED25519,
};

struct td_signature_algorithm {
	enum td_signature_scheme scheme;
	uint8_t hash; // enum td_ike_hash
};

// Its length in one byte, then its DER. The hash must be one of the scheme's.
void td_signature_algorithm_write(struct td_writer *writer, const struct td_signature_algorithm *algorithm);
// Moves the cursor to the signature. Returns 0 or -ENOTSUP: not known, malformed, or too weak.
int td_signature_algorithm_read(struct td_cursor *cursor, struct td_signature_algorithm *algorithm);
// libcrypto's name of a hash; NULL for the identity.
const char *td_signature_digest(uint8_t hash);

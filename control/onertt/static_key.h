// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The static keys of the one-round-trip exchange: X25519 in PEM (RFC 8410).

#include "common/error.h"
#include "control/ike/credential.h"
#include "control/onertt/x25519.h"

#define TD_ONERTT_KEY_ID_BYTES 8

// The first bytes of SHA-256 of a public key: which key of the responder is meant. Returns 0 or -EIO.
int td_onertt_key_id(const uint8_t public_key[TD_X25519_BYTES], uint8_t id[TD_ONERTT_KEY_ID_BYTES]);

// ---- ours -------------------------------------------------------------------------------------

struct td_onertt_static {
	struct td_x25519 pair;
	uint8_t key_id[TD_ONERTT_KEY_ID_BYTES];
};

// From a file of mode 0600 or stricter. certificate_path: a certificate that must be of this key; or NULL.
// Returns NULL and *error.
struct td_onertt_static *td_onertt_static_load(
    const char *key_path, const char *certificate_path, struct td_error *error);
void td_onertt_static_free(struct td_onertt_static *own); // wipes; NULL is fine

// ---- the peer's -------------------------------------------------------------------------------

// Preinstalled: a certificate is compared by its key, nobody has to vouch for it, but its validity counts.
struct td_onertt_remote {
	uint8_t public_key[TD_X25519_BYTES];
	uint8_t key_id[TD_ONERTT_KEY_ID_BYTES];
	X509 *certificate; // NULL: a raw public key
};

// From a public key or a certificate. A key of low order is refused, and one that is not X25519. Returns NULL
// and *error.
struct td_onertt_remote *td_onertt_remote_load(const char *path, struct td_error *error);
void td_onertt_remote_free(struct td_onertt_remote *remote); // NULL is fine
// Whether it is valid at unix_time; a raw key always is. Returns 0, or -EACCES and *error.
int td_onertt_remote_check_time(
    const struct td_onertt_remote *remote, int64_t unix_time, struct td_error *error);
// Whether the certificate (if there is one) is for the identity. Returns 0, or -EACCES and *error.
int td_onertt_remote_check_id(
    const struct td_onertt_remote *remote, const struct td_ike_id *id, struct td_error *error);

// The registration secret of mode "secret": a file of mode 0600 with 32 bytes, as "tandemctl key register"
// makes it (hexadecimal behind 0x) or raw. Returns 0, or -errno and *error.
int td_onertt_secret_load(const char *path, struct td_secret *secret, struct td_error *error);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Who we are, who the peer is, and the proof of it: identities (RFC 7296 3.5), pre-shared keys, private keys,
// certificates and raw public keys, and the AUTH payload (2.15, RFC 7427).

#include "common/error.h"
#include "common/ip.h"
#include "common/secret.h"
#include "control/ike/crypto.h"

#define TD_ID_MAX_BYTES 256

struct td_ike_id {
	uint8_t type; // enum td_ike_id_type; 0: not set
	uint16_t length;
	uint8_t data[TD_ID_MAX_BYTES];
};

// "gw-a.example" (FQDN), "admin@example" (email), an address, "CN=gw-a, O=Example" (DN), "keyid:text".
// Returns 0 or -EINVAL.
int td_ike_id_parse(const char *text, struct td_ike_id *id);
#define TD_ID_TEXT_MAX 288
const char *td_ike_id_format(const struct td_ike_id *id, char *text);
bool td_ike_id_equal(const struct td_ike_id *id, uint8_t type, struct td_bytes data);
uint64_t td_ike_id_hash(const struct td_ike_id *id); // the same for equal ones

// One side's proof. Exactly one of psk, key or (to verify) authorities and public_key is set.
struct td_ike_credential;

// Every file with a secret must be of mode 0600 or stricter and is read once. Each returns NULL and fills
// *error. A pre-shared key: the bytes of the file, without one newline at its end; "0x..." as hexadecimal; at
// least 16 bytes... shorter ones are refused.
struct td_ike_credential *td_ike_credential_psk(const char *path, struct td_error *error);
// The same from bytes, for tests.
struct td_ike_credential *td_ike_credential_psk_bytes(struct td_bytes psk);
// Our private key (PEM: ECDSA P-256, P-384, P-521, RSA, Ed25519) and certificate chain (PEM, own certificate
// first; NULL: a raw key).
struct td_ike_credential *td_ike_credential_key(
    const char *key_path, const char *chain_path, struct td_error *error);
// What the peer's certificate must be signed by (PEM bundle), or the peer's raw public key (PEM), or its very
// certificate.
struct td_ike_credential *td_ike_credential_trust(
    const char *authorities_path, const char *public_key_path, struct td_error *error);
void td_ike_credential_free(struct td_ike_credential *credential); // wipes; NULL is fine

// Whether our certificate (if there is one) is for the identity; warns the operator early. Returns 0 or
// -EINVAL and *error.
int td_ike_credential_check_id(
    const struct td_ike_credential *credential, const struct td_ike_id *id, struct td_error *error);

// What AUTH covers (RFC 7296 2.15): the first message of the signer as sent, the other's nonce, the signer's
// ID body.
struct td_ike_signed {
	const struct td_ike_keys *keys;
	bool initiator; // the signer
	struct td_bytes message, nonce, id_body;
};

// hashes: bit mask 1 << enum td_ike_hash of the peer's SIGNATURE_HASH_ALGORITHMS (0: none sent, so RFC 7427
// is not for it). Writes method and AUTH data. Returns 0, -ENOTSUP (no method in common), -ENOSPC or -EIO.
int td_ike_auth_sign(const struct td_ike_credential *credential, const struct td_ike_signed *what,
    uint32_t hashes, uint8_t *method, struct td_writer *data);
// Checks the peer's AUTH payload, for a signature together with its certificates: signature, chain to an
// authority, validity at unix_time, and that the certificate is for id. Reason is for the log: *error.
// Returns 0 or -EACCES.
int td_ike_auth_verify(const struct td_ike_credential *credential, const struct td_ike_signed *what,
    const struct td_ike_id *id, const struct td_ike_payloads *payloads, int64_t unix_time,
    struct td_error *error);
// Writes our certificates (CERT payloads) and what we ask for (CERTREQ: hashes of the authorities' keys, RFC
// 7296 3.7).
void td_ike_certs_write(struct td_ike_chain *chain, const struct td_ike_credential *credential);
void td_ike_certreq_write(struct td_ike_chain *chain, const struct td_ike_credential *trust);
bool td_ike_certreq_is_empty(const struct td_ike_credential *trust); // nothing would be written
// Whether that would be the same, or nothing for both.
bool td_ike_certreq_equal(const struct td_ike_credential *a, const struct td_ike_credential *b);

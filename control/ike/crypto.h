// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The cryptography of IKEv2 on libcrypto: PRF, Diffie-Hellman, and the protection of messages. No protocol
// state.

#include "common/secret.h"
#include "control/ike/message.h"
#include "control/ike/proposal.h"

// ---- PRF (RFC 7296 2.13) ----------------------------------------------------------------------

#define TD_PRF_MAX_BYTES 64

unsigned td_prf_bytes(uint16_t prf); // of output and preferred key; 0: not known
// prf(key, part 0 | part 1 | ...). Returns 0 or -EIO.
int td_prf(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out);
// prf+ (RFC 7296 2.13): fills length bytes, at most 255 outputs.
int td_prf_plus(uint16_t prf, struct td_bytes key, const struct td_bytes *parts, unsigned count, uint8_t *out,
    size_t length);
// SHA-1 of NAT detection (RFC 7296 2.23).
int td_sha1(const struct td_bytes *parts, unsigned count, uint8_t out[20]);
int td_sha256(const struct td_bytes *parts, unsigned count, uint8_t out[32]);

// ---- Diffie-Hellman ---------------------------------------------------------------------------

#define TD_DH_PUBLIC_MAX_BYTES 384 // MODP-3072
#define TD_DH_SHARED_MAX_BYTES 384

struct td_dh; // one ephemeral private key

bool td_dh_known(uint16_t group);
// Returns NULL when libcrypto fails.
struct td_dh *td_dh_create(uint16_t group);
// The same from a private key that is known and its public value, both as their RFCs write them: for
// published vectors.
struct td_dh *td_dh_import(uint16_t group, struct td_bytes private_value, struct td_bytes public_value);
void td_dh_free(struct td_dh *dh); // wipes; NULL is fine
uint16_t td_dh_group(const struct td_dh *dh);
// The public value as the KE payload carries it; valid as long as dh.
struct td_bytes td_dh_public(const struct td_dh *dh);
// g^ir, with every check of RFC 6989 on the peer's value (also that an X25519 result is not all zero). shared
// holds TD_DH_SHARED_MAX_BYTES, the caller wipes it. Returns 0, -EBADMSG (a bad value) or -EIO.
int td_dh_agree(const struct td_dh *dh, struct td_bytes peer, uint8_t *shared, size_t *length);

// ---- keys of an IKE SA (RFC 7296 2.14) ---------------------------------------------------------

// Where random numbers come from; as in struct td_ike_env.
struct td_ike_random {
	void (*fill)(void *context, void *bytes, size_t length);
	void *context;
};

struct td_ike_keys {
	uint16_t prf;
	uint16_t encr, key_bits, integ;
	struct td_secret d; // SK_d
	struct td_secret a_i, a_r; // SK_ai, SK_ar; empty for an AEAD
	struct td_secret e_i, e_r; // SK_ei, SK_er, for an AEAD with the salt
	struct td_secret p_i, p_r; // SK_pi, SK_pr
	// The explicit IV of the next message that an AEAD seals. A nonce must never come twice under a key:
	// of two copies of this struct only one may seal.
	uint64_t iv_next;
	struct td_ike_random random; // of the IVs of CBC
};

bool td_ike_suite_usable(const struct td_ike_suite *suite); // of an IKE SA
// From g^ir, nonces and SPIs; old_d and old_prf for a rekeyed IKE SA (2.18), else NULL and 0. Returns 0 or
// -EIO.
int td_ike_keys_derive(const struct td_ike_suite *suite, struct td_bytes shared, struct td_bytes nonce_i,
    struct td_bytes nonce_r, uint64_t spi_i, uint64_t spi_r, const struct td_secret *old_d, uint16_t old_prf,
    const struct td_ike_random *random, struct td_ike_keys *keys);
void td_ike_keys_wipe(struct td_ike_keys *keys);
// Keying material of a child (2.17): the initiator's half first. shared is empty without PFS. key_bytes of
// one direction, as dataplane/suite.c wants them (cipher key, salt, integrity key in the order of RFC
// 7296 2.17).
int td_ike_child_keys(const struct td_ike_keys *keys, struct td_bytes shared, struct td_bytes nonce_i,
    struct td_bytes nonce_r, size_t key_bytes, struct td_secret *initiator, struct td_secret *responder);

// ---- protection of messages (RFC 7296 3.14, RFC 5282, RFC 7383) --------------------------------

// Bytes that sealing adds to the payloads inside: generic header, IV, most padding, ICV.
#define TD_IKE_SEAL_MAX_BYTES (4 + 16 + 17 + 32)

// Writes a whole message: header (next_payload and length are filled in), and the payloads in one SK payload.
// from_initiator says whose keys. An AEAD's IV is counted in *keys, that of CBC is random. *writer is empty
// at first. Returns 0, -ENOSPC or -EIO.
int td_ike_seal(struct td_ike_keys *keys, bool from_initiator, const struct td_ike_header *header,
    uint8_t first, struct td_bytes payloads, struct td_writer *writer);
// The same as one fragment of several (SKF payload, RFC 7383 2.5.1); number counts from 1.
int td_ike_seal_fragment(struct td_ike_keys *keys, bool from_initiator, const struct td_ike_header *header,
    uint8_t first, struct td_bytes piece, uint16_t number, uint16_t total, struct td_writer *writer);
// Opens the SK or SKF payload of a datagram whose payloads were read from behind its header. plain holds as
// many bytes as the datagram. For SKF number and total are set (else 0). Returns 0 and *inside, the payloads'
// bytes within plain, or -EBADMSG: not authentic or malformed.
int td_ike_open(const struct td_ike_keys *keys, bool from_initiator, struct td_bytes datagram,
    const struct td_ike_payloads *outer, uint8_t *plain, struct td_bytes *inside, uint16_t *number,
    uint16_t *total);

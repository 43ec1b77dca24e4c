// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A Noise handshake (revision 34) of two messages: Noise_IK_25519_AESGCM_SHA256 and
// Noise_NKpsk2_25519_AESGCM_SHA256. No sockets, clock or generator of its own.
//
// The initiator:                            The responder:
//   td_noise_start                            td_noise_start
//   td_noise_write_tokens  (message 1)        td_noise_read_static   (IK: stops behind "s", one operation
//   done) td_noise_export                             look the peer up by noise.remote_static
//   td_noise_write_payload                    td_noise_read_tokens   (what is left of the tokens)
//                                             td_noise_export        (NKpsk2: behind td_noise_psk_set)
//                                             td_noise_read_payload
//   copy = *noise                               NKpsk2: td_noise_psk_set
//   td_noise_read_tokens   (message 2)        td_noise_write_tokens
//   td_noise_export, td_noise_read_payload    td_noise_export, td_noise_write_payload
//   td_noise_split                            td_noise_split
//
// A handshake is a plain struct: a copy is a snapshot, to which one can go back when a message 2 turns out to
// be wrong. Each copy is wiped by itself. A call that fails leaves the handshake as it was before it.

#include "common/cursor.h"
#include "control/onertt/x25519.h"

#define TD_NOISE_KEY_BYTES 32
#define TD_NOISE_HASH_BYTES 32
#define TD_NOISE_TAG_BYTES 16
// What is in front of the sealed payload, and its tag.
#define TD_NOISE_IK_1_BYTES (32 + 32 + 16 + 16)
#define TD_NOISE_NK_1_BYTES (32 + 16)
#define TD_NOISE_2_BYTES (32 + 16)

// As the NOISE payload numbers them.
enum td_noise_pattern { TD_NOISE_IK = 1, TD_NOISE_NKPSK2 = 2 };

// Fills length bytes. Returns 0 or -errno.
typedef int (*td_noise_random_fn)(void *context, void *bytes, size_t length);

struct td_noise_setup {
	enum td_noise_pattern pattern;
	bool initiator;
	struct td_bytes prologue;
	const struct td_x25519 *own; // our static key, borrowed; NULL for the initiator of NKpsk2
	const uint8_t *remote; // the initiator: the responder's static public key, copied; else NULL
};

struct td_noise {
	enum td_noise_pattern pattern;
	bool initiator;
	uint8_t message; // 1 or 2: whose tokens are next, or whose payload
	uint8_t token; // how many of its tokens are done
	const struct td_x25519 *own; // borrowed
	uint8_t remote_static[TD_X25519_BYTES]; // responder of IK: known behind td_noise_read_static
	uint8_t remote_ephemeral[TD_X25519_BYTES];
	uint8_t ephemeral_public[TD_X25519_BYTES];
	struct td_secret ephemeral; // private
	struct td_secret psk;
	struct td_secret chaining_key, key; // key: empty as long as nothing is encrypted
	struct td_secret exported; // of the message whose tokens were done last
	uint64_t nonce;
	uint8_t hash[TD_NOISE_HASH_BYTES];
};

// Returns 0 or -EIO.
int td_noise_start(struct td_noise *noise, const struct td_noise_setup *setup);
void td_noise_wipe(struct td_noise *noise);

// NKpsk2: the secret of both sides, TD_NOISE_KEY_BYTES long. Returns 0 or -EINVAL (another length).
int td_noise_psk_set(struct td_noise *noise, const struct td_secret *psk);

// Writes what is in front of the sealed payload of our message. Returns 0, -EINVAL (not our turn; no psk),
// -EBADMSG (a key of the peer is of low order), -ENOSPC, -EIO or what random returned.
int td_noise_write_tokens(
    struct td_noise *noise, td_noise_random_fn random, void *context, struct td_writer *writer);
// Seals the payload behind it: TD_NOISE_TAG_BYTES longer than plain. Returns 0, -EINVAL, -ENOSPC or -EIO.
int td_noise_write_payload(struct td_noise *noise, struct td_bytes plain, struct td_writer *writer);

// The responder's first step in message 1 of IK: up to the initiator's static key, which is then in
// remote_static, decrypted, but proved only by td_noise_read_tokens and td_noise_read_payload. For another
// message it does nothing. Returns as td_noise_read_tokens.
int td_noise_read_static(struct td_noise *noise, struct td_cursor *message);
// Reads what is in front of the sealed payload, or what td_noise_read_static has left of it. Returns 0,
// -EINVAL (not the peer's turn; no psk), -EBADMSG (too short, altered, a key of low order) or -EIO.
int td_noise_read_tokens(struct td_noise *noise, struct td_cursor *message);
// Opens the payload, which is all that is left of the message, into plain (room for message->left). Returns
// 0, -EINVAL, -EBADMSG (altered) or -EIO.
int td_noise_read_payload(struct td_noise *noise, struct td_cursor *message, uint8_t *plain, size_t *length);

// A secret of both sides (32 bytes) behind the tokens of a message, until those of the next:
// HMAC-SHA-256(ck, "tandem one-round-trip 1" | number | h), in message 1 of NKpsk2 under the psk once more.
// Returns 0, -EINVAL (no tokens done; no psk) or -EIO.
int td_noise_export(const struct td_noise *noise, struct td_secret *secret);

// Behind the payload of message 2: the keys of initiator and responder, 32 bytes each. Returns 0, -EINVAL or
// -EIO.
int td_noise_split(const struct td_noise *noise, struct td_secret *k1, struct td_secret *k2);

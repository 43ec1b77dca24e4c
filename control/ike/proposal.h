// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Proposals of the SA payload (RFC 7296 3.3): reading, writing, choosing, and their names in strongSwan's
// words
// ("aes128gcm16-prfsha256-x25519", "aes256-sha256-ecp256").

#include "common/error.h"
#include "control/ike/message.h"

#define TD_IKE_TRANSFORMS_MAX 24 // of one proposal
#define TD_IKE_PROPOSALS_MAX 8 // of one SA payload; further ones are not looked at
#define TD_IKE_PROPOSAL_TEXT_MAX 160

#define TD_IKE_KEY_BITS_FOREIGN UINT16_MAX // matches nothing

struct td_ike_transform {
	uint8_t type; // enum td_ike_transform_type
	uint16_t id;
	uint16_t key_bits; // 0: no key length attribute; TD_IKE_KEY_BITS_FOREIGN: an attribute not known
};

struct td_ike_proposal {
	uint8_t number, protocol;
	uint8_t spi_size;
	uint8_t spi[8]; // wire order
	unsigned transform_count;
	struct td_ike_transform transforms[TD_IKE_TRANSFORMS_MAX];
};

struct td_ike_proposals {
	unsigned count;
	struct td_ike_proposal list[TD_IKE_PROPOSALS_MAX];
};

// Returns 0 or -EBADMSG. Proposals of protocols and with transforms that are not known are kept as they are:
// they match nothing. Where a proposal has too many transforms, of the unknown ones one of each type is kept,
// which says that the type was there; one that has too many nevertheless is left out.
int td_ike_proposals_read(struct td_bytes sa, struct td_ike_proposals *proposals);
// Writes an SA payload. spi (wire order, spi_size bytes) goes into every proposal.
void td_ike_proposals_write(
    struct td_ike_chain *chain, const struct td_ike_proposals *proposals, const void *spi, uint8_t spi_size);

// What a chosen proposal means. A field is 0 where the proposal has no transform of the type.
struct td_ike_suite {
	uint8_t protocol;
	uint16_t encr, key_bits, prf, integ, dh;
	bool esn;
};

// The offered proposal that suits best: the first of ours that has, for each transform type, something in
// common with one of theirs. *chosen has one transform of each type, in the number and with the SPI of the
// offer. without_dh leaves DH transforms out of both (a child in IKE_AUTH, RFC 7296 1.2). Returns 0 or
// -ENOENT (NO_PROPOSAL_CHOSEN).
int td_ike_proposal_choose(const struct td_ike_proposals *ours, const struct td_ike_proposals *offered,
    bool without_dh, struct td_ike_proposal *chosen);
// Whether an answer chose something out of what we offered: one proposal with one transform of each type
// offered.
bool td_ike_proposal_is_choice(
    const struct td_ike_proposals *ours, const struct td_ike_proposal *answer, bool without_dh);
struct td_ike_suite td_ike_suite_of(const struct td_ike_proposal *chosen);
// Whether some proposal has the DH group; the first DH group of all (0: none).
bool td_ike_proposals_have_dh(const struct td_ike_proposals *proposals, uint16_t group);
uint16_t td_ike_proposals_dh(const struct td_ike_proposals *proposals);

// Whether both offer the same, in the same order.
bool td_ike_proposals_equal(const struct td_ike_proposals *a, const struct td_ike_proposals *b);

// Adds the proposal that text names. For IKE: an AEAD needs a PRF ("prfsha256"), a cipher with "sha256" takes
// the PRF from it; a DH group is needed. For ESP the DH group (PFS) is optional, as is "esn" or "noesn"
// (default: both, ESN first). Several of one type may be named. Returns 0, -EINVAL (error says which word and
// what is allowed) or -E2BIG.
int td_ike_proposal_parse(
    uint8_t protocol, const char *text, struct td_ike_proposals *proposals, struct td_error *error);
// The word for a transform ("aes128", "sha256", "none"), or NULL for one that tandem does not know.
const char *td_ike_transform_name(const struct td_ike_transform *transform);
// Whether a cipher authenticates too, so that it stands without an integrity algorithm.
bool td_ike_encr_is_aead(uint16_t encr);
// Appends a transform behind those of its type. Returns 0 or -E2BIG.
int td_ike_transform_add(struct td_ike_proposal *proposal, const struct td_ike_transform *transform);
// The text of a chosen proposal; returns text, which holds TD_IKE_PROPOSAL_TEXT_MAX bytes.
const char *td_ike_proposal_format(const struct td_ike_proposal *proposal, char *text);
// The name of the data plane's suite for a chosen ESP or AH proposal ("aes128gcm16", "aes256-sha256"), or
// NULL. The table of dataplane/suite.c has the same names.
const char *td_ike_esp_suite_name(const struct td_ike_suite *suite);

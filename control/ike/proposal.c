// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/proposal.h"

#include <errno.h>
#include <string.h>

// RFC 7296 3.3.1, 3.3.2 and 3.3.5.
#define LAST 0
#define MORE_PROPOSALS 2
#define MORE_TRANSFORMS 3
#define PROPOSAL_HEADER_BYTES 8
#define TRANSFORM_HEADER_BYTES 8
#define ATTRIBUTE_SHORT 0x8000 // type and value, no length
#define ATTRIBUTE_KEY_LENGTH 14
#define IKE_SPI_BYTES 8
#define CHILD_SPI_BYTES 4

static bool holds(const struct td_ike_proposal *proposal, const struct td_ike_transform *transform)
{
	for (unsigned i = 0; i < proposal->transform_count; i++) {
		const struct td_ike_transform *own = &proposal->transforms[i];

		if (own->type == transform->type && own->id == transform->id &&
		    own->key_bits == transform->key_bits)
			return true;
	}
	return false;
}

static unsigned count_of(const struct td_ike_proposal *proposal, uint8_t type)
{
	unsigned count = 0;

	for (unsigned i = 0; i < proposal->transform_count; i++)
		count += proposal->transforms[i].type == type;
	return count;
}

// No integrity algorithm, no Diffie-Hellman, no extended sequence numbers: the same as no transform of the
// type.
static bool is_none(const struct td_ike_transform *transform)
{
	return transform->id == 0 && transform->key_bits == 0 &&
	       (transform->type == TD_IKE_INTEG || transform->type == TD_IKE_DH ||
	           transform->type == TD_IKE_ESN);
}

static bool may_lack(const struct td_ike_proposal *proposal, uint8_t type)
{
	const struct td_ike_transform none = {.type = type};

	return count_of(proposal, type) == 0 || (is_none(&none) && holds(proposal, &none));
}

static bool has_foreign_type(const struct td_ike_proposal *proposal)
{
	for (unsigned i = 0; i < proposal->transform_count; i++)
		if (proposal->transforms[i].type == 0 ||
		    proposal->transforms[i].type > TD_IKE_TRANSFORM_TYPES)
			return true;
	return false;
}

int td_ike_transform_add(struct td_ike_proposal *proposal, const struct td_ike_transform *transform)
{
	unsigned at = proposal->transform_count;

	if (at == TD_IKE_TRANSFORMS_MAX)
		return -E2BIG;
	for (; at > 0 && proposal->transforms[at - 1].type > transform->type; at--)
		proposal->transforms[at] = proposal->transforms[at - 1];
	proposal->transforms[at] = *transform;
	proposal->transform_count++;
	return 0;
}

// ---- reading ----------------------------------------------------------------------------------

static int attributes_read(struct td_cursor cursor, uint16_t *key_bits)
{
	bool foreign = false;

	*key_bits = 0;
	while (cursor.left > 0) {
		uint16_t type, value;

		if (!td_cursor_u16(&cursor, &type) || !td_cursor_u16(&cursor, &value))
			return -EBADMSG;
		if (!(type & ATTRIBUTE_SHORT) && !td_cursor_skip(&cursor, value))
			return -EBADMSG;
		if (type == (ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH) && value != 0 && *key_bits == 0)
			*key_bits = value;
		else
			foreign = true;
	}
	if (foreign)
		*key_bits = TD_IKE_KEY_BITS_FOREIGN;
	return 0;
}

// A structure of a list: its place in the list is told twice, by more and by what is left.
static bool place_is_right(uint8_t more, uint8_t more_value, bool last)
{
	return more == (last ? LAST : more_value);
}

static int transform_read(struct td_cursor *cursor, bool last, struct td_ike_transform *transform)
{
	struct td_bytes attributes;
	uint8_t more;
	uint16_t length;

	if (!td_cursor_u8(cursor, &more) || !td_cursor_skip(cursor, 1) || !td_cursor_u16(cursor, &length) ||
	    !td_cursor_u8(cursor, &transform->type) || !td_cursor_skip(cursor, 1) ||
	    !td_cursor_u16(cursor, &transform->id) || length < TRANSFORM_HEADER_BYTES ||
	    !td_cursor_take(cursor, length - TRANSFORM_HEADER_BYTES, &attributes) ||
	    !place_is_right(more, MORE_TRANSFORMS, last))
		return -EBADMSG;
	return attributes_read(td_cursor_of(attributes), &transform->key_bits);
}

// Whether a transform changes nothing about what a proposal matches: of those that tandem does not know only
// the type counts.
static bool is_redundant(const struct td_ike_proposal *proposal, const struct td_ike_transform *transform)
{
	return holds(proposal, transform) ||
	       (!td_ike_transform_name(transform) && count_of(proposal, transform->type) > 0);
}

// Peers that offer all they have offer more than tandem has. Returns false when there is no room even so.
static bool transform_keep(struct td_ike_proposal *proposal, const struct td_ike_transform *transform)
{
	const struct td_ike_proposal full = *proposal;

	if (td_ike_transform_add(proposal, transform) == 0)
		return true;
	proposal->transform_count = 0;
	for (unsigned i = 0; i < full.transform_count; i++)
		if (!is_redundant(proposal, &full.transforms[i]))
			td_ike_transform_add(proposal, &full.transforms[i]);
	return is_redundant(proposal, transform) || td_ike_transform_add(proposal, transform) == 0;
}

static bool spi_size_is_right(uint8_t protocol, uint8_t size)
{
	switch (protocol) {
	case TD_IKE_PROTO_IKE:
		return size == 0 || size == IKE_SPI_BYTES; // the first one is in the header
	case TD_IKE_PROTO_AH:
	case TD_IKE_PROTO_ESP:
		return size == CHILD_SPI_BYTES;
	default:
		return true;
	}
}

// Reads the body of one proposal, without its generic part. *fits: false when there is no room for all of it.
static int proposal_read(struct td_cursor body, struct td_ike_proposal *proposal, bool *fits)
{
	uint8_t count;
	struct td_bytes spi;

	*proposal = (struct td_ike_proposal){0};
	if (!td_cursor_u8(&body, &proposal->number) || !td_cursor_u8(&body, &proposal->protocol) ||
	    !td_cursor_u8(&body, &proposal->spi_size) || !td_cursor_u8(&body, &count) ||
	    !td_cursor_take(&body, proposal->spi_size, &spi) ||
	    !spi_size_is_right(proposal->protocol, proposal->spi_size))
		return -EBADMSG;
	*fits = spi.length <= sizeof(proposal->spi);
	if (*fits && spi.length > 0)
		memcpy(proposal->spi, spi.data, spi.length);
	for (unsigned i = 0; i < count; i++) {
		struct td_ike_transform transform;

		if (transform_read(&body, i + 1 == count, &transform))
			return -EBADMSG;
		if (!transform_keep(proposal, &transform))
			*fits = false;
	}
	return body.left == 0 ? 0 : -EBADMSG;
}

int td_ike_proposals_read(struct td_bytes sa, struct td_ike_proposals *proposals)
{
	struct td_cursor cursor = td_cursor_of(sa);
	unsigned previous = 0;

	proposals->count = 0;
	do {
		struct td_ike_proposal proposal;
		struct td_bytes body;
		uint8_t more;
		uint16_t length;
		bool fits;

		if (!td_cursor_u8(&cursor, &more) || !td_cursor_skip(&cursor, 1) ||
		    !td_cursor_u16(&cursor, &length) || length < PROPOSAL_HEADER_BYTES ||
		    !td_cursor_take(&cursor, length - 4, &body) ||
		    !place_is_right(more, MORE_PROPOSALS, cursor.left == 0) ||
		    proposal_read(td_cursor_of(body), &proposal, &fits))
			goto malformed;
		// An answer has the number of the proposal that it accepts, an offer counts from 1.
		if (proposal.number <= previous)
			goto malformed;
		previous = proposal.number;
		if (fits && proposals->count < TD_IKE_PROPOSALS_MAX)
			proposals->list[proposals->count++] = proposal;
	} while (cursor.left > 0);
	return 0;
malformed:
	proposals->count = 0;
	return -EBADMSG;
}

// ---- writing ----------------------------------------------------------------------------------

static void transform_write(struct td_writer *writer, const struct td_ike_transform *transform, bool last)
{
	td_writer_u8(writer, last ? LAST : MORE_TRANSFORMS);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, TRANSFORM_HEADER_BYTES + (transform->key_bits ? 4 : 0));
	td_writer_u8(writer, transform->type);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, transform->id);
	if (transform->key_bits) {
		td_writer_u16(writer, ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH);
		td_writer_u16(writer, transform->key_bits);
	}
}

void td_ike_proposals_write(
    struct td_ike_chain *chain, const struct td_ike_proposals *proposals, const void *spi, uint8_t spi_size)
{
	struct td_writer *writer = &chain->writer;
	size_t begin = td_ike_payload_begin(chain, TD_IKE_PAYLOAD_SA);

	for (unsigned i = 0; i < proposals->count; i++) {
		const struct td_ike_proposal *proposal = &proposals->list[i];
		size_t start = writer->length;

		td_writer_u8(writer, i + 1 == proposals->count ? LAST : MORE_PROPOSALS);
		td_writer_u8(writer, 0);
		td_writer_u16(writer, 0);
		td_writer_u8(writer, proposal->number);
		td_writer_u8(writer, proposal->protocol);
		td_writer_u8(writer, spi_size);
		td_writer_u8(writer, (uint8_t)proposal->transform_count);
		td_writer_bytes(writer, spi, spi_size);
		for (unsigned t = 0; t < proposal->transform_count; t++)
			transform_write(writer, &proposal->transforms[t], t + 1 == proposal->transform_count);
		td_writer_patch_u16(writer, start + 2, (uint16_t)(writer->length - start));
	}
	td_ike_payload_end(chain, begin);
}

// ---- choosing (RFC 7296 3.3.6) ----------------------------------------------------------------

// Adds to chosen what ours likes best of theirs. Returns 0 or -ENOENT.
static int transform_choose(const struct td_ike_proposal *ours, const struct td_ike_proposal *theirs,
    uint8_t type, struct td_ike_proposal *chosen)
{
	struct td_ike_transform best = {.type = type};
	bool found = count_of(ours, type) == 0 && may_lack(theirs, type);

	for (unsigned i = 0; i < ours->transform_count && !found; i++) {
		best = ours->transforms[i];
		if (best.type == type)
			found = is_none(&best) ? may_lack(theirs, type) : holds(theirs, &best);
	}
	if (!found)
		return -ENOENT;
	// The answer has the types of the offer: "none" is said only where it was said.
	return holds(theirs, &best) ? td_ike_transform_add(chosen, &best) : 0;
}

static int proposal_match(const struct td_ike_proposal *ours, const struct td_ike_proposal *theirs,
    bool without_dh, struct td_ike_proposal *chosen)
{
	if (ours->protocol != theirs->protocol || has_foreign_type(theirs))
		return -ENOENT;
	*chosen = (struct td_ike_proposal){
	    .number = theirs->number,
	    .protocol = theirs->protocol,
	    .spi_size = theirs->spi_size,
	};
	memcpy(chosen->spi, theirs->spi, sizeof(chosen->spi));
	for (uint8_t type = 1; type <= TD_IKE_TRANSFORM_TYPES; type++)
		if (!(without_dh && type == TD_IKE_DH) && transform_choose(ours, theirs, type, chosen))
			return -ENOENT;
	return 0;
}

int td_ike_proposal_choose(const struct td_ike_proposals *ours, const struct td_ike_proposals *offered,
    bool without_dh, struct td_ike_proposal *chosen)
{
	struct td_ike_proposal match;

	for (unsigned i = 0; i < ours->count; i++) {
		for (unsigned j = 0; j < offered->count; j++) {
			if (proposal_match(&ours->list[i], &offered->list[j], without_dh, &match))
				continue;
			*chosen = match;
			return 0;
		}
	}
	return -ENOENT;
}

static bool proposal_equal(const struct td_ike_proposal *a, const struct td_ike_proposal *b)
{
	if (a->number != b->number || a->protocol != b->protocol || a->transform_count != b->transform_count)
		return false;
	for (unsigned i = 0; i < a->transform_count; i++) {
		const struct td_ike_transform *one = &a->transforms[i], *two = &b->transforms[i];

		if (one->type != two->type || one->id != two->id || one->key_bits != two->key_bits)
			return false;
	}
	return true;
}

bool td_ike_proposals_equal(const struct td_ike_proposals *a, const struct td_ike_proposals *b)
{
	for (unsigned i = 0; i < a->count && i < b->count; i++)
		if (!proposal_equal(&a->list[i], &b->list[i]))
			return false;
	return a->count == b->count;
}

// Whether answer's transform of a type, or the lack of it, is one that proposal offers.
static bool type_is_choice(
    const struct td_ike_proposal *proposal, const struct td_ike_proposal *answer, uint8_t type, bool without)
{
	unsigned count = count_of(answer, type);

	if (count == 0)
		return without || may_lack(proposal, type);
	if (count > 1)
		return false;
	for (unsigned i = 0; i < answer->transform_count; i++) {
		const struct td_ike_transform *transform = &answer->transforms[i];

		if (transform->type != type)
			continue;
		if (is_none(transform))
			return without || may_lack(proposal, type);
		return !without && holds(proposal, transform);
	}
	return false;
}

bool td_ike_proposal_is_choice(
    const struct td_ike_proposals *ours, const struct td_ike_proposal *answer, bool without_dh)
{
	const struct td_ike_proposal *proposal = NULL;

	for (unsigned i = 0; i < ours->count; i++)
		if (ours->list[i].number == answer->number && ours->list[i].protocol == answer->protocol)
			proposal = &ours->list[i];
	if (!proposal || has_foreign_type(answer))
		return false;
	for (uint8_t type = 1; type <= TD_IKE_TRANSFORM_TYPES; type++)
		if (!type_is_choice(proposal, answer, type, without_dh && type == TD_IKE_DH))
			return false;
	return true;
}

struct td_ike_suite td_ike_suite_of(const struct td_ike_proposal *chosen)
{
	struct td_ike_suite suite = {.protocol = chosen->protocol};

	for (unsigned i = 0; i < chosen->transform_count; i++) {
		const struct td_ike_transform *transform = &chosen->transforms[i];

		switch (transform->type) {
		case TD_IKE_ENCR:
			suite.encr = transform->id;
			suite.key_bits = transform->key_bits;
			break;
		case TD_IKE_PRF:
			suite.prf = transform->id;
			break;
		case TD_IKE_INTEG:
			suite.integ = transform->id;
			break;
		case TD_IKE_DH:
			suite.dh = transform->id;
			break;
		case TD_IKE_ESN:
			suite.esn = transform->id == TD_ESN_YES;
			break;
		default:
			break;
		}
	}
	return suite;
}

bool td_ike_proposals_have_dh(const struct td_ike_proposals *proposals, uint16_t group)
{
	const struct td_ike_transform transform = {.type = TD_IKE_DH, .id = group};

	for (unsigned i = 0; i < proposals->count; i++)
		if (holds(&proposals->list[i], &transform))
			return true;
	return false;
}

uint16_t td_ike_proposals_dh(const struct td_ike_proposals *proposals)
{
	for (unsigned i = 0; i < proposals->count; i++) {
		const struct td_ike_proposal *proposal = &proposals->list[i];

		for (unsigned t = 0; t < proposal->transform_count; t++)
			if (proposal->transforms[t].type == TD_IKE_DH && !is_none(&proposal->transforms[t]))
				return proposal->transforms[t].id;
	}
	return TD_DH_NONE;
}

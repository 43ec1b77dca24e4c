// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/proposal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IN_IKE (1u << TD_IKE_PROTO_IKE)
#define IN_AH (1u << TD_IKE_PROTO_AH)
#define IN_ESP (1u << TD_IKE_PROTO_ESP)
#define IN_ALL (IN_IKE | IN_AH | IN_ESP)

struct word {
	const char *text;
	struct td_ike_transform transform;
	unsigned protocols; // where it may be named
};

// Of two words for one thing the first is the name.
static const struct word words[] = {
    {"aes128", {TD_IKE_ENCR, TD_ENCR_AES_CBC, 128}, IN_IKE | IN_ESP},
    {"aes192", {TD_IKE_ENCR, TD_ENCR_AES_CBC, 192}, IN_IKE | IN_ESP},
    {"aes256", {TD_IKE_ENCR, TD_ENCR_AES_CBC, 256}, IN_IKE | IN_ESP},
    {"aes128gcm16", {TD_IKE_ENCR, TD_ENCR_AES_GCM_16, 128}, IN_IKE | IN_ESP},
    {"aes192gcm16", {TD_IKE_ENCR, TD_ENCR_AES_GCM_16, 192}, IN_IKE | IN_ESP},
    {"aes256gcm16", {TD_IKE_ENCR, TD_ENCR_AES_GCM_16, 256}, IN_IKE | IN_ESP},
    {"chacha20poly1305", {TD_IKE_ENCR, TD_ENCR_CHACHA20_POLY1305, 0}, IN_IKE | IN_ESP},
    {"aes128ctr", {TD_IKE_ENCR, TD_ENCR_AES_CTR, 128}, IN_ESP},
    {"aes192ctr", {TD_IKE_ENCR, TD_ENCR_AES_CTR, 192}, IN_ESP},
    {"aes256ctr", {TD_IKE_ENCR, TD_ENCR_AES_CTR, 256}, IN_ESP},
    {"aes128ccm16", {TD_IKE_ENCR, TD_ENCR_AES_CCM_16, 128}, IN_ESP},
    {"aes256ccm16", {TD_IKE_ENCR, TD_ENCR_AES_CCM_16, 256}, IN_ESP},
    {"aes128gmac", {TD_IKE_ENCR, TD_ENCR_NULL_AUTH_AES_GMAC, 128}, IN_ESP},
    {"aes192gmac", {TD_IKE_ENCR, TD_ENCR_NULL_AUTH_AES_GMAC, 192}, IN_ESP},
    {"aes256gmac", {TD_IKE_ENCR, TD_ENCR_NULL_AUTH_AES_GMAC, 256}, IN_ESP},
    {"null", {TD_IKE_ENCR, TD_ENCR_NULL, 0}, IN_ESP},
    {"prfsha256", {TD_IKE_PRF, TD_PRF_SHA2_256, 0}, IN_IKE},
    {"prfsha384", {TD_IKE_PRF, TD_PRF_SHA2_384, 0}, IN_IKE},
    {"prfsha512", {TD_IKE_PRF, TD_PRF_SHA2_512, 0}, IN_IKE},
    {"sha256", {TD_IKE_INTEG, TD_INTEG_SHA2_256_128, 0}, IN_ALL},
    {"sha384", {TD_IKE_INTEG, TD_INTEG_SHA2_384_192, 0}, IN_ALL},
    {"sha512", {TD_IKE_INTEG, TD_INTEG_SHA2_512_256, 0}, IN_ALL},
    {"aes128gmac", {TD_IKE_INTEG, TD_INTEG_AES_128_GMAC, 0}, IN_AH},
    {"aes192gmac", {TD_IKE_INTEG, TD_INTEG_AES_192_GMAC, 0}, IN_AH},
    {"aes256gmac", {TD_IKE_INTEG, TD_INTEG_AES_256_GMAC, 0}, IN_AH},
    {"none", {TD_IKE_INTEG, TD_INTEG_NONE, 0}, 0},
    {"modp2048", {TD_IKE_DH, TD_DH_MODP_2048, 0}, IN_ALL},
    {"modp3072", {TD_IKE_DH, TD_DH_MODP_3072, 0}, IN_ALL},
    {"ecp256", {TD_IKE_DH, TD_DH_ECP_256, 0}, IN_ALL},
    {"ecp384", {TD_IKE_DH, TD_DH_ECP_384, 0}, IN_ALL},
    {"ecp521", {TD_IKE_DH, TD_DH_ECP_521, 0}, IN_ALL},
    {"x25519", {TD_IKE_DH, TD_DH_X25519, 0}, IN_ALL},
    {"curve25519", {TD_IKE_DH, TD_DH_X25519, 0}, IN_ALL},
    {"none", {TD_IKE_DH, TD_DH_NONE, 0}, 0},
    {"esn", {TD_IKE_ESN, TD_ESN_YES, 0}, IN_AH | IN_ESP},
    {"noesn", {TD_IKE_ESN, TD_ESN_NO, 0}, IN_AH | IN_ESP},
};

static const char *const allowed[] = {
    [TD_IKE_PROTO_IKE] = "aes128 aes192 aes256, aes128gcm16 aes192gcm16 aes256gcm16, chacha20poly1305, "
                         "sha256 sha384 sha512, prfsha256 prfsha384 prfsha512, modp2048 modp3072, "
                         "ecp256 ecp384 ecp521, x25519",
    [TD_IKE_PROTO_AH] = "sha256 sha384 sha512, aes128gmac aes192gmac aes256gmac, modp2048 modp3072, "
                        "ecp256 ecp384 ecp521, x25519, esn noesn",
    [TD_IKE_PROTO_ESP] = "aes128 aes192 aes256 (also with ctr, gcm16, gmac), aes128ccm16 aes256ccm16, "
                         "chacha20poly1305, null, sha256 sha384 sha512, modp2048 modp3072, "
                         "ecp256 ecp384 ecp521, x25519, esn noesn",
};

// The PRF of the same hash (RFC 4868).
static const struct {
	uint16_t integ, prf;
} prf_of_integ[] = {
    {TD_INTEG_SHA2_256_128, TD_PRF_SHA2_256},
    {TD_INTEG_SHA2_384_192, TD_PRF_SHA2_384},
    {TD_INTEG_SHA2_512_256, TD_PRF_SHA2_512},
};

static bool transform_equal(const struct td_ike_transform *a, const struct td_ike_transform *b)
{
	return a->type == b->type && a->id == b->id && a->key_bits == b->key_bits;
}

const char *td_ike_transform_name(const struct td_ike_transform *transform)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (transform_equal(&words[i].transform, transform))
			return words[i].text;
	return NULL;
}

bool td_ike_encr_is_aead(uint16_t encr)
{
	switch (encr) {
	case TD_ENCR_AES_CCM_16:
	case TD_ENCR_AES_GCM_16:
	case TD_ENCR_NULL_AUTH_AES_GMAC:
	case TD_ENCR_CHACHA20_POLY1305:
		return true;
	default:
		return false;
	}
}

// ---- reading ----------------------------------------------------------------------------------

static const struct word *word_find(uint8_t protocol, const char *text, size_t length)
{
	for (size_t i = 0; i < COUNT(words); i++)
		if (words[i].protocols & 1u << protocol && strlen(words[i].text) == length &&
		    memcmp(words[i].text, text, length) == 0)
			return &words[i];
	return NULL;
}

static int word_add(struct td_ike_proposal *proposal, const char *text, size_t length, struct td_error *error)
{
	const struct word *word = word_find(proposal->protocol, text, length);
	int shown = length < 24 ? (int)length : 24;

	if (!word)
		return td_error_set(error, -EINVAL, NULL, NULL, "has \"%.*s\"; allowed are %s", shown, text,
		    allowed[proposal->protocol]);
	for (unsigned i = 0; i < proposal->transform_count; i++)
		if (transform_equal(&proposal->transforms[i], &word->transform))
			return td_error_set(error, -EINVAL, NULL, NULL, "has \"%s\" twice", word->text);
	if (td_ike_transform_add(proposal, &word->transform))
		return td_error_set(error, -E2BIG, NULL, NULL, "names more than %d algorithms at \"%s\"",
		    TD_IKE_TRANSFORMS_MAX, word->text);
	return 0;
}

// The first transform of a type, or NULL.
static const struct td_ike_transform *first_of(const struct td_ike_proposal *proposal, uint8_t type)
{
	for (unsigned i = 0; i < proposal->transform_count; i++)
		if (proposal->transforms[i].type == type)
			return &proposal->transforms[i];
	return NULL;
}

// A cipher that authenticates stands without an integrity algorithm, any other with one; so both kinds need
// proposals of their own (RFC 7296 3.3).
static int cipher_check(const struct td_ike_proposal *proposal, struct td_error *error)
{
	const struct td_ike_transform *encr = first_of(proposal, TD_IKE_ENCR);
	const struct td_ike_transform *integ = first_of(proposal, TD_IKE_INTEG);

	if (!encr)
		return td_error_set(error, -EINVAL, NULL, NULL, "has no cipher, such as aes128gcm16");
	for (unsigned i = 0; i < proposal->transform_count; i++) {
		const struct td_ike_transform *other = &proposal->transforms[i];

		if (other->type == TD_IKE_ENCR &&
		    td_ike_encr_is_aead(other->id) != td_ike_encr_is_aead(encr->id))
			return td_error_set(error, -EINVAL, NULL, NULL,
			    "has \"%s\" and \"%s\", of which only one takes an integrity algorithm: make two "
			    "proposals of it",
			    td_ike_transform_name(encr), td_ike_transform_name(other));
	}
	if (td_ike_encr_is_aead(encr->id) && integ)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "has \"%s\", but \"%s\" takes no integrity algorithm%s", td_ike_transform_name(integ),
		    td_ike_transform_name(encr),
		    proposal->protocol == TD_IKE_PROTO_IKE ? "; a PRF is named like prfsha256" : "");
	if (!td_ike_encr_is_aead(encr->id) && !integ)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "has no integrity algorithm for \"%s\", such as sha256", td_ike_transform_name(encr));
	return 0;
}

static int prf_complete(struct td_ike_proposal *proposal, struct td_error *error)
{
	const struct td_ike_proposal named = *proposal;

	if (first_of(&named, TD_IKE_PRF))
		return 0;
	if (!first_of(&named, TD_IKE_INTEG))
		return td_error_set(error, -EINVAL, NULL, NULL, "has no PRF for \"%s\", such as prfsha256",
		    td_ike_transform_name(first_of(&named, TD_IKE_ENCR)));
	for (unsigned i = 0; i < named.transform_count; i++) {
		for (size_t j = 0; j < COUNT(prf_of_integ); j++) {
			const struct td_ike_transform prf = {TD_IKE_PRF, prf_of_integ[j].prf, 0};

			if (named.transforms[i].type == TD_IKE_INTEG &&
			    named.transforms[i].id == prf_of_integ[j].integ &&
			    td_ike_transform_add(proposal, &prf))
				return td_error_set(error, -E2BIG, NULL, NULL,
				    "names more than %d algorithms, with the PRFs", TD_IKE_TRANSFORMS_MAX);
		}
	}
	return 0;
}

static int esn_complete(struct td_ike_proposal *proposal, struct td_error *error)
{
	static const struct td_ike_transform both[] = {
	    {TD_IKE_ESN, TD_ESN_YES, 0}, {TD_IKE_ESN, TD_ESN_NO, 0}};

	if (first_of(proposal, TD_IKE_ESN))
		return 0;
	for (size_t i = 0; i < COUNT(both); i++)
		if (td_ike_transform_add(proposal, &both[i]))
			return td_error_set(error, -E2BIG, NULL, NULL,
			    "names more than %d algorithms, with esn and noesn", TD_IKE_TRANSFORMS_MAX);
	return 0;
}

// Adds what goes without saying, and refuses what no SA can be made of.
static int proposal_complete(struct td_ike_proposal *proposal, struct td_error *error)
{
	if (proposal->protocol == TD_IKE_PROTO_AH && !first_of(proposal, TD_IKE_INTEG))
		return td_error_set(error, -EINVAL, NULL, NULL, "has no integrity algorithm, such as sha256");
	if (proposal->protocol != TD_IKE_PROTO_AH && cipher_check(proposal, error))
		return -EINVAL;
	if (proposal->protocol != TD_IKE_PROTO_IKE)
		return esn_complete(proposal, error);
	if (!first_of(proposal, TD_IKE_DH))
		return td_error_set(
		    error, -EINVAL, NULL, NULL, "has no Diffie-Hellman group, such as x25519");
	return prf_complete(proposal, error);
}

int td_ike_proposal_parse(
    uint8_t protocol, const char *text, struct td_ike_proposals *proposals, struct td_error *error)
{
	struct td_ike_proposal proposal = {.protocol = protocol};
	const char *word = text;

	if (proposals->count == TD_IKE_PROPOSALS_MAX)
		return td_error_set(
		    error, -E2BIG, NULL, NULL, "has more than %d proposals", TD_IKE_PROPOSALS_MAX);
	for (;;) {
		size_t length = strcspn(word, "-");

		int result = word_add(&proposal, word, length, error);
		if (result)
			return result;
		if (word[length] == '\0')
			break;
		word += length + 1;
	}
	int result = proposal_complete(&proposal, error);
	if (result)
		return result;
	proposal.number = (uint8_t)(proposals->count + 1);
	proposals->list[proposals->count++] = proposal;
	return 0;
}

// ---- writing ----------------------------------------------------------------------------------

// Whether the PRFs are those that the integrity algorithms imply, so that reading the text adds them again.
static bool prf_is_implied(const struct td_ike_proposal *proposal)
{
	struct td_ike_proposal implied = {.protocol = proposal->protocol};
	unsigned count = 0;

	for (unsigned i = 0; i < proposal->transform_count; i++)
		if (proposal->transforms[i].type == TD_IKE_INTEG)
			td_ike_transform_add(&implied, &proposal->transforms[i]);
	if (implied.transform_count == 0 || prf_complete(&implied, NULL))
		return false;
	const struct td_ike_transform *prf = first_of(&implied, TD_IKE_PRF);
	for (unsigned i = 0; i < proposal->transform_count; i++) {
		if (proposal->transforms[i].type != TD_IKE_PRF)
			continue;
		if (!prf || !transform_equal(&prf[count], &proposal->transforms[i]))
			return false;
		count++;
	}
	return count > 0 && (count == implied.transform_count || prf[count].type != TD_IKE_PRF);
}

static void transform_format(const struct td_ike_transform *transform, char *text, size_t size)
{
	static const char *const types[] = {"type0", "encr", "prf", "integ", "dh", "esn"};
	const char *name = td_ike_transform_name(transform);

	if (name)
		snprintf(text, size, "%s", name);
	else if (transform->type < COUNT(types))
		snprintf(text, size, "%s%u/%u", types[transform->type], transform->id, transform->key_bits);
	else
		snprintf(text, size, "type%u/%u", transform->type, transform->id);
}

const char *td_ike_proposal_format(const struct td_ike_proposal *proposal, char *text)
{
	bool implied = prf_is_implied(proposal);
	size_t length = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < proposal->transform_count; i++) {
		const struct td_ike_transform *transform = &proposal->transforms[i];
		char word[32];

		if (implied && transform->type == TD_IKE_PRF)
			continue;
		transform_format(transform, word, sizeof(word));
		if (strcmp(word, "none") == 0)
			continue;
		if (length + 1 + strlen(word) >= TD_IKE_PROPOSAL_TEXT_MAX)
			break;
		length += (size_t)snprintf(
		    text + length, TD_IKE_PROPOSAL_TEXT_MAX - length, "%s%s", length ? "-" : "", word);
	}
	return text;
}

// ---- names of the data plane ------------------------------------------------------------------

struct suite_name {
	uint8_t protocol;
	uint16_t encr, key_bits, integ;
	const char *text;
};

#define AEAD(encr, bits, text)                                                                               \
	{                                                                                                    \
		TD_IKE_PROTO_ESP, encr, bits, TD_INTEG_NONE, text                                            \
	}
#define HMAC(encr, bits, text)                                                                               \
	{TD_IKE_PROTO_ESP, encr, bits, TD_INTEG_SHA2_256_128, text "-sha256"},                               \
	    {TD_IKE_PROTO_ESP, encr, bits, TD_INTEG_SHA2_384_192, text "-sha384"},                           \
	{                                                                                                    \
		TD_IKE_PROTO_ESP, encr, bits, TD_INTEG_SHA2_512_256, text "-sha512"                          \
	}
#define AUTH(integ, text)                                                                                    \
	{                                                                                                    \
		TD_IKE_PROTO_AH, 0, 0, integ, text                                                           \
	}

static const struct suite_name suite_names[] = {
    AEAD(TD_ENCR_AES_GCM_16, 128, "aes128gcm16"),
    AEAD(TD_ENCR_AES_GCM_16, 192, "aes192gcm16"),
    AEAD(TD_ENCR_AES_GCM_16, 256, "aes256gcm16"),
    AEAD(TD_ENCR_CHACHA20_POLY1305, 0, "chacha20poly1305"),
    HMAC(TD_ENCR_AES_CBC, 128, "aes128"),
    HMAC(TD_ENCR_AES_CBC, 192, "aes192"),
    HMAC(TD_ENCR_AES_CBC, 256, "aes256"),
    HMAC(TD_ENCR_AES_CTR, 128, "aes128ctr"),
    HMAC(TD_ENCR_AES_CTR, 192, "aes192ctr"),
    HMAC(TD_ENCR_AES_CTR, 256, "aes256ctr"),
    AEAD(TD_ENCR_AES_CCM_16, 128, "aes128ccm16"),
    AEAD(TD_ENCR_AES_CCM_16, 256, "aes256ccm16"),
    AEAD(TD_ENCR_NULL_AUTH_AES_GMAC, 128, "aes128gmac"),
    AEAD(TD_ENCR_NULL_AUTH_AES_GMAC, 192, "aes192gmac"),
    AEAD(TD_ENCR_NULL_AUTH_AES_GMAC, 256, "aes256gmac"),
    HMAC(TD_ENCR_NULL, 0, "null"),
    AUTH(TD_INTEG_SHA2_256_128, "sha256"),
    AUTH(TD_INTEG_SHA2_384_192, "sha384"),
    AUTH(TD_INTEG_SHA2_512_256, "sha512"),
    AUTH(TD_INTEG_AES_128_GMAC, "aes128gmac"),
    AUTH(TD_INTEG_AES_192_GMAC, "aes192gmac"),
    AUTH(TD_INTEG_AES_256_GMAC, "aes256gmac"),
};

const char *td_ike_esp_suite_name(const struct td_ike_suite *suite)
{
	for (size_t i = 0; i < COUNT(suite_names); i++) {
		const struct suite_name *name = &suite_names[i];

		if (name->protocol == suite->protocol && name->encr == suite->encr &&
		    name->key_bits == suite->key_bits && name->integ == suite->integ)
			return name->text;
	}
	return NULL;
}

// SPDX-License-Identifier: BSD-3-Clause
// Proposals: their text, their bytes, and what is chosen of two lists of them.

#include "control/ike/proposal.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IKE TD_IKE_PROTO_IKE
#define ESP TD_IKE_PROTO_ESP
#define AH TD_IKE_PROTO_AH

// ---- lists in the words of the tests ----------------------------------------------------------

// "e12/128 i12 d19" is a proposal, " | " stands between two: e ENCR, p PRF, i INTEG, d DH, s ESN, x type 6;
// the number behind "/" is the key length.
static struct td_ike_proposals list_of(uint8_t protocol, const char *text)
{
	static const char types[] = "?epidsx";
	struct td_ike_proposals list = {.count = 1, .list = {{.number = 1, .protocol = protocol}}};
	char copy[512], *rest = copy;

	cr_assert_lt(strlen(text), sizeof(copy));
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word; (word = strsep(&rest, " "));) {
		struct td_ike_proposal *proposal = &list.list[list.count - 1];
		unsigned id, key_bits = 0;

		if (*word == '|') {
			proposal[1] = (struct td_ike_proposal){
			    .number = (uint8_t)(proposal->number + 1), .protocol = protocol};
			list.count++;
			continue;
		}
		if (*word == '\0')
			continue;
		cr_assert_geq(sscanf(word + 1, "%u/%u", &id, &key_bits), 1, "%s", word);
		proposal->transforms[proposal->transform_count++] = (struct td_ike_transform){
		    (uint8_t)(strchr(types, *word) - types), (uint16_t)id, (uint16_t)key_bits};
	}
	return list;
}

static const char *text_of(const struct td_ike_proposal *proposal, char *text, size_t size)
{
	size_t length = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < proposal->transform_count; i++) {
		const struct td_ike_transform *transform = &proposal->transforms[i];

		length += (size_t)snprintf(text + length, size - length, "%s%c%u", i ? " " : "",
		    "?epidsx"[transform->type], transform -> id);
		if (transform->key_bits)
			length += (size_t)snprintf(text + length, size - length, "/%u", transform->key_bits);
	}
	return text;
}

// ---- text -------------------------------------------------------------------------------------

static const struct {
	uint8_t protocol;
	const char *text, *transforms;
	const char *canonical; // NULL: the same text
} texts[] = {
    {IKE, "aes128gcm16-prfsha256-x25519", "e20/128 p5 d31", NULL},
    {IKE, "aes256gcm16-aes128gcm16-prfsha384-prfsha256-ecp384-ecp256", "e20/256 e20/128 p6 p5 d20 d19", NULL},
    {IKE, "aes192gcm16-prfsha512-modp2048", "e20/192 p7 d14", NULL},
    {IKE, "chacha20poly1305-prfsha256-curve25519", "e28 p5 d31", "chacha20poly1305-prfsha256-x25519"},
    {IKE, "aes256-sha256-ecp256", "e12/256 p5 i12 d19", NULL},
    {IKE, "ecp256-sha256-aes256", "e12/256 p5 i12 d19", "aes256-sha256-ecp256"},
    {IKE, "aes128-aes192-sha512-sha384-modp3072", "e12/128 e12/192 p7 p6 i14 i13 d15", NULL},
    {IKE, "aes128-sha256-prfsha512-ecp521", "e12/128 p7 i12 d21", "aes128-prfsha512-sha256-ecp521"},
    {IKE, "aes128-sha256-prfsha256-x25519", "e12/128 p5 i12 d31", "aes128-sha256-x25519"},
    {IKE, "aes128-sha256-prfsha256-prfsha384-x25519", "e12/128 p5 p6 i12 d31",
        "aes128-prfsha256-prfsha384-sha256-x25519"},
    {IKE, "aes128-sha256-sha384-prfsha256-x25519", "e12/128 p5 i12 i13 d31",
        "aes128-prfsha256-sha256-sha384-x25519"},
    {ESP, "aes128gcm16", "e20/128 s1 s0", "aes128gcm16-esn-noesn"},
    {ESP, "aes128gcm16-esn", "e20/128 s1", NULL},
    {ESP, "aes128gcm16-noesn", "e20/128 s0", NULL},
    {ESP, "aes128gcm16-noesn-esn", "e20/128 s0 s1", NULL},
    {ESP, "aes128gcm16-x25519-ecp256-noesn", "e20/128 d31 d19 s0", NULL},
    {ESP, "aes256-sha256-ecp256-esn", "e12/256 i12 d19 s1", NULL},
    {ESP, "aes128ctr-sha384-esn", "e13/128 i13 s1", NULL},
    {ESP, "aes192ctr-sha384-esn", "e13/192 i13 s1", NULL},
    {ESP, "aes256ctr-aes256-sha512-esn", "e13/256 e12/256 i14 s1", NULL},
    {ESP, "aes128ccm16-aes256ccm16-esn", "e16/128 e16/256 s1", NULL},
    {ESP, "aes128gmac-aes192gmac-aes256gmac-esn", "e21/128 e21/192 e21/256 s1", NULL},
    {ESP, "null-sha256-esn", "e11 i12 s1", NULL},
    {ESP, "chacha20poly1305-esn", "e28 s1", NULL},
    {AH, "sha256-sha512", "i12 i14 s1 s0", "sha256-sha512-esn-noesn"},
    {AH, "aes128gmac-aes192gmac-aes256gmac-x25519-esn", "i9 i10 i11 d31 s1", NULL},
};

Test(proposal_text, is_read_and_written)
{
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct td_ike_proposals list = {0};
		struct td_error error = {0};
		char transforms[256], text[TD_IKE_PROPOSAL_TEXT_MAX];

		cr_assert_eq(td_ike_proposal_parse(texts[i].protocol, texts[i].text, &list, &error), 0,
		    "%s: %s", texts[i].text, error.reason);
		cr_expect_eq(list.count, 1);
		cr_expect_eq(list.list[0].number, 1);
		cr_expect_eq(list.list[0].protocol, texts[i].protocol);
		cr_expect_str_eq(text_of(&list.list[0], transforms, sizeof(transforms)), texts[i].transforms);
		const char *canonical = texts[i].canonical ? texts[i].canonical : texts[i].text;
		cr_expect_str_eq(td_ike_proposal_format(&list.list[0], text), canonical);
		// What is written means the same when it is read.
		struct td_ike_proposals again = {0};
		cr_expect_eq(td_ike_proposal_parse(texts[i].protocol, text, &again, &error), 0);
		cr_expect_eq(again.count, 1);
		cr_expect_str_eq(
		    text_of(&again.list[0], transforms, sizeof(transforms)), texts[i].transforms);
	}
}

static const struct {
	uint8_t protocol;
	const char *text;
	const char *says, *says_too; // parts of the reason
} wrong_texts[] = {
    {IKE, "aes128gcm16-prfsha256-x25518", "\"x25518\"", "x25519"},
    {IKE, "aes128gcm17-prfsha256-x25519", "\"aes128gcm17\"", "aes128gcm16"},
    {IKE, "AES128-sha256-x25519", "\"AES128\"", "aes128"},
    {IKE, "", "\"\"", "aes128"},
    {IKE, "-", "\"\"", "aes128"},
    {IKE, "aes128-sha256-x25519-", "\"\"", "aes128"},
    {IKE, "aes128--sha256-x25519", "\"\"", "aes128"},
    {IKE, "aes128 sha256 x25519", "\"aes128 sha256 x25519\"", "aes128"},
    {IKE, "aes128,sha256", "\"aes128,sha256\"", "aes128"},
    {IKE, "a-word-that-is-so-long", "\"a\"", ""},
    {IKE, "awordthatissolongthatnobodywouldreadallofitifitwereshown", "\"awordthatissolongthatnob\"",
        "x25519"},
    {IKE, "null-sha256-x25519", "\"null\"", "aes128"},
    {IKE, "aes128gmac-prfsha256-x25519", "\"aes128gmac\"", "aes128"},
    {IKE, "aes128ctr-sha256-x25519", "\"aes128ctr\"", "aes128"},
    {IKE, "aes128gcm16-prfsha256-x25519-esn", "\"esn\"", "x25519"},
    {IKE, "none", "\"none\"", ""},
    {IKE, "aes128gcm16-prfsha256", "no Diffie-Hellman group", "x25519"},
    {IKE, "aes128gcm16-x25519", "no PRF for \"aes128gcm16\"", "prfsha256"},
    {IKE, "aes128-prfsha256-x25519", "no integrity algorithm for \"aes128\"", "sha256"},
    {IKE, "aes128gcm16-sha256-x25519", "has \"sha256\", but \"aes128gcm16\"", "prfsha256"},
    {IKE, "prfsha256-x25519", "no cipher", "aes128gcm16"},
    {IKE, "aes128gcm16-aes128-prfsha256-sha256-x25519", "\"aes128gcm16\" and \"aes128\"", "two proposals"},
    {IKE, "aes128-aes128-sha256-x25519", "\"aes128\" twice", ""},
    {IKE, "aes128-sha256-x25519-curve25519", "\"curve25519\" twice", ""},
    {ESP, "aes128-prfsha256", "\"prfsha256\"", "noesn"},
    {ESP, "aes192ccm16", "\"aes192ccm16\"", "aes256ccm16"},
    {ESP, "aes128", "no integrity algorithm for \"aes128\"", ""},
    {ESP, "null", "no integrity algorithm for \"null\"", ""},
    {ESP, "aes128ctr", "no integrity algorithm for \"aes128ctr\"", ""},
    {ESP, "sha256", "no cipher", ""},
    {ESP, "esn", "no cipher", ""},
    {ESP, "aes128gmac-sha256", "has \"sha256\", but \"aes128gmac\"", ""},
    {ESP, "chacha20poly1305-sha256", "has \"sha256\", but \"chacha20poly1305\"", ""},
    {ESP, "null-aes128gmac-sha256", "\"null\" and \"aes128gmac\"", ""},
    {ESP, "none", "\"none\"", ""},
    {AH, "aes128-sha256", "\"aes128\"", "aes128gmac"},
    {AH, "x25519", "no integrity algorithm", "sha256"},
};

Test(proposal_text, says_what_is_wrong)
{
	for (size_t i = 0; i < COUNT(wrong_texts); i++) {
		struct td_ike_proposals list = {0};
		struct td_error error = {.object = "tunnel a", .field = "proposals"};

		cr_expect_eq(
		    td_ike_proposal_parse(wrong_texts[i].protocol, wrong_texts[i].text, &list, &error),
		    -EINVAL, "%s", wrong_texts[i].text);
		cr_expect_eq(list.count, 0, "%s", wrong_texts[i].text);
		cr_expect_not_null(
		    strstr(error.reason, wrong_texts[i].says), "%s: %s", wrong_texts[i].text, error.reason);
		cr_expect_not_null(strstr(error.reason, wrong_texts[i].says_too), "%s: %s",
		    wrong_texts[i].text, error.reason);
		cr_expect_lt(strlen(error.reason), sizeof(error.reason) - 1, "%s is cut", error.reason);
		cr_expect_str_eq(error.object, "tunnel a");
		cr_expect_str_eq(error.field, "proposals");
	}
}

Test(proposal_text, as_many_as_there_is_room_for)
{
	struct td_ike_proposals list = {0};
	struct td_error error = {0};

	for (unsigned i = 0; i < TD_IKE_PROPOSALS_MAX; i++) {
		cr_expect_eq(td_ike_proposal_parse(ESP, "aes128gcm16", &list, &error), 0);
		cr_expect_eq(list.list[i].number, i + 1);
	}
	cr_expect_eq(td_ike_proposal_parse(ESP, "aes128gcm16", &list, &error), -E2BIG);
	cr_expect_eq(list.count, TD_IKE_PROPOSALS_MAX);
	cr_expect_not_null(strstr(error.reason, "8"));
	// Without an error to fill in.
	cr_expect_eq(td_ike_proposal_parse(ESP, "aes128gcm16", &list, NULL), -E2BIG);
}

Test(proposal_text, of_what_is_not_known_fits)
{
	struct td_ike_proposals list = list_of(IKE, "e65000/40 e11/65535 p2 i2 d2 s7 x1 i0 d0");
	char text[TD_IKE_PROPOSAL_TEXT_MAX];

	cr_expect_str_eq(td_ike_proposal_format(&list.list[0], text),
	    "encr65000/40-encr11/65535-prf2/0-integ2/0-dh2/0-esn7/0-type6/1");
	for (unsigned i = 0; i < TD_IKE_TRANSFORMS_MAX; i++)
		list.list[0].transforms[i] =
		    (struct td_ike_transform){TD_IKE_ENCR, (uint16_t)(60000 + i), 60000};
	list.list[0].transform_count = TD_IKE_TRANSFORMS_MAX;
	cr_expect_lt(strlen(td_ike_proposal_format(&list.list[0], text)), sizeof(text));
}

// The names of dataplane/suite.c, NULL for what it has not.
static const struct {
	uint8_t protocol;
	const char *text, *suite;
} suites[] = {
    {ESP, "e20/128 s0", "aes128gcm16"},
    {ESP, "e20/192 i0 s1", "aes192gcm16"},
    {ESP, "e20/256 d31 s1", "aes256gcm16"},
    {ESP, "e28", "chacha20poly1305"},
    {ESP, "e12/128 i12", "aes128-sha256"},
    {ESP, "e12/192 i13", "aes192-sha384"},
    {ESP, "e12/256 i14", "aes256-sha512"},
    {ESP, "e13/128 i12", "aes128ctr-sha256"},
    {ESP, "e13/256 i14", "aes256ctr-sha512"},
    {ESP, "e16/128", "aes128ccm16"},
    {ESP, "e16/256", "aes256ccm16"},
    {ESP, "e21/128", "aes128gmac"},
    {ESP, "e21/192", "aes192gmac"},
    {ESP, "e21/256", "aes256gmac"},
    {ESP, "e11 i12", "null-sha256"},
    {ESP, "e11 i14", "null-sha512"},
    {AH, "i12", "sha256"},
    {AH, "i14 s1", "sha512"},
    {AH, "i9", "aes128gmac"},
    {ESP, "e11", NULL},
    {ESP, "e12/128", NULL},
    {ESP, "e12 i12", NULL},
    {ESP, "e20/128 i12", NULL},
    {ESP, "e16/192", NULL},
    {ESP, "e28/256", NULL},
    {ESP, "e3 i2", NULL},
    {AH, "i2", NULL},
    {AH, "", NULL},
    {IKE, "e20/128", NULL},
};

Test(proposal_suite, has_the_name_of_the_data_plane)
{
	for (size_t i = 0; i < COUNT(suites); i++) {
		struct td_ike_proposals list = list_of(suites[i].protocol, suites[i].text);
		struct td_ike_suite suite = td_ike_suite_of(&list.list[0]);
		const char *name = td_ike_esp_suite_name(&suite);

		if (suites[i].suite)
			cr_expect_str_eq(name ? name : "NULL", suites[i].suite);
		else
			cr_expect_null(name, "%s", suites[i].text);
	}
}

Test(proposal_suite, of_a_chosen_proposal)
{
	struct td_ike_proposals list = list_of(IKE, "e12/256 p6 i13 d20");
	struct td_ike_suite suite = td_ike_suite_of(&list.list[0]);

	cr_expect_eq(suite.protocol, IKE);
	cr_expect_eq(suite.encr, TD_ENCR_AES_CBC);
	cr_expect_eq(suite.key_bits, 256);
	cr_expect_eq(suite.prf, TD_PRF_SHA2_384);
	cr_expect_eq(suite.integ, TD_INTEG_SHA2_384_192);
	cr_expect_eq(suite.dh, TD_DH_ECP_384);
	cr_expect_not(suite.esn);
	list = list_of(ESP, "e28 s1");
	suite = td_ike_suite_of(&list.list[0]);
	cr_expect_eq(suite.key_bits, 0);
	cr_expect_eq(suite.integ, TD_INTEG_NONE);
	cr_expect_eq(suite.dh, TD_DH_NONE);
	cr_expect(suite.esn);
}

// ---- choosing ---------------------------------------------------------------------------------

static const struct {
	const char *name;
	uint8_t protocol;
	const char *ours, *offered;
	bool without_dh;
	unsigned number; // of the offered proposal that is chosen; 0: none
	const char *chosen;
} choices[] = {
    {"the same", IKE, "e20/128 p5 d31", "e20/128 p5 d31", false, 1, "e20/128 p5 d31"},
    {"our order, not theirs", IKE, "e20/256 e20/128 p6 p5 d31 d19", "e20/128 e20/256 p5 p6 d19 d31", false, 1,
        "e20/256 p6 d31"},
    {"our first proposal, their second", IKE, "e20/256 p5 d31 | e20/128 p5 d31",
        "e20/128 p5 d31 | e20/256 p5 d31", false, 2, "e20/256 p5 d31"},
    {"our second proposal", IKE, "e20/256 p5 d31 | e20/128 p5 d31", "e20/128 p5 d31", false, 1,
        "e20/128 p5 d31"},
    {"key length differs", IKE, "e20/128 p5 d31", "e20/256 p5 d31", false, 0, NULL},
    {"no key length", IKE, "e20/128 p5 d31", "e20 p5 d31", false, 0, NULL},
    {"a key length too many", IKE, "e28 p5 d31", "e28/256 p5 d31", false, 0, NULL},
    {"an attribute not known", IKE, "e28 p5 d31", "e28/65535 p5 d31", false, 0, NULL},
    {"that, and another that fits", IKE, "e28 p5 d31", "e28/65535 e28 p5 d31", false, 1, "e28 p5 d31"},
    {"no PRF in common", IKE, "e20/128 p5 d31", "e20/128 p6 d31", false, 0, NULL},
    {"no group in common", IKE, "e20/128 p5 d31", "e20/128 p5 d19", false, 0, NULL},
    {"no cipher in common", IKE, "e20/128 p5 d31", "e12/128 p5 i12 d31", false, 0, NULL},
    {"no PRF at all", IKE, "e20/128 p5 d31", "e20/128 d31", false, 0, NULL},
    {"no group at all", IKE, "e20/128 p5 d31", "e20/128 p5", false, 0, NULL},
    {"no transforms", IKE, "e20/128 p5 d31", "", false, 0, NULL},
    {"AEAD with INTEG NONE", IKE, "e20/128 p5 d31", "e20/128 p5 i0 d31", false, 1, "e20/128 p5 i0 d31"},
    {"AEAD with INTEG", IKE, "e20/128 p5 d31", "e20/128 p5 i12 d31", false, 0, NULL},
    {"AEAD with INTEG or NONE", IKE, "e20/128 p5 d31", "e20/128 e12/128 p5 i12 i0 d31", false, 1,
        "e20/128 p5 i0 d31"},
    {"CBC with INTEG or NONE", IKE, "e12/128 p5 i12 d31", "e20/128 e12/128 p5 i0 i12 d31", false, 1,
        "e12/128 p5 i12 d31"},
    {"CBC without INTEG", IKE, "e12/128 p5 i12 d31", "e12/128 p5 d31", false, 0, NULL},
    {"CBC with INTEG NONE", IKE, "e12/128 p5 i12 d31", "e12/128 p5 i0 d31", false, 0, NULL},
    {"a transform type not known", IKE, "e20/128 p5 d31", "e20/128 p5 d31 x1", false, 0, NULL},
    {"that of value 0", IKE, "e20/128 p5 d31", "e20/128 p5 d31 x0", false, 0, NULL},
    {"that, and a proposal without", IKE, "e20/128 p5 d31", "e20/128 p5 d31 x1 | e20/128 p5 d31", false, 2,
        "e20/128 p5 d31"},
    {"algorithms not known beside ours", IKE, "e20/128 p5 d31", "e3 e20/128 p2 p5 d2 d31", false, 1,
        "e20/128 p5 d31"},
    {"ESP", ESP, "e20/128 s1 s0", "e20/128 s1 s0", false, 1, "e20/128 s1"},
    {"ESP, we prefer no ESN", ESP, "e20/128 s0 s1", "e20/128 s1 s0", false, 1, "e20/128 s0"},
    {"ESP, they have no ESN", ESP, "e20/128 s1 s0", "e20/128 s0", false, 1, "e20/128 s0"},
    {"ESP, they say nothing about ESN", ESP, "e20/128 s1 s0", "e20/128", false, 1, "e20/128"},
    {"ESP, nothing about ESN, we need it", ESP, "e20/128 s1", "e20/128", false, 0, NULL},
    {"ESP, no ESN, we need it", ESP, "e20/128 s1", "e20/128 s0", false, 0, NULL},
    {"ESP, ESN, we have it not", ESP, "e20/128 s0", "e20/128 s1", false, 0, NULL},
    {"PFS", ESP, "e20/128 d31 s1", "e20/128 d31 d19 s1", false, 1, "e20/128 d31 s1"},
    {"PFS, they have none", ESP, "e20/128 d31 s1", "e20/128 s1", false, 0, NULL},
    {"PFS, they say NONE", ESP, "e20/128 d31 s1", "e20/128 d0 s1", false, 0, NULL},
    {"PFS, NONE would do for them", ESP, "e20/128 d31 s1", "e20/128 d0 d31 s1", false, 1, "e20/128 d31 s1"},
    {"no PFS, they want it", ESP, "e20/128 s1", "e20/128 d31 s1", false, 0, NULL},
    {"no PFS, NONE would do for them", ESP, "e20/128 s1", "e20/128 d31 d0 s1", false, 1, "e20/128 d0 s1"},
    {"PFS or not, as they like: we first", ESP, "e20/128 d31 d0 s1", "e20/128 s1", false, 1, "e20/128 s1"},
    {"IKE_AUTH, PFS is for later", ESP, "e20/128 d31 s1", "e20/128 s1", true, 1, "e20/128 s1"},
    {"IKE_AUTH, they name a group", ESP, "e20/128 s1", "e20/128 d19 s1", true, 1, "e20/128 s1"},
    {"IKE_AUTH, groups differ", ESP, "e20/128 d31 s1", "e20/128 d19 s1", true, 1, "e20/128 s1"},
    {"a PRF for ESP", ESP, "e20/128 s1", "e20/128 p5 s1", false, 0, NULL},
    {"ESP with INTEG NONE", ESP, "e20/128 s1", "e20/128 i0 s1", false, 1, "e20/128 i0 s1"},
    {"AH", AH, "i12 s1 s0", "i12 s0", false, 1, "i12 s0"},
    {"AH with a cipher", AH, "i12 s1 s0", "e20/128 i12 s0", false, 0, NULL},
    {"AH without INTEG", AH, "i12 s1 s0", "s0", false, 0, NULL},
};

Test(proposal_choice, is_the_best_of_both)
{
	for (size_t i = 0; i < COUNT(choices); i++) {
		struct td_ike_proposals ours = list_of(choices[i].protocol, choices[i].ours);
		struct td_ike_proposals offered = list_of(choices[i].protocol, choices[i].offered);
		struct td_ike_proposal chosen = {.number = 99};
		char text[256];

		for (unsigned p = 0; p < offered.count; p++) {
			offered.list[p].spi_size = 4;
			memset(offered.list[p].spi, (int)p + 1, 4);
		}
		int result = td_ike_proposal_choose(&ours, &offered, choices[i].without_dh, &chosen);
		if (!choices[i].number) {
			cr_expect_eq(result, -ENOENT, "%s", choices[i].name);
			cr_expect_eq(chosen.number, 99, "%s", choices[i].name);
			continue;
		}
		cr_expect_eq(result, 0, "%s", choices[i].name);
		cr_expect_eq(chosen.number, choices[i].number, "%s", choices[i].name);
		cr_expect_eq(chosen.protocol, choices[i].protocol);
		cr_expect_eq(chosen.spi_size, 4);
		cr_expect_eq(chosen.spi[3], choices[i].number, "%s: the SPI of the offer", choices[i].name);
		cr_expect_str_eq(
		    text_of(&chosen, text, sizeof(text)), choices[i].chosen, "%s: %s", choices[i].name, text);
		// The initiator recognizes what was chosen of its offer.
		cr_expect(td_ike_proposal_is_choice(&offered, &chosen, choices[i].without_dh), "%s",
		    choices[i].name);
	}
}

Test(proposal_choice, is_of_one_protocol)
{
	struct td_ike_proposals ours = list_of(ESP, "e20/128 s1"), offered = list_of(AH, "e20/128 s1");
	struct td_ike_proposals empty = {0};
	struct td_ike_proposal chosen;

	cr_expect_eq(td_ike_proposal_choose(&ours, &offered, false, &chosen), -ENOENT);
	cr_expect_eq(td_ike_proposal_choose(&ours, &empty, false, &chosen), -ENOENT);
	cr_expect_eq(td_ike_proposal_choose(&empty, &offered, false, &chosen), -ENOENT);
	cr_expect_eq(td_ike_proposal_choose(&ours, &ours, false, &chosen), 0);
}

static const struct {
	const char *name;
	uint8_t protocol;
	const char *ours, *answer;
	unsigned number;
	bool without_dh, is_choice;
} answers[] = {
    {"the same", IKE, "e20/128 p5 d31", "e20/128 p5 d31", 1, false, true},
    {"one of each", IKE, "e20/128 e20/256 p5 p6 d31 d19", "e20/256 p5 d19", 1, false, true},
    {"the second proposal", IKE, "e20/128 p5 d31 | e28 p5 d31", "e28 p5 d31", 2, false, true},
    {"the number of the other", IKE, "e20/128 p5 d31 | e28 p5 d31", "e28 p5 d31", 1, false, false},
    {"a number nobody offered", IKE, "e20/128 p5 d31", "e20/128 p5 d31", 2, false, false},
    {"number 0", IKE, "e20/128 p5 d31", "e20/128 p5 d31", 0, false, false},
    {"two ciphers", IKE, "e20/128 e20/256 p5 d31", "e20/128 e20/256 p5 d31", 1, false, false},
    {"a cipher and one not known", IKE, "e20/128 p5 d31", "e20/128 e3 p5 d31", 1, false, false},
    {"no cipher", IKE, "e20/128 p5 d31", "p5 d31", 1, false, false},
    {"no PRF", IKE, "e20/128 p5 d31", "e20/128 d31", 1, false, false},
    {"no group", IKE, "e20/128 p5 d31", "e20/128 p5", 1, false, false},
    {"group NONE", IKE, "e20/128 p5 d31", "e20/128 p5 d0", 1, false, false},
    {"another group", IKE, "e20/128 p5 d31", "e20/128 p5 d14", 1, false, false},
    {"a weaker key", IKE, "e20/256 p5 d31", "e20/128 p5 d31", 1, false, false},
    {"no integrity", IKE, "e12/128 p5 i12 d31", "e12/128 p5 d31", 1, false, false},
    {"integrity NONE", IKE, "e12/128 p5 i12 d31", "e12/128 p5 i0 d31", 1, false, false},
    {"integrity NONE of an AEAD", IKE, "e20/128 p5 d31", "e20/128 p5 i0 d31", 1, false, true},
    {"integrity beside an AEAD", IKE, "e20/128 p5 d31", "e20/128 p5 i12 d31", 1, false, false},
    {"a type not known", IKE, "e20/128 p5 d31", "e20/128 p5 d31 x1", 1, false, false},
    {"nothing", IKE, "e20/128 p5 d31", "", 1, false, false},
    {"ESN", ESP, "e20/128 s1 s0", "e20/128 s1", 1, false, true},
    {"no ESN", ESP, "e20/128 s1 s0", "e20/128 s0", 1, false, true},
    {"nothing about ESN", ESP, "e20/128 s1 s0", "e20/128", 1, false, true},
    {"both about ESN", ESP, "e20/128 s1 s0", "e20/128 s1 s0", 1, false, false},
    {"no ESN where it is needed", ESP, "e20/128 s1", "e20/128 s0", 1, false, false},
    {"nothing where it is needed", ESP, "e20/128 s1", "e20/128", 1, false, false},
    {"ESN that was not offered", ESP, "e20/128 s0", "e20/128 s1", 1, false, false},
    {"PFS", ESP, "e20/128 d31 s1", "e20/128 d31 s1", 1, false, true},
    {"no PFS", ESP, "e20/128 d31 s1", "e20/128 s1", 1, false, false},
    {"PFS not offered", ESP, "e20/128 s1", "e20/128 d31 s1", 1, false, false},
    {"PFS NONE not offered", ESP, "e20/128 s1", "e20/128 d0 s1", 1, false, true},
    {"no group in IKE_AUTH", ESP, "e20/128 d31 s1", "e20/128 s1", 1, true, true},
    {"group NONE in IKE_AUTH", ESP, "e20/128 d31 s1", "e20/128 d0 s1", 1, true, true},
    {"a group in IKE_AUTH", ESP, "e20/128 d31 s1", "e20/128 d31 s1", 1, true, false},
};

Test(proposal_choice, of_an_answer)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct td_ike_proposals ours = list_of(answers[i].protocol, answers[i].ours);
		struct td_ike_proposals answer = list_of(answers[i].protocol, answers[i].answer);

		answer.list[0].number = (uint8_t)answers[i].number;
		cr_expect_eq(td_ike_proposal_is_choice(&ours, &answer.list[0], answers[i].without_dh),
		    answers[i].is_choice, "%s", answers[i].name);
		answer.list[0].protocol = 77;
		cr_expect_not(td_ike_proposal_is_choice(&ours, &answer.list[0], answers[i].without_dh));
	}
}

Test(proposals, have_groups)
{
	struct td_ike_proposals list = list_of(IKE, "e20/128 p31 | e20/128 d0 d19 | d31 d14");

	cr_expect_eq(td_ike_proposals_dh(&list), TD_DH_ECP_256);
	cr_expect(td_ike_proposals_have_dh(&list, TD_DH_MODP_2048));
	cr_expect(td_ike_proposals_have_dh(&list, TD_DH_X25519));
	cr_expect_not(td_ike_proposals_have_dh(&list, TD_DH_ECP_384));
	list = list_of(ESP, "e20/128 d0");
	cr_expect_eq(td_ike_proposals_dh(&list), TD_DH_NONE);
}

// ---- bytes ------------------------------------------------------------------------------------

struct payload {
	uint8_t buffer[8192];
	struct td_ike_chain chain;
};

// The SA payload's body.
static struct td_bytes sa_write(
    struct payload *payload, const struct td_ike_proposals *list, const char *spi, uint8_t spi_size)
{
	td_ike_chain_init(&payload->chain, payload->buffer, sizeof(payload->buffer));
	td_ike_proposals_write(&payload->chain, list, spi, spi_size);
	cr_assert_not(payload->chain.writer.overflow);
	cr_assert_eq(payload->chain.first, TD_IKE_PAYLOAD_SA);
	return (struct td_bytes){payload->buffer + 4, payload->chain.writer.length - 4};
}

Test(proposal_bytes, are_as_the_rfc_draws_them)
{
	static const uint8_t expected[] = {
	    2, 0, 0, 40, 1, 3, 4, 3, 0, 0, 0x10, 1, // proposal 1: ESP, SPI of four bytes, three transforms
	    3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 0, 128, //
	    3, 0, 0, 8, 4, 0, 0, 31, //
	    0, 0, 0, 8, 5, 0, 0, 1, //
	    0, 0, 0, 20, 2, 3, 4, 1, 0, 0, 0x10, 1, //
	    0, 0, 0, 8, 1, 0, 0, 28, //
	};
	struct td_ike_proposals list = list_of(ESP, "e20/128 d31 s1 | e28");
	struct payload payload;
	struct td_bytes sa = sa_write(&payload, &list, "\x00\x00\x10\x01", 4);

	cr_expect(td_bytes_equal(sa, (struct td_bytes){expected, sizeof(expected)}));
}

Test(proposal_bytes, are_read_as_written)
{
	for (size_t i = 0; i < COUNT(choices); i++) {
		struct td_ike_proposals list = list_of(choices[i].protocol, choices[i].offered), got;
		uint8_t spi_size = choices[i].protocol == IKE ? 8 : 4;
		struct payload payload;
		char text[256], right[256];

		struct td_bytes sa = sa_write(&payload, &list, "abcdefgh", spi_size);
		cr_assert_eq(td_ike_proposals_read(sa, &got), 0, "%s", choices[i].name);
		cr_assert_eq(got.count, list.count, "%s", choices[i].name);
		for (unsigned p = 0; p < got.count; p++) {
			cr_expect_eq(got.list[p].number, p + 1);
			cr_expect_eq(got.list[p].protocol, choices[i].protocol);
			cr_expect_eq(got.list[p].spi_size, spi_size);
			cr_expect_arr_eq(got.list[p].spi, "abcdefgh", spi_size);
			// The tests write types in order, as reading sorts them.
			cr_expect_str_eq(text_of(&got.list[p], text, sizeof(text)),
			    text_of(&list.list[p], right, sizeof(right)));
		}
	}
}

Test(proposal_bytes, truncated_at_every_byte)
{
	struct td_ike_proposals list = list_of(IKE, "e20/128 e12/256 p5 i12 d31 | e28 p5 d19"), got;
	struct payload payload;
	struct td_bytes sa = sa_write(&payload, &list, NULL, 0);

	for (size_t length = 0; length < sa.length; length++) {
		uint8_t *cut = malloc(length + 1); // exactly what may be read, for the sanitizer

		memcpy(cut + 1, sa.data, length);
		got.count = 99;
		cr_expect_eq(td_ike_proposals_read((struct td_bytes){cut + 1, length}, &got), -EBADMSG);
		cr_expect_eq(got.count, 0);
		free(cut);
	}
	td_writer_u8(&payload.chain.writer, 0);
	sa.length++;
	cr_expect_eq(td_ike_proposals_read(sa, &got), -EBADMSG, "a byte behind");
}

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define CHACHA 0, 0, 0, 8, 1, 0, 0, 28 // as the last transform
#define MORE_CHACHA 3, 0, 0, 8, 1, 0, 0, 28

static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t length;
	int result;
	unsigned count; // of proposals
	const char *first; // its transforms
} sas[] = {
    {"one transform", BYTES(0, 0, 0, 16, 1, 1, 0, 1, CHACHA), 0, 1, "e28"},
    {"reserved bytes set", BYTES(0, 9, 0, 16, 1, 1, 0, 1, 0, 9, 0, 8, 1, 9, 0, 28), 0, 1, "e28"},
    {"no transform", BYTES(0, 0, 0, 8, 1, 1, 0, 0), 0, 1, ""},
    {"no transform announced, one there", BYTES(0, 0, 0, 16, 1, 1, 0, 0, CHACHA), -EBADMSG, 0, NULL},
    {"a byte behind the last transform", BYTES(0, 0, 0, 17, 1, 1, 0, 1, CHACHA, 0), -EBADMSG, 0, NULL},
    {"proposal of 7 bytes", BYTES(0, 0, 0, 7, 1, 1, 0, 0), -EBADMSG, 0, NULL},
    {"proposal of 0 bytes", BYTES(0, 0, 0, 0, 1, 1, 0, 0), -EBADMSG, 0, NULL},
    {"proposal of 3 bytes", BYTES(0, 0, 0, 3, 1, 1, 0, 0), -EBADMSG, 0, NULL},
    {"proposal longer than the payload", BYTES(0, 0, 0, 17, 1, 1, 0, 1, CHACHA), -EBADMSG, 0, NULL},
    {"more announced, none there", BYTES(2, 0, 0, 16, 1, 1, 0, 1, CHACHA), -EBADMSG, 0, NULL},
    {"last, and another behind", BYTES(0, 0, 0, 16, 1, 1, 0, 1, CHACHA, 0, 0, 0, 16, 2, 1, 0, 1, CHACHA),
        -EBADMSG, 0, NULL},
    {"two", BYTES(2, 0, 0, 16, 1, 1, 0, 1, CHACHA, 0, 0, 0, 16, 2, 1, 0, 1, CHACHA), 0, 2, "e28"},
    {"a wrong mark for more", BYTES(3, 0, 0, 16, 1, 1, 0, 1, CHACHA, 0, 0, 0, 16, 2, 1, 0, 1, CHACHA),
        -EBADMSG, 0, NULL},
    {"the same number twice", BYTES(2, 0, 0, 16, 1, 1, 0, 1, CHACHA, 0, 0, 0, 16, 1, 1, 0, 1, CHACHA),
        -EBADMSG, 0, NULL},
    {"number 0", BYTES(0, 0, 0, 16, 0, 1, 0, 1, CHACHA), -EBADMSG, 0, NULL},
    {"an answer's number", BYTES(0, 0, 0, 16, 200, 1, 0, 1, CHACHA), 0, 1, "e28"},
    {"two transforms announced, one there", BYTES(0, 0, 0, 16, 1, 1, 0, 2, CHACHA), -EBADMSG, 0, NULL},
    {"two announced, the first the last", BYTES(0, 0, 0, 24, 1, 1, 0, 2, CHACHA, CHACHA), -EBADMSG, 0, NULL},
    {"one announced, two there", BYTES(0, 0, 0, 24, 1, 1, 0, 1, MORE_CHACHA, CHACHA), -EBADMSG, 0, NULL},
    {"the same transform twice", BYTES(0, 0, 0, 24, 1, 1, 0, 2, MORE_CHACHA, CHACHA), 0, 1, "e28 e28"},
    {"a wrong mark for more transforms", BYTES(0, 0, 0, 24, 1, 1, 0, 2, 2, 0, 0, 8, 1, 0, 0, 28, CHACHA),
        -EBADMSG, 0, NULL},
    {"transform of 7 bytes", BYTES(0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 7, 1, 0, 0, 28), -EBADMSG, 0, NULL},
    {"transform of 0 bytes", BYTES(0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 28), -EBADMSG, 0, NULL},
    {"transform of 9 bytes", BYTES(0, 0, 0, 17, 1, 1, 0, 1, 0, 0, 0, 9, 1, 0, 0, 28, 0), -EBADMSG, 0, NULL},
    {"attribute of three bytes", BYTES(0, 0, 0, 19, 1, 1, 0, 1, 0, 0, 0, 11, 1, 0, 0, 12, 0x80, 14, 0),
        -EBADMSG, 0, NULL},
    {"key length", BYTES(0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 0x80, 14, 1, 0), 0, 1, "e12/256"},
    {"key length twice",
        BYTES(0, 0, 0, 24, 1, 1, 0, 1, 0, 0, 0, 16, 1, 0, 0, 12, 0x80, 14, 1, 0, 0x80, 14, 0, 128), 0, 1,
        "e12/65535"},
    {"key length 0", BYTES(0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 28, 0x80, 14, 0, 0), 0, 1,
        "e28/65535"},
    {"key length with a length", BYTES(0, 0, 0, 22, 1, 1, 0, 1, 0, 0, 0, 14, 1, 0, 0, 12, 0, 14, 0, 2, 1, 0),
        0, 1, "e12/65535"},
    {"an attribute not known", BYTES(0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 28, 0x80, 15, 0, 1), 0, 1,
        "e28/65535"},
    {"an empty attribute not known", BYTES(0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 28, 0, 15, 0, 0), 0,
        1, "e28/65535"},
    {"a long attribute that is cut", BYTES(0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 28, 0, 15, 0, 1),
        -EBADMSG, 0, NULL},
    {"a transform type not known", BYTES(0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 8, 6, 0, 0, 35), 0, 1, "x35"},
    {"SPI of IKE", BYTES(0, 0, 0, 24, 1, 1, 8, 1, 1, 2, 3, 4, 5, 6, 7, 8, CHACHA), 0, 1, "e28"},
    {"SPI of IKE, 4 bytes", BYTES(0, 0, 0, 20, 1, 1, 4, 1, 1, 2, 3, 4, CHACHA), -EBADMSG, 0, NULL},
    {"SPI of ESP", BYTES(0, 0, 0, 20, 1, 3, 4, 1, 1, 2, 3, 4, CHACHA), 0, 1, "e28"},
    {"no SPI of ESP", BYTES(0, 0, 0, 16, 1, 3, 0, 1, CHACHA), -EBADMSG, 0, NULL},
    {"SPI of AH, 8 bytes", BYTES(0, 0, 0, 24, 1, 2, 8, 1, 1, 2, 3, 4, 5, 6, 7, 8, CHACHA), -EBADMSG, 0, NULL},
    {"SPI that is cut", BYTES(0, 0, 0, 10, 1, 3, 4, 0, 1, 2), -EBADMSG, 0, NULL},
    {"a protocol not known", BYTES(0, 0, 0, 18, 1, 9, 2, 1, 1, 2, CHACHA), 0, 1, "e28"},
    {"that with a long SPI is left out", BYTES(0, 0, 0, 25, 1, 9, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, CHACHA), 0,
        0, NULL},
};

Test(proposal_bytes, are_checked)
{
	for (size_t i = 0; i < COUNT(sas); i++) {
		struct td_ike_proposals got = {0};
		char text[256];

		cr_expect_eq(td_ike_proposals_read((struct td_bytes){sas[i].bytes, sas[i].length}, &got),
		    sas[i].result, "%s", sas[i].name);
		cr_expect_eq(got.count, sas[i].count, "%s", sas[i].name);
		if (sas[i].count > 0 && got.count > 0)
			cr_expect_str_eq(text_of(&got.list[0], text, sizeof(text)), sas[i].first, "%s: %s",
			    sas[i].name, text);
	}
}

static void transform_bytes(struct td_writer *writer, bool last, uint8_t type, uint16_t id)
{
	td_writer_u8(writer, last ? 0 : 3);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, 8);
	td_writer_u8(writer, type);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, id);
}

// Peers that offer all that they have: what tandem has is still found, and a type that it does not have is
// not overlooked.
static const struct {
	const char *name;
	unsigned strange_ciphers, strange_groups; // beside e28 p5 d31
	unsigned strange_types;
	unsigned count; // of proposals
	bool chosen;
} crowds[] = {
    {"few", 3, 3, 0, 1, true},
    {"as many as fit", 10, 11, 0, 1, true},
    {"one more", 10, 12, 0, 1, true},
    {"very many", 126, 126, 0, 1, true},
    {"and a type that is not known", 100, 100, 1, 1, false},
    {"very many types", 0, 0, 21, 1, false},
    {"more types than fit", 0, 0, 22, 0, false},
    {"more types than fit, and more", 3, 3, 200, 0, false},
};

Test(proposal_bytes, of_many_transforms)
{
	struct td_ike_proposals ours = list_of(IKE, "e28 p5 d31");

	for (size_t i = 0; i < COUNT(crowds); i++) {
		unsigned count =
		    crowds[i].strange_ciphers + crowds[i].strange_groups + crowds[i].strange_types + 3;
		uint8_t buffer[4096];
		struct td_writer writer = {.data = buffer, .capacity = sizeof(buffer)};
		struct td_ike_proposals got;
		struct td_ike_proposal chosen;

		td_writer_u16(&writer, 0);
		td_writer_u16(&writer, (uint16_t)(8 + 8 * count));
		td_writer_u32(&writer, 1u << 24 | 1u << 16 | count);
		for (unsigned n = 0; n < crowds[i].strange_types; n++)
			transform_bytes(&writer, false, (uint8_t)(6 + n), 1);
		for (unsigned n = 0; n < crowds[i].strange_ciphers; n++)
			transform_bytes(&writer, false, TD_IKE_ENCR, (uint16_t)(1024 + n));
		for (unsigned n = 0; n < crowds[i].strange_groups; n++)
			transform_bytes(&writer, false, TD_IKE_DH, (uint16_t)(1024 + n));
		transform_bytes(&writer, false, TD_IKE_PRF, TD_PRF_SHA2_256);
		transform_bytes(&writer, false, TD_IKE_DH, TD_DH_X25519);
		transform_bytes(&writer, true, TD_IKE_ENCR, TD_ENCR_CHACHA20_POLY1305);
		cr_assert_not(writer.overflow);
		cr_assert_eq(
		    td_ike_proposals_read(td_writer_bytes_of(&writer), &got), 0, "%s", crowds[i].name);
		cr_expect_eq(got.count, crowds[i].count, "%s", crowds[i].name);
		cr_expect_eq(td_ike_proposal_choose(&ours, &got, false, &chosen),
		    crowds[i].chosen ? 0 : -ENOENT, "%s", crowds[i].name);
	}
}

Test(proposal_bytes, of_many_proposals)
{
	uint8_t buffer[4096];
	struct td_writer writer = {.data = buffer, .capacity = sizeof(buffer)};
	struct td_ike_proposals got;

	for (unsigned n = 1; n <= 200; n++) {
		td_writer_u8(&writer, n == 200 ? 0 : 2);
		td_writer_u8(&writer, 0);
		td_writer_u16(&writer, 16);
		td_writer_u32(&writer, n << 24 | 1u << 16 | 1);
		transform_bytes(&writer, true, TD_IKE_ENCR, (uint16_t)n);
	}
	cr_assert_not(writer.overflow);
	cr_expect_eq(td_ike_proposals_read(td_writer_bytes_of(&writer), &got), 0);
	cr_expect_eq(got.count, TD_IKE_PROPOSALS_MAX);
	cr_expect_eq(got.list[TD_IKE_PROPOSALS_MAX - 1].number, TD_IKE_PROPOSALS_MAX);
	buffer[writer.length - 6] = 9; // also those that are not kept are checked
	cr_expect_eq(td_ike_proposals_read(td_writer_bytes_of(&writer), &got), -EBADMSG);
}

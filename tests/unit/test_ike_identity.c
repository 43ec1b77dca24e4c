// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/credential.h"
#include "tests/unit/ike_vectors.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_LABEL "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxy." // 64 bytes

static const struct {
	const char *text;
	uint8_t type; // 0: refused
	const char *data; // hexadecimal
	const char *formatted; // NULL: as text
} ids[] = {
    {"gw-a.example", TD_ID_FQDN, "67772d612e6578616d706c65", NULL},
    {"a", TD_ID_FQDN, "61", NULL},
    {"under_score", TD_ID_FQDN, "756e6465725f73636f7265", NULL},
    {"a@b", TD_ID_EMAIL, "614062", NULL},
    {"a+b!c@example.org", TD_ID_EMAIL, "612b6221634065 78616d706c652e6f7267", NULL},
    {"192.0.2.1", TD_ID_IPV4, "c0000201", NULL},
    {"2001:db8::1", TD_ID_IPV6, "20010db8000000000000000000000001", NULL},
    {"2001:0DB8:0::1", TD_ID_IPV6, "20010db8000000000000000000000001", "2001:db8::1"},
    {"keyid:text", TD_ID_KEY, "74657874", NULL},
    {"keyid:two words", TD_ID_KEY, "74776f20776f726473", NULL},
    {"keyid:a=b", TD_ID_KEY, "613d62", NULL},
    {"keyid:0x00ff", TD_ID_KEY, "00ff", NULL},
    {"keyid:0x6162", TD_ID_KEY, "6162", "keyid:ab"},
    {"CN=a", TD_ID_DN, "300c310a3008060355 04030c0161", NULL},
    {"C=CH, O=x", TD_ID_DN, "3019310b3009060355040613024348310a3008060355040a0c0178", NULL},
    {"C=CH,O=x", TD_ID_DN, "3019310b3009060355040613024348310a3008060355040a0c0178", "C=CH, O=x"},
    {"  C = CH ,  O =  x  ", TD_ID_DN, "3019310b3009060355040613024348310a3008060355040a0c0178", "C=CH, O=x"},
    {"CN=a + O=x", TD_ID_DN, "301631143008060355 04030c01613008060355040a0c0178", NULL},
    {"CN=a\\, b", TD_ID_DN, "300f310d300b06035504030c04612c2062", NULL},
    {"CN=a\\2c\\20b", TD_ID_DN, "300f310d300b06035504030c04612c2062", "CN=a\\, b"},
    {"CN=a=b", TD_ID_DN, "300e310c300a06035504030c03613d62", NULL},
    {"CN=a\\ ", TD_ID_DN, "300d310b300906035504030c026120", NULL},
    {"CN=M\\C3\\BCller", TD_ID_DN, "3012311030 0e06035504030c074dc3bc6c6c6572", NULL},
    {"CN=Müller", TD_ID_DN, "3012311030 0e06035504030c074dc3bc6c6c6572", "CN=M\\C3\\BCller"},
    {"emailAddress=a@b", TD_ID_DN, "301431123010 06092a864886f70d0109011603614062", NULL},
    {"", 0, NULL, NULL},
    {"@", 0, NULL, NULL},
    {"@b", 0, NULL, NULL},
    {"a@", 0, NULL, NULL},
    {"a@b@c", 0, NULL, NULL},
    {"a b@c", 0, NULL, NULL},
    {"a b", 0, NULL, NULL},
    {"*.example", 0, NULL, NULL},
    {"192.0.2.0/24", 0, NULL, NULL},
    {"2001:db8::g", 0, NULL, NULL},
    {"gw\n", 0, NULL, NULL},
    {"keyid:", 0, NULL, NULL},
    {"keyid:0x", 0, NULL, NULL},
    {"keyid:0xabc", 0, NULL, NULL},
    {"=", 0, NULL, NULL},
    {"=a", 0, NULL, NULL},
    {"CN=", 0, NULL, NULL},
    {"CN= ", 0, NULL, NULL},
    {"CN=a,", 0, NULL, NULL},
    {"CN=a+", 0, NULL, NULL},
    {"CN=a,,O=b", 0, NULL, NULL},
    {"CN=a, b", 0, NULL, NULL},
    {"CN=a\\", 0, NULL, NULL},
    {"CN=\\00", 0, NULL, NULL},
    {"CN=#0c0161", 0, NULL, NULL},
    {"CN=\\ff", 0, NULL, NULL}, // no UTF-8
    {"C=CHE", 0, NULL, NULL}, // two letters by RFC 5280
    {"NOSUCH=a", 0, NULL, NULL},
    {"CN", TD_ID_FQDN, "434e", NULL},
    {LONG_LABEL LONG_LABEL LONG_LABEL LONG_LABEL "x", 0, NULL, NULL},
    {"O=" LONG_LABEL ", OU=" LONG_LABEL ", OU=" LONG_LABEL ", CN=" LONG_LABEL, 0, NULL, NULL},
};

Test(identity, parses_and_formats)
{
	for (size_t i = 0; i < COUNT(ids); i++) {
		struct td_ike_id id = {.type = 99};
		char text[TD_ID_TEXT_MAX];
		uint8_t memory[TD_ID_MAX_BYTES];
		struct td_bytes right;

		cr_expect_eq(
		    td_ike_id_parse(ids[i].text, &id), ids[i].type ? 0 : -EINVAL, "\"%s\"", ids[i].text);
		if (!ids[i].type) {
			cr_expect_eq(id.type, 99, "\"%s\" must leave the result alone", ids[i].text);
			continue;
		}
		right = unhex(ids[i].data, memory, sizeof(memory));
		cr_assert_eq(id.type, ids[i].type, "\"%s\"", ids[i].text);
		cr_expect(
		    td_bytes_equal((struct td_bytes){id.data, id.length}, right), "\"%s\"", ids[i].text);
		cr_expect_str_eq(
		    td_ike_id_format(&id, text), ids[i].formatted ? ids[i].formatted : ids[i].text);
		// What was formatted is read as the same.
		struct td_ike_id again;
		cr_expect_eq(td_ike_id_parse(text, &again), 0, "\"%s\"", text);
		cr_expect_eq(memcmp(&again, &id, sizeof(id)), 0, "\"%s\"", text);
	}
}

// What a peer may send, and what then stands in a log.
static const struct {
	uint8_t type;
	const char *data, *text;
} foreign[] = {
    {0, "", "-"}, {TD_ID_FQDN, "67770a6f6f7073", "0x67770a6f6f7073"},
    {TD_ID_FQDN, "6777001b5b", "0x6777001b5b"}, {TD_ID_FQDN, "", "0x"},
    {TD_ID_EMAIL, "c3bc4062", "0xc3bc4062"}, {TD_ID_IPV4, "c00002", "id1:0xc00002"},
    {TD_ID_IPV6, "20", "id5:0x20"}, {TD_ID_DN, "3003", "id9:0x3003"},
    {TD_ID_DN, "300c310a300806035504030c01610a", "id9:0x300c310a300806035504030c01610a"},
    {TD_ID_DN, "300d310b300906035504030c02610a", "CN=a\\0A"}, {3, "", "0x"},
    {10, "8203", "id10:0x8203"}, // a GeneralName
};

Test(identity, formats_what_a_peer_sends)
{
	for (size_t i = 0; i < COUNT(foreign); i++) {
		struct td_ike_id id = {.type = foreign[i].type};
		char text[TD_ID_TEXT_MAX];

		id.length = (uint16_t)unhex(foreign[i].data, id.data, sizeof(id.data)).length;
		cr_expect_str_eq(td_ike_id_format(&id, text), foreign[i].text);
	}
}

Test(identity, of_any_length_fits_its_text)
{
	for (unsigned type = 0; type < 256; type++)
		for (unsigned fill = 0; fill < 256; fill += 5) {
			struct td_ike_id id = {.type = (uint8_t)type, .length = TD_ID_MAX_BYTES};
			char text[TD_ID_TEXT_MAX];

			memset(id.data, (int)fill, sizeof(id.data));
			cr_assert_lt(strlen(td_ike_id_format(&id, text)), TD_ID_TEXT_MAX);
		}
}

// A DN whose text is longer than there is room for is written in another way, not cut to look like a shorter
// one.
Test(identity, of_a_long_dn_is_not_cut)
{
	struct td_ike_id id;
	char text[TD_ID_TEXT_MAX];

	cr_assert_eq(
	    td_ike_id_parse(
	        "CN=\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01"
	        "\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01"
	        ",O=\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01"
	        "\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01"
	        ",OU=\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01\\01",
	        &id),
	    0);
	td_ike_id_format(&id, text);
	cr_expect_eq(strncmp(text, "id9:0x", 6), 0, "%s", text);
}

static const struct {
	const char *own;
	uint8_t type;
	const char *data; // a text, or hexadecimal for the types below
	bool equal;
} pairs[] = {
    {"gw-a.example", TD_ID_FQDN, "67772d612e6578616d706c65", true},
    {"gw-a.example", TD_ID_FQDN, "47572d412e4578616d706c65", true},
    {"gw-a.example", TD_ID_FQDN, "67772d612e6578616d706c6500", false},
    {"gw-a.example", TD_ID_FQDN, "67772d612e6578616d706c", false},
    {"gw-a.example", TD_ID_FQDN, "", false},
    {"gw-a.example", TD_ID_KEY, "67772d612e6578616d706c65", false},
    {"gw-a.example", 0, "67772d612e6578616d706c65", false},
    {"a@b.c", TD_ID_EMAIL, "6140622e63", true},
    {"a@b.c", TD_ID_EMAIL, "6140422e43", true},
    {"a@b.c", TD_ID_EMAIL, "4140622e63", false},
    {"a@b.c", TD_ID_FQDN, "6140622e63", false},
    {"keyid:a", TD_ID_KEY, "61", true},
    {"keyid:a", TD_ID_KEY, "41", false},
    {"192.0.2.1", TD_ID_IPV4, "c0000201", true},
    {"192.0.2.1", TD_ID_IPV4, "c0000202", false},
    {"192.0.2.1", TD_ID_IPV4, "c00002", false},
    {"2001:db8::1", TD_ID_IPV6, "20010db8000000000000000000000001", true},
    {"CN=a", TD_ID_DN, "300c310a300806035504030c0161", true},
    {"CN=a", TD_ID_DN, "300c310a30080603550403130161", true}, // PrintableString
    {"CN=a", TD_ID_DN, "300c310a300806035504030c0141", true}, // "A"
    {"CN=a", TD_ID_DN, "300c310a300806035504030c0162", false}, // "b"
    {"CN=a", TD_ID_DN, "300c310a3008060355040a0c0161", false}, // O=a
    {"CN=a", TD_ID_DN, "300c310a300806035504030c016100", false},
    {"CN=a", TD_ID_DN, "3000", false},
    {"CN=a", TD_ID_DN, "61", false},
    {"CN=a, O=b", TD_ID_DN, "3018310a300806035504030c0161310a3008060355040a0c0162", true},
    {"O=b, CN=a", TD_ID_DN, "3018310a300806035504030c0161310a3008060355040a0c0162", false},
};

Test(identity, is_compared)
{
	for (size_t i = 0; i < COUNT(pairs); i++) {
		uint8_t memory[TD_ID_MAX_BYTES];
		struct td_ike_id id;

		cr_assert_eq(td_ike_id_parse(pairs[i].own, &id), 0);
		cr_expect_eq(
		    td_ike_id_equal(&id, pairs[i].type, unhex(pairs[i].data, memory, sizeof(memory))),
		    pairs[i].equal, "row %zu: %s", i, pairs[i].own);
	}
}

Test(identity, has_the_hash_of_its_equals)
{
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct td_ike_id own, other = {.type = pairs[i].type};
		struct td_bytes bytes = unhex(pairs[i].data, other.data, sizeof(other.data));

		other.length = (uint16_t)bytes.length;
		cr_assert_eq(td_ike_id_parse(pairs[i].own, &own), 0);
		if (pairs[i].equal)
			cr_expect_eq(
			    td_ike_id_hash(&own), td_ike_id_hash(&other), "row %zu: %s", i, pairs[i].own);
		differ += td_ike_id_hash(&own) != td_ike_id_hash(&other);
	}
	cr_expect_geq(differ, 10);
}

Test(identity, that_is_not_set_is_nobodys)
{
	const struct td_ike_id unset = {0}, empty = {.type = TD_ID_FQDN};
	const struct td_ike_id nameless = {
	    .type = TD_ID_DN, .length = 2, .data = {0x30, 0}}; // a DN without attributes

	cr_expect(!td_ike_id_equal(&unset, 0, (struct td_bytes){0}));
	cr_expect(!td_ike_id_equal(&empty, TD_ID_FQDN, (struct td_bytes){0}));
	cr_expect(!td_ike_id_equal(&nameless, TD_ID_DN, (struct td_bytes){nameless.data, 2}));
}

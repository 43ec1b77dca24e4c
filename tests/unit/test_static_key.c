// SPDX-License-Identifier: BSD-3-Clause
// The static keys of the one-round-trip exchange, and their files.
#include "control/onertt/static_key.h"
#include "tests/unit/ike_pki.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static const struct pki_spec authority = {.subject = "CN=authority", .authority = true};
static const struct pki_spec gateway = {
    .subject = "CN=gw-a", .san = "DNS:gw-a.example", .usage = "keyAgreement"};

static void expect_own_refused(const char *key, const char *certificate, const char *why)
{
	struct td_error error = {0};

	cr_expect_null(td_onertt_static_load(key, certificate, &error));
	cr_expect_not_null(strstr(error.reason, why), "%s", error.reason);
}

static void expect_remote_refused(const char *path, const char *why)
{
	struct td_error error = {0};

	cr_expect_null(td_onertt_remote_load(path, &error));
	cr_expect_not_null(strstr(error.reason, why), "%s", error.reason);
}

TestSuite(static_key, .fini = pki_end);

// RFC 7748 6.1: Alice's keys, in the PEM that openssl makes of them.
Test(static_key, rfc7748)
{
	static const uint8_t private_key[] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16,
	    0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77,
	    0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
	static const uint8_t public_key[] = {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
	    0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9,
	    0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
	static const uint8_t key_id[] = {0x30, 0x0c, 0x9c, 0x96, 0x03, 0xb9, 0x2a, 0x4b}; // by sha256sum
	EVP_PKEY *key =
	    EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, private_key, sizeof(private_key));
	struct td_error error = {0};
	struct td_onertt_static *own = td_onertt_static_load(pki_key_file("key", key, NULL), NULL, &error);
	struct td_onertt_remote *remote = td_onertt_remote_load(pki_public_file("public", key), &error);

	cr_assert_not_null(own, "%s", error.reason);
	cr_assert_not_null(remote, "%s", error.reason);
	cr_expect_arr_eq(own->pair.public_key, public_key, sizeof(public_key));
	cr_expect_arr_eq(remote->public_key, public_key, sizeof(public_key));
	cr_expect_arr_eq(own->key_id, key_id, sizeof(key_id));
	cr_expect_arr_eq(remote->key_id, key_id, sizeof(key_id));
	cr_expect_eq(td_onertt_remote_check_time(remote, 0, &error), 0);
	td_onertt_static_free(own);
	td_onertt_remote_free(remote);
	EVP_PKEY_free(key);
}

Test(static_key, certificate)
{
	struct pki_cert issuer = pki_issue("ED25519", &authority, NULL);
	struct pki_cert made = pki_issue("X25519", &gateway, &issuer);
	const char *path = pki_cert_file("certificate", 1, &made.certificate);
	const char *key = pki_key_file("key", made.key, NULL);
	struct td_error error = {0};
	struct td_onertt_static *own = td_onertt_static_load(key, path, &error);
	struct td_onertt_remote *remote = td_onertt_remote_load(path, &error);
	struct td_ike_id id;

	cr_assert_not_null(own, "%s", error.reason);
	cr_assert_not_null(remote, "%s", error.reason);
	cr_expect_arr_eq(own->pair.public_key, remote->public_key, TD_X25519_BYTES);
	cr_expect_eq(td_onertt_remote_check_time(remote, PKI_NOW, &error), 0);
	cr_expect_eq(td_onertt_remote_check_time(remote, PKI_NOW + 2 * PKI_DAY, &error), -EACCES);
	cr_expect_not_null(strstr(error.reason, "has expired"), "%s", error.reason);
	cr_expect_eq(td_onertt_remote_check_time(remote, PKI_NOW - 2 * PKI_DAY, &error), -EACCES);
	cr_expect_not_null(strstr(error.reason, "not valid yet"), "%s", error.reason);
	td_ike_id_parse("gw-a.example", &id);
	cr_expect_eq(td_onertt_remote_check_id(remote, &id, &error), 0);
	td_ike_id_parse("gw-b.example", &id);
	cr_expect_eq(td_onertt_remote_check_id(remote, &id, &error), -EACCES);
	expect_own_refused(pki_key_file("other", pki_key("X25519"), NULL), path, "is of another key than");
	td_onertt_static_free(own);
	td_onertt_remote_free(remote);
}

Test(static_key, refused)
{
	EVP_PKEY *key = pki_key("X25519"), *wrong = pki_key("ED25519");
	static const uint8_t zero[TD_X25519_BYTES];
	EVP_PKEY *low = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, zero, sizeof(zero));
	char text[256] = "no key\n";

	expect_own_refused(pki_key_file("wrong", wrong, NULL), NULL, "needs X25519");
	expect_own_refused(pki_public_file("public", key), NULL, "is open to others");
	expect_own_refused(pki_key_file("asks", key, "passphrase"), NULL, "has a passphrase");
	expect_own_refused(pki_file("text", text, strlen(text), 0600), NULL, "holds no private key");
	expect_own_refused("/nonexistent", NULL, "cannot read");
	expect_remote_refused(pki_public_file("wrong-public", wrong), "needs X25519");
	expect_remote_refused(pki_public_file("low", low), "of low order");
	expect_remote_refused(pki_file("text", text, strlen(text), 0644), "neither a public key nor");
	EVP_PKEY_free(low);
}

Test(static_key, registration_secret)
{
	static const char hex[] = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	struct td_error error = {0};
	struct td_secret secret;

	cr_assert_eq(td_onertt_secret_load(pki_file("hex", hex, strlen(hex), 0600), &secret, &error), 0);
	cr_expect_eq(secret.length, 32);
	cr_expect_eq(secret.bytes[31], 0x1f);
	cr_expect_neq(td_onertt_secret_load(pki_file("short", hex, 64, 0600), &secret, &error), 0);
	cr_expect_not_null(strstr(error.reason, "has 32"), "%s", error.reason);
	cr_expect_neq(td_onertt_secret_load(pki_file("open", hex, strlen(hex), 0640), &secret, &error), 0);
	cr_expect_not_null(strstr(error.reason, "open to others"), "%s", error.reason);
}

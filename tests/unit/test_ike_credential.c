// SPDX-License-Identifier: BSD-3-Clause
// The files that credentials come from. test_ike_auth.c has what is done with them, test_ike_identity.c the
// IDs.
#include "control/ike/credential.h"
#include "tests/unit/ike_pki.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

TestSuite(psk, .fini = pki_end);
TestSuite(key, .fini = pki_end);
TestSuite(trust, .fini = pki_end);

static void reason_has(const struct td_error *error, const char *part)
{
	cr_expect_not_null(strstr(error->reason, part), "\"%s\" is not in \"%s\"", part, error->reason);
}

static struct td_ike_keys auth_keys(void)
{
	struct td_ike_keys keys = {.prf = TD_PRF_SHA2_256, .p_i.length = 32, .p_r.length = 32};

	memset(keys.p_i.bytes, 'i', 32);
	memset(keys.p_r.bytes, 'r', 32);
	return keys;
}

// ---- pre-shared keys --------------------------------------------------------------------------

// Whether two hold the same secret, by the AUTH they make.
static bool same_psk(const struct td_ike_credential *a, const struct td_ike_credential *b)
{
	struct td_ike_keys keys = auth_keys();
	const struct td_bytes some = {(const uint8_t *)"something", 9};
	const struct td_ike_signed what = {&keys, true, some, some, some};
	uint8_t data[2][64], method;
	struct td_writer writers[] = {{.data = data[0], .capacity = 64}, {.data = data[1], .capacity = 64}};

	cr_assert_eq(td_ike_auth_sign(a, &what, 0, &method, &writers[0]), 0);
	cr_assert_eq(td_ike_auth_sign(b, &what, 0, &method, &writers[1]), 0);
	return td_bytes_equal(td_writer_bytes_of(&writers[0]), td_writer_bytes_of(&writers[1]));
}

#define LONG_PSK                                                                                             \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"   \
	"0123456789abcdef0123456789abcdef"
#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
	const char *file;
	size_t file_bytes;
	const char *psk; // NULL: refused
	size_t psk_bytes;
	const char *reason;
} psks[] = {
    {TEXT("0123456789abcdef"), TEXT("0123456789abcdef"), NULL},
    {TEXT("0123456789abcdef\n"), TEXT("0123456789abcdef"), NULL},
    {TEXT("0123456789abcdef\n\n"), TEXT("0123456789abcdef\n"), NULL},
    {TEXT("0123456789abcdef "), TEXT("0123456789abcdef "), NULL},
    {TEXT("binary\0binary\377\1\2\3\4"), TEXT("binary\0binary\377\1\2\3\4"), NULL},
    {TEXT("0x30313233343536373839616263646566\n"), TEXT("0123456789abcdef"), NULL},
    {TEXT("0x30313233343536373839616263646566"), TEXT("0123456789abcdef"), NULL},
    {TEXT(LONG_PSK "\n"), TEXT(LONG_PSK), NULL},
    {TEXT(LONG_PSK "0"), NULL, 0, "129 bytes"},
    {TEXT("0123456789abcde\n"), NULL, 0, "at least 16"},
    {TEXT("0x303132333435363738396162636465"), NULL, 0, "at least 16"},
    {TEXT("0x3031323334353637383961626364656"), NULL, 0, "hexadecimal"},
    {TEXT("0x3031323334353637383961626364656g"), NULL, 0, "hexadecimal"},
    {TEXT("0x3031323334353637383961626364\000656"), NULL, 0, "hexadecimal"},
    {TEXT("0x" LONG_PSK LONG_PSK "00"), NULL, 0, "more than 128 bytes"},
    {TEXT(""), NULL, 0, "of 0 bytes"},
    {TEXT("\n"), NULL, 0, "of 0 bytes"},
    {TEXT("0x"), NULL, 0, "hexadecimal"},
};

Test(psk, comes_from_a_file)
{
	for (size_t i = 0; i < COUNT(psks); i++) {
		struct td_error error = {0};
		const char *path = pki_file("psk", psks[i].file, psks[i].file_bytes, 0600);
		struct td_ike_credential *credential = td_ike_credential_psk(path, &error);
		struct td_ike_credential *right;

		if (!psks[i].psk) {
			cr_expect_null(credential, "row %zu", i);
			reason_has(&error, psks[i].reason);
			reason_has(&error, path);
			continue;
		}
		cr_assert_not_null(credential, "row %zu: %s", i, error.reason);
		right = td_ike_credential_psk_bytes(
		    (struct td_bytes){(const uint8_t *)psks[i].psk, psks[i].psk_bytes});
		cr_expect(same_psk(credential, right), "row %zu", i);
		td_ike_credential_free(credential);
		td_ike_credential_free(right);
	}
}

Test(psk, of_bytes_has_a_limit)
{
	static const uint8_t bytes[TD_SECRET_MAX_BYTES + 1];

	cr_expect_null(td_ike_credential_psk_bytes((struct td_bytes){bytes, 0}));
	cr_expect_null(td_ike_credential_psk_bytes((struct td_bytes){bytes, sizeof(bytes)}));
	td_ike_credential_free(NULL);
}

static const struct {
	unsigned mode;
	bool good;
} modes[] = {{0600, true}, {0400, true}, {0644, false}, {0640, false}, {0604, false}, {0620, false},
    {0610, false}, {0601, false}, {0602, false}, {0777, false}};

Test(psk, must_be_closed_to_others)
{
	for (size_t i = 0; i < COUNT(modes); i++) {
		struct td_error error = {0};
		const char *path = pki_file("psk", "0123456789abcdef", 16, modes[i].mode);
		struct td_ike_credential *credential = td_ike_credential_psk(path, &error);
		char advice[128];

		cr_expect_eq(credential != NULL, modes[i].good, "mode %o", modes[i].mode);
		snprintf(advice, sizeof(advice), "chmod 600 %s", path);
		if (!modes[i].good)
			reason_has(&error, advice);
		td_ike_credential_free(credential);
	}
}

Test(psk, must_be_a_file)
{
	const char *fifo = pki_file("fifo", "", 0, 0600);
	struct td_error error = {0};

	cr_expect_null(td_ike_credential_psk("/", &error));
	reason_has(&error, "/ is not a regular file");
	cr_expect_null(td_ike_credential_psk("/nowhere/psk", &error));
	reason_has(&error, "cannot read /nowhere/psk: No such file");
	// Opening one must not wait for a writer.
	unlink(fifo);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_expect_null(td_ike_credential_psk(fifo, &error));
	reason_has(&error, "not a regular file");
	cr_expect_null(td_ike_credential_psk("/dev/zero", &error));
	reason_has(&error, "not a regular file");
}

Test(psk, must_not_be_huge)
{
	const char *path = pki_file("huge", "", 0, 0600);
	struct td_error error = {0};

	cr_assert_eq(truncate(path, 5 << 20), 0);
	cr_expect_null(td_ike_credential_psk(path, &error));
	reason_has(&error, "more than");
}

// ---- private keys and chains ------------------------------------------------------------------

static const struct pki_spec root_spec = {.subject = "CN=Root, O=Example", .authority = true};
static const struct pki_spec middle_spec = {.subject = "CN=Middle, O=Example", .authority = true};
static const struct pki_spec gateway_spec = {
    .subject = "CN=gw-a.example, O=Example",
    .san = "DNS:gw-a.example,DNS:*.wild.example,email:Admin@Example.org,IP:192.0.2.1,IP:2001:db8::1",
    .usage = "digitalSignature",
};

static const struct {
	const char *kind;
	bool good;
	const char *reason;
} kinds[] = {
    {"P-256", true, NULL},
    {"P-384", true, NULL},
    {"P-521", true, NULL},
    {"ED25519", true, NULL},
    {"RSA-2048", true, NULL},
    {"P-224", false, "type EC with 224 bits"},
    {"RSA-1024", false, "RSA key of 1024 bits"},
    {"ED448", false, "type ED448"},
    {"X25519", false, "type X25519"},
};

Test(key, is_of_a_known_kind)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		EVP_PKEY *made = pki_key(kinds[i].kind);
		struct td_error error = {0};
		struct td_ike_credential *credential =
		    td_ike_credential_key(pki_key_file("key", made, NULL), NULL, &error);
		struct td_ike_credential *trust =
		    td_ike_credential_trust(NULL, pki_public_file("public", made), &error);

		cr_expect_eq(credential != NULL, kinds[i].good, "%s: %s", kinds[i].kind, error.reason);
		cr_expect_eq(trust != NULL, kinds[i].good, "%s: %s", kinds[i].kind, error.reason);
		if (!kinds[i].good)
			reason_has(&error, kinds[i].reason);
		td_ike_credential_free(credential);
		td_ike_credential_free(trust);
	}
}

Test(key, must_be_closed_to_others_and_open_to_us)
{
	EVP_PKEY *made = pki_key("P-256");
	const char *path = pki_key_file("key", made, NULL);
	struct td_error error = {0};

	cr_assert_eq(chmod(path, 0640), 0);
	cr_expect_null(td_ike_credential_key(path, NULL, &error));
	reason_has(&error, "chmod 600");
	cr_expect_null(td_ike_credential_key(pki_key_file("locked", made, "secret"), NULL, &error));
	reason_has(&error, "has a passphrase");
	cr_expect_null(td_ike_credential_key(pki_file("text", "nothing", 7, 0600), NULL, &error));
	reason_has(&error, "holds no private key");
	cr_expect_null(td_ike_credential_key(pki_file("empty", "", 0, 0600), NULL, &error));
	reason_has(&error, "holds no private key");
}

// Counts the payloads of CERT or CERTREQ and gives the last one.
static unsigned certs_written(void (*write)(struct td_ike_chain *, const struct td_ike_credential *),
    const struct td_ike_credential *credential, struct td_ike_payloads *payloads)
{
	static uint8_t buffer[16384];
	struct td_ike_chain chain;

	td_ike_chain_init(&chain, buffer, sizeof(buffer));
	write(&chain, credential);
	*payloads = (struct td_ike_payloads){0};
	cr_assert_eq(td_ike_payloads_read(td_writer_bytes_of(&chain.writer), chain.first, payloads), 0);
	return payloads->cert_count + payloads->certreq_count;
}

static void is_certificate(const struct td_ike_cert *payload, X509 *certificate)
{
	unsigned char *der = NULL;
	int length = i2d_X509(certificate, &der);

	cr_expect_eq(payload->encoding, TD_CERT_X509);
	cr_expect(td_bytes_equal(payload->data, (struct td_bytes){der, (size_t)length}));
	OPENSSL_free(der);
}

Test(key, comes_with_its_chain_without_root)
{
	struct pki_cert root = pki_issue("P-256", &root_spec, NULL);
	struct pki_cert middle = pki_issue("P-256", &middle_spec, &root);
	struct pki_cert gateway = pki_issue("P-256", &gateway_spec, &middle);
	X509 *const chain[] = {gateway.certificate, middle.certificate, root.certificate};
	struct td_error error = {0};
	struct td_ike_credential *credential = td_ike_credential_key(
	    pki_key_file("key", gateway.key, NULL), pki_cert_file("chain", 3, chain), &error);
	struct td_ike_payloads payloads;

	cr_assert_not_null(credential, "%s", error.reason);
	cr_assert_eq(certs_written(td_ike_certs_write, credential, &payloads), 2);
	is_certificate(&payloads.certs[0], gateway.certificate);
	is_certificate(&payloads.certs[1], middle.certificate);
	cr_expect_eq(certs_written(td_ike_certreq_write, credential, &payloads), 0);
	td_ike_credential_free(credential);
}

Test(key, of_a_self_signed_certificate_is_sent)
{
	struct pki_cert alone = pki_issue("ED25519", &gateway_spec, NULL);
	struct td_error error = {0};
	struct td_ike_credential *credential = td_ike_credential_key(
	    pki_key_file("key", alone.key, NULL), pki_cert_file("chain", 1, &alone.certificate), &error);
	struct td_ike_payloads payloads;

	cr_assert_not_null(credential, "%s", error.reason);
	cr_assert_eq(certs_written(td_ike_certs_write, credential, &payloads), 1);
	is_certificate(&payloads.certs[0], alone.certificate);
	td_ike_credential_free(credential);
}

Test(key, must_be_of_its_certificate)
{
	struct pki_cert root = pki_issue("P-256", &root_spec, NULL);
	struct pki_cert gateway = pki_issue("P-256", &gateway_spec, &root);
	X509 *const turned[] = {root.certificate, gateway.certificate};
	const char *key_path = pki_key_file("key", gateway.key, NULL);
	struct td_error error = {0};

	cr_expect_null(td_ike_credential_key(key_path, pki_cert_file("turned", 2, turned), &error));
	reason_has(&error, "is of another key than");
	cr_expect_null(td_ike_credential_key(key_path, "/nowhere/chain", &error));
	reason_has(&error, "cannot read /nowhere/chain");
	cr_expect_null(td_ike_credential_key(key_path, key_path, &error));
	reason_has(&error, "holds no certificates");
}

Test(key, has_a_limit_of_certificates)
{
	struct pki_cert root = pki_issue("P-256", &root_spec, NULL);
	struct pki_cert middle = pki_issue("P-256", &middle_spec, &root);
	struct pki_cert gateway = pki_issue("P-256", &gateway_spec, &middle);
	X509 *chain[TD_IKE_CERTS_MAX + 1];
	const char *key_path = pki_key_file("key", gateway.key, NULL);
	struct td_error error = {0};
	struct td_ike_credential *credential;

	for (size_t i = 0; i < COUNT(chain); i++)
		chain[i] = i == 0 ? gateway.certificate : middle.certificate;
	credential = td_ike_credential_key(key_path, pki_cert_file("most", TD_IKE_CERTS_MAX, chain), &error);
	cr_expect_not_null(credential, "%s", error.reason);
	td_ike_credential_free(credential);
	cr_expect_null(
	    td_ike_credential_key(key_path, pki_cert_file("more", TD_IKE_CERTS_MAX + 1, chain), &error));
	reason_has(&error, "more than 8 certificates");
}

Test(key, refuses_a_certificate_that_may_not_sign)
{
	static const struct pki_spec spec = {.subject = "CN=a", .usage = "keyEncipherment"};
	struct pki_cert gateway = pki_issue("P-256", &spec, NULL);
	struct td_error error = {0};

	cr_expect_null(td_ike_credential_key(
	    pki_key_file("key", gateway.key, NULL), pki_cert_file("chain", 1, &gateway.certificate), &error));
	reason_has(&error, "digitalSignature");
}

static const struct {
	const char *id;
	bool good;
} ids[] = {
    {"gw-a.example", true},
    {"GW-A.Example", true},
    {"gw-b.example", false},
    {"gw-a.example.org", false},
    {"a.wild.example", false}, // an identity is a name, not a pattern
    {"Admin@example.ORG", true},
    {"admin@example.org", false}, // the part before the @ is the host's own
    {"192.0.2.1", true},
    {"192.0.2.2", false},
    {"2001:db8::1", true},
    {"2001:db8::2", false},
    {"CN=gw-a.example, O=Example", true},
    {"CN=GW-A.example,  O=example", true}, // RFC 5280 7.1
    {"O=Example, CN=gw-a.example", false},
    {"CN=gw-a.example", false},
    {"keyid:gw-a.example", false},
};

Test(key, has_a_certificate_for_the_id)
{
	struct pki_cert gateway = pki_issue("P-256", &gateway_spec, NULL);
	struct td_error error = {0};
	const char *key_path = pki_key_file("key", gateway.key, NULL);
	struct td_ike_credential *credential =
	    td_ike_credential_key(key_path, pki_cert_file("chain", 1, &gateway.certificate), &error);
	struct td_ike_credential *raw = td_ike_credential_key(key_path, NULL, &error);

	cr_assert(credential && raw, "%s", error.reason);
	for (size_t i = 0; i < COUNT(ids); i++) {
		struct td_ike_id id;

		cr_assert_eq(td_ike_id_parse(ids[i].id, &id), 0);
		cr_expect_eq(td_ike_credential_check_id(credential, &id, &error), ids[i].good ? 0 : -EINVAL,
		    "%s", ids[i].id);
		if (!ids[i].good)
			reason_has(&error, "the certificate of CN=gw-a.example, O=Example is not for");
		cr_expect_eq(td_ike_credential_check_id(raw, &id, &error), 0, "%s", ids[i].id);
	}
	td_ike_credential_free(credential);
	td_ike_credential_free(raw);
}

Test(key, whose_certificate_has_no_alternative_names_is_for_its_subject_only)
{
	static const struct pki_spec spec = {.subject = "CN=gw-a.example"};
	struct pki_cert gateway = pki_issue("P-256", &spec, NULL);
	struct td_error error = {0};
	struct td_ike_credential *credential = td_ike_credential_key(
	    pki_key_file("key", gateway.key, NULL), pki_cert_file("chain", 1, &gateway.certificate), &error);
	struct td_ike_id id;

	cr_assert_not_null(credential, "%s", error.reason);
	td_ike_id_parse("gw-a.example", &id);
	cr_expect_eq(td_ike_credential_check_id(credential, &id, &error), -EINVAL);
	td_ike_id_parse("CN=gw-a.example", &id);
	cr_expect_eq(td_ike_credential_check_id(credential, &id, &error), 0);
	td_ike_credential_free(credential);
}

// ---- what peers are verified by ---------------------------------------------------------------

Test(trust, asks_for_certificates_by_the_hashes_of_keys)
{
	struct pki_cert roots[] = {
	    pki_issue("P-256", &root_spec, NULL), pki_issue("ED25519", &root_spec, NULL)};
	X509 *const bundle[] = {roots[0].certificate, roots[1].certificate};
	struct td_error error = {0};
	struct td_ike_credential *trust =
	    td_ike_credential_trust(pki_cert_file("roots", 2, bundle), NULL, &error);
	struct td_ike_payloads payloads;

	cr_assert_not_null(trust, "%s", error.reason);
	cr_assert_eq(certs_written(td_ike_certreq_write, trust, &payloads), 1);
	cr_expect_eq(payloads.certreqs[0].encoding, TD_CERT_X509);
	cr_assert_eq(payloads.certreqs[0].data.length, 40);
	for (unsigned i = 0; i < 2; i++) {
		unsigned char *der = NULL;
		int length = i2d_PUBKEY(roots[i].key, &der);
		const struct td_bytes part = {der, (size_t)length};
		uint8_t hash[20];

		cr_assert_eq(td_sha1(&part, 1, hash), 0);
		cr_expect_arr_eq(payloads.certreqs[0].data.data + 20 * i, hash, 20);
		OPENSSL_free(der);
	}
	cr_expect_eq(certs_written(td_ike_certs_write, trust, &payloads), 0);
	td_ike_credential_free(trust);
}

Test(trust, in_a_raw_key_asks_for_nothing)
{
	EVP_PKEY *made = pki_key("P-256");
	struct td_error error = {0};
	struct td_ike_credential *trust =
	    td_ike_credential_trust(NULL, pki_public_file("public", made), &error);
	struct td_ike_payloads payloads;

	cr_assert_not_null(trust, "%s", error.reason);
	cr_expect_eq(certs_written(td_ike_certreq_write, trust, &payloads), 0);
	td_ike_credential_free(trust);
}

Test(trust, refuses_bad_files)
{
	struct pki_cert root = pki_issue("P-256", &root_spec, NULL);
	struct pki_cert gateway = pki_issue("P-256", &gateway_spec, &root);
	X509 *const mixed[] = {root.certificate, gateway.certificate};
	const char *key_path = pki_key_file("key", gateway.key, NULL);
	static const char half[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
	struct td_error error = {0};

	cr_expect_null(td_ike_credential_trust(NULL, NULL, &error));
	reason_has(&error, "neither");
	cr_expect_null(td_ike_credential_trust(pki_cert_file("mixed", 2, mixed), NULL, &error));
	reason_has(&error, "certificate 2 of");
	reason_has(&error, "not of an authority");
	cr_expect_null(td_ike_credential_trust(key_path, NULL, &error));
	reason_has(&error, "holds no certificates");
	cr_expect_null(td_ike_credential_trust(pki_file("half", half, sizeof(half) - 1, 0644), NULL, &error));
	reason_has(&error, "malformed");
	cr_expect_null(td_ike_credential_trust(NULL, key_path, &error));
	reason_has(&error, "neither a public key nor a certificate");
	cr_expect_null(td_ike_credential_trust("/nowhere/ca", NULL, &error));
	reason_has(&error, "cannot read /nowhere/ca");
	cr_expect_null(td_ike_credential_trust(NULL, "/nowhere/key", &error));
	reason_has(&error, "cannot read /nowhere/key");
}

// A bundle whose first certificate is good and whose second is cut short must not be taken for one of one.
Test(trust, refuses_a_bundle_that_is_cut_short)
{
	struct pki_cert root = pki_issue("P-256", &root_spec, NULL);
	X509 *const twice[] = {root.certificate, root.certificate};
	const char *path = pki_cert_file("bundle", 2, twice);
	struct td_error error = {0};
	struct stat status;

	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(truncate(path, status.st_size - 60), 0);
	cr_expect_null(td_ike_credential_trust(path, NULL, &error));
	reason_has(&error, "malformed");
}

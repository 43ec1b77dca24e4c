// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/ike_pki.h"
#include "control/ike/credential.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS_MAX 16
#define OWNED_MAX 256

static char directory[] = "/tmp/tandem-pki-XXXXXX";
static bool directory_made;
static char paths[PATHS_MAX][96];
static unsigned path_count;
static EVP_PKEY *keys[OWNED_MAX];
static X509 *certificates[OWNED_MAX];
static unsigned key_count, certificate_count;

// A large key has three primes, which are found several times faster.
static EVP_PKEY *rsa_key(int bits)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	cr_assert_eq(EVP_PKEY_keygen_init(context), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_keygen_primes(context, bits > 2048 ? 3 : 2), 1);
	EVP_PKEY_generate(context, &key);
	EVP_PKEY_CTX_free(context);
	return key;
}

EVP_PKEY *pki_key(const char *kind)
{
	EVP_PKEY *key;

	if (strncmp(kind, "RSA-", 4) == 0)
		key = rsa_key(atoi(kind + 4));
	else if (strncmp(kind, "P-", 2) == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	cr_assert_not_null(key, "%s", kind);
	cr_assert_lt(key_count, OWNED_MAX);
	return keys[key_count++] = key;
}

static void extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	cr_assert_not_null(extension, "%s", value);
	cr_assert_eq(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509_NAME *name_of(const char *subject)
{
	struct td_ike_id id;
	const unsigned char *next = id.data;

	cr_assert_eq(td_ike_id_parse(subject, &id), 0, "%s", subject);
	cr_assert_eq(id.type, TD_ID_DN);
	return d2i_X509_NAME(NULL, &next, id.length);
}

struct pki_cert pki_issue(const char *kind, const struct pki_spec *spec, const struct pki_cert *issuer)
{
	struct pki_cert made = {pki_key(kind), X509_new()};
	EVP_PKEY *signer = issuer ? issuer->key : made.key;
	bool plain = EVP_PKEY_is_a(signer, "ED25519");
	const EVP_MD *digest = plain ? NULL : EVP_get_digestbyname(spec->digest ? spec->digest : "SHA256");
	X509_NAME *subject = name_of(spec->subject);
	static long serial = 1;

	cr_assert_lt(certificate_count, OWNED_MAX);
	certificates[certificate_count++] = made.certificate;
	X509_set_version(made.certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
	X509_set_subject_name(made.certificate, subject);
	X509_set_issuer_name(made.certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject);
	ASN1_TIME_set(X509_getm_notBefore(made.certificate), PKI_NOW + (spec->from ? spec->from : -PKI_DAY));
	ASN1_TIME_set(X509_getm_notAfter(made.certificate), PKI_NOW + (spec->until ? spec->until : PKI_DAY));
	X509_set_pubkey(made.certificate, made.key);
	extend(made.certificate, NID_basic_constraints, spec->authority ? "critical,CA:TRUE" : "CA:FALSE");
	if (spec->san)
		extend(made.certificate, NID_subject_alt_name, spec->san);
	if (spec->usage)
		extend(made.certificate, NID_key_usage, spec->usage);
	cr_assert_gt(X509_sign(made.certificate, signer, digest), 0);
	X509_NAME_free(subject);
	return made;
}

static const char *path_of(const char *name)
{
	if (!directory_made)
		cr_assert_not_null(mkdtemp(directory));
	directory_made = true;
	for (unsigned i = 0; i < path_count; i++)
		if (strcmp(strrchr(paths[i], '/') + 1, name) == 0)
			return paths[i];
	cr_assert_lt(path_count, PATHS_MAX);
	snprintf(paths[path_count], sizeof(paths[0]), "%s/%s", directory, name);
	return paths[path_count++];
}

const char *pki_file(const char *name, const void *data, size_t length, unsigned mode)
{
	const char *path = path_of(name);
	int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(descriptor, 0);
	cr_assert_eq(write(descriptor, data, length), (ssize_t)length);
	cr_assert_eq(fchmod(descriptor, mode), 0);
	close(descriptor);
	return path;
}

static const char *memory_file(const char *name, BIO *memory, unsigned mode)
{
	char *data;
	long length = BIO_get_mem_data(memory, &data);
	const char *path = pki_file(name, data, (size_t)length, mode);

	BIO_free(memory);
	return path;
}

const char *pki_key_file(const char *name, EVP_PKEY *key, const char *passphrase)
{
	BIO *memory = BIO_new(BIO_s_mem());

	cr_assert_eq(PEM_write_bio_PKCS8PrivateKey(memory, key, passphrase ? EVP_aes_128_cbc() : NULL,
	                 passphrase, passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
	    1);
	return memory_file(name, memory, 0600);
}

const char *pki_public_file(const char *name, EVP_PKEY *key)
{
	BIO *memory = BIO_new(BIO_s_mem());

	cr_assert_eq(PEM_write_bio_PUBKEY(memory, key), 1);
	return memory_file(name, memory, 0644);
}

const char *pki_cert_file(const char *name, unsigned count, X509 *const *list)
{
	BIO *memory = BIO_new(BIO_s_mem());

	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(PEM_write_bio_X509(memory, list[i]), 1);
	return memory_file(name, memory, 0644);
}

void pki_end(void)
{
	for (unsigned i = 0; i < path_count; i++)
		unlink(paths[i]);
	while (key_count > 0)
		EVP_PKEY_free(keys[--key_count]);
	while (certificate_count > 0)
		X509_free(certificates[--certificate_count]);
	path_count = 0;
	if (directory_made)
		cr_expect_eq(rmdir(directory), 0);
}

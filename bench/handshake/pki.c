// SPDX-License-Identifier: BSD-3-Clause
#include "bench/handshake/pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400

// A file without a name, for those who read credentials by path. Returns its descriptor or -errno.
static int file_make(BIO *memory, char path[32])
{
	char *data;
	long length = BIO_get_mem_data(memory, &data);
	int descriptor = memfd_create("pki", MFD_CLOEXEC), ret;

	if (descriptor < 0)
		return -errno;
	if (fchmod(descriptor, 0600) < 0 || write(descriptor, data, (size_t)length) != length) {
		ret = errno ? -errno : -EIO;
		close(descriptor);
		return ret;
	}
	snprintf(path, 32, "/proc/self/fd/%d", descriptor);
	return descriptor;
}

static bool extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool done = extension && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return done;
}

// issuer NULL: an authority, signed by itself. alternative NULL: no other name.
static X509 *issue(EVP_PKEY *key, const char *name, const char *alternative, X509 *issuer, EVP_PKEY *signer)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;

	if (subject && X509_set_version(certificate, X509_VERSION_3) == 1 &&
	    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) ==
	        1 &&
	    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject) == 1 &&
	    ASN1_TIME_set(X509_getm_notBefore(certificate), TD_PKI_NOW - DAY_S) &&
	    ASN1_TIME_set(X509_getm_notAfter(certificate), TD_PKI_NOW + DAY_S) &&
	    X509_set_pubkey(certificate, key) == 1 &&
	    extend(certificate, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE") &&
	    (!alternative || extend(certificate, NID_subject_alt_name, alternative)) &&
	    X509_sign(certificate, signer, EVP_sha256()) > 0)
		return certificate;
	X509_free(certificate);
	return NULL;
}

static int certificate_file(X509 *certificate, char path[32])
{
	BIO *memory = BIO_new(BIO_s_mem());
	int descriptor = -ENOMEM;

	if (memory && PEM_write_bio_X509(memory, certificate) == 1)
		descriptor = file_make(memory, path);
	BIO_free(memory);
	return descriptor;
}

static int key_file(EVP_PKEY *key, char path[32])
{
	BIO *memory = BIO_new(BIO_s_mem());
	int descriptor = -ENOMEM;

	if (memory && PEM_write_bio_PKCS8PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1)
		descriptor = file_make(memory, path);
	BIO_free(memory);
	return descriptor;
}

struct td_ike_credential *td_pki_trust(const struct td_pki *pki)
{
	struct td_ike_credential *trust = NULL;
	char path[32];
	int descriptor = certificate_file(pki->authority, path);
	struct td_error error;

	if (descriptor >= 0) {
		trust = td_ike_credential_trust(path, NULL, &error);
		close(descriptor);
	}
	return trust;
}

static struct td_ike_credential *credential_make(EVP_PKEY *key, X509 *certificate)
{
	struct td_ike_credential *credential = NULL;
	char key_path[32], certificate_path[32];
	int key_descriptor = key_file(key, key_path);
	int descriptor = certificate_file(certificate, certificate_path);
	struct td_error error;

	if (key_descriptor >= 0 && descriptor >= 0)
		credential = td_ike_credential_key(key_path, certificate_path, &error);
	if (key_descriptor >= 0)
		close(key_descriptor);
	if (descriptor >= 0)
		close(descriptor);
	return credential;
}

int td_pki_make(struct td_pki *pki)
{
	static const uint8_t psk[] = "the same on both sides";
	static const char *const names[2] = {"a", "b"}, *const alternatives[2] = {
	                                                    "DNS:a.example", "DNS:b.example"};
	EVP_PKEY *authority_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *key;
	X509 *authority = authority_key ? issue(authority_key, "authority", NULL, NULL, authority_key) : NULL;

	*pki = (struct td_pki){.psk = td_ike_credential_psk_bytes((struct td_bytes){psk, sizeof(psk) - 1})};
	pki->authority = authority;
	if (authority)
		pki->trust = td_pki_trust(pki);
	for (unsigned i = 0; authority && i < 2; i++) {
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
		X509 *certificate =
		    key ? issue(key, names[i], alternatives[i], authority, authority_key) : NULL;
		if (certificate)
			pki->keys[i] = credential_make(key, certificate);
		X509_free(certificate);
		if (i == 0)
			pki->key = key;
		else
			EVP_PKEY_free(key);
	}
	EVP_PKEY_free(authority_key);
	return pki->psk && pki->trust && pki->keys[0] && pki->keys[1] && pki->key ? 0 : -EIO;
}

void td_pki_free(struct td_pki *pki)
{
	td_ike_credential_free(pki->psk);
	td_ike_credential_free(pki->keys[0]);
	td_ike_credential_free(pki->keys[1]);
	td_ike_credential_free(pki->trust);
	EVP_PKEY_free(pki->key);
	X509_free(pki->authority);
}

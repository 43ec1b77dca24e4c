// SPDX-License-Identifier: BSD-3-Clause
// Certificates that "tandemctl key cert" makes. RFC 8410 5: X25519 is for key agreement, and cannot sign.
#include "control/cli/key_file.h"
#include "control/ike/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 64 // of a common name (RFC 5280 A.1)
#define SERIAL_BITS 127 // RFC 5280 4.1.2.2: positive, at most 20 bytes
#define CLOCKS_DIFFER_S 3600 // a peer whose clock is slow takes the certificate at once

// Who signs. Both are freed.
struct signer {
	EVP_PKEY *key;
	X509 *certificate; // NULL: the one that is being made
};

static bool is_signing(const EVP_PKEY *key)
{
	return !EVP_PKEY_is_a(key, "X25519");
}

static X509_NAME *name_of(const char *prefix, const struct td_certificate_order *order)
{
	char text[NAME_MAX_BYTES + 1];
	X509_NAME *name;

	if (!prefix && order->id->type == TD_ID_DN) {
		const unsigned char *next = order->id->data;

		return d2i_X509_NAME(NULL, &next, order->id->length);
	}
	snprintf(text, sizeof(text), "%s%s", prefix ? prefix : "", order->id_text);
	name = X509_NAME_new();
	if (name && X509_NAME_add_entry_by_txt(
	                name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1)
		return name;
	X509_NAME_free(name);
	return NULL;
}

static bool extend(X509 *certificate, X509V3_CTX *context, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
	bool good = extension && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return good;
}

// The identity as it is, not by libcrypto's text form, in which a comma would begin another name.
static bool extend_identity(X509 *certificate, const struct td_ike_id *id)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	bool is_ip = id->type == TD_ID_IPV4 || id->type == TD_ID_IPV6;
	ASN1_STRING *value = ASN1_STRING_type_new(is_ip ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
	bool good = false;

	if (names && name && value && ASN1_STRING_set(value, id->data, id->length) == 1) {
		GENERAL_NAME_set0_value(name,
		    is_ip                    ? GEN_IPADD
		    : id->type == TD_ID_FQDN ? GEN_DNS
		                             : GEN_EMAIL,
		    value);
		value = NULL;
		good = sk_GENERAL_NAME_push(names, name) > 0;
		if (good)
			name = NULL;
		good = good && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1;
	}
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return good;
}

static bool fill(X509 *certificate, EVP_PKEY *key, X509_NAME *subject, unsigned days)
{
	BIGNUM *serial = BN_new();
	bool good = serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
	            BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) &&
	            X509_set_version(certificate, X509_VERSION_3) == 1 &&
	            X509_set_subject_name(certificate, subject) == 1 &&
	            X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCKS_DIFFER_S) &&
	            X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days, 0, NULL) &&
	            X509_set_pubkey(certificate, key) == 1;

	BN_free(serial);
	return good;
}

static bool sign(X509 *certificate, EVP_PKEY *key)
{
	bool plain = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");

	return X509_sign(certificate, key, plain ? NULL : EVP_sha256()) > 0;
}

// id NULL: an authority.
static X509 *make(
    EVP_PKEY *key, X509_NAME *subject, const struct td_ike_id *id, unsigned days, const struct signer *signer)
{
	X509 *made = X509_new();
	X509 *issuer = signer->certificate ? signer->certificate : made;
	X509V3_CTX context;

	if (!made)
		return NULL;
	X509V3_set_ctx(&context, issuer, made, NULL, NULL, 0);
	if (fill(made, key, subject, days) &&
	    X509_set_issuer_name(made, X509_get_subject_name(issuer)) == 1 &&
	    extend(made, &context, NID_basic_constraints, id ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
	    extend(made, &context, NID_key_usage,
	        !id               ? "critical,keyCertSign"
	        : is_signing(key) ? "critical,digitalSignature"
	                          : "critical,keyAgreement") &&
	    extend(made, &context, NID_subject_key_identifier, "hash") &&
	    extend(made, &context, NID_authority_key_identifier, "keyid") &&
	    (!id || id->type == TD_ID_DN || extend_identity(made, id)) && sign(made, signer->key))
		return made;
	X509_free(made);
	return NULL;
}

static int authority_load(
    const struct td_certificate_order *order, struct signer *signer, struct td_error *error)
{
	EVP_PKEY *ignored = NULL;
	int result = td_pem_public_key(order->authority_path, &ignored, &signer->certificate, error);

	EVP_PKEY_free(ignored);
	if (result)
		return result;
	if (!signer->certificate)
		return td_error_set(
		    error, -EINVAL, NULL, NULL, "%s holds no certificate", order->authority_path);
	signer->key = td_pem_private_key(order->authority_key_path, error);
	if (!signer->key)
		return -EINVAL;
	if (X509_check_private_key(signer->certificate, signer->key) != 1)
		return td_error_set(error, -EINVAL, NULL, NULL, "%s is of another key than %s",
		    order->authority_path, order->authority_key_path);
	if (X509_check_ca(signer->certificate) == 0)
		return td_error_set(error, -EINVAL, NULL, NULL, "%s is not of an authority (CA:FALSE)",
		    order->authority_path);
	return 0;
}

// One key, used once, so that the certificate has a signature that holds.
static int throwaway_make(
    const struct td_certificate_order *order, struct signer *signer, struct td_error *error)
{
	X509_NAME *name = name_of("issuer of ", order);

	signer->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (signer->key && name)
		signer->certificate = make(signer->key, name, NULL, order->days, signer);
	X509_NAME_free(name);
	return signer->certificate ? 0
	                           : td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot make an issuer");
}

static int signer_get(const struct td_certificate_order *order, const EVP_PKEY *key, struct signer *signer,
    struct td_error *error)
{
	if (order->authority_path)
		return authority_load(order, signer, error);
	if (!is_signing(key))
		return throwaway_make(order, signer, error);
	signer->key = td_pem_private_key(order->key_path, error);
	return signer->key ? 0 : -EINVAL;
}

BIO *td_certificate_issue(const struct td_certificate_order *order, struct td_error *error)
{
	EVP_PKEY *key = td_key_file_public(order->key_path, error);
	struct signer signer = {0};
	X509_NAME *subject = name_of(NULL, order);
	BIO *text = BIO_new(BIO_s_mem());
	X509 *made = NULL;
	bool good = false;

	if (!key || signer_get(order, key, &signer, error) != 0)
		goto out;
	if (subject && text)
		made = make(key, subject, order->id, order->days, &signer);
	good = made && PEM_write_bio_X509(text, made) == 1;
	// Nobody else has the certificate of a key that is forgotten.
	if (good && !order->authority_path && signer.certificate)
		good = PEM_write_bio_X509(text, signer.certificate) == 1;
	if (!good)
		td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot make the certificate");
out:
	X509_free(made);
	X509_NAME_free(subject);
	X509_free(signer.certificate);
	EVP_PKEY_free(signer.key);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (good)
		return text;
	BIO_free(text);
	return NULL;
}

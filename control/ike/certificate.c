// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/certificate.h"

#include "control/ike/dn.h"
#include "control/ike/identity.h"
#include "control/ike/known.h"
#include "control/ike/signature.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#define CHAIN_DEPTH_MAX 8 // intermediate certificates
#define AUTH_LEVEL 2 // 112 bits: no SHA-1, no RSA below 2048 bits

static struct td_bytes string_bytes(const ASN1_STRING *string)
{
	return (struct td_bytes){ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string)};
}

static bool name_fits(const GENERAL_NAME *name, const struct td_ike_id *id, struct td_bytes own)
{
	if (name->type == GEN_DNS && id->type == TD_ID_FQDN)
		return td_ike_fqdn_equal(own, string_bytes(name->d.dNSName));
	if (name->type == GEN_EMAIL && id->type == TD_ID_EMAIL)
		return td_ike_email_equal(own, string_bytes(name->d.rfc822Name));
	if (name->type == GEN_IPADD && (id->type == TD_ID_IPV4 || id->type == TD_ID_IPV6))
		return td_bytes_equal(own, string_bytes(name->d.iPAddress));
	return false;
}

bool td_certificate_is_for(const X509 *certificate, const struct td_ike_id *id)
{
	const struct td_bytes own = {id->data, id->length};
	GENERAL_NAMES *names;
	bool fits = false;

	if (own.length == 0)
		return false;
	if (id->type == TD_ID_DN)
		return td_dn_equal_name(own, X509_get_subject_name(certificate));
	names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; !fits && i < sk_GENERAL_NAME_num(names); i++)
		fits = name_fits(sk_GENERAL_NAME_value(names, i), id, own);
	GENERAL_NAMES_free(names);
	return fits;
}

int td_certificate_refuse_id(const X509 *certificate, const struct td_ike_id *id, struct td_error *error)
{
	char subject[96], text[TD_ID_TEXT_MAX];

	td_dn_format_name(X509_get_subject_name(certificate), subject, sizeof(subject));
	return td_error_set(error, -EACCES, NULL, NULL,
	    id->type == TD_ID_DN
	        ? "the certificate of %s is not for %.96s, its subject is another one"
	        : "the certificate of %s is not for %.96s, which is no subject alternative name of it",
	    subject, td_ike_id_format(id, text));
}

int td_certificate_check_key(X509 *certificate, struct td_error *error)
{
	// All bits are set when there is no such extension.
	uint32_t usage = X509_get_key_usage(certificate);
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	struct td_error reason;

	if (!key) {
		ERR_clear_error();
		return td_error_set(error, -EACCES, NULL, NULL, "the certificate's key is of no known kind");
	}
	if (!(usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
		return td_error_set(error, -EACCES, NULL, NULL,
		    "the certificate's key usage does not allow signatures (digitalSignature)");
	if (td_signature_key_check(key, &reason) != 0)
		return td_error_set(
		    error, -EACCES, NULL, NULL, "the certificate's key %.200s", reason.reason);
	return 0;
}

int td_certificate_check_time(const X509 *certificate, int64_t unix_time, struct td_error *error)
{
	time_t now = (time_t)unix_time;

	if (X509_cmp_time(X509_get0_notBefore(certificate), &now) >= 0)
		return td_error_set(error, -EACCES, NULL, NULL, "the certificate is not valid yet");
	if (X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
		return td_error_set(error, -EACCES, NULL, NULL, "the certificate has expired");
	return 0;
}

// NULL when the bytes are not one certificate and nothing else.
static X509 *certificate_of(struct td_bytes der)
{
	const unsigned char *next = der.data;
	X509 *certificate = der.length ? d2i_X509(NULL, &next, (long)der.length) : NULL;

	if (certificate && next == der.data + der.length)
		return certificate;
	X509_free(certificate);
	return NULL;
}

// The certificates of the message in its order. NULL: one is malformed, or libcrypto failed. What is not
// X.509 (a CRL, a hash and URL) is passed over.
static STACK_OF(X509) * collect(struct td_known *known, const struct td_ike_payloads *payloads)
{
	STACK_OF(X509) *all = sk_X509_new_null();

	for (unsigned i = 0; all && i < payloads->cert_count; i++) {
		const struct td_ike_cert *cert = &payloads->certs[i];
		X509 *certificate;

		if (cert->encoding != TD_CERT_X509)
			continue;
		certificate = td_known_find(known, cert->data);
		if (!certificate)
			certificate = certificate_of(cert->data);
		if (!certificate || sk_X509_push(all, certificate) == 0) {
			X509_free(certificate);
			sk_X509_pop_free(all, X509_free);
			return NULL;
		}
	}
	return all;
}

// What the peer sent of a chain that holds. What else came with it is nobody's who could be held to it.
static void chain_keep(X509_STORE_CTX *context, struct td_known *known)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);
	int sent = X509_STORE_CTX_get_num_untrusted(context);

	for (int i = 0; i < sent && i < sk_X509_num(chain); i++)
		td_known_add(known, sk_X509_value(chain, i));
}

// To an authority of ours, which need not be a root.
static int chain_verify(X509_STORE *authorities, struct td_known *known, X509 *certificate,
    STACK_OF(X509) * others, int64_t unix_time, struct td_error *error)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *parameters;
	char issuer[96];
	int result = -EACCES;

	if (!context || X509_STORE_CTX_init(context, authorities, certificate, others) != 1) {
		td_error_set(error, -EACCES, NULL, NULL, "libcrypto cannot verify the certificate");
		goto out;
	}
	parameters = X509_STORE_CTX_get0_param(context);
	X509_VERIFY_PARAM_set_time(parameters, (time_t)unix_time);
	X509_VERIFY_PARAM_set_depth(parameters, CHAIN_DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(parameters, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
	if (X509_verify_cert(context) == 1) {
		chain_keep(context, known);
		result = 0;
		goto out;
	}
	td_dn_format_name(X509_get_issuer_name(certificate), issuer, sizeof(issuer));
	td_error_set(error, -EACCES, NULL, NULL, "the certificate issued by %s is not trusted: %s", issuer,
	    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
out:
	X509_STORE_CTX_free(context);
	ERR_clear_error();
	return result;
}

X509 *td_certificate_accept(X509_STORE *authorities, struct td_known *known,
    const struct td_ike_payloads *payloads, const struct td_ike_id *id, int64_t unix_time,
    struct td_error *error)
{
	STACK_OF(X509) *all = collect(known, payloads);
	X509 *certificate = sk_X509_value(all, 0);
	bool accepted = false;

	if (!all)
		td_error_set(error, -EACCES, NULL, NULL, "a certificate of the peer is malformed");
	else if (!certificate)
		td_error_set(error, -EACCES, NULL, NULL, "the peer sent no certificate");
	else if (!td_certificate_is_for(certificate, id))
		td_certificate_refuse_id(certificate, id, error);
	else
		accepted = chain_verify(authorities, known, certificate, all, unix_time, error) == 0 &&
		           td_certificate_check_key(certificate, error) == 0;
	if (!accepted || X509_up_ref(certificate) != 1)
		certificate = NULL;
	sk_X509_pop_free(all, X509_free);
	ERR_clear_error();
	return certificate;
}

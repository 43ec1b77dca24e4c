// SPDX-License-Identifier: BSD-3-Clause
// Pre-shared keys and private keys: what we prove ourselves with. trust.c has what peers are verified by.
#include "control/ike/certificate.h"
#include "control/ike/credential_state.h"
#include "control/ike/pem.h"
#include "control/ike/secret_file.h"
#include "control/ike/signature.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void td_ike_credential_free(struct td_ike_credential *credential)
{
	if (!credential)
		return;
	EVP_PKEY_free(credential->key); // libcrypto wipes a private key
	X509_free(credential->pinned);
	X509_STORE_free(credential->authorities);
	td_known_free(credential->known);
	OPENSSL_free((void *)credential->certreq.data);
	for (unsigned i = 0; i < credential->cert_count; i++) {
		X509_free(credential->certs[i]);
		OPENSSL_free((void *)credential->cert_der[i].data);
	}
	td_wipe(credential, sizeof(*credential));
	free(credential);
}

struct td_ike_credential *td_ike_credential_psk_bytes(struct td_bytes psk)
{
	struct td_ike_credential *credential;

	if (psk.length == 0 || psk.length > TD_SECRET_MAX_BYTES)
		return NULL;
	credential = calloc(1, sizeof(*credential));
	if (!credential)
		return NULL;
	credential->kind = TD_CREDENTIAL_PSK;
	memcpy(credential->psk.bytes, psk.data, psk.length);
	credential->psk.length = psk.length;
	return credential;
}

// The key that a file's bytes mean.
static int psk_parse(
    const struct td_file *file, const char *path, struct td_secret *psk, struct td_error *error)
{
	char text[2 + 2 * TD_SECRET_MAX_BYTES + 1];
	size_t length = file->length;
	int result = 0;

	if (length > 0 && file->data[length - 1] == '\n')
		length--;
	if (length >= 2 && memcmp(file->data, "0x", 2) == 0) {
		if (length >= sizeof(text) || memchr(file->data, '\0', length))
			return td_error_set(error, -EINVAL, NULL, NULL,
			    "%s holds more than %d bytes in hexadecimal, or zero bytes", path,
			    TD_SECRET_MAX_BYTES);
		memcpy(text, file->data, length);
		text[length] = '\0';
		result = td_secret_from_hex(text, psk);
		td_wipe(text, sizeof(text));
		if (result)
			return td_error_set(error, result, NULL, NULL,
			    "%s begins with 0x, but does not go on with pairs of hexadecimal digits", path);
	} else if (length <= TD_SECRET_MAX_BYTES) {
		memcpy(psk->bytes, file->data, length);
		psk->length = length;
	} else {
		return td_error_set(error, -E2BIG, NULL, NULL,
		    "%s holds a pre-shared key of %zu bytes, at most %d are allowed", path, length,
		    TD_SECRET_MAX_BYTES);
	}
	if (psk->length < TD_PSK_MIN_BYTES)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "%s holds a pre-shared key of %zu bytes, at least %d are needed; make one with: openssl "
		    "rand -hex 32",
		    path, psk->length, TD_PSK_MIN_BYTES);
	return 0;
}

struct td_ike_credential *td_ike_credential_psk(const char *path, struct td_error *error)
{
	struct td_ike_credential *credential = NULL;
	TD_SECRET_AUTO psk = {0};
	struct td_file file;

	if (td_file_read(path, true, &file, error) != 0)
		return NULL;
	if (psk_parse(&file, path, &psk, error) == 0) {
		credential = td_ike_credential_psk_bytes((struct td_bytes){psk.bytes, psk.length});
		if (!credential)
			td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
	}
	td_file_free(&file);
	return credential;
}

// A root at the end of the chain stays here: who does not have it would not trust it either.
static bool is_sent(X509 *certificate, unsigned position)
{
	return position == 0 ||
	       X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) != 0;
}

static int chain_add(struct td_ike_credential *credential, X509 *certificate)
{
	unsigned char *der = NULL;
	int length = i2d_X509(certificate, &der);

	if (length <= 0)
		return -ENOMEM;
	X509_up_ref(certificate);
	credential->certs[credential->cert_count] = certificate;
	credential->cert_der[credential->cert_count++] = (struct td_bytes){der, (size_t)length};
	return 0;
}

static int chain_load(struct td_ike_credential *credential, const char *path, struct td_error *error)
{
	STACK_OF(X509) *all = td_pem_certificates(path, error);
	int result = 0;

	if (!all)
		return -EINVAL;
	for (int i = 0; !result && i < sk_X509_num(all); i++) {
		X509 *certificate = sk_X509_value(all, i);

		if (!is_sent(certificate, (unsigned)i))
			continue;
		if (credential->cert_count == TD_IKE_CERTS_MAX)
			result = td_error_set(error, -E2BIG, NULL, NULL, "%s holds more than %d certificates",
			    path, TD_IKE_CERTS_MAX);
		else if (chain_add(credential, certificate) != 0)
			result = td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
	}
	sk_X509_pop_free(all, X509_free);
	return result;
}

static int key_load(struct td_ike_credential *credential, const char *key_path, const char *chain_path,
    struct td_error *error)
{
	struct td_error reason;

	credential->key = td_pem_private_key(key_path, error);
	if (!credential->key)
		return -EINVAL;
	if (td_signature_key_check(credential->key, &reason) != 0)
		return td_error_set(error, -EINVAL, NULL, NULL, "%s %.160s", key_path, reason.reason);
	if (!chain_path)
		return 0;
	if (chain_load(credential, chain_path, error) != 0)
		return -EINVAL;
	if (X509_check_private_key(credential->certs[0], credential->key) != 1) {
		ERR_clear_error();
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "the first certificate of %s is of another key than %s", chain_path, key_path);
	}
	if (td_certificate_check_key(credential->certs[0], &reason) != 0)
		return td_error_set(error, -EINVAL, NULL, NULL, "%s: %.160s", chain_path, reason.reason);
	return 0;
}

struct td_ike_credential *td_ike_credential_key(
    const char *key_path, const char *chain_path, struct td_error *error)
{
	struct td_ike_credential *credential = calloc(1, sizeof(*credential));

	if (!credential) {
		td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
		return NULL;
	}
	credential->kind = TD_CREDENTIAL_KEY;
	if (key_load(credential, key_path, chain_path, error) == 0)
		return credential;
	td_ike_credential_free(credential);
	return NULL;
}

int td_ike_credential_check_id(
    const struct td_ike_credential *credential, const struct td_ike_id *id, struct td_error *error)
{
	if (credential->kind != TD_CREDENTIAL_KEY || credential->cert_count == 0 ||
	    td_certificate_is_for(credential->certs[0], id))
		return 0;
	td_certificate_refuse_id(credential->certs[0], id, error);
	return -EINVAL;
}

void td_ike_certs_write(struct td_ike_chain *chain, const struct td_ike_credential *credential)
{
	for (unsigned i = 0; i < credential->cert_count; i++)
		td_ike_cert_write(chain, TD_IKE_PAYLOAD_CERT, TD_CERT_X509, credential->cert_der[i]);
}

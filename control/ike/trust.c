// SPDX-License-Identifier: BSD-3-Clause
// What a peer's signature is verified by: authorities, its raw public key, or its very certificate.
#include "control/ike/credential_state.h"
#include "control/ike/pem.h"
#include "control/ike/signature.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The hash that a CERTREQ names an authority by.
static int hash_write(X509 *authority, struct td_writer *hashes)
{
	unsigned char *der = NULL;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(authority), &der);
	const struct td_bytes part = {der, length > 0 ? (size_t)length : 0};
	uint8_t *room = td_writer_room(hashes, TD_CERTREQ_HASH_BYTES);
	int result = length > 0 && room ? td_sha1(&part, 1, room) : -EIO;

	OPENSSL_free(der);
	return result;
}

static int authority_add(struct td_ike_credential *credential, X509 *authority, struct td_writer *hashes,
    const char *path, int number, struct td_error *error)
{
	// 1: by its basic constraints; libcrypto's other answers are guesses about old certificates.
	if (X509_check_ca(authority) != 1)
		return td_error_set(error, -EINVAL, NULL, NULL,
		    "certificate %d of %s is not of an authority (CA:TRUE); a peer's own certificate goes "
		    "where its public key does",
		    number, path);
	if (X509_STORE_add_cert(credential->authorities, authority) != 1 ||
	    hash_write(authority, hashes) != 0) {
		ERR_clear_error();
		return td_error_set(
		    error, -EIO, NULL, NULL, "libcrypto cannot take certificate %d of %s", number, path);
	}
	return 0;
}

static int authorities_load(struct td_ike_credential *credential, const char *path, struct td_error *error)
{
	STACK_OF(X509) *all = td_pem_certificates(path, error);
	struct td_writer hashes = {0};
	int result = 0;

	if (!all)
		return -EINVAL;
	hashes.capacity = (size_t)sk_X509_num(all) * TD_CERTREQ_HASH_BYTES;
	hashes.data = OPENSSL_malloc(hashes.capacity);
	credential->authorities = X509_STORE_new();
	credential->known = td_known_create();
	if (!hashes.data || !credential->authorities || !credential->known)
		result = td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
	for (int i = 0; !result && i < sk_X509_num(all); i++)
		result = authority_add(credential, sk_X509_value(all, i), &hashes, path, i + 1, error);
	credential->certreq = td_writer_bytes_of(&hashes);
	sk_X509_pop_free(all, X509_free);
	return result;
}

static int key_load(struct td_ike_credential *credential, const char *path, struct td_error *error)
{
	struct td_error reason;

	if (td_pem_public_key(path, &credential->key, &credential->pinned, error) != 0)
		return -EINVAL;
	if (td_signature_key_check(credential->key, &reason) != 0)
		return td_error_set(error, -EINVAL, NULL, NULL, "%s %.160s", path, reason.reason);
	return 0;
}

struct td_ike_credential *td_ike_credential_trust(
    const char *authorities_path, const char *public_key_path, struct td_error *error)
{
	struct td_ike_credential *credential = calloc(1, sizeof(*credential));

	if (!credential) {
		td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
		return NULL;
	}
	credential->kind = TD_CREDENTIAL_TRUST;
	if (!authorities_path && !public_key_path) {
		td_error_set(error, -EINVAL, NULL, NULL, "neither authorities nor a public key are given");
		goto fail;
	}
	if (authorities_path && authorities_load(credential, authorities_path, error) != 0)
		goto fail;
	if (public_key_path && key_load(credential, public_key_path, error) != 0)
		goto fail;
	return credential;
fail:
	td_ike_credential_free(credential);
	return NULL;
}

void td_ike_certreq_write(struct td_ike_chain *chain, const struct td_ike_credential *trust)
{
	if (trust->certreq.length > 0)
		td_ike_cert_write(chain, TD_IKE_PAYLOAD_CERTREQ, TD_CERT_X509, trust->certreq);
}

bool td_ike_certreq_is_empty(const struct td_ike_credential *trust)
{
	return trust->certreq.length == 0;
}

bool td_ike_certreq_equal(const struct td_ike_credential *a, const struct td_ike_credential *b)
{
	return a->certreq.length == b->certreq.length &&
	       (a->certreq.length == 0 || memcmp(a->certreq.data, b->certreq.data, a->certreq.length) == 0);
}

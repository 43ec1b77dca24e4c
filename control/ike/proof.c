// SPDX-License-Identifier: BSD-3-Clause
// The AUTH payload (RFC 7296 2.15): made and verified.
#include "control/ike/certificate.h"
#include "control/ike/credential_state.h"
#include "control/ike/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_PAD "Key Pad for IKEv2"

// What is signed, in three parts: the message, the nonce, and the MAC of the ID.
struct octets {
	uint8_t id_mac[TD_PRF_MAX_BYTES];
	struct td_bytes parts[3];
};

static struct td_bytes view(const struct td_secret *secret)
{
	return (struct td_bytes){secret->bytes, secret->length};
}

static int octets_of(const struct td_ike_signed *what, struct octets *octets)
{
	const struct td_ike_keys *keys = what->keys;
	const struct td_secret *p = what->initiator ? &keys->p_i : &keys->p_r;

	octets->parts[0] = what->message;
	octets->parts[1] = what->nonce;
	octets->parts[2] = (struct td_bytes){octets->id_mac, td_prf_bytes(keys->prf)};
	return td_prf(keys->prf, view(p), &what->id_body, 1, octets->id_mac);
}

// The same in one piece, as Ed25519 needs it: allocated; data NULL on failure.
static struct td_bytes join(const struct octets *octets)
{
	size_t length = octets->parts[0].length + octets->parts[1].length + octets->parts[2].length;
	struct td_writer writer = {.data = malloc(length), .capacity = length};

	if (!writer.data)
		return (struct td_bytes){0};
	for (unsigned i = 0; i < 3; i++)
		td_writer_bytes(&writer, octets->parts[i].data, octets->parts[i].length);
	return td_writer_bytes_of(&writer);
}

// prf(prf(psk, pad), octets).
static int psk_mac(
    uint16_t prf, const struct td_secret *psk, const struct octets *octets, uint8_t mac[TD_PRF_MAX_BYTES])
{
	const struct td_bytes pad = {(const uint8_t *)KEY_PAD, sizeof(KEY_PAD) - 1};
	TD_SECRET_AUTO padded;
	int result;

	padded.length = td_prf_bytes(prf);
	result = td_prf(prf, view(psk), &pad, 1, padded.bytes);
	return result ? result : td_prf(prf, view(&padded), octets->parts, 3, mac);
}

static int psk_sign(const struct td_ike_credential *credential, uint16_t prf, const struct octets *octets,
    struct td_writer *data)
{
	uint8_t mac[TD_PRF_MAX_BYTES];
	int result = psk_mac(prf, &credential->psk, octets, mac);

	if (!result)
		td_writer_bytes(data, mac, td_prf_bytes(prf));
	td_wipe(mac, sizeof(mac));
	return !result && data->overflow ? -ENOSPC : result;
}

int td_ike_auth_sign(const struct td_ike_credential *credential, const struct td_ike_signed *what,
    uint32_t hashes, uint8_t *method, struct td_writer *data)
{
	struct td_bytes joined;
	struct octets octets;
	int result;

	if (credential->kind == TD_CREDENTIAL_TRUST)
		return -ENOTSUP;
	if (octets_of(what, &octets) != 0)
		return -EIO;
	if (credential->kind == TD_CREDENTIAL_PSK) {
		*method = TD_AUTH_PSK;
		return psk_sign(credential, what->keys->prf, &octets, data);
	}
	joined = join(&octets);
	if (!joined.data)
		return -EIO;
	result = td_signature_make(credential->key, joined, hashes, method, data);
	free((void *)joined.data);
	return result;
}

static int psk_verify(const struct td_ike_credential *credential, const struct td_ike_signed *what,
    const struct octets *octets, const struct td_ike_payloads *payloads, struct td_error *error)
{
	uint8_t mac[TD_PRF_MAX_BYTES];
	bool good;

	if (payloads->auth_method != TD_AUTH_PSK)
		return td_error_set(error, -EACCES, NULL, NULL,
		    "the peer authenticates by method %u, a pre-shared key is expected",
		    payloads->auth_method);
	good = psk_mac(what->keys->prf, &credential->psk, octets, mac) == 0 &&
	       payloads->auth.length == td_prf_bytes(what->keys->prf) &&
	       CRYPTO_memcmp(mac, payloads->auth.data, payloads->auth.length) == 0;
	td_wipe(mac, sizeof(mac));
	return good ? 0 : td_error_set(error, -EACCES, NULL, NULL, "the pre-shared keys are not the same");
}

// A pinned certificate must still be good in itself, though nobody need vouch for it.
static int pinned_check(X509 *pinned, const struct td_ike_id *id, int64_t unix_time, struct td_error *error)
{
	if (!td_certificate_is_for(pinned, id))
		return td_certificate_refuse_id(pinned, id, error);
	if (td_certificate_check_time(pinned, unix_time, error) != 0)
		return -EACCES;
	return td_certificate_check_key(pinned, error);
}

// The key to verify by, to be freed; NULL and *error when there is none to trust. With both authorities and a
// key it must be that key, in a certificate.
static EVP_PKEY *trusted_key(const struct td_ike_credential *credential, const struct td_ike_id *id,
    const struct td_ike_payloads *payloads, int64_t unix_time, struct td_error *error)
{
	X509 *certificate;
	EVP_PKEY *key = NULL;

	if (credential->pinned && pinned_check(credential->pinned, id, unix_time, error) != 0)
		return NULL;
	if (!credential->authorities) {
		EVP_PKEY_up_ref(credential->key);
		return credential->key;
	}
	certificate =
	    td_certificate_accept(credential->authorities, credential->known, payloads, id, unix_time, error);
	if (!certificate)
		return NULL;
	if (!credential->key || EVP_PKEY_eq(X509_get0_pubkey(certificate), credential->key) == 1)
		key = X509_get_pubkey(certificate);
	else
		td_error_set(error, -EACCES, NULL, NULL,
		    "the peer's certificate is of another key than the one configured");
	X509_free(certificate);
	return key;
}

static int signature_verify(const struct td_ike_credential *credential, const struct octets *octets,
    const struct td_ike_id *id, const struct td_ike_payloads *payloads, int64_t unix_time,
    struct td_error *error)
{
	EVP_PKEY *key = trusted_key(credential, id, payloads, unix_time, error);
	struct td_bytes joined;
	int result;

	if (!key)
		return -EACCES;
	joined = join(octets);
	if (joined.data)
		result = td_signature_verify(key, payloads->auth_method, payloads->auth, joined, error);
	else
		result = td_error_set(error, -EACCES, NULL, NULL, "no memory");
	free((void *)joined.data);
	EVP_PKEY_free(key);
	return result;
}

int td_ike_auth_verify(const struct td_ike_credential *credential, const struct td_ike_signed *what,
    const struct td_ike_id *id, const struct td_ike_payloads *payloads, int64_t unix_time,
    struct td_error *error)
{
	struct octets octets;

	if (!payloads->auth.data)
		return td_error_set(error, -EACCES, NULL, NULL, "the peer sent no AUTH payload");
	if (octets_of(what, &octets) != 0)
		return td_error_set(error, -EACCES, NULL, NULL, "libcrypto cannot compute the PRF");
	switch (credential->kind) {
	case TD_CREDENTIAL_PSK:
		return psk_verify(credential, what, &octets, payloads, error);
	case TD_CREDENTIAL_TRUST:
		return signature_verify(credential, &octets, id, payloads, unix_time, error);
	default:
		return td_error_set(
		    error, -EACCES, NULL, NULL, "nothing is configured to verify the peer by");
	}
}

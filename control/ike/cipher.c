// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/cipher.h"

#include "control/ike/registry.h"

#include <openssl/evp.h>

#include <pthread.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GCM_ROW(bits)                                                                                        \
	{                                                                                                    \
		TD_ENCR_AES_GCM_16, bits, "AES-" #bits "-GCM", bits / 8, 8, 1, true                          \
	}
#define CBC_ROW(bits)                                                                                        \
	{                                                                                                    \
		TD_ENCR_AES_CBC, bits, "AES-" #bits "-CBC", bits / 8, 16, 16, false                          \
	}

static const struct td_ike_cipher ciphers[] = {
    GCM_ROW(128),
    GCM_ROW(192),
    GCM_ROW(256), //
    CBC_ROW(128),
    CBC_ROW(192),
    CBC_ROW(256), //
    // It has one length of key, and no attribute for it (RFC 7634 4).
    {TD_ENCR_CHACHA20_POLY1305, 0, "ChaCha20-Poly1305", 32, 8, 1, true},
};

static const struct td_ike_integrity integrities[] = {
    {TD_INTEG_SHA2_256_128, TD_PRF_SHA2_256, 32, 16},
    {TD_INTEG_SHA2_384_192, TD_PRF_SHA2_384, 48, 24},
    {TD_INTEG_SHA2_512_256, TD_PRF_SHA2_512, 64, 32},
};

// One for each row of ciphers: a fetch by name would cost more than a short message's encryption. Written
// once.
static EVP_CIPHER *algorithms[COUNT(ciphers)];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	for (size_t i = 0; i < COUNT(ciphers); i++)
		algorithms[i] = EVP_CIPHER_fetch(NULL, ciphers[i].name, NULL);
}

const struct td_ike_cipher *td_ike_cipher_find(uint16_t encr, uint16_t key_bits)
{
	for (size_t i = 0; i < COUNT(ciphers); i++)
		if (ciphers[i].encr == encr && ciphers[i].key_bits == key_bits)
			return &ciphers[i];
	return NULL;
}

const struct td_ike_integrity *td_ike_integrity_find(uint16_t integ)
{
	for (size_t i = 0; i < COUNT(integrities); i++)
		if (integrities[i].integ == integ)
			return &integrities[i];
	return NULL;
}

const EVP_CIPHER *td_ike_cipher_algorithm(const struct td_ike_cipher *cipher)
{
	pthread_once(&fetched, fetch);
	return algorithms[cipher - ciphers];
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/onertt/wrap.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>

// NULL for a key of no known length.
static const EVP_CIPHER *cipher_of(const struct td_secret *key)
{
	switch (key->length) {
	case 16:
		return EVP_aes_128_wrap_pad();
	case 24:
		return EVP_aes_192_wrap_pad();
	case 32:
		return EVP_aes_256_wrap_pad();
	default:
		return NULL;
	}
}

// Returns the length of what was made, or -1.
static int run(const struct td_secret *key, struct td_bytes in, uint8_t *out, bool encrypt)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length = -1, last = 0;

	if (!context)
		return -1;
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (EVP_CipherInit_ex2(context, cipher_of(key), key->bytes, NULL, encrypt, NULL) != 1 ||
	    EVP_CipherUpdate(context, out, &length, in.data, (int)in.length) != 1 ||
	    EVP_CipherFinal_ex(context, out + length, &last) != 1)
		length = -1;
	EVP_CIPHER_CTX_free(context);
	if (length < 0)
		ERR_clear_error();
	return length < 0 ? -1 : length + last;
}

int td_wrap(const struct td_secret *key, struct td_bytes keys, struct td_writer *writer)
{
	uint8_t wrapped[TD_WRAPPED_BYTES(TD_WRAP_MAX_BYTES) + 8]; // libcrypto asks for a block more
	size_t before = writer->length;

	if (!cipher_of(key) || keys.length == 0 || keys.length > TD_WRAP_MAX_BYTES)
		return -EINVAL;
	if (writer->capacity - before < TD_WRAPPED_BYTES(keys.length))
		return -ENOSPC;
	if (run(key, keys, wrapped, true) != (int)TD_WRAPPED_BYTES(keys.length))
		return -EIO;
	td_writer_bytes(writer, wrapped, TD_WRAPPED_BYTES(keys.length));
	return 0;
}

int td_unwrap(const struct td_secret *key, struct td_bytes wrapped, uint8_t *keys, size_t *length)
{
	uint8_t made[TD_WRAPPED_BYTES(TD_WRAP_MAX_BYTES) + 8];
	int got;

	if (!cipher_of(key))
		return -EINVAL;
	if (wrapped.length < 16 || wrapped.length % 8 != 0 ||
	    wrapped.length > TD_WRAPPED_BYTES(TD_WRAP_MAX_BYTES))
		return -EBADMSG;
	got = run(key, wrapped, made, false);
	if (got > 0) {
		struct td_writer writer = {.data = keys, .capacity = wrapped.length};

		td_writer_bytes(&writer, made, (size_t)got);
		*length = (size_t)got;
	}
	td_wipe(made, sizeof(made));
	return got > 0 ? 0 : -EBADMSG;
}

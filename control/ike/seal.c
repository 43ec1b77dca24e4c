// SPDX-License-Identifier: BSD-3-Clause
// The encrypted payload: SK (RFC 7296 3.14, for AEADs RFC 5282) and SKF, one fragment of it (RFC 7383 2.5).
#include "control/ike/cipher.h"
#include "control/ike/crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#define GENERIC_HEADER_BYTES 4u
#define FRAGMENT_HEADER_BYTES 4u // fragment number and total fragments
#define NONCE_BYTES (TD_IKE_CIPHER_SALT_BYTES + 8)
#define PAYLOAD_MAX_BYTES UINT16_MAX // its length is in 16 bits

// One direction's protection.
struct protection {
	const struct td_ike_cipher *cipher;
	const struct td_ike_integrity *integrity; // NULL with an AEAD
	const struct td_secret *e, *a;
	unsigned icv_bytes;
};

// A message in place: what is authenticated only, IV, ciphertext, ICV, one after another.
struct layout {
	uint8_t *message;
	size_t clear_bytes; // from the IKE header to before the IV: an AEAD's associated data
	size_t text_bytes; // ciphertext, with padding and its length
};

static bool protection_of(const struct td_ike_keys *keys, bool from_initiator, struct protection *protection)
{
	*protection = (struct protection){
	    .cipher = td_ike_cipher_find(keys->encr, keys->key_bits),
	    .integrity = td_ike_integrity_find(keys->integ),
	    .e = from_initiator ? &keys->e_i : &keys->e_r,
	    .a = from_initiator ? &keys->a_i : &keys->a_r,
	};
	if (!protection->cipher || (!protection->cipher->aead && !protection->integrity))
		return false;
	protection->icv_bytes =
	    protection->cipher->aead ? TD_IKE_CIPHER_TAG_BYTES : protection->integrity->icv_bytes;
	return td_ike_cipher_algorithm(protection->cipher) != NULL;
}

// libcrypto's context, ready for one message; NULL when it fails.
static EVP_CIPHER_CTX *start(const struct protection *protection, const uint8_t *iv, bool encrypt)
{
	const struct td_ike_cipher *cipher = protection->cipher;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t nonce[NONCE_BYTES];

	if (!context)
		return NULL;
	if (cipher->aead) {
		memcpy(nonce, protection->e->bytes + cipher->key_bytes, TD_IKE_CIPHER_SALT_BYTES);
		memcpy(nonce + TD_IKE_CIPHER_SALT_BYTES, iv, cipher->iv_bytes);
		iv = nonce;
	}
	if (EVP_CipherInit_ex2(
	        context, td_ike_cipher_algorithm(cipher), protection->e->bytes, iv, encrypt, NULL) == 1 &&
	    EVP_CIPHER_CTX_set_padding(context, 0) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

static bool transform(EVP_CIPHER_CTX *context, const uint8_t *in, size_t length, uint8_t *out)
{
	int got = 0, last = 0;

	return EVP_CipherUpdate(context, out, &got, in, (int)length) == 1 &&
	       EVP_CipherFinal_ex(context, out + got, &last) == 1 && (size_t)got + (size_t)last == length;
}

// HMAC over the whole message up to the ICV, cut to its length.
static bool mac(const struct protection *protection, struct td_bytes covered, uint8_t *icv)
{
	uint8_t full[TD_PRF_MAX_BYTES];
	const struct td_bytes key = {protection->a->bytes, protection->a->length};
	bool good = td_prf(protection->integrity->prf, key, &covered, 1, full) == 0;

	if (good)
		memcpy(icv, full, protection->icv_bytes);
	td_wipe(full, sizeof(full));
	return good;
}

// Encrypts a layout whose text is there in the clear, and writes the ICV.
static bool protect(const struct protection *protection, const struct layout *layout)
{
	uint8_t *iv = layout->message + layout->clear_bytes;
	uint8_t *text = iv + protection->cipher->iv_bytes;
	uint8_t *icv = text + layout->text_bytes;
	EVP_CIPHER_CTX *context = start(protection, iv, true);
	bool good = context != NULL;
	int ignored;

	if (good && protection->cipher->aead)
		good =
		    EVP_CipherUpdate(context, NULL, &ignored, layout->message, (int)layout->clear_bytes) == 1;
	good = good && transform(context, text, layout->text_bytes, text);
	if (good && protection->cipher->aead)
		good =
		    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, (int)protection->icv_bytes, icv) == 1;
	else if (good)
		good =
		    mac(protection, (struct td_bytes){layout->message, (size_t)(icv - layout->message)}, icv);
	EVP_CIPHER_CTX_free(context);
	return good;
}

// What the whole message and its encrypted payload come to, and the padding between.
struct sums {
	size_t text_bytes, padding, payload_bytes, message_bytes;
};

static struct sums add_up(const struct protection *protection, size_t inside, bool fragment)
{
	size_t block = protection->cipher->block_bytes;
	struct sums sums;

	sums.padding = (block - (inside + 1) % block) % block;
	sums.text_bytes = inside + sums.padding + 1;
	sums.payload_bytes = GENERIC_HEADER_BYTES + (fragment ? FRAGMENT_HEADER_BYTES : 0) +
	                     protection->cipher->iv_bytes + sums.text_bytes + protection->icv_bytes;
	sums.message_bytes = TD_IKE_HEADER_BYTES + sums.payload_bytes;
	return sums;
}

static void write_iv(struct td_ike_keys *keys, const struct protection *protection, struct td_writer *writer)
{
	uint8_t iv[TD_IKE_CIPHER_IV_MAX_BYTES];

	if (protection->cipher->aead) {
		td_writer_u64(writer, keys->iv_next++);
		return;
	}
	keys->random.fill(keys->random.context, iv, protection->cipher->iv_bytes);
	td_writer_bytes(writer, iv, protection->cipher->iv_bytes);
}

// total 0: an SK payload, otherwise SKF.
static int seal(struct td_ike_keys *keys, bool from_initiator, const struct td_ike_header *header,
    uint8_t first, struct td_bytes inside, uint16_t number, uint16_t total, struct td_writer *writer)
{
	struct td_ike_header complete = *header;
	struct protection protection;
	struct layout layout;

	if (!protection_of(keys, from_initiator, &protection))
		return -EIO;
	if (inside.length > PAYLOAD_MAX_BYTES)
		return -ENOSPC;
	struct sums sums = add_up(&protection, inside.length, total != 0);
	if (sums.payload_bytes > PAYLOAD_MAX_BYTES || writer->overflow ||
	    sums.message_bytes > writer->capacity - writer->length)
		return -ENOSPC;
	layout.message = writer->data + writer->length;
	complete.next_payload = total ? TD_IKE_PAYLOAD_SKF : TD_IKE_PAYLOAD_SK;
	complete.length = (uint32_t)sums.message_bytes;
	td_ike_header_write(writer, &complete);
	td_writer_u8(writer, first);
	td_writer_u8(writer, 0);
	td_writer_u16(writer, (uint16_t)sums.payload_bytes);
	if (total) {
		td_writer_u16(writer, number);
		td_writer_u16(writer, total);
	}
	layout.clear_bytes = (size_t)(writer->data + writer->length - layout.message);
	layout.text_bytes = sums.text_bytes;
	write_iv(keys, &protection, writer);
	td_writer_bytes(writer, inside.data, inside.length);
	memset(td_writer_room(writer, sums.padding + 1), 0, sums.padding);
	td_writer_patch_u8(writer, writer->length - 1, (uint8_t)sums.padding);
	td_writer_room(writer, protection.icv_bytes);
	if (protect(&protection, &layout))
		return 0;
	ERR_clear_error();
	// Nobody may send what is not encrypted.
	td_wipe(layout.message, sums.message_bytes);
	writer->length = (size_t)(layout.message - writer->data);
	return -EIO;
}

int td_ike_seal(struct td_ike_keys *keys, bool from_initiator, const struct td_ike_header *header,
    uint8_t first, struct td_bytes payloads, struct td_writer *writer)
{
	return seal(keys, from_initiator, header, first, payloads, 0, 0, writer);
}

int td_ike_seal_fragment(struct td_ike_keys *keys, bool from_initiator, const struct td_ike_header *header,
    uint8_t first, struct td_bytes piece, uint16_t number, uint16_t total, struct td_writer *writer)
{
	if (number == 0 || number > total)
		return -EIO;
	// Only the first fragment says what the first payload inside is (RFC 7383 2.5.1).
	return seal(keys, from_initiator, header, number == 1 ? first : TD_IKE_PAYLOAD_NONE, piece, number,
	    total, writer);
}

// Where the parts of a message are, all checked against its length.
struct parts {
	struct td_bytes clear, iv, text, icv;
	uint16_t number, total;
};

static bool split(const struct protection *protection, struct td_bytes datagram,
    const struct td_ike_payloads *outer, struct parts *parts)
{
	struct td_cursor cursor = td_cursor_of(datagram);
	struct td_bytes skipped;
	size_t clear = TD_IKE_HEADER_BYTES + outer->encrypted_offset + GENERIC_HEADER_BYTES;

	parts->number = 0;
	parts->total = 0;
	if (!td_cursor_take(&cursor, clear, &skipped))
		return false;
	// A body that is not the end of this very datagram was read from another one.
	if (cursor.next != outer->encrypted.data || cursor.left != outer->encrypted.length)
		return false;
	if (outer->encrypted_type == TD_IKE_PAYLOAD_SKF) {
		clear += FRAGMENT_HEADER_BYTES;
		if (!td_cursor_u16(&cursor, &parts->number) || !td_cursor_u16(&cursor, &parts->total))
			return false;
		if (parts->number == 0 || parts->number > parts->total)
			return false;
	} else if (outer->encrypted_type != TD_IKE_PAYLOAD_SK) {
		return false;
	}
	parts->clear = (struct td_bytes){datagram.data, clear};
	if (!td_cursor_take(&cursor, protection->cipher->iv_bytes, &parts->iv) ||
	    cursor.left < protection->icv_bytes)
		return false;
	// At least the padding's length is inside.
	return td_cursor_take(&cursor, cursor.left - protection->icv_bytes, &parts->text) &&
	       td_cursor_take(&cursor, protection->icv_bytes, &parts->icv) && parts->text.length > 0 &&
	       parts->text.length <= INT_MAX && parts->text.length % protection->cipher->block_bytes == 0;
}

static bool authentic(
    const struct protection *protection, struct td_bytes datagram, const struct parts *parts)
{
	uint8_t expected[TD_PRF_MAX_BYTES];
	const struct td_bytes covered = {datagram.data, datagram.length - parts->icv.length};

	return mac(protection, covered, expected) &&
	       CRYPTO_memcmp(expected, parts->icv.data, parts->icv.length) == 0;
}

static bool unprotect(
    const struct protection *protection, struct td_bytes datagram, const struct parts *parts, uint8_t *plain)
{
	bool aead = protection->cipher->aead;
	EVP_CIPHER_CTX *context;
	bool good;
	int ignored;

	if (!aead && !authentic(protection, datagram, parts))
		return false;
	context = start(protection, parts->iv.data, false);
	good = context != NULL;
	if (good && aead)
		good = EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)parts->icv.length,
		           (void *)parts->icv.data) == 1 &&
		       EVP_CipherUpdate(
		           context, NULL, &ignored, parts->clear.data, (int)parts->clear.length) == 1;
	good = good && transform(context, parts->text.data, parts->text.length, plain);
	EVP_CIPHER_CTX_free(context);
	return good;
}

int td_ike_open(const struct td_ike_keys *keys, bool from_initiator, struct td_bytes datagram,
    const struct td_ike_payloads *outer, uint8_t *plain, struct td_bytes *inside, uint16_t *number,
    uint16_t *total)
{
	struct protection protection;
	struct parts parts;
	size_t padding;

	if (!protection_of(keys, from_initiator, &protection) || !split(&protection, datagram, outer, &parts))
		return -EBADMSG;
	if (!unprotect(&protection, datagram, &parts, plain))
		goto fail;
	padding = (size_t)plain[parts.text.length - 1] + 1;
	if (padding > parts.text.length)
		goto fail;
	*inside = (struct td_bytes){plain, parts.text.length - padding};
	*number = parts.number;
	*total = parts.total;
	return 0;
fail:
	ERR_clear_error();
	td_wipe(plain, parts.text.length); // an AEAD decrypts before it knows
	return -EBADMSG;
}

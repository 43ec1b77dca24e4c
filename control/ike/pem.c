// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/pem.h"

#include "control/ike/secret_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <errno.h>
#include <stdbool.h>

// A stream over a file's bytes, which stay where they are; NULL and *error.
static BIO *open_file(const char *path, bool secret, struct td_file *file, struct td_error *error)
{
	BIO *stream;

	if (td_file_read(path, secret, file, error) != 0)
		return NULL;
	stream = BIO_new_mem_buf(file->data, (int)file->length);
	if (stream)
		return stream;
	td_file_free(file);
	td_error_set(error, -ENOMEM, NULL, NULL, "no memory");
	return NULL;
}

static void close_file(BIO *stream, struct td_file *file)
{
	BIO_free(stream);
	td_file_free(file);
	ERR_clear_error();
}

// A daemon has nobody to ask. *asked is set when the PEM wants a passphrase.
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

EVP_PKEY *td_pem_private_key(const char *path, struct td_error *error)
{
	bool asked = false;
	struct td_file file;
	BIO *stream = open_file(path, true, &file, error);
	EVP_PKEY *key;

	if (!stream)
		return NULL;
	key = PEM_read_bio_PrivateKey(stream, NULL, no_passphrase, &asked);
	close_file(stream, &file);
	if (!key && asked)
		td_error_set(error, -EINVAL, NULL, NULL,
		    "%s has a passphrase; remove it with: openssl pkey -in %s -out NEW", path, path);
	else if (!key)
		td_error_set(error, -EINVAL, NULL, NULL, "%s holds no private key in PEM", path);
	return key;
}

// Reads until the end. Blocks of other kinds are passed over, a malformed certificate is an error.
static STACK_OF(X509) * read_all(BIO *stream)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	X509 *certificate;

	while (all && (certificate = PEM_read_bio_X509(stream, NULL, NULL, NULL)))
		if (sk_X509_push(all, certificate) == 0) {
			X509_free(certificate);
			break;
		}
	// The only good end is that there is no further block.
	if (sk_X509_num(all) > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		return all;
	sk_X509_pop_free(all, X509_free);
	return NULL;
}

STACK_OF(X509) * td_pem_certificates(const char *path, struct td_error *error)
{
	struct td_file file;
	BIO *stream = open_file(path, false, &file, error);
	STACK_OF(X509) * all;

	if (!stream)
		return NULL;
	ERR_clear_error();
	all = read_all(stream);
	close_file(stream, &file);
	if (!all)
		td_error_set(
		    error, -EINVAL, NULL, NULL, "%s holds no certificates in PEM, or a malformed one", path);
	return all;
}

int td_pem_public_key(const char *path, EVP_PKEY **key, X509 **certificate, struct td_error *error)
{
	struct td_file file;
	BIO *stream = open_file(path, false, &file, error);

	*certificate = NULL;
	*key = NULL;
	if (!stream)
		return -EINVAL;
	*key = PEM_read_bio_PUBKEY(stream, NULL, NULL, NULL);
	if (!*key && BIO_reset(stream) == 1)
		*certificate = PEM_read_bio_X509(stream, NULL, NULL, NULL);
	if (*certificate)
		*key = X509_get_pubkey(*certificate);
	close_file(stream, &file);
	if (*key)
		return 0;
	X509_free(*certificate);
	*certificate = NULL;
	return td_error_set(
	    error, -EINVAL, NULL, NULL, "%s holds neither a public key nor a certificate in PEM", path);
}

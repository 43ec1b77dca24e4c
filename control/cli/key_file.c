// SPDX-License-Identifier: BSD-3-Clause
#include "control/cli/key_file.h"

#include "common/secret.h"
#include "control/ike/pem.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		ssize_t wrote = write(fd, bytes, length);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -errno;
		bytes += wrote;
		length -= (size_t)wrote;
	}
	return fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
}

int td_key_file_write(const char *path, bool secret, const void *bytes, size_t length, struct td_error *error)
{
	// A key that is overwritten by mistake is gone.
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, secret ? 0600 : 0644);
	int result;

	if (fd < 0)
		return td_error_set(error, -errno, NULL, NULL, "cannot make %s: %s%s", path, strerror(errno),
		    errno == EEXIST ? "; remove it first, or choose another name" : "");
	// An access control list of the directory may have widened the mode.
	result = secret && fchmod(fd, 0600) != 0 ? -errno : write_all(fd, bytes, length);
	if (close(fd) != 0 && result == 0)
		result = -errno;
	if (result == 0)
		return 0;
	(void)unlink(path);
	return td_error_set(error, result, NULL, NULL, "cannot write %s: %s", path, strerror(-result));
}

static EVP_PKEY *generate(const char *type)
{
	if (strcmp(type, "ecdsa-p256") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return EVP_PKEY_Q_keygen(NULL, NULL, strcmp(type, "ed25519") == 0 ? "ED25519" : "X25519");
}

int td_key_file_generate(const char *path, const char *type, struct td_error *error)
{
	EVP_PKEY *key = generate(type);
	BIO *memory = BIO_new(BIO_s_secmem()); // which is wiped
	char *text = NULL;
	long length = 0;
	int result;

	if (key && memory && PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1)
		length = BIO_get_mem_data(memory, &text);
	if (length > 0)
		result = td_key_file_write(path, true, text, (size_t)length, error);
	else
		result = td_error_set(error, -EIO, NULL, NULL, "libcrypto cannot make a key of %s", type);
	BIO_free(memory);
	EVP_PKEY_free(key);
	return result;
}

EVP_PKEY *td_key_file_public(const char *path, struct td_error *error)
{
	EVP_PKEY *key;
	X509 *certificate;

	if (td_pem_public_key(path, &key, &certificate, error) != 0)
		return td_pem_private_key(path, error);
	X509_free(certificate);
	return key;
}

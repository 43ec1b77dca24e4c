// SPDX-License-Identifier: BSD-3-Clause
// The secret behind crash-detection tokens (RFC 6290 5.1): it outlives the program, so that after a crash the
// tokens given out before can be made again.

#include "common/log.h"
#include "common/secret.h"
#include "control/negotiate/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Somebody else's file, or one that others may read or have written, holds no secret: it is replaced.
static bool is_ours(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
	       (status.st_mode & 077) == 0;
}

static bool secret_read(const char *path, uint8_t *secret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool whole;

	if (fd < 0)
		return false;
	if (!is_ours(fd)) {
		td_log_warning("%s is not the daemon's own file of mode 0600: it is made anew", path);
		close(fd);
		return false;
	}
	whole = read(fd, secret, TD_IKE_TOKEN_SECRET_BYTES) == TD_IKE_TOKEN_SECRET_BYTES;
	close(fd);
	return whole;
}

// Written beside and renamed, so that it is whole or not there.
static int secret_write(const char *path, const uint8_t *secret)
{
	char beside[PATH_MAX];
	int fd, error = 0;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	(void)unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, secret, TD_IKE_TOKEN_SECRET_BYTES) != TD_IKE_TOKEN_SECRET_BYTES || fsync(fd) < 0)
		error = errno ? errno : EIO;
	close(fd);
	if (!error && rename(beside, path) < 0)
		error = errno;
	if (error)
		(void)unlink(beside);
	return -error;
}

bool td_negotiate_token_load(const char *directory, uint8_t secret[TD_IKE_TOKEN_SECRET_BYTES])
{
	char path[PATH_MAX];
	int ret;

	if (snprintf(path, sizeof(path), "%s/ike-token.secret", directory) >= (int)sizeof(path))
		return false;
	if (secret_read(path, secret))
		return true;
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	else
		ret = td_random(secret, TD_IKE_TOKEN_SECRET_BYTES);
	if (ret == 0)
		ret = secret_write(path, secret);
	if (ret < 0)
		td_log_warning(
		    "%s cannot be kept: %s; after a crash peers find out by their liveness checks only", path,
		    strerror(-ret));
	return ret == 0;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/ike/secret_file.h"

#include "common/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (4u << 20) // a bundle of all public authorities has less than a tenth
#define MODE_OTHERS 077

// What is read is what was looked at: everything goes by the descriptor.
static int check(const char *path, bool secret, const struct stat *status, struct td_error *error)
{
	if (!S_ISREG(status->st_mode))
		return td_error_set(error, -EINVAL, NULL, NULL, "%s is not a regular file", path);
	if (secret && (status->st_mode & MODE_OTHERS))
		return td_error_set(error, -EACCES, NULL, NULL,
		    "%s is open to others (mode %04o); close it with: chmod 600 %s", path,
		    (unsigned)status->st_mode & 07777, path);
	if (status->st_size > FILE_MAX_BYTES)
		return td_error_set(
		    error, -EFBIG, NULL, NULL, "%s has more than %u bytes", path, FILE_MAX_BYTES);
	return 0;
}

static int read_all(int descriptor, struct td_file *file)
{
	size_t done = 0;

	while (done < file->length) {
		ssize_t got = read(descriptor, file->data + done, file->length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break; // it has become shorter
		done += (size_t)got;
	}
	file->length = done;
	return 0;
}

int td_file_read(const char *path, bool secret, struct td_file *file, struct td_error *error)
{
	// A FIFO must not block the control thread.
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat status;
	int result;

	*file = (struct td_file){0};
	if (descriptor < 0 || fstat(descriptor, &status) != 0) {
		result = td_error_set(error, -errno, NULL, NULL, "cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	result = check(path, secret, &status, error);
	if (result)
		goto out;
	file->length = (size_t)status.st_size;
	file->data = malloc(file->length + 1); // an empty file is no lack of memory
	result = file->data ? read_all(descriptor, file) : -ENOMEM;
	if (result) {
		file->length = (size_t)status.st_size;
		td_file_free(file);
		td_error_set(error, result, NULL, NULL, "cannot read %s: %s", path, strerror(-result));
	}
out:
	if (descriptor >= 0)
		close(descriptor);
	return result;
}

void td_file_free(struct td_file *file)
{
	if (file->data)
		td_wipe(file->data, file->length);
	free(file->data);
	*file = (struct td_file){0};
}

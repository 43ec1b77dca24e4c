// SPDX-License-Identifier: BSD-3-Clause
// Two records, written in turn, each with a number and a checksum: a crash while one is written leaves the
// other. They are so far apart that no write of a disk touches both.
#include "control/negotiate/freshness_file.h"

#include "common/cursor.h"
#include "control/ike/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x74646672736831aaull // "tdfrsh1" and a byte that is no text
#define CHECKED_BYTES 24 // magic, number, time
#define RECORD_BYTES (CHECKED_BYTES + 8)
#define RECORD_DISTANCE 4096
#define MODE_OTHERS 077

struct td_freshness_file {
	int descriptor;
	uint64_t number; // of the last record; its parity is the place
};

static int checksum(const uint8_t *record, uint8_t sum[8])
{
	const struct td_bytes part = {record, CHECKED_BYTES};
	uint8_t digest[32];
	int result = td_sha256(&part, 1, digest);

	memcpy(sum, digest, 8);
	return result;
}

static bool record_read(int descriptor, unsigned place, uint64_t *number, uint64_t *bound_us)
{
	uint8_t record[RECORD_BYTES], sum[8];
	struct td_cursor cursor = {record, sizeof(record)};
	uint64_t magic;

	if (pread(descriptor, record, sizeof(record), (off_t)place * RECORD_DISTANCE) != sizeof(record) ||
	    checksum(record, sum) != 0 || memcmp(record + CHECKED_BYTES, sum, sizeof(sum)) != 0)
		return false;
	return td_cursor_u64(&cursor, &magic) && magic == MAGIC && td_cursor_u64(&cursor, number) &&
	       td_cursor_u64(&cursor, bound_us);
}

static int refuse(struct td_error *error, int code, const char *path, const char *why)
{
	return td_error_set(error, code, NULL, NULL, "%s: %s", path, why);
}

static int check(int descriptor, const char *path, struct td_error *error)
{
	struct stat status;

	if (fstat(descriptor, &status) != 0)
		return refuse(error, -errno, path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(error, -EINVAL, path, "is not a regular file");
	if (status.st_uid != geteuid())
		return refuse(error, -EACCES, path, "belongs to another user");
	if (status.st_mode & MODE_OTHERS)
		return refuse(error, -EACCES, path, "is open to others; close it with chmod 600");
	if (flock(descriptor, LOCK_EX | LOCK_NB) != 0)
		return refuse(
		    error, -errno, path, "is in use by another gateway; give each its own state_dir");
	return 0;
}

// The name of a new file must be on disk too.
static int directory_sync(const char *directory)
{
	int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = descriptor >= 0 && fsync(descriptor) == 0 ? 0 : -errno;

	if (descriptor >= 0)
		close(descriptor);
	return result;
}

static int file_open(const char *directory, char path[PATH_MAX], struct td_error *error)
{
	int descriptor, result;

	if (snprintf(path, PATH_MAX, "%s/freshness", directory) >= PATH_MAX)
		return refuse(error, -ENAMETOOLONG, directory, "is too long a name");
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return refuse(error, -errno, directory, strerror(errno));
	descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (descriptor < 0)
		return refuse(error, -errno, path, errno == ELOOP ? "is a symbolic link" : strerror(errno));
	result = check(descriptor, path, error);
	if (result == 0) {
		result = directory_sync(directory);
		if (result)
			refuse(error, result, directory, strerror(-result));
	}
	if (result == 0)
		return descriptor;
	close(descriptor);
	return result;
}

struct td_freshness_file *td_freshness_file_open(
    const char *directory, bool *found, uint64_t *bound_us, struct td_error *error)
{
	struct td_freshness_file *file = calloc(1, sizeof(*file));
	char path[PATH_MAX];

	*found = false;
	if (!file) {
		refuse(error, -ENOMEM, directory, "no memory");
		return NULL;
	}
	file->descriptor = file_open(directory, path, error);
	if (file->descriptor < 0) {
		free(file);
		return NULL;
	}
	for (unsigned place = 0; place < 2; place++) {
		uint64_t number, bound;

		if (!record_read(file->descriptor, place, &number, &bound) ||
		    (*found && number <= file->number))
			continue;
		*found = true;
		*bound_us = bound;
		file->number = number;
	}
	return file;
}

void td_freshness_file_close(struct td_freshness_file *file)
{
	if (!file)
		return;
	close(file->descriptor);
	free(file);
}

int td_freshness_file_save(struct td_freshness_file *file, uint64_t bound_us)
{
	uint8_t record[RECORD_BYTES];
	struct td_writer writer = {.data = record, .capacity = sizeof(record)};
	uint64_t number = file->number + 1;
	ssize_t wrote;

	td_writer_u64(&writer, MAGIC);
	td_writer_u64(&writer, number);
	td_writer_u64(&writer, bound_us);
	if (checksum(record, record + CHECKED_BYTES) != 0)
		return -EIO;
	wrote = pwrite(file->descriptor, record, sizeof(record), (off_t)(number % 2) * RECORD_DISTANCE);
	if (wrote != sizeof(record))
		return wrote < 0 ? -errno : -EIO;
	if (fdatasync(file->descriptor) != 0)
		return -errno;
	file->number = number;
	return 0;
}

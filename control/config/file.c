// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/file.h"

#include "control/config/integer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INCLUDE_DEPTH_MAX 10 // libconfig's own
#define INCLUDE_FILES_MAX 1000 // ends what includes itself several times per file

struct include_check {
	struct td_config_report *report;
	const char *directory;
	unsigned files;
};

// The name in a line "@include "NAME"", cut out of it; NULL in other lines.
static char *include_name(char *line)
{
	char *name = line + strspn(line, " \t");
	char *end;

	if (strncmp(name, "@include", 8) != 0 || !isblank((unsigned char)name[8]))
		return NULL;
	name += 8 + strspn(name + 8, " \t");
	if (*name++ != '"')
		return NULL;
	end = strchr(name, '"');
	if (!end)
		return NULL;
	*end = '\0';
	return name;
}

// Opens a file that can be read as text. libconfig's scanner exits the process when a read fails, which a
// directory's does.
static FILE *open_text(const char *path)
{
	struct stat status;
	FILE *stream = fopen(path, "re");

	if (!stream)
		return NULL;
	if (fstat(fileno(stream), &status) == 0 && S_ISDIR(status.st_mode)) {
		fclose(stream);
		errno = EISDIR;
		return NULL;
	}
	return stream;
}

static FILE *open_included(const char *directory, const char *name)
{
	char *path;
	FILE *stream;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		errno = ENOMEM;
		return NULL;
	}
	stream = open_text(path);
	int error = errno;
	free(path);
	errno = error;
	return stream;
}

static void check_integer(
    const struct include_check *check, const char *line, const char *shown, unsigned number, bool *comment)
{
	size_t length;
	const char *integer = td_config_cut_integer(line, comment, &length);

	if (integer)
		td_config_report_line(check->report, shown, number,
		    "%.*s does not fit into 32 bits; allowed is %.*sL", (int)length, integer, (int)length,
		    integer);
}

// Looks through a stream, and what it includes, for integers that would be cut and for directories that
// libconfig would be made to read. What cannot be opened at all is left to libconfig, which knows whether the
// line is in a comment. shown is the name for messages, NULL for the main file.
static int check_includes(struct include_check *check, FILE *stream, const char *shown, unsigned depth)
{
	char *line = NULL;
	size_t size = 0;
	bool comment = false;
	int result = 0;

	for (unsigned number = 1; !result && getline(&line, &size, stream) >= 0; number++) {
		const char *name;
		FILE *included;

		check_integer(check, line, shown, number, &comment);
		name = comment ? NULL : include_name(line);
		if (!name)
			continue;
		errno = 0;
		included = open_included(check->directory, name);
		if (!included && errno != EISDIR && errno != ENOMEM)
			continue;
		if (!included)
			result = -errno;
		else if (depth == INCLUDE_DEPTH_MAX || ++check->files > INCLUDE_FILES_MAX)
			result = -ELOOP;
		if (result)
			td_config_report_line(check->report, shown, number, "cannot include \"%s\": %s", name,
			    result == -ELOOP ? "too many files include files" : strerror(-result));
		else
			result = check_includes(check, included, name, depth + 1);
		if (included)
			fclose(included);
	}
	// libconfig's scanner ends the process at a read that fails.
	if (!result && ferror(stream)) {
		result = -EIO;
		td_config_report_line(check->report, shown, 1, "cannot read the file: %s", strerror(EIO));
	}
	free(line);
	return result;
}

// Returns the part of a path before its last slash, to be freed, or NULL for want of memory.
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int parse(struct td_config_report *report, config_t *file, FILE *stream, const char *directory)
{
	struct include_check check = {.report = report, .directory = directory};
	int result = check_includes(&check, stream, NULL, 0);

	if (result || report->count)
		return result ? result : -EINVAL;
	rewind(stream);
	config_set_include_dir(file, directory);
	if (config_read(file, stream))
		return 0;
	// "cannot open include file" does not say where the file was looked for.
	td_config_report_line(report, config_error_file(file), (unsigned)config_error_line(file),
	    "%s; allowed is libconfig's syntax, and names of included files as seen from %s",
	    config_error_text(file), directory);
	return -EINVAL;
}

// What a file holds, as a stream in memory over *text, which is to be freed: it is read once, so that what
// was looked through is what libconfig gets, whoever writes to the file meanwhile. Returns NULL and sets
// errno.
static FILE *read_text(const char *path, char **text)
{
	FILE *stream = open_text(path), *copy;
	size_t size = 0;
	char part[4096];

	*text = NULL;
	if (!stream)
		return NULL;
	copy = open_memstream(text, &size);
	for (size_t length; copy && (length = fread(part, 1, sizeof(part), stream)) > 0;)
		(void)fwrite(part, 1, length, copy);
	bool failed = ferror(stream) != 0;
	fclose(stream);
	if (!copy || fclose(copy) == EOF) {
		errno = ENOMEM;
		return NULL;
	}
	if (failed) {
		errno = EIO;
		return NULL;
	}
	return fmemopen(*text, size, "r");
}

int td_config_file_read(struct td_config_report *report, config_t *file)
{
	char *text;
	FILE *stream = read_text(report->path, &text);
	int result;

	if (!stream) {
		result = -errno;
		free(text);
		td_config_report_line(report, NULL, 1, "cannot read the file: %s", strerror(errno));
		return result;
	}
	char *directory = directory_of(report->path);
	result = directory ? parse(report, file, stream, directory) : -ENOMEM;
	// What was not reported on the way is lack of memory.
	if (result && !report->count)
		td_config_report_line(report, NULL, 1, "cannot read the file: %s", strerror(-result));
	free(directory);
	fclose(stream);
	free(text);
	return result;
}

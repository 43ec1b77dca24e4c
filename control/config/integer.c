// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/integer.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
// Of names, and of numbers of any kind.
#define WORD DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-."

// What is behind a comment; NULL when it does not end here.
static const char *comment_skip(const char *at, bool *comment)
{
	const char *end = strstr(at, "*/");

	*comment = !end;
	return end ? end + 2 : NULL;
}

static const char *string_skip(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return at + (*at == '"');
}

// An integer with L, a hexadecimal number and a floating-point one go on behind the digits.
static bool is_cut(const char *word)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(word, &end, 10);
	return isdigit((unsigned char)*word) && (value > INT_MAX || errno) &&
	       !strchr(WORD, *end ? *end : '?');
}

const char *td_config_cut_integer(const char *line, bool *comment, size_t *length)
{
	const char *at = *comment ? comment_skip(line, comment) : line;

	while (at && *at && *at != '#' && strncmp(at, "//", 2) != 0) {
		if (strncmp(at, "/*", 2) == 0) {
			at = comment_skip(at + 2, comment);
		} else if (*at == '"') {
			at = string_skip(at);
		} else if (is_cut(at)) {
			*length = strspn(at, DIGITS);
			return at;
		} else {
			size_t word = strspn(at, WORD);

			at += word ? word : 1;
		}
	}
	return NULL;
}

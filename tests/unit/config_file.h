// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Configuration files for unit tests: written, loaded, with what every one of them needs. Each test runs in a
// process, and has a directory, of its own.

#include "control/config/config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char directory[64];

static inline void make_directory(void)
{
	snprintf(directory, sizeof(directory), "%s/td_config_XXXXXX", P_tmpdir);
	cr_assert_not_null(mkdtemp(directory));
}

static inline void remove_directory(void)
{
	static const char *const names[] = {"t.conf", "part.conf", "sub", "psk", "key", "open", "public"};
	char path[128];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
	rmdir(directory);
}

static inline void write_file(const char *name, const char *text, size_t length)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(text, 1, length, file), length);
	cr_assert_eq(fclose(file), 0);
}

// *errors is to be freed.
static inline struct td_config *load_path(const char *path, char **errors)
{
	size_t size;
	FILE *stream = open_memstream(errors, &size);

	cr_assert_not_null(stream);
	struct td_config *config = td_config_load(path, stream);
	fclose(stream);
	cr_expect_eq(config == NULL, size > 0, "there is either a configuration or a message: %s", *errors);
	return config;
}

static inline struct td_config *load(const char *text, size_t length, char **errors)
{
	char path[128];

	write_file("t.conf", text, length);
	snprintf(path, sizeof(path), "%s/t.conf", directory);
	return load_path(path, errors);
}

static inline unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static inline char *read_whole(const char *path, size_t *length)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	cr_assert(file && text, "%s", path);
	*length = fread(text, 1, (1 << 16) - 1, file);
	fclose(file);
	return text;
}

// Lines 1 to 3 of every case below, unless it brings ports of its own.
#define OUTSIDE                                                                                              \
	"name=\"outside\"; device=\"net_af_packet0,iface=eth1\"; role=\"outside\"; "                         \
	"addresses=[\"192.0.2.1/24\", \"2001:db8::1/64\"];"
#define INSIDE                                                                                               \
	"name=\"inside\"; device=\"net_af_packet1,iface=eth2\"; role=\"inside\"; "                           \
	"addresses=[\"10.1.0.1/24\"];"
#define BASE                                                                                                 \
	"ports = (\n{ " OUTSIDE " },\n"                                                                      \
	"{ " INSIDE " } );\n"
#define TUNNEL_ENDS "name=\"b\"; local_address=\"192.0.2.1\"; remote_address=\"192.0.2.2\";"
#define TUNNEL BASE "tunnels = ( { " TUNNEL_ENDS " } );\n"

static inline void expect_line(const char *name, const char *errors, const char *expected)
{
	char line[640];

	snprintf(line, sizeof(line), "%s/t.conf:%s", directory, expected);
	cr_expect(strstr(errors, line), "%s: expected\n%s\ngot\n%s", name, line, errors);
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Writes what is wrong with a configuration file, one line per error, and remembers in the setting
// itself (libconfig's hook) that it was reported, so that one mistake does not cause a second message.

#include "common/error.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stdio.h>

struct td_config_report {
	FILE *errors;
	const char *path; // of the main file; libconfig knows the names of included ones
	unsigned count; // errors so far
	// For a request instead of a file: the first error, and the position in its list of the element at
	// fault.
	struct td_error *first; // NULL: not wanted
	unsigned failed;
};

// About no setting: a syntax error, a missing section. file NULL means the main file.
void td_config_report_line(struct td_config_report *report, const char *file, unsigned line,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
// About a setting, whose name comes before the text: "port outside: mtu " and "is 10; ...".
void td_config_report_setting(struct td_config_report *report, config_setting_t *setting, const char *format,
    ...) __attribute__((format(printf, 3, 4)));
// About a key of a group that may be absent: the line is then the group's.
void td_config_report_key(struct td_config_report *report, config_setting_t *group, const char *key,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

// True when the key of a group is there (given) or may be absent (sound), and nothing was reported about it.
bool td_config_key_given(const config_setting_t *group, const char *key);
bool td_config_key_sound(const config_setting_t *group, const char *key);

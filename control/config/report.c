// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/report.h"

#include "control/config/schema.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define LINE_MAX_BYTES 1024
#define LABEL_MAX 192

// The element of a list that a setting is, or is in; NULL when it is in none.
static const config_setting_t *element_of(const config_setting_t *setting)
{
	const config_setting_t *parent = config_setting_parent(setting);

	while (parent && !config_setting_is_list(parent)) {
		setting = parent;
		parent = config_setting_parent(setting);
	}
	return parent ? setting : NULL;
}

// Keeps the first error. key NULL: about the whole element.
static void keep_first(struct td_config_report *report, const config_setting_t *setting, const char *key,
    const char *format, va_list args)
{
	const config_setting_t *element = element_of(setting);
	char text[sizeof(report->first->reason)];

	if (!report->first || report->count)
		return;
	report->failed = element ? (unsigned)config_setting_index(element) : 0;
	vsnprintf(text, sizeof(text), format, args);
	td_error_set(report->first, 0, NULL, key ? key : "", "%s", text);
}

static void write_line(struct td_config_report *report, const char *file, unsigned line, const char *label,
    const char *format, va_list args)
{
	char text[LINE_MAX_BYTES];

	report->count++;
	vsnprintf(text, sizeof(text), format, args);
	// A value of the file is quoted in the text: it must not break the line or talk to the terminal.
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	if (report->errors)
		fprintf(report->errors, "%s:%u: %s%s\n", file ? file : report->path, line ? line : 1, label,
		    text);
}

// "port outside: ", "ports[1]: " when it has no usable name, "worker: " for a group, "" for the root.
static void group_label(const config_setting_t *group, char *label)
{
	const config_setting_t *list = config_setting_parent(group);
	const struct td_config_section *section;
	const char *name;

	label[0] = '\0';
	if (!list)
		return;
	if (config_setting_name(group)) {
		snprintf(label, LABEL_MAX, "%s: ", config_setting_name(group));
		return;
	}
	section = config_setting_name(list) ? td_config_section_find(config_setting_name(list)) : NULL;
	if (section && section->element && config_setting_lookup_string(group, "name", &name))
		snprintf(label, LABEL_MAX, "%s %.64s: ", section->element, name);
	else
		snprintf(label, LABEL_MAX,
		    "%s[%d]: ", config_setting_name(list) ? config_setting_name(list) : "",
		    config_setting_index(group));
}

static bool is_section(const config_setting_t *setting)
{
	const config_setting_t *parent = config_setting_parent(setting);

	return !parent || config_setting_is_root(parent);
}

static void setting_label(const config_setting_t *setting, char *label)
{
	const config_setting_t *parent = config_setting_parent(setting);
	const char *name = config_setting_name(setting);
	int index = config_setting_index(setting);

	if (is_section(setting) || (!name && is_section(parent))) {
		group_label(setting, label);
		return;
	}
	if (!name)
		setting = parent;
	group_label(config_setting_parent(setting), label);
	size_t used = strlen(label);
	const char *key = config_setting_name(setting) ? config_setting_name(setting) : "";
	if (name)
		snprintf(label + used, LABEL_MAX - used, "%.64s ", key);
	else
		snprintf(label + used, LABEL_MAX - used, "%.64s[%d] ", key, index);
}

void td_config_report_line(
    struct td_config_report *report, const char *file, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(report, file, line, "", format, args);
	va_end(args);
}

void td_config_report_setting(
    struct td_config_report *report, config_setting_t *setting, const char *format, ...)
{
	char label[LABEL_MAX];
	va_list args;

	va_start(args, format);
	keep_first(report, setting, config_setting_name(setting), format, args);
	va_end(args);
	setting_label(setting, label);
	va_start(args, format);
	write_line(report, config_setting_source_file(setting), config_setting_source_line(setting), label,
	    format, args);
	va_end(args);
	config_setting_set_hook(setting, report);
}

void td_config_report_key(
    struct td_config_report *report, config_setting_t *group, const char *key, const char *format, ...)
{
	config_setting_t *setting = config_setting_get_member(group, key);
	const config_setting_t *place = setting ? setting : group;
	char label[LABEL_MAX];
	va_list args;

	va_start(args, format);
	keep_first(report, group, key, format, args);
	va_end(args);
	group_label(group, label);
	size_t used = strlen(label);
	snprintf(label + used, sizeof(label) - used, "%s ", key);
	va_start(args, format);
	write_line(report, config_setting_source_file(place), config_setting_source_line(place), label,
	    format, args);
	va_end(args);
	if (setting)
		config_setting_set_hook(setting, report);
}

bool td_config_key_given(const config_setting_t *group, const char *key)
{
	const config_setting_t *setting = config_setting_get_member(group, key);

	return setting && !config_setting_get_hook(setting);
}

bool td_config_key_sound(const config_setting_t *group, const char *key)
{
	const config_setting_t *setting = config_setting_get_member(group, key);

	return !setting || !config_setting_get_hook(setting);
}

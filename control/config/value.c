// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/value.h"

#include "common/ip.h"
#include "control/config/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 96
// Low and high; of ICMP for messages from either side.
#define RANGE_BYTES(type) ((type) == TD_CONFIG_ICMP ? 4 * sizeof(uint16_t) : 2 * sizeof(uint16_t))

// The value as the user wrote it, for the message.
static const char *value_text(const config_setting_t *setting, char *text)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(text, VALUE_MAX, "%lld", config_setting_get_int64(setting));
		break;
	case CONFIG_TYPE_FLOAT:
		snprintf(text, VALUE_MAX, "%g", config_setting_get_float(setting));
		break;
	case CONFIG_TYPE_BOOL:
		snprintf(text, VALUE_MAX, "%s", config_setting_get_bool(setting) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING:
		snprintf(text, VALUE_MAX, "\"%.80s\"", config_setting_get_string(setting));
		break;
	case CONFIG_TYPE_GROUP:
		snprintf(text, VALUE_MAX, "a group");
		break;
	case CONFIG_TYPE_LIST:
		snprintf(text, VALUE_MAX, "a list");
		break;
	default:
		snprintf(text, VALUE_MAX, "an array");
		break;
	}
	return text;
}

static int refuse(struct td_config_report *report, const struct td_config_key *key, config_setting_t *setting,
    const char *why)
{
	char allowed[TD_CONFIG_ALLOWED_MAX];
	char value[VALUE_MAX];

	// Why a proposal is refused ends with the words that there are.
	if (strstr(why, "; allowed"))
		td_config_report_setting(report, setting, "is %s, %s", value_text(setting, value), why);
	else
		td_config_report_setting(report, setting, "is %s%s%s; allowed is %s",
		    value_text(setting, value), *why ? ", " : "", why, td_config_key_allowed(key, allowed));
	return -EINVAL;
}

static int read_integer(const struct td_config_key *key, long long value, void *to, char *why)
{
	uint16_t half = (uint16_t)value;
	uint64_t whole = (uint64_t)value;
	int stored = (int)value;

	if (value < key->low || value > key->high)
		return -EINVAL;
	if (key->flags & TD_CONFIG_POWER_OF_TWO && value & (value - 1)) {
		snprintf(why, TD_CONFIG_WHY_MAX, "which is not a power of two");
		return -EINVAL;
	}
	if (key->size == sizeof(half))
		memcpy(to, &half, sizeof(half));
	else if (key->size == sizeof(whole))
		memcpy(to, &whole, sizeof(whole));
	else
		memcpy(to, &stored, sizeof(stored));
	return 0;
}

static int read_number(const struct td_config_key *key, long long value, void *to, char *why)
{
	uint16_t port = (uint16_t)value;

	switch (key->type) {
	case TD_CONFIG_INTEGER:
	case TD_CONFIG_INTEGERS:
		return read_integer(key, value, to, why);
	case TD_CONFIG_PROTOCOL:
		if (value < key->low || value > key->high)
			return -EINVAL;
		*(uint8_t *)to = (uint8_t)value;
		return 0;
	case TD_CONFIG_PORTS:
		if (value < 1 || value > UINT16_MAX)
			return -EINVAL;
		memcpy(to, &port, sizeof(port));
		memcpy((char *)to + sizeof(port), &port, sizeof(port));
		return 0;
	case TD_CONFIG_ICMP:
		if (value < 0 || value > UINT8_MAX)
			return -EINVAL;
		td_config_icmp_set((unsigned)value << 8, (unsigned)value << 8 | 0xff, to);
		return 0;
	default:
		return -EINVAL;
	}
}

static int read_scalar(
    struct td_config_report *report, const struct td_config_key *key, config_setting_t *setting, void *to)
{
	char why[TD_CONFIG_WHY_MAX] = "";
	int result = -EINVAL;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		result = read_number(key, config_setting_get_int64(setting), to, why);
		break;
	case CONFIG_TYPE_BOOL:
		if (key->type == TD_CONFIG_BOOLEAN) {
			*(bool *)to = config_setting_get_bool(setting);
			result = 0;
		}
		break;
	case CONFIG_TYPE_STRING:
		result = td_config_text_read(key, config_setting_get_string(setting), to, why);
		break;
	default:
		break;
	}
	return result ? refuse(report, key, setting, why) : 0;
}

static size_t element_size(enum td_config_type type)
{
	switch (type) {
	case TD_CONFIG_INTEGERS:
		return sizeof(int);
	case TD_CONFIG_PREFIXES:
		return sizeof(struct td_prefix);
	default:
		return sizeof(char *);
	}
}

static int read_list(
    struct td_config_report *report, const struct td_config_key *key, config_setting_t *setting, void *base)
{
	size_t element = element_size(key->type);
	unsigned max = (unsigned)(key->size / element);
	char allowed[TD_CONFIG_ALLOWED_MAX];
	int result = 0;

	if (!config_setting_is_array(setting) && !config_setting_is_list(setting)) {
		char value[VALUE_MAX];

		td_config_report_setting(report, setting,
		    "is %s; allowed is an array in [ ], of which each is %s", value_text(setting, value),
		    td_config_key_allowed(key, allowed));
		return -EINVAL;
	}
	unsigned count = (unsigned)config_setting_length(setting);
	if (count > max) {
		td_config_report_setting(
		    report, setting, "has %u elements; allowed is %u at most", count, max);
		count = max;
		result = -EINVAL;
	}
	for (unsigned i = 0; i < count; i++) {
		void *to = (char *)base + key->offset + i * element;

		if (read_scalar(report, key, config_setting_get_elem(setting, i), to))
			result = -EINVAL;
	}
	memcpy((char *)base + key->count_offset, &count, sizeof(count));
	return result;
}

int td_config_value_read(
    struct td_config_report *report, const struct td_config_key *key, config_setting_t *setting, void *base)
{
	if (td_config_type_is_list(key->type))
		return read_list(report, key, setting, base);
	return read_scalar(report, key, setting, (char *)base + key->offset);
}

int td_config_value_default(const struct td_config_key *key, void *base)
{
	char why[TD_CONFIG_WHY_MAX];
	void *to = (char *)base + key->offset;

	// What has no default, lists included, is all zero bytes already.
	if (!key->default_text)
		return 0;
	// The default of an integer that can be a word may be one.
	if (key->type == TD_CONFIG_INTEGER && (!key->words || isdigit((unsigned char)key->default_text[0])))
		return read_number(key, strtol(key->default_text, NULL, 10), to, why);
	if (key->type == TD_CONFIG_BOOLEAN) {
		*(bool *)to = strcmp(key->default_text, "true") == 0;
		return 0;
	}
	return td_config_text_read(key, key->default_text, to, why);
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool texts_equal(char *const *a, char *const *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!text_equal(a[i], b[i]))
			return false;
	return true;
}

bool td_config_value_equal(const struct td_config_key *key, const void *a, const void *b)
{
	const char *left = (const char *)a + key->offset, *right = (const char *)b + key->offset;
	size_t bytes = key->size;

	if (td_config_type_is_list(key->type)) {
		unsigned left_count, right_count;

		memcpy(&left_count, (const char *)a + key->count_offset, sizeof(left_count));
		memcpy(&right_count, (const char *)b + key->count_offset, sizeof(right_count));
		if (left_count != right_count)
			return false;
		bytes = left_count * element_size(key->type);
	}
	switch (key->type) {
	case TD_CONFIG_NAME:
	case TD_CONFIG_PATH:
	case TD_CONFIG_DEVICE:
		return strcmp(left, right) == 0;
	case TD_CONFIG_FILE:
	case TD_CONFIG_IDENTITY:
	case TD_CONFIG_IKE_PROPOSALS:
	case TD_CONFIG_ESP_PROPOSALS:
		return texts_equal(
		    (char *const *)left, (char *const *)right, (unsigned)(bytes / sizeof(char *)));
	case TD_CONFIG_PORTS:
	case TD_CONFIG_ICMP: // their high ends lie behind
		return memcmp(left, right, RANGE_BYTES(key->type)) == 0;
	case TD_CONFIG_SELECTOR: // the end of a range too
		return memcmp(left, right, sizeof(struct td_prefix) + sizeof(struct td_ip)) == 0;
	default:
		return memcmp(left, right, bytes) == 0;
	}
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config.h"

#include "control/config/check.h"
#include "control/config/file.h"
#include "control/config/policies.h"
#include "control/config/report.h"
#include "control/config/schema.h"
#include "control/config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LENGTH_MAX 64
#define NAMES_MAX 640

// Levenshtein distance; names longer than KEY_LENGTH_MAX are like nothing.
static unsigned distance(const char *a, const char *b)
{
	unsigned row[KEY_LENGTH_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > KEY_LENGTH_MAX || b_length > KEY_LENGTH_MAX)
		return KEY_LENGTH_MAX;
	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

static const char *name_at(const struct td_config_section *section, unsigned i)
{
	return section ? section->keys[i].name : td_config_sections[i].name;
}

// section NULL: the unknown setting stands where sections do.
static void report_unknown(
    struct td_config_report *report, const struct td_config_section *section, config_setting_t *setting)
{
	unsigned count = section ? section->key_count : td_config_section_count;
	const char *name = config_setting_name(setting);
	const char *nearest = NULL;
	unsigned nearest_distance = strlen(name) < 4 ? 2 : 3;
	char names[NAMES_MAX] = "";
	size_t used = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned d = distance(name, name_at(section, i));

		if (d < nearest_distance) {
			nearest_distance = d;
			nearest = name_at(section, i);
		}
		if (used < sizeof(names))
			used += (size_t)snprintf(
			    names + used, sizeof(names) - used, "%s%s", i ? ", " : "", name_at(section, i));
	}
	td_config_report_setting(report, setting, "is not a known key%s%s%s; allowed is one of %s",
	    nearest ? " (did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?)" : "", names);
}

// part NULL: those of the section's structure, else those of its part.
static void set_defaults(const struct td_config_section *section, void *base, void *part)
{
	for (unsigned i = 0; i < section->key_count; i++) {
		bool in_part = section->keys[i].flags & TD_CONFIG_PART;

		if (in_part == (part != NULL))
			td_config_value_default(&section->keys[i], in_part ? part : base);
	}
}

static bool wants_part(const struct td_config_section *section, config_setting_t *group)
{
	for (unsigned i = 0; i < section->key_count; i++)
		if (section->keys[i].flags & TD_CONFIG_PART &&
		    config_setting_get_member(group, section->keys[i].name))
			return true;
	return false;
}

// Makes the part of an element if the file has keys for it. *part is NULL without. Returns 0 or -ENOMEM.
static int make_part(
    const struct td_config_section *section, config_setting_t *group, void *base, void **part)
{
	*part = NULL;
	if (!section->part_size || !wants_part(section, group))
		return 0;
	*part = calloc(1, section->part_size);
	if (!*part)
		return -ENOMEM;
	set_defaults(section, base, *part);
	memcpy((char *)base + section->part_offset, part, sizeof(*part));
	return 0;
}

// Returns 0 or -ENOMEM.
static int read_keys(struct td_config_report *report, const struct td_config_section *section,
    config_setting_t *group, void *base)
{
	char allowed[TD_CONFIG_ALLOWED_MAX];
	void *part;

	if (make_part(section, group, base, &part))
		return -ENOMEM;
	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
		const struct td_config_key *key = td_config_key_find(section, config_setting_name(setting));

		if (key)
			td_config_value_read(report, key, setting, key->flags & TD_CONFIG_PART ? part : base);
		else
			report_unknown(report, section, setting);
	}
	for (unsigned i = 0; i < section->key_count; i++) {
		const struct td_config_key *key = &section->keys[i];

		if (key->flags & TD_CONFIG_REQUIRED && !config_setting_get_member(group, key->name))
			td_config_report_key(report, group, key->name, "is missing; allowed is %s",
			    td_config_key_allowed(key, allowed));
	}
	return 0;
}

// Returns where the elements of a list go, with the count set, or NULL for want of memory.
static char *make_elements(const struct td_config_section *section, unsigned count, struct td_config *config)
{
	char *place = (char *)config + section->offset;
	void *elements = place;

	if (!section->inline_max) {
		elements = calloc(count ? count : 1, section->element_size);
		if (!elements)
			return NULL;
		memcpy(place, &elements, sizeof(elements));
	}
	memcpy((char *)config + section->count_offset, &count, sizeof(count));
	return elements;
}

static int read_list(struct td_config_report *report, const struct td_config_section *section,
    config_setting_t *list, struct td_config *config)
{
	unsigned count = (unsigned)config_setting_length(list);

	if (section->inline_max && count > section->inline_max) {
		td_config_report_setting(
		    report, list, "has %u elements; allowed is %u at most", count, section->inline_max);
		count = section->inline_max;
	} else if (section->max && count > section->max) {
		td_config_report_setting(
		    report, list, "has %u elements; allowed is %u at most", count, section->max);
		count = 0; // they may be more than fit into memory
	}
	char *elements = make_elements(section, count, config);
	if (!elements)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		config_setting_t *group = config_setting_get_elem(list, i);
		char *base = elements + i * section->element_size;

		set_defaults(section, base, NULL);
		if (!config_setting_is_group(group))
			td_config_report_setting(
			    report, group, "is not a group; allowed is { KEY = VALUE; ... }");
		else if (read_keys(report, section, group, base))
			return -ENOMEM;
	}
	return 0;
}

static int read_section(struct td_config_report *report, const struct td_config_section *section,
    config_setting_t *setting, struct td_config *config)
{
	if (section->element) {
		// An empty array is as good as an empty list; other arrays cannot hold groups.
		if (config_setting_is_list(setting) ||
		    (config_setting_is_array(setting) && config_setting_length(setting) == 0))
			return read_list(report, section, setting, config);
		td_config_report_setting(
		    report, setting, "is not a list; allowed is %s = ( { ... }, ... );", section->name);
		return 0;
	}
	if (config_setting_is_group(setting))
		return read_keys(report, section, setting, config);
	td_config_report_setting(
	    report, setting, "is not a group; allowed is %s: { KEY = VALUE; ... };", section->name);
	return 0;
}

int td_config_policies_read(config_setting_t *root, const struct td_config *running,
    struct td_policy_config **policies, unsigned *count, unsigned *failed, struct td_error *error)
{
	struct td_config_report report = {.path = "", .first = error};
	struct td_config config = {.tunnels = running->tunnels, .tunnel_count = running->tunnel_count};
	const struct td_config_check check = {.report = &report, .root = root, .config = &config};
	int ret = read_list(&report, td_config_section_find("policies"),
	    config_setting_get_member(root, "policies"), &config);

	if (ret == 0)
		ret = td_config_check_policies(&check);
	if (ret == 0 && report.count)
		ret = -EINVAL;
	*failed = report.failed;
	if (ret) {
		free(config.policies);
		return ret == -EINVAL ? ret
		                      : td_error_set(error, ret, NULL, "", "there is not enough memory");
	}
	*policies = config.policies;
	*count = config.policy_count;
	return 0;
}

static void set_tap(struct td_port_config *port)
{
	// A name that is too long for an interface is reported by the check.
	if (!port->tap[0] && strlen(port->name) < sizeof(port->tap))
		memcpy(port->tap, port->name, strlen(port->name) + 1);
}

static struct td_prefix host_prefix(const struct td_ip *ip)
{
	return (struct td_prefix){.ip = *ip, .length = (uint8_t)(8 * td_ip_length(ip->family))};
}

// Transport mode is for packets between the outer addresses themselves.
static void set_selectors(struct td_tunnel_config *tunnel)
{
	if (tunnel->mode != TD_SA_TRANSPORT || tunnel->local_count || tunnel->remote_count)
		return;
	// The check refuses it, once.
	if (tunnel->local_address.family != tunnel->remote_address.family)
		return;
	tunnel->local[0] = host_prefix(&tunnel->local_address);
	tunnel->remote[0] = host_prefix(&tunnel->remote_address);
	tunnel->local_count = tunnel->remote_count = 1;
}

static void set_life(struct td_tunnel_ike_config *ike)
{
	if (ike && !ike->life_ms)
		ike->life_ms = ike->rekey_ms + ike->rekey_ms / 10;
}

static int read_sections(struct td_config_report *report, config_setting_t *root, struct td_config *config)
{
	for (unsigned i = 0; i < td_config_section_count; i++)
		if (!td_config_sections[i].element)
			set_defaults(&td_config_sections[i], config, NULL);
	for (int i = 0; i < config_setting_length(root); i++) {
		config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
		const struct td_config_section *section =
		    td_config_section_find(config_setting_name(setting));

		if (!section)
			report_unknown(report, NULL, setting);
		else if (read_section(report, section, setting, config))
			return -ENOMEM;
	}
	for (unsigned i = 0; i < config->port_count; i++)
		set_tap(&config->ports[i]);
	for (unsigned i = 0; i < config->tunnel_count; i++)
		set_selectors(&config->tunnels[i]);
	for (unsigned i = 0; i < config->tunnel_count; i++)
		set_life(config->tunnels[i].ike);
	return td_config_check(report, root, config);
}

struct td_config *td_config_load(const char *path, FILE *errors)
{
	struct td_config_report report = {.errors = errors, .path = path};
	struct td_config *config = NULL;
	config_t file;

	config_init(&file);
	if (td_config_file_read(&report, &file))
		goto destroy_file;
	config = calloc(1, sizeof(*config));
	if (!config || read_sections(&report, config_root_setting(&file), config))
		td_config_report_line(&report, NULL, 1, "there is no memory for the configuration");
	if (report.count) {
		td_config_free(config);
		config = NULL;
	}
destroy_file:
	config_destroy(&file);
	return config;
}

void td_config_ike_free(struct td_tunnel_ike_config *ike)
{
	if (!ike)
		return;
	for (unsigned i = 0; i < TD_CONFIG_PROPOSALS_MAX; i++) {
		free(ike->ike[i]);
		free(ike->esp[i]);
	}
	free(ike->local_id);
	free(ike->remote_id);
	free(ike->psk_file);
	free(ike->key_file);
	free(ike->certificate_file);
	free(ike->authority_file);
	free(ike->remote_key_file);
	free(ike);
}

void td_config_free(struct td_config *config)
{
	if (!config)
		return;
	for (unsigned i = 0; config->tunnels && i < config->tunnel_count; i++)
		td_config_ike_free(config->tunnels[i].ike);
	free(config->routes);
	free(config->tunnels);
	free(config->policies);
	free(config);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

config_setting_t *td_config_check_group(const struct td_config_check *check, const char *list, unsigned i)
{
	config_setting_t *elements = config_setting_get_member(check->root, list);
	config_setting_t *group = elements ? config_setting_get_elem(elements, i) : NULL;

	return group && config_setting_is_group(group) ? group : NULL;
}

static bool prefix_contains(const struct td_prefix *prefix, const struct td_ip *ip)
{
	struct td_prefix network = {.ip = *ip, .length = prefix->length};

	if (prefix->ip.family == 0 || prefix->ip.family != ip->family)
		return false;
	for (unsigned i = 0; i < td_ip_length(ip->family); i++)
		network.ip.bytes[i] ^= prefix->ip.bytes[i];
	for (unsigned bit = 0; bit < prefix->length; bit++)
		if (network.ip.bytes[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

bool td_config_on_link(const struct td_config *config, const struct td_ip *ip, const char *port)
{
	for (unsigned p = 0; p < config->port_count; p++) {
		if (port && strcmp(config->ports[p].name, port) != 0)
			continue;
		for (unsigned a = 0; a < config->ports[p].address_count; a++)
			if (prefix_contains(&config->ports[p].addresses[a], ip))
				return true;
	}
	return false;
}

bool td_config_is_own(const struct td_config *config, const struct td_ip *ip)
{
	for (unsigned p = 0; p < config->port_count; p++)
		for (unsigned a = 0; a < config->ports[p].address_count; a++)
			if (td_ip_equal(&config->ports[p].addresses[a].ip, ip))
				return true;
	return false;
}

static int compare_named(const void *left, const void *right)
{
	const struct td_config_named *a = left, *b = right;
	int order = strcmp(a->text, b->text);

	return order ? order : (a->position > b->position) - (a->position < b->position);
}

void td_config_named_sort(struct td_config_named *items, unsigned count)
{
	qsort(items, count, sizeof(*items), compare_named);
}

void td_config_check_unique(const struct td_config_check *check, const char *list, const char *element,
    const char *key, struct td_config_named *items, unsigned count)
{
	unsigned first = 0;

	td_config_named_sort(items, count);
	for (unsigned i = 1; i < count; i++) {
		if (strcmp(items[i].text, items[first].text) != 0) {
			first = i;
			continue;
		}
		config_setting_t *group = td_config_check_group(check, list, items[i].position);
		config_setting_t *other = td_config_check_group(check, list, items[first].position);

		if (items[i].text[0] && group && other)
			td_config_report_key(check->report, group, key,
			    "is \"%s\", as in line %u; allowed is what no other %s has", items[i].text,
			    config_setting_source_line(other), element);
	}
}

static void check_cores(const struct td_config_check *check)
{
	const struct td_config *config = check->config;
	config_setting_t *worker = config_setting_get_member(check->root, "worker");

	if (!worker || !config_setting_is_group(worker))
		return;
	config_setting_t *cores = config_setting_get_member(worker, "cores");
	if (cores && td_config_key_given(worker, "cores") && td_config_key_sound(worker, "count") &&
	    config->worker_core_count && config->worker_core_count != config->workers)
		td_config_report_key(check->report, worker, "cores",
		    "has %u cores for %u workers; allowed is one core for each worker, or none at all",
		    config->worker_core_count, config->workers);
	for (unsigned i = 0; i < config->worker_core_count; i++) {
		config_setting_t *core = config_setting_get_elem(cores, i);
		unsigned twin = 0;

		if (config_setting_get_hook(core))
			continue;
		while (twin < i && (config->worker_cores[twin] != config->worker_cores[i] ||
		                       config_setting_get_hook(config_setting_get_elem(cores, twin))))
			twin++;
		if (twin < i)
			td_config_report_setting(check->report, core,
			    "is %d, which worker %u has already; allowed is a core of its own",
			    config->worker_cores[i], twin);
		// A worker that never sleeps would starve the control thread.
		else if (config->idle == TD_IDLE_SPIN && config->worker_cores[i] == config->main_core)
			td_config_report_setting(check->report, core,
			    "is %d, which is main_core; allowed is another core, or idle = \"adaptive\"",
			    config->worker_cores[i]);
	}
}

// How many queues a device has is known when it is opened. What the file gives, and one queue otherwise,
// needs at least this many buffers.
static uint64_t sum_descriptors(const struct td_config_check *check)
{
	const struct td_config *config = check->config;
	uint64_t sum = 0;

	for (unsigned i = 0; i < config->port_count; i++) {
		const struct td_port_config *port = &config->ports[i];
		unsigned queues = port->rx_queues ? port->rx_queues : 1;

		if (queues > config->workers)
			queues = config->workers;
		sum += (uint64_t)queues * port->rx_descriptors + port->tx_descriptors;
	}
	return sum;
}

static void check_buffers(const struct td_config_check *check)
{
	static const char *const keys[] = {"rx_queues", "rx_descriptors", "tx_descriptors"};
	config_setting_t *memory = config_setting_get_member(check->root, "memory");
	config_setting_t *worker = config_setting_get_member(check->root, "worker");
	config_setting_t *ports = config_setting_get_member(check->root, "ports");
	uint64_t sum = sum_descriptors(check);

	if (sum <= check->config->packet_buffers || !ports || config_setting_get_hook(ports))
		return;
	if (worker && (!config_setting_is_group(worker) || !td_config_key_sound(worker, "count")))
		return;
	for (unsigned i = 0; i < check->config->port_count; i++) {
		config_setting_t *group = td_config_check_group(check, "ports", i);

		for (unsigned key = 0; group && key < sizeof(keys) / sizeof(keys[0]); key++)
			if (!td_config_key_sound(group, keys[key]))
				return;
	}
	if (memory && config_setting_is_group(memory) && td_config_key_given(memory, "packet_buffers"))
		td_config_report_key(check->report, memory, "packet_buffers",
		    "is %u, less than the %llu descriptors of all queues; allowed is at least their sum",
		    check->config->packet_buffers, (unsigned long long)sum);
	else if (!memory ||
	         (config_setting_is_group(memory) && td_config_key_sound(memory, "packet_buffers")))
		td_config_report_setting(check->report, ports,
		    "has %llu descriptors in all queues, more than memory.packet_buffers (%u); allowed is at "
		    "least their sum there",
		    (unsigned long long)sum, check->config->packet_buffers);
}

int td_config_check(struct td_config_report *report, config_setting_t *root, const struct td_config *config)
{
	const struct td_config_check check = {.report = report, .root = root, .config = config};

	check_cores(&check);
	td_config_check_ports(&check);
	check_buffers(&check);
	if (td_config_check_routes(&check) || td_config_check_tunnels(&check) ||
	    td_config_check_ike(&check) || td_config_check_policies(&check))
		return -ENOMEM;
	return 0;
}

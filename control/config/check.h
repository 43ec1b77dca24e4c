// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one value cannot tell: whether the parts of a configuration fit each other.

#include "control/config/config.h"
#include "control/config/report.h"

#include <libconfig.h>

// root is the parsed file that *config was read from, element by element at the same positions. Reports
// every fault; keys that were reported before are taken as unknown. Returns 0 or -ENOMEM.
int td_config_check(struct td_config_report *report, config_setting_t *root, const struct td_config *config);

// The parts of it.
struct td_config_check {
	struct td_config_report *report;
	config_setting_t *root;
	const struct td_config *config;
};
void td_config_check_ports(const struct td_config_check *check);
int td_config_check_routes(const struct td_config_check *check);
int td_config_check_tunnels(const struct td_config_check *check);
int td_config_check_ike(const struct td_config_check *check);
// Whether a tunnel negotiates by the one-round-trip exchange; what it says about it, and who is whom.
bool td_config_check_onertt(
    const struct td_config_check *check, config_setting_t *group, const struct td_tunnel_ike_config *ike);
int td_config_check_policies(const struct td_config_check *check);

// Element i of a list of the file, or NULL when it is not a group, and so was not read.
config_setting_t *td_config_check_group(const struct td_config_check *check, const char *list, unsigned i);
// True when an address is on the network of one of the ports; port NULL: of any port.
bool td_config_on_link(const struct td_config *config, const struct td_ip *ip, const char *port);
// True when an address is one of the ports' own.
bool td_config_is_own(const struct td_config *config, const struct td_ip *ip);

// A value of element i of a list, for finding those that are there twice.
struct td_config_named {
	const char *text; // "" is left out of the comparison
	unsigned position;
};
// The tunnels' names, not sorted, to be freed, or NULL for want of memory.
struct td_config_named *td_config_list_tunnels(const struct td_config *config);
// Sorts items by text, then by position.
void td_config_named_sort(struct td_config_named *items, unsigned count);
// Sorts items and reports those whose text an earlier one has. element is "port", key the key compared.
void td_config_check_unique(const struct td_config_check *check, const char *list, const char *element,
    const char *key, struct td_config_named *items, unsigned count);

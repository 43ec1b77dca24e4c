// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "control/config/schema.h"

#define TD_CONFIG_WHY_MAX 288

// Reads a string value by its key's type into its place. Returns 0 or -EINVAL; the place is then unchanged,
// and why (TD_CONFIG_WHY_MAX bytes) may say more than that it is not allowed: "which ...".
int td_config_text_read(const struct td_config_key *key, const char *text, void *to, char *why);

// Writes a range of ICMP messages, each of them type << 8 | code, for those from either side.
void td_config_icmp_set(unsigned low, unsigned high, void *to);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reads one value of the configuration file into its place, by its row of the schema.

#include "control/config/report.h"
#include "control/config/schema.h"

// base is the section's structure. Reports what is wrong and returns -EINVAL; the place then keeps its
// default. In a list a bad element leaves zero bytes, so that positions stay those of the file.
int td_config_value_read(
    struct td_config_report *report, const struct td_config_key *key, config_setting_t *setting, void *base);
// Writes the key's default. Returns 0, or -EINVAL when the schema itself is wrong.
int td_config_value_default(const struct td_config_key *key, void *base);
// True when a key has the same value in two of the section's structures (or in two of its parts).
bool td_config_value_equal(const struct td_config_key *key, const void *a, const void *b);

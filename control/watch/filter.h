// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Filters of traces and captures as people write them: "src=10.1.0.0/24 proto=udp". All conditions must hold.

#include "control/config/config.h"
#include "dataplane/publish.h"

// Reads src=PREFIX, dst=PREFIX, proto=NAME or a number, spi=NUMBER, port=NAME and, where drops may be named,
// drop=REASON. Each may stand once, separated by spaces; an empty text fits all packets. Returns 0, or
// -EINVAL with *error; values are not repeated in it.
int td_filter_parse(const char *text, const struct td_config *config, bool drops_allowed,
    struct td_dp_filter *filter, struct td_error *error);

// "udp", or NULL for a protocol without a name here.
const char *td_filter_protocol_name(unsigned protocol);

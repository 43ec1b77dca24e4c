// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Comparison of the texts in identities and certificates.

#include "common/cursor.h"

// Names of hosts, case aside.
bool td_ike_fqdn_equal(struct td_bytes a, struct td_bytes b);
// Mail addresses, of which only the host is compared so (RFC 5280 7.5).
bool td_ike_email_equal(struct td_bytes a, struct td_bytes b);

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A negotiation that only notes what it was told (td_negotiate_*, td_ike_foreach, td_ike_stats), for tests of
// the control socket.

#include "control/negotiate/negotiate.h"

struct td_negotiate {
	unsigned ups, downs, rekeys, ike_rekeys;
	struct td_negotiate_tunnel_info info; // of negotiated tunnels
	struct td_ike_stats stats;
	struct td_ike_sa_info sas[2];
	unsigned sa_count;
};

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Traffic selectors (RFC 7296 3.13) and their narrowing (2.9).

#include "common/ip.h"
#include "control/ike/message.h"

#define TD_TS_MAX 32 // of one payload; further ones are not looked at

struct td_ts {
	uint8_t protocol; // 0: any
	uint16_t port_low, port_high; // or ICMP type << 8 | code
	struct td_ip low, high; // of one family
};

struct td_ts_list {
	unsigned count;
	struct td_ts list[TD_TS_MAX];
};

// Returns 0 or -EBADMSG. Selectors of unknown types are left out, as are those that no policy of tandem can
// say: OPAQUE ports, and ports of any protocol.
int td_ts_read(struct td_bytes payload, struct td_ts_list *list);
void td_ts_write(struct td_ike_chain *chain, uint8_t payload, const struct td_ts_list *list);
struct td_ts td_ts_from_prefix(const struct td_prefix *prefix);
// The intersection of two lists; count 0: they have nothing in common. Redundant members are left out.
void td_ts_narrow(
    const struct td_ts_list *ours, const struct td_ts_list *offered, struct td_ts_list *narrowed);
// Whether all of inner lies within outer, as a whole: an inner member may need several of outer.
bool td_ts_covers(const struct td_ts_list *outer, const struct td_ts_list *inner);
// Whether both mean the same, however it is cut into members.
bool td_ts_equal(const struct td_ts_list *a, const struct td_ts_list *b);
#define TD_TS_TEXT_MAX 128
// "192.0.2.0/24", "2001:db8::1-2001:db8::9[tcp/80]", "192.0.2.1/32[icmp/8/0-8/255]"; returns text.
const char *td_ts_format(const struct td_ts *ts, char *text);

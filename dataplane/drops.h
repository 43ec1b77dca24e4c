// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reasons to drop a packet, made from drops.def.

enum td_drop {
#define TD_DROP(suffix, name, severity, help) TD_DROP_##suffix,
#include "dataplane/drops.def"
#undef TD_DROP
	TD_DROP_COUNT
};

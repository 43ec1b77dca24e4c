// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A reload for tests of the control socket: it ends when the loop ticks, and the file is not good unless good
// is set.

#include "control/reload.h"

struct fake_reload {
	_Atomic bool waits; // it does not end
	_Atomic bool good;
	_Atomic bool running;
	bool apply;
	struct td_reload_user user;
};
extern struct fake_reload fake_reload;

void fake_reload_tick(void);

// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/fake_reload.h"

#include <errno.h>
#include <string.h>

struct fake_reload fake_reload;

int td_reload_start(
    struct td_reload *reload, bool apply, const struct td_reload_user *user, struct td_error *error)
{
	(void)reload;
	if (fake_reload.running)
		return td_error_set(error, -EBUSY, "configuration", "", "is being read");
	fake_reload.running = true;
	fake_reload.apply = apply;
	fake_reload.user = *user;
	return 0;
}

void fake_reload_tick(void)
{
	char lines[] = "t.conf:1: first\nt.conf:2: second\n";
	struct td_config_diff diff = {.log_level = true};
	struct td_reload_result result = {.diff = &diff};

	if (!fake_reload.running || fake_reload.waits)
		return;
	fake_reload.running = false;
	if (fake_reload.good) {
		fake_reload.user.differs(fake_reload.user.context, &diff);
	} else {
		result.lines = lines;
		result.result = td_error_set(&result.error, -EBADMSG, "configuration", "", "t.conf:1: first");
	}
	fake_reload.user.done(fake_reload.user.context, &result);
}

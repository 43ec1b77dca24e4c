// SPDX-License-Identifier: BSD-3-Clause
// What a reload answers in tests of the control socket: the file is not good.
#include "control/reload.h"

#include <errno.h>
#include <string.h>

int td_reload_run(
    struct td_reload *reload, bool apply, struct td_config_diff *diff, char **lines, struct td_error *error)
{
	(void)reload;
	(void)apply;
	*diff = (struct td_config_diff){0};
	*lines = strdup("t.conf:1: first\nt.conf:2: second\n");
	return td_error_set(error, -EBADMSG, "configuration", "", "t.conf:1: first");
}

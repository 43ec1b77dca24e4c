// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "control/config/report.h"

// Parses report->path, and what it includes, into an initialised *file. Names of included files are
// relative to the directory of the file. Reports what is wrong; returns 0 or -errno.
int td_config_file_read(struct td_config_report *report, config_t *file);

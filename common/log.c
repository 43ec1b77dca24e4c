// SPDX-License-Identifier: BSD-3-Clause
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum td_log_level max_level = TD_LOG_INFO;

void td_log_set_level(enum td_log_level level)
{
	max_level = level;
}

void td_log(enum td_log_level level, const char *format, ...)
{
	// Syslog priorities of sd-daemon(3): 3 error, 4 warning, 6 info, 7 debug.
	static const char *const journal[] = {"<3>", "<4>", "<6>", "<7>"};
	static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
	char line[1024];
	va_list args;

	if (level > max_level)
		return;
	const char *prefix = getenv("JOURNAL_STREAM") ? journal[level] : words[level];
	int start = snprintf(line, sizeof(line), "%s", prefix);
	va_start(args, format);
	int body = vsnprintf(line + start, sizeof(line) - (size_t)start - 1, format, args);
	va_end(args);
	if (body < 0)
		return;
	size_t length = strlen(line);
	line[length++] = '\n';
	// One write keeps lines of different threads apart; there is nobody to tell if it fails.
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Log lines go to standard error, one per call, with a syslog priority prefix that the systemd
// journal understands when standard error is the journal. Never called from a worker's loop.

enum td_log_level { TD_LOG_ERROR, TD_LOG_WARNING, TD_LOG_INFO, TD_LOG_DEBUG };

// Lines above this level are not written. Any thread may call it; set once at start.
void td_log_set_level(enum td_log_level level);

void td_log(enum td_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define td_log_error(...) td_log(TD_LOG_ERROR, __VA_ARGS__)
#define td_log_warning(...) td_log(TD_LOG_WARNING, __VA_ARGS__)
#define td_log_info(...) td_log(TD_LOG_INFO, __VA_ARGS__)
#define td_log_debug(...) td_log(TD_LOG_DEBUG, __VA_ARGS__)

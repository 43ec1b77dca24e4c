// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Tells a service manager about our state, as sd_notify(3) does: a datagram to the socket named by
// NOTIFY_SOCKET. Without that variable it does nothing. state is e.g. "READY=1".
// Returns 0 or -errno.
int td_notify_send(const char *state);

# SPDX-License-Identifier: BSD-3-Clause
"""Who gets the processor first when several want it."""

import contextlib
import os

AHEAD = -15


def prefer(process):
    """Puts a gateway, a process of its own session, before the tests: on a busy machine packets are lost in front of one
    that waits for its turn for long."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, AHEAD)
    # Where sessions are weighed against each other this is what counts (sched(7), autogroup).
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/autogroup", "w", encoding="ascii") as file:
        file.write(str(AHEAD))

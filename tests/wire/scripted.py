# SPDX-License-Identifier: BSD-3-Clause
"""tandemctl against a daemon that says just what a test has written down."""

import json
import os
import socket
import subprocess
import threading

from daemon import default_build_dir

PATIENCE = 60


def _serve(listener, steps):
    """Plays the steps to one client. A request that is not the expected one ends it."""
    connection, _ = listener.accept()
    connection.settimeout(PATIENCE)
    with connection, connection.makefile("rw") as lines:
        for kind, expected, body in steps:
            if kind == "hang":
                lines.readline()  # until the client gives up
                continue
            message = {"jsonrpc": "2.0"}
            if kind == "event":
                message.update(method="event", params=body)
            else:
                request = json.loads(lines.readline() or "{}")
                if (request.get("method"), request.get("params", {})) != expected:
                    return
                message.update(id=request["id"], **body)
            lines.write(json.dumps(message) + "\n")
            lines.flush()


def tandemctl(path, steps, *arguments):
    """Runs it against a daemon on that path. A step is ("answer", (method, parameters), answer), ("event", None, event) or
    ("hang", None, None)."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(PATIENCE)
        server = threading.Thread(target=_serve, args=(listener, steps))
        server.start()
        command = [os.path.join(default_build_dir(), "tandemctl"), "-s", path, *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE / 2, check=False)
        finally:
            server.join()

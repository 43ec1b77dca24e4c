# SPDX-License-Identifier: BSD-3-Clause
"""`tandemctl tunnel wait` against a daemon that says just what the test has written down."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import unittest

from daemon import default_build_dir

PATIENCE = 60
SUBSCRIBED = ("answer", "events.subscribe", {"result": {"subscribed": True}})
REFUSED = ("answer", "tunnel.list", {"error": {"code": 1, "message": "there is no such tunnel"}})


def tunnel(established):
    row = {"name": "b", "established": established, "last_error": "" if established else "no answer"}
    return ("answer", "tunnel.list", {"result": {"tunnels": [row]}})


def event(kind, **more):
    return ("event", None, {"event": kind, **more})


# What the daemon does, the options, the exit code, what tandemctl says.
CASES = {
    "keys are there": ((SUBSCRIBED, tunnel(True)), (), 0, ""),
    "keys come": ((SUBSCRIBED, tunnel(False), event("tunnel_up", tunnel="b"), tunnel(True)), (), 0, ""),
    "an SA is injected": ((SUBSCRIBED, tunnel(False), event("sa_switched", tunnel="b"), tunnel(True)), (), 0, ""),
    "other tunnels come up": (
        (SUBSCRIBED, tunnel(False), event("tunnel_up", tunnel="c"), event("unknown_spi", spi=7), ("hang", None, None)),
        ("--timeout", "1"),
        1,
        "tunnel b is not established after 1 s: no answer",
    ),
    "events are lost": ((SUBSCRIBED, tunnel(False), event("lost", count=3), tunnel(True)), ("--timeout", "50"), 0, ""),
    "no time": ((SUBSCRIBED, tunnel(False), ("hang", None, None)), ("--established", "--timeout", "0"), 1, "after 0 s"),
    "no such tunnel": ((SUBSCRIBED, REFUSED), (), 1, "there is no such tunnel"),
    "the daemon ends": ((SUBSCRIBED, tunnel(False)), (), 3, "closed the connection"),
}


class TunnelWait(unittest.TestCase):
    def serve(self, listener, steps):
        """Plays the steps to one client. A request that is not the expected one ends it."""
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        with connection, connection.makefile("rw") as lines:
            for kind, method, body in steps:
                if kind == "hang":
                    lines.readline()  # until the client gives up
                    continue
                message = {"jsonrpc": "2.0"}
                if kind == "event":
                    message.update(method="event", params=body)
                else:
                    request = json.loads(lines.readline())
                    if request["method"] != method or (method == "tunnel.list" and request["params"] != {"tunnel": "b"}):
                        return
                    message.update(id=request["id"], **body)
                lines.write(json.dumps(message) + "\n")
                lines.flush()

    def run_case(self, path, steps, options):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(PATIENCE)
            server = threading.Thread(target=self.serve, args=(listener, steps))
            server.start()
            command = [os.path.join(default_build_dir(), "tandemctl"), "-s", path, "tunnel", "wait", "b", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            server.join()
        return done

    def test_waits_for_what_happens(self):
        with tempfile.TemporaryDirectory() as directory:
            for number, (name, (steps, options, code, said)) in enumerate(CASES.items()):
                with self.subTest(name):
                    done = self.run_case(os.path.join(directory, str(number)), steps, options)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(said, done.stderr)
                    self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()

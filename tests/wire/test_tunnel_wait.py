# SPDX-License-Identifier: BSD-3-Clause
"""`tandemctl tunnel wait` against a daemon that says just what the test has written down."""

import os
import tempfile
import unittest

from scripted import tandemctl

ASKED = {"tunnel": "b"}
SUBSCRIBED = ("answer", ("events.subscribe", {}), {"result": {"subscribed": True}})
REFUSED = ("answer", ("tunnel.list", ASKED), {"error": {"code": 1, "message": "there is no such tunnel"}})


def tunnel(established):
    row = {"name": "b", "established": established, "last_error": "" if established else "no answer"}
    return ("answer", ("tunnel.list", ASKED), {"result": {"tunnels": [row]}})


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
    "the tunnel goes without an event": ((SUBSCRIBED, tunnel(False), REFUSED), (), 1, "there is no such tunnel"),
    "keys came without an event": ((SUBSCRIBED, tunnel(False), tunnel(True)), ("--timeout", "50"), 0, ""),
    "the daemon ends": ((SUBSCRIBED, tunnel(False)), (), 3, "closed the connection"),
}


class TunnelWait(unittest.TestCase):
    def test_waits_for_what_happens(self):
        with tempfile.TemporaryDirectory() as directory:
            for number, (name, (steps, options, code, said)) in enumerate(CASES.items()):
                with self.subTest(name):
                    done = tandemctl(os.path.join(directory, str(number)), steps, "tunnel", "wait", "b", *options)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertIn(said, done.stderr)
                    self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()

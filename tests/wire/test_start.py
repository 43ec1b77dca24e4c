# SPDX-License-Identifier: BSD-3-Clause
"""Starting and stopping tandemd: signals, a second daemon, and configurations that cannot work."""

import os
import re
import signal
import socket
import subprocess
import unittest

from daemon import Daemon
from gateway import Gateway, gateway_config


@unittest.skipUnless(os.geteuid() == 0, "needs root: makes network namespaces")
class StartTest(unittest.TestCase):
    """The links are made once; each test starts daemons of its own between them."""

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.close()

    def make(self, config_text=None, name="start"):
        daemon = Daemon(self.gateway.namespace.name, config_text or gateway_config(), name)
        self.addCleanup(daemon.cleanup)
        return daemon

    def run_to_the_end(self, daemon, status):
        """Starts a daemon that must refuse to run; returns its standard error."""
        self.assertEqual(daemon.start().wait_exit(60), status, daemon.stderr())
        self.assertEqual(daemon.sanitizer_report(), "")
        self.assertFalse(os.path.exists(daemon.socket_path or "/nonexistent"))
        self.assertNotIn("inside", self.links(), "a TAP was left behind")
        return daemon.stderr()

    def links(self):
        lines = self.gateway.namespace.ip("-o", "link").stdout.splitlines()
        return {re.match(r"\d+: ([^:@]+)", line).group(1) for line in lines}

    def test_signals_stop_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number.name):
                daemon = self.make()
                daemon.start().wait_ready()
                self.assertLessEqual({"inside", "outside"}, self.links())
                self.assertEqual(daemon.stop(number), 0, daemon.stderr())
                self.assertEqual(daemon.sanitizer_report(), "")
                self.assertFalse(os.path.exists(daemon.socket_path), "the control socket was left behind")
                self.assertFalse({"inside", "outside"} & self.links(), "a TAP was left behind")

    def test_second_daemon_on_the_same_socket_is_refused(self):
        first = self.make()
        first.start().wait_ready()
        # TAPs and EAL files of its own names, so that the socket is what the two have in common.
        text = gateway_config().replace("@SOCKET@", first.socket_path)
        text = text.replace('role = "inside";', 'role = "inside"; tap = "inside2";')
        text = text.replace('role = "outside";', 'role = "outside"; tap = "outside2";')
        second = self.make(text)
        self.assertEqual(second.socket_path, first.socket_path)
        self.assertEqual(second.start().wait_exit(60), 1, second.stderr())
        self.assertIn(first.socket_path, second.stderr())
        self.assertEqual(first.rpc.call("version")["program"], "tandemd", "the first one was disturbed")
        self.assertEqual(first.stop(), 0)

    def test_socket_left_by_a_killed_daemon_is_taken_over(self):
        first = self.make()
        first.start().wait_ready()
        first.stop(signal.SIGKILL)
        self.assertTrue(os.path.exists(first.socket_path))
        second = self.make(first.config_text)
        second.start().wait_ready()
        self.assertEqual(second.stop(), 0, second.stderr())

    def add_route(self, *words):
        self.gateway.namespace.ip("route", "add", "blackhole", "198.51.100.0/24", *words)
        self.addCleanup(self.gateway.namespace.ip, "route", "del", "198.51.100.0/24", check=False)

    def test_a_route_of_somebody_else_is_not_taken_for_the_configured_one(self):
        self.add_route()
        errors = self.run_to_the_end(self.make(), 1)
        self.assertIn("a route to 198.51.100.0/24 exists already (", errors)
        # Nor is it changed.
        self.assertIn("blackhole", self.gateway.namespace.ip("route", "show", "198.51.100.0/24").stdout)

    def test_a_route_that_an_earlier_daemon_left_is_replaced(self):
        self.add_route("proto", "200")
        daemon = self.make()
        daemon.start().wait_ready()
        routes = self.gateway.namespace.ip("route", "show", "198.51.100.0/24").stdout
        self.assertIn("via 192.0.2.2", routes)
        self.assertNotIn("blackhole", routes)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_memory_is_locked(self):
        daemon = self.make()
        daemon.start().wait_ready()
        with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
            locked = re.search(r"VmLck:\s+(\d+) kB", status.read()).group(1)
        # A sanitizer build may not: the sanitizers turn mlockall into nothing.
        if "cannot lock memory" not in daemon.stderr() and "asan" not in daemon.program:
            self.assertGreater(int(locked), 0)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_config_errors(self):
        good = gateway_config()
        # what is wrong, text, replacement
        table = (
            ("unknown key", 'idle = "adaptive";', 'idle = "adaptive";\ncolour = "red";'),
            ("wrong type", "count = 1;", 'count = "many";'),
            ("out of range", "count = 1;", "count = 0;"),
            ("bad word", 'role = "inside"', 'role = "upside"'),
            ("bad address", '"192.0.2.1/24"', '"192.0.2.256/24"'),
            ("bad prefix", '"10.1.0.1/24"', '"10.1.0.1/33"'),
            ("name used twice", 'name = "c"', 'name = "b"'),
            ("syntax", "ports = (", "ports = ["),
        )
        for name, text, replacement in table:
            with self.subTest(name):
                self.assertIn(text, good)
                daemon = self.make(good.replace(text, replacement))
                errors = self.run_to_the_end(daemon, 2)
                self.assertRegex(errors, re.escape(daemon.config_path) + r":\d+: \S")

    def test_every_config_error_is_told(self):
        text = gateway_config().replace("count = 1;", "count = 0;").replace('role = "inside"', 'role = "upside"')
        daemon = self.make(text)
        errors = self.run_to_the_end(daemon, 2)
        self.assertEqual(len(re.findall(re.escape(daemon.config_path) + r":\d+: ", errors)), 2, errors)

    def test_check_option(self):
        for text, status in ((gateway_config(), 0), (gateway_config().replace("count = 1;", "count = 0;"), 2)):
            daemon = self.make(text)
            done = subprocess.run(
                [daemon.program, "--check", daemon.config_path], stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=60, check=False,
            )
            self.assertEqual(done.returncode, status, done.stderr)

    def test_missing_config_file(self):
        daemon = self.make()
        os.unlink(daemon.config_path)
        self.assertIn(daemon.config_path, self.run_to_the_end(daemon, 2))

    def test_missing_interface(self):
        daemon = self.make(gateway_config().replace("iface=in0", "iface=nosuch0"))
        errors = self.run_to_the_end(daemon, 1)
        self.assertTrue([line for line in errors.splitlines() if "inside" in line and "nosuch0" in line], errors)

    def test_readiness_is_notified(self):
        daemon = self.make()
        path = os.path.join(daemon.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            receiver.settimeout(60)
            os.environ["NOTIFY_SOCKET"] = path
            try:
                daemon.start()
            finally:
                del os.environ["NOTIFY_SOCKET"]
            words = receiver.recv(1000).decode().split("\n")
            self.assertIn("READY=1", words)
            daemon.rpc.call("version")
            self.assertEqual(daemon.stop(), 0, daemon.stderr())
            self.assertIn("STOPPING=1", receiver.recv(1000).decode().split("\n"))


if __name__ == "__main__":
    unittest.main()

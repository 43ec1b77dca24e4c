# SPDX-License-Identifier: BSD-3-Clause
"""The control socket of a real daemon: bad requests, bad clients, many clients, wrong users."""

import grp
import json
import os
import socket
import subprocess
import sys
import unittest

from gateway import GatewayTestCase, gateway_config
from rpc import Rpc, RpcError

NOBODY = 65534
# Any group that root is not in by chance.
GROUP = next(group for group in grp.getgrall() if group.gr_gid not in (0, NOBODY))
CLIENT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
try:
    client.connect(sys.argv[1])
    client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "version"}\\n')
    print("answer" if client.recv(1000) else "closed")
except (PermissionError, ConnectionError) as error:
    print(type(error).__name__)
"""


class ControlTestCase(GatewayTestCase):
    def connect(self):
        rpc = Rpc(self.gateway.daemon.socket_path)
        self.addCleanup(rpc.close)
        return rpc

    def assert_alive(self):
        """The daemon answers a new client and forwards packets."""
        self.assertEqual(self.connect().call("version")["program"], "tandemd")
        sa = self.gateway.add_in()
        self.assertEqual(self.pass_in(sa), [])

    def error_of(self, method, params):
        with self.assertRaises(RpcError) as raised:
            self.gateway.rpc.call(method, params)
        return raised.exception


class RequestTest(ControlTestCase):
    def request(self, **fields):
        sa = self.gateway.new_sa("in")
        request = {"spi": sa.spi, "direction": "in", "tunnel": "b", "suite": sa.suite, "key": sa.key.hex(), **fields}
        return {name: value for name, value in request.items() if value is not None}

    def snapshot(self):
        return {(row["spi"], row["direction"], row["state"]) for row in self.gateway.rpc.call("sa.list")["sas"]}

    def test_bad_sa_is_refused_by_field(self):
        existing = self.gateway.add_in()
        # field at fault, what the request says, code
        table = (
            ("spi", {"spi": 0}, -32602),
            ("spi", {"spi": 255}, -32602),
            ("spi", {"spi": -1}, -32602),
            ("spi", {"spi": 1 << 32}, -32602),
            ("spi", {"spi": "4097"}, -32602),
            ("spi", {"spi": 4097.5}, -32602),
            ("spi", {"spi": None}, -32602),
            ("spi", {"spi": existing.spi}, 2),
            ("direction", {"direction": "sideways"}, -32602),
            ("direction", {"direction": 1}, -32602),
            ("direction", {"direction": None}, -32602),
            ("tunnel", {"tunnel": "nowhere"}, 1),
            ("tunnel", {"tunnel": 7}, -32602),
            ("tunnel", {"tunnel": None}, -32602),
            ("suite", {"suite": "rot13"}, -32602),
            ("suite", {"suite": None}, -32602),
            ("key", {"key": "00" * 19}, -32602),
            ("key", {"key": "00" * 21}, -32602),
            ("key", {"key": "00" * 5000}, -32602),
            ("key", {"key": "0" * 39}, -32602),
            ("key", {"key": "zz" * 20}, -32602),
            ("key", {"key": ""}, -32602),
            ("key", {"key": None}, -32602),
            ("key", {"key": existing.key.hex()}, 2),
            ("worker", {"worker": 1}, -32602),
            ("worker", {"worker": -1}, -32602),
            ("worker", {"worker": 1 << 40}, -32602),
            ("esn", {"esn": "yes"}, -32602),
            ("activate", {"activate": True}, -32602),
            ("replay_window", {"replay_window": 63}, -32602),
            ("replay_window", {"replay_window": 8193}, -32602),
            ("hard_packets", {"hard_packets": -5}, -32602),
            ("soft_ms", {"soft_ms": "1"}, -32602),
            ("colour", {"colour": "red"}, -32602),
        )
        before = self.snapshot()
        for field, fields, code in table:
            with self.subTest(**fields):
                request = self.request(**fields)
                error = self.error_of("sa.add", request)
                self.assertEqual((error.code, error.data["field"]), (code, field), error)
                self.assertTrue(error.data["reason"])
                self.assertTrue(error.data["object"])
                key = fields.get("key", request.get("key"))
                if key:
                    self.assertNotIn(key, str(error), "a key is never shown")
                self.assertEqual(self.snapshot(), before)
        self.assert_alive()

    def test_bulk_is_all_or_nothing(self):
        before = self.snapshot()
        good, bad = [self.request() for _ in range(3)], self.request(suite="rot13")
        error = self.error_of("sa.add", {"sas": [*good, bad]})
        self.assertEqual((error.data["index"], error.data["field"]), (3, "suite"))
        self.assertEqual(self.snapshot(), before)
        twice = self.request()
        error = self.error_of("sa.add", {"sas": [*good, twice, {**self.request(), "spi": twice["spi"]}]})
        self.assertEqual((error.data["index"], error.data["field"]), (4, "spi"))
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.gateway.rpc.call("sa.add", {"sas": good}), {"added": 3})
        names = [{"spi": sa["spi"], "direction": "in"} for sa in good]
        error = self.error_of("sa.delete", {"sas": [*names, {"spi": 999999, "direction": "in"}]})
        self.assertEqual((error.code, error.data["index"]), (1, 3))
        self.assertEqual(len(self.snapshot()), len(before) + 3)
        self.assertEqual(self.gateway.rpc.call("sa.delete", {"sas": names}), {"deleted": 3})

    def test_many_sas_in_one_request(self):
        requests = [self.request() for _ in range(1000)]
        self.assertEqual(self.gateway.rpc.call("sa.add", {"sas": requests}), {"added": 1000})
        self.assertEqual(len(self.gateway.rpc.call("sa.list", {"tunnel": "b"})["sas"]), 1000)
        self.assert_alive()

    def test_objects_that_do_not_exist(self):
        for method, params in (
            ("sa.switch", {"spi": 999999, "tunnel": "b"}),
            ("sa.drain", {"spi": 999999}),
            ("sa.delete", {"spi": 999999, "direction": "in"}),
            ("sa.list", {"tunnel": "nowhere"}),
        ):
            with self.subTest(method):
                self.assertEqual(self.error_of(method, params).code, 1)

    def test_keys_are_never_listed(self):
        pair = (self.gateway.add_in(), self.gateway.add_out())
        text = json.dumps([self.gateway.rpc.call(m) for m in ("sa.list", "tunnel.list", "policy.list")])
        for sa in pair:
            self.assertNotIn(sa.key.hex(), text)
            self.assertNotIn(sa.key.hex(), self.gateway.daemon.stderr())

    def test_malformed_lines(self):
        rpc = self.connect()
        # line, code
        table = (
            (b"\n", -32700),
            (b"{\n", -32700),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "version"} x\n', -32700),
            (b"\xff\xfe\n", -32700),
            (b"\x00\n", -32700),
            (b"[" * 100000 + b"\n", -32700),
            (b"42\n", (-32700, -32600)),
            (b"null\n", (-32700, -32600)),
            (b"[]\n", -32600),
            (b'[{"jsonrpc": "2.0", "id": 1, "method": "version"}]\n', -32600),
            (b"{}\n", -32600),
            (b'{"jsonrpc": "1.0", "id": 1, "method": "version"}\n', -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": 5}\n', -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "no.such"}\n', -32601),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "sa.add", "params": 5}\n', (-32600, -32602)),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "sa.add", "params": [1]}\n', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "sa.add", "params": {"sas": 5}}\n', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "sa.add", "params": {"sas": [5]}}\n', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "version", "params": {"x": 1}}\n', -32602),
        )
        for line, code in table:
            with self.subTest(line[:60]):
                # A lone newline may also count as nothing at all: the request behind it tells them apart.
                rpc.send_raw(line)
                if line == b"\n":
                    rpc.send_raw(b'{"jsonrpc": "2.0", "id": "after", "method": "version"}\n')
                    answer = rpc.read_answer()
                    if "error" in answer:
                        self.assertEqual(answer["error"]["code"], code)
                        rpc.read_answer("after")
                    continue
                answer = rpc.read_answer()
                codes = code if isinstance(code, tuple) else (code,)
                self.assertIn(answer["error"]["code"], codes, answer)
        self.assertEqual(rpc.call("version")["protocol"], 1)


class ClientTest(ControlTestCase):
    def test_request_in_pieces(self):
        rpc = self.connect()
        for byte in b'{"jsonrpc": "2.0", "id": "slow", "method": "version"}\n':
            rpc.send_raw(bytes([byte]))
        self.assertEqual(rpc.read_answer("slow")["result"]["program"], "tandemd")

    def test_many_requests_in_one_write(self):
        rpc = self.connect()
        rpc.send_raw(b"".join(b'{"jsonrpc": "2.0", "id": %d, "method": "version"}\n' % i for i in range(500)))
        self.assertEqual([rpc.read_answer()["id"] for _ in range(500)], list(range(500)))

    def test_client_dies_in_the_middle_of_a_request(self):
        rpc = self.connect()
        rpc.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "sa.add", "params": {"spi": 40')
        rpc.close()
        self.assert_alive()

    def test_clients_die_without_reading_their_answers(self):
        for _ in range(50):
            rpc = self.connect()
            rpc.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "drop.list", "params": {"all": true}}\n' * 20)
            rpc.close()
        self.assert_alive()

    def test_subscriber_is_killed(self):
        code = (
            "import socket, sys, time\n"
            "client = socket.socket(socket.AF_UNIX)\n"
            "client.connect(sys.argv[1])\n"
            "client.sendall(b'{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"events.subscribe\"}\\n')\n"
            "print(client.recv(1000), flush=True)\n"
            "time.sleep(600)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, self.gateway.daemon.socket_path], stdout=subprocess.PIPE
        ) as client:
            try:
                self.assertIn(b"subscribed", client.stdout.readline())
            finally:
                client.kill()
        for _ in range(20):
            self.gateway.add_in()
        self.assert_alive()

    def test_line_of_ten_megabytes(self):
        rpc = self.connect()
        try:
            rpc.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * (10 << 20) + b'"}\n')
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed before all of it was written
        self.assertEqual(rpc.read_answer()["error"]["code"], -32600)
        with self.assertRaises(ConnectionError):
            rpc.read_answer()
        self.assert_alive()

    def test_line_of_ten_megabytes_without_an_end(self):
        rpc = self.connect()
        try:
            rpc.send_raw(b"[" * (10 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assert_alive()

    def test_a_thousand_idle_connections(self):
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        for _ in range(1000):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            clients.append(client)
            client.settimeout(20)
            client.connect(self.gateway.daemon.socket_path)
        self.assert_alive()
        # They are served, not only accepted.
        for client in clients[::100]:
            client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "version"}\n')
            self.assertIn(b"tandemd", client.recv(1000))

    def test_subscriber_that_never_reads(self):
        deaf = self.connect()
        deaf.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe"}\n')
        # Each round is 2,000 events; more than a socket and the daemon's buffer for one subscriber hold.
        for _ in range(5):
            sas = [self.gateway.new_sa("in") for _ in range(1000)]
            self.gateway.rpc.call(
                "sa.add",
                {
                    "sas": [
                        {"spi": s.spi, "direction": "in", "tunnel": "b", "suite": s.suite, "key": s.key.hex()} for s in sas
                    ]
                },
            )
            self.gateway.rpc.call("sa.delete", {"sas": [{"spi": s.spi, "direction": "in"} for s in sas]})
        self.assert_alive()


class AuthorisationTest(ControlTestCase):
    config_text = gateway_config().replace('socket = "@SOCKET@";', f'socket = "@SOCKET@"; group = "{GROUP.gr_name}";')

    def try_as_nobody(self, group=NOBODY, extra_groups=()):
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, self.gateway.daemon.socket_path], user=NOBODY, group=group,
            extra_groups=list(extra_groups), cwd="/", capture_output=True, text=True, timeout=60, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_socket_mode_and_group(self):
        status = os.stat(self.gateway.daemon.socket_path)
        self.assertEqual((status.st_mode & 0o777, status.st_gid), (0o660, GROUP.gr_gid))

    def test_a_user_whose_primary_group_it_is_may_connect(self):
        self.assertEqual(self.try_as_nobody(group=GROUP.gr_gid), "answer")

    def test_a_user_with_it_as_supplementary_group_may_connect(self):
        self.assertEqual(self.try_as_nobody(extra_groups=[GROUP.gr_gid]), "answer")

    def test_another_user_cannot_connect(self):
        self.assertEqual(self.try_as_nobody(), "PermissionError")

    def test_another_user_is_refused_by_its_credentials(self):
        # Even with a socket that lets everybody in, the daemon looks at who is there.
        path = self.gateway.daemon.socket_path
        os.chmod(path, 0o666)
        try:
            refused = ("closed", "ConnectionResetError", "BrokenPipeError")
            for _ in range(5):
                self.assertIn(self.try_as_nobody(), refused)
            self.assertEqual(self.try_as_nobody(extra_groups=[GROUP.gr_gid]), "answer")
        finally:
            os.chmod(path, 0o660)
        self.assert_alive()
        # Anybody could fill the log with them.
        self.assertEqual(self.gateway.daemon.stderr().count("refused user"), 1)


class CommandTest(ControlTestCase):
    def test_words_that_may_be_keys_are_not_repeated(self):
        key = os.urandom(20).hex()
        program = os.path.join(os.path.dirname(self.gateway.daemon.program), "tandemctl")
        for arguments in (
            ["call", "version", f'{{"key": {key}}}'],
            ["call", "version", f'{{"{key}": 1}}'],
            ["call", key],
            ["sa", "list", f"--key={key}"],
            ["sa", "list", "--tunnel", key],
            ["sa", "list", key],
            ["sa", "delete", key],
            ["sa", key],
            [f"--key={key}"],
        ):
            with self.subTest(arguments):
                done = subprocess.run(
                    [program, *(["--socket", self.gateway.daemon.socket_path] if arguments[0][0] != "-" else []), *arguments],
                    stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
                )
                self.assertNotEqual(done.returncode, 0)
                self.assertNotIn(key, done.stdout + done.stderr)
                self.assertIn("tandemctl: ", done.stderr)


if __name__ == "__main__":
    unittest.main()

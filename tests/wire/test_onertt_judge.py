# SPDX-License-Identifier: BSD-3-Clause
"""tandemd against the tests' own peer of the one-round-trip exchange, in both roles, and what it says to bad messages."""

import contextlib
import itertools
import socket
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

import onertt
from daemon import Daemon
from lab import Lab, wait_until
from memory import search
from noise import Refused, raw_public
from negotiator import key_files, onertt_keys

SOURCES = {"contributory": onertt.CONTRIBUTORY, "initiator": onertt.FROM_INITIATOR}
DELIVERIES = {"derived": onertt.DERIVED, "wrapped": onertt.WRAPPED}
ESP = 'esp = [ "aes256gcm16-esn" ]; '
NO_ID = {"key": {}, "id": {"local": "depot", "remote": "head"}, "secret": {"local": "depot", "remote": "head"}}


def load(pem):
    return serialization.load_pem_private_key(pem.encode(), None)


class Judge(unittest.TestCase):
    seconds = 60

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.files = key_files()
        self.keys = {side: load(self.files[f"{side}.key"]) for side in ("a", "b")}

    @contextlib.contextmanager
    def gateway(self, side, keys):
        """The daemon of one side, and a socket in the other's place."""
        own = self.lab.gw_a if side == "a" else self.lab.gw_b
        other = self.lab.gw_b if side == "a" else self.lab.gw_a
        namespace = other.namespace
        namespace.run("nft", "flush", "ruleset")
        namespace.ip("address", "replace", f"{other.outside_address}/24", "dev", "out0")
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((other.outside_address, 500))
        self.socket.settimeout(0.5)
        self.there = (own.outside_address, 500)
        own.daemon = Daemon(own.namespace.name, own.config(tunnel_keys=ESP + keys), f"gw-{side}", None, self.files)
        try:
            own.daemon.start().wait_ready()
            yield own
            own.daemon.stop_checked()
        finally:
            self.socket.close()
            own.daemon.cleanup()

    def settings(self, role, mode, **more):
        """Of our side: a begins, b responds."""
        side, other = ("a", "b") if role == "initiator" else ("b", "a")
        names = NO_ID[mode]
        local, remote = (names.get("local"), names.get("remote")) if side == "a" else (None, names.get("local"))
        number = {"a": 1, "b": 2}
        static = None if mode == "secret" and side == "a" else self.keys[side]
        return onertt.Settings(
            pattern=onertt.MODES[mode], static=static,
            remote=None if mode == "secret" and side == "b" else raw_public(self.keys[other]),
            psk=bytes([0x5A]) * 32 if mode == "secret" else None, local_id=local, remote_id=remote,
            local=f"10.{number[side]}.0.0/24", remote_prefix=f"10.{number[other]}.0.0/24",
            own=(f"192.0.2.{number[side]}", 500), peer=(f"192.0.2.{number[other]}", 500), **more,
        )

    def ask(self, message):
        """The answer, or None."""
        self.socket.sendto(message, self.there)
        with contextlib.suppress(TimeoutError):
            while True:
                answer = self.socket.recv(65535)
                if onertt.parse_header(answer).flags & onertt.RESPONSE:
                    return answer
        return None

    def begin(self, settings):
        """(initiator, its message 1, message 2), by the responder's clock: without a file it starts with one of its own."""
        while True:
            peer = onertt.Initiator(settings)
            message = peer.message_1()
            answer = wait_until(lambda m=message: self.ask(m), "an answer")
            try:
                return peer, message, answer, peer.read_2(answer)
            except onertt.Stale as told:
                settings.time_us = told.time_us + 10**6

    def counter(self, gateway, name):
        return gateway.rpc.call("ike.stats")["onertt_" + name]

    def test_it_responds(self):
        for mode, source, delivery in itertools.product(NO_ID, SOURCES, DELIVERIES):
            keys = onertt_keys(f'key_source = "{source}"; key_delivery = "{delivery}"; ', mode)["b"]
            with self.subTest(mode=mode, source=source, delivery=delivery), self.gateway("b", keys) as gateway:
                settings = self.settings("initiator", mode, source=SOURCES[source], delivery=DELIVERIES[delivery])
                _, _, _, (session, child) = self.begin(settings)
                self.assertEqual(len(child.key_in), 36)
                # The session's keys are the same: a request of ours is answered.
                request = session.seal(onertt.INFORMATIONAL, 1, [])
                session.open(self.ask(request))
                self.assertEqual(self.counter(gateway, "accepted"), 1)
                spis = gateway.rpc.call("tunnel.list")["tunnels"][0]["inbound_spis"]
                self.assertIn(child.spi_out, spis)

    def test_it_begins(self):
        for mode, source, delivery in itertools.product(NO_ID, SOURCES, DELIVERIES):
            keys = onertt_keys(f'key_source = "{source}"; key_delivery = "{delivery}"; ', mode)["a"]
            with self.subTest(mode=mode, source=source, delivery=delivery), self.gateway("a", keys) as gateway:
                peer = onertt.Responder(self.settings("responder", mode, source=SOURCES[source], delivery=DELIVERIES[delivery]))
                self.socket.settimeout(20)
                message, there = self.socket.recvfrom(65535)
                peer.read_1(message)
                answer, _session, child = peer.message_2()
                self.socket.sendto(answer, there)
                wait_until(lambda g=gateway: g.rpc.call("tunnel.list")["tunnels"][0]["established"], "the tunnel is up")
                self.assertIn(child.spi_out, gateway.rpc.call("tunnel.list")["tunnels"][0]["inbound_spis"])
                self.assertEqual(self.counter(gateway, "answered"), 1)

    def assert_wiped(self, gateway, secrets):
        """The search finds the session's keys as long as it lives, and nothing of it afterwards."""
        rpc, pid = gateway.rpc, gateway.daemon.pid
        living = search(pid, secrets)
        for name in ("SK_d", "SK_ei", "SK_er", "child in", "child out"):
            self.assertIn(name, living)
        for name in set(living) - {"SK_d", "SK_ei", "SK_er", "code key", "child in", "child out"}:
            self.fail(f"{name} of the handshake is left at {living[name]} in the session")
        rpc.call("tunnel.down", {"tunnel": gateway.tunnel})
        wait_until(lambda: not rpc.call("ike.list")["ike_sas"] and not rpc.call("sa.list")["sas"], "the session is gone")
        try:
            wait_until(lambda: not search(pid, secrets), "the keys are wiped", timeout=10)
        except TimeoutError:
            self.fail(f"left in memory: {search(pid, secrets)}")

    def secrets(self, session, child, handshake, split):
        return {
            "SK_d": session.d, "SK_ei": session.e_i, "SK_er": session.e_r, "code key": session.code_key,
            "child in": child.key_in, "child out": child.key_out,
            "chaining key": handshake.chain, "key": handshake.key, "export": handshake.inner,
            **{f"split {number}": key for number, key in enumerate(split)},
        }

    def test_wipe_by_who_begins(self):
        for mode in NO_ID:
            with self.subTest(mode=mode), self.gateway("a", onertt_keys(mode=mode)["a"]) as gateway:
                peer = onertt.Responder(self.settings("responder", mode))
                self.socket.settimeout(20)
                message, there = self.socket.recvfrom(65535)
                peer.read_1(message)
                answer, session, child = peer.message_2()
                self.socket.sendto(answer, there)
                wait_until(lambda g=gateway: g.rpc.call("tunnel.list")["tunnels"][0]["established"], "the tunnel is up")
                handshake = peer.handshake
                secrets = self.secrets(session, child, handshake, handshake.split())
                theirs = X25519PublicKey.from_public_bytes(handshake.remote_ephemeral)
                secrets["ee"] = handshake.ephemeral.exchange(theirs)
                self.assert_wiped(gateway, secrets)

    def test_wipe_by_who_responds(self):
        for mode in NO_ID:
            with self.subTest(mode=mode), self.gateway("b", onertt_keys(mode=mode)["b"]) as gateway:
                peer, _, _, (session, child) = self.begin(self.settings("initiator", mode))
                session.open(self.ask(session.seal(onertt.INFORMATIONAL, 1, [])))
                self.assert_wiped(gateway, self.secrets(session, child, peer.handshake, ()))

    def test_stale_clock_is_told(self):
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            settings = self.settings("initiator", "key")
            settings.time_us = onertt.now_us() - 86400 * 10**6
            peer = onertt.Initiator(settings)
            with self.assertRaises(onertt.Stale) as told:
                peer.read_2(wait_until(lambda: self.ask(peer.message_1()), "an answer"))
            self.assertLess(abs(told.exception.time_us - onertt.now_us()), 100 * 10**6)
            self.assertEqual(self.counter(gateway, "accepted"), 0)
            self.assertGreaterEqual(self.counter(gateway, "stale"), 1)

    def test_it_follows_the_responders_clock(self):
        """One retry with the responder's time; the system's clock stays."""
        with self.gateway("a", onertt_keys()["a"]) as gateway:
            self.socket.settimeout(20)
            peer = onertt.Responder(self.settings("responder", "key"))
            message, there = self.socket.recvfrom(65535)
            peer.read_1(message)
            ahead = 5 * 86400 * 10**6
            self.socket.sendto(peer.stale(onertt.now_us() + ahead), there)
            while True:
                again, there = self.socket.recvfrom(65535)
                if again != message:
                    break
            peer = onertt.Responder(self.settings("responder", "key"))
            peer.read_1(again)
            self.assertLess(abs(peer.time_us - onertt.now_us() - ahead), 40 * 10**6)

    def test_bad_first_messages(self):
        other = X25519PrivateKey.generate()
        now = onertt.now_us()
        rows = (
            # name, mode, changes of the settings, change of the bytes, counter, answered
            ("future", "key", {"time_us": now + 86400 * 10**6}, None, "future", True),
            ("wrong code", "key", {"code": 1}, None, "wrong_code", False),
            ("wrong static key", "key", {"static": other}, None, "unknown_key", False),
            ("another key of ours", "key", {"key_id": bytes(8)}, None, "unknown_key", False),
            ("identity of another key", "id", {"local_id": "head"}, None, "unknown_id", False),
            ("no identity", "id", {"local_id": None}, None, "unknown_id", False),
            ("unknown identity", "secret", {"local_id": "nobody"}, None, "unknown_id", False),
            ("wrong secret", "secret", {"psk": bytes(32)}, None, "wrong_code", False),
            ("another source", "key", {"source": onertt.FROM_INITIATOR}, None, "mismatched", True),
            ("altered", "key", {}, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "unauthentic", False),
            ("low order", "key", {}, lambda data: data[:44] + bytes(32) + data[76:], "unauthentic", False),
            ("truncated", "key", {}, lambda data: onertt.header(data[:8], bytes(8), data[16], 240, 8, 0, 60) + data[28:60], "malformed", False),
        )
        for mode in NO_ID:
            with self.gateway("b", onertt_keys(mode=mode)["b"]) as gateway:
                ready = self.settings("initiator", mode)
                self.begin(ready)
                accepted = self.counter(gateway, "accepted")
                sas = len(gateway.rpc.call("ike.list")["ike_sas"])
                for name, row_mode, changes, alter, reason, answered in rows:
                    if row_mode != mode:
                        continue
                    with self.subTest(name):
                        settings = self.settings("initiator", mode, time_us=(ready.time_us or onertt.now_us()) + 10**6)
                        for key, value in changes.items():
                            setattr(settings, key, value)
                        message = onertt.Initiator(settings).message_1()
                        before = self.counter(gateway, reason)
                        answer = self.ask(alter(message) if alter else message)
                        self.assertEqual(answer is not None, answered)
                        self.assertEqual(self.counter(gateway, reason), before + 1)
                        self.assertEqual(self.counter(gateway, "accepted"), accepted)
                        self.assertEqual(len(gateway.rpc.call("ike.list")["ike_sas"]), sas)

    def test_replays(self):
        """A message that was accepted is answered again as long as that may help, and makes nothing later."""
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            peer, message, answer, (session, _) = self.begin(self.settings("initiator", "key"))
            self.assertEqual(self.ask(message), answer)
            request = session.seal(onertt.INFORMATIONAL, 1, [])
            self.assertIsNotNone(self.ask(request))
            # In the session the same bytes are not fresh any more, nor is the first message.
            before = self.counter(gateway, "replayed")
            self.assertIsNone(self.ask(request))
            self.assertEqual(self.counter(gateway, "replayed"), before + 1)
            replayed = self.ask(message)
            self.assertEqual(self.counter(gateway, "replayed"), before + 2)
            if replayed is not None:
                with self.assertRaises((onertt.Stale, Refused)):
                    peer.read_2(replayed)
            stale = session.seal(onertt.INFORMATIONAL, 2, [session.freshness(onertt.now_us() - 3600 * 10**6)], freshness=False)
            self.assertIsNone(self.ask(stale))
            self.assertGreaterEqual(self.counter(gateway, "stale"), 1)
            self.assertIsNone(self.ask(session.seal(onertt.INFORMATIONAL, 2, [], freshness=False)))
            self.assertGreaterEqual(self.counter(gateway, "wrong_code"), 1)
            self.assertEqual(self.counter(gateway, "accepted"), 1)


if __name__ == "__main__":
    unittest.main()

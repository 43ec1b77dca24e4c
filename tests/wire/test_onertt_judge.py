# SPDX-License-Identifier: BSD-3-Clause
"""tandemd against the tests' own peer of the one-round-trip exchange, in both roles, and what it says to bad messages."""

import os
import socket
import unittest

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import onertt
from judge import NO_ID, Crowd, JudgeTestCase
from lab import wait_until
from noise import Refused
from negotiator import onertt_keys, public_pem


class Judge(JudgeTestCase):
    seconds = 15

    def test_every_combination(self):
        """Begun by either side; the keys are the same at both."""
        for side in ("a", "b"):
            crowd = Crowd(self, side)
            with self.subTest(gateway=side), crowd.gateway() as gateway:
                crowd.begin()
                listed = {}

                def up():
                    listed.update({one["name"]: one for one in gateway.rpc.call("tunnel.list")["tunnels"]})
                    return all(listed[member.tunnel]["established"] for member in crowd.members)

                crowd.serve(up)
                for member in crowd.members:
                    with self.subTest(member.name):
                        self.assertEqual(len(member.child.key_in), 36)
                        self.assertIn(member.child.spi_out, listed[member.tunnel]["inbound_spis"])
                self.assertEqual(self.counter(gateway, "accepted" if side == "b" else "answered"), len(crowd.members))

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

    def test_replay_after_a_kill(self):
        """Nothing of before is taken, by what was on disk: also not from within the window."""
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            peer, message, _, _ = self.begin(self.settings("initiator", "key"))
            self.assertEqual(self.counter(gateway, "accepted"), 1)
            daemon = gateway.daemon
            daemon.process.kill()
            daemon.process.wait()
            daemon.close_rpc()
            daemon.start().wait_ready()
            answer = wait_until(lambda: self.ask(message), "an answer")
            with self.assertRaises(onertt.Stale) as told:
                peer.read_2(answer)
            self.assertGreater(told.exception.time_us, peer.sent_us)
            self.assertGreaterEqual(self.counter(gateway, "replayed"), 1)
            self.assertEqual(self.counter(gateway, "accepted"), 0)
            self.assertEqual(gateway.rpc.call("ike.list")["ike_sas"], [])

    def test_wrong_code_in_an_answer(self):
        """It is dropped, and the request comes again."""
        with self.gateway("a", onertt_keys()["a"]) as gateway:
            self.socket.settimeout(20)
            message = self.socket.recv(65535)
            for settings in ({"code": 1}, {}):
                peer = onertt.Responder(self.settings("responder", "key", **settings))
                peer.read_1(message)
                answer, _, child = peer.message_2()
                self.socket.sendto(answer, self.there)
                if settings:
                    wait_until(lambda: self.counter(gateway, "wrong_code") == 1, "the answer is dropped")
                    self.assertEqual(self.counter(gateway, "answered"), 0)
                    self.assertEqual(self.socket.recv(65535), message)
            wait_until(lambda: gateway.rpc.call("tunnel.list")["tunnels"][0]["established"], "the tunnel is up")
            self.assertEqual(self.counter(gateway, "wrong_code"), 1)
            self.assertIn(child.spi_out, gateway.rpc.call("tunnel.list")["tunnels"][0]["inbound_spis"])

    def test_forged_answers(self):
        """Those from elsewhere are not looked at, and of others few: each would cost public-key work."""
        with self.gateway("a", onertt_keys()["a"]) as gateway:
            self.socket.settimeout(20)
            message = self.socket.recv(65535)
            peer = onertt.Responder(self.settings("responder", "key"))
            peer.read_1(message)
            answer, _, _ = peer.message_2()
            namespace = self.lab.gw_b.namespace
            namespace.ip("address", "add", "192.0.2.77/24", "dev", "out0")
            with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere, namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
                elsewhere.bind(("192.0.2.77", 500))
                port.bind((self.lab.gw_b.outside_address, 501))
                for number, other in enumerate((elsewhere, port)):
                    other.sendto(answer, self.there)
                    wait_until(lambda n=number: gateway.rpc.call("ike.stats")["unexpected"] == n + 1, "it is not expected")
            self.assertEqual(self.counter(gateway, "answers"), 0)

            def grown():
                before = gateway.rpc.call("ike.stats")
                for _ in range(60):
                    self.socket.sendto(answer[:32] + answer[32:36] + os.urandom(len(answer) - 36), self.there)
                after = wait_until(lambda: self.unless_fewer(gateway, "answers", before, 60), "all came")
                return {name: after["onertt_" + name] - before["onertt_" + name] for name in ("limited", "unauthentic")}

            # Otherwise a second has ended among them.
            wait_until(lambda: grown() == {"limited": 40, "unauthentic": 20}, "20 of them are opened in a second")

            def up():
                self.socket.sendto(answer, self.there)
                return gateway.rpc.call("tunnel.list")["tunnels"][0]["established"]

            wait_until(up, "the right answer is taken", interval=0.2)

    def test_another_key_after_a_reload(self):
        """Peers are looked up by what the configuration says now."""
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            settings = self.settings("initiator", "key")
            self.begin(settings)
            other = X25519PrivateKey.generate()
            with open(f"{gateway.daemon.directory}/a.pub", "w", encoding="utf-8") as file:
                file.write(public_pem(other))
            gateway.rpc.call("config.reload")
            settings.time_us = (settings.time_us or onertt.now_us()) + 10**6
            self.assertIsNone(self.ask(onertt.Initiator(settings).message_1()))
            self.assertEqual(self.counter(gateway, "unknown_key"), 1)
            settings.static = other
            self.begin(settings)
            self.assertEqual(self.counter(gateway, "accepted"), 2)

    def test_bad_wrapped_keys(self):
        """They end nothing that is there, not even what is half open and would make room for a good message."""
        keys = onertt_keys('key_source = "initiator"; key_delivery = "wrapped"; ', "secret")["b"]
        with self.gateway("b", keys) as gateway:
            settings = self.settings("initiator", "secret", source=onertt.FROM_INITIATOR, delivery=onertt.WRAPPED)
            self.begin(settings)
            before = gateway.rpc.call("ike.list")["ike_sas"]
            for number, wrapped in enumerate((bytes(80), b"", bytes(79))):
                with self.subTest(wrapped):
                    settings.wrapped = wrapped
                    settings.time_us = (settings.time_us or onertt.now_us()) + 10**6
                    self.socket.sendto(onertt.Initiator(settings).message_1(), self.there)
                    wait_until(lambda n=number: self.counter(gateway, "malformed") == n + 1, "it is malformed")
                    now = gateway.rpc.call("ike.list")["ike_sas"]
                    self.assertEqual([one["spi_r"] for one in now], [one["spi_r"] for one in before])
            settings.wrapped, settings.time_us = None, settings.time_us + 10**6
            self.begin(settings)
            self.assertEqual(len(gateway.rpc.call("ike.list")["ike_sas"]), 1)
            self.assertEqual(self.counter(gateway, "accepted"), 2)

    def test_identity_of_another_peer(self):
        """Both are registered at the gateway; each has its own key."""
        crowd = Crowd(self, "b")
        with crowd.gateway() as gateway:
            mine, another = (member for member in crowd.members if (member.mode, member.source) == ("id", "contributory"))
            self.begin(mine.settings)
            mine.settings.local_id = another.settings.local_id
            mine.settings.time_us = (mine.settings.time_us or onertt.now_us()) + 10**6
            for settings in (mine.settings, another.settings):
                settings.delivery = onertt.DERIVED
            self.assertIsNone(self.ask(onertt.Initiator(mine.settings).message_1()))
            self.assertEqual(self.counter(gateway, "unknown_id"), 1)
            self.assertEqual(self.counter(gateway, "accepted"), 1)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""The tests' own peer of the one-round-trip exchange: against the published vectors of Noise, and both roles together."""

import itertools
import json
import os
import unittest

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import onertt
from daemon import REPOSITORY
from noise import IK, NKPSK2, Handshake, Refused, raw_public

DAY_US = 86400 * 10**6


def private(text):
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(text)) if text else None


class VectorTest(unittest.TestCase):
    def sides(self, vector):
        pattern = NKPSK2 if "_NKpsk2_" in vector["protocol_name"] else IK
        for name in ("init", "resp"):
            psks = vector.get(name + "_psks") or [None]
            yield Handshake(
                pattern, name == "init", bytes.fromhex(vector[name + "_prologue"]), private(vector.get(name + "_static")),
                bytes.fromhex(vector["init_remote_static"]) if name == "init" else None,
                bytes.fromhex(psks[0]) if psks[0] else None, private(vector[name + "_ephemeral"]),
            )

    def test_published_vectors(self):
        with open(os.path.join(REPOSITORY, "tests/unit/vectors/noise.json"), encoding="utf-8") as file:
            vectors = json.load(file)["vectors"]
        self.assertEqual(len(vectors), 3)
        for vector in vectors:
            with self.subTest(vector["protocol_name"], source=vector["source"]):
                sides = list(self.sides(vector))
                for number, step in enumerate(vector["messages"]):
                    plain, sealed = bytes.fromhex(step["payload"]), bytes.fromhex(step["ciphertext"])
                    if number < 2:
                        writer, reader = sides[number], sides[1 - number]
                        self.assertEqual(writer.write_tokens() + writer.write_payload(plain), sealed)
                        self.assertEqual(reader.read_payload(reader.read_tokens(sealed)), plain)
                        self.assertEqual(writer.export(), reader.export())
                    else:
                        key = sides[0].split()[number % 2]
                        nonce = bytes(4) + (number // 2 - 1).to_bytes(8, "big")
                        self.assertEqual(AESGCM(key).encrypt(nonce, plain, b""), sealed)
                self.assertEqual(sides[0].split(), sides[1].split())

    def test_codes(self):
        seed = b"12345678901234567890123456789012"
        for seconds, expected in ((59, 46119246), (1111111109, 68084774), (20000000000, 77737706)):
            self.assertEqual(onertt.code(seed, seconds * 10**6), expected)


class PairTest(unittest.TestCase):
    def settings(self, mode="key", **more):
        keys = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        common = {"pattern": onertt.MODES[mode], "psk": bytes(range(32)) if mode == "secret" else None, **more}
        with_id = {} if mode == "key" else {"name": "gw-a.example"}
        initiator = onertt.Settings(
            static=None if mode == "secret" else keys[0], remote=raw_public(keys[1]), local_id=with_id.get("name"), **common
        )
        responder = onertt.Settings(
            static=keys[1], remote=None if mode == "secret" else raw_public(keys[0]), remote_id=with_id.get("name"), **common
        )
        return initiator, responder

    def pair(self, *arguments, **more):
        initiator, responder = self.settings(*arguments, **more)
        return onertt.Initiator(initiator), onertt.Responder(responder)

    def test_all_modes_sources_and_deliveries(self):
        for mode, source, delivery in itertools.product(onertt.MODES, (0, 1), (0, 1)):
            with self.subTest(mode, source=source, delivery=delivery):
                initiator, responder = self.pair(mode, source=source, delivery=delivery)
                responder.read_1(initiator.message_1())
                answer, theirs, there = responder.message_2()
                if source == onertt.FROM_INITIATOR:
                    self.assertTrue(onertt.same(initiator.early, there))
                ours, here = initiator.read_2(answer)
                self.assertTrue(onertt.same(here, there))
                self.assertNotEqual(here.key_in, here.key_out)
                request = ours.seal(onertt.INFORMATIONAL, 0, [])
                head, payloads = theirs.open(request)
                self.assertEqual((head.exchange, head.message_id), (onertt.INFORMATIONAL, 0))
                self.assertEqual(len(payloads), 1)
                ours.open(theirs.seal(onertt.INFORMATIONAL, 0, [onertt.notify(onertt.KEY_EXPIRED)], response=True))

    def test_stale(self):
        initiator, responder = self.pair()
        initiator.settings.time_us = onertt.now_us() - 3 * DAY_US
        responder.read_1(initiator.message_1())
        self.assertLess(responder.time_us, onertt.now_us() - 2 * DAY_US)
        with self.assertRaises(onertt.Stale) as caught:
            initiator.read_2(responder.stale())
        self.assertLess(abs(caught.exception.time_us - onertt.now_us()), DAY_US)

    def test_wrong_message_2_is_asked_for_again(self):
        initiator, responder = self.pair()
        responder.read_1(initiator.message_1())
        answer, _, there = responder.message_2()
        for at in (40, len(answer) - 1):
            bad = bytearray(answer)
            bad[at] ^= 1
            with self.assertRaises(Refused):
                initiator.read_2(bytes(bad))
        self.assertTrue(onertt.same(initiator.read_2(answer)[1], there))

    def test_refused(self):
        others = {"static": X25519PrivateKey.generate()}
        for name, mode, change, reason in (
            ("wrong code", "key", {"code": 100000000}, "wrong code"),
            ("wrong static key", "key", others, "unknown key"),
            ("another's identity", "id", {"local_id": "gw-b.example"}, "unknown identity"),
            ("no identity", "secret", {"local_id": None}, "unknown identity"),
            ("wrong secret", "secret", {"psk": bytes(32)}, "wrong code"),
            ("another source", "key", {"source": 1}, "another mode"),
            ("another key id", "key", {"key_id": bytes(8)}, "another pattern or key"),
        ):
            with self.subTest(name):
                initiator, responder = self.pair(mode)
                for field, value in change.items():
                    setattr(initiator.settings, field, value)
                with self.assertRaises(Refused) as caught:
                    responder.read_1(initiator.message_1())
                self.assertEqual(str(caught.exception), reason)

    def test_no_child(self):
        initiator, responder = self.pair()
        responder.read_1(initiator.message_1())
        answer, theirs, _ = responder.message_2(child_error=43)
        with self.assertRaises(onertt.NoChild) as caught:
            initiator.read_2(answer)
        self.assertEqual(caught.exception.error, 43)
        theirs.open(caught.exception.session.seal(onertt.INFORMATIONAL, 0, []))

    def test_cookie(self):
        initiator, responder = self.pair()
        first = initiator.message_1()
        cookie = initiator.cookie_of(onertt.cookie_answer(first, b"cookie"))
        self.assertEqual(cookie, b"cookie")
        responder.read_1(initiator.message_1(cookie))


if __name__ == "__main__":
    unittest.main()

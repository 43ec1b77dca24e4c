# SPDX-License-Identifier: BSD-3-Clause
"""Nothing of a one-round-trip session's keys is left in memory behind it, whoever ends it."""

import struct
import unittest

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

import onertt
from judge import Crowd, JudgeTestCase
from memory import search
from noise import mac

LIVING = {"SK_d", "SK_ei", "SK_er", "code key", "child in", "child out"}
DELETE_IKE = (onertt.DELETE, struct.pack(">BBH", 1, 0, 0))


def secrets_of(member, begins):
    """begins: this side does. Names and bytes of all that the gateway has computed for a session."""
    session, child, peer = member.session, member.child, member.peer
    handshake = peer.finished if begins else peer.handshake
    export_1 = peer.handshake.export() if begins else peer.export_1
    secrets = {
        "SK_d": session.d, "SK_ei": session.e_i, "SK_er": session.e_r, "code key": session.code_key,
        "child in": child.key_in, "child out": child.key_out,
        "chaining key": handshake.chain, "key": handshake.key, "inner": handshake.inner, "export 1": export_1,
        "export 2": handshake.export(), "traffic": mac(export_1, b"traffic"),
        **{f"wrap {number}": mac(export, b"wrap") for number, export in ((1, export_1), (2, handshake.export()))},
        **{f"code {number}": mac(export, b"code") for number, export in ((1, export_1), (2, handshake.export()))},
        **{f"split {number}": key for number, key in enumerate(handshake.split())},
        "ee": handshake.ephemeral.exchange(X25519PublicKey.from_public_bytes(handshake.remote_ephemeral)),
    }
    return {(member.number, name): secret for name, secret in secrets.items()}


class Wipe(JudgeTestCase):
    seconds = 20

    def assert_wiped(self, side):
        """The search finds the sessions' keys as long as they live, and nothing of them afterwards."""
        begins = side == "b"
        crowd = Crowd(self, side, "drain_ms = 100; ")
        with crowd.gateway() as gateway:
            crowd.begin()
            rpc, pid = gateway.rpc, gateway.daemon.pid
            crowd.serve(lambda: len(rpc.call("sa.list")["sas"]) == 2 * len(crowd.members))
            secrets = {}
            for member in crowd.members:
                secrets.update(secrets_of(member, begins))
            living = set(search(pid, secrets))
            for member in crowd.members:
                names = {name for number, name in living if number == member.number}
                with self.subTest("in a session", member=member.name):
                    self.assertEqual(names - LIVING, set())
                    self.assertEqual(LIVING - {"code key"} - names, set())
            ended = {member.session.spi_i.hex() for member in crowd.members}
            for member in crowd.members:
                if (member.number ^ begins) & 1:
                    rpc.call("tunnel.down", {"tunnel": member.tunnel})
                else:
                    number = 2 if begins else 0
                    self.socket.sendto(member.session.seal(onertt.INFORMATIONAL, number, [DELETE_IKE]), self.there)
            spis = {member.child.spi_in for member in crowd.members} | {member.child.spi_out for member in crowd.members}
            crowd.serve(lambda: not ended & {one["spi_i"] for one in rpc.call("ike.list")["ike_sas"]})
            crowd.serve(lambda: not spis & {one["spi"] for one in rpc.call("sa.list")["sas"]})
            left = {}

            def wiped():
                # What was wiped does not come again.
                places = search(pid, left or secrets)
                left.clear()
                left.update({name: secrets[name] for name in places})
                return not left

            try:
                crowd.serve(wiped, timeout=10)
            except TimeoutError:
                self.fail(f"left in memory: {search(pid, left)}")

    def test_by_who_begins(self):
        self.assert_wiped("a")

    def test_by_who_responds(self):
        self.assert_wiped("b")


if __name__ == "__main__":
    unittest.main()

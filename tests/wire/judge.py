# SPDX-License-Identifier: BSD-3-Clause
"""A gateway, and in the place of its peer a socket of the tests' own implementation of the one-round-trip exchange."""

import contextlib
import itertools
import socket
import time
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import onertt
from daemon import Daemon
from lab import Lab, wait_until
from noise import raw_public
from negotiator import key_files, key_pem, onertt_keys, public_pem

SOURCES = {"contributory": onertt.CONTRIBUTORY, "initiator": onertt.FROM_INITIATOR}
DELIVERIES = {"derived": onertt.DERIVED, "wrapped": onertt.WRAPPED}
ESP = 'esp = [ "aes256gcm16-esn" ]; '
NO_ID = {"key": {}, "id": {"local": "depot", "remote": "head"}, "secret": {"local": "depot", "remote": "head"}}


def load(pem):
    return serialization.load_pem_private_key(pem.encode(), None)


class JudgeTestCase(unittest.TestCase):

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.files = key_files()
        self.keys = {side: load(self.files[f"{side}.key"]) for side in ("a", "b")}

    @contextlib.contextmanager
    def gateway(self, side, keys, tunnels=(), files=None):
        """The daemon of one side, and a socket in the other's place. tunnels: more of them, as texts."""
        own = self.lab.gw_a if side == "a" else self.lab.gw_b
        other = self.lab.gw_b if side == "a" else self.lab.gw_a
        namespace = other.namespace
        namespace.run("nft", "flush", "ruleset")
        namespace.ip("address", "replace", f"{other.outside_address}/24", "dev", "out0")
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((other.outside_address, 500))
        self.socket.settimeout(0.5)
        self.there = (own.outside_address, 500)
        text = own.config(tunnel_keys=ESP + keys if keys else "").replace("\n);\npolicies", "".join(map(",\n  {}".format, tunnels)) + "\n);\npolicies")
        own.daemon = Daemon(own.namespace.name, text, f"gw-{side}", None, {**self.files, **(files or {})})
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
        asked = onertt.parse_header(message)
        self.socket.sendto(message, self.there)
        with contextlib.suppress(TimeoutError):
            while True:
                answer = self.socket.recv(65535)
                head = onertt.parse_header(answer)
                if head.flags & onertt.RESPONSE and (head.spi_i, head.exchange, head.message_id) == (
                    asked.spi_i, asked.exchange, asked.message_id
                ):
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

    @staticmethod
    def unless_fewer(gateway, name, before, count):
        """The statistics once so many more were counted; else None."""
        after = gateway.rpc.call("ike.stats")
        return after if after["onertt_" + name] - before["onertt_" + name] >= count else None

    def counter(self, gateway, name):
        return gateway.rpc.call("ike.stats")["onertt_" + name]


class Member:
    """One of a crowd of tunnels of one gateway: a combination of mode, key source and delivery, and our end of it."""

    def __init__(self, case, side, number, combination):
        self.mode, self.source, self.delivery = combination
        self.number, self.side = number, side
        self.name = f"{self.mode} {self.source} {self.delivery}"
        self.tunnel = f"m{number}"
        self.key = X25519PrivateKey.generate()
        begins = side == "b"  # we do
        own, other = (1, 2) if begins else (2, 1)
        self.settings = case.settings(
            "initiator" if begins else "responder", self.mode, source=SOURCES[self.source], delivery=DELIVERIES[self.delivery]
        )
        if self.settings.static is not None:
            self.settings.static = self.key
        self.settings.local, self.settings.remote_prefix = f"10.{own}.{number + 1}.0/24", f"10.{other}.{number + 1}.0/24"
        if begins:
            self.settings.remote_id = None
            if self.mode != "key":
                self.settings.local_id = f"member{number}"
        self.peer = self.session = self.child = None

    def keys(self, gateway, more):
        """The tunnel of the gateway's."""
        text = onertt_keys(f'key_source = "{self.source}"; key_delivery = "{self.delivery}"; {more}', self.mode)[self.side]
        # The names tell the peers of one address apart, where keys alone do not.
        text = text.replace("/a.pub" if self.side == "b" else "/b.pub", f"/m{self.number}.pub")
        text = text.replace('remote_id = "depot"', f'remote_id = "member{self.number}"').replace('remote_id = "head"', f'remote_id = "member{self.number}"')
        prefixes = f'local = [ "{self.settings.remote_prefix}" ]; remote = [ "{self.settings.local}" ]; '
        return (
            f'{{ name = "{self.tunnel}"; local_address = "{gateway.outside_address}"; remote_address = "{gateway.peer_address}"; '
            f"{ESP}{text}{prefixes}}}"
        )


class Crowd:
    """A gateway with a tunnel for each combination, and all of our ends behind one socket."""

    def __init__(self, case, side, more=""):
        self.case, self.side = case, side
        self.members = [Member(case, side, number, one) for number, one in enumerate(itertools.product(NO_ID, SOURCES, DELIVERIES))]
        gateway = case.lab.gw_a if side == "a" else case.lab.gw_b
        self.tunnels = [member.keys(gateway, more) for member in self.members]
        self.files = {f"m{member.number}.pub": public_pem(member.key) for member in self.members}
        self.sessions = {}  # by SPIi

    def gateway(self):
        return self.case.gateway(self.side, "", self.tunnels, self.files)

    def begin(self):
        """Sets all sessions up, whoever begins them."""
        self.case.socket.settimeout(0.5)
        if self.side == "b":
            for member in self.members:
                member.peer, _, _, (member.session, member.child) = self.case.begin(member.settings)
                self.sessions[member.session.spi_i] = member.session
                # The registration secret is proved by one more message.
                member.session.open(self.case.ask(member.session.seal(onertt.INFORMATIONAL, 1, [])))
        else:
            self.serve(lambda: all(member.session for member in self.members))

    def _answer_1(self, message):
        head = onertt.parse_header(message)
        identifier = onertt.noise_body(message, False)[1]
        member = next(one for one in self.members if onertt.key_id(raw_public(one.key)) == identifier)
        if member.session:  # one that has ended, and is begun anew
            return
        member.peer = onertt.Responder(member.settings)
        member.peer.read_1(message)
        answer, member.session, member.child = member.peer.message_2()
        self.sessions[head.spi_i] = member.session
        self.case.socket.sendto(answer, self.case.there)

    def serve(self, until, timeout=20.0):
        """Answers what the gateway asks until it asks nothing and until() is true."""
        deadline = time.monotonic() + timeout
        self.case.socket.settimeout(0.05)
        while True:
            try:
                message = self.case.socket.recv(65535)
            except TimeoutError:
                if until():
                    return
                if time.monotonic() > deadline:
                    raise
                continue
            head = onertt.parse_header(message)
            session = self.sessions.get(head.spi_i)
            if head.exchange == onertt.ONERTT and not head.flags & onertt.RESPONSE:
                self._answer_1(message)
            elif session and not head.flags & onertt.RESPONSE:
                session.open(message)
                answer = session.seal(head.exchange, head.message_id, [], response=True)
                self.case.socket.sendto(answer, self.case.there)

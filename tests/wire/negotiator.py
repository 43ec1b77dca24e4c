# SPDX-License-Identifier: BSD-3-Clause
"""Follows two gateways that negotiate their keys: which keys there are, and how often they were replaced."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lab import wait_until
from rpc import Rpc

PSK = "a pre-shared key of tests and demo only"


def psk_keys(common="", **sides):
    """Keys of both gateways' tunnel, and the file they name: {"a": ..., "b": ...}. Both want the tunnel up from the start."""
    return {side: f'psk_file = "@DIR@/peer.psk"; {common}{sides.get(side, "")}' for side in ("a", "b")}


FILES = {"peer.psk": PSK}


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def key_files():
    """A static key of each gateway, its public half, and a registration secret."""
    files = {"registration": "0x" + "5a" * 32}
    for side in ("a", "b"):
        key = X25519PrivateKey.generate()
        files[f"{side}.key"], files[f"{side}.pub"] = key_pem(key), public_pem(key)
    return files


def onertt_keys(common="", mode="key", a="", b=""):
    """a begins; b has the others' keys too, where the mode has them."""
    both = f'negotiation = "onertt"; authentication = "{mode}"; retransmit_ms = 100; {common}'
    if mode == "secret":
        both += 'psk_file = "@DIR@/registration"; '
        own = {"a": 'remote_key_file = "@DIR@/b.pub"; ', "b": 'key_file = "@DIR@/b.key"; '}
    else:
        own = {
            "a": 'key_file = "@DIR@/a.key"; remote_key_file = "@DIR@/b.pub"; ',
            "b": 'key_file = "@DIR@/b.key"; remote_key_file = "@DIR@/a.pub"; ',
        }
    names = {"a": 'local_id = "depot"; remote_id = "head"; ', "b": 'local_id = "head"; remote_id = "depot"; '}
    return {
        "a": both + own["a"] + names["a"] + a,
        "b": both + own["b"] + names["b"] + 'start = "respond"; ' + b,
    }


class Negotiator:
    """Call look() now and then: the daemons drop events that wait for too long."""

    def __init__(self, lab):
        self.gateways = {"a": lab.gw_a, "b": lab.gw_b}
        self.events = {}
        self.keys = {side: set() for side in self.gateways}  # inbound SPIs
        self.switches = {side: 0 for side in self.gateways}
        self.lost_events = 0
        for side, gateway in self.gateways.items():
            self.events[side] = Rpc(gateway.daemon.socket_path)
            self.events[side].subscribe()

    def close(self):
        for connection in self.events.values():
            connection.close()

    def tunnel(self, side):
        name = self.gateways[side].tunnel
        return next(one for one in self.gateways[side].rpc.call("tunnel.list")["tunnels"] if one["name"] == name)

    def wait_up(self, timeout=30.0):
        for side in self.gateways:
            wait_until(lambda: self.tunnel(side)["established"], f"tunnel of gw-{side} is up", timeout)
        for side in self.gateways:
            self.keys[side] |= set(self.tunnel(side)["inbound_spis"])

    def look(self):
        """Takes the events that there are."""
        for side, connection in self.events.items():
            for event in connection.past_events():
                kind = event["event"]
                if kind == "child_installed":
                    self.keys[side].add(event["spi_in"])
                elif kind == "child_switched":
                    self.switches[side] += 1
                elif kind == "events_lost":
                    self.lost_events += event.get("count", 1)

    @property
    def rollovers(self):
        """How often gateway a took another key to send with."""
        return self.switches["a"]

    @property
    def used_spis(self):
        return set().union(*self.keys.values())

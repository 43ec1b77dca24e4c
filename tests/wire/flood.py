# SPDX-License-Identifier: BSD-3-Clause
"""Floods gateways of the lab with first messages from forged addresses (flood.c), and counts where they end."""

import json
import os
import subprocess

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import onertt
from daemon import default_build_dir

NETWORK = "198.18.0.0/15"  # of the forged addresses
NOBODY = "192.0.2.250", "02:00:00:00:00:fa"  # the way there
# Message 1 from everywhere; with the address of the peer, where each one that is let through costs the most; and messages of
# sessions that are not there.
KINDS = ("first", "peer", "session")
REASONS = ("punt_ike_first_rate", "punt_ike_rate", "punt_full")


def message_for(public_pem):
    """A message 1 that names the gateway's key and is as long as a real one."""
    remote = serialization.load_pem_public_key(public_pem.encode())
    public = remote.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return onertt.Initiator(onertt.Settings(static=X25519PrivateKey.generate(), remote=public)).message_1()


class Flood:
    """One sender for each gateway, at the other end of the link, for as long as the context lasts."""

    def __init__(self, lab, files, rate, kind="first", sides=("a", "b"), port=500, build_dir=None):
        self.lab, self.rate, self.kind, self.port = lab, rate, kind, port
        self.program = os.path.join(build_dir or default_build_dir(), "tests", "wire", "flood")
        self.gateways = [gateway for gateway in lab.gateways if gateway.side in sides]
        self.messages = {gateway.side: message_for(files[f"{gateway.side}.pub"]).hex() for gateway in self.gateways}
        self.processes, self.results = {}, {}

    def __enter__(self):
        for gateway in self.lab.gateways:
            # Answers leave the gateway, as they would any that has a default route.
            gateway.namespace.ip("neighbour", "replace", NOBODY[0], "lladdr", NOBODY[1], "dev", "outside", "nud", "permanent")
            gateway.namespace.ip("route", "replace", NETWORK, "via", NOBODY[0])
        self.before = {gateway.side: self._look(gateway) for gateway in self.lab.gateways}
        for gateway in self.gateways:
            other = self._other(gateway)
            macs = [self._mac(one) for one in (other, gateway)]
            sources = f"{gateway.peer_address}/32" if self.kind == "peer" else NETWORK
            command = [self.program, "out0", *macs, sources, gateway.outside_address, self.port, self.rate, 0,
                       "known" if self.kind == "session" else "unknown", self.messages[gateway.side]]
            self.processes[gateway.side] = subprocess.Popen(
                other.namespace.command(*map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
            process.communicate()

    def _other(self, gateway):
        return self.lab.gw_b if gateway is self.lab.gw_a else self.lab.gw_a

    @staticmethod
    def _mac(gateway):
        return json.loads(gateway.namespace.ip("-j", "link", "show", "out0").stdout)[0]["address"]

    @staticmethod
    def _look(gateway):
        ports = {port["name"]: port for port in gateway.rpc.call("port.list")["ports"]}
        drops = gateway.drops()
        stats = gateway.rpc.call("ike.stats")
        return {
            "arrived": ports["outside"]["rx_packets"], "left": ports["outside"]["tx_packets"],
            **{reason: drops.get(reason, 0) for reason in REASONS},
            **{name: stats["onertt_" + name] for name in ("asked", "cookies_sent", "unauthentic")}, "unexpected": stats["unexpected"],
        }

    def stop(self):
        """What was sent to each gateway, and what became of it there: {side: {...}}."""
        for process in self.processes.values():
            process.terminate()
        for gateway in self.gateways:
            output, _ = self.processes[gateway.side].communicate(timeout=30)
            self.results[gateway.side] = json.loads(output)
        # What arrived is counted behind what was sent.
        grown = {}
        for gateway in self.lab.gateways:
            after, before = self._look(gateway), self.before[gateway.side]
            grown[gateway.side] = {name: after[name] - before[name] for name in after}
        for gateway in self.gateways:
            result = self.results[gateway.side]
            result.update(grown[gateway.side])
            result["missed"] = max(0, result["sent"] + grown[self._other(gateway).side]["left"] - result["arrived"])
        return self.results

    def rows(self):
        """For the table of rollover.py."""
        rows = []
        for side, result in self.results.items():
            rows.append((f"flood of gw-{side}: sent", f"{result['sent']}", f"{result['sent'] / result['seconds']:.0f} per second"))
            rows.append((f"flood of gw-{side}: packets that arrived", f"{result['arrived']}", f"{result['missed']} of all did not"))
            dropped = sum(result[reason] for reason in REASONS)
            rows.append((f"flood of gw-{side}: dropped by class", f"{dropped}", ", ".join(f"{reason} {result[reason]}" for reason in REASONS if result[reason])))
            rows.append((f"flood of gw-{side}: looked at", f"{result['asked']}", f"{result['cookies_sent']} answered by a cookie, {result['unauthentic']} opened in vain, {result['unexpected']} of no session"))
        return rows

# SPDX-License-Identifier: BSD-3-Clause
"""A small controller: gives both gateways of the lab fresh keys and rolls them over (docs/control-protocol.md)."""

import os
import random
import time

from rpc import Rpc

KEY_BYTES = {"aes128gcm16": 20, "aes256gcm16": 36}


class Controller:
    """Keeps one SA pair per worker in workers. pairs[(side, worker)] is the SA on which that side's worker sends:
    its outbound SA, and the inbound SA of the other side."""

    def __init__(self, lab, suite="aes256gcm16", esn=True, workers=(0,), window=None):
        self.gateways = {"a": lab.gw_a, "b": lab.gw_b}
        self.suite, self.esn, self.workers, self.window = suite, esn, workers, window
        # Subscribed connections of their own: answers to calls do not wait behind events.
        self.events = {}
        for side, gateway in self.gateways.items():
            self.events[side] = Rpc(gateway.daemon.socket_path)
            self.events[side].subscribe()
        self.pairs = {}
        self.used_spis = set()
        self.rollovers = 0

    def close(self):
        for connection in self.events.values():
            connection.close()

    def _new_pairs(self):
        return {(side, worker): self._sa() for side in self.gateways for worker in self.workers}

    def _sa(self):
        while True:
            spi = int.from_bytes(os.urandom(4), "big")
            if spi >= 256 and spi not in self.used_spis:
                break
        self.used_spis.add(spi)
        return {"spi": spi, "suite": self.suite, "key": os.urandom(KEY_BYTES[self.suite]).hex(), "esn": self.esn}

    def _call(self, side, method, objects, **other):
        tunnel = self.gateways[side].tunnel
        sas = [{"tunnel": tunnel, **one} for one in objects]
        return self.gateways[side].rpc.call(method, {"sas": sas, **other})

    def _add_inbound(self, side, pairs):
        """What the other side will send on."""
        extra = {"replay_window": self.window} if self.window else {}
        self._call(
            side,
            "sa.add",
            [
                {**pair, "direction": "in", "worker": worker, **extra}
                for (sender, worker), pair in pairs.items()
                if sender != side
            ],
        )

    def _switch_outbound(self, side, pairs):
        new = [
            {**pair, "direction": "out", "worker": worker, "activate": True}
            for (sender, worker), pair in pairs.items()
            if sender == side
        ]
        self._call(side, "sa.add", new)

    def _drain_inbound(self, side, pairs, drain_ms):
        old = [{"spi": pair["spi"], "direction": "in"} for (sender, _), pair in pairs.items() if sender != side]
        self._call(side, "sa.drain", old, drain_ms=drain_ms)

    def _delete_outbound(self, side, pairs):
        old = [{"spi": pair["spi"], "direction": "out"} for (sender, _), pair in pairs.items() if sender == side]
        self._call(side, "sa.delete", old)

    def install(self):
        """The first keys."""
        pairs = self._new_pairs()
        for side in self.gateways:
            self._add_inbound(side, pairs)
        for side in self.gateways:
            self._switch_outbound(side, pairs)
        self.pairs = pairs

    def wait_first_use(self, side, pairs, timeout=30.0):
        for (sender, _), pair in pairs.items():
            if sender != side:
                self._wait_first_use(side, pair["spi"], time.monotonic() + timeout)

    def _wait_first_use(self, side, spi, deadline):
        """By the event, or, should that be lost among very many others, by the SA's state."""
        while True:
            try:
                self.events[side].wait_event("sa_first_use", 2.0, spi=spi)
                return
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
            sas = self.gateways[side].rpc.call("sa.list", {"tunnel": self.gateways[side].tunnel})["sas"]
            if any(sa["spi"] == spi and sa["direction"] == "in" and sa["packets"] for sa in sas):
                return

    def rollover(self, drain_ms=1000):
        """The careful way: inbound at both, outbound at both, proof that both are in use, then the old ones go."""
        old, new = self.pairs, self._new_pairs()
        for side in self.gateways:
            self._add_inbound(side, new)
        for side in self.gateways:
            self._switch_outbound(side, new)
        for side in self.gateways:
            self.wait_first_use(side, new)
        for side in self.gateways:
            self._drain_inbound(side, old, drain_ms)
        for side in self.gateways:
            self._delete_outbound(side, old)
        self.pairs = new
        self.rollovers += 1

    def rollover_apart(self, window_s, margin_ms, chance):
        """Each end switches at a moment of its own within window_s of the other, and at once drains and deletes its old SAs:
        the end that switched first must decrypt with the old key as long as the other one still uses it."""
        old, new = self.pairs, self._new_pairs()
        sides = list(self.gateways)
        chance.shuffle(sides)
        for side in sides:
            self._add_inbound(side, new)
        start = time.monotonic()
        moments = sorted((chance.uniform(0, window_s), side) for side in sides)
        for moment, side in moments:
            time.sleep(max(0.0, start + moment - time.monotonic()))
            self._switch_outbound(side, new)
            self._drain_inbound(side, old, int(window_s * 1000) + margin_ms)
            self._delete_outbound(side, old)
        self.pairs = new
        self.rollovers += 1
        return moments[1][0] - moments[0][0]

    def settled(self):
        """True when only the current SAs are left: all drained ones are gone."""
        for side, gateway in self.gateways.items():
            expected = {(pair["spi"], "out" if sender == side else "in") for (sender, _), pair in self.pairs.items()}
            sas = gateway.rpc.call("sa.list")["sas"]
            if {(sa["spi"], sa["direction"]) for sa in sas} != expected:
                return False
        return True


def seeded():
    """Randomness that a failed run can be repeated with: (seed, random.Random)."""
    seed = int(os.environ.get("TANDEM_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    return seed, random.Random(seed)

# SPDX-License-Identifier: BSD-3-Clause
"""As many SAs as a large gateway has, through the control socket, beside a tunnel that must not notice."""

import os
import re
import time
import unittest

from lab import SLOW, wait_until
from rpc import Rpc
from scenario import Scenario
from test_rollover import TwoGateways

TUNNELS = 500 if SLOW else 5000
PAIRS = 10  # SAs of each direction that a tunnel has
BULK = 10000
UDP_RATE = 300  # the control thread shares two cores with everything that makes and counts this traffic
SUITE, KEY_BYTES = "aes128gcm16", 20


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s*(\d+)", status.read()).group(1)) >> 10


class ManySas(TwoGateways):
    seconds = 20

    def setUp(self):
        super().setUp()
        self.started = time.monotonic()

    def tell(self, what):
        """Numbers for the reader of the output; nothing is asserted about them."""
        now = time.monotonic()
        daemon = self.lab.gw_a.daemon
        print(f"# {what}: {now - self.started:.1f} s, {resident_mb(daemon.pid)} MB resident", flush=True)
        self.started = now

    def bulk(self, method, sas, **other):
        for start in range(0, len(sas), BULK):
            part = sas[start : start + BULK]
            self.assertEqual(list(self.rpc.call(method, {"sas": part, **other}).values()), [len(part)])

    @staticmethod
    def new_sas():
        """By direction and pair, so that a part of a list names each tunnel once."""
        keys = os.urandom(2 * TUNNELS * PAIRS * KEY_BYTES).hex()
        digits = 2 * KEY_BYTES
        return [
            {
                "spi": 0x10000000 + number, "direction": "in" if number < TUNNELS * PAIRS else "out",
                "tunnel": f"m{number % TUNNELS}", "suite": SUITE, "key": keys[number * digits : (number + 1) * digits],
            }
            for number in range(2 * TUNNELS * PAIRS)
        ]

    def test_coming_and_going_beside_traffic(self):
        self.start(more_tunnels=TUNNELS)
        self.rpc = Rpc(self.lab.gw_a.daemon.socket_path, timeout=120)
        self.addCleanup(self.rpc.close)
        sas = self.new_sas()
        names = [{key: sa[key] for key in ("spi", "direction", "tunnel")} for sa in sas]
        inbound, outbound = names[: len(names) // 2], names[len(names) // 2 :]
        with Scenario(self.lab, udp_rate=UDP_RATE, tcp_rate=0) as traffic:
            traffic.wait_packets(100)
            self.tell("started")
            self.bulk("sa.add", sas)
            self.tell(f"{len(sas)} SAs added")
            for first in range(0, len(outbound), TUNNELS):
                self.bulk("sa.switch", outbound[first : first + TUNNELS])
            self.tell(f"{len(outbound)} outbound SAs switched to")
            rows = self.rpc.call("sa.list")["sas"]
            self.assertEqual(len(rows), len(sas) + 2)
            self.assertEqual(sum(row["current"] for row in rows if row["tunnel"] in ("m0", "m1")), 2)
            self.tell("listed")
            # The tunnel that carries traffic changes its keys in between.
            self.controller.rollover(drain_ms=300)
            self.bulk("sa.drain", inbound, drain_ms=1)
            wait_until(lambda: not self.inbound_of("m0", f"m{TUNNELS - 1}"), "drained SAs go")
            self.tell(f"{len(inbound)} inbound SAs drained")
            self.bulk("sa.delete", outbound, force=True)
            self.tell(f"{len(outbound)} outbound SAs deleted")
            traffic.wait_packets(100)
            self.assert_clean(traffic)
        wait_until(self.controller.settled, "only the tunnel's own SAs are left")
        self.stop()

    def inbound_of(self, *tunnels):
        rows = [row for tunnel in tunnels for row in self.rpc.call("sa.list", {"tunnel": tunnel})["sas"]]
        return [row for row in rows if row["direction"] == "in"]


if __name__ == "__main__":
    unittest.main()

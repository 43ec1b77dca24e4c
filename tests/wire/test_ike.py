# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways that negotiate their keys by IKEv2, traffic between two hosts."""

import unittest

from lab import Lab, wait_until
from scenario import Scenario

PSK = "a pre-shared key of the tests only"


def psk_keys(more_a="", more_b=""):
    """Tunnel keys of both gateways: one secret, gateway a starts."""
    common = 'psk_file = "@DIR@/peer.psk"; retransmit_ms = 100; '
    return {"a": common + 'start = "boot"; ' + more_a, "b": common + 'start = "respond"; ' + more_b}


class Negotiated(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)

    def start(self, keys, **config):
        self.lab.start_daemons(keys=keys, files={"peer.psk": PSK}, **config)
        for gateway in self.lab.gateways:
            self.wait_up(gateway)
        self.lab.wait_path()

    @staticmethod
    def tunnel(gateway):
        return next(one for one in gateway.rpc.call("tunnel.list")["tunnels"] if one["name"] == gateway.tunnel)

    def wait_up(self, gateway):
        try:
            wait_until(lambda: self.tunnel(gateway)["established"], f"tunnel of gw-{gateway.side}")
        except TimeoutError:
            self.fail(self.lab.diagnosis())

    def assert_clean(self, scenario):
        scenario.finish()
        faults = scenario.faults()
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))

    def spis(self, gateway):
        return set(self.tunnel(gateway)["inbound_spis"])

    def test_psk_and_rekeys_by_one_side(self):
        self.start(psk_keys("rekey_ms = 1000; life_ms = 4000; ", "rekey_ms = 600000; life_ms = 660000; "))
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            seen = set(self.spis(self.lab.gw_a))
            while len(seen) < 6:
                traffic.wait_packets(50)
                seen |= self.spis(self.lab.gw_a)
            self.assert_clean(traffic)
        self.lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

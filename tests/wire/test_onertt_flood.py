# SPDX-License-Identifier: BSD-3-Clause
"""First messages from forged addresses, more than workers give to the kernel: tunnels and their rekeys go on.

scripts/soak.sh flood shows the same at 100,000 messages a second."""

import unittest

from flood import KINDS, Flood
from lab import SLOW
from negotiated import NegotiatedTestCase
from negotiator import key_files, onertt_keys
from scenario import Scenario

RATE = 8000 if SLOW else 20000
FIRST_PER_S = 5000  # TD_PUNT_IKE_FIRST_PER_S


class Flooded(NegotiatedTestCase):
    seconds = 10

    def test_rollovers(self):
        files = key_files()
        self.start(onertt_keys("rekey_ms = 500; life_ms = 4000; session_ms = 2000; "), files)
        for kind in KINDS[:2]:
            with self.subTest(kind), Scenario(self.lab, flooded=True) as traffic, Flood(self.lab, files, RATE, kind) as flood:
                traffic.wait_packets(100)
                self.roll(traffic, 2)
                results = flood.stop()
                self.assert_clean(traffic)
                for result in results.values():
                    self.assertGreater(result["sent"], result["seconds"] * FIRST_PER_S, "more than is let through")
                    self.assertGreater(result["punt_ike_first_rate"], 0)
                    self.assertGreater(result["cookies_sent"], 0)
                    # With an address that a tunnel has, there is a key to open them with.
                    self.assertEqual(result["unauthentic"] > 0, kind == "peer")
        self.negotiator.close()
        self.lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

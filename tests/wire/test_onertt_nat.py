# SPDX-License-Identifier: BSD-3-Clause
"""The one-round-trip exchange with a NAT before the gateway that begins."""

import unittest

from lab import NatLab, wait_until
from negotiated import NegotiatedTestCase
from negotiator import key_files, onertt_keys
from scenario import Scenario


class BehindNat(NegotiatedTestCase):
    seconds = 10
    lab_type = NatLab

    def roll_behind_nat(self, keys):
        self.start(keys, key_files())
        a, b = self.lab.gw_a, self.lab.gw_b

        def renewed():
            self.negotiator.look()
            return b.rpc.call("ike.stats")["onertt_renewed"] >= 1

        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.roll(traffic, 1)
            wait_until(renewed, "the session goes on in another one")
            self.roll(traffic, 1)
            self.assert_clean(traffic)
        sas = [gateway.rpc.call("ike.list")["ike_sas"][-1] for gateway in (a, b)]
        for sa, where in zip(sas, ("nat_local", "nat_remote")):
            self.assertEqual((sa["negotiation"], sa["local_port"], sa[where]), ("onertt", 4500, True))
        self.assertEqual(sas[0]["remote_port"], 4500)
        self.assertIn(sas[1]["remote_port"], range(20000, 30000))

    def finish(self):
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_session(self):
        self.roll_behind_nat(onertt_keys("rekey_ms = 600; life_ms = 4000; ", a="session_ms = 1500; "))
        self.finish()

    def test_early_data(self):
        """It goes before the answer could tell of the NAT, and its own answers come back."""
        early = 'key_source = "initiator"; early_data = true; encapsulate = true; drain_ms = 100; '
        self.roll_behind_nat(onertt_keys(f"rekey_ms = 600; life_ms = 4000; {early}", a="session_ms = 1500; "))
        a, b = self.lab.gw_a, self.lab.gw_b
        a.rpc.call("tunnel.down", {"tunnel": a.tunnel})
        wait_until(lambda: not any(gateway.rpc.call("sa.list")["sas"] for gateway in (a, b)), "the keys are gone")
        answered = a.rpc.call("ike.stats")["onertt_answered"]
        # IKE in UDP at port 4500 begins with four zeros (RFC 3948 2.2).
        chain = "add chain ip lose forward { type filter hook forward priority 0; }; "
        self.lab.nat.run("nft", f'add table ip lose; {chain}add rule ip lose forward iif "out0" udp sport 4500 @th,64,32 0 drop')
        a.rpc.call("tunnel.up", {"tunnel": a.tunnel})
        self.lab.wait_path()
        self.assertEqual(a.rpc.call("ike.stats")["onertt_answered"], answered)
        self.lab.nat.run("nft", "delete table ip lose")
        wait_until(lambda: a.rpc.call("ike.stats")["onertt_answered"] == answered + 1, "the answer comes")
        self.lab.wait_path()
        self.finish()


if __name__ == "__main__":
    unittest.main()

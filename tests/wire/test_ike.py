# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways that negotiate their keys by IKEv2, traffic between two hosts."""

import unittest

from lab import SLOW, wait_until
from negotiated import NegotiatedTestCase
from negotiator import FILES, Negotiator, psk_keys
from scenario import Scenario

ROLLOVERS = 5 if SLOW else 10


class Negotiated(NegotiatedTestCase):
    seconds = 50

    def check_rollovers(self, keys, **config):
        self.start(keys, **config)
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.roll(traffic, ROLLOVERS)
            self.assert_clean(traffic)
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_one_side_rekeys(self):
        slow = "rekey_ms = 600000; life_ms = 660000; "
        self.check_rollovers(psk_keys("retransmit_ms = 100; ", a="rekey_ms = 500; life_ms = 4000; ", b=f'start = "respond"; {slow}'))

    def test_both_sides_start_and_rekey(self):
        self.check_rollovers(psk_keys("retransmit_ms = 100; rekey_ms = 500; life_ms = 4000; "))

    def test_perfect_forward_secrecy(self):
        self.check_rollovers(psk_keys('retransmit_ms = 100; rekey_ms = 500; life_ms = 4000; esp = [ "aes256gcm16-x25519" ]; '))

    def test_ike_sa_is_rekeyed(self):
        self.check_rollovers(psk_keys("retransmit_ms = 100; rekey_ms = 700; life_ms = 4000; ike_rekey_ms = 1000; "))

    def test_udp_encapsulation(self):
        self.check_rollovers(psk_keys("retransmit_ms = 100; rekey_ms = 500; life_ms = 4000; encapsulate = true; "))

    def test_a_child_for_each_worker(self):
        self.check_rollovers(
            psk_keys("retransmit_ms = 100; rekey_ms = 700; life_ms = 5000; per_worker = true; "), workers=2, queue_pairs=2
        )

    def test_lost_messages(self):
        self.start(psk_keys("retransmit_ms = 100; rekey_ms = 500; life_ms = 4000; "), device_keys=",qdisc_bypass=0")
        self.lab.lose_ike(20)
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.roll(traffic, ROLLOVERS)
            wait_until(self.lab.lost_ike, "a message is lost")
            self.assert_clean(traffic)
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_first_packet_brings_the_tunnel_up(self):
        keys = psk_keys("retransmit_ms = 100; ", a='start = "trap"; ', b='start = "respond"; ')
        self.lab.start_daemons(keys=keys, files=FILES)
        self.negotiator = Negotiator(self.lab)
        self.addCleanup(self.negotiator.close)
        self.assertFalse(self.negotiator.tunnel("a")["established"])
        self.lab.wait_path()
        self.negotiator.wait_up()
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_peer_takes_part_of_the_traffic(self):
        """RFC 7296 2.9: what it did not take is not sent into its SAs."""
        self.lab.gw_b.local = "10.2.0.0/25"
        self.start(psk_keys("retransmit_ms = 100; rekey_ms = 500; life_ms = 4000; ", b='start = "respond"; '))
        a = self.lab.gw_a
        self.assertNotIn("policy_narrowed", a.drops())
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.lab.host_a.run("ping", "-nc3", "-i0.05", "-W0.1", "10.2.0.200", check=False)
            self.roll(traffic, 3)
            self.lab.host_a.run("ping", "-nc2", "-i0.05", "-W0.1", "10.2.0.200", check=False)
            self.assertEqual(a.drops().get("policy_narrowed"), 5)
            self.assert_clean(traffic)
        self.assertNotIn("policy_selector", self.lab.gw_b.drops())
        self.assertIn("the peer agrees to part of its traffic only", a.daemon.stderr())
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_limit_of_packets_without_an_answer(self):
        """A child of which either SA may be the first at its limit ends there, and takes both SAs out of the SAD."""
        keys = psk_keys("retransmit_ms = 100; rekey_packets = 40; life_packets = 50; ", b='start = "respond"; ')
        self.start(keys, device_keys=",qdisc_bypass=0")
        self.lab.lose_ike(100)
        self.lab.host_a.run("ping", "-nqc100", "-i0.005", "-W0.1", "10.2.0.2", check=False)
        wait_until(lambda: not self.negotiator.tunnel("a")["established"], "the limit ends the child")
        for gateway in self.lab.gateways:
            wait_until(lambda: all(sa["direction"] == "in" for sa in gateway.rpc.call("sa.list")["sas"]), "nothing sends")
        self.assertIn("esp_no_sa", self.lab.gw_a.drops())
        self.negotiator.close()
        self.lab.stop_daemons()

    def test_killed_and_started_again(self):
        self.start(psk_keys("retransmit_ms = 100; "))
        killed = self.lab.gw_b.daemon
        killed.process.kill()
        killed.process.wait()
        killed.close_rpc()
        killed.start().wait_ready()
        wait_until(lambda: self.negotiator.tunnel("b")["established"], "the tunnel comes back")
        self.lab.wait_path()
        self.negotiator.close()
        self.lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

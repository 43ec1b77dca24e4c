# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways that negotiate in one round trip: every mode, key source and delivery."""

import itertools
import unittest

from lab import wait_until
from negotiated import NegotiatedTestCase
from negotiator import key_files, onertt_keys
from scenario import Scenario

MODES = ("key", "id", "secret")
SOURCES = ("contributory", "initiator")
DELIVERIES = ("derived", "wrapped")


def counters(gateway):
    stats = gateway.rpc.call("ike.stats")
    return {name.removeprefix("onertt_"): value for name, value in stats.items() if name.startswith("onertt_")}


class OneRoundTrip(NegotiatedTestCase):
    seconds = 120

    def begin(self, keys, **config):
        self.start(keys, key_files(), **config)

    def finish(self):
        self.negotiator.close()
        self.lab.stop_daemons()

    def roll_and_finish(self, count):
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.roll(traffic, count)
            self.assert_clean(traffic)
        self.finish()

    def test_every_combination(self):
        life = "rekey_ms = 500; life_ms = 4000; "
        for mode, source, delivery in itertools.product(MODES, SOURCES, DELIVERIES):
            with self.subTest(mode=mode, source=source, delivery=delivery):
                self.begin(onertt_keys(f'{life}key_source = "{source}"; key_delivery = "{delivery}"; ', mode))
                self.assertEqual(counters(self.lab.gw_b)["accepted"], 1)
                self.assertEqual(counters(self.lab.gw_a)["answered"], 1)
                listed = self.lab.gw_a.rpc.call("ike.list")["ike_sas"]
                self.assertEqual([one["negotiation"] for one in listed], ["onertt"])
                self.roll_and_finish(3)

    def test_early_data(self):
        self.begin(onertt_keys('key_source = "initiator"; early_data = true; rekey_ms = 500; life_ms = 4000; '))
        self.roll_and_finish(3)

    def test_sessions_end_and_go_on(self):
        keys = onertt_keys("rekey_ms = 900; life_ms = 4000; session_ms = 1500; ")
        self.begin(keys)
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            wait_until(lambda: counters(self.lab.gw_b)["renewed"] >= 3, "sessions go on in new ones")
            self.negotiator.look()
            self.assert_clean(traffic)
        self.assertGreaterEqual(counters(self.lab.gw_a)["renewed"], 3)
        self.finish()

    def test_the_responder_ends_a_session(self):
        """It alone knows a validity, and says so: KEY_EXPIRED."""
        self.begin(onertt_keys(b="session_ms = 1000; "))
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            wait_until(lambda: counters(self.lab.gw_b)["renewed"] >= 1, "the session goes on in a new one")
            self.negotiator.look()
            self.assert_clean(traffic)
        self.assertEqual(counters(self.lab.gw_a)["answered"], counters(self.lab.gw_a)["renewed"] + 1)
        self.finish()

    def test_lost_messages(self):
        self.begin(onertt_keys("rekey_ms = 500; life_ms = 4000; session_ms = 2000; "), device_keys=",qdisc_bypass=0")
        self.lab.lose_ike(20)
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            self.roll(traffic, 8)
            wait_until(self.lab.lost_ike, "a message is lost")
            self.assert_clean(traffic)
        self.finish()

    def test_killed_and_started_again(self):
        """What was accepted is on disk: the next first message is later, by the responder's clock if need be."""
        for side in ("b", "a"):
            with self.subTest(killed=side):
                self.begin(onertt_keys("liveness_ms = 500; "))
                gateway = self.lab.gw_b if side == "b" else self.lab.gw_a
                killed = gateway.daemon
                killed.process.kill()
                killed.process.wait()
                killed.close_rpc()
                killed.start().wait_ready()
                wait_until(lambda: self.negotiator.tunnel(side)["established"], "the tunnel comes back")
                self.lab.wait_path()
                self.finish()

    def test_neither_falls_back(self):
        onertt = onertt_keys()
        other = 'psk_file = "@DIR@/registration"; retransmit_ms = 100; local_id = "{}"; remote_id = "{}"; '
        for keys in (
            {"a": onertt["a"], "b": other.format("head", "depot") + 'start = "respond"; '},
            {"a": other.format("depot", "head"), "b": onertt["b"]},
        ):
            self.lab.start_daemons(keys=keys, files=key_files())
            gateway = self.lab.gw_a
            wait_until(
                lambda gw=gateway: gw.rpc.call("tunnel.list")["tunnels"][0].get("last_error"), "the initiator is refused or unheard"
            )
            for gateway in (self.lab.gw_a, self.lab.gw_b):
                self.assertEqual(gateway.rpc.call("ike.stats")["established"], 0)
                self.assertFalse(gateway.rpc.call("tunnel.list")["tunnels"][0]["established"])
            self.lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

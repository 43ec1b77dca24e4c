# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways, traffic between two hosts: what key changes, several workers and the gateways' own packets do to it."""

import unittest

from controller import Controller, seeded
from lab import SLOW, Lab, wait_until
from scenario import Scenario

ROLLOVERS = 6 if SLOW else 12


class TwoGateways(unittest.TestCase):
    """Base: each test has a lab of its own, because a gateway's drop counters start at zero then."""

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)

    def start(self, suite="aes256gcm16", esn=True, sa_workers=(0,), window=None, **config):
        self.lab.start_daemons(**config)
        self.controller = Controller(self.lab, suite=suite, esn=esn, workers=sa_workers, window=window)
        self.addCleanup(self.controller.close)
        self.controller.install()
        self.lab.wait_path()

    def assert_clean(self, scenario):
        scenario.finish()
        faults = scenario.faults()
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))

    def stop(self):
        self.controller.close()
        self.lab.stop_daemons()

    def workers(self, key):
        """A counter of the workers of both gateways: [[gw-a worker 0, ...], [gw-b worker 0, ...]]."""
        return [[worker[key] for worker in gateway.rpc.call("worker.list")["workers"]] for gateway in self.lab.gateways]


class Rollover(TwoGateways):
    seconds = 20

    def test_both_ends_switch_together(self):
        self.start(suite="aes128gcm16", esn=False)
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            for _ in range(ROLLOVERS):
                self.controller.rollover(drain_ms=300)
                traffic.wait_packets(100)
            self.assert_clean(traffic)
        spis = set(traffic.results["middle"]["spis"])
        self.assertEqual(spis, self.controller.used_spis, "every key carried traffic and no unknown one did")
        wait_until(self.controller.settled, "drained SAs are removed")
        self.stop()

    def test_ends_switch_at_random_moments(self):
        seed, chance = seeded()
        window_s = 0.5
        self.start()
        with self.subTest(seed=seed), Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            for _ in range(ROLLOVERS):
                self.controller.rollover_apart(window_s, 500, chance)
                traffic.wait_packets(100)
            self.assert_clean(traffic)
            wait_until(self.controller.settled, "drained SAs are removed")
        self.stop()

    def test_without_outbound_sa_nothing_leaves_in_plaintext(self):
        self.start()
        with Scenario(self.lab, tcp_rate=0, last_packet_s=2.0) as traffic:
            traffic.wait_packets(100)
            for side, gateway in (("a", self.lab.gw_a), ("b", self.lab.gw_b)):
                name = {"spi": self.controller.pairs[(side, 0)]["spi"], "direction": "out", "tunnel": gateway.tunnel}
                gateway.rpc.call("sa.delete", {**name, "force": True})
            wait_until(lambda: all(one.drops().get("esp_no_sa", 0) > 100 for one in self.lab.gateways), "drops")
            # The next keys: traffic flows again, and no packet of the pause was let through.
            self.controller.install()
            traffic.wait_packets(100)
            results = traffic.finish()
        self.assertEqual(results["middle"]["plaintext"], 0, results["middle"]["examples"])
        self.assertEqual(results["middle"]["drops"], 0)
        for gateway, numbers in zip(self.lab.gateways, results["udp"].values()):
            drops = gateway.drops()
            self.assertEqual(numbers["lost"], drops.get("esp_no_sa", 0), f"gw-{gateway.side} drops: {drops}")
        self.stop()


class Workers(TwoGateways):
    def test_sa_of_another_worker(self):
        # net_af_packet has one queue here, polled by worker 0; the SAs belong to worker 1.
        self.start(workers=2, sa_workers=(1,))
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            for _ in range(ROLLOVERS // 3):
                self.controller.rollover(drain_ms=300)
                traffic.wait_packets(100)
            self.assert_clean(traffic)
        for out, into in zip(self.workers("handoff_out"), self.workers("handoff_in")):
            self.assertGreater(out[0], 200, "worker 0 hands packets over")
            self.assertGreater(into[1], 200, "worker 1 takes them")
        for esp_out in self.workers("esp_out_packets"):
            self.assertEqual(esp_out[0], 0, "only the owner seals")
        self.stop()

    def test_sa_pair_per_worker(self):
        # Two queue pairs: the kernel spreads the flows of the hosts over both workers by a hash.
        self.start(workers=2, queue_pairs=2, sa_workers=(0, 1))
        with Scenario(self.lab, flows=32) as traffic:
            traffic.wait_packets(100)
            for _ in range(ROLLOVERS // 3):
                # No wait for the first use: nobody promises that the hash gives each worker a flow at each moment.
                self.controller.rollover_apart(0.1, 500, seeded()[1])
                traffic.wait_packets(200)
            self.assert_clean(traffic)
            wait_until(self.controller.settled, "drained SAs are removed")
        for key in ("esp_out_packets", "esp_in_packets"):
            for counts in self.workers(key):
                self.assertTrue(all(counts), f"{key}: every worker runs its own SA: {counts}")
        self.stop()


class OwnPackets(TwoGateways):
    """Packets of the gateway's own kernel, in and out through the TAPs."""

    def ping(self, namespace, address, source=None, count=5):
        options = ("-I", source) if source else ()
        done = namespace.run("ping", "-n", "-c", str(count), "-i", "0.05", "-w", "20", *options, address, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def middle(self, work):
        """What the middle link saw while work() ran."""
        with Scenario(self.lab, udp_rate=50, tcp_rate=0) as traffic:
            traffic.wait_packets(5)
            work()
            self.assert_clean(traffic)
        return traffic.results["middle"]

    def test_gateway_pings_into_the_tunnel(self):
        self.start()
        a = self.lab.gw_a
        # The kernel needs a route to send at all; policy, not the route, decides that the packet is sealed.
        route = (a.remote, "via", a.peer_address, "dev", "outside", "src", a.inside_address)
        a.namespace.run("ip", "route", "add", *route)
        middle = self.middle(lambda: self.ping(a.namespace, self.lab.host_b.address))
        self.assertEqual(middle["icmp"], 0, "the pings are sealed")
        self.assertGreater(sum(self.workers("injected")[0]), 0)
        self.stop()

    def test_host_pings_the_far_gateway_through_the_tunnel(self):
        self.start()
        gw_b, gw_a = self.lab.gw_b, self.lab.gw_a
        route = (gw_b.remote, "via", gw_b.peer_address, "dev", "outside", "src", gw_b.inside_address)
        gw_b.namespace.run("ip", "route", "add", *route)
        self.middle(lambda: self.ping(self.lab.host_a, gw_b.inside_address))
        self.ping(self.lab.host_a, gw_a.inside_address)
        self.stop()

    def test_gateways_ping_each_other_on_the_link(self):
        self.start()
        gw_a, gw_b = self.lab.gateways
        middle = self.middle(lambda: self.ping(gw_a.namespace, gw_b.outside_address))
        self.assertGreaterEqual(middle["icmp"], 10, "requests and answers, in plaintext as the bypass policy says")
        self.stop()


if __name__ == "__main__":
    unittest.main()

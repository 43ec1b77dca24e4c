# SPDX-License-Identifier: BSD-3-Clause
"""The configuration file, read again while traffic flows."""

import os
import signal
import subprocess
import unittest

from lab import SLOW, Lab, wait_until
from negotiator import FILES, Negotiator, psk_keys
from rpc import Rpc, RpcError
from scenario import Scenario

# One end starts, so that there is one of everything.
KEYS = psk_keys("retransmit_ms = 100; ", b='start = "respond"; ')
MANY = 200 if SLOW else 2000
END = "\n);\npolicies = ("


def ends(gateway):
    return f'local_address = "{gateway.outside_address}"; remote_address = "{gateway.peer_address}"; '


class Reload(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start_daemons(keys=KEYS, files=FILES, drain_ms=200)
        self.negotiator = Negotiator(self.lab)
        self.addCleanup(self.negotiator.close)
        self.negotiator.wait_up()
        self.lab.wait_path()

    def finish(self):
        self.negotiator.close()
        self.lab.stop_daemons()

    # ---- the file --------------------------------------------------------------------------------

    def write(self, gateway, tunnels="", change=lambda text: text, policies=""):
        daemon = gateway.daemon
        text = daemon.config_text.replace(END, f"{tunnels}{END}{policies}")
        with open(daemon.config_path, "w", encoding="utf-8") as file:
            file.write(change(text))

    def tunnel(self, gateway, name, number, keys=""):
        """More of the file: a tunnel between networks that nobody has."""
        own, other = (number, number + 1) if gateway.side == "a" else (number + 1, number)
        start = "boot" if gateway.side == "a" else "respond"
        psk = os.path.join(gateway.daemon.directory, "peer.psk")
        return (
            f',\n  {{ name = "{name}"; {ends(gateway)}psk_file = "{psk}"; retransmit_ms = 100; drain_ms = 200; start = "{start}"; {keys}'
            f'local = [ "10.{own}.0.0/24" ]; remote = [ "10.{other}.0.0/24" ]; }}'
        )

    def other_ids(self, gateway):
        own, other = ("left", "right") if gateway.side == "a" else ("right", "left")
        return f'local_id = "{own}.example"; remote_id = "{other}.example"; '

    def reload(self, gateway):
        """By the tool."""
        program = os.path.join(os.path.dirname(gateway.daemon.program), "tandemctl")
        return subprocess.run(
            [program, "-s", gateway.daemon.socket_path, "reload"], capture_output=True, text=True, check=False
        )

    def reload_both(self, tunnels="", change=lambda text: text):
        for gateway in self.lab.gateways:
            self.write(gateway, "".join(make(gateway) for make in tunnels), change)
        done = self.reload(self.lab.gw_a)
        self.assertEqual(done.returncode, 0, done.stderr)
        before = self.lab.gw_b.daemon.stderr().count("configuration reloaded")
        self.lab.gw_b.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.lab.gw_b.daemon.stderr().count("configuration reloaded") > before, "gw-b has reloaded")
        return done.stdout

    # ---- what there is ---------------------------------------------------------------------------

    def spis(self, gateway, tunnel):
        return {sa["spi"] for sa in gateway.rpc.call("sa.list", {"tunnel": tunnel})["sas"] if sa["state"] != "draining"}

    def wait_established(self, name):
        for gateway in self.lab.gateways:
            wait_until(lambda: self.state(gateway, name)["established"], f"tunnel {name} of gw-{gateway.side} is up")

    def state(self, gateway, name):
        return next(one for one in gateway.rpc.call("tunnel.list")["tunnels"] if one["name"] == name)

    def names(self, gateway):
        return [one["name"] for one in gateway.rpc.call("tunnel.list")["tunnels"]]

    def assert_lost_nothing(self, traffic):
        traffic.wait_packets(100)
        traffic.finish()
        faults = traffic.faults()
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))

    def own_spis(self):
        return {gateway.side: self.spis(gateway, gateway.tunnel) for gateway in self.lab.gateways}

    # ---- tests -----------------------------------------------------------------------------------

    def test_tunnels_come_change_and_go(self):
        a = self.lab.gw_a
        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            before = self.own_spis()
            said = self.reload_both(
                (lambda g: self.tunnel(g, "shared", 11), lambda g: self.tunnel(g, "apart", 21, self.other_ids(g)))
            )
            self.assertEqual(said, "+ shared\n+ apart\n")
            for name in ("shared", "apart"):
                self.wait_established(name)
            self.assertEqual(len(a.rpc.call("ike.list")["ike_sas"]), 2, "one tunnel shares the IKE SA")
            old = self.spis(a, "shared") | self.spis(a, "apart")

            said = self.reload_both(
                (lambda g: self.tunnel(g, "shared", 31), lambda g: self.tunnel(g, "apart", 41, self.other_ids(g)))
            )
            self.assertEqual(said, "~ shared is set up anew: local remote\n~ apart is set up anew: local remote\n")
            for name in ("shared", "apart"):
                self.wait_established(name)
            for gateway, network in ((a, "10.31.0.0/24"), (self.lab.gw_b, "10.32.0.0/24")):
                self.assertEqual(self.state(gateway, "shared")["local"], [network])
            wait_until(lambda: not old & {sa["spi"] for sa in a.rpc.call("sa.list")["sas"]}, "the old SAs are gone")

            self.reload_both()
            for gateway in self.lab.gateways:
                self.assertEqual(self.names(gateway), [gateway.tunnel])
                wait_until(lambda: len(gateway.rpc.call("sa.list")["sas"]) == 2, "the SAs of both are gone")
                wait_until(lambda: len(gateway.rpc.call("ike.list")["ike_sas"]) == 1, "the second IKE SA is gone")
            self.assertEqual(self.own_spis(), before, "the first tunnel kept its SAs")
            self.assert_lost_nothing(traffic)
        self.finish()

    def test_keys_that_change_in_place(self):
        def shorter(text):
            return text.replace("retransmit_ms = 100;", "retransmit_ms = 200; rekey_ms = 700; life_ms = 5000; liveness_ms = 500;")

        with Scenario(self.lab) as traffic:
            traffic.wait_packets(100)
            before = self.own_spis()
            said = self.reload_both(change=shorter)
            self.assertIn("keeps its SAs: rekey_ms life_ms retransmit_ms liveness_ms", said)
            self.assertEqual(self.own_spis(), before)
            self.lab.gw_a.rpc.call("tunnel.rekey", {"tunnel": self.lab.gw_a.tunnel})
            start = self.negotiator.rollovers
            while self.negotiator.rollovers < start + 4:
                traffic.wait_packets(20)
                self.negotiator.look()
            self.assert_lost_nothing(traffic)
        self.finish()

    def many(self, gateway):
        """Nobody answers them, and they ask nobody."""
        psk = os.path.join(gateway.daemon.directory, "peer.psk")
        return "".join(
            f',\n  {{ name = "m{number}"; local_address = "{gateway.outside_address}"; psk_file = "{psk}"; start = "respond"; '
            f'remote_address = "198.18.{number >> 8}.{number & 255}"; '
            f'local = [ "{gateway.local}" ]; remote = [ "20.0.{number >> 8}.{number & 255}/32" ]; }}'
            for number in range(MANY)
        )

    def test_thousands_come_and_go_beside_short_lifetimes(self):
        def shorter(text):
            return text.replace("retransmit_ms = 100;", "retransmit_ms = 50; retransmit_tries = 3; rekey_ms = 100; life_ms = 2000;")

        a = self.lab.gw_a
        rpc = Rpc(a.daemon.socket_path, timeout=120)
        self.addCleanup(rpc.close)
        with Scenario(self.lab, tcp_rate=0) as traffic:
            self.reload_both(change=shorter)
            a.rpc.call("tunnel.rekey", {"tunnel": a.tunnel})
            for tunnels, change in ((self.many(a), "added"), ("", "removed")):
                self.write(a, tunnels, shorter)
                before = self.negotiator.rollovers
                turns = rpc.call("loop.stats")["turns"]
                said = rpc.call("config.reload")["tunnels"]
                turns = rpc.call("loop.stats")["turns"] - turns
                self.assertEqual([one["change"] for one in said], [change] * MANY)
                self.assertGreater(turns, 3, "the loop turned meanwhile")
                while self.negotiator.rollovers < before + 4:
                    traffic.wait_packets(20)
                    self.negotiator.look()
            self.assertEqual(self.names(a), [a.tunnel])
            self.assert_lost_nothing(traffic)
        self.finish()

    def test_a_tunnel_with_traffic_is_set_up_anew(self):
        before = self.own_spis()
        self.reload_both(change=lambda text: text.replace("retransmit_ms = 100;", 'retransmit_ms = 100; esp = [ "aes256gcm16" ];'))
        wait_until(
            lambda: all(
                {sa["suite"] for sa in gateway.rpc.call("sa.list")["sas"]} == {"aes256gcm16"} for gateway in self.lab.gateways
            ),
            "the new suite is there alone",
        )
        self.assertFalse(any(before[side] & spis for side, spis in self.own_spis().items()))
        self.lab.wait_path()
        self.finish()

    def test_nothing_is_taken_of_a_bad_file(self):
        a = self.lab.gw_a
        good = self.tunnel(a, "shared", 11)
        cases = (
            ("a wrong value", good, lambda text: text.replace("retransmit_ms = 100;", "retransmit_ms = 1;"), 5),
            ("a wrong syntax", good, lambda text: text + "}", 5),
            ("a restart", good, lambda text: text.replace("count = 1;", "count = 2;"), 3),
            ("a short key", self.tunnel(a, "short", 11, self.other_ids(a)).replace("peer.psk", "short.psk"), lambda text: text, -32602),
            (
                "a route that is another's",
                good,
                lambda text: text + 'routes = ( { to = "198.51.100.0/24"; via = "192.0.2.2"; }, { to = "203.0.113.0/24"; via = "192.0.2.2"; } );\n',
                2,
            ),
        )
        a.namespace.run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.9")
        with open(os.path.join(a.daemon.directory, "short.psk"), "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write("short")
        with Scenario(self.lab) as traffic:
            before = self.own_spis()
            listed = a.rpc.call("tunnel.list")["tunnels"][0]["local"], a.rpc.call("policy.list")["policies"]
            for name, tunnels, change, code in cases:
                with self.subTest(name):
                    self.write(a, tunnels, change)
                    with self.assertRaises(RpcError) as raised:
                        a.rpc.call("config.reload")
                    self.assertEqual(raised.exception.code, code, raised.exception)
                    self.assertEqual(self.names(a), [a.tunnel])
                    policies = a.rpc.call("policy.list")["policies"]
                    self.assertEqual([one["tunnel"] for one in policies], [one["tunnel"] for one in listed[1]])
                    self.assertNotIn("198.51.100.0", a.namespace.run("ip", "route").stdout)
            done = self.reload(a)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("203.0.113.0/24", done.stderr)
            self.assertEqual(self.own_spis(), before)
            self.assert_lost_nothing(traffic)
        self.finish()

    def test_secrets_are_read_again(self):
        def key(gateway, text):
            with open(os.path.join(gateway.daemon.directory, "peer.psk"), "w", encoding="utf-8") as file:
                file.write(text)

        a, b = self.lab.gateways
        before = self.own_spis()
        for gateway in self.lab.gateways:
            key(gateway, "another pre-shared key of tests")
        self.assertEqual(self.reload(a).stdout, "no differences\n")
        self.assertEqual(self.own_spis(), before)
        a.rpc.call("tunnel.down", {"tunnel": a.tunnel})
        a.rpc.call("tunnel.up", {"tunnel": a.tunnel})
        wait_until(lambda: "AUTHENTICATION_FAILED" in self.state(a, a.tunnel)["last_error"], "the old key is not taken")
        self.assertEqual(self.reload(b).returncode, 0)
        a.rpc.call("tunnel.up", {"tunnel": a.tunnel})
        self.wait_established_both()
        self.finish()

    def wait_established_both(self):
        for gateway in self.lab.gateways:
            wait_until(lambda: self.state(gateway, gateway.tunnel)["established"], f"gw-{gateway.side}'s tunnel is up")

    def test_policies_and_routes(self):
        a = self.lab.gw_a
        discard = '{ action = "discard"; remote = "10.99.0.0/24"; }, '
        self.write(a, policies=discard, change=lambda text: text + 'routes = ( { to = "198.51.100.0/24"; via = "192.0.2.2"; } );\n')
        self.assertEqual(self.reload(a).stdout, "~ policies\n~ routes\n")
        self.assertEqual(a.rpc.call("policy.list")["policies"][0]["remote"], "10.99.0.0/24")
        self.assertIn("198.51.100.0/24 via 192.0.2.2", a.namespace.run("ip", "route").stdout)
        counted = [one["packets"] for one in a.rpc.call("policy.list")["policies"] if one["tunnel"]]
        self.assertGreater(counted[0], 0, "the tunnel's counter goes on")
        self.write(a)
        self.assertEqual(self.reload(a).returncode, 0)
        self.assertNotEqual(a.rpc.call("policy.list")["policies"][0]["remote"], "10.99.0.0/24")
        self.assertNotIn("198.51.100.0/24", a.namespace.run("ip", "route").stdout)
        self.lab.wait_path()
        self.finish()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""Packets that come before their tunnel's first key: they wait, a few of them and not for long, and never leave in
plaintext. And tunnels that routes choose instead of selectors."""

import struct
import time
import unittest

from esp import esp_header, forwarded, ipv4, udp
from gateway import (
    HOST, HOST6, OWN_LINK, OWN_LINK6, TUNNELS, GatewayTestCase, Tunnel, drops_between, gateway_config, is_esp, is_ip,
)
from rpc import Rpc

HELD_MAX = 16  # packets of a tunnel that wait
HOLD_S = 3.0


class AcquireTest(GatewayTestCase):
    tunnels = (*TUNNELS, Tunnel("d", ["10.1.0.0/24"], ["10.4.0.0/24"]))
    config_text = gateway_config(tunnels=tunnels)

    def setUp(self):
        super().setUp()
        # The guard shows that what was sent before it has been seen.
        self.guard = self.gateway.add_out(tunnel="c")

    def pass_guard(self):
        """Everything that left the gateway until now but the guard's own packets."""
        return self.pass_out(self.guard, dst="10.3.0.9")

    def test_packets_wait_for_the_first_key_and_keep_their_order(self):
        before = self.gateway.drops()
        inners = [self.inner_out(60 + number) for number in range(HELD_MAX)]
        for inner in inners:
            self.inside.send(inner)
        self.assertEqual(self.pass_guard(), [], "nothing may leave without a key")
        sa = self.gateway.add_out()
        for number, inner in enumerate(inners, 1):
            outer = self.outside.expect_esp()
            self.assertEqual(esp_header(outer), (sa.spi, number))
            self.assertEqual(sa.open(outer), forwarded(inner))
        self.assertEqual(self.pass_out(sa), [])
        self.assertEqual(drops_between(before, self.gateway.drops()), {})

    def test_keys_for_many_tunnels_at_once_keep_each_ones_order(self):
        self.gateway.delete_all_sas()
        remotes = {"b": "10.2.0.5", "c": "10.3.0.9", "d": "10.4.0.7"}
        held = {name: [] for name in remotes}
        received = lambda: self.gateway.rpc.call("worker.list")["workers"][0]["rx_packets"]
        before = received()
        for _ in range(HELD_MAX):
            for name, remote in remotes.items():
                held[name].append(self.inner_out(dst=remote))
                self.inside.send(held[name][-1])
        self.eventually(lambda: received() >= before + HELD_MAX * len(remotes), True)
        sas = {name: self.gateway.new_sa("out", tunnel=name) for name in remotes}
        requests = [self.gateway.request(sa, "out", name, activate=True) for name, sa in sas.items()]
        self.gateway.rpc.call("sa.add", {"sas": requests})
        opened = {sa.spi: [] for sa in sas.values()}
        for _ in range(HELD_MAX * len(sas)):
            outer = self.outside.expect_esp()
            opened[esp_header(outer)[0]].append(outer)
        for name, sa in sas.items():
            self.assertEqual([sa.open(outer) for outer in opened[sa.spi]], [forwarded(i) for i in held[name]], name)

    def test_key_that_is_not_activated_releases_nothing(self):
        self.inside.send(self.inner_out())
        sa = self.gateway.add_out(activate=False)
        self.assertEqual(self.pass_guard(), [])
        self.gateway.rpc.call("sa.switch", {"spi": sa.spi, "tunnel": "b"})
        self.outside.expect_esp(sa.spi)

    def test_too_many_are_dropped(self):
        before = self.gateway.drops()
        inners = [self.inner_out() for _ in range(HELD_MAX + 5)]
        for inner in inners:
            self.inside.send(inner)
        self.assertEqual(self.pass_guard(), [])
        self.assert_drops(before, {"esp_no_sa": 5})
        sa = self.gateway.add_out()
        opened = [sa.open(self.outside.expect_esp(sa.spi)) for _ in range(HELD_MAX)]
        self.assertEqual(opened, [forwarded(inner) for inner in inners[:HELD_MAX]], "the first ones wait")
        self.assertEqual(self.pass_out(sa), [])

    def test_packets_that_waited_too_long_are_dropped(self):
        before = self.gateway.drops()
        start = time.monotonic()
        for _ in range(3):
            self.inside.send(self.inner_out())
        self.assertEqual(self.pass_guard(), [])
        self.assertEqual(drops_between(before, self.gateway.drops()), {})
        self.assert_drops(before, {"esp_no_sa": 3})
        self.assertGreater(time.monotonic() - start, HOLD_S - 0.5)
        sa = self.gateway.add_out()
        self.assertEqual(self.pass_out(sa), [], "too late is too late")

    def test_other_tunnels_do_not_wait(self):
        for _ in range(HELD_MAX):
            self.inside.send(self.inner_out())
        for _ in range(5):
            self.assertEqual(self.pass_guard(), [])
        sa = self.gateway.add_out()
        for _ in range(HELD_MAX):
            self.outside.expect_esp(sa.spi)

    def test_event_names_the_packet(self):
        self.gateway.delete_all_sas()
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            rpc.subscribe()
            inner = self.inner_out(dst="10.2.0.77")
            self.inside.send(inner)
            event = rpc.wait_event("acquire", tunnel="b")
            self.assertEqual((event["source"], event["destination"], event["protocol"]), (HOST, "10.2.0.77", 17))
            ports = event["source_port"], event["destination_port"]
            self.assertEqual(ports, struct.unpack("!HH", inner[20:24]))
            self.inside.send(ipv4(HOST, "10.3.0.9", 1, struct.pack("!BBHHH", 13, 1, 0, 1, 1)))
            event = rpc.wait_event("acquire", tunnel="c")
            self.assertEqual((event["icmp_type"], event["icmp_code"]), (13, 1))
            self.assertNotIn("source_port", event)
        for name in "bc":
            sa = self.gateway.add_out(tunnel=name)
            self.outside.expect_esp(sa.spi)

    def test_busy_tunnel_does_not_use_up_the_events_of_another(self):
        self.gateway.delete_all_sas()
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            rpc.subscribe()
            for _ in range(50):
                self.inside.send(self.inner_out())
            waiting = self.inner_out(dst="10.3.0.9")
            self.inside.send(waiting)
            rpc.wait_event("acquire", tunnel="c", timeout=2)
        sa = self.gateway.add_out(tunnel="c")
        self.assertEqual(sa.open(self.outside.expect_esp(sa.spi)), forwarded(waiting))
        busy = self.gateway.add_out()
        for _ in range(HELD_MAX):
            self.outside.expect_esp(busy.spi)

    def test_controller_that_follows_the_event_loses_nothing(self):
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            rpc.subscribe()
            inners = [self.inner_out() for _ in range(10)]
            self.inside.send(inners[0])
            rpc.wait_event("acquire", tunnel="b")
            for inner in inners[1:5]:
                self.inside.send(inner)
            sa = self.gateway.add_out()
            for inner in inners[5:]:
                self.inside.send(inner)
            opened = [sa.open(self.outside.expect_esp(sa.spi)) for _ in inners]
            self.assertEqual(opened, [forwarded(inner) for inner in inners])


class RouteTest(GatewayTestCase):
    """Tunnels without selectors: the longest prefix that covers the remote address chooses."""

    tunnels = (
        Tunnel("wide", routes=["10.64.0.0/12"]),
        Tunnel("narrow", routes=["10.66.0.0/16", "10.70.1.0/24"]),
        Tunnel("six", routes=["fd00:6::/48"]),
        Tunnel("selectors", ["10.1.0.0/24"], ["10.67.0.0/16"]),
    )
    config_text = gateway_config(
        ipv6=True, tunnels=tunnels, memory=1280,
        policies=('{ action = "discard"; direction = "out"; remote = "10.66.6.0/24"; }', OWN_LINK, OWN_LINK6),
    )
    REMOTES = {
        "wide": "10.64.0.1", "narrow": "10.66.0.1", "six": "fd00:6::1", "selectors": "10.67.0.1",
    }

    def host(self, remote):
        return HOST6 if ":" in remote else HOST

    def test_both_directions(self):
        places = {**self.REMOTES, "narrow host": "10.70.1.255", "wide end": "10.79.255.255"}
        outbound = {name: self.gateway.add_out(tunnel=name) for name in self.REMOTES}
        inbound = {name: self.gateway.add_in(tunnel=name) for name in self.REMOTES}
        for name, remote in places.items():
            with self.subTest(name):
                tunnel = name.split()[0]
                inner = self.inner_out(100, self.host(remote), remote)
                self.inside.send(inner)
                others, frame = self.outside.until(is_esp)
                self.assertEqual([f for f in others if is_ip(f)], [])
                self.assertEqual(outbound[tunnel].open(frame[14:]), forwarded(inner))
                self.assertEqual(self.pass_in(inbound[tunnel], src=remote, dst=self.host(remote)), [])

    def test_source_that_belongs_to_another_tunnel(self):
        inbound = {name: self.gateway.add_in(tunnel=name) for name in self.REMOTES}
        for name, sa in inbound.items():
            for other, remote in self.REMOTES.items():
                if other == name:
                    continue
                with self.subTest(tunnel=name, source=remote):
                    before = self.gateway.drops()
                    self.outside.send(sa.seal(self.inner_in(src=remote, dst=self.host(remote))))
                    sa.sequence -= 1
                    own = self.REMOTES[name]
                    self.assertEqual(self.pass_in(sa, src=own, dst=self.host(own)), [])
                    self.assert_drops(before, {"policy_selector": 1})

    def test_beside_the_routes_nothing_passes(self):
        sa = self.gateway.add_out(tunnel="wide")
        before = self.gateway.drops()
        for remote in ("10.63.255.255", "10.80.0.0", "fd00:7::1"):
            self.inside.send(self.inner_out(100, self.host(remote), remote))
        self.inside.send(self.inner_out(dst="10.66.6.6"))
        self.assertEqual(self.pass_out(sa, dst="10.64.0.1"), [])
        self.assert_drops(before, {"policy_none": 3, "policy_discard": 1})

    def test_plaintext_from_behind_a_route(self):
        sa = self.gateway.add_in(tunnel="wide")
        before = self.gateway.drops()
        for remote in self.REMOTES.values():
            self.outside.send(udp(remote, self.host(remote)))
        self.assertEqual(self.pass_in(sa, src="10.64.0.1"), [])
        self.assert_drops(before, {"policy_plaintext": 4})

    def test_packets_wait_here_too(self):
        inner = self.inner_out(dst="10.66.0.1")
        self.inside.send(inner)
        guard = self.gateway.add_out(tunnel="wide")
        self.assertEqual(self.pass_out(guard, dst="10.64.0.1"), [])
        sa = self.gateway.add_out(tunnel="narrow")
        self.assertEqual(sa.open(self.outside.expect_esp(sa.spi)), forwarded(inner))

    def test_list_shows_the_routes(self):
        rows = {row["name"]: row for row in self.gateway.rpc.call("tunnel.list")["tunnels"]}
        self.assertEqual(sorted(rows["narrow"]["routes"]), ["10.66.0.0/16", "10.70.1.0/24"])
        self.assertEqual(rows["selectors"]["routes"], [])


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""Traffic flow confidentiality that the gateway sends (RFC 4303 2.6, 2.7): padding behind inner packets, and dummy
packets on idle SAs. scapy and a sealer of bytes are the other end, then a second gateway is."""

import struct
import unittest

from controller import Controller
from esp import PROTO_IPIP, PROTO_IPV6, checksum, esp_offset, forwarded, ipv4
from gateway import (
    GATEWAY_OUTSIDE, GATEWAY_OUTSIDE6, HOST, HOST6, OWN_LINK, OWN_LINK6, PEER, PEER6, GatewayTestCase, Tunnel,
    gateway_config, is_esp,
)
from lab import Lab, wait_until

PROTO_NONE = 59
MTU = 1500
LENGTH = 500
ENDS6 = (GATEWAY_OUTSIDE6, PEER6)
NETWORKS = (
    # name, what its packets are padded to, a host behind the other end, further keys
    ("some", LENGTH, "10.2.0.5", {}),
    ("mtu", "mtu", "10.3.0.5", {}),
    ("mtu6in4", "mtu", "fd00:3::5", {}),
    ("mtu4in6", "mtu", "10.4.0.5", {"ends": ENDS6}),
    ("natt", "mtu", "10.5.0.5", {"ports": (4500, 4500)}),
    ("clear", "mtu", "10.6.0.5", {"df": "clear"}),
    # What is learned of a path stays for ten minutes, so these are for one test alone.
    ("down", "mtu", "10.7.0.5", {}),
    ("down6in4", "mtu", "fd00:7::5", {}),
)
TUNNELS = tuple(
    Tunnel(
        name,
        ["fd00:1::/64" if ":" in host else "10.1.0.0/24"],
        [host[:-1] + ("/64" if ":" in host else "0/24")],
        tfc=tfc,
        **keys,
    )
    for name, tfc, host, keys in NETWORKS
)
HOSTS = {name: host for name, _, host, _ in NETWORKS}
SUITES = ("aes128gcm16", "aes256-sha512", "aes128gmac")


def largest_inner(sa, mtu):
    header = (40 if ":" in sa.src else 20) + (8 if sa.ports else 0) + 8 + sa.crypto.iv_bytes
    return (mtu - header - sa.crypto.icv_bytes) // sa.crypto.align * sa.crypto.align - 2


class Padding(GatewayTestCase):
    config_text = gateway_config(tunnels=TUNNELS, ipv6=True, policies=(OWN_LINK, OWN_LINK6))
    tunnels = TUNNELS

    def packet(self, tunnel, length):
        host = HOSTS[tunnel]
        return self.inner_out(length, HOST6 if ":" in host else HOST, host)

    def seal_through(self, sa, tunnel, length):
        """The outer packet that comes of an inner one, which must be intact with nothing but zeros behind it. Returns
        the outer packet and the bytes of padding."""
        inner = self.packet(tunnel, length)
        self.inside.send(inner)
        outer = self.outside.expect_esp(sa.spi)
        payload, next_header = sa.open_esp(outer[esp_offset(outer) :])
        self.assertEqual(next_header, PROTO_IPV6 if ":" in HOSTS[tunnel] else PROTO_IPIP)
        self.assertEqual(payload[:length], forwarded(inner))
        self.assertEqual(payload[length:], bytes(len(payload) - length), "padding is zeros")
        if sa.scapy_knows:
            self.assertEqual(sa.scapy_open(outer)[:length], forwarded(inner))
        return outer, len(payload) - length

    def test_padded_to_a_length(self):
        for suite in SUITES:
            sa = self.gateway.add_out(suite, tunnel="some")
            before = self.gateway.sa_state(sa, "out")["bytes"]
            counted = 0
            for length in (28, 29, 100, LENGTH - 1, LENGTH, LENGTH + 1, 1400):
                with self.subTest(suite=suite, length=length):
                    _, padding = self.seal_through(sa, "some", length)
                    self.assertEqual(padding, max(0, LENGTH - length))
                    counted += max(LENGTH, length)
            self.eventually(lambda: self.gateway.sa_state(sa, "out")["bytes"] - before, counted, "payload bytes")

    def test_padded_to_the_mtu(self):
        for tunnel in ("mtu", "mtu6in4", "mtu4in6", "natt", "clear"):
            for suite in SUITES:
                sa = self.gateway.add_out(suite, tunnel=tunnel)
                largest = largest_inner(sa, MTU)
                lengths = set()
                for length in (48, 333, 1279, 1280, largest - 1, largest):
                    with self.subTest(tunnel=tunnel, suite=suite, length=length):
                        outer, padding = self.seal_through(sa, tunnel, length)
                        self.assertEqual(padding, largest - length)
                        lengths.add(len(outer))
                # Nothing tells one packet from another, and none has to be cut.
                self.assertEqual(len(lengths), 1)
                self.assertLessEqual(max(lengths), MTU)
                self.assertGreater(max(lengths), MTU - sa.crypto.align)

    def too_big(self, outer, mtu):
        """A router tells that an outer packet did not fit."""
        body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + outer[:28]
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return ipv4(PEER, GATEWAY_OUTSIDE, 1, body)

    def pmtu(self, tunnel):
        return {row["name"]: row["pmtu"] for row in self.gateway.rpc.call("tunnel.list")["tunnels"]}[tunnel]

    def test_padding_follows_the_path_mtu_down(self):
        for tunnel, mtu in (("down", 1000), ("down6in4", 1320)):
            sa = self.gateway.add_out(tunnel=tunnel)
            outer, _ = self.seal_through(sa, tunnel, 100)
            self.outside.send(self.too_big(outer, mtu))
            self.eventually(lambda: self.pmtu(tunnel), mtu, "learned")
            largest = largest_inner(sa, mtu)
            for length in (100, largest - 1, largest):
                with self.subTest(tunnel=tunnel, length=length):
                    outer, padding = self.seal_through(sa, tunnel, length)
                    self.assertEqual(padding, largest - length)
                    self.assertLessEqual(len(outer), mtu)

    def test_a_fragment_is_padded_like_a_packet(self):
        sa = self.gateway.add_out(tunnel="clear")
        self.inside.send(self.inner_out(1500, HOST, HOSTS["clear"]))
        outers = [self.outside.expect_esp(sa.spi) for _ in range(2)]
        self.assertEqual(len({len(outer) for outer in outers}), 1)

    def test_tunnel_list_shows_it(self):
        rows = {row["name"]: row for row in self.gateway.rpc.call("tunnel.list")["tunnels"]}
        self.assertEqual({name: rows[name]["tfc"] for name in HOSTS}, {name: tfc for name, tfc, _, _ in NETWORKS})
        self.assertEqual({row["dummy_rate"] for row in rows.values()}, {0})


DUMMY_TUNNELS = (
    Tunnel("short", ["10.1.0.0/24"], ["10.2.0.0/24"], dummy_rate=1000),
    Tunnel("some", ["10.1.0.0/24"], ["10.3.0.0/24"], dummy_rate=1000, tfc=LENGTH),
    Tunnel("mtu", ["10.1.0.0/24"], ["10.4.0.0/24"], dummy_rate=1000, tfc="mtu", ports=(4500, 4500)),
    Tunnel("none", ["10.1.0.0/24"], ["10.5.0.0/24"]),
)


class Dummies(GatewayTestCase):
    config_text = gateway_config(workers=2, tunnels=DUMMY_TUNNELS)
    tunnels = DUMMY_TUNNELS
    BYTES = {"short": 64, "some": LENGTH}
    COUNT = 20

    def dummies_out(self):
        return sum(row["dummies_out"] for row in self.gateway.rpc.call("worker.list")["workers"])

    def test_dummy_packets_of_an_idle_sa(self):
        for tunnel in ("short", "some", "mtu"):
            for worker in (0, 1):
                for suite in ("aes128gcm16", "aes256-sha512"):
                    with self.subTest(tunnel=tunnel, worker=worker, suite=suite):
                        before = self.gateway.drops()
                        counted = self.dummies_out()
                        sa = self.gateway.add_out(suite, tunnel=tunnel, worker=worker, hard_packets=self.COUNT)
                        expected = self.BYTES.get(tunnel, largest_inner(sa, MTU))
                        for sequence in range(1, self.COUNT + 1):
                            outer = self.outside.expect_esp(sa.spi)
                            esp = outer[esp_offset(outer) :]
                            self.assertEqual(struct.unpack("!I", esp[4:8])[0], sequence)
                            self.assertEqual(sa.open_esp(esp), (bytes(expected), PROTO_NONE))
                        # They count against the hard limit, and stop there without a drop.
                        state = self.gateway.sa_state(sa, "out")
                        self.assertEqual((state["packets"], state["dummies"]), (self.COUNT, self.COUNT))
                        self.assertEqual(state["bytes"], self.COUNT * expected)
                        self.eventually(lambda: self.gateway.sa_state(sa, "out")["state"], "expired")
                        self.assertEqual(self.dummies_out() - counted, self.COUNT)
                        self.assert_drops(before, {})
                        self.gateway.delete_all_sas()

    def test_packets_pass_between_dummies(self):
        sa = self.gateway.add_out(tunnel="some")
        for _ in range(20):
            inner = self.inner_out(200, HOST, "10.3.0.5")
            self.inside.send(inner)
            found = forwarded(inner) + bytes(LENGTH - 200)
            self.outside.until(lambda f: is_esp(f, sa.spi) and sa.open_esp(f[34:]) == (found, PROTO_IPIP))
        state = self.gateway.sa_state(sa, "out")
        self.assertGreaterEqual(state["packets"], state["dummies"] + 20)

    def test_only_where_asked_and_only_current_sas(self):
        quiet = self.gateway.add_out(tunnel="none")
        waiting = self.gateway.add_out(tunnel="short", activate=False)
        retired = self.gateway.add_out(tunnel="some")
        self.outside.expect_esp(retired.spi)
        current = self.gateway.add_out(tunnel="some")
        self.outside.expect_esp(current.spi)
        # The switch is over: the retired one's count stands still while the current one's goes on.
        count = self.gateway.sa_state(retired, "out")["packets"]
        for _ in range(50):
            self.outside.expect_esp(current.spi)
        self.assertEqual(self.gateway.sa_state(retired, "out")["packets"], count)
        self.assertEqual(self.gateway.sa_state(quiet, "out")["packets"], 0)
        self.assertEqual(self.gateway.sa_state(waiting, "out")["packets"], 0)

    def test_tunnel_list_shows_them(self):
        self.gateway.add_out(tunnel="some")
        rows = {row["name"]: row for row in self.gateway.rpc.call("tunnel.list")["tunnels"]}
        self.assertEqual((rows["some"]["dummy_rate"], rows["none"]["dummy_rate"]), (1000, 0))
        self.eventually(lambda: self.tunnel("some")["dummies_out"] > 10, True)
        self.assertEqual(self.tunnel("none")["dummies_out"], 0)

    def tunnel(self, name):
        return next(row for row in self.gateway.rpc.call("tunnel.list")["tunnels"] if row["name"] == name)


class TwoGateways(unittest.TestCase):
    """What one gateway pads and makes up, the other takes off and drops."""

    def test_hosts_notice_nothing(self):
        lab = Lab()
        self.addCleanup(lab.close)
        lab.start_daemons(workers=2, tunnel_keys='tfc = "mtu"; dummy_rate = 200; ')
        controller = Controller(lab, workers=(0, 1))
        self.addCleanup(controller.close)
        controller.install()
        lab.wait_path()
        for size in (0, 100, 1300):
            lab.host_a.run("ping", "-nc3", "-i0.05", f"-s{size}", "-W10", lab.host_b.address)
        wait_until(lambda: all(one.drops().get("esp_dummy", 0) > 20 for one in lab.gateways), "dummies at both ends")
        for gateway in lab.gateways:
            drops = {reason: count for reason, count in gateway.drops().items() if reason.startswith("esp_")}
            self.assertEqual(set(drops), {"esp_dummy"}, lab.diagnosis())
        controller.close()
        lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""Ports with an MTU of 9000: every length around the sizes of buffers both ways, and 9000 byte packets over a path of
1500."""

import os
import unittest

from daemon import DaemonError
from esp import forwarded, udp_of_length
from gateway import (
    HOST, HOST6, OWN_LINK, OWN_LINK6, REMOTE_HOST, REMOTE_HOST6, Gateway, GatewayTestCase, Tunnel, gateway_config,
)
from test_mtu import DF, cut, is_icmp_error, joined, largest_inner

JUMBO = 9000
# A TPACKET frame has to hold a packet and its header, and to fit a buffer; the default is 2048 bytes.
AF_PACKET = ",framesz=9216,blocksz=36864,framecnt=512"
TUNNELS = (
    Tunnel("b", ["10.1.0.0/24"], ["10.2.0.0/24"], df="copy"),
    Tunnel("b6", ["fd00:1::/64"], ["fd00:2::/64"]),
)
HOSTS = {"b": (HOST, REMOTE_HOST), "b6": (HOST6, REMOTE_HOST6)}
SUITES = ("aes128gcm16", "aes256-sha512", "chacha20poly1305")
# Around the data room of a usual buffer, pages, and two of them.
EDGES = tuple(edge + off for edge in (1500, 1920, 2048, 4096, 8192) for off in (-1, 0, 1))


def config(mtus, **options):
    """The configuration of a gateway whose inside and outside ports have these MTUs."""
    text = gateway_config(ipv6=True, policies=(OWN_LINK, OWN_LINK6), tunnels=TUNNELS, **options)
    for role, mtu in zip(("inside", "outside"), mtus):
        text = text.replace(f'role = "{role}";', f'role = "{role}"; mtu = {mtu};')
    return text


class JumboTestCase(GatewayTestCase):
    tunnels = TUNNELS

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(cls.config_text, tunnels=cls.tunnels)
        for near, far in (("in0", "in1"), ("out0", "out1")):
            cls.gateway.namespace.ip("link", "set", near, "mtu", str(JUMBO))
            cls.gateway.peers.ip("link", "set", far, "mtu", str(JUMBO))
        cls.gateway.start()

    def packet_out(self, tunnel, length, **fields):
        return udp_of_length(*HOSTS[tunnel], length, next(self._tags), **fields)

    def packet_in(self, tunnel, length, **fields):
        return udp_of_length(*HOSTS[tunnel][::-1], length, next(self._tags), **fields)


class Jumbo(JumboTestCase):
    config_text = config((JUMBO, JUMBO), arguments=AF_PACKET)

    def test_every_edge_both_ways(self):
        before = self.gateway.drops()
        for tunnel in HOSTS:
            for suite in SUITES:
                out = self.gateway.add_out(suite, tunnel=tunnel)
                into = self.gateway.add_in(suite, tunnel=tunnel)
                largest = largest_inner(out, JUMBO)
                for length in (*EDGES, largest - 1, largest):
                    with self.subTest(tunnel=tunnel, suite=suite, length=length):
                        inner = self.packet_out(tunnel, length)
                        self.inside.send(inner)
                        outer = self.outside.expect_esp(out.spi)
                        self.assertEqual(out.open(outer), forwarded(inner))
                        self.assertEqual(out.scapy_open(outer), forwarded(inner))
                        self.assertLessEqual(len(outer), JUMBO)
                        inner = self.packet_in(tunnel, length)
                        self.outside.send(into.scapy_seal(inner))
                        self.inside.expect_packet(forwarded(inner))
                self.gateway.delete_all_sas()
        self.assert_drops(before, {})

    def test_every_length_around_the_largest(self):
        out = self.gateway.add_out()
        largest = largest_inner(out, JUMBO)
        for length in range(largest - 40, largest + 1):
            self.pass_out(out, length=length)

    def test_one_byte_too_long(self):
        for tunnel in HOSTS:
            with self.subTest(tunnel=tunnel):
                sa = self.gateway.add_out(tunnel=tunnel)
                largest = largest_inner(sa, JUMBO)
                self.inside.send(self.packet_out(tunnel, largest + 1, **({"flags": DF} if tunnel == "b" else {})))
                error = self.inside.expect(is_icmp_error)[14:]
                at = 20 if tunnel == "b" else 40
                mtu = error[at + 6 : at + 8] if tunnel == "b" else error[at + 4 : at + 8]
                self.assertEqual(int.from_bytes(mtu, "big"), largest)

    def test_largest_packet_without_df_is_cut(self):
        sa = self.gateway.add_out()
        inner = self.packet_out("b", JUMBO)
        self.inside.send(inner)
        fragments = [sa.open(self.outside.expect_esp(sa.spi)) for _ in range(2)]
        self.assertEqual(joined(fragments), forwarded(inner))

    def test_changed_bits_anywhere_are_noticed(self):
        sa = self.gateway.add_in()
        outer = bytearray(sa.seal(self.packet_in("b", largest_inner(sa, JUMBO))))
        before = self.gateway.drops()
        places = (44, 2048, 4096, 8999 - 17, len(outer) - 16, len(outer) - 1)
        for place in places:
            changed = bytes(outer[:place]) + bytes([outer[place] ^ 1]) + bytes(outer[place + 1 :])
            self.outside.send(changed)
        self.assert_drops(before, {"esp_auth": len(places)})


class SmallFrames(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "needs root: makes network namespaces")
    def test_a_device_that_cannot_carry_the_mtu_is_refused(self):
        gateway = Gateway(config((JUMBO, JUMBO)), tunnels=TUNNELS)
        with self.assertRaises(DaemonError) as caught:
            gateway.start()
        self.assertIn("port inside: device", str(caught.exception))
        self.assertIn("larger frames to the device, e.g. framesz=9216,blocksz=36864", str(caught.exception))


class NarrowPath(JumboTestCase):
    """9000 bytes inside, 1500 outside. net_pcap shows the gateway single fragments."""

    PATH = 1500
    config_text = config((JUMBO, PATH), driver="net_pcap", arguments=",phy_mac=1")

    def test_packets_are_cut_before_sealing(self):
        for suite in SUITES:
            for length in (1501, 4096, JUMBO - 1, JUMBO):
                with self.subTest(suite=suite, length=length):
                    sa = self.gateway.add_out(suite)
                    inner = self.packet_out("b", length)
                    self.inside.send(inner)
                    parts = []
                    while sum(len(part) - 20 for part in parts) < length - 20:
                        outer = self.outside.expect_esp(sa.spi)
                        self.assertLessEqual(len(outer), self.PATH)
                        parts.append(sa.open(outer))
                    self.assertEqual(joined(parts), forwarded(inner))
                    self.gateway.delete_all_sas()

    def test_fragments_of_a_sealed_packet_are_joined(self):
        for tunnel in HOSTS:
            for suite in SUITES:
                sa = self.gateway.add_in(suite, tunnel=tunnel)
                for length in (1501, 4096, JUMBO - 1, JUMBO):
                    with self.subTest(tunnel=tunnel, suite=suite, length=length):
                        inner = self.packet_in(tunnel, length)
                        outer = sa.seal(inner)
                        for fragment in cut(outer, *range(1480, len(outer) - 20, 1480)):
                            self.assertLessEqual(len(fragment), self.PATH)
                            self.outside.send(fragment)
                        self.inside.expect_packet(forwarded(inner))


if __name__ == "__main__":
    unittest.main()

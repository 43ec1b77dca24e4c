# SPDX-License-Identifier: BSD-3-Clause
"""Inner fragments, on a driver that shows them one by one, and IPv4 options. Outer ones: test_mtu.py."""

import struct
import unittest

from esp import forwarded, udp, with_checksum
from gateway import HOST, OWN_LINK, GatewayTestCase, fragment_config

OUTSIDE_HOST = "198.51.100.7"


class FragmentTest(GatewayTestCase):
    config_text = fragment_config(
        policies=(
            '{ action = "bypass"; direction = "both"; local = "10.1.0.0/24"; remote = "198.51.100.0/24"; '
            'protocol = "udp"; remote_port = "9999"; }',
            OWN_LINK,
        )
    )

    def test_ports_of_a_fragment_are_not_guessed(self):
        # A fragment that is not the first has no ports: it must not match a policy that names one.
        sa = self.gateway.add_out()
        later = bytearray(udp(HOST, OUTSIDE_HOST, 4000, 9999, b"x" * 32))
        later[6:8] = b"\x00\x05"
        before = self.gateway.drops()
        self.inside.send(with_checksum(bytes(later)))
        self.assertEqual(self.pass_out(sa), [])
        self.assert_drops(before, {"policy_none": 1})

    def test_inner_fragments_and_options_pass_unchanged(self):
        sa = self.gateway.add_out()
        plain = self.inner_out(100)
        fragment = plain[:6] + b"\x20\x00" + plain[8:]  # more fragments
        options = b"\x46" + plain[1:2] + struct.pack("!H", 104) + plain[4:20] + b"\x01\x01\x01\x00" + plain[20:]
        for name, packet in (("fragment", fragment), ("options", options)):
            with self.subTest(name):
                packet = with_checksum(packet)
                self.inside.send(packet)
                self.assertEqual(sa.scapy_open(self.outside.expect_esp(sa.spi)), forwarded(packet))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""IPv6 around the tunnels: neighbours, the gateway's own addresses, forwarding, policies, and bad headers."""

import struct
import unittest

from esp import (
    PROTO_DSTOPTS, PROTO_FRAGMENT, PROTO_HOPOPTS, PROTO_ICMPV6, PROTO_ROUTING, PROTO_UDP, extension, forwarded, ip_bytes, ipv4,
    ipv6, udp, upper_checksum, upper_of,
)
from gateway import (
    ETH_IPV6, GATEWAY_INSIDE6, GATEWAY_OUTSIDE6, HOST, HOST6, OWN_LINK, OWN_LINK6, PEER6, REMOTE_HOST6, GatewayTestCase,
    Tunnel, ethertype_of, gateway_config, is_ip, mac_bytes,
)

OUTSIDE_HOST = "2001:db8:9::7"
STRANGER_MAC = b"\x02\0\0\0\x01\x77"
TUNNELS = (
    Tunnel("b", ["fd00:1::/64"], ["fd00:2::/64"], (GATEWAY_OUTSIDE6, PEER6)),
    Tunnel("c", ["fd00:1::/64"], ["fd00:3::/64"], (GATEWAY_OUTSIDE6, PEER6)),
)
ECHO_REQUEST, ECHO_REPLY, TIME_EXCEEDED, SOLICITATION, ADVERTISEMENT = 128, 129, 3, 135, 136


def icmp6(src, dst, kind, body, ttl=64):
    message = struct.pack("!BBH", kind, 0, 0) + body
    message = message[:2] + struct.pack("!H", upper_checksum(src, dst, PROTO_ICMPV6, message)) + message[4:]
    return ipv6(src, dst, PROTO_ICMPV6, message, ttl=ttl)


def echo(src, dst, identifier, ttl=64):
    return icmp6(src, dst, ECHO_REQUEST, struct.pack("!HH", identifier, 1) + b"tandem", ttl)


def is_icmp6(frame, kind):
    return ethertype_of(frame) == ETH_IPV6 and frame[20] == PROTO_ICMPV6 and frame[54] == kind


class Ipv6TestCase(GatewayTestCase):
    tunnels = TUNNELS
    config_text = gateway_config(
        ipv6=True, tunnels=TUNNELS,
        policies=(
            '{ action = "discard"; direction = "out"; remote = "fd00:2::66/128"; }',
            '{ action = "bypass"; direction = "both"; local = "fd00:1::/64"; remote = "2001:db8:9::/48"; '
            'protocol = "udp"; remote_port = "9999"; }',
            '{ action = "bypass"; direction = "in"; local = "fd00:1::/64"; protocol = "udp"; local_port = "7777"; }',
            OWN_LINK, OWN_LINK6,
        ),
    )

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.namespace.ip("route", "replace", "2001:db8:9::/48", "via", PEER6, "dev", "outside")

    def inner_out(self, length=100, src=HOST6, dst=REMOTE_HOST6, **fields):
        return super().inner_out(length, src, dst, **fields)

    def inner_in(self, length=100, src=REMOTE_HOST6, dst=HOST6, **fields):
        return super().inner_in(length, src, dst, **fields)


class NeighbourTest(Ipv6TestCase):
    def solicit(self, wire, src, target, group=True):
        """Asks for the MAC of an address."""
        dst = "ff02::1:ff" + ip_bytes(target)[13:].hex()[:2] + ":" + ip_bytes(target)[14:].hex() if group else target
        mac = b"\x33\x33" + ip_bytes(dst)[12:] if group else None
        body = bytes(4) + ip_bytes(target) + b"\x01\x01" + wire.mac
        wire.send(icmp6(src, dst, SOLICITATION, body, ttl=255), dst=mac)

    def test_solicitations_are_answered_with_the_ports_mac(self):
        for wire, mine, theirs in ((self.inside, HOST6, GATEWAY_INSIDE6), (self.outside, PEER6, GATEWAY_OUTSIDE6)):
            for group in (True, False):
                with self.subTest(theirs, group=group):
                    self.solicit(wire, mine, theirs, group)
                    frame = wire.expect(lambda f: is_icmp6(f, ADVERTISEMENT))
                    self.assertEqual(frame[62:78], ip_bytes(theirs), "target")
                    self.assertEqual(frame[6:12], wire.gateway_mac)
                    # RFC 4861 4.4: whoever asked by unicast has the link-layer address already.
                    self.assertEqual(frame[80:86], wire.gateway_mac if group else b"", "link-layer address")
                    self.assertEqual(frame[21], 255, "hop limit")

    def test_another_address_is_not_answered(self):
        self.solicit(self.inside, HOST6, "fd00:1::99")
        self.inside.send(echo(HOST6, GATEWAY_INSIDE6, 1))
        others, _ = self.inside.until(lambda f: is_icmp6(f, ECHO_REPLY))
        self.assertEqual([f for f in others if is_icmp6(f, ADVERTISEMENT)], [])

    def test_first_packets_wait_for_an_unknown_neighbour(self):
        sa, stranger = self.gateway.add_in(), "fd00:1::77"
        inners = [self.inner_in(dst=stranger) for _ in range(5)]
        for inner in inners:
            self.outside.send(sa.seal(inner))
        asked = self.inside.expect(lambda f: is_icmp6(f, SOLICITATION) and f[62:78] == ip_bytes(stranger))
        asker = asked[22:38]
        text = ":".join(asker.hex()[i : i + 4] for i in range(0, 32, 4))
        body = b"\x60\0\0\0" + ip_bytes(stranger) + b"\x02\x01" + STRANGER_MAC
        self.inside.send(icmp6(stranger, text, ADVERTISEMENT, body, ttl=255), src=STRANGER_MAC)
        self.inside.expect_packets([forwarded(inner) for inner in inners])

    def test_ping_of_own_addresses(self):
        for wire, mine, theirs in ((self.inside, HOST6, GATEWAY_INSIDE6), (self.outside, PEER6, GATEWAY_OUTSIDE6)):
            with self.subTest(theirs):
                wire.send(echo(mine, theirs, 7))
                frame = wire.expect(lambda f: is_icmp6(f, ECHO_REPLY))
                self.assertEqual(frame[22:54], ip_bytes(theirs) + ip_bytes(mine))
                self.assertEqual(frame[58:60], struct.pack("!H", 7))

    def test_ping_of_the_gateway_through_the_tunnel(self):
        self.gateway.namespace.ip("route", "replace", "fd00:2::/64", "via", PEER6, "dev", "outside")
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.outside.send(inbound.seal(echo(REMOTE_HOST6, GATEWAY_INSIDE6, 11)))
        inner = outbound.scapy_open(self.outside.expect_esp(outbound.spi))
        self.assertEqual(inner[8:40], ip_bytes(GATEWAY_INSIDE6) + ip_bytes(REMOTE_HOST6))
        self.assertEqual((inner[40], inner[44:46]), (ECHO_REPLY, struct.pack("!H", 11)))


class ForwardTest(Ipv6TestCase):
    def test_hop_limit_falls_by_one(self):
        for ttl in (2, 64, 255):
            wanted = udp(HOST6, OUTSIDE_HOST, 4000, 9999, b"hop %d" % ttl, ttl=ttl)
            self.inside.send(wanted)
            self.assertEqual(self.outside.expect_packet(forwarded(wanted)), [])
            answer = udp(OUTSIDE_HOST, HOST6, 9999, 4000, b"hop %d" % ttl, ttl=ttl)
            self.outside.send(answer)
            self.assertEqual(self.inside.expect_packet(forwarded(answer)), [])

    def check_time_exceeded(self, packet, offending):
        """An ICMPv6 error about a packet."""
        src, dst = GATEWAY_INSIDE6, ":".join(offending[8:24].hex()[i : i + 4] for i in range(0, 32, 4))
        self.assertEqual(packet[8:40], ip_bytes(src) + ip_bytes(dst))
        self.assertEqual((packet[6], packet[40], packet[41]), (PROTO_ICMPV6, TIME_EXCEEDED, 0))
        self.assertEqual(upper_checksum(src, dst, PROTO_ICMPV6, packet[40:]), 0)
        self.assertEqual(packet[48:], offending[: 1280 - 48])

    def test_hop_limit_of_one_is_told_to_the_sender(self):
        for length in (100, 1300):
            before = self.gateway.drops()
            offending = self.inner_out(length, ttl=1)
            self.inside.send(offending)
            frame = self.inside.expect(lambda f: is_icmp6(f, TIME_EXCEEDED))
            self.assertEqual(frame[:6], mac_bytes("02:00:00:00:01:02"))
            self.check_time_exceeded(frame[14:], offending)
            self.assert_drops(before, {"ip_ttl": 1})

    def test_hop_limit_of_one_is_told_through_the_tunnel(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        before = self.gateway.drops()
        offending = self.inner_in(ttl=1)
        self.outside.send(inbound.seal(offending))
        self.check_time_exceeded(outbound.open(self.outside.expect_esp(outbound.spi)), offending)
        self.assert_drops(before, {"ip_ttl": 1})

    def test_no_error_about_an_error(self):
        # RFC 4443 2.4 e.
        before = self.gateway.drops()
        self.inside.send(icmp6(HOST6, REMOTE_HOST6, TIME_EXCEEDED, bytes(4) + self.inner_out(48), ttl=1))
        self.assert_drops(before, {"ip_ttl": 1})
        self.assertEqual([f for f in self.inside.pending(0.1) if is_icmp6(f, TIME_EXCEEDED)], [])


class PolicyTest(Ipv6TestCase):
    def check_out(self, reason, *packets):
        sa = self.gateway.add_out()
        before = self.gateway.drops()
        for packet in packets:
            self.inside.send(packet)
        self.assertEqual(self.pass_out(sa), [], "nothing else may go out")
        self.assert_drops(before, {reason: len(packets)})

    def check_in(self, reason, *packets):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        for packet in packets:
            self.outside.send(packet)
        self.assertEqual(self.pass_in(sa), [], "nothing else may come in")
        self.assert_drops(before, {reason: len(packets)})

    def test_no_policy(self):
        self.check_out(
            "policy_none", self.inner_out(src="fd00:9::1"), self.inner_out(dst="2001:db8:5::1"), echo(HOST6, OUTSIDE_HOST, 1),
            udp(HOST6, OUTSIDE_HOST, 4000, 9998), udp("fd00:1:1::2", OUTSIDE_HOST, 4000, 9999),
        )

    def test_discard_policy_before_the_tunnel(self):
        self.check_out("policy_discard", self.inner_out(dst="fd00:2::66"))

    def test_plaintext_where_policy_wants_esp(self):
        self.check_in("policy_plaintext", self.inner_in(), udp("fd00:3::1", HOST6))

    def test_inbound_without_policy(self):
        self.check_in("policy_none", udp(OUTSIDE_HOST, HOST6, 9998), echo(OUTSIDE_HOST, HOST6, 2))

    def test_inner_selectors(self):
        sa = self.gateway.add_in()
        for src, dst in (("fd00:9::1", HOST6), (REMOTE_HOST6, "fd00:9::1"), ("fd00:3::5", HOST6), (HOST6, REMOTE_HOST6)):
            with self.subTest(src=src, dst=dst):
                before = self.gateway.drops()
                self.outside.send(sa.seal(self.inner_in(src=src, dst=dst)))
                # A packet that does not belong to the SA does not move it.
                sa.sequence -= 1
                self.assertEqual(self.pass_in(sa), [])
                self.assert_drops(before, {"policy_selector": 1})

    def test_ports_are_found_behind_extension_headers(self):
        for extensions in ((PROTO_HOPOPTS,), (PROTO_DSTOPTS,), (PROTO_HOPOPTS, PROTO_DSTOPTS, PROTO_DSTOPTS)):
            with self.subTest(extensions):
                wanted = udp(HOST6, OUTSIDE_HOST, 4000, 9999, b"x", extensions)
                self.inside.send(wanted)
                self.assertEqual(self.outside.expect_packet(forwarded(wanted)), [])
                self.check_out("policy_none", udp(HOST6, OUTSIDE_HOST, 4000, 9998, b"x", extensions))

    def test_ports_of_a_later_fragment_are_not_guessed(self):
        whole = udp(HOST6, OUTSIDE_HOST, 4000, 9999, b"x" * 64)
        later = struct.pack("!BBHI", PROTO_UDP, 0, 8, 77) + whole[40:]
        self.check_out("policy_none", ipv6(HOST6, OUTSIDE_HOST, PROTO_FRAGMENT, later))

    def test_inner_extension_headers_and_fragments_pass_the_tunnel_unchanged(self):
        outbound, inbound = self.gateway.add_out(), self.gateway.add_in()
        for number, extensions in enumerate(((PROTO_HOPOPTS,), (PROTO_DSTOPTS,), (PROTO_HOPOPTS, PROTO_DSTOPTS))):
            inner = self.inner_out(100 + number, extensions=extensions)
            self.inside.send(inner)
            self.assertEqual(outbound.scapy_open(self.outside.expect_esp(outbound.spi)), forwarded(inner))
            self.assertEqual(self.pass_in(inbound, extensions=extensions), [])
        fragment = struct.pack("!BBHI", PROTO_UDP, 0, 8, 77) + bytes(64)
        inner = ipv6(HOST6, REMOTE_HOST6, PROTO_FRAGMENT, fragment)
        self.inside.send(inner)
        self.assertEqual(outbound.scapy_open(self.outside.expect_esp(outbound.spi)), forwarded(inner))


class HeaderTest(Ipv6TestCase):
    """Bad outer headers from the outside, and bad ones of plain packets from the inside."""

    def check_bad(self, reason, *packets):
        ways = (
            (self.outside, self.gateway.add_in, self.pass_in),
            (self.inside, self.gateway.add_out, self.pass_out),
        )
        for wire, add, good in ways:
            sa = add()
            before = self.gateway.drops()
            for packet in packets:
                wire.send(packet, ETH_IPV6)
            self.assertEqual(good(sa), [], "nothing else may pass")
            self.assert_drops(before, {reason: len(packets)})

    def test_runt_frames(self):
        self.check_bad("rx_runt", *(self.inner_out()[:length] for length in (0, 1, 39)))

    def test_payload_length(self):
        self.check_bad("ip_length", *(self.inner_out(total=total) for total in (61, 1000, 65535)))

    def test_version(self):
        packets = [self.inner_out(version=version) for version in (0, 5, 7, 15)]
        self.check_bad("ip_version", *packets, udp(HOST, "10.2.0.5"), ipv4(HOST, "10.2.0.5", 50, bytes(64)))

    def test_source(self):
        self.check_bad("ip_source", self.inner_out(src="ff02::1"), self.inner_out(src="ff0e::7"), self.inner_out(src="::1"))

    def test_extension_headers(self):
        long = bytes([PROTO_UDP, 100]) + bytes(38)
        twice = extension(PROTO_HOPOPTS) + extension(PROTO_UDP) + bytes(16)
        behind = extension(PROTO_HOPOPTS) + extension(PROTO_UDP) + bytes(16)
        self.check_bad(
            "ip_header",
            ipv6(HOST6, REMOTE_HOST6, PROTO_HOPOPTS, long),
            ipv6(HOST6, REMOTE_HOST6, PROTO_DSTOPTS, long),
            ipv6(HOST6, REMOTE_HOST6, PROTO_ROUTING, long),
            ipv6(HOST6, REMOTE_HOST6, PROTO_HOPOPTS, twice),
            ipv6(HOST6, REMOTE_HOST6, PROTO_DSTOPTS, behind),
            ipv6(HOST6, REMOTE_HOST6, PROTO_DSTOPTS, b"\x11"),
            ipv6(HOST6, REMOTE_HOST6, PROTO_FRAGMENT, b"\x11\0\0"),
        )

    def test_outer_extension_headers_in_front_of_esp(self):
        sa = self.gateway.add_in()
        for number in (PROTO_HOPOPTS, PROTO_DSTOPTS):
            inner = self.inner_in()
            outer = sa.seal(inner)
            self.outside.send(ipv6(PEER6, GATEWAY_OUTSIDE6, number, extension(50) + outer[40:]))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_truncated_esp(self):
        sa = self.gateway.add_in()
        esp = sa.seal_esp(self.inner_in(), next_header=41)
        before = self.gateway.drops()
        for length in (0, 4, 7, 8, 16, 32, len(esp) - 1):
            self.outside.send(sa.encapsulate(esp[:length]))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_short": 7})

    def test_wrong_outer_source(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        self.outside.send(sa.seal(self.inner_in(), src="2001:db8::77"))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_outer": 1})

    def test_inner_that_is_not_what_the_next_header_says(self):
        sa = self.gateway.add_in()
        inner = self.inner_in()
        bad = {
            "IPv6 in next header 4": (inner, 4), "IPv4 in next header 41": (udp("10.2.0.5", HOST), 41),
            "version 5": (b"\x55" + inner[1:], 41), "payload length": (inner[:4] + b"\x01\x00" + inner[6:], 41),
            "too short": (inner[:38], 41), "multicast source": (self.inner_in(src="ff02::1"), 41),
        }
        for name, (packet, next_header) in bad.items():
            with self.subTest(name):
                before = self.gateway.drops()
                self.outside.send(sa.seal(packet, next_header=next_header))
                self.assertEqual(self.pass_in(sa), [])
                self.assert_drops(before, {"esp_inner": 1})

    def test_link_scope_packets_out_of_a_tunnel(self):
        # They belong to the link they were sent on (RFC 4291 2.5.6), and the kernel would take them for a neighbour's.
        sa = self.gateway.add_in()
        for src, dst in (("fe80::5", HOST6), (REMOTE_HOST6, "fe80::5"), (REMOTE_HOST6, "ff02::1"), ("::", HOST6)):
            with self.subTest(src=src, dst=dst):
                before = self.gateway.drops()
                self.outside.send(sa.seal(self.inner_in(src=src, dst=dst)))
                self.assertEqual(self.pass_in(sa), [])
                self.assert_drops(before, {"esp_inner": 1})

    def test_link_scope_packets_under_a_wide_bypass(self):
        # They are not forwarded either when they came in the clear and a policy would let them in.
        before = self.gateway.drops()
        passes = udp(OUTSIDE_HOST, HOST6, 5000, 7777)
        self.outside.send(udp("fe80::5", HOST6, 5000, 7777))
        self.outside.send(passes)
        self.assertEqual(self.inside.expect_packet(forwarded(passes)), [])
        self.assert_drops(before, {"ip_source": 1})

    def test_outer_header_of_sealed_packets(self):
        sa = self.gateway.add_out()
        inner = self.inner_out(tos=0xB9, flow=0x12345)
        self.inside.send(inner)
        outer = self.outside.expect(lambda f: is_ip(f) and upper_of(f[14:])[0] == 50)[14:]
        self.assertEqual(sa.scapy_open(outer), forwarded(inner))
        self.assertEqual(struct.unpack("!I", outer[:4])[0] >> 20 & 0xFF, 0xB9, "traffic class")
        self.assertEqual(struct.unpack("!I", outer[:4])[0] & 0xFFFFF, 0x12345, "flow label")
        self.assertEqual(struct.unpack("!H", outer[4:6])[0], len(outer) - 40, "payload length")
        self.assertEqual(outer[7], 64, "hop limit is a new one")
        self.assertEqual(outer[8:40], ip_bytes(GATEWAY_OUTSIDE6) + ip_bytes(PEER6))


if __name__ == "__main__":
    unittest.main()

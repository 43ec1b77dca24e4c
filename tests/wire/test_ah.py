# SPDX-License-Identifier: BSD-3-Clause
"""AH (RFC 4302) on the wire: what tandem protects the oracles of ah.py accept, what they protect tandem accepts, and
what is not as it was sent is refused where RFC 4302 has the ICV cover it."""

import itertools
import os
import random
import socket
import struct
import subprocess
import tempfile
import unittest

from ah import AH_BYTES, PROTO_AH, AhSa, ah_header, ah_offset, algorithm_named
from esp import (
    PROTO_DSTOPTS, PROTO_HOPOPTS, PROTO_ICMPV6, PROTO_ROUTING, checksum, esp_header, forwarded, header_bytes, ipv4, ipv6,
    udp, upper_checksum, upper_of, with_checksum,
)
from gateway import (
    GATEWAY_OUTSIDE, GATEWAY_OUTSIDE6, HOST, HOST6, OWN_LINK, OWN_LINK6, PEER, PEER6, PEER_MAC, REMOTE_HOST,
    REMOTE_HOST6, GatewayTestCase, Tunnel, fragment_config, gateway_config, is_esp, is_ip,
)
from rpc import Rpc, RpcError
from scapy.utils import wrpcap
from test_mtu import cut

SUITES = ("sha256", "sha384", "sha512", "aes128gmac", "aes192gmac", "aes256gmac")
CLASSES = ("sha384", "aes128gmac")
TRANSPORT_PEER, TRANSPORT_PEER6 = "192.0.2.3", "2001:db8::3"
ENDS6 = (GATEWAY_OUTSIDE6, PEER6)
TUNNELS = (
    Tunnel("4in4", ["10.1.0.0/24"], ["10.2.0.0/24"]),
    Tunnel("6in4", ["fd00:1::/64"], ["fd00:2::/64"]),
    Tunnel("4in6", ["10.1.0.0/24"], ["10.4.0.0/24"], ENDS6),
    Tunnel("6in6", ["fd00:1::/64"], ["fd00:4::/64"], ENDS6),
    Tunnel("transport4", ["192.0.2.1/32"], ["192.0.2.3/32"], (GATEWAY_OUTSIDE, TRANSPORT_PEER), transport=True),
    Tunnel("transport6", ["2001:db8::1/128"], ["2001:db8::3/128"], (GATEWAY_OUTSIDE6, TRANSPORT_PEER6), transport=True),
    Tunnel("natt", ["10.1.0.0/24"], ["10.9.0.0/24"], ports=(4500, 4500)),
)
HOSTS = {
    "4in4": (HOST, REMOTE_HOST), "6in4": (HOST6, REMOTE_HOST6), "4in6": (HOST, "10.4.0.5"), "6in6": (HOST6, "fd00:4::5"),
}
PORT = 5000
OWN_POLICIES = ('{ action = "bypass"; direction = "both"; local = "192.0.2.1/32"; remote = "192.0.2.2/32"; }', OWN_LINK6)
MTU = 1500
# IPv4 options: what routers write, and what they only read.
RECORD_ROUTE = bytes((7, 7, 4, 0, 0, 0, 0)) + b"\x01"
TIMESTAMP = bytes((68, 8, 5, 0, 0, 0, 0, 0))
ROUTER_ALERT = bytes((148, 4, 0, 0))
# IPv6 options of 6 bytes: type 0x3e may change on the way, 0x1e may not.
MUTABLE_OPTION, IMMUTABLE_OPTION = bytes((0x3E, 4)) + b"abcd", bytes((0x1E, 4)) + b"efgh"
PADDING_OPTION = bytes((1, 0))


def is_ah(frame, spi=None):
    if not is_ip(frame) or ah_offset(frame[14:]) is None:
        return False
    return spi is None or ah_header(frame[14:])[0] == spi


def flipped(packet, place, bit=0x10):
    """The packet with a bit changed; an IPv4 header checksum fits again."""
    packet = packet[:place] + bytes([packet[place] ^ bit]) + packet[place + 1 :]
    return with_checksum(packet) if packet[0] >> 4 == 4 else packet


def with_options(packet, options):
    """The IPv4 packet with options; their length is a multiple of four."""
    header = bytes([0x45 + len(options) // 4]) + packet[1:2] + struct.pack("!H", len(packet) + len(options)) + packet[4:20]
    return with_checksum(header + options + packet[20:])


class AhTestCase(GatewayTestCase):
    tunnels = TUNNELS
    config_text = gateway_config(ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway.set_neighbour("outside", TRANSPORT_PEER, PEER_MAC)
        if cls.gateway.ipv6:
            cls.gateway.set_neighbour("outside", TRANSPORT_PEER6, PEER_MAC)

    def add_ah(self, direction, suite="sha256", tunnel="4in4", esn=False, **fields):
        entry = self.gateway.tunnels[tunnel]
        ends = entry.ends if direction == "out" else entry.ends[::-1]
        spi = self.gateway.new_sa(direction, tunnel=tunnel).spi
        sa = AhSa(spi, suite, os.urandom(algorithm_named(suite).key_bytes), *ends, esn, entry.transport)
        if direction == "out":
            fields.setdefault("activate", True)
        self.gateway.add(sa, direction, tunnel, protocol="ah", **fields)
        return sa

    def expect_ah(self, sa):
        return self.outside.expect(lambda frame: is_ah(frame, sa.spi))[14:]

    def lengths(self, src, count=8, most=1400):
        """Of packets whose payload is the least, the most, and some of what is between."""
        least = header_bytes(src) + 1
        return [least, least + 1, least + 2, least + 3, most, *(random.randint(least, most) for _ in range(count))]

    def check_seal(self, tunnel, suite, lengths=None, esn=False, by_hand=False):
        """tandem protects, the oracles check."""
        sa = self.add_ah("out", suite, tunnel, esn)
        src, dst = HOSTS[tunnel]
        for number, length in enumerate(lengths or self.lengths(src), 1):
            inner = self.inner_out(length, src, dst)
            self.inside.send(inner)
            outer = self.expect_ah(sa)
            self.assertEqual(ah_header(outer), (sa.spi, number))
            self.assertEqual(sa.open(outer), forwarded(inner), f"{length} bytes")
            if sa.scapy_knows and not by_hand:
                self.assertEqual(sa.scapy_open(outer), forwarded(inner), f"{length} bytes, scapy")

    def check_open(self, tunnel, suite, lengths=None, esn=False, by_hand=False):
        """The oracles protect, tandem checks."""
        sa = self.add_ah("in", suite, tunnel, esn)
        dst, src = HOSTS[tunnel]
        seals = [sa.seal] if by_hand or not sa.scapy_knows else [sa.seal, sa.scapy_seal]
        for number, length in enumerate(lengths or self.lengths(src)):
            inner = self.inner_in(length, src, dst)
            self.outside.send(seals[number % len(seals)](inner))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def passes(self, sa, outer, inner):
        """The packet is accepted, and the control thread knows that the SA is in use."""
        self.outside.send(outer)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["state"], "active")

    def refused(self, sa, packets, reason, tunnel="4in4"):
        """Each packet is dropped for the reason and changes nothing of the SA, which goes on."""
        before, state = self.gateway.drops(), self.gateway.sa_state(sa, "in")
        for packet in packets:
            self.outside.send(packet)
        self.assert_drops(before, {reason: len(packets)})
        after = self.gateway.sa_state(sa, "in")
        for field in ("state", "packets", "bytes", "sequence"):
            self.assertEqual(after[field], state[field], field)
        dst, src = HOSTS[tunnel]
        inner = self.inner_in(90, src, dst)
        self.passes(sa, sa.seal(inner), inner)
        # The worker's word of the first packet comes a little later than the packet.
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["state"], "active")


class TunnelTest(AhTestCase):
    def test_every_algorithm_in_every_combination_of_families(self):
        for suite, tunnel in itertools.product(SUITES, HOSTS):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite)
                self.check_open(tunnel, suite)

    def test_every_length(self):
        for suite, tunnel in zip(CLASSES, ("4in4", "6in6")):
            lengths = range(header_bytes(HOSTS[tunnel][0]), 1401)
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, lengths, by_hand=True)
                self.check_open(tunnel, suite, lengths, by_hand=True)

    def test_extended_sequence_numbers(self):
        for suite, tunnel in zip(SUITES, itertools.cycle(HOSTS)):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, esn=True)
                self.check_open(tunnel, suite, esn=True)

    def test_upper_half_of_the_sequence_number_counts(self):
        for suite in SUITES:
            with self.subTest(suite=suite):
                sa = self.add_ah("in", suite, esn=True)
                for sequence in (1, 0x70000000, 0xE0000000, 0xFFFFFFFF, 0x100000000, 0x100000001):
                    inner = self.inner_in()
                    self.passes(sa, sa.seal(inner, sequence), inner)
                self.assertEqual(self.gateway.sa_state(sa, "in")["sequence"], 0x100000001)
                # The low halves are good ones, and tandem completes them to other numbers.
                wrong = [sa.seal(self.inner_in(), number) for number in (5, 0x200000009)]
                sa.sequence = 0x100000001
                self.refused(sa, wrong, "esp_auth")

    def test_ivs_do_not_repeat(self):
        sa = self.add_ah("out", "aes256gmac")
        seen = set()
        for _ in range(20):
            self.inside.send(self.inner_out())
            seen.add(self.expect_ah(sa)[20 + AH_BYTES : 20 + AH_BYTES + 8])
        self.assertEqual(len(seen), 20)

    def test_changed_bits_are_noticed(self):
        for suite, tunnel in itertools.product(SUITES, ("4in4", "6in6")):
            with self.subTest(suite=suite, tunnel=tunnel):
                sa = self.add_ah("in", suite, tunnel)
                dst, src = HOSTS[tunnel]
                good = sa.seal(self.inner_in(200, src, dst), 50)
                at = ah_offset(good)
                end = at + sa.header_bytes()
                # Next header, reserved, sequence number, each end of IV, ICV and padding, inner header, last byte.
                places = {at, at + 2, at + 3, at + 11, at + 12, at + 19, at + 20, at + 27, end - 1, end + 4, len(good) - 1}
                self.refused(sa, [flipped(good, place) for place in sorted(places)], "esp_auth", tunnel)

    def test_what_changes_on_the_way_may_change(self):
        # DSCP and ECN, DF, TTL; class and flow label, hop limit.
        for tunnel, places in (("4in4", (1, 6, 8)), ("6in6", (0, 1, 2, 3, 7))):
            for suite in CLASSES:
                sa = self.add_ah("in", suite, tunnel)
                dst, src = HOSTS[tunnel]
                for place in places:
                    with self.subTest(tunnel, place=place, suite=suite):
                        inner = self.inner_in(100, src, dst)
                        bit = {0: 0x01, 6: 0x40}.get(place, 0x10)
                        self.passes(sa, flipped(sa.seal(inner), place, bit), inner)

    def test_what_does_not_change_on_the_way_may_not(self):
        sa = self.add_ah("in", "sha512")
        good = sa.seal(self.inner_in(), 50)
        self.refused(sa, [flipped(good, place) for place in (4, 5)], "esp_auth")  # identification
        self.refused(sa, [flipped(good, place) for place in (12, 15)], "esp_outer")  # source address

    def test_ecn_of_the_outer_header_comes_in(self):
        # RFC 4301 5.1.2.1: the outer header is not covered where routers mark it.
        sa = self.add_ah("in")
        inner = self.inner_in(100, tos=2)
        self.outside.send(flipped(sa.seal(inner, tos=2), 1, 0x01))
        marked = with_checksum(inner[:1] + b"\x03" + inner[2:])
        self.assertEqual(self.inside.expect_packet(forwarded(marked)), [])

    def test_replay(self):
        for suite in CLASSES:
            with self.subTest(suite=suite):
                sa = self.add_ah("in", suite)
                inner = self.inner_in()
                first = sa.seal(inner, 5000)
                self.passes(sa, first, inner)
                self.refused(sa, [first, first, sa.seal(self.inner_in(), 0)], "esp_replay")
                self.refused(sa, [sa.seal(self.inner_in(), 7)], "esp_replay_old")

    def test_copies_in_one_burst_pass_once(self):
        sa = self.add_ah("in")
        inner = self.inner_in()
        outer = sa.seal(inner)
        before = self.gateway.drops()
        for _ in range(20):
            self.outside.send(outer)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.assert_drops(before, {"esp_replay": 19})

    def test_protocol_is_that_of_the_sa(self):
        ah, esp = self.add_ah("in"), self.gateway.add_in(tunnel="4in4")
        as_esp, as_ah = self.gateway.new_sa("in", tunnel="4in4"), AhSa(esp.spi, "sha256", os.urandom(32), PEER, GATEWAY_OUTSIDE)
        as_esp.spi = ah.spi
        self.refused(ah, [as_esp.seal(self.inner_in()), as_ah.seal(self.inner_in())], "esp_protocol")
        self.assertEqual(self.pass_in(esp), [])

    def test_runts(self):
        for suite, tunnel in itertools.product(CLASSES, ("4in4", "6in6")):
            with self.subTest(suite=suite, tunnel=tunnel):
                sa = self.add_ah("in", suite, tunnel)
                good = sa.seal(self.inner_in(100, *reversed(HOSTS[tunnel])), 9)
                at = ah_offset(good)
                cut = [good[: at + length] for length in range(1, sa.header_bytes())]
                if tunnel == "4in4":
                    cut = [with_checksum(p[:2] + struct.pack("!H", len(p)) + p[4:]) for p in cut]
                else:
                    cut = [p[:4] + struct.pack("!H", len(p) - 40) + p[6:] for p in cut]
                self.refused(sa, cut, "esp_short", tunnel)

    def test_header_of_another_length(self):
        for suite in CLASSES:
            sa = self.add_ah("in", suite)
            right = sa.header_bytes() // 4 - 2
            lengths = [words for words in range(256) if words not in (right, right + 1)]
            self.refused(sa, [sa.seal(self.inner_in(), 9, words=words) for words in lengths], "esp_short")

    def test_padding_of_the_other_ip_version(self):
        # Linux pads to eight bytes over IPv4 as well, unless told otherwise.
        for suite in SUITES:
            with self.subTest(suite=suite):
                sa = self.add_ah("in", suite)
                inner = self.inner_in()
                self.passes(sa, sa.seal(inner, padding=os.urandom(-sa.header_bytes() % 8)), inner)
        sa = self.add_ah("in", "sha384", "6in6")
        inner = self.inner_in(100, *reversed(HOSTS["6in6"]))
        self.passes(sa, sa.seal(inner, padding=b""), inner)

    def test_inner_packet_is_checked(self):
        sa = self.add_ah("in")
        good = self.inner_in()
        nothing = sa.protect(sa.seal(good)[:20], 9, b"", 4)
        bad = (nothing, sa.seal(good, next_header=41), sa.seal(b"\x45" + bytes(10)), sa.seal(good[:-1]))
        self.refused(sa, bad, "esp_inner")
        self.refused(sa, [sa.seal(good, next_header=number) for number in (6, 17, 59)], "esp_next_header")
        self.refused(sa, [sa.seal(self.inner_in(src="10.77.0.1"))], "policy_selector")

    def test_options_in_front_of_ah(self):
        # RFC 4302 A1, in an outer header.
        sa = self.add_ah("in", "aes128gmac")
        options = ROUTER_ALERT + RECORD_ROUTE
        for name, place, passes in (
            ("untouched", None, True), ("recorded route", 30, True), ("its pointer", 26, True),
            ("router alert", 23, False), ("no-operation", 31, False),
        ):
            with self.subTest(name):
                inner = self.inner_in()
                outer = with_options(sa.seal(inner)[:20], options)
                outer = sa.protect(outer, 9, inner, 4, sa.sequence + 1)
                if place is not None:
                    outer = with_checksum(outer[:place] + bytes([outer[place] ^ 0x04]) + outer[place + 1 :])
                if passes:
                    self.passes(sa, outer, inner)
                else:
                    self.refused(sa, [outer], "ah_headers" if name == "no-operation" else "esp_auth")

    def test_options_that_ah_cannot_protect(self):
        sa = self.add_ah("in")
        header = sa.seal(self.inner_in())[:20]
        bad = {
            "source route": bytes((131, 7, 4, 10, 9, 9, 9, 0)), "strict source route": bytes((137, 7, 4, 10, 9, 9, 9, 0)),
            "no length": bytes((1, 1, 1, 7)), "length 1": bytes((7, 1, 0, 0)), "length 0": bytes((7, 0, 0, 0)),
            "too long": bytes((7, 5, 4, 0)),
        }
        for name, options in bad.items():
            with self.subTest(name):
                at = 20 + len(options)
                outer = with_options(header[:9] + bytes([PROTO_AH]) + header[10:], options)
                packet = outer + sa.seal(self.inner_in(), 9)[20:]
                packet = with_checksum(packet[:2] + struct.pack("!H", len(packet)) + packet[4:])
                self.assertEqual(ah_offset(packet), at)
                self.refused(sa, [packet], "ah_headers")

    def test_source_route_that_has_ended(self):
        sa = self.add_ah("in")
        inner = self.inner_in()
        outer = with_options(sa.seal(inner)[:20], bytes((131, 7, 8, 10, 9, 9, 9, 0)))
        self.passes(sa, sa.protect(outer, 9, inner, 4), inner)

    def test_extension_headers_in_front_of_ah(self):
        sa = self.add_ah("in", "sha256", "6in6")
        headers = bytes((PROTO_DSTOPTS, 1)) + MUTABLE_OPTION + IMMUTABLE_OPTION + PADDING_OPTION
        headers += bytes((PROTO_AH, 1)) + IMMUTABLE_OPTION + MUTABLE_OPTION + PADDING_OPTION
        for place in (None, 44, 47, 66, 69):
            with self.subTest(place=place):
                inner = self.inner_in(100, *reversed(HOSTS["6in6"]))
                outer = sa.seal(inner, headers=headers, protocol=PROTO_HOPOPTS)
                self.assertEqual(ah_offset(outer), 72)
                self.passes(sa, outer if place is None else flipped(outer, place, 0x01), inner)
        good = sa.seal(self.inner_in(100, *reversed(HOSTS["6in6"])), 100, headers=headers, protocol=PROTO_HOPOPTS)
        self.refused(sa, [flipped(good, place, 0x80) for place in (50, 53, 60, 63)], "esp_auth", "6in6")

    def test_extension_headers_that_ah_cannot_protect(self):
        sa = self.add_ah("in", "sha256", "6in6")
        bad = {
            "routing": (PROTO_ROUTING, bytes((PROTO_AH, 0, 0, 0)) + bytes(4)),
            "option too long": (PROTO_HOPOPTS, bytes((PROTO_AH, 0, 1, 5)) + bytes(4)),
            "option without length": (PROTO_DSTOPTS, bytes((PROTO_AH, 0, 1, 3)) + bytes(3) + b"\x05"),
            "very long": (PROTO_DSTOPTS, bytes((PROTO_AH, 31, 1, 252)) + bytes(252)),
        }
        for name, (kind, header) in bad.items():
            with self.subTest(name):
                inner = self.inner_in(100, *reversed(HOSTS["6in6"]))
                plain = sa.seal(inner, 9)
                packet = plain[:6] + bytes([kind]) + plain[7:40] + header + plain[40:]
                packet = packet[:4] + struct.pack("!H", len(packet) - 40) + packet[6:]
                self.refused(sa, [packet], "ah_headers", "6in6")

    def test_unknown_spi(self):
        sa = self.add_ah("in")
        other = AhSa(0xABCDEF, "sha256", os.urandom(32), PEER, GATEWAY_OUTSIDE)
        self.refused(sa, [other.seal(self.inner_in())], "esp_spi_unknown")

    def test_esp_and_ah_share_bursts(self):
        ah = {tunnel: self.add_ah("out", suite, tunnel) for suite, tunnel in zip(SUITES, ("4in4", "6in6"))}
        esp = {tunnel: self.gateway.add_out("aes256-sha512", tunnel=tunnel) for tunnel in ("6in4", "4in6")}
        sent = {tunnel: [] for tunnel in HOSTS}
        for _, tunnel in itertools.product(range(16), HOSTS):
            inner = self.inner_out(120, *HOSTS[tunnel])
            sent[tunnel].append(forwarded(inner))
            self.inside.send(inner)
        frames = [self.outside.expect(lambda f: is_ah(f) or is_esp(f))[14:] for _ in range(64)]
        for tunnel, sa in {**ah, **esp}.items():
            read = ah_header if tunnel in ah else esp_header
            own = [f for f in frames if (ah_offset(f) is not None) == (tunnel in ah)]
            self.assertEqual([sa.open(f) for f in own if read(f)[0] == sa.spi], sent[tunnel], tunnel)
        inbound = {tunnel: self.add_ah("in", suite, tunnel) for suite, tunnel in zip(SUITES, ah)}
        inbound |= {tunnel: self.gateway.add_in("null-sha256", tunnel=tunnel) for tunnel in esp}
        opened = []
        for _, tunnel in itertools.product(range(16), HOSTS):
            inner = self.inner_in(120, *reversed(HOSTS[tunnel]))
            opened.append(forwarded(inner))
            self.outside.send(inbound[tunnel].seal(inner))
        self.inside.expect_packets(opened)

    def test_states_and_counters(self):
        sa = self.add_ah("in")
        self.assertEqual(self.gateway.sa_state(sa, "in")["state"], "pending")
        inner = self.inner_in(100)
        self.passes(sa, sa.seal(inner), inner)
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["state"], "active")
        row = self.gateway.sa_state(sa, "in")
        self.assertEqual((row["protocol"], row["suite"], row["packets"], row["bytes"]), ("ah", "sha256", 1, 100))

    def test_hard_limit_stops_it(self):
        sa = self.add_ah("out", hard_packets=3)
        for _ in range(3):
            self.inside.send(self.inner_out())
            self.expect_ah(sa)
        before = self.gateway.drops()
        self.inside.send(self.inner_out())
        self.assert_drops(before, {"esp_out_expired": 1})


class SizeTest(AhTestCase):
    """What fits, and what happens to what does not."""

    def test_largest_packet(self):
        for suite, tunnel in itertools.product(("sha256", "sha384", "aes256gmac"), HOSTS):
            with self.subTest(suite=suite, tunnel=tunnel):
                sa = self.add_ah("out", suite, tunnel)
                room = MTU - (40 if ":" in sa.src else 20) - sa.header_bytes()
                src, dst = HOSTS[tunnel]
                flags = {"flags": 2} if src == HOST else {}
                inner = self.inner_out(room, src, dst, **flags)
                self.inside.send(inner)
                outer = self.expect_ah(sa)
                self.assertEqual((len(outer), sa.open(outer)), (MTU, forwarded(inner)))
                before = self.gateway.drops()
                self.inside.send(self.inner_out(room + 1, src, dst, **flags))
                error = self.inside.expect(lambda f: is_ip(f) and f[14 + (9 if f[14] >> 4 == 4 else 6)] in (1, 58))[14:]
                told = struct.unpack("!H", error[26:28])[0] if src == HOST else struct.unpack("!I", error[44:48])[0]
                self.assertEqual(told, room)
                self.assert_drops(before, {"esp_too_big": 1})

    def test_fragments_before_protection(self):
        sa = self.add_ah("out", "sha256")
        inner = self.inner_out(MTU)
        self.inside.send(inner)
        parts = [sa.open(self.expect_ah(sa)) for _ in range(2)]
        self.assertEqual(b"".join(part[20:] for part in parts), inner[20:])

    def test_path_mtu_hint_quotes_ah(self):
        for tunnel in ("4in4", "6in6"):
            with self.subTest(tunnel=tunnel):
                sa = self.add_ah("out", "sha256", tunnel)
                self.inside.send(self.inner_out(100, *HOSTS[tunnel]))
                quote = self.expect_ah(sa)
                with Rpc(self.gateway.daemon.socket_path) as rpc:
                    rpc.subscribe()
                    self.outside.send(too_big(quote, 1300))
                    self.assertEqual(rpc.wait_event("path_mtu", timeout=20, tunnel=tunnel)["mtu"], 1300)


def too_big(quote, mtu):
    """The router's error about a packet."""
    if quote[0] >> 4 == 4:
        body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quote[:28]
        return ipv4(PEER, GATEWAY_OUTSIDE, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])
    body = struct.pack("!BBHI", 2, 0, 0, mtu) + quote[:1200]
    total = upper_checksum(PEER6, GATEWAY_OUTSIDE6, PROTO_ICMPV6, body)
    return ipv6(PEER6, GATEWAY_OUTSIDE6, PROTO_ICMPV6, body[:2] + struct.pack("!H", total) + body[4:])


class TransportTest(AhTestCase):
    """The gateway's own packets."""

    def socket(self, family, address, options=()):
        own = self.gateway.namespace.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(own.close)
        own.bind((address, 0))
        own.settimeout(20)
        for level, option, value in options:
            own.setsockopt(level, option, value)
        return own

    def socket4(self, options=b""):
        level = [(socket.IPPROTO_IP, 4, options)] if options else []  # IP_OPTIONS
        return self.socket(socket.AF_INET, GATEWAY_OUTSIDE, level)

    def socket6(self, hop=b"", destination=b""):
        # IPV6_HOPOPTS, IPV6_DSTOPTS
        levels = [(socket.IPPROTO_IPV6, number, value) for number, value in ((54, hop), (59, destination)) if value]
        return self.socket(socket.AF_INET6, GATEWAY_OUTSIDE6, levels)

    def check_seal(self, own, peer, tunnel, suite, esn=False, front=None):
        sa = self.add_ah("out", suite, tunnel, esn)
        for length in (0, 1, 2, 3, 15, 16, 100, 1200, random.randint(1, 1300)):
            data = os.urandom(length)
            own.sendto(data, (peer, PORT))
            outer = self.expect_ah(sa)
            if front is not None:
                self.assertEqual(ah_offset(outer), front)
            opened = {"by hand": sa.open(outer)}
            if sa.scapy_knows:
                opened["scapy"] = sa.scapy_open(outer)
            for name, inner in opened.items():
                protocol, offset, _ = upper_of(inner)
                self.assertEqual((protocol, inner[offset + 8 :]), (17, data), name)

    def check_open(self, own, peer, tunnel, suite, esn=False, make=None):
        sa = self.add_ah("in", suite, tunnel, esn)
        address, port = own.getsockname()[:2]
        for number, length in enumerate((0, 1, 2, 3, 15, 16, 100, 1200)):
            data = os.urandom(length)
            packet = udp(peer, address, PORT, port, data)
            packet = make(packet) if make else packet
            seal = sa.scapy_seal if sa.scapy_knows and number % 2 else sa.seal_transport
            self.outside.send(seal(packet))
            received, sender = own.recvfrom(2000)
            self.assertEqual((received, sender[:2]), (data, (peer, PORT)))

    def test_every_algorithm(self):
        own4, own6 = self.socket4(), self.socket6()
        for suite, esn in itertools.product(SUITES, (False, True)):
            for own, peer, tunnel in ((own4, TRANSPORT_PEER, "transport4"), (own6, TRANSPORT_PEER6, "transport6")):
                with self.subTest(suite=suite, tunnel=tunnel, esn=esn):
                    self.check_seal(own, peer, tunnel, suite, esn)
                    self.check_open(own, peer, tunnel, suite, esn)

    def test_fragments_behind_protection(self):
        # RFC 4302 3.3.4: the ICV is that of the packet before it was cut.
        own = self.socket4()
        own.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        for suite in CLASSES:
            with self.subTest(suite=suite):
                sa = self.add_ah("out", suite, "transport4")
                data = os.urandom(MTU - 28)
                own.sendto(data, (TRANSPORT_PEER, PORT))
                first, last = (self.outside.expect(lambda f: is_ip(f) and f[14 + 9] == PROTO_AH)[14:] for _ in range(2))
                self.assertEqual((first[6] >> 5, last[6] >> 5), (1, 0))  # more fragments
                whole = first[:2] + struct.pack("!H", len(first) + len(last) - 20) + first[4:6] + b"\0\0" + first[8:]
                self.assertTrue(sa.open(with_checksum(whole + last[20:])).endswith(data))

    def test_ipv4_options(self):
        for name, options in (
            ("mutable", RECORD_ROUTE), ("two mutable", RECORD_ROUTE + TIMESTAMP), ("immutable", ROUTER_ALERT),
            ("both", ROUTER_ALERT + TIMESTAMP), ("end of list", ROUTER_ALERT + b"\x01\x01\x01\x00"),
        ):
            own = self.socket4(options)
            for suite in CLASSES:
                with self.subTest(name, suite=suite):
                    self.check_seal(own, TRANSPORT_PEER, "transport4", suite, front=20 + len(options))
                    self.check_open(own, TRANSPORT_PEER, "transport4", suite, make=lambda p, o=options: with_options(p, o))

    def test_ipv4_options_changed_on_the_way(self):
        own = self.socket4()
        sa = self.add_ah("in", "sha256", "transport4")
        make = lambda data: with_options(
            udp(TRANSPORT_PEER, GATEWAY_OUTSIDE, PORT, own.getsockname()[1], data), RECORD_ROUTE + ROUTER_ALERT)
        before = self.gateway.drops()
        self.outside.send(flipped(sa.seal_transport(make(b"refused")), 31))
        self.outside.send(flipped(sa.seal_transport(make(b"recorded")), 24))
        self.assertEqual(own.recvfrom(100)[0], b"recorded")
        self.assert_drops(before, {"esp_auth": 1})

    def test_ipv6_options(self):
        hop = bytes((0, 0)) + MUTABLE_OPTION
        destination = bytes((0, 0)) + IMMUTABLE_OPTION
        for name, kinds in (("hop-by-hop", (hop, b"")), ("destination", (b"", destination)), ("both", (hop, destination))):
            own = self.socket6(*kinds)
            for suite in CLASSES:
                with self.subTest(name, suite=suite):
                    sa = self.add_ah("out", suite, "transport6")
                    data = os.urandom(33)
                    own.sendto(data, (TRANSPORT_PEER6, PORT))
                    outer = self.expect_ah(sa)
                    # Destination options for the last host are protected behind AH.
                    self.assertEqual(ah_offset(outer), 40 + len(kinds[0]))
                    self.assertTrue(sa.open(outer).endswith(data))

    def test_ipv6_options_come_in(self):
        own = self.socket6()
        address, port = own.getsockname()[:2]
        plain = udp(TRANSPORT_PEER6, address, PORT, port, b"options")
        chain = bytes((PROTO_DSTOPTS, 0)) + MUTABLE_OPTION + bytes((17, 0)) + IMMUTABLE_OPTION
        whole = plain[:4] + struct.pack("!H", len(plain) - 40 + 16) + bytes([PROTO_HOPOPTS]) + plain[7:40] + chain + plain[40:]
        for suite in CLASSES:
            sa = self.add_ah("in", suite, "transport6")
            for at in (48, 56):  # AH behind hop-by-hop options, and behind destination options too
                with self.subTest(suite=suite, at=at):
                    headers, rest = whole[:at], whole[at:]
                    named_at = 40 if at == 48 else 48
                    outer = sa.protect(headers, named_at, rest, headers[named_at])
                    self.outside.send(flipped(outer, 45))  # the router wrote into its option
                    self.assertEqual(own.recvfrom(100)[0], b"options")

    def test_headers_that_ah_cannot_protect_do_not_leave(self):
        sa = self.add_ah("out", "sha256", "transport4")
        before = self.gateway.drops()
        # Loose source route: the address written to the packet is that of the first hop.
        own = self.socket4(bytes((131, 7, 4)) + socket.inet_aton(TRANSPORT_PEER) + b"\x01")
        own.sendto(b"routed", (TRANSPORT_PEER, PORT))
        self.assert_drops(before, {"ah_headers": 1})
        self.socket4().sendto(b"plain", (TRANSPORT_PEER, PORT))
        self.assertTrue(sa.open(self.expect_ah(sa)).endswith(b"plain"))

    def test_plaintext_is_refused(self):
        own = self.socket4()
        sa = self.add_ah("in", "sha256", "transport4")
        before = self.gateway.drops()
        self.outside.send(udp(TRANSPORT_PEER, GATEWAY_OUTSIDE, PORT, own.getsockname()[1], b"in the clear"))
        self.outside.send(sa.seal_transport(udp(TRANSPORT_PEER, GATEWAY_OUTSIDE, PORT, own.getsockname()[1], b"sealed")))
        self.assertEqual(own.recvfrom(100)[0], b"sealed")
        self.assert_drops(before, {"policy_plaintext": 1})


class FragmentTest(AhTestCase):
    config_text = fragment_config(ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    def test_outer_fragments_are_put_together(self):
        for tunnel, suite in itertools.product(("4in4", "6in6"), CLASSES):
            with self.subTest(tunnel, suite=suite):
                sa = self.add_ah("in", suite, tunnel)
                inner = self.inner_in(1000, *reversed(HOSTS[tunnel]))
                outer = sa.seal(inner)
                # The ICV covers the identification.
                for piece in cut(outer, 400, 800, identification=struct.unpack("!H", outer[4:6])[0]):
                    self.outside.send(piece)
                self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])


class WorkersTest(AhTestCase):
    config_text = gateway_config(workers=2, ipv6=True, tunnels=TUNNELS, policies=OWN_POLICIES)

    def test_packets_go_to_their_owner(self):
        for worker, suite in itertools.product((0, 1), CLASSES):
            with self.subTest(worker=worker, suite=suite):
                out, into = self.add_ah("out", suite, worker=worker), self.add_ah("in", suite, worker=worker)
                inner = self.inner_out()
                self.inside.send(inner)
                self.assertEqual(out.open(self.expect_ah(out)), forwarded(inner))
                inner = self.inner_in()
                self.passes(into, into.seal(inner), inner)


class ControlTest(AhTestCase):
    def error_of(self, **fields):
        request = {"spi": 0x9999, "direction": "in", "tunnel": "4in4", "suite": "sha256", "key": os.urandom(32).hex()}
        with self.assertRaises(RpcError) as caught:
            self.gateway.rpc.call("sa.add", {**request, **fields})
        return caught.exception

    def test_wrong_requests(self):
        for field, fields in (
            ("protocol", {"protocol": "ipcomp"}), ("protocol", {"protocol": 51}), ("suite", {}),
            ("suite", {"protocol": "esp"}), ("suite", {"protocol": "ah", "suite": "aes128gcm16"}),
            ("key", {"protocol": "ah", "suite": "sha512"}), ("protocol", {"protocol": "ah", "tunnel": "natt"}),
            ("protocol", {"protocol": "ah", "tunnel": "natt", "direction": "out"}),
        ):
            with self.subTest(**fields):
                error = self.error_of(**fields)
                self.assertEqual((error.code, error.data["field"]), (-32602, field), error)
                self.assertEqual(self.gateway.rpc.call("sa.list")["sas"], [])

    def test_suites_say_their_protocol(self):
        rows = self.gateway.rpc.call("suite.list")["suites"]
        self.assertEqual(sorted(row["name"] for row in rows if row["protocol"] == "ah"), sorted(SUITES))
        self.assertEqual({row["protocol"] for row in rows}, {"esp", "ah"})
        for row in rows:
            if row["protocol"] == "ah":
                algorithm = algorithm_named(row["name"])
                self.assertEqual(
                    (row["key_bytes"], row["iv_bytes"], row["icv_bytes"]),
                    (algorithm.key_bytes, algorithm.iv_bytes, algorithm.icv_bytes),
                )

    def test_protocol_of_an_esp_sa(self):
        self.assertEqual(self.gateway.sa_state(self.gateway.add_in(tunnel="4in4"), "in")["protocol"], "esp")
        sa = self.gateway.add_in(tunnel="4in4", protocol="esp")
        self.assertEqual(self.gateway.sa_state(sa, "in")["protocol"], "esp")


class TsharkTest(AhTestCase):
    FIELDS = ("ah.next_header", "ah.length", "ah.reserved", "ah.spi", "ah.sequence", "udp.length")

    def test_parses_what_tandem_sends(self):
        frames, wanted = [], []
        for suite, tunnel in itertools.product(SUITES, HOSTS):
            sa = self.add_ah("out", suite, tunnel)
            src, dst = HOSTS[tunnel]
            self.inside.send(self.inner_out(100, src, dst))
            frames.append(self.outside.expect(lambda frame, spi=sa.spi: is_ah(frame, spi)))
            words = str(sa.header_bytes() // 4 - 2)
            row = ["4" if src == HOST else "41", words, "0000", f"0x{sa.spi:08x}", "1", str(100 - header_bytes(src) + 8)]
            wanted.append(row)
        with tempfile.TemporaryDirectory(prefix="tandem-tshark-") as directory:
            capture = os.path.join(directory, "outside.pcap")
            wrpcap(capture, frames, linktype=1)
            command = ["tshark", "-n", "-r", capture, "-T", "fields", "-E", "occurrence=f"]
            for field in self.FIELDS:
                command += ["-e", field]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split("\t") for line in done.stdout.splitlines()], wanted)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""What does not fit: too-big messages with the right MTU, fragments before encryption, outer fragments reassembled
before decryption, the learned path MTU; and what the outer header takes from the inner one."""

import itertools
import random
import struct
import unittest

from esp import (
    PROTO_FRAGMENT, PROTO_ICMPV6, checksum, forwarded, ip_bytes, ipv4, ipv6, udp_of_length, upper_checksum,
    with_checksum, with_length,
)
from gateway import (
    GATEWAY_INSIDE, GATEWAY_INSIDE6, GATEWAY_OUTSIDE, GATEWAY_OUTSIDE6, HOST, HOST6, OWN_LINK, OWN_LINK6, PEER, PEER6,
    REMOTE_HOST, REMOTE_HOST6, GatewayTestCase, Tunnel, drops_between, ethertype_of, fragment_config, gateway_config,
    is_ip,
)
from rpc import Rpc

MTU = 1500
DF = 2
ROUTER, ROUTER6 = "192.0.2.2", PEER6
ENDS6 = (GATEWAY_OUTSIDE6, PEER6)
SUITES = ("aes128gcm16", "aes256-sha512", "null-sha256")
FAMILIES = (
    Tunnel("4in4", ["10.1.0.0/24"], ["10.2.0.0/24"]),
    Tunnel("6in4", ["fd00:1::/64"], ["fd00:2::/64"]),
    Tunnel("4in6", ["10.1.0.0/24"], ["10.4.0.0/24"], ENDS6),
    Tunnel("6in6", ["fd00:1::/64"], ["fd00:4::/64"], ENDS6),
)
HOSTS = {
    "4in4": (HOST, REMOTE_HOST), "6in4": (HOST6, REMOTE_HOST6), "4in6": (HOST, "10.4.0.5"), "6in6": (HOST6, "fd00:4::5"),
}


def largest_inner(sa, mtu=MTU):
    """The longest packet that, sealed, fits an MTU."""
    header = (40 if ":" in sa.src else 20) + (8 if sa.ports else 0) + 8 + sa.crypto.iv_bytes
    return (mtu - header - sa.crypto.icv_bytes) // sa.crypto.align * sa.crypto.align - 2


def is_icmp_error(frame):
    """An ICMP or ICMPv6 error."""
    if not is_ip(frame):
        return False
    packet = frame[14:]
    return (packet[9] == 1 and packet[20] in (3, 11)) if packet[0] >> 4 == 4 else (packet[6] == 58 and packet[40] < 128)


def cut(packet, *places, identification=None):
    """Fragments of a packet, cut at these offsets of its payload."""
    identification = random.getrandbits(16) if identification is None else identification
    is_ipv4 = packet[0] >> 4 == 4
    header, payload = (packet[:20], packet[20:]) if is_ipv4 else (packet[:40], packet[40:])
    edges = [0, *places, len(payload)]
    return [
        piece(header, payload[start:end], start, end < len(payload), identification)
        for start, end in zip(edges, edges[1:])
    ]


def piece(header, data, offset, more, identification):
    """The fragment with these bytes at this offset."""
    if header[0] >> 4 == 4:
        fields = struct.pack("!HH", identification, offset // 8 | (0x2000 if more else 0))
        return with_length(header[:4] + fields + header[8:20] + data)
    extension = struct.pack("!BBHI", header[6], 0, offset | more, identification)
    return with_length(header[:6] + bytes([PROTO_FRAGMENT]) + header[7:40] + extension + data)


def joined6(fragments):
    """The packet that IPv6 fragments make, whose fragment header is right behind the IPv6 header."""
    ordered = sorted(fragments, key=lambda f: f[42] << 8 | f[43] & 0xF8)
    data = b""
    for number, fragment in enumerate(ordered):
        field = struct.unpack("!H", fragment[42:44])[0]
        # The protocol and the identification are the same in all.
        same = fragment[6] == PROTO_FRAGMENT and fragment[40:41] + fragment[44:48] == ordered[0][40:41] + ordered[0][44:48]
        if not same or (field & 0xFFF8) != len(data) or bool(field & 1) != (number + 1 < len(ordered)):
            raise ValueError("fragments do not fit together")
        data += fragment[48:]
    header = ordered[0]
    return with_length(header[:6] + header[40:41] + header[7:40] + data)


def joined(fragments):
    """The packet that IPv4 fragments make."""
    ordered = sorted(fragments, key=lambda f: f[6] << 8 & 0x1F00 | f[7])
    data, header = b"", ordered[0]
    for number, fragment in enumerate(ordered):
        field = struct.unpack("!H", fragment[6:8])[0]
        if (field & 0x1FFF) * 8 != len(data) or bool(field & 0x2000) != (number + 1 < len(ordered)):
            raise ValueError("fragments do not fit together")
        if checksum(fragment[:20]) != 0 or fragment[4:6] != header[4:6]:
            raise ValueError("fragment header")
        data += fragment[20:]
    return with_length(header[:6] + b"\0\0" + header[8:20] + data)


class ErrorTestCase(GatewayTestCase):
    def check_error(self, packet, source, kind, code, rest, offending):
        """An ICMP error from the gateway to the sender of a packet."""
        is_ipv4 = packet[0] >> 4 == 4
        start, addresses, limit = (20, slice(12, 20), 576) if is_ipv4 else (40, slice(8, 40), 1280)
        sender = offending[12:16] if is_ipv4 else offending[8:24]
        self.assertEqual(packet[addresses], ip_bytes(source) + sender)
        self.assertEqual((packet[start], packet[start + 1]), (kind, code))
        self.assertEqual(struct.unpack("!I", packet[start + 4 : start + 8])[0], rest)
        self.assertEqual(packet[start + 8 :], offending[: limit - start - 8], "the packet that it is about")
        if is_ipv4:
            self.assertEqual((checksum(packet[:20]), checksum(packet[20:])), (0, 0))
        else:
            pseudo = packet[8:40] + struct.pack("!II", len(packet) - 40, PROTO_ICMPV6)
            self.assertEqual(checksum(pseudo + packet[40:]), 0)

    def check_too_big(self, offending, mtu):
        """The host sends a packet and is told what would fit."""
        before = self.gateway.drops()
        self.inside.send(offending)
        error = self.inside.expect(is_icmp_error)[14:]
        if offending[0] >> 4 == 4:
            self.check_error(error, GATEWAY_INSIDE, 3, 4, mtu, forwarded(offending))
        else:
            self.check_error(error, GATEWAY_INSIDE6, 2, 0, mtu, forwarded(offending))
        self.assert_drops(before, {"esp_too_big": 1})


class TooBigTest(ErrorTestCase):
    tunnels = FAMILIES
    config_text = gateway_config(ipv6=True, tunnels=FAMILIES, policies=(OWN_LINK, OWN_LINK6))

    def test_largest_packet_passes_and_one_more_byte_is_told(self):
        for suite, tunnel in itertools.product(SUITES, HOSTS):
            with self.subTest(suite=suite, tunnel=tunnel):
                sa = self.gateway.add_out(suite, tunnel=tunnel)
                src, dst = HOSTS[tunnel]
                flags = {"flags": DF} if src == HOST else {}
                mtu = largest_inner(sa)
                for length in (mtu + 1, MTU):
                    self.check_too_big(self.inner_out(length, src, dst, **flags), mtu)
                inner = self.inner_out(mtu, src, dst, **flags)
                self.inside.send(inner)
                outer = self.outside.expect_esp(sa.spi)
                self.assertEqual(sa.open(outer), forwarded(inner))
                self.assertGreater(len(outer), MTU - sa.crypto.align)

    def test_fragments_are_made_before_encryption(self):
        for suite, tunnel in itertools.product(SUITES, ("4in4", "4in6")):
            sa = self.gateway.add_out(suite, tunnel=tunnel)
            for length in (largest_inner(sa) + 1, MTU - 1, MTU):
                with self.subTest(suite=suite, tunnel=tunnel, length=length):
                    inner = self.inner_out(length, *HOSTS[tunnel])
                    self.inside.send(inner)
                    outers = [self.outside.expect_esp(sa.spi) for _ in range(2)]
                    self.assertLessEqual(max(len(outer) for outer in outers), MTU)
                    fragments = [sa.open(outer) for outer in outers]
                    self.assertEqual(joined(fragments), forwarded(inner))

    def test_order_is_kept_around_a_packet_that_is_cut(self):
        sa = self.gateway.add_out(tunnel="4in4")
        inners = [self.inner_out(length) for length in (100, MTU, 101, MTU, 102)]
        for inner in inners:
            self.inside.send(inner)
        opened = [sa.open(self.outside.expect_esp(sa.spi)) for _ in range(7)]
        for index in (1, 3):
            opened[index : index + 2] = [joined(opened[index : index + 2])]
        self.assertEqual(opened, [forwarded(inner) for inner in inners])

    def test_ttl_of_one_is_told_to_the_sender(self):
        before = self.gateway.drops()
        for ttl in (1, 0):
            offending = self.inner_out(ttl=ttl)
            self.inside.send(offending)
            error = self.inside.expect(is_icmp_error)[14:]
            self.check_error(error, GATEWAY_INSIDE, 11, 0, 0, offending)
        self.assert_drops(before, {"ip_ttl": 2})

    def test_ttl_of_one_is_told_through_the_tunnel(self):
        inbound, outbound = self.gateway.add_in(tunnel="4in4"), self.gateway.add_out(tunnel="4in4")
        offending = self.inner_in(ttl=1)
        self.outside.send(inbound.seal(offending))
        error = outbound.open(self.outside.expect_esp(outbound.spi))
        self.check_error(error, GATEWAY_INSIDE, 11, 0, 0, offending)


class GuardedErrorTest(ErrorTestCase):
    """Policy lets the gateway's ICMP leave in the clear, but no policy was asked about what an error quotes."""

    config_text = gateway_config(
        policies=(
            '{ action = "bypass"; direction = "out"; local = "10.1.0.1/32"; protocol = "icmp"; }',
            '{ action = "bypass"; direction = "in"; local = "10.1.0.0/24"; remote = "198.51.100.0/24"; }',
            OWN_LINK,
        )
    )

    def test_error_about_a_decrypted_packet_never_leaves_by_a_bypass(self):
        # A way out there is.
        self.gateway.namespace.ip("route", "replace", "10.2.0.0/24", "via", PEER, "dev", "outside")
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        for _ in range(3):
            self.outside.send(sa.seal(self.inner_in(ttl=1)))
        self.assert_drops(before, {"ip_ttl": 3, "policy_none": 3})
        # The error about a packet that came in the clear takes this way: it is the next ICMP packet out there.
        plain = self.inner_in(src="198.51.100.7", ttl=1)
        self.outside.send(plain)
        others, frame = self.outside.until(is_icmp_error)
        self.assertEqual([f.hex() for f in others if is_ip(f)], [])
        self.check_error(frame[14:], GATEWAY_INSIDE, 11, 0, 0, plain)


class InnerFragmentTest(ErrorTestCase):
    """Fragments from the inside that do not fit, on a driver that shows them one by one."""

    tunnels = FAMILIES
    config_text = fragment_config(ipv6=True, tunnels=FAMILIES, policies=(OWN_LINK, OWN_LINK6))

    def test_fragment_that_has_to_be_cut_again(self):
        sa = self.gateway.add_out(tunnel="4in4")
        whole = self.inner_out(2968)
        parts = cut(whole, 1480, identification=0x1234)
        for part in parts:
            self.inside.send(part)
        fragments = [sa.open(self.outside.expect_esp(sa.spi)) for _ in range(4)]
        wanted = forwarded(whole[:4] + b"\x12\x34" + whole[6:])
        self.assertEqual(joined(fragments), wanted)

    def test_no_error_about_a_later_fragment(self):
        # RFC 1812 4.3.2.7; the packet is dropped all the same.
        sa = self.gateway.add_out(tunnel="4in4")
        later = bytearray(self.inner_out(MTU, flags=DF))
        later[6:8] = b"\x40\x10"
        before = self.gateway.drops()
        self.inside.send(with_checksum(bytes(later)))
        self.assertEqual(self.pass_out(sa), [])
        self.assert_drops(before, {"esp_too_big": 1})
        self.assertEqual([f for f in self.inside.pending(0.1) if is_icmp_error(f)], [])


class OuterHeaderTest(GatewayTestCase):
    """DF, DSCP and ECN."""

    tunnels = (
        *FAMILIES,
        Tunnel("set", ["10.1.0.0/24"], ["10.11.0.0/24"], df="set", dscp=46),
        Tunnel("clear", ["10.1.0.0/24"], ["10.12.0.0/24"], df="clear", dscp=0),
        Tunnel("fixed6", ["10.1.0.0/24"], ["10.13.0.0/24"], ENDS6, dscp=10),
    )
    config_text = gateway_config(ipv6=True, tunnels=tunnels, policies=(OWN_LINK, OWN_LINK6))

    @staticmethod
    def tos(packet):
        return packet[1] if packet[0] >> 4 == 4 else struct.unpack("!H", packet[:2])[0] >> 4 & 0xFF

    def sealed(self, sa, src, dst, length=100, **fields):
        inner = self.inner_out(length, src, dst, **fields)
        self.inside.send(inner)
        outer = self.outside.expect_esp(sa.spi)
        self.assertEqual(sa.open(outer), forwarded(inner))
        if outer[0] >> 4 == 4:
            self.assertEqual(checksum(outer[:20]), 0)
        return outer

    def test_df(self):
        for tunnel, dst, wanted in (("4in4", REMOTE_HOST, (0, 2)), ("set", "10.11.0.5", (2, 2)), ("clear", "10.12.0.5", (0, 0))):
            sa = self.gateway.add_out(tunnel=tunnel)
            for flags, outer_flags in zip((0, DF), wanted):
                with self.subTest(tunnel=tunnel, flags=flags):
                    outer = self.sealed(sa, HOST, dst, flags=flags)
                    self.assertEqual(outer[6] >> 5, outer_flags)
                    if outer_flags:
                        self.assertEqual(outer[4:6], b"\0\0", "no identification (RFC 6864 4.1)")

    def test_ipv6_inside_sets_df_where_a_shorter_packet_may_be_asked_for(self):
        # RFC 8200 5: below 1280 bytes no host can be told to send less, so routers have to fragment.
        sa = self.gateway.add_out(tunnel="6in4")
        for length, wanted in ((100, 0), (1280, 0), (1281, DF), (1400, DF)):
            self.assertEqual(self.sealed(sa, *HOSTS["6in4"], length=length)[6] >> 5, wanted, f"{length} bytes")

    def test_identification_differs_where_routers_may_fragment(self):
        # RFC 6864.
        sa = self.gateway.add_out(tunnel="clear")
        seen = {self.sealed(sa, HOST, "10.12.0.5")[4:6] for _ in range(32)}
        self.assertEqual(len(seen), 32)

    def test_dscp_and_ecn(self):
        places = {**{name: (*hosts, None) for name, hosts in HOSTS.items()}, "set": (HOST, "10.11.0.5", 46),
                  "clear": (HOST, "10.12.0.5", 0), "fixed6": (HOST, "10.13.0.5", 10)}
        for tunnel, (src, dst, fixed) in places.items():
            sa = self.gateway.add_out(tunnel=tunnel)
            for dscp, ecn in itertools.product((0, 10, 46, 63), range(4)):
                with self.subTest(tunnel=tunnel, dscp=dscp, ecn=ecn):
                    outer = self.sealed(sa, src, dst, tos=dscp << 2 | ecn)
                    self.assertEqual(self.tos(outer), (dscp if fixed is None else fixed) << 2 | ecn)

    def test_ecn_on_the_way_in(self):
        # RFC 6040 figure 4; rows: inner not ECT, ECT(1), ECT(0), CE; columns: outer likewise. None: dropped.
        table = ((0, 0, 0, None), (1, 1, 1, 3), (2, 1, 2, 3), (3, 3, 3, 3))
        tags = itertools.count(1)
        for tunnel, (host, remote) in HOSTS.items():
            sa = self.gateway.add_in(tunnel=tunnel)
            for inner_ecn, outer_ecn in itertools.product(range(4), repeat=2):
                with self.subTest(tunnel=tunnel, inner=inner_ecn, outer=outer_ecn):
                    result, tag = table[inner_ecn][outer_ecn], next(tags)
                    before = self.gateway.drops()
                    self.outside.send(sa.seal(udp_of_length(remote, host, 100, tag, tos=0xB8 | inner_ecn), tos=outer_ecn))
                    if result is None:
                        self.assert_drops(before, {"esp_ecn": 1})
                        continue
                    wanted = forwarded(udp_of_length(remote, host, 100, tag, tos=0xB8 | result))
                    self.assertEqual(self.inside.expect_packet(wanted), [])


class PathTestCase(ErrorTestCase):
    def pmtu(self, tunnel):
        rows = self.gateway.rpc.call("tunnel.list")["tunnels"]
        return next(row["pmtu"] for row in rows if row["name"] == tunnel)

    def tell(self, *arguments, **fields):
        """Sends the error about a sealed packet."""
        self.outside.send(self.too_big(*arguments, **fields))

    def sealed(self, sa, length=100, src=HOST, dst=REMOTE_HOST):
        inner = self.inner_out(length, src, dst, **({"flags": DF} if src == HOST else {}))
        self.inside.send(inner)
        outer = self.outside.expect_esp(sa.spi)
        self.assertEqual(sa.open(outer), forwarded(inner))
        return outer

    @staticmethod
    def too_big(outer, mtu, quoted=None):
        """The error about a sealed packet."""
        if outer[0] >> 4 == 6:
            body = struct.pack("!BBHI", 2, 0, 0, mtu) + outer[: quoted or 1200]
            total = upper_checksum(ROUTER6, GATEWAY_OUTSIDE6, PROTO_ICMPV6, body)
            body = body[:2] + struct.pack("!H", total) + body[4:]
            return ipv6(ROUTER6, GATEWAY_OUTSIDE6, PROTO_ICMPV6, body)
        body = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + outer[: quoted or 28]
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return ipv4(ROUTER, GATEWAY_OUTSIDE, 1, body)

    def check_1280(self, name, told):
        """Packets of up to 1280 bytes arrive, cut behind sealing, and no sender is told anything."""
        host, remote = HOSTS[name]
        sa = self.gateway.add_out(tunnel=name)
        if told:
            self.tell(self.sealed(sa, 100, host, remote), told)
            self.eventually(lambda: self.pmtu(name), told)
        before = self.gateway.drops()
        for length in (1280, largest_inner(sa, told or 1280) + 1, 1279, 100):
            inner = self.inner_out(length, host, remote)
            self.inside.send(inner)
            outer = self.whole_outside(told or 1280)
            self.assertEqual(sa.open(outer), forwarded(inner), length)
        self.assertEqual([f for f in self.inside.pending() if is_icmp_error(f)], [])
        self.assertEqual(drops_between(before, self.gateway.drops()), {})

    def whole_outside(self, mtu):
        """The next packet that leaves, put together."""
        parts = []
        while True:
            packet = self.outside.expect(is_ip)[14:]
            if packet[0] >> 4 == 4:
                more, offset = packet[6] & 0x20, (packet[6] << 8 & 0x1F00) | packet[7]
            else:
                more, offset = packet[6] == PROTO_FRAGMENT and packet[43] & 1, 0
            parts.append(packet)
            if not more:
                break
        if len(parts) == 1:
            return packet
        self.assertLessEqual(max(map(len, parts)), mtu)
        return joined(parts) if packet[0] >> 4 == 4 else joined6(parts)


class PathMtuTest(PathTestCase):
    """ICMP errors from routers on the way, about our ESP packets. A tunnel remembers what it learned: each test has
    a tunnel of its own."""

    tunnels = tuple(
        Tunnel(f"t{number}", ["10.1.0.0/24"], [f"10.{20 + number}.0.0/24"]) for number in range(8)
    ) + (
        Tunnel("six", ["10.1.0.0/24"], ["10.4.0.0/24"], ENDS6),
        Tunnel("6in4", ["fd00:1::/64"], ["fd00:2::/64"]),
        Tunnel("6in6", ["fd00:1::/64"], ["fd00:4::/64"], ENDS6),
        Tunnel("udp", ["10.1.0.0/24"], ["10.5.0.0/24"], ports=(4500, 4500)),
    )
    config_text = gateway_config(ipv6=True, tunnels=tunnels, policies=(OWN_LINK, OWN_LINK6))

    def test_path_mtu_is_learned(self):
        sa = self.gateway.add_out(tunnel="t0")
        self.assertEqual(self.pmtu("t0"), 0)
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            rpc.subscribe()
            self.tell(self.sealed(sa, 1446, dst="10.20.0.5"), 1400)
            rpc.wait_event("path_mtu", tunnel="t0")
        self.assertEqual(self.pmtu("t0"), 1400)
        mtu = largest_inner(sa, 1400)
        self.check_too_big(self.inner_out(mtu + 1, dst="10.20.0.5", flags=DF), mtu)
        self.assertLessEqual(len(self.sealed(sa, mtu, dst="10.20.0.5")), 1400)
        inner = self.inner_out(mtu + 1, dst="10.20.0.5")
        self.inside.send(inner)
        outers = [self.outside.expect_esp(sa.spi) for _ in range(2)]
        self.assertLessEqual(max(map(len, outers)), 1400)
        self.assertEqual(joined([sa.open(outer) for outer in outers]), forwarded(inner))

    def test_path_mtu_only_falls(self):
        sa = self.gateway.add_out(tunnel="t1")
        outer = self.sealed(sa, dst="10.21.0.5")
        for told, wanted in ((1300, 1300), (1400, 1300), (1499, 1300), (1200, 1200)):
            self.tell(outer, told)
            self.eventually(lambda: self.pmtu("t1"), wanted)

    def test_path_mtu_has_a_floor(self):
        sa = self.gateway.add_out(tunnel="t2")
        self.tell(self.sealed(sa, dst="10.22.0.5"), 68)
        self.eventually(lambda: self.pmtu("t2"), 576)
        mtu = largest_inner(sa, 576)
        self.check_too_big(self.inner_out(600, dst="10.22.0.5", flags=DF), mtu)
        inner = self.inner_out(1500, dst="10.22.0.5")
        self.inside.send(inner)
        outers = [self.outside.expect_esp(sa.spi) for _ in range(3)]
        self.assertEqual(joined([sa.open(outer) for outer in outers]), forwarded(inner))

    def test_errors_that_do_not_quote_an_sa_change_nothing(self):
        sa = self.gateway.add_out(tunnel="t3")
        outer = self.sealed(sa, dst="10.23.0.5")
        forged = {
            "unknown SPI": outer[:20] + b"\x77\x77\x77\x77" + outer[24:],
            "another peer": outer[:16] + ip_bytes("192.0.2.77") + outer[20:],
            "another protocol": outer[:9] + b"\x06" + outer[10:],
        }
        for packet in forged.values():
            self.tell(packet, 1000)
        for length in (1, 19, 20, 23):
            self.tell(outer, 1000, quoted=length)
        # What is told last is believed, and what came before has been looked at by then.
        self.tell(outer, 1450)
        self.eventually(lambda: self.pmtu("t3"), 1450)

    def test_ipv6_outside(self):
        sa = self.gateway.add_out(tunnel="six")
        self.tell(self.sealed(sa, dst="10.4.0.5"), 1400)
        self.eventually(lambda: self.pmtu("six"), 1400)
        mtu = largest_inner(sa, 1400)
        self.check_too_big(self.inner_out(mtu + 1, dst="10.4.0.5", flags=DF), mtu)
        self.tell(self.sealed(sa, dst="10.4.0.5"), 600)
        self.eventually(lambda: self.pmtu("six"), 1280)

    def test_udp_encapsulation(self):
        sa = self.gateway.add_out(tunnel="udp")
        self.tell(self.sealed(sa, dst="10.5.0.5"), 1400, quoted=36)
        self.eventually(lambda: self.pmtu("udp"), 1400)
        mtu = largest_inner(sa, 1400)
        self.check_too_big(self.inner_out(mtu + 1, dst="10.5.0.5", flags=DF), mtu)
        self.sealed(sa, mtu, dst="10.5.0.5")

    def test_ipv6_packets_of_1280_bytes_pass_whatever_the_path_says(self):
        # RFC 8200 5: a link that carries less has to fragment below IPv6, and no host is told less.
        sa = self.gateway.add_out(tunnel="6in4")
        self.tell(self.sealed(sa, 100, HOST6, REMOTE_HOST6), 1000)
        self.eventually(lambda: self.pmtu("6in4"), 1000)
        inner = self.inner_out(1280, HOST6, REMOTE_HOST6)
        self.inside.send(inner)
        # The gateway sends it whole and without DF.
        outer = self.whole_outside(1500)
        self.assertEqual(outer[6:8], bytes(2))
        self.assertEqual(sa.open(outer), forwarded(inner))
        self.check_1280("6in6", 1280)


class SmallPortTest(PathTestCase):
    """The outside port itself carries no more than 1280 bytes."""

    tunnels = FAMILIES
    config_text = gateway_config(ipv6=True, tunnels=FAMILIES, policies=(OWN_LINK, OWN_LINK6)).replace(
        'role = "outside";', 'role = "outside"; mtu = 1280;'
    )

    def test_small_port(self):
        for name in ("6in4", "6in6"):
            with self.subTest(name):
                self.check_1280(name, 0)


class ReassemblyTest(GatewayTestCase):
    """Outer fragments, on a driver that shows them one by one."""

    seconds = 16

    tunnels = FAMILIES
    config_text = fragment_config(ipv6=True, tunnels=FAMILIES, policies=(OWN_LINK, OWN_LINK6))
    REASONS = ("fragment_invalid", "fragment_evicted", "fragment_timeout")

    def setUp(self):
        super().setUp()
        self.sas = {name: self.gateway.add_in(tunnel=name) for name in HOSTS}

    def sealed(self, tunnel="4in4", length=1000):
        host, remote = HOSTS[tunnel]
        inner = self.inner_in(length, remote, host)
        return inner, self.sas[tunnel].seal(inner)

    def pass_guard(self):
        """A whole packet passes, and what else came before it."""
        return self.pass_in(self.sas["4in4"])

    def send(self, fragments):
        for fragment in fragments:
            self.outside.send(fragment)

    def assert_lost(self, before, count, *reasons):
        """So many fragments were dropped, for these reasons; nothing else was, and nothing came through."""

        def lost():
            counted = drops_between(before, self.gateway.drops())
            return sum(counted.values()), set(counted) <= set(reasons)

        self.eventually(lost, (count, True), "drops")

    def test_fragments_are_put_together_in_any_order(self):
        before = self.gateway.drops()
        for tunnel in HOSTS:
            for order in itertools.permutations(range(3)):
                with self.subTest(tunnel=tunnel, order=order):
                    inner, outer = self.sealed(tunnel)
                    fragments = cut(outer, 400, 808)
                    self.send(fragments[index] for index in order)
                    self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.assertEqual(drops_between(before, self.gateway.drops()), {})

    def test_two_packets_interleaved(self):
        inners, parts = [], []
        for identification in (1, 2):
            inner, outer = self.sealed()
            inners.append(forwarded(inner))
            parts.append(cut(outer, 8, 16, 600, identification=identification))
        self.send(itertools.chain.from_iterable(zip(*parts)))
        self.inside.expect_packets(inners)

    def test_same_identification_of_another_protocol_is_another_packet(self):
        inner, outer = self.sealed()
        fragments = cut(outer, 400, identification=7)
        stranger = ipv4(PEER, GATEWAY_OUTSIDE, 17, bytes(800))
        other = cut(stranger, 400, identification=7)
        before = self.gateway.drops()
        self.send((fragments[0], other[0], fragments[1]))
        # RFC 791 3.2: the protocol is part of what tells datagrams apart.
        result = drops_between(before, self.gateway.drops())
        self.inside.expect_packet(forwarded(inner))
        self.assertEqual(result, {})
        self.assert_lost(before, 1, "fragment_timeout")

    def test_largest_packet(self):
        inner, outer = self.sealed("4in4", 1446)
        self.send(cut(outer, 8, 16, 24, 1400))
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_whole_packet_with_a_fragment_header(self):
        # RFC 6946: an atomic fragment.
        inner, outer = self.sealed("6in6")
        self.send(cut(outer))
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_duplicates_change_nothing_for_others(self):
        for doubled in range(3):
            with self.subTest(doubled=doubled):
                before = self.gateway.drops()
                inner, outer = self.sealed()
                fragments = cut(outer, 400, 808)
                sent = fragments[: doubled + 1] + fragments[doubled:]
                self.send(sent)
                came = [p for p in self.pass_guard() if p == forwarded(inner)]
                # Taken or not, as the order has it, but only once and with all parts accounted for.
                self.assertLessEqual(len(came), 1)
                self.assert_lost(before, len(sent) - 3 * len(came), *self.REASONS)

    def test_overlapping_fragments_are_dropped(self):
        # RFC 5722 and RFC 8200 4.5.
        for tunnel in ("4in4", "6in6"):
            size = 20 if tunnel == "4in4" else 40
            for name, (start, end) in {"shifted": (392, 816), "inside": (408, 800), "over the end": (400, 824)}.items():
                with self.subTest(name, tunnel=tunnel):
                    before = self.gateway.drops()
                    inner, outer = self.sealed(tunnel)
                    first, middle, last = cut(outer, 400, 808, identification=99)
                    wrong = piece(outer[:size], outer[size + start : size + end], start, True, 99)
                    sent = (first, wrong, middle, last)
                    self.send(sent)
                    self.assertNotIn(forwarded(inner), self.pass_guard())
                    self.assert_lost(before, len(sent), "fragment_invalid", "fragment_timeout")
                    self.assertGreater(self.gateway.drops()["fragment_invalid"], before["fragment_invalid"])

    def test_malformed_fragments(self):
        _, outer = self.sealed()
        header, data = outer[:20], outer[20:]
        bad = (
            piece(header, data[:401], 0, True, 1),  # not a multiple of eight
            piece(header, b"", 8, True, 2),
            piece(header, b"", 8, False, 3),
            piece(header, data[:400], 65528, False, 4),  # ends beyond 65,535
        )
        before = self.gateway.drops()
        self.send(bad)
        self.assertEqual(self.pass_guard(), [])
        self.assert_lost(before, len(bad), "fragment_invalid")

    def test_lost_fragment_times_out(self):
        for tunnel in ("4in4", "6in6"):
            with self.subTest(tunnel):
                before = self.gateway.drops()
                inner, outer = self.sealed(tunnel)
                fragments = cut(outer, 400, 808)
                self.send(fragments[:2])
                self.assertEqual(self.pass_guard(), [])
                self.assertEqual(drops_between(before, self.gateway.drops()), {})
                self.assert_lost(before, 2, "fragment_timeout")
                # The late one begins a packet that is never whole.
                self.send(fragments[2:])
                self.assertNotIn(forwarded(inner), self.pass_guard())
                self.assert_lost(before, 3, "fragment_timeout")

    def test_flood_of_first_fragments_blocks_nobody(self):
        _, outer = self.sealed()
        # The device's buffer in the kernel is short: few at a time, or a busy machine loses some in front of the gateway.
        flood, burst = 3000, 20
        before = self.gateway.drops()
        for start in range(0, flood, burst):
            self.send(cut(outer, 800, identification=number)[0] for number in range(start, start + burst))
            # True packets go on all the while.
            inner, packet = self.sealed()
            self.send(cut(packet, 400, 808, identification=60000 + start // burst))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.assertEqual(self.pass_guard(), [])
        self.assert_lost(before, flood, "fragment_evicted", "fragment_timeout")
        self.assertGreater(self.gateway.drops()["fragment_evicted"], before["fragment_evicted"])

    def test_forged_fragments_with_good_ones(self):
        # A middle fragment with other bytes: the packet is whole, and its ICV wrong.
        inner, outer = self.sealed()
        first, _, last = cut(outer, 400, 808, identification=5)
        wrong = piece(outer[:20], bytes(408), 400, True, 5)
        before = self.gateway.drops()
        self.send((first, wrong, last))
        self.assertEqual(self.pass_guard(), [])
        self.assert_drops(before, {"esp_auth": 1})
        self.outside.send(outer)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_fragments_of_unknown_spis_are_audited_when_whole(self):
        stranger = self.gateway.new_sa("in", tunnel="4in4")
        before = self.gateway.drops()
        self.send(cut(stranger.seal(self.inner_in()), 64))
        self.assertEqual(self.pass_guard(), [])
        self.assert_drops(before, {"esp_spi_unknown": 1})


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""UDP encapsulation (RFC 3948): both ways, beside IKE on the same port, and a peer that moves (RFC 7296 2.23)."""

import ipaddress
import os
import signal
import socket
import struct
import unittest

from esp import NATT_PORT, PROTO_UDP, checksum, forwarded, ipv4, ipv6, udp, upper_checksum
from gateway import (
    GATEWAY_OUTSIDE, GATEWAY_OUTSIDE6, HOST6, OWN_LINK, OWN_LINK6, PEER, PEER6, PEER_MAC, REMOTE_HOST6, GatewayTestCase,
    Tunnel, ethertype_of, gateway_config, ip_bytes, is_esp, is_ip,
)
from rpc import Rpc

MOVED = "192.0.2.9"
NATTED_PORT = 61234
PORTS = (NATT_PORT, NATT_PORT)
TRANSPORT_PEER, TRANSPORT_PEER6 = "192.0.2.3", "2001:db8::3"
TUNNELS = (
    Tunnel("b", ["10.1.0.0/24"], ["10.2.0.0/24"], ports=PORTS),
    Tunnel("plain", ["10.1.0.0/24"], ["10.3.0.0/24"]),
    Tunnel("six", ["fd00:1::/64"], ["fd00:2::/64"], ports=PORTS),
    Tunnel("outer6", ["10.1.0.0/24"], ["10.6.0.0/24"], (GATEWAY_OUTSIDE6, PEER6), ports=PORTS),
    Tunnel(
        "transport6", ["2001:db8::1/128"], ["2001:db8::3/128"], (GATEWAY_OUTSIDE6, TRANSPORT_PEER6), transport=True, ports=PORTS
    ),
    Tunnel("transport", ["192.0.2.1/32"], ["192.0.2.3/32"], (GATEWAY_OUTSIDE, TRANSPORT_PEER), transport=True, ports=PORTS),
)


def ports_of(outer):
    return struct.unpack("!HH", outer[20:24])


class EncapsulationTestCase(GatewayTestCase):
    tunnels = TUNNELS
    config_text = gateway_config(
        ipv6=True, tunnels=TUNNELS,
        policies=(OWN_LINK.replace("192.0.2.0/24", "192.0.2.2/32"), OWN_LINK6),
    )

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for address in (MOVED, TRANSPORT_PEER, TRANSPORT_PEER6):
            cls.gateway.set_neighbour("outside", address, PEER_MAC)

    def to_natt(self, payload, sport=NATT_PORT, src=PEER):
        """A datagram to the gateway's port 4500, without checksum."""
        return ipv4(src, GATEWAY_OUTSIDE, PROTO_UDP, struct.pack("!HHHH", sport, NATT_PORT, 8 + len(payload), 0) + payload)


class EncapsulationTest(EncapsulationTestCase):
    def test_sealed_packets_look_as_they_should(self):
        sa = self.gateway.add_out()
        for length in (28, 29, 30, 31, 100, 1400):
            inner = self.inner_out(length)
            self.inside.send(inner)
            outer = self.outside.expect_esp(sa.spi)
            self.assertEqual(outer[9], PROTO_UDP)
            self.assertEqual(checksum(outer[:20]), 0)
            self.assertEqual(outer[12:20], ip_bytes(GATEWAY_OUTSIDE) + ip_bytes(PEER))
            self.assertEqual(ports_of(outer), (4500, 4500))
            self.assertEqual(struct.unpack("!HH", outer[24:28]), (len(outer) - 20, 0), "length, and no checksum")
            self.assertEqual(sa.scapy_open(outer), forwarded(inner))

    def test_opened_packets(self):
        sa = self.gateway.add_in()
        for number, length in enumerate((28, 29, 30, 31, 100, 1400)):
            inner = self.inner_in(length)
            self.outside.send((sa.seal, sa.scapy_seal)[number % 2](inner))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_ipv6_inside(self):
        outbound, inbound = self.gateway.add_out(tunnel="six"), self.gateway.add_in(tunnel="six")
        inner = self.inner_out(100, HOST6, REMOTE_HOST6)
        self.inside.send(inner)
        self.assertEqual(outbound.scapy_open(self.outside.expect_esp(outbound.spi)), forwarded(inner))
        inner = self.inner_in(100, REMOTE_HOST6, HOST6)
        self.outside.send(inbound.scapy_seal(inner))
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_ipv6_outside_has_a_checksum(self):
        # RFC 8200 8.1: receivers drop UDP over IPv6 without one.
        sa = self.gateway.add_out(tunnel="outer6")
        for length in (28, 29, 30, 31, 100, 1361, 1400):
            inner = self.inner_out(length, dst="10.6.0.5")
            self.inside.send(inner)
            outer = self.outside.expect_esp(sa.spi)
            self.assertEqual((outer[6], len(outer)), (PROTO_UDP, 40 + struct.unpack("!H", outer[44:46])[0]))
            self.assertNotEqual(outer[46:48], b"\0\0")
            self.assertEqual(upper_checksum(GATEWAY_OUTSIDE6, PEER6, PROTO_UDP, outer[40:]), 0)
            self.assertEqual(sa.open(outer), forwarded(inner))

    def test_suites_of_other_classes(self):
        for suite in ("aes256-sha512", "aes128ctr-sha256", "chacha20poly1305", "aes256gmac", "null-sha256"):
            with self.subTest(suite):
                self.pass_out(self.gateway.add_out(suite))
                self.assertEqual(self.pass_in(self.gateway.add_in(suite)), [])

    def test_transport_mode_mends_the_checksum(self):
        # RFC 3948 3.1.2: a NAT changed addresses that the checksum of the upper layer covers.
        outbound, inbound = self.gateway.add_out(tunnel="transport"), self.gateway.add_in(tunnel="transport")
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind((GATEWAY_OUTSIDE, 0))
            own.settimeout(20)
            own.sendto(b"to the peer", (TRANSPORT_PEER, 5000))
            outer = self.outside.expect_esp(outbound.spi)
            self.assertEqual((outer[9], ports_of(outer)), (PROTO_UDP, (4500, 4500)))
            self.assertEqual(outbound.scapy_open(outer)[28:], b"to the peer")
            # What the peer sealed had its private address in the checksum.
            sealed = udp("10.99.0.7", GATEWAY_OUTSIDE, 5000, own.getsockname()[1], b"from behind a NAT")
            packet = ipv4(TRANSPORT_PEER, GATEWAY_OUTSIDE, PROTO_UDP, sealed[20:])
            self.outside.send(inbound.seal_transport(packet))
            self.assertEqual(own.recvfrom(100), (b"from behind a NAT", (TRANSPORT_PEER, 5000)))
            # RFC 4303 2.7: padding behind the datagram is not part of it, nor of its checksum.
            self.outside.send(inbound.seal_transport(packet + bytes(37)))
            self.assertEqual(own.recvfrom(100), (b"from behind a NAT", (TRANSPORT_PEER, 5000)))

    def with_udp_checksum(self, outer):
        """An IPv6 packet with the checksum of the UDP header behind its IPv6 header."""
        datagram = outer[40:46] + bytes(2) + outer[48:]
        total = upper_checksum(str(ipaddress.ip_address(outer[8:24])), str(ipaddress.ip_address(outer[24:40])), PROTO_UDP, datagram)
        return outer[:46] + struct.pack("!H", total) + outer[48:]

    def test_ipv6_outside_comes_in(self):
        sa = self.gateway.add_in(tunnel="outer6")
        for length in (28, 29, 30, 31, 100, 1361):
            inner = self.inner_in(length, src="10.6.0.5")
            self.outside.send(self.with_udp_checksum(sa.seal(inner)))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_transport_mode_over_ipv6(self):
        outbound, inbound = self.gateway.add_out(tunnel="transport6"), self.gateway.add_in(tunnel="transport6")
        with self.gateway.namespace.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
            own.bind((GATEWAY_OUTSIDE6, 0))
            own.settimeout(20)
            port = own.getsockname()[1]
            for payload in (b"", b"to the peer", bytes(1000)):
                own.sendto(payload, (TRANSPORT_PEER6, 5000))
                outer = self.outside.expect_esp(outbound.spi)
                self.assertEqual((outer[6], struct.unpack("!HH", outer[40:44])), (PROTO_UDP, PORTS))
                self.assertEqual(upper_checksum(GATEWAY_OUTSIDE6, TRANSPORT_PEER6, PROTO_UDP, outer[40:]), 0)
                opened = outbound.open(outer)
                self.assertEqual(opened[8:40] + opened[48:], ip_bytes(GATEWAY_OUTSIDE6) + ip_bytes(TRANSPORT_PEER6) + payload)
                # What the peer sealed had its private address in the checksum.
                sealed = udp("fd00:99::7", GATEWAY_OUTSIDE6, 5000, port, payload)
                packet = ipv6(TRANSPORT_PEER6, GATEWAY_OUTSIDE6, PROTO_UDP, sealed[40:])
                for padding in (0, 21):
                    self.outside.send(self.with_udp_checksum(inbound.seal_transport(packet + bytes(padding))))
                    received, sender = own.recvfrom(2000)
                    self.assertEqual((received, sender[:2]), (payload, (TRANSPORT_PEER6, 5000)))

    def test_plain_esp_on_an_encapsulated_sa(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        esp = sa.seal_esp(self.inner_in())
        self.outside.send(ipv4(PEER, GATEWAY_OUTSIDE, 50, esp))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_encapsulation": 1})

    def test_encapsulated_esp_on_a_plain_sa(self):
        sa = self.gateway.add_in(tunnel="plain")
        before = self.gateway.drops()
        self.outside.send(sa.seal(self.inner_in(src="10.3.0.5"), ports=PORTS))
        self.assertEqual(self.pass_in(sa, src="10.3.0.5"), [])
        self.assert_drops(before, {"esp_encapsulation": 1})


class PortTest(EncapsulationTestCase):
    """What else comes to port 4500."""

    def test_keepalive_is_counted_and_silent(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        for _ in range(3):
            self.outside.send(self.to_natt(b"\xff"))
        self.assertEqual(self.pass_in(sa), [])
        self.assertEqual([frame.hex() for frame in self.outside.pending(0.2) if is_ip(frame)], [])
        self.assert_drops(before, {"esp_keepalive": 3})

    def test_too_short_for_a_marker(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        for payload in (b"", b"\0", b"\0\0\0", b"\xff\xff"):
            self.outside.send(self.to_natt(payload))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_short": 4})

    def test_truncated_esp(self):
        sa = self.gateway.add_in()
        esp = sa.seal_esp(self.inner_in())
        before = self.gateway.drops()
        for length in (4, 7, 8, 16, 32, len(esp) - 1):
            self.outside.send(self.to_natt(esp[:length]))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_short": 6})

    def test_ike_reaches_the_socket_of_port_4500(self):
        sa = self.gateway.add_in()
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as ike:
            ike.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ike.bind((GATEWAY_OUTSIDE, NATT_PORT))
            ike.settimeout(20)
            for number in range(3):
                message = bytes(4) + b"IKE message %d" % number
                self.outside.send(self.to_natt(message, NATTED_PORT))
                self.assertEqual(ike.recvfrom(100), (message, (PEER, NATTED_PORT)))
                # ESP on the same port passes it by.
                self.assertEqual(self.pass_in(sa), [])
                ike.sendto(message + b" answer", (PEER, NATTED_PORT))
                answer = self.outside.expect(lambda f, m=message: is_ip(f) and f[42:] == m + b" answer")[14:]
                self.assertEqual(ports_of(answer), (NATT_PORT, NATTED_PORT))

    def test_unknown_spi_in_udp(self):
        sa, stranger = self.gateway.add_in(), self.gateway.new_sa("in")
        before = self.gateway.drops()
        self.outside.send(stranger.seal(self.inner_in()))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"esp_spi_unknown": 1})


class KeepaliveTest(EncapsulationTestCase):
    seconds = 20

    def is_keepalive(self, frame):
        packet = frame[14:]
        return ethertype_of(frame) == 0x0800 and packet[9] == PROTO_UDP and packet[28:] == b"\xff"

    def test_idle_tunnel_sends_keepalives_to_its_peer(self):
        # When and when not is tested with a clock of its own (test_path.c); here, what a NAT gets to see.
        self.gateway.add_out()
        packet = self.outside.expect(self.is_keepalive, timeout=60)[14:]
        self.assertEqual(packet[12:20], ip_bytes(GATEWAY_OUTSIDE) + ip_bytes(PEER))
        self.assertEqual((checksum(packet[:20]), ports_of(packet)), (0, (NATT_PORT, NATT_PORT)))
        self.assertEqual(struct.unpack("!HH", packet[24:28]), (9, 0))
        self.assertEqual(len(packet), 29)


class MovingPeerTest(EncapsulationTestCase):
    def setUp(self):
        super().setUp()
        self.inbound, self.outbound = self.gateway.add_in(), self.gateway.add_out()
        # A tunnel remembers where its peer was when the last test ended.
        self.arrive(PEER, NATT_PORT)
        self.assert_target(PEER, NATT_PORT)

    def target(self):
        """Where the gateway sends to now."""
        inner = self.inner_out()
        self.inside.send(inner)
        outer = self.outside.expect_esp(self.outbound.spi)
        self.assertEqual(self.outbound.open(outer), forwarded(inner))
        self.assertEqual(checksum(outer[:20]), 0)
        return outer[16:20], ports_of(outer)

    def arrive(self, src, sport, sequence=None, sa=None):
        """A good packet from some address and port."""
        inner = self.inner_in()
        self.outside.send((sa or self.inbound).seal(inner, sequence, src=src, ports=(sport, NATT_PORT)))
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def assert_target(self, address, port):
        self.eventually(self.target, (ip_bytes(address), (NATT_PORT, port)))

    def assert_target_stays(self, address, port):
        # Behind a round trip over the control socket every event raised before has been taken.
        for _ in range(10):
            self.gateway.rpc.call("version")
            self.assertEqual(self.target(), (ip_bytes(address), (NATT_PORT, port)))

    def test_port_of_a_live_peer_changes(self):
        for port in (NATTED_PORT, NATTED_PORT + 1, 1024):
            self.arrive(PEER, port)
            self.assert_target(PEER, port)

    def test_move_is_told_and_shown(self):
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            rpc.subscribe()
            self.arrive(MOVED, NATTED_PORT)
            rpc.wait_event("peer_moved", tunnel="b", source=MOVED, source_port=NATTED_PORT)
        row = next(row for row in self.gateway.rpc.call("tunnel.list")["tunnels"] if row["name"] == "b")
        self.assertEqual((row["peer_address"], row["peer_port"]), (MOVED, NATTED_PORT))

    def test_next_key_goes_where_the_peer_is(self):
        self.arrive(MOVED, NATTED_PORT)
        self.assert_target(MOVED, NATTED_PORT)
        self.outbound = self.gateway.add_out()
        self.assertEqual(self.target(), (ip_bytes(MOVED), (NATT_PORT, NATTED_PORT)))

    def test_peer_comes_back_on_its_next_key(self):
        # Both keys were installed before the peer left; the way back is news for the second one, too.
        successor = self.gateway.add_in()
        self.arrive(MOVED, NATTED_PORT)
        self.assert_target(MOVED, NATTED_PORT)
        self.arrive(PEER, NATT_PORT, sa=successor)
        self.assert_target(PEER, NATT_PORT)

    def test_address_of_a_live_peer_changes_and_comes_back(self):
        for address, port in ((MOVED, NATTED_PORT), (MOVED, NATT_PORT), (PEER, NATT_PORT)):
            self.arrive(address, port)
            self.assert_target(address, port)

    def test_forged_packets_move_nothing(self):
        before = self.gateway.drops()
        for sequence in (None, 0x1000, 0xFFFFFFFF):
            self.outside.send(self.inbound.seal_bad_icv(self.inner_in(), sequence, src=MOVED, ports=(NATTED_PORT, NATT_PORT)))
        self.assert_target_stays(PEER, NATT_PORT)
        self.assert_drops(before, {"esp_auth": 3})

    def test_replayed_packets_move_nothing(self):
        inner = self.inner_in()
        packet = self.inbound.seal(inner)
        self.outside.send(packet)
        self.inside.expect_packet(forwarded(inner))
        before = self.gateway.drops()
        moved = struct.pack("!H", NATTED_PORT) + packet[22:]
        self.outside.send(ipv4(MOVED, GATEWAY_OUTSIDE, PROTO_UDP, moved))
        self.assert_target_stays(PEER, NATT_PORT)
        self.assert_drops(before, {"esp_replay": 1})

    def test_only_the_newest_packet_moves_the_peer(self):
        # A packet that comes late by the old way is good, but the peer is elsewhere by now.
        self.arrive(PEER, NATT_PORT, 5)
        self.arrive(MOVED, NATTED_PORT, 10)
        self.assert_target(MOVED, NATTED_PORT)
        for sequence in (6, 9, 7):
            self.arrive(PEER, NATT_PORT, sequence)
        self.assert_target_stays(MOVED, NATTED_PORT)

    def test_moves_in_one_burst_end_at_the_newest(self):
        packets, inners = [], []
        for sequence, address, port in ((20, MOVED, 1111), (22, PEER, 2222), (21, MOVED, 3333)):
            inners.append(self.inner_in())
            packets.append(self.inbound.seal(inners[-1], sequence, src=address, ports=(port, NATT_PORT)))
        os.kill(self.gateway.daemon.pid, signal.SIGSTOP)
        try:
            for packet in packets:
                self.outside.send(packet)
        finally:
            os.kill(self.gateway.daemon.pid, signal.SIGCONT)
        self.inside.expect_packets([forwarded(inner) for inner in inners])
        self.assert_target(PEER, 2222)
        self.assert_target_stays(PEER, 2222)

    def test_source_port_zero_is_no_port_to_answer_to(self):
        self.arrive(PEER, 0)
        self.assert_target_stays(PEER, NATT_PORT)

    def test_peer_of_a_plain_sa_does_not_move(self):
        inbound, outbound = self.gateway.add_in(tunnel="plain"), self.gateway.add_out(tunnel="plain")
        before = self.gateway.drops()
        self.outside.send(inbound.seal(self.inner_in(src="10.3.0.5"), src=MOVED))
        self.inside.send(self.inner_out(dst="10.3.0.5"))
        outer = self.outside.expect(lambda frame: is_esp(frame, outbound.spi))[14:]
        self.assertEqual(outer[16:20], ip_bytes(PEER))
        self.assert_drops(before, {"esp_outer": 1})


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""The gateway's kernel side: ARP, ICMP and UDP on the TAPs, neighbours, bypass, and packets of its own."""

import os
import socket
import struct
import unittest

from esp import checksum, forwarded, ipv4, udp
from gateway import (
    ETH_IP, GATEWAY_INSIDE, GATEWAY_OUTSIDE, HOST, HOST_MAC, OWN_LINK, PEER, PEER_MAC, REMOTE_HOST, GatewayTestCase,
    ethertype_of, gateway_config, ip_bytes, is_arp, is_esp, mac_bytes,
)

OUTSIDE_HOST = "198.51.100.7"
STRANGER_MAC = b"\x02\0\0\0\x01\x77"


def icmp_echo(src, dst, identifier, data=b"tandem", ttl=64, kind=8):
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, 1) + data
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ipv4(src, dst, 1, body, ttl=ttl)


def is_echo_reply(frame, src, dst, identifier):
    return (
        ethertype_of(frame) == ETH_IP and frame[23] == 1 and frame[26:30] == ip_bytes(src)
        and frame[30:34] == ip_bytes(dst) and frame[34] == 0 and frame[38:40] == struct.pack("!H", identifier)
    )


class LocalTest(GatewayTestCase):
    """Packets for the gateway itself."""

    def test_ping_of_the_inside_address(self):
        self.inside.send(icmp_echo(HOST, GATEWAY_INSIDE, 7))
        self.inside.expect(lambda frame: is_echo_reply(frame, GATEWAY_INSIDE, HOST, 7))

    def test_ping_of_the_outside_address(self):
        self.outside.send(icmp_echo(PEER, GATEWAY_OUTSIDE, 8))
        self.outside.expect(lambda frame: is_echo_reply(frame, GATEWAY_OUTSIDE, PEER, 8))

    def test_arp_is_answered_once_with_the_ports_mac(self):
        for wire, mine, theirs in ((self.inside, HOST, GATEWAY_INSIDE), (self.outside, PEER, GATEWAY_OUTSIDE)):
            with self.subTest(theirs):
                wire.send_arp(1, mine, theirs)
                frame = wire.expect(lambda f, ip=theirs: is_arp(f, 2, sender_ip=ip))
                self.assertEqual(frame[22:28], wire.gateway_mac)
                # The answer to the ping comes behind a second ARP answer, if there were one.
                wire.send(icmp_echo(mine, theirs, 9))
                others, _ = wire.until(lambda f, a=theirs, b=mine: is_echo_reply(f, a, b, 9))
                self.assertEqual([f for f in others if is_arp(f, 2)], [], "the kernel answered on the link too")

    def test_arp_for_another_address_is_not_answered(self):
        self.inside.send_arp(1, HOST, "10.1.0.99")
        self.inside.send(icmp_echo(HOST, GATEWAY_INSIDE, 10))
        others, _ = self.inside.until(lambda frame: is_echo_reply(frame, GATEWAY_INSIDE, HOST, 10))
        self.assertEqual([frame for frame in others if is_arp(frame, 2)], [])

    def test_udp_for_the_gateway_reaches_a_socket(self):
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind((GATEWAY_OUTSIDE, 5000))
            receiver.settimeout(20)
            self.outside.send(udp(PEER, GATEWAY_OUTSIDE, 4000, 5000, b"to the kernel"))
            self.assertEqual(receiver.recvfrom(100), (b"to the kernel", (PEER, 4000)))
            receiver.sendto(b"from the kernel", (PEER, 4000))
            self.outside.expect(lambda f: ethertype_of(f) == ETH_IP and f[42:] == b"from the kernel")


    def test_group_packets_reach_the_kernel_whatever_routes_come_and_go(self):
        group = "224.0.0.5"
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind((group, 5001))
            receiver.settimeout(20)
            membership = socket.inet_aton(group) + socket.inet_aton(GATEWAY_INSIDE)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            ip = self.gateway.namespace.ip
            for number, change in enumerate(
                (lambda: None, lambda: ip("route", "add", "blackhole", "224.0.0.0/24"), lambda: ip("route", "del", "224.0.0.0/24"))
            ):
                change()
                # The mirror follows the kernel by messages: a route behind the change shows that it was seen.
                self.follow_routes(number)
                data = b"to the group %d" % number
                self.inside.send(udp(HOST, group, 4000, 5001, data), dst=mac_bytes("01:00:5e:00:00:05"))
                self.assertEqual(receiver.recvfrom(100), (data, (HOST, 4000)))

    def follow_routes(self, number):
        """Waits until the gateway forwards by a route that it did not have before."""
        sa = self.gateway.add_in()
        address = f"10.1.0.{200 + number}"
        self.gateway.namespace.ip("route", "add", f"{address}/32", "via", HOST, "dev", "inside")
        sent = set()
        for _ in range(200):
            inner = self.inner_in(dst=address)
            sent.add(forwarded(inner))
            self.outside.send(sa.seal(inner))
            # The first ones may have waited for a neighbour on the link.
            frame = self.inside.receive(0.1)
            if frame is not None and frame[:6] == mac_bytes(HOST_MAC) and frame[14:] in sent:
                return
        self.fail("the gateway does not follow the kernel's routes")


class NeighbourTest(GatewayTestCase):
    """Each test uses addresses of its own: the kernel remembers neighbours."""

    def test_first_packets_wait_for_an_unknown_neighbour(self):
        sa = self.gateway.add_in()
        stranger = "10.1.0.77"
        inners = [self.inner_in(dst=stranger) for _ in range(5)]
        for inner in inners:
            self.outside.send(sa.seal(inner))
        self.inside.expect(lambda frame: is_arp(frame, 1, target_ip=stranger))
        self.inside.send_arp(2, stranger, GATEWAY_INSIDE, self.inside.gateway_mac, STRANGER_MAC)
        # A packet that comes in while the held ones go out may overtake them.
        waiting = {forwarded(inner) for inner in inners}
        while waiting:
            frame = self.inside.expect(lambda f: ethertype_of(f) == ETH_IP and f[14:] in waiting)
            self.assertEqual(frame[:12], STRANGER_MAC + self.inside.gateway_mac)
            waiting.remove(frame[14:])

    def test_silent_neighbour_is_counted(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        self.outside.send(sa.seal(self.inner_in(dst="10.1.0.78")))
        self.inside.expect(lambda frame: is_arp(frame, 1, target_ip="10.1.0.78"))
        self.assertEqual(self.pass_in(sa), [], "others do not wait for it")
        self.assert_drops(before, {"neighbour_timeout": 1})

    def test_too_many_packets_for_one_neighbour(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        for _ in range(40):
            self.outside.send(sa.seal(self.inner_in(dst="10.1.0.79")))
        self.assertEqual(self.pass_in(sa), [])

        def lost():
            now = self.gateway.drops()
            return sum(now[reason] - before[reason] for reason in ("neighbour_full", "neighbour_timeout"))

        self.eventually(lost, 40)
        self.assertGreater(self.gateway.drops()["neighbour_full"], before["neighbour_full"])

    def test_neighbour_that_moves_to_another_mac(self):
        sa = self.gateway.add_in()
        address, other = "10.1.0.80", b"\x02\0\0\0\x01\x80"
        for mac in (STRANGER_MAC, other):
            self.gateway.set_neighbour("inside", address, mac.hex(":"))
            # The mirror follows the kernel by messages: the new address shows up in a while, and stays.
            for _ in range(200):
                inner = self.inner_in(dst=address)
                self.outside.send(sa.seal(inner))
                frame = self.inside.expect(lambda f, i=inner: ethertype_of(f) == ETH_IP and f[14:] == forwarded(i))
                if frame[:6] == mac:
                    break
            self.assertEqual(frame[:6], mac)


class BypassTest(GatewayTestCase):
    config_text = gateway_config(
        policies=(
            '{ action = "bypass"; direction = "both"; local = "10.1.0.0/24"; remote = "198.51.100.0/24"; '
            'protocol = "udp"; remote_port = "9999"; }',
            '{ action = "bypass"; direction = "out"; local = "10.1.0.0/24"; remote = "198.51.100.0/24"; '
            'protocol = "icmp"; }',
            OWN_LINK,
        )
    )

    def test_bypass_lets_through_what_it_names_and_no_more(self):
        sa = self.gateway.add_out()
        before = self.gateway.drops()
        self.inside.send(udp(HOST, OUTSIDE_HOST, 4000, 9998))
        self.inside.send(ipv4(HOST, OUTSIDE_HOST, 6, b"\x0f\xa0\x27\x0f" + b"\0" * 16))
        self.inside.send(udp("10.1.1.2", OUTSIDE_HOST, 4000, 9999))
        wanted = udp(HOST, OUTSIDE_HOST, 4000, 9999, b"in the clear")
        self.inside.send(wanted)
        others, frame = self.outside.until(lambda f: ethertype_of(f) == ETH_IP and f[14:] == forwarded(wanted))
        self.assertEqual(others, [])
        self.assertEqual(frame[:12], mac_bytes(PEER_MAC) + self.outside.gateway_mac)
        self.assertEqual(self.pass_out(sa), [])
        self.assert_drops(before, {"policy_none": 3})

    def test_direction_of_a_policy(self):
        sa = self.gateway.add_in()
        out = icmp_echo(HOST, OUTSIDE_HOST, 3)
        self.inside.send(out)
        self.outside.expect_packet(forwarded(out))
        before = self.gateway.drops()
        self.outside.send(icmp_echo(OUTSIDE_HOST, HOST, 4))
        self.assertEqual(self.pass_in(sa), [])
        self.assert_drops(before, {"policy_none": 1})

    def test_answer_comes_back_in_the_clear(self):
        answer = udp(OUTSIDE_HOST, HOST, 9999, 4000, b"answer")
        self.outside.send(answer)
        self.assertEqual(self.inside.expect_packet(forwarded(answer)), [])

    def test_policy_list_shows_the_order(self):
        rows = self.gateway.rpc.call("policy.list")["policies"]
        self.assertEqual([row["action"] for row in rows], ["bypass"] * 3 + ["protect"] * 2 + ["discard"])


class OwnTrafficTest(GatewayTestCase):
    """What the gateway's own programs send goes through the outbound policy."""

    def setUp(self):
        super().setUp()
        self.gateway.namespace.ip(
            "route", "replace", "10.2.0.0/24", "via", PEER, "dev", "outside", "src", GATEWAY_INSIDE
        )

    def test_udp_of_the_gateway_goes_through_the_tunnel_and_back(self):
        outbound, inbound = self.gateway.add_out(), self.gateway.add_in()
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind((GATEWAY_INSIDE, 6000))
            own.settimeout(20)
            own.sendto(b"from the gateway", (REMOTE_HOST, 7000))
            others, frame = self.outside.until(lambda f: is_esp(f, outbound.spi))
            self.assertEqual([f for f in others if ethertype_of(f) == ETH_IP], [])
            inner = outbound.scapy_open(frame[14:])
            self.assertEqual(inner[12:20], ip_bytes(GATEWAY_INSIDE) + ip_bytes(REMOTE_HOST))
            self.assertEqual(inner[8], 64, "the kernel's TTL: the gateway is no hop for its own packets")
            self.assertEqual(inner[28:], b"from the gateway")
            self.outside.send(inbound.seal(udp(REMOTE_HOST, GATEWAY_INSIDE, 7000, 6000, b"to the gateway")))
            self.assertEqual(own.recvfrom(100), (b"to the gateway", (REMOTE_HOST, 7000)))

    def test_bytes_behind_a_packet_of_the_kernel_are_not_sealed(self):
        sa = self.gateway.add_out()
        header = mac_bytes(PEER_MAC) + self.outside.gateway_mac + struct.pack("!H", ETH_IP)
        with self.gateway.namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as kernel:
            kernel.bind(("outside", ETH_IP))
            for length, padding in ((40, 6), (29, 17), (100, 1)):
                packet = udp(GATEWAY_INSIDE, REMOTE_HOST, 6000, 7000, bytes(range(length - 28)))
                kernel.send(header + packet + b"\xee" * padding)
                payload, _ = sa.open_esp(self.outside.expect_esp(sa.spi)[20:])
                self.assertEqual(payload, packet)

    def test_ping_of_the_gateway_through_the_tunnel(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.outside.send(inbound.seal(icmp_echo(REMOTE_HOST, GATEWAY_INSIDE, 11)))
        outer = self.outside.expect_esp(outbound.spi)
        reply = b"\0" * 12 + b"\x08\x00" + outbound.scapy_open(outer)
        self.assertTrue(is_echo_reply(reply, GATEWAY_INSIDE, REMOTE_HOST, 11))

    def test_own_packets_without_sa_never_leave_in_plaintext(self):
        other = self.gateway.add_out(tunnel="c")
        before = self.gateway.drops()
        with self.gateway.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind((GATEWAY_INSIDE, 0))
            for _ in range(3):
                own.sendto(os.urandom(16), (REMOTE_HOST, 7000))
        self.assert_drops(before, {"esp_no_sa": 3})
        self.assertEqual(self.pass_out(other, dst="10.3.0.9"), [])


if __name__ == "__main__":
    unittest.main()

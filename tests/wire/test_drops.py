# SPDX-License-Identifier: BSD-3-Clause
"""Bad packets: each is counted under its own reason, changes nothing else, and a good one still passes."""

import os
import signal
import struct
import unittest

from esp import ICV_BYTES, PROTO_ESP, forwarded, ipv4, udp
from gateway import GATEWAY_OUTSIDE, HOST, OWN_LINK, PEER, REMOTE_HOST, GatewayTestCase, gateway_config

OUTSIDE_HOST = "198.51.100.7"


class InboundDropTest(GatewayTestCase):
    """Bad packets from the outside."""

    def setUp(self):
        super().setUp()
        self.sa = self.gateway.add_in()
        for _ in range(3):
            self.pass_in(self.sa)
        # The worker's word of the first packet comes a little later than the packets.
        self.eventually(lambda: self.state()["state"], "active")

    def state(self):
        row = self.gateway.sa_state(self.sa, "in")
        return {name: row[name] for name in ("packets", "bytes", "sequence", "state")}

    def check_bad(self, reason, *packets, ethertype=0x0800, authenticated=False, dst=None):
        """Packets that are dropped for a reason. Unless they are authenticated the SA does not move."""
        before, old = self.gateway.drops(), self.state()
        for packet in packets:
            self.outside.send(packet, ethertype, dst=dst)
        if authenticated:
            self.assertEqual(self.pass_in(self.sa), [], "nothing else may come out")
        else:
            self.sa.sequence = old["sequence"]
            self.assertEqual(self.pass_in(self.sa), [], "nothing else may come out")
            moved = {**old, "packets": old["packets"] + 1, "bytes": old["bytes"] + 100, "sequence": old["sequence"] + 1}
            self.eventually(self.state, moved, "the bad packet changed the SA")
        self.assert_drops(before, {reason: len(packets)})

    # ---- IP header -------------------------------------------------------------------------------

    def test_runt_frames(self):
        good = self.sa.seal(self.inner_in())
        self.check_bad("rx_runt", *(good[:length] for length in (0, 1, 10, 19)))

    def test_unknown_ethertype(self):
        self.check_bad("rx_ethertype", b"\0" * 64, ethertype=0x88B5)

    def test_frame_for_another_station(self):
        self.check_bad("rx_other_mac", self.sa.seal(self.inner_in()), dst=b"\x02\0\0\0\x77\x77")

    def test_wrong_header_checksum(self):
        esp = self.sa.seal_esp(self.inner_in())
        self.check_bad("ip_checksum", ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp, bad_checksum=True))

    def test_wrong_version(self):
        esp = self.sa.seal_esp(self.inner_in())
        packets = [ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp, version=version) for version in (0, 5, 6, 15)]
        self.check_bad("ip_version", *packets)

    def test_bad_header_length(self):
        esp = self.sa.seal_esp(self.inner_in())
        self.check_bad("ip_header", *(ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp, words=words) for words in (0, 1, 4)))

    def test_total_length(self):
        esp = self.sa.seal_esp(self.inner_in())
        real = 20 + len(esp)
        packets = [ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp, total=total) for total in (0, 19, real + 1, 65535)]
        self.check_bad("ip_length", *packets)

    def test_multicast_source(self):
        esp = self.sa.seal_esp(self.inner_in())
        packets = [ipv4(source, GATEWAY_OUTSIDE, PROTO_ESP, esp) for source in ("224.0.0.9", "255.255.255.255", "127.0.0.1")]
        self.check_bad("ip_source", *packets)

    # ---- ESP before authentication ---------------------------------------------------------------

    def test_truncated_esp(self):
        esp = self.sa.seal_esp(self.inner_in())
        packets = [ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp[:length]) for length in (0, 4, 7, 8, 16, 20, 32)]
        self.check_bad("esp_short", *packets)

    def test_misaligned_esp(self):
        esp = self.sa.seal_esp(self.inner_in())
        packets = [ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp[: len(esp) - cut]) for cut in (1, 2, 3)]
        self.check_bad("esp_short", *packets)

    def test_unknown_spi(self):
        stranger = self.gateway.new_sa("in")
        self.check_bad("esp_spi_unknown", stranger.seal(self.inner_in()))

    def test_reserved_spi(self):
        esp = b"\0\0\0\0" + self.sa.seal_esp(self.inner_in())[4:]
        self.check_bad("esp_spi_unknown", ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp))

    def test_wrong_outer_source(self):
        self.check_bad("esp_outer", self.sa.seal(self.inner_in(), src="192.0.2.77"))

    def test_rejections_are_counted_for_the_sa(self):
        # Whatever has no counter of its own; what no SA was found for counts with none.
        esp = self.sa.seal_esp(self.inner_in())
        before = self.gateway.drops()
        self.outside.send(self.sa.seal(self.inner_in(), src="192.0.2.77"))
        self.outside.send(ipv4(PEER, GATEWAY_OUTSIDE, PROTO_ESP, esp[:20]))
        self.outside.send(self.gateway.new_sa("in").seal(self.inner_in()))
        self.outside.send(self.sa.seal(self.inner_in(), sequence=1))
        self.outside.send(self.sa.seal(self.inner_in(), sequence=1))
        self.assert_drops(before, {"esp_outer": 1, "esp_short": 1, "esp_spi_unknown": 1, "esp_replay": 2})
        row = self.gateway.sa_state(self.sa, "in")
        self.assertEqual((row["rejected"], row["replayed"], row["malformed"]), (2, 2, 0))

    def test_replay(self):
        self.check_bad("esp_replay", *(self.sa.seal(self.inner_in(), sequence) for sequence in (1, 2, 3)))

    def test_sequence_zero(self):
        self.check_bad("esp_replay", self.sa.seal(self.inner_in(), 0))

    def test_replay_below_the_window(self):
        self.pass_in(self.sa, 5000)
        # The default window is 1024 packets: 5000 - 1024 is the first below it.
        self.check_bad("esp_replay_old", *(self.sa.seal(self.inner_in(), sequence) for sequence in (10, 3000, 3976)))

    def test_wrong_icv(self):
        packets = [self.sa.seal_bad_icv(self.inner_in())]
        good = self.sa.seal(self.inner_in())
        for position in (28, 36, 40, len(good) - ICV_BYTES):  # IV, first payload bytes, first byte of the ICV
            packets.append(good[:position] + bytes([good[position] ^ 0x80]) + good[position + 1 :])
        before = self.gateway.sa_state(self.sa, "in")["auth_failed"]
        self.check_bad("esp_auth", *packets)
        self.eventually(lambda: self.gateway.sa_state(self.sa, "in")["auth_failed"], before + len(packets))

    def test_bad_icv_with_a_high_sequence_never_moves_the_window(self):
        packets = [self.sa.seal_bad_icv(self.inner_in(), sequence) for sequence in (5000, 0x7FFFFFFF, 0xFFFFFFFF)]
        self.check_bad("esp_auth", *packets)

    def test_wrong_key(self):
        twin = self.gateway.new_sa("in", spi=self.sa.spi)
        self.check_bad("esp_auth", twin.seal(self.inner_in(), self.sa.sequence + 1))

    def test_copies_in_one_burst_pass_once(self):
        # The gateway is stopped while the copies arrive, so that it finds them all in one burst.
        before = self.gateway.drops()
        inner = self.inner_in()
        packet = self.sa.seal(inner)
        os.kill(self.gateway.daemon.pid, signal.SIGSTOP)
        try:
            for _ in range(8):
                self.outside.send(packet)
        finally:
            os.kill(self.gateway.daemon.pid, signal.SIGCONT)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.assertEqual(self.pass_in(self.sa), [])
        self.assert_drops(before, {"esp_replay": 7})

    def test_forged_copy_before_the_real_packet_in_one_burst(self):
        before = self.gateway.drops()
        inner = self.inner_in()
        forged, real = self.sa.seal_bad_icv(self.inner_in()), self.sa.seal(inner)
        os.kill(self.gateway.daemon.pid, signal.SIGSTOP)
        try:
            for packet in (forged, real, forged):
                self.outside.send(packet)
        finally:
            os.kill(self.gateway.daemon.pid, signal.SIGCONT)
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
        self.assertEqual(self.pass_in(self.sa), [])
        # The second forgery is caught by the window or by its ICV, as the burst is cut.
        self.eventually(lambda: sum(self.gateway.drops()[r] - before[r] for r in ("esp_auth", "esp_replay")), 2)

    # ---- ESP after authentication ----------------------------------------------------------------

    def test_padding_that_does_not_count(self):
        for padding in (b"\0\0", b"\x01\x03", b"\x02\x01", b"\x01\x02\x03\x04\x05\x07"):
            with self.subTest(padding=padding.hex()):
                self.check_bad("esp_pad", self.sa.seal(self.inner_in(100), padding=padding))

    def test_pad_length_larger_than_the_packet(self):
        for pad_length in (103, 200, 255):
            with self.subTest(pad_length=pad_length):
                self.check_bad("esp_pad", self.sa.seal(self.inner_in(), pad_length=pad_length))

    def test_next_header_that_is_not_ipv4(self):
        for next_header in (0, 6, 17, 50, 255):
            with self.subTest(next_header=next_header):
                packet = self.sa.seal(self.inner_in(), next_header=next_header)
                self.check_bad("esp_next_header", packet)

    def test_dummy_packet(self):
        # RFC 4303 2.6: dropped without prejudice, whatever its payload is.
        packets = [self.sa.seal(self.inner_in(), next_header=59), self.sa.seal(b"\xde\xad", next_header=59)]
        self.check_bad("esp_dummy", *packets, authenticated=True)

    def test_inner_is_no_ipv4_packet(self):
        inner = self.inner_in()
        bad = {
            "version 6": b"\x65" + inner[1:],
            "header length": b"\x44" + inner[1:],
            "total length": inner[:2] + struct.pack("!H", 101) + inner[4:],
            "total length below the header": inner[:2] + struct.pack("!H", 19) + inner[4:],
            "too short": inner[:18],
        }
        for name, packet in bad.items():
            with self.subTest(name):
                self.check_bad("esp_inner", self.sa.seal(packet, next_header=4))

    def test_inner_selectors(self):
        bad = (("10.9.0.1", HOST), (REMOTE_HOST, "10.9.0.1"), ("10.3.0.5", HOST), (HOST, REMOTE_HOST))
        for src, dst in bad:
            with self.subTest(src=src, dst=dst):
                before = self.gateway.sa_state(self.sa, "in")["policy_failed"]
                self.check_bad("policy_selector", self.sa.seal(self.inner_in(src=src, dst=dst)))
                self.eventually(lambda: self.gateway.sa_state(self.sa, "in")["policy_failed"], before + 1)

    def test_congestion_mark_on_a_packet_that_cannot_carry_it(self):
        # RFC 6040 4.2: the sender does not know ECN, so the loss has to tell it.
        self.check_bad("esp_ecn", self.sa.seal(self.inner_in(tos=0), tos=3))

    def test_inner_ttl_runs_out(self):
        for ttl in (0, 1):
            self.check_bad("ip_ttl", self.sa.seal(self.inner_in(ttl=ttl)), authenticated=True)

    # ---- policy ----------------------------------------------------------------------------------

    def test_plaintext_where_policy_wants_esp(self):
        self.check_bad("policy_plaintext", self.inner_in(), udp("10.3.0.1", HOST))

    def test_inbound_without_policy(self):
        self.check_bad("policy_none", udp(OUTSIDE_HOST, HOST))


class OutboundDropTest(GatewayTestCase):
    """Bad packets from the inside."""

    config_text = gateway_config(
        policies=(
            '{ action = "discard"; direction = "out"; remote = "10.2.0.66/32"; }',
            '{ action = "bypass"; direction = "both"; local = "10.1.0.0/24"; remote = "198.51.100.0/25"; }',
            OWN_LINK,
        )
    )

    def setUp(self):
        super().setUp()
        self.sa = self.gateway.add_out()
        self.pass_out(self.sa)

    def check_bad(self, reason, *packets, ethertype=0x0800):
        before, old = self.gateway.drops(), self.gateway.sa_state(self.sa, "out")
        for packet in packets:
            self.inside.send(packet, ethertype)
        self.assertEqual(self.pass_out(self.sa), [], "nothing else may go out")

        def state():
            row = self.gateway.sa_state(self.sa, "out")
            return row["packets"], row["sequence"]

        self.eventually(state, (old["packets"] + 1, old["sequence"] + 1))
        self.assert_drops(before, {reason: len(packets)})

    def test_runt_frames(self):
        self.check_bad("rx_runt", *(self.inner_out()[:length] for length in (0, 1, 19)))

    def test_unknown_ethertype(self):
        self.check_bad("rx_ethertype", b"\0" * 64, ethertype=0x88B5)

    def test_wrong_header_checksum(self):
        self.check_bad("ip_checksum", self.inner_out(bad_checksum=True))

    def test_wrong_version(self):
        self.check_bad("ip_version", self.inner_out(version=6))

    def test_bad_header_length(self):
        self.check_bad("ip_header", self.inner_out(words=4))

    def test_total_length_too_long(self):
        self.check_bad("ip_length", self.inner_out(100, total=101))

    def test_multicast_source(self):
        self.check_bad("ip_source", self.inner_out(src="224.0.0.9"))

    def test_ttl_runs_out(self):
        self.check_bad("ip_ttl", self.inner_out(ttl=1), self.inner_out(ttl=0))

    def test_no_policy(self):
        self.check_bad("policy_none", self.inner_out(dst="198.51.100.200"), self.inner_out(src="10.9.0.1"))

    def test_discard_policy_before_the_tunnel(self):
        self.check_bad("policy_discard", self.inner_out(dst="10.2.0.66"))

    def test_packet_that_does_not_fit_with_esp(self):
        # 1460 bytes and ESP are more than the MTU of 1500; the sender forbids fragments.
        self.check_bad("esp_too_big", self.inner_out(1460, flags=2))
        self.eventually(lambda: [row["dropped"] for row in self.gateway.rpc.call("sa.list")["sas"] if row["direction"] == "out"], [1])

    def test_largest_packet_that_fits(self):
        # 20 outer header, 8 ESP, 8 IV, 2 trailer, 16 ICV: 1446 bytes and no padding make 1500.
        self.pass_out(self.sa, length=1446, flags=2)

    def test_no_outbound_sa_never_means_plaintext(self):
        # Tunnel c has no SA; the packets of tunnel b before and behind pass.
        packets = [self.inner_out(dst="10.3.0.9") for _ in range(5)]
        self.check_bad("esp_no_sa", *packets)

    def test_deleted_outbound_sa_never_means_plaintext(self):
        other = self.gateway.add_out(tunnel="c")
        before = self.gateway.drops()
        self.gateway.rpc.call("sa.delete", {"spi": other.spi, "direction": "out", "tunnel": "c", "force": True})
        for _ in range(5):
            self.inside.send(self.inner_out(dst="10.3.0.9"))
        self.assertEqual(self.pass_out(self.sa), [])
        self.assert_drops(before, {"esp_no_sa": 5})


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""What scapy seals, tandem opens and forwards; the replay window as RFC 4303 3.4.3 wants it."""

import unittest

from esp import forwarded, udp_of_length
from gateway import HOST, REMOTE_HOST, GatewayTestCase
from test_seal import LENGTHS, SUITES


class OpenTest(GatewayTestCase):
    def test_tandem_forwards_what_scapy_sealed(self):
        for suite in SUITES:
            for esn in (False, True):
                with self.subTest(suite=suite, esn=esn):
                    sa = self.gateway.add_in(suite, esn)
                    for length in LENGTHS:
                        inner = self.inner_in(length)
                        self.outside.send(sa.scapy_seal(inner))
                        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [], f"{length} bytes")

                    def counted(sa=sa):
                        row = self.gateway.sa_state(sa, "in")
                        return row["packets"], row["bytes"], row["sequence"]

                    self.eventually(counted, (len(LENGTHS), sum(LENGTHS), len(LENGTHS)))

    def test_frame_padding_behind_the_packet_is_ignored(self):
        sa = self.gateway.add_in()
        inner = self.inner_in(28)
        self.outside.send(sa.scapy_seal(inner) + b"\xee" * 22)
        self.inside.expect_packet(forwarded(inner))

    def test_longest_padding(self):
        # RFC 4303 2.4: up to 255 bytes of padding are allowed.
        sa = self.gateway.add_in()
        for length in (254, 250, 2):
            inner = self.inner_in(100)
            self.outside.send(sa.seal(inner, padding=bytes(range(1, length + 1))))
            self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_traffic_flow_padding_behind_the_inner_packet(self):
        # RFC 4303 2.7: bytes behind the inner packet's total length are dropped on receive.
        sa = self.gateway.add_in()
        inner = self.inner_in(100)
        self.outside.send(sa.seal(inner + b"\xaa" * 64))
        self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_reordered_within_the_window_pass_once(self):
        sa = self.gateway.add_in(replay_window=64)
        for sequence in (64, 1, 63, 2, 40, 39, 100, 65, 99):
            self.assertEqual(self.pass_in(sa, sequence), [])
        before = self.gateway.drops()
        for sequence in (99, 40, 100):
            self.outside.send(sa.seal(self.inner_in(), sequence))
        self.assertEqual(self.pass_in(sa, 101), [])
        self.assert_drops(before, {"esp_replay": 3})

    def test_extended_sequence_numbers_wrap(self):
        # RFC 4303 appendix A: the receiver infers the upper half. Each step stays below half of the space.
        sa = self.gateway.add_in(esn=True)
        for sequence in (1, 0x70000000, 0xE0000000, 0xFFFFFFF0, 0x100000000, 0x100000005, 0xFFFFFFF5):
            with self.subTest(sequence=hex(sequence)):
                self.assertEqual(self.pass_in(sa, sequence), [])
        before = self.gateway.drops()
        self.outside.send(sa.seal(self.inner_in(), 0xFFFFFFF5))
        self.outside.send(sa.seal(self.inner_in(), 0x100000005))
        self.assertEqual(self.pass_in(sa, 0x100000006), [])
        self.assert_drops(before, {"esp_replay": 2})
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["sequence"], 0x100000006)

    def test_extended_sequence_numbers_do_not_wrap_twice(self):
        # Behind the window a number counts as one of the next round: a packet of this round is then refused by its ICV, and
        # no wrap is believed that no packet has proved.
        sa = self.gateway.add_in(esn=True)
        for sequence in (0x70000000, 0xE0000000, 0xFFFFFFF0):
            self.assertEqual(self.pass_in(sa, sequence), [])
        wrapped = sa.seal(self.inner_in(), 0x100000002)
        self.outside.send(wrapped)
        for sequence in (0x100000003, 0x100100000):
            self.pass_in(sa, sequence)
        before = self.gateway.drops()
        self.outside.send(wrapped)
        for sequence in (0x200000002, 0x200100001, 0x300000000, 0x000100001):
            self.outside.send(sa.seal_bad_icv(self.inner_in(), sequence))
        self.assertEqual(self.pass_in(sa, 0x100100001), [])
        self.assert_drops(before, {"esp_auth": 5})
        self.eventually(lambda: self.gateway.sa_state(sa, "in")["sequence"], 0x100100001)
        # The second wrap itself, when a packet proves it.
        for sequence in (0x170000000, 0x1E0000000, 0x1FFFFFFFF, 0x200000000, 0x200000005):
            self.assertEqual(self.pass_in(sa, sequence), [])

    def test_congestion_mark_of_the_path_reaches_the_inner_packet(self):
        # RFC 6040 figure 4: inner, outer, result. 0 not ECT, 1 ECT(1), 2 ECT(0), 3 CE. The DSCP stays.
        sa = self.gateway.add_in()
        for inner_ecn, outer_ecn, result in ((0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 3, 3), (2, 3, 3), (2, 1, 1), (3, 0, 3)):
            with self.subTest(inner=inner_ecn, outer=outer_ecn):
                tag = 1000 + inner_ecn * 4 + outer_ecn
                inner = udp_of_length(REMOTE_HOST, HOST, 100, tag, tos=0xB8 | inner_ecn)
                wanted = udp_of_length(REMOTE_HOST, HOST, 100, tag, tos=0xB8 | result)
                self.outside.send(sa.seal(inner, tos=outer_ecn))
                self.assertEqual(self.inside.expect_packet(forwarded(wanted)), [])

    def test_two_live_keys_in_tandem(self):
        # The heart of a rollover: both SAs decrypt, in any order.
        old, new = self.gateway.add_in("aes128gcm16"), self.gateway.add_in("aes256gcm16")
        for sa in (old, new, old, old, new, old, new, new):
            self.assertEqual(self.pass_in(sa), [])


if __name__ == "__main__":
    unittest.main()

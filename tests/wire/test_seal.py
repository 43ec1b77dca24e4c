# SPDX-License-Identifier: BSD-3-Clause
"""What tandem seals, scapy and tshark open: RFC 4303 with RFC 4106, judged by other people's code."""

import os
import struct
import subprocess
import tempfile
import unittest

from esp import ESP_OVERHEAD, checksum, esp_header, forwarded
from gateway import GATEWAY_OUTSIDE, PEER, GatewayTestCase, ip_bytes, is_esp
from scapy.utils import wrpcap

LENGTHS = (28, 29, 30, 31, 32, 33, 34, 47, 48, 63, 64, 65, 100, 255, 256, 576, 1023, 1279, 1300)
SUITES = ("aes128gcm16", "aes256gcm16")


def sealed_length(inner_length):
    """Outer packet: the inner one is padded so that padding, pad length and next header end on 4 bytes."""
    return 20 + ESP_OVERHEAD + inner_length + -(inner_length + 2) % 4


class SealTest(GatewayTestCase):
    def check_outer(self, outer, inner):
        self.assertEqual(outer[0], 0x45)
        self.assertEqual(struct.unpack("!H", outer[2:4])[0], len(outer), "total length")
        self.assertEqual(len(outer), sealed_length(len(inner)), "no more padding than needed")
        self.assertEqual(outer[8], 64, "TTL of the outer header is a new one")
        self.assertEqual(checksum(outer[:20]), 0, "outer header checksum")
        self.assertEqual(outer[12:16], ip_bytes(GATEWAY_OUTSIDE))
        self.assertEqual(outer[16:20], ip_bytes(PEER))

    def test_scapy_opens_what_tandem_sealed(self):
        for suite in SUITES:
            for esn in (False, True):
                with self.subTest(suite=suite, esn=esn):
                    sa = self.gateway.add_out(suite, esn)
                    for number, length in enumerate(LENGTHS, 1):
                        inner = self.inner_out(length)
                        self.inside.send(inner)
                        outer = self.outside.expect_esp(sa.spi)
                        self.check_outer(outer, inner)
                        self.assertEqual(esp_header(outer), (sa.spi, number), "sequence numbers count from 1")
                        self.assertEqual(sa.scapy_open(outer), forwarded(inner), f"{length} bytes")

    def test_initialisation_vectors_never_repeat(self):
        # RFC 4106 section 3.1: a repeated IV under one key is the end of AES-GCM.
        sa = self.gateway.add_out()
        seen = set()
        for _ in range(64):
            self.inside.send(self.inner_out())
            seen.add(self.outside.expect_esp(sa.spi)[28:36])
        self.assertEqual(len(seen), 64)

    def test_outer_header_copies_dscp_and_df(self):
        sa = self.gateway.add_out()
        for tos in (0x00, 0x28, 0xB8, 0xFC):
            for flags in (0, 2):
                with self.subTest(tos=tos, flags=flags):
                    self.inside.send(self.inner_out(tos=tos, flags=flags))
                    outer = self.outside.expect_esp(sa.spi)
                    self.assertEqual(outer[1] >> 2, tos >> 2, "DSCP")
                    self.assertEqual(outer[6] & 0x40, 0x40 if flags & 2 else 0, "DF")

    def test_every_suite_of_the_list_is_known(self):
        rows = {row["name"]: row for row in self.gateway.rpc.call("suite.list")["suites"]}
        self.assertEqual(rows["aes128gcm16"]["key_bytes"], 20)
        self.assertEqual(rows["aes256gcm16"]["key_bytes"], 36)

    def test_statistics_count_what_was_sealed(self):
        sa = self.gateway.add_out()
        for length in (28, 100, 1000):
            self.inside.send(self.inner_out(length))
            self.outside.expect_esp(sa.spi)

        def counted():
            row = self.gateway.sa_state(sa, "out")
            return row["packets"], row["bytes"], row["sequence"], row["current"]

        self.eventually(counted, (3, 1128, 3, True))


class TsharkTest(GatewayTestCase):
    """The second oracle. It reads a capture of the outer link with the SA's keys."""

    FIELDS = ("esp.sequence", "esp.icv_good", "ip.src", "ip.dst", "udp.srcport", "udp.length")

    def tshark(self, frames, sas):
        with tempfile.TemporaryDirectory(prefix="tandem-tshark-") as directory:
            capture = os.path.join(directory, "outside.pcap")
            wrpcap(capture, frames, linktype=1)
            command = ["tshark", "-n", "-r", capture, "-T", "fields", "-E", "occurrence=l"]
            for field in self.FIELDS:
                command += ["-e", field]
            command += ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
            for sa in sas:
                command += [
                    "-o",
                    f'uat:esp_sa:"IPv4","*","*","0x{sa.spi:08x}",'
                    f'"AES-GCM with 16 octet ICV [RFC4106]","0x{sa.key.hex()}","NULL",""',
                ]
            environment = {**os.environ, "HOME": directory, "XDG_CONFIG_HOME": directory}
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
                env=environment,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return [line.split("\t") for line in done.stdout.splitlines()]

    def test_tshark_opens_what_tandem_sealed(self):
        frames, expected, sas = [], [], []
        for suite in SUITES:
            sa = self.gateway.add_out(suite)
            sas.append(sa)
            for number, length in enumerate((28, 33, 100, 1300), 1):
                inner = self.inner_out(length)
                self.inside.send(inner)
                frames.append(self.outside.expect(lambda frame, spi=sa.spi: is_esp(frame, spi)))
                port = str(struct.unpack("!H", inner[20:22])[0])
                expected.append([str(number), "10.1.0.2", "10.2.0.5", port, str(length - 20)])
        rows = self.tshark(frames, sas)
        self.assertEqual([[row[0], *row[2:]] for row in rows], expected)
        # An empty column would mean that tshark did not check; only a good ICV is good enough.
        self.assertEqual({row[1] for row in rows}, {"1"})


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""Every suite, in every mode, for every family: what tandem seals the oracle opens, what the oracle seals tandem
opens.

The oracle is scapy, and beside it the hand sealer of esp.py on cryptography's ciphers. scapy 2.5 has no AES-GMAC and
leaves the upper half of a sequence number out of an HMAC; there the hand sealer stands alone. No suite of the list is
without an oracle. tshark, the third one, knows no AES-GMAC, AES-CCM, ChaCha20-Poly1305 and HMAC-SHA2-384-192 at all."""

import itertools
import os
import random
import socket
import struct
import subprocess
import tempfile
import unittest

from esp import PROTO_DSTOPTS, PROTO_HOPOPTS, esp_header, extension, forwarded, ip, suite_named, udp, upper_of
from gateway import (
    BURST, ETH_IP, GATEWAY_OUTSIDE, GATEWAY_OUTSIDE6, HOST, HOST6, OWN_LINK6, PEER6, PEER_MAC, REMOTE_HOST, REMOTE_HOST6,
    GatewayTestCase, Tunnel, ethertype_of, gateway_config, ip_bytes, is_esp,
)
from scapy.utils import wrpcap
from test_mtu import joined, largest_inner

# Transport mode is between the gateway itself and a peer of its own.
TRANSPORT_PEER, TRANSPORT_PEER6 = "192.0.2.3", "2001:db8::3"
ENDS6 = (GATEWAY_OUTSIDE6, PEER6)
TUNNELS = (
    Tunnel("4in4", ["10.1.0.0/24"], ["10.2.0.0/24"]),
    Tunnel("6in4", ["fd00:1::/64"], ["fd00:2::/64"]),
    Tunnel("4in6", ["10.1.0.0/24"], ["10.4.0.0/24"], ENDS6),
    Tunnel("6in6", ["fd00:1::/64"], ["fd00:4::/64"], ENDS6),
    Tunnel("transport4", ["192.0.2.1/32"], ["192.0.2.3/32"], (GATEWAY_OUTSIDE, TRANSPORT_PEER), transport=True),
    Tunnel("transport6", ["2001:db8::1/128"], ["2001:db8::3/128"], (GATEWAY_OUTSIDE6, TRANSPORT_PEER6), transport=True),
)
HOSTS = {
    "4in4": (HOST, REMOTE_HOST), "6in4": (HOST6, REMOTE_HOST6), "4in6": (HOST, "10.4.0.5"), "6in6": (HOST6, "fd00:4::5"),
}
# The extension headers of packets in transport mode, and the socket options that have the kernel put them in.
EXTENSIONS = {"plain": (), "hop-by-hop": (PROTO_HOPOPTS,), "destination": (PROTO_DSTOPTS,)}
SOCKET_OPTIONS = {PROTO_HOPOPTS: 54, PROTO_DSTOPTS: 59}
CLASSES = ("aes256-sha512", "chacha20poly1305", "aes128gcm16", "aes128ctr-sha256", "aes128ccm16", "aes256gmac", "null-sha384")
EDGES = (48, 49, 50, 51, 63, 64, 65)
SEED = int(os.environ.get("TANDEM_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
PORT = 5000
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0


def every_length(shortest, largest):
    return range(shortest, largest + 1)


def some_lengths(shortest, largest):
    """Edges, and others of which the seed tells which."""
    lengths = random.Random(f"{SEED} {some_lengths.calls}")
    some_lengths.calls += 1
    return (*EDGES, shortest, largest - 1, largest, *lengths.sample(range(80, largest - 1), 6))


some_lengths.calls = 0


def residues(_shortest, _largest):
    return range(48, 80)


def chunks(items):
    items = list(items)
    return (items[start : start + BURST] for start in range(0, len(items), BURST))


class MatrixTestCase(GatewayTestCase):
    tunnels = TUNNELS
    config_text = gateway_config(
        ipv6=True, tunnels=TUNNELS,
        policies=('{ action = "bypass"; direction = "both"; local = "192.0.2.1/32"; remote = "192.0.2.2/32"; }', OWN_LINK6),
    )

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for address in (TRANSPORT_PEER, TRANSPORT_PEER6):
            cls.gateway.set_neighbour("outside", address, PEER_MAC)

    def suites(self):
        return [row["name"] for row in self.gateway.rpc.call("suite.list")["suites"] if row["protocol"] == "esp"]

    def collect(self, sa, count):
        """So many ESP packets of an SA, in order."""
        return [self.outside.expect_esp(sa.spi) for _ in range(count)]

    def inner(self, length, src, dst):
        """A new packet of a length; one without room for UDP is of an unknown protocol."""
        header = 40 if ":" in src else 20
        return self.inner_out(length, src, dst) if length >= header + 8 else ip(src, dst, 253, bytes(range(length - header)))

    def check_seal(self, tunnel, suite, lengths, esn=False, by_hand=False):
        """tandem seals, the oracle opens."""
        sa = self.gateway.add_out(suite, esn, tunnel)
        src, dst = HOSTS[tunnel]
        for part in chunks(lengths(40 if ":" in src else 20, largest_inner(sa))):
            first = sa.sequence + 1
            inners = [self.inner(length, src, dst) for length in part]
            for inner in inners:
                self.inside.send(inner)
            for number, (inner, outer) in enumerate(zip(inners, self.collect(sa, len(part))), first):
                self.assertEqual(esp_header(outer), (sa.spi, number))
                self.assertEqual(sa.open(outer), forwarded(inner), f"{len(inner)} bytes, TANDEM_SEED={SEED}")
                if sa.scapy_knows and not by_hand:
                    self.assertEqual(sa.scapy_open(outer), forwarded(inner), f"{len(inner)} bytes, scapy")
            sa.sequence += len(part)

    def check_open(self, tunnel, suite, lengths, esn=False, by_hand=False):
        """The oracle seals, tandem opens."""
        sa = self.gateway.add_in(suite, esn, tunnel)
        dst, src = HOSTS[tunnel]
        seals = [sa.seal] if by_hand or not sa.scapy_knows else [sa.seal, sa.scapy_seal]
        for part in chunks(lengths(40 if ":" in src else 20, largest_inner(sa))):
            inners = [self.inner(length, src, dst) for length in part]
            for number, inner in enumerate(inners):
                self.outside.send(seals[number % len(seals)](inner))
            self.inside.expect_packets([forwarded(inner) for inner in inners])


class TunnelTest(MatrixTestCase):
    def test_every_suite_in_every_combination_of_families(self):
        for suite, tunnel in itertools.product(self.suites(), HOSTS):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, some_lengths)
                self.check_open(tunnel, suite, some_lengths)

    def test_every_length_of_one_suite_of_each_class(self):
        for suite, tunnel in zip(CLASSES, itertools.cycle(HOSTS)):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, every_length, by_hand=True)
                self.check_open(tunnel, suite, every_length, by_hand=True)

    def test_every_residue_in_every_combination_of_families(self):
        # The IV's and the data's place in the packet depend on the outer header: all residues of a cipher block.
        for suite, tunnel in itertools.product(CLASSES, HOSTS):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, residues, by_hand=True)
                self.check_open(tunnel, suite, residues, by_hand=True)

    def test_extended_sequence_numbers(self):
        for suite, tunnel in zip(CLASSES, itertools.cycle(HOSTS)):
            with self.subTest(suite=suite, tunnel=tunnel):
                self.check_seal(tunnel, suite, some_lengths, esn=True)
                self.check_open(tunnel, suite, some_lengths, esn=True)

    def test_upper_half_of_the_sequence_number_counts(self):
        for suite in CLASSES:
            with self.subTest(suite=suite):
                sa = self.gateway.add_in(suite, True, "4in4")
                for sequence in (1, 0x70000000, 0xE0000000, 0xFFFFFFFF, 0x100000000, 0x100000001):
                    inner = self.inner_in()
                    self.outside.send(sa.seal(inner, sequence))
                    self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])

    def test_changed_bits_are_noticed_by_every_suite(self):
        for suite in self.suites():
            with self.subTest(suite=suite):
                sa = self.gateway.add_in(suite, tunnel="4in4")
                good = sa.seal(self.inner_in())
                before = self.gateway.drops()
                places = (24, 28, 36, len(good) // 2, len(good) - sa.crypto.icv_bytes, len(good) - 1)
                for place in places:  # sequence number, IV or data, data, ICV
                    self.outside.send(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
                inner = self.inner_in()
                self.outside.send(sa.seal(inner))
                self.assertEqual(self.inside.expect_packet(forwarded(inner)), [])
                self.assert_drops(before, {"esp_auth": len(places)})

    def test_suites_alternate_in_one_burst(self):
        outbound = [(self.gateway.add_out(suite, tunnel=tunnel), tunnel) for suite, tunnel in zip(CLASSES, HOSTS)]
        inbound = [
            (self.gateway.add_in(suite, tunnel=tunnel), tunnel)
            for suite, tunnel in itertools.product(CLASSES, HOSTS)
        ]
        for start in range(4):
            sent, opened = {}, []
            for sa, tunnel in outbound * 8:
                inner = self.inner_out(60 + start, *HOSTS[tunnel])
                sent.setdefault(sa.spi, []).append(forwarded(inner))
                self.inside.send(inner)
            for sa, tunnel in inbound:
                inner = self.inner_in(60 + start, *reversed(HOSTS[tunnel]))
                opened.append(forwarded(inner))
                self.outside.send(sa.seal(inner))
            self.inside.expect_packets(opened)
            frames = [self.outside.expect(is_esp)[14:] for _ in range(8 * len(outbound))]
            for sa, _ in outbound:
                mine = [sa.open(outer) for outer in frames if esp_header(outer)[0] == sa.spi]
                self.assertEqual(mine, sent[sa.spi], sa.suite)


class TransportTest(MatrixTestCase):
    """The gateway's own packets."""

    def socket6(self, extensions=(), family=socket.AF_INET6, address=GATEWAY_OUTSIDE6):
        own = self.gateway.namespace.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(own.close)
        own.bind((address, 0))
        own.settimeout(20)
        for number in extensions:
            own.setsockopt(socket.IPPROTO_IPV6, SOCKET_OPTIONS[number], extension(0))
        return own

    def socket4(self):
        return self.socket6(family=socket.AF_INET, address=GATEWAY_OUTSIDE)

    def check_seal(self, own, peer, tunnel, suite, extensions=(), esn=False):
        sa = self.gateway.add_out(suite, esn, tunnel)
        for length in (0, 1, 2, 3, 15, 16, 100, 1200):
            data = os.urandom(length)
            own.sendto(data, (peer, PORT))
            outer = self.outside.expect_esp(sa.spi)
            wanted = udp(own.getsockname()[0], peer, own.getsockname()[1], PORT, data, extensions)
            opened = {"by hand": sa.open(outer)}
            if sa.scapy_knows:
                opened["scapy"] = sa.scapy_open(outer)
            for name, inner in opened.items():
                protocol, offset, _ = upper_of(inner)
                self.assertEqual((protocol, inner[offset:]), (17, wanted[upper_of(wanted)[1] :]), name)
                self.assertEqual(offset, upper_of(wanted)[1], f"{name}: extension headers")
                self.assertEqual(struct.unpack("!H", inner[4:6])[0] + 40 if ":" in peer else inner[2] << 8 | inner[3],
                                 len(inner), f"{name}: length")

    def check_open(self, own, peer, tunnel, suite, extensions=(), esn=False):
        sa = self.gateway.add_in(suite, esn, tunnel)
        address, port = own.getsockname()[:2]
        for number, length in enumerate((0, 1, 2, 3, 15, 16, 100, 1200)):
            data = os.urandom(length)
            inner = udp(peer, address, PORT, port, data, extensions)
            seal = sa.scapy_seal if sa.scapy_knows and number % 2 else sa.seal_transport
            self.outside.send(seal(inner))
            received, sender = own.recvfrom(2000)
            self.assertEqual((received, sender[:2]), (data, (peer, PORT)))

    def test_every_suite(self):
        own4, own6 = self.socket4(), self.socket6()
        for suite in self.suites():
            for own, peer, tunnel in ((own4, TRANSPORT_PEER, "transport4"), (own6, TRANSPORT_PEER6, "transport6")):
                with self.subTest(suite=suite, tunnel=tunnel):
                    self.check_seal(own, peer, tunnel, suite)
                    self.check_open(own, peer, tunnel, suite)

    def test_extension_headers(self):
        for name, extensions in {**EXTENSIONS, "both": (PROTO_HOPOPTS, PROTO_DSTOPTS)}.items():
            own = self.socket6(extensions)
            for suite in CLASSES:
                with self.subTest(name, suite=suite):
                    self.check_seal(own, TRANSPORT_PEER6, "transport6", suite, extensions)
                    self.check_open(own, TRANSPORT_PEER6, "transport6", suite, extensions)

    def test_hop_by_hop_options_stay_in_front_of_esp(self):
        # RFC 4303 3.1.1: routers on the way read them; destination options for the last host are protected.
        own = self.socket6((PROTO_HOPOPTS, PROTO_DSTOPTS))
        sa = self.gateway.add_out(tunnel="transport6")
        own.sendto(b"options", (TRANSPORT_PEER6, PORT))
        outer = self.outside.expect_esp(sa.spi)
        self.assertEqual((outer[6], outer[40]), (PROTO_HOPOPTS, 50))

    def test_extended_sequence_numbers(self):
        own4, own6 = self.socket4(), self.socket6()
        for suite in CLASSES:
            for own, peer, tunnel in ((own4, TRANSPORT_PEER, "transport4"), (own6, TRANSPORT_PEER6, "transport6")):
                with self.subTest(suite=suite, tunnel=tunnel):
                    self.check_seal(own, peer, tunnel, suite, esn=True)
                    self.check_open(own, peer, tunnel, suite, esn=True)

    def test_packet_without_df_is_sealed_whole_and_cut_behind(self):
        # RFC 4303 3.3.4: transport mode seals no fragments.
        sa, own = self.gateway.add_out(tunnel="transport4"), self.socket4()
        own.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        for length in (1472, 1450):
            data = os.urandom(length)
            own.sendto(data, (TRANSPORT_PEER, PORT))
            pieces = [self.outside.expect(self.is_to_transport_peer)[14:] for _ in range(2)]
            for packet in pieces:
                self.assertLessEqual(len(packet), 1500)
            inner = sa.open(joined(pieces))
            self.assertEqual((inner[9], inner[28:]), (17, data))

    @staticmethod
    def is_to_transport_peer(frame):
        return ethertype_of(frame) == ETH_IP and frame[30:34] == ip_bytes(TRANSPORT_PEER)

    def test_plaintext_is_refused(self):
        own = self.socket4()
        sa = self.gateway.add_in(tunnel="transport4")
        before = self.gateway.drops()
        self.outside.send(udp(TRANSPORT_PEER, GATEWAY_OUTSIDE, PORT, own.getsockname()[1], b"in the clear"))
        self.outside.send(sa.seal_transport(udp(TRANSPORT_PEER, GATEWAY_OUTSIDE, PORT, own.getsockname()[1], b"sealed")))
        self.assertEqual(own.recvfrom(100)[0], b"sealed")
        self.assert_drops(before, {"policy_plaintext": 1})


class TsharkTest(MatrixTestCase):
    """The third oracle reads a capture of the outer link with the SA's keys."""

    FIELDS = ("esp.sequence", "esp.icv_good", "udp.srcport", "udp.length")
    SHA = {256: "HMAC-SHA-256-128 [RFC4868]", 512: "HMAC-SHA-512-256 [RFC4868]"}

    def algorithms(self, sa):
        """tshark's names and keys of an SA's suite; None where it has none."""
        crypto = sa.crypto
        if crypto.crypt == "AES-GCM":
            return "AES-GCM with 16 octet ICV [RFC4106]", sa.key, "NULL", b""
        names = {"AES-CBC": "AES-CBC [RFC3602]", "AES-CTR": "AES-CTR [RFC3686]", "NULL": "NULL"}
        sha = int(crypto.auth.split("-")[1]) if crypto.auth else None
        if crypto.crypt not in names or sha not in self.SHA:
            return None
        return names[crypto.crypt], sa.key[: crypto.crypt_bytes], self.SHA[sha], sa.key[crypto.crypt_bytes :]

    def tshark(self, frames, sas):
        with tempfile.TemporaryDirectory(prefix="tandem-tshark-") as directory:
            capture = os.path.join(directory, "outside.pcap")
            wrpcap(capture, frames, linktype=1)
            command = ["tshark", "-n", "-r", capture, "-T", "fields", "-E", "occurrence=l"]
            for field in self.FIELDS:
                command += ["-e", field]
            command += ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
            for sa in sas:
                crypt, crypt_key, auth, auth_key = self.algorithms(sa)
                keys = [f"0x{key.hex()}" if key else "" for key in (crypt_key, auth_key)]
                row = ("IPv6" if ":" in sa.src else "IPv4", "*", "*", f"0x{sa.spi:08x}", crypt, keys[0], auth, keys[1])
                command += ["-o", "uat:esp_sa:" + ",".join(f'"{text}"' for text in row)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
                env={**os.environ, "HOME": directory, "XDG_CONFIG_HOME": directory},
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            return [line.split("\t") for line in done.stdout.splitlines()]

    def test_tshark_opens_every_suite_that_it_knows(self):
        frames, expected, sas = [], [], []
        for suite, tunnel in zip(self.suites(), itertools.cycle(HOSTS)):
            sa = self.gateway.new_sa("out", suite, tunnel=tunnel)
            if self.algorithms(sa) is None:
                continue
            self.gateway.add(sa, "out", tunnel, activate=True)
            sas.append(sa)
            for number, length in enumerate((48, 53, 100, 1300), 1):
                inner = self.inner_out(length, *HOSTS[tunnel])
                self.inside.send(inner)
                frames.append(self.outside.expect(lambda frame, spi=sa.spi: is_esp(frame, spi)))
                offset = upper_of(inner)[1]
                port = str(struct.unpack("!H", inner[offset : offset + 2])[0])
                expected.append([str(number), port, str(length - offset)])
        rows = self.tshark(frames, sas)
        self.assertGreaterEqual(len(sas), 15)
        self.assertEqual([[row[0], *row[2:]] for row in rows], expected)
        # An empty column would mean that tshark did not check; only a good ICV is good enough.
        self.assertEqual({row[1] for row in rows}, {"1"})


class ListTest(MatrixTestCase):
    def test_every_suite_of_the_list_has_an_oracle_that_agrees_on_its_sizes(self):
        for row in self.gateway.rpc.call("suite.list")["suites"]:
            if row["protocol"] != "esp":
                continue  # test_ah.py has the others
            with self.subTest(row["name"]):
                suite = suite_named(row["name"])
                sizes = (suite.key_bytes, suite.iv_bytes, suite.icv_bytes)
                self.assertEqual((row["key_bytes"], row["iv_bytes"], row["icv_bytes"]), sizes)


if __name__ == "__main__":
    unittest.main()

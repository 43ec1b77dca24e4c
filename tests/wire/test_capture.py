# SPDX-License-Identifier: BSD-3-Clause
"""Packet captures, as tshark reads them: both sides of the gateway, before and after ESP."""

import array
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from daemon import default_build_dir
from esp import forwarded, ipv4
from gateway import (
    BURST, GATEWAY_INSIDE, GATEWAY_OUTSIDE, HOST, OWN_LINK, PEER, REMOTE_HOST, Gateway, GatewayTestCase, Tunnel, gateway_config
)
from rpc import Rpc, RpcError
from scapy.utils import RawPcapNgReader

IN, OUT = "1", "2"  # frame.packet_flags_direction
FIELDS = ("frame.interface_name", "frame.packet_flags_direction", "frame.len", "frame.cap_len", "frame.time_epoch",
          "frame.comment")


class CaptureFile:
    """What tshark and scapy read of a capture."""

    def __init__(self, path):
        self.path = path

    def tshark(self, *fields, options=()):
        """A list of fields for each frame. A file that is cut or malformed is an error."""
        command = ["tshark", "-n", "-r", self.path, "-T", "fields", "-E", "occurrence=l"]
        for option in options:
            command += ["-o", option]
        for field in fields:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0 or "cut short" in done.stderr or "damaged" in done.stderr:
            raise AssertionError(f"tshark: {done.returncode}: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def frames(self):
        """(port, direction, bytes) of each frame."""
        rows = self.tshark(*FIELDS)
        with contextlib.closing(RawPcapNgReader(self.path)) as reader:
            data = [frame for frame, _ in reader]
        assert len(rows) == len(data), (len(rows), len(data))
        return [(row[0], row[1][-1:], frame) for row, frame in zip(rows, data)]

    def packets(self):
        """(port, direction, IP packet), without what the gateway's kernel says by itself."""
        return [(port, way, frame[14:]) for port, way, frame in self.frames() if frame[12:14] == b"\x08\x00"]


class CaptureTestCase(GatewayTestCase):
    def setUp(self):
        super().setUp()
        self.directory = tempfile.mkdtemp(prefix="tandem-capture-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = os.path.join(self.directory, "test.pcapng")
        self.addCleanup(self.stop)

    def ctl(self, *arguments):
        command = [os.path.join(default_build_dir(), "tandemctl"), "-s", self.gateway.daemon.socket_path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start(self, *options, path=None):
        done = self.ctl("capture", "start", path or self.path, *options)
        self.assertEqual(done.returncode, 0, done.stderr)

    def show(self):
        return self.gateway.rpc.call("capture.show")

    def stop(self):
        done = self.ctl("capture", "stop")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.show()["state"], "idle")
        return CaptureFile(self.path)


class ContentTest(CaptureTestCase):
    def esp_options(self, *sas):
        """tshark's preferences that let it open these SAs."""
        keys = [
            f'uat:esp_sa:"IPv4","{sa.src}","{sa.dst}","{sa.spi:#x}","AES-GCM with 16 octet ICV [RFC4106]",'
            f'"0x{sa.key.hex()}","NULL","","32-bit"'
            for sa in sas
        ]
        return ("esp.enable_encryption_decode:TRUE", *keys)

    def test_both_sides_of_both_directions(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.start()
        plain_in, plain_out = self.inner_in(), self.inner_out(1001)
        sealed_in = inbound.seal(plain_in)
        self.outside.send(sealed_in)
        self.inside.expect_packet(forwarded(plain_in))
        self.inside.send(plain_out)
        sealed_out = self.outside.expect_esp(outbound.spi)
        file = self.stop()
        self.assertEqual(file.packets(), [
            ("outside", IN, sealed_in),
            ("inside", OUT, forwarded(plain_in)),
            ("inside", IN, plain_out),
            ("outside", OUT, sealed_out),
        ])
        # What tshark finds in the ESP packets are the very plain ones.
        rows = file.tshark("frame.interface_name", "esp.spi", "udp.srcport", "ip.ttl", "ip.src",
                           options=self.esp_options(inbound, outbound))
        # The innermost occurrence of each field is shown.
        ports = [int.from_bytes(packet[20:22], "big") for packet in (plain_in, plain_in, plain_out, plain_out)]
        self.assertEqual([row[2] for row in rows], [str(port) for port in ports])
        self.assertEqual([row[4] for row in rows], [REMOTE_HOST, REMOTE_HOST, HOST, HOST])
        self.assertEqual([row[1] for row in rows], [f"0x{inbound.spi:08x}", "", "", f"0x{outbound.spi:08x}"])
        self.assertEqual([row[3] for row in rows], ["64", "63", "64", "63"])

    def test_one_side(self):
        for side, ports in (("plain", {"inside"}), ("protected", {"outside"}), ("both", {"inside", "outside"})):
            with self.subTest(side):
                self.path = os.path.join(self.directory, side)
                sa = self.gateway.add_in()
                self.start("--side", side)
                self.pass_in(sa)
                self.assertEqual({port for port, _, _ in self.stop().packets()}, ports)

    def test_dropped_packets_are_captured_as_they_came(self):
        sa = self.gateway.add_in()
        self.pass_in(sa)
        forged, replayed = sa.seal_bad_icv(self.inner_in()), sa.seal(self.inner_in(), 1)
        self.start("--side", "protected")
        for packet in (forged, replayed):
            self.outside.send(packet)
        self.pass_in(sa)
        packets = [packet for _, _, packet in self.stop().packets()]
        self.assertEqual(packets[:2], [forged, replayed])
        self.assertEqual(len(packets), 3)

    def test_packets_of_the_gateway_itself(self):
        """What no inside port sees is captured where it lies bare."""
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.start("--filter", "proto=icmp", "--side", "plain")
        ping = ipv4(REMOTE_HOST, GATEWAY_INSIDE, 1, b"\x08\0\xf7\xff" + bytes(4))
        self.gateway.namespace.ip("route", "replace", "10.2.0.0/24", "via", PEER, "dev", "outside")
        self.addCleanup(self.gateway.namespace.ip, "route", "del", "10.2.0.0/24", "via", PEER, "dev", "outside")
        self.outside.send(inbound.seal(ping))
        answer = outbound.open(self.outside.expect_esp(outbound.spi))
        file = self.stop()
        self.assertEqual(file.packets(), [("outside", IN, ping), ("outside", OUT, answer)])
        comments = [row[0] for row in file.tshark("frame.comment")]
        self.assertIn("out of a tunnel", comments[0])
        self.assertIn("before it is sealed", comments[1])

    def test_names_times_and_lengths(self):
        sa = self.gateway.add_in()
        before = time.time()
        self.start("--side", "protected")
        self.pass_in(sa)
        after = time.time()
        rows = self.stop().tshark(*FIELDS, "frame.interface_description")
        self.assertEqual(len(rows), 1)
        name, direction, length, captured, epoch, comment, description = rows[0]
        self.assertEqual((name, description, comment), ("outside", "outside", ""))
        self.assertEqual(direction[-1], IN)
        self.assertEqual((length, captured), ("170", "170"))
        self.assertGreater(float(epoch), before - 0.1)
        self.assertLess(float(epoch), after + 0.1)

    def test_snaplen(self):
        sa = self.gateway.add_in()
        self.start("--snaplen", "64")
        inner = self.inner_in(500)
        sealed = sa.seal(inner)
        self.outside.send(sealed)
        self.inside.expect_packet(forwarded(inner))
        file = self.stop()
        self.assertEqual([packet for _, _, packet in file.packets()], [sealed[:50], forwarded(inner)[:50]])
        rows = file.tshark("frame.len", "frame.cap_len")
        self.assertEqual(rows, [[str(14 + len(sealed)), "64"], ["514", "64"]])

    def test_keys_are_not_written(self):
        sa = self.gateway.add_in()
        self.start()
        self.pass_in(sa)
        self.stop()
        with open(self.path, "rb") as file:
            data = file.read()
        self.assertNotIn(sa.key[:16], data)
        self.assertNotIn(sa.key.hex().encode(), data)


class SelectionTest(CaptureTestCase):
    def test_count_ends_the_capture(self):
        sa = self.gateway.add_in()
        self.start("--count", "5", "--side", "protected")
        for _ in range(8):
            self.pass_in(sa)
        self.eventually(lambda: self.show()["state"], "idle")
        self.assertEqual(self.show()["packets"], 5)
        self.assertEqual(len(CaptureFile(self.path).packets()), 5)

    def test_filter_excludes_others(self):
        one, other = self.gateway.add_in(), self.gateway.add_in()
        self.start("--filter", f"spi={one.spi:#x}")
        self.pass_in(other)
        self.pass_in(one)
        self.pass_in(other)
        rows = self.stop().tshark("esp.spi")
        self.assertEqual(rows, [[f"0x{one.spi:08x}"]])

    def test_filter_by_port_and_address(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out()
        self.start("--filter", f"port=inside src={HOST}")
        self.pass_in(inbound)
        self.pass_out(outbound)
        self.assertEqual([(port, way) for port, way, _ in self.stop().packets()], [("inside", IN)])

    def test_nothing_is_captured_behind_the_stop(self):
        sa = self.gateway.add_in()
        self.start()
        self.pass_in(sa)
        size = os.stat(self.stop().path).st_size
        self.pass_in(sa)
        self.assertEqual(os.stat(self.path).st_size, size)
        self.assertEqual(self.show()["bytes"], size)

    def test_flood_loses_copies_and_no_packets(self):
        sa = self.gateway.add_in()
        before = self.gateway.drops()
        self.start("--snaplen", "9216")
        for _ in range(20):
            inner = [self.inner_in() for _ in range(BURST)]
            # They meet the gateway as full bursts.
            os.kill(self.gateway.daemon.pid, signal.SIGSTOP)
            for packet in inner:
                self.outside.send(sa.seal(packet))
            os.kill(self.gateway.daemon.pid, signal.SIGCONT)
            self.inside.expect_packets([forwarded(packet) for packet in inner])
        self.assert_drops(before, {})
        file = self.stop()
        shown = self.show()
        self.assertEqual(len(file.packets()), 40 * BURST - shown["lost"])


class FileTest(CaptureTestCase):
    def refused(self, path, code, words):
        done = self.ctl("capture", "start", path)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(self.show()["state"], "idle")

    def test_mode_of_the_file(self):
        self.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_file_that_exists_is_refused_and_kept(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        self.refused(self.path, 2, "File exists")
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_link_is_not_followed(self):
        target = os.path.join(self.directory, "target")
        os.symlink(target, self.path)
        self.refused(self.path, 2, "File exists")
        self.assertFalse(os.path.exists(target))

    def test_second_capture_is_refused_and_leaves_no_file(self):
        self.start()
        other = os.path.join(self.directory, "other")
        done = self.ctl("capture", "start", other)
        self.assertEqual(done.returncode, 1)
        self.assertIn("a capture is running", done.stderr)
        self.assertFalse(os.path.exists(other))
        self.assertEqual(self.show()["state"], "running")

    def test_one_after_the_other(self):
        sa = self.gateway.add_in()
        for number in range(3):
            self.path = os.path.join(self.directory, str(number))
            self.start("--side", "protected")
            self.pass_in(sa)
            self.assertEqual(len(self.stop().packets()), 1)

    def pass_descriptor(self, *descriptors, **params):
        """capture.start by hand, with descriptors along with the request."""
        with Rpc(self.gateway.daemon.socket_path) as rpc:
            request = b'{"jsonrpc":"2.0","id":1,"method":"capture.start","params":{}}\n'
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            rpc._socket.sendmsg([request], rights)
            return rpc.read_answer(1)

    def test_descriptors_that_are_no_fresh_files(self):
        full = os.path.join(self.directory, "full")
        with open(full, "w", encoding="ascii") as file:
            file.write("x")
        empty = os.path.join(self.directory, "empty")
        with open(empty, "w", encoding="ascii"):
            pass
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        null = os.open("/dev/null", os.O_WRONLY)
        read_only, not_empty = os.open(empty, os.O_RDONLY), os.open(full, os.O_WRONLY)
        for descriptor in (null, read_only, not_empty):
            self.addCleanup(os.close, descriptor)
        for descriptors, words in (
            ((), "descriptor"),
            ((writer,), "regular"),
            ((null,), "regular"),
            ((read_only,), "writing"),
            ((not_empty,), "empty"),
        ):
            with self.subTest(words):
                error = self.pass_descriptor(*descriptors)["error"]
                self.assertIn(words, error["data"]["reason"])
        self.assertEqual(self.show()["state"], "idle")

    def test_passed_descriptors_do_not_pile_up(self):
        directory = f"/proc/{self.gateway.daemon.pid}/fd"
        null = os.open("/dev/null", os.O_WRONLY)
        self.addCleanup(os.close, null)
        self.pass_descriptor(null, null)
        before = len(os.listdir(directory))
        for _ in range(20):
            self.pass_descriptor(null, null, null)
        # The connections of before may not have been closed then.
        self.eventually(lambda: len(os.listdir(directory)) <= before, True)

    def test_full_disk_ends_the_capture_with_a_whole_file(self):
        disk = os.path.join(self.directory, "disk")
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True, timeout=60)
        self.addCleanup(subprocess.run, ["umount", disk], check=True, timeout=60)
        self.path = os.path.join(disk, "full.pcapng")
        sa = self.gateway.add_in()
        self.start("--side", "protected")
        for _ in range(60):
            self.pass_in(sa, length=1300)
        self.eventually(lambda: self.show()["state"], "idle")
        shown = self.show()
        self.assertIn("No space left", shown["failure"])
        self.assertEqual(len(CaptureFile(self.path).packets()), shown["packets"])
        self.assertGreater(shown["packets"], 10)

    def test_bad_parameters_are_refused(self):
        for params, field in (
            ({"count": 0}, "count"),
            ({"snaplen": 63}, "snaplen"),
            ({"snaplen": 9217}, "snaplen"),
            ({"side": "dark"}, "side"),
            ({"filter": "drop=esp_auth"}, "filter"),
            ({"filter": "spi=x"}, "filter"),
            ({}, "file"),
        ):
            with self.subTest(params), self.assertRaises(RpcError) as raised:
                self.gateway.rpc.call("capture.start", params)
            self.assertEqual((raised.exception.code, raised.exception.data.get("field")), (-32602, field))


class TwoWorkersTest(CaptureTestCase):
    config_text = gateway_config(workers=2)

    def test_packets_that_change_workers_are_captured_once(self):
        outbound = [self.gateway.add_out(worker=1)]
        inbound = [self.gateway.add_in(worker=worker) for worker in (0, 1)]
        self.start()
        for sa in inbound:
            self.pass_in(sa)
        self.pass_out(outbound[0])
        packets = self.stop().packets()
        self.assertEqual(sorted((port, way) for port, way, _ in packets),
                         sorted([("outside", IN), ("inside", OUT)] * 2 + [("inside", IN), ("outside", OUT)]))


class HubTest(CaptureTestCase):
    """A packet from tunnel to tunnel passes no inside port."""

    tunnels = (
        Tunnel("b", ["10.1.0.0/24", "10.3.0.0/24"], ["10.2.0.0/24"]),
        Tunnel("c", ["10.2.0.0/24"], ["10.3.0.0/24"]),
    )
    config_text = gateway_config(tunnels=tunnels)

    def test_opened_packet_is_captured_between_the_tunnels(self):
        inbound, outbound = self.gateway.add_in(), self.gateway.add_out(tunnel="c")
        self.start("--side", "plain")
        inner = self.inner_in(dst="10.3.0.9")
        self.outside.send(inbound.seal(inner))
        self.assertEqual(outbound.open(self.outside.expect_esp(outbound.spi)), forwarded(inner))
        self.assertEqual(self.stop().packets(), [("outside", IN, forwarded(inner))])


class DaemonStopTest(unittest.TestCase):
    def test_stop_of_the_daemon_closes_a_valid_file(self):
        gateway = Gateway(gateway_config(policies=(OWN_LINK,)))
        self.addCleanup(gateway.close)
        gateway.start()
        directory = tempfile.mkdtemp(prefix="tandem-capture-")
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "stop.pcapng")
        sa = gateway.add_in()
        command = [os.path.join(default_build_dir(), "tandemctl"), "-s", gateway.daemon.socket_path]
        subprocess.run([*command, "capture", "start", path], check=True, timeout=60, stdout=subprocess.DEVNULL)
        inner = ipv4(REMOTE_HOST, HOST, 17, bytes(100))
        gateway.outside.send(sa.seal(inner))
        gateway.inside.expect_packet(forwarded(inner))
        gateway.close_checked()
        packets = CaptureFile(path).packets()
        self.assertEqual([(port, way) for port, way, _ in packets[:1]], [("outside", IN)])
        self.assertIn(GATEWAY_OUTSIDE, CaptureFile(path).tshark("ip.dst")[0])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Traffic of the lab: numbered UDP packets, one TCP transfer, and a capture that looks for plaintext.

Run as a program, it is one sender, receiver or capture in the namespace it was started in. It answers each line on
standard input ("status", "stop") with a line of JSON; end of file ends it. Traffic is the parent's side of that."""

import argparse
import ctypes
import hashlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

CAPTURE_LAST_S = 3.0
IKE_PORTS, NATT_PORTS = struct.pack("!HH", 500, 500), struct.pack("!HH", 4500, 4500)
MARKER = b"tandem plaintext"  # in every payload: ESP must hide it
HEADER = struct.Struct("!16s8sQ")
PATTERN = bytes(range(256)) * 8
SIZES = (64, 1372, 200, 576, 1000)  # UDP payload bytes; 1372 fills an IP packet of 1400 bytes
RECEIVE_BUFFER = 64 << 20
TCP_BUFFER = 256 << 10
BURST = 32
TICK_S = 0.001

SO_RCVBUFFORCE = 33
SO_MAX_PACING_RATE = 47
SO_MEMINFO = 55
SO_ATTACH_FILTER = 26
SOL_PACKET = 263
PACKET_STATISTICS = 6
ETH_P_ALL = 3


class Traffic:
    """One process of this program in a namespace."""

    def __init__(self, namespace, *arguments):
        self.what = f"{arguments[0]} in {namespace.name}"
        command = namespace.command("/usr/bin/python3", os.path.abspath(__file__), *map(str, arguments))
        # In a session of its own: an interrupt from the terminal is for the parent, which then ends this process.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        self.ready = self._read()

    def _read(self, timeout=60.0):
        line = b""
        deadline = time.monotonic() + timeout
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self.what}: no answer within {timeout:g} s")
            part = self.process.stdout.read(1 << 16)
            if not part:
                raise RuntimeError(f"{self.what}: ended early with status {self.process.wait()}")
            line += part
        return json.loads(line)

    def status(self):
        self.process.stdin.write(b"status\n")
        return self._read()

    def stop(self):
        """The final numbers. A TCP sender closes its connection, a capture reads what it has still queued."""
        self.process.stdin.write(b"stop\n")
        result = self._read()
        self.close()
        return result

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Job:
    """A thread that works until told to stop; status() may be called from another one."""

    def __init__(self):
        self.stopping = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._guarded, daemon=True)

    def _guarded(self):
        try:
            self.work()
        except Exception as error:  # reported to the parent, which fails
            self.error = f"{type(error).__name__}: {error}"

    def finish(self):
        self.stopping.set()
        self.thread.join(30)
        if self.thread.is_alive():
            self.error = "still busy 30 s after it was told to stop"


def pace(rate, stopping):
    """Yields how many units are due, at least every few milliseconds."""
    start = time.monotonic()
    sent = 0
    while not stopping.is_set():
        due = min(int((time.monotonic() - start) * rate) - sent, BURST)
        if due > 0:
            sent += due
            yield due
        time.sleep(TICK_S)


class UdpSend(Job):
    def __init__(self, options):
        super().__init__()
        self.run_id = bytes.fromhex(options.run_id)
        self.rate = options.rate
        self.sent = 0
        self.first = self.last = 0.0
        self.sockets = []
        for _ in range(options.flows):
            flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            flow.connect((options.address, options.port))
            self.sockets.append(flow)

    def work(self):
        self.first = self.last = time.monotonic()
        for due in pace(self.rate, self.stopping):
            for _ in range(due):
                number = self.sent
                header = HEADER.pack(MARKER, self.run_id, number)
                offset = number % 256
                filler = PATTERN[offset : offset + SIZES[number % len(SIZES)] - HEADER.size]
                self.sockets[number % len(self.sockets)].send(header + filler)
                self.sent = number + 1
            self.last = time.monotonic()

    def status(self):
        seconds = self.last - self.first
        return {"sent": self.sent, "seconds": seconds, "rate": self.sent / seconds if seconds else 0.0}


class UdpReceive(Job):
    def __init__(self, options):
        super().__init__()
        self.run_id = bytes.fromhex(options.run_id)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self.socket.bind((options.address, options.port))
        self.socket.settimeout(0.1)
        self.seen = bytearray()
        self.received = self.duplicates = self.corrupt = self.reordered = 0
        self.highest = -1

    def work(self):
        buffer = bytearray(2048)
        while not self.stopping.is_set():
            try:
                length = self.socket.recv_into(buffer)
            except socket.timeout:
                continue
            self.take(buffer, length)

    def take(self, buffer, length):
        if length < HEADER.size:
            self.corrupt += 1
            return
        marker, run_id, number = HEADER.unpack_from(buffer)
        size, offset = SIZES[number % len(SIZES)], number % 256
        if (
            marker != MARKER
            or run_id != self.run_id
            or length != size
            or buffer[HEADER.size : length] != PATTERN[offset : offset + size - HEADER.size]
        ):
            self.corrupt += 1
            return
        if number >= len(self.seen):
            self.seen.extend(bytes(number + 65536 - len(self.seen)))
        if self.seen[number]:
            self.duplicates += 1
            return
        self.seen[number] = 1
        self.received += 1
        if number < self.highest:
            self.reordered += 1
        else:
            self.highest = number

    def status(self):
        meminfo = struct.unpack("9I", self.socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
        return {
            "received": self.received,
            "duplicates": self.duplicates,
            "corrupt": self.corrupt,
            "reordered": self.reordered,
            "highest": self.highest,
            "socket_drops": meminfo[8],
            "missing": self.missing(),
        }

    def missing(self):
        """The first few gaps, as [first, last], to say when packets went missing."""
        gaps, position = [], self.seen.find(0, 0, self.highest + 1)
        while position >= 0 and len(gaps) < 8:
            end = self.seen.find(1, position)
            gaps.append([position, end - 1])
            position = self.seen.find(0, end, self.highest + 1)
        return gaps


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class TcpSend(Job):
    def __init__(self, options):
        super().__init__()
        self.rate = options.rate
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.socket = socket.socket(family_of(options.address), socket.SOCK_STREAM)
        # A transfer at full speed would fill the small rings of the test devices; that loss is TCP's business
        # but would take UDP packets along. Hence the rate, and buffers that keep a window small.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self.rate * 2)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TCP_BUFFER)
        self.socket.settimeout(30)
        self.socket.connect((options.address, options.port))

    def work(self):
        block = os.urandom(8192)
        for due in pace(self.rate / len(block), self.stopping):
            for _ in range(due):
                data = self.bytes.to_bytes(8, "big") + block[8:]
                self.socket.sendall(data)
                self.digest.update(data)
                self.bytes += len(data)
        self.socket.shutdown(socket.SHUT_WR)
        # The receiver closes after the last byte.
        if self.socket.recv(1):
            raise RuntimeError("the receiver sent data")

    def status(self):
        # struct tcp_info: tcpi_snd_mss is the 32-bit word at offset 16, tcpi_pmtu that at 60, tcpi_total_retrans at 100,
        # tcpi_dsack_dups at 216: how many of them the receiver had already (tail-loss probes sent before a late acknowledgement came).
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 220)
        words = {"mss": 16, "pmtu": 60, "retransmitted": 100, "needless": 216}
        counted = {name: struct.unpack_from("I", info, offset)[0] for name, offset in words.items()}
        return {"bytes": self.bytes, "sha256": self.digest.hexdigest(), **counted}


class TcpReceive(Job):
    def __init__(self, options):
        super().__init__()
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.end = False
        self.socket = socket.socket(family_of(options.address), socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TCP_BUFFER)
        self.socket.bind((options.address, options.port))
        self.socket.listen(1)
        self.socket.settimeout(60)

    def work(self):
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(60)
            while data := connection.recv(65536):
                self.digest.update(data)
                self.bytes += len(data)
        self.end = True

    def status(self):
        return {"bytes": self.bytes, "sha256": self.digest.hexdigest(), "end": self.end}


class Capture(Job):
    """Counts the frames that arrive on an interface. Those that leave are invisible here (net_af_packet bypasses the
    taps), so the other end of the link has a capture as well."""

    def __init__(self, options):
        super().__init__()
        self.gateways = {socket.inet_aton(address) for address in options.address.split(",")}
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        # "ret 256": headers and the marker are within 256 bytes, the copies stay small. Nothing is copied of a flood (flood.py)
        # and its answers: UDP with port 500 at one end only. In the lab that is nobody else's.
        code = [(0x06, 0, 0, 256)]
        if options.flooded:
            code = [
                (0x28, 0, 0, 12), (0x15, 0, 9, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 7, 17),
                (0x28, 0, 0, 34), (0x15, 0, 2, 500), (0x28, 0, 0, 36), (0x15, 3, 2, 500),
                (0x28, 0, 0, 36), (0x15, 0, 1, 500), (0x06, 0, 0, 0), *code,
            ]
        bytes_of_code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
        program = struct.pack("HP", len(code), ctypes.addressof(bytes_of_code))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self.socket.bind((options.interface, ETH_P_ALL))
        self.socket.settimeout(0.1)
        self.esp = self.ike = self.plaintext = self.arp = self.icmp = self.other = self.drops = 0
        self.spis = {}
        self.examples = []

    def work(self):
        buffer = bytearray(256)
        end = None
        while end is None or time.monotonic() < end:
            try:
                length, address = self.socket.recvfrom_into(buffer)
                if address[2] != socket.PACKET_OUTGOING:
                    self.take(buffer, length)
            except socket.timeout:
                # Only once the queue is empty: what was captured counts.
                if self.stopping.is_set():
                    break
            # Key changes may never leave the link quiet.
            if end is None and self.stopping.is_set():
                end = time.monotonic() + CAPTURE_LAST_S

    def take(self, buffer, length):
        kind = buffer[12:14]
        if kind == b"\x08\x06":
            self.arp += 1
            return
        ipv4 = kind == b"\x08\x00" and length >= 34
        between_gateways = ipv4 and {bytes(buffer[26:30]), bytes(buffer[30:34])} <= self.gateways
        offset = 14 + (buffer[14] & 15) * 4
        ports = bytes(buffer[offset : offset + 4]) if between_gateways and buffer[23] == 17 else b""
        marked = buffer.find(MARKER, 0, length) >= 0
        # RFC 3948: behind the ports 4500 comes ESP, or IKE behind four zeros.
        if (ports == IKE_PORTS or (ports == NATT_PORTS and not any(buffer[offset + 8 : offset + 12]))) and not marked:
            self.ike += 1
        elif (ipv4 and buffer[23] == 50 or ports == NATT_PORTS) and not marked:
            self.esp += 1
            offset += 8 if ports else 0
            spi = int.from_bytes(buffer[offset : offset + 4], "big")
            self.spis[spi] = self.spis.get(spi, 0) + 1
        elif between_gateways and buffer[23] == 1:
            self.icmp += 1
        elif kind in (b"\x08\x00", b"\x86\xdd") or marked:
            self.plaintext += 1
            if len(self.examples) < 4:
                self.examples.append(buffer[14 : min(length, 78)].hex())
        else:
            self.other += 1

    def status(self):
        # Reading the counters clears them.
        _, drops = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.drops += drops
        names = ("esp", "ike", "plaintext", "arp", "icmp", "other", "drops", "spis", "examples")
        return {name: getattr(self, name) for name in names}


JOBS = {
    "udp-send": UdpSend,
    "udp-receive": UdpReceive,
    "tcp-send": TcpSend,
    "tcp-receive": TcpReceive,
    "capture": Capture,
}


def main():
    parser = argparse.ArgumentParser(description="sender, receiver or capture of the tandem test lab")
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--flooded", action="store_true", help="capture: the messages of a flood are not looked at")
    parser.add_argument("--address", default="0.0.0.0", help="own or peer address; capture: the gateways' addresses")
    parser.add_argument("--port", type=int, default=7000)
    parser.add_argument("--rate", type=int, default=1000, help="packets per second, for TCP bytes per second")
    parser.add_argument("--flows", type=int, default=1, help="UDP source ports")
    parser.add_argument("--run-id", default="00" * 8, help="16 hexadecimal digits that every packet carries")
    parser.add_argument("--interface", default="eth0")
    options = parser.parse_args()
    job = JOBS[options.job](options)
    job.thread.start()
    answer = {"ready": True}
    while True:
        print(json.dumps(answer), flush=True)
        line = sys.stdin.readline().strip()
        if line == "stop":
            job.finish()
        elif line != "status":
            return 0
        answer = {**job.status(), "error": job.error}


if __name__ == "__main__":
    sys.exit(main())

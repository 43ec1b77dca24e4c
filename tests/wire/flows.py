# SPDX-License-Identifier: BSD-3-Clause
"""Numbered UDP packets both ways between many pairs of hosts, and what is seen of them on the link between the gateways."""

import ctypes
import select
import socket
import struct
import threading
import time

from traffic import ETH_P_ALL, MARKER, PACKET_STATISTICS, RECEIVE_BUFFER, SO_ATTACH_FILTER, SO_RCVBUFFORCE, SOL_PACKET, pace

PORT = 7100
NUMBER = struct.Struct("!Q")
SIZES = (300, 1200, 700)  # of payloads: with ESP around them longer than SMALL, and within a host's MTU
SMALL = 250  # a dummy packet in UDP is shorter
SETTLE_S = 10.0  # how long the last packets may take once no more are sent

SKF = 53  # RFC 7383 2.5


class Flow:
    """One direction of a pair: a connected socket that sends, one that receives."""

    def __init__(self, sender, receiver, source, destination):
        self.source, self.destination = source, destination
        self.receiver = receiver.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self.receiver.bind((destination, PORT))
        self.receiver.setblocking(False)
        self.sender = sender.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.bind((source, 0))
        self.sender.connect((destination, PORT))
        self.clear()

    def clear(self):
        self.sent, self.received, self.twice, self.bad = 0, set(), 0, 0

    def send(self, number):
        size = SIZES[number % len(SIZES)]
        self.sender.send((MARKER + NUMBER.pack(number)).ljust(size, b"."))

    def take(self):
        try:
            while data := self.receiver.recv(2048):
                number = NUMBER.unpack_from(data, len(MARKER))[0] if data.startswith(MARKER) else 0
                self.bad += len(data) != SIZES[number % len(SIZES)]
                self.twice += number in self.received
                self.received.add(number)
        except BlockingIOError:
            return

    @property
    def lost(self):
        return sorted(set(range(self.sent)) - self.received)

    def close(self):
        self.sender.close()
        self.receiver.close()


class Flows:
    """pairs: {name: (address of a, address of b)}. rate: packets per second of each flow. Flows do not start before
    one packet came through, so that neighbours are known."""

    def __init__(self, host_a, host_b, pairs, rate):
        self.flows = {
            name: {"a": Flow(host_a, host_b, a, b), "b": Flow(host_b, host_a, b, a)} for name, (a, b) in pairs.items()
        }
        self.rate = rate
        self._stopping = threading.Event()
        self._threads = []

    def _all(self):
        return [flow for pair in self.flows.values() for flow in pair.values()]

    def wait_open(self, timeout=60.0):
        """Until every flow has carried a packet, and none is under way any more."""
        deadline = time.monotonic() + timeout
        attempt = 0
        while missing := [flow for flow in self._all() if not flow.received]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no packet from {', '.join(f'{flow.source} to {flow.destination}' for flow in missing)}")
            for flow in missing:
                flow.send(attempt)
            attempt += 1
            time.sleep(0.2)
            for flow in missing:
                flow.take()
        for quiet in range(5):  # packets that were held somewhere come late
            time.sleep(0.1)
            for flow in self._all():
                flow.take()

    def start(self):
        """All counts begin anew."""
        for flow in self._all():
            flow.clear()
        self._stopping.clear()
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._receive, self._send)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        flows = self._all()
        at = 0
        for due in pace(self.rate * len(flows), self._stopping):
            for _ in range(due):
                flow = flows[at % len(flows)]
                flow.send(flow.sent)
                flow.sent += 1
                at += 1

    def _receive(self):
        poll = select.epoll()
        by_descriptor = {flow.receiver.fileno(): flow for flow in self._all()}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.EPOLLIN)
        last = None
        while True:
            ready = poll.poll(0.1)
            for descriptor, _ in ready:
                by_descriptor[descriptor].take()
            if self._stopping.is_set() and not self._threads[1].is_alive():
                if ready:
                    last = None
                last = last or time.monotonic()
                if not any(flow.lost for flow in by_descriptor.values()) or time.monotonic() - last > SETTLE_S:
                    break
        poll.close()

    def received(self, name):
        """Of the direction that has less."""
        return min(len(flow.received) for flow in self.flows[name].values())

    def stop(self):
        """Waits for the last packets."""
        self._stopping.set()
        for thread in reversed(self._threads):
            thread.join()
        self._threads = []

    def close(self):
        self.stop()
        for flow in self._all():
            flow.close()


class LinkCapture(threading.Thread):
    """What arrives on an interface from the link: sequence numbers of ESP in UDP by (source, destination) and SPI, headers
    of IKE messages, and packets that should have been sealed."""

    def __init__(self, namespace, interface):
        super().__init__(daemon=True)
        self.socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 256))  # "ret 256"
        program = struct.pack("HP", 1, ctypes.addressof(code))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self.socket.bind((interface, ETH_P_ALL))
        self.socket.settimeout(0.1)
        self._stopping, self._quiet = threading.Event(), threading.Event()
        self.clear()

    def clear(self):
        self.esp, self.fragments, self.plaintext = {}, {}, 0

    def wait_quiet(self, timeout=30.0):
        """Until all has been read that arrived."""
        self._quiet.clear()
        if not self._quiet.wait(timeout):
            raise TimeoutError("the link is never quiet")

    def missed(self):
        """Frames since the last call that this process was too slow for."""
        return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def run(self):
        while True:
            try:
                frame, address = self.socket.recvfrom(256)
            except socket.timeout:
                self._quiet.set()
                if self._stopping.is_set():
                    return
                continue
            if address[2] != socket.PACKET_OUTGOING and len(frame) >= 34 and frame[12:14] == b"\x08\x00":
                self._take(frame)

    def _take(self, frame):
        if MARKER in frame:
            self.plaintext += 1
        if frame[23] != socket.IPPROTO_UDP:
            return
        ends = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        length = struct.unpack_from("!H", frame, 16)[0]
        ports = struct.unpack_from("!HH", frame, 34)
        marker = frame[42:46] == bytes(4)
        if 4500 in ports and not marker and len(frame) >= 50:
            spi, sequence = struct.unpack_from("!II", frame, 42)
            if length > SMALL:
                self.esp.setdefault(ends, {}).setdefault(spi, set()).add(sequence)
        elif 500 in ports or marker:
            header = frame[46 if marker else 42 :]
            if len(header) >= 28 and header[16] == SKF:
                self.fragments[ends] = self.fragments.get(ends, 0) + 1

    def count(self, source, destination):
        """Different ESP packets that are no dummies."""
        return sum(map(len, self.esp.get((source, destination), {}).values()))

    def stop(self):
        self._stopping.set()
        self.join()
        self.socket.close()

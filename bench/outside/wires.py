# SPDX-License-Identifier: BSD-3-Clause
"""What all programs under test have alike: packets in a file, two DPDK ports, and how their figures are read."""

import contextlib
import json
import os
import random
import socket
import struct

PACKETS = 512  # of a file; the port gives them again and again
LOCAL, REMOTE = "10.1.0.1", "10.2.0.1"
PREFIX_LOCAL, PREFIX_REMOTE = "10.1.0.0/24", "10.2.0.0/24"
GATEWAY, PEER = "192.0.2.1", "192.0.2.2"
PEER_MAC = "02:00:00:00:02:02"
# That of the first net_pcap device of any process.
INSIDE_MAC = bytes.fromhex("027063617000")
HOST_MAC = bytes.fromhex("020000000102")
IMIX = [64] * 7 + [570] * 4 + [1400]


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(size):
    """An Ethernet frame with a UDP packet of so many bytes in IPv4."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(LOCAL), socket.inet_aton(REMOTE))
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    # A UDP checksum of zero means none (RFC 768).
    udp = struct.pack("!HHHH", 1024, 1025, size - len(header), 0)
    return INSIDE_MAC + HOST_MAC + b"\x08\x00" + header + udp + bytes(size - len(header) - len(udp))


def write_pcap(path, size):
    """size: bytes of the IP packets, or "imix"."""
    sizes = (IMIX * (PACKETS // len(IMIX) + 1))[:PACKETS] if size == "imix" else [size] * PACKETS
    random.Random(1).shuffle(sizes)
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for data in map(frame, sizes):
            file.write(struct.pack("=IIII", 0, 0, len(data), len(data)) + data)


def devices(pcap):
    """The inside port gives the file's packets without end, the outside one drops what it gets."""
    return f"net_pcap0,rx_pcap={pcap},infinite_rx=1", "net_null1,no-rx=1"


def telemetry_sent(prefix, port):
    """Packets that a port of any DPDK program has sent, by the program's telemetry socket."""
    path = f"{os.environ.get('RUNTIME_DIRECTORY', '/var/run')}/dpdk/{prefix}/dpdk_telemetry.v2"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(10)
        client.connect(path)
        client.recv(1 << 16)
        command = f"/ethdev/stats,{port}"
        client.send(command.encode())
        return json.loads(client.recv(1 << 16))["/ethdev/stats"]["opackets"]


def busiest_thread_ns(pid):
    """Processor time of the thread that has used most of it: the one that moves packets."""
    found = [0]
    for thread in os.listdir(f"/proc/{pid}/task"):
        # Telemetry's threads come and go.
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            found.append(int(file.read().split()[0]))
    return max(found)

# SPDX-License-Identifier: BSD-3-Clause
"""The far end of an SA, twice: scapy's SecurityAssociation as the independent oracle for good packets, and a
sealer made of bytes (cryptography's AESGCM) for packets that scapy would not make."""

import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, SecurityAssociation

KEY_BYTES = {"aes128gcm16": 20, "aes256gcm16": 36}
SALT_BYTES = 4
IV_BYTES = 8
ICV_BYTES = 16
ESP_OVERHEAD = 8 + IV_BYTES + 2 + ICV_BYTES  # without padding
PROTO_ESP = 50


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src, dst, protocol, payload, ttl=64, tos=0, flags=0, version=4, words=5, total=None, bad_checksum=False):
    """An IPv4 packet whose fields may be wrong one at a time; the checksum fits whatever stands there."""
    if total is None:
        total = 20 + len(payload)
    fields = [(version << 4) | words, tos, total, os.getpid() & 0xFFFF, flags << 13, ttl, protocol, 0]
    addresses = bytes(int(x) for x in src.split(".")) + bytes(int(x) for x in dst.split("."))
    right = checksum(struct.pack("!BBHHHBBH", *fields) + addresses)
    fields[-1] = right ^ 0x0101 if bad_checksum else right
    return struct.pack("!BBHHHBBH", *fields) + addresses + payload


def udp(src, dst, sport=4000, dport=5000, data=b"", **ip_fields):
    """An IPv4/UDP packet as bytes."""
    addresses = bytes(int(x) for x in src.split(".")) + bytes(int(x) for x in dst.split("."))
    header = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    pseudo = addresses + struct.pack("!BBH", 0, 17, 8 + len(data))
    total = checksum(pseudo + header + data) or 0xFFFF
    return ipv4(src, dst, 17, header[:6] + struct.pack("!H", total) + data, **ip_fields)


def udp_of_length(src, dst, length, tag, **ip_fields):
    """A UDP packet of length bytes; its ports and bytes depend on tag, so that no two are alike."""
    data = bytes((tag * 31 + i * 7) & 0xFF for i in range(length - 28))
    return udp(src, dst, 1024 + tag % 60000, 5000, data, **ip_fields)


def forwarded(packet):
    """What a router makes of an IPv4 packet: TTL one less, header checksum to match."""
    length = (packet[0] & 15) * 4
    header = bytearray(packet[:length])
    header[8] -= 1
    header[10:12] = b"\0\0"
    header[10:12] = struct.pack("!H", checksum(bytes(header)))
    return bytes(header) + packet[length:]


class PeerSa:
    """One SA, seen from the other end. src and dst are the outer addresses of its packets."""

    def __init__(self, spi, suite, key, src, dst, esn=False):
        self.spi = spi
        self.suite = suite
        self.key = key
        self.src = src
        self.dst = dst
        self.esn = esn
        self.sequence = 0  # last one used by seal() and scapy_seal()
        self._aead = AESGCM(key[:-SALT_BYTES])

    def _next(self, sequence):
        if sequence is None:
            sequence = self.sequence + 1
        self.sequence = max(self.sequence, sequence)
        return sequence

    def _scapy(self, sequence):
        return SecurityAssociation(
            ESP,
            spi=self.spi,
            crypt_algo="AES-GCM",
            crypt_key=self.key,
            tunnel_header=IP(src=self.src, dst=self.dst),
            esn_en=self.esn,
            esn=sequence >> 32,
        )

    def scapy_seal(self, inner, sequence=None):
        """Outer packet as bytes, sealed by scapy."""
        sequence = self._next(sequence)
        return bytes(self._scapy(sequence).encrypt(IP(inner), seq_num=sequence & 0xFFFFFFFF))

    def scapy_open(self, outer, sequence=0):
        """Inner packet as bytes, opened and authenticated by scapy (IPSecIntegrityError if wrong).
        sequence matters for its upper half only, with ESN."""
        return bytes(self._scapy(sequence).decrypt(IP(outer)))

    def seal_esp(self, payload, sequence=None, next_header=4, padding=None, pad_length=None):
        """ESP header to ICV. padding and pad_length may contradict each other and RFC 4303."""
        sequence = self._next(sequence)
        if padding is None:
            padding = bytes(range(1, 1 + -(len(payload) + 2) % 4))
        if pad_length is None:
            pad_length = len(padding)
        low = sequence & 0xFFFFFFFF
        header = struct.pack("!II", self.spi, low)
        associated = struct.pack("!III", self.spi, sequence >> 32, low) if self.esn else header
        iv = os.urandom(IV_BYTES)
        plain = payload + padding + bytes([pad_length, next_header])
        return header + iv + self._aead.encrypt(self.key[-SALT_BYTES:] + iv, plain, associated)

    def seal(self, inner, sequence=None, src=None, dst=None, tos=0, **esp_fields):
        """Outer packet as bytes, sealed by hand."""
        esp = self.seal_esp(inner, sequence, **esp_fields)
        return ipv4(src or self.src, dst or self.dst, PROTO_ESP, esp, tos=tos)

    def seal_bad_icv(self, inner, sequence=None):
        """A packet whose last bit is wrong. Does not count as a used sequence number."""
        used = self.sequence
        packet = self.seal(inner, used + 1 if sequence is None else sequence)
        self.sequence = used
        return packet[:-1] + bytes([packet[-1] ^ 1])


def esp_header(outer):
    """(SPI, low 32 bits of the sequence number) of an outer packet without options."""
    return struct.unpack("!II", outer[20:28])

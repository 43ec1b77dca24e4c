# SPDX-License-Identifier: BSD-3-Clause
"""The far end of an AH SA (RFC 4302), twice: by hand on hmac and cryptography's AES-GCM, for every algorithm and for
packets that nobody should make, and scapy's SecurityAssociation for the algorithms that it knows."""

import hashlib
import hmac
import re
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from esp import PROTO_DSTOPTS, PROTO_HOPOPTS, PROTO_IPIP, PROTO_IPV6, ip, upper_of, with_length
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, SecurityAssociation

PROTO_AH = 51
AH_BYTES = 12  # without IV and ICV
# RFC 4302 A1: the options that an ICV covers.
IMMUTABLE_OPTIONS = {0, 1, 130, 133, 134, 148, 149}


class Hmac:
    iv_bytes = 0

    def __init__(self, sha):
        self.key_bytes, self.icv_bytes = sha // 8, sha // 16
        self.digest = getattr(hashlib, f"sha{sha}")
        self.scapy_name = f"SHA2-{sha}-{sha // 2}"

    def icv(self, key, _iv, data):
        return hmac.digest(key, data, self.digest)[: self.icv_bytes]


class Gmac:
    """RFC 4543: the nonce is salt and IV, and all that is authenticated is associated data."""

    iv_bytes, icv_bytes = 8, 16
    scapy_name = None

    def __init__(self, bits):
        self.key_bytes = bits // 8 + 4

    def icv(self, key, iv, data):
        return AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", data)


def algorithm_named(name):
    found = re.fullmatch(r"sha(\d+)", name)
    if found:
        return Hmac(int(found[1]))
    return Gmac(int(re.fullmatch(r"aes(\d+)gmac", name)[1]))


def ipv4_muted(headers):
    """RFC 4302 3.3.3.1.1: DSCP and ECN, flags and offset, TTL, checksum; mutable options whole."""
    out = bytearray(headers)
    out[1] = out[6] = out[7] = out[8] = out[10] = out[11] = 0
    at = 20
    while at < len(out) and out[at] != 0:
        length = 1 if out[at] == 1 else out[at + 1]
        if out[at] not in IMMUTABLE_OPTIONS:
            out[at : at + length] = bytes(length)
        at += length
    return bytes(out)


def ipv6_muted(headers):
    """RFC 4302 3.3.3.1.2: traffic class, flow label, hop limit; the data of options that may change."""
    out = bytearray(headers)
    out[:4] = b"\x60\0\0\0"
    out[7] = 0
    at, kind = 40, headers[6]
    while at < len(out):
        assert kind in (PROTO_HOPOPTS, PROTO_DSTOPTS), f"header {kind} in front of AH"
        end = at + 8 * (out[at + 1] + 1)
        kind, at = out[at], at + 2
        while at < end:
            if out[at] == 0:
                at += 1
                continue
            length = out[at + 1]
            if out[at] & 0x20:
                out[at + 2 : at + 2 + length] = bytes(length)
            at += 2 + length
    return bytes(out)


def muted(headers):
    return ipv6_muted(headers) if headers[0] >> 4 == 6 else ipv4_muted(headers)


def ah_offset(packet):
    """Where AH starts in a packet, None when it has none."""
    if len(packet) < 20 or packet[0] >> 4 not in (4, 6):
        return None
    protocol, offset, _ = upper_of(packet)
    return offset if protocol == PROTO_AH and len(packet) >= offset + AH_BYTES else None


def ah_header(packet):
    """(SPI, low 32 bits of the sequence number) of an outer packet."""
    at = ah_offset(packet)
    return struct.unpack("!II", packet[at + 4 : at + 12])


class AhSa:
    """One SA, seen from the other end; src and dst are the outer addresses of its packets."""

    def __init__(self, spi, suite, key, src, dst, esn=False, transport=False):
        self.spi, self.suite, self.key, self.src, self.dst = spi, suite, key, src, dst
        self.esn, self.transport = esn, transport
        self.algorithm = algorithm_named(suite)
        self.sequence = 0  # last one used by seal() and scapy_seal()

    def _next(self, sequence):
        if sequence is None:
            sequence = self.sequence + 1
        self.sequence = max(self.sequence, sequence)
        return sequence

    def header_bytes(self):
        """Of the whole AH that the gateway sends."""
        length = AH_BYTES + self.algorithm.iv_bytes + self.algorithm.icv_bytes
        return length + -length % (8 if ":" in self.src else 4)

    # ---- by hand -----------------------------------------------------------------------------------

    def _icv(self, headers, ah, iv, padding, payload, sequence):
        zero = bytes(self.algorithm.iv_bytes + self.algorithm.icv_bytes)
        high = struct.pack("!I", sequence >> 32) if self.esn else b""
        return self.algorithm.icv(self.key, iv, muted(headers) + ah + zero + padding + payload + high)

    def protect(self, headers, named_at, payload, next_header, sequence=None, padding=None, reserved=0, words=None):
        """The packet with AH between headers, whose byte at named_at is to name it, and payload."""
        sequence = self._next(sequence)
        iv = os.urandom(self.algorithm.iv_bytes)
        length = AH_BYTES + len(iv) + self.algorithm.icv_bytes
        if padding is None:
            padding = os.urandom(-length % (8 if headers[0] >> 4 == 6 else 4))
        words = (length + len(padding)) // 4 - 2 if words is None else words
        ah = struct.pack("!BBHII", next_header, words, reserved, self.spi, sequence & 0xFFFFFFFF)
        headers = headers[:named_at] + bytes([PROTO_AH]) + headers[named_at + 1 :]
        whole = with_length(headers + bytes(length + len(padding)) + payload)
        headers = whole[: len(headers)]
        icv = self._icv(headers, ah, iv, padding, payload, sequence)
        return headers + ah + iv + icv + padding + payload

    def seal(self, inner, sequence=None, src=None, dst=None, headers=b"", named_at=None, next_header=None, padding=None,
             reserved=0, words=None, **ip_fields):
        """Outer packet of tunnel mode. headers are extension headers, the first of kind ip_fields["protocol"]."""
        number = PROTO_IPV6 if inner[0] >> 4 == 6 else PROTO_IPIP
        outer = ip(src or self.src, dst or self.dst, ip_fields.pop("protocol", PROTO_AH), headers, **ip_fields)
        if named_at is None:
            named_at = upper_of(outer)[2]
        return self.protect(outer, named_at, inner, number if next_header is None else next_header, sequence, padding,
                            reserved, words)

    def seal_transport(self, packet, sequence=None, at=None):
        """The packet with AH behind its IP header, or behind the extension headers that end at `at`."""
        protocol, offset, named_at = upper_of(packet)
        if at is not None:
            protocol, offset, named_at = packet[40 if at > 40 else 6], at, 40 if at > 40 else 6
        return self.protect(packet[:offset], named_at, packet[offset:], protocol, sequence)

    def open(self, outer, sequence_high=0):
        """The inner packet, or in transport mode the packet without AH. InvalidTag when the ICV is wrong."""
        protocol, at, named_at = upper_of(outer)
        if protocol != PROTO_AH:
            raise ValueError(f"protocol {protocol}")
        fixed = outer[at : at + AH_BYTES]
        next_header, words, reserved, spi, low = struct.unpack("!BBHII", fixed)
        length = (words + 2) * 4
        if (spi, reserved, length) != (self.spi, 0, self.header_bytes()):
            raise ValueError(f"SPI {spi:#x}, reserved {reserved}, {length} bytes")
        end = at + AH_BYTES + self.algorithm.iv_bytes
        iv, icv = outer[at + AH_BYTES : end], outer[end : end + self.algorithm.icv_bytes]
        padding, payload = outer[end + len(icv) : at + length], outer[at + length :]
        if icv != self._icv(outer[:at], fixed, iv, padding, payload, sequence_high << 32 | low):
            raise InvalidTag
        if self.transport:
            return with_length(outer[:named_at] + bytes([next_header]) + outer[named_at + 1 : at] + payload)
        if payload[0] >> 4 != {PROTO_IPIP: 4, PROTO_IPV6: 6}.get(next_header):
            raise ValueError(f"next header {next_header} of an IP version {payload[0] >> 4} packet")
        return payload

    # ---- scapy -------------------------------------------------------------------------------------

    @property
    def scapy_knows(self):
        return self.algorithm.scapy_name is not None

    def _scapy(self, sequence):
        header = (IPv6 if ":" in self.src else IP)(src=self.src, dst=self.dst)
        return SecurityAssociation(
            AH, spi=self.spi, auth_algo=self.algorithm.scapy_name, auth_key=self.key,
            tunnel_header=None if self.transport else header, esn_en=self.esn, esn=sequence >> 32,
        )

    @staticmethod
    def _scapy_packet(packet):
        return (IPv6 if packet[0] >> 4 == 6 else IP)(packet)

    def scapy_seal(self, inner, sequence=None):
        sequence = self._next(sequence)
        return bytes(self._scapy(sequence).encrypt(self._scapy_packet(inner), seq_num=sequence & 0xFFFFFFFF))

    def scapy_open(self, outer, sequence=0):
        return bytes(self._scapy(sequence).decrypt(self._scapy_packet(outer)))

# SPDX-License-Identifier: BSD-3-Clause
"""The far end of an SA, twice: scapy's SecurityAssociation as the independent oracle for good packets, and a
sealer made of bytes (on cryptography's ciphers) for packets and suites that scapy would not make."""

import hashlib
import hmac
import os
import re
import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation

IV_BYTES = 8
ICV_BYTES = 16
ESP_OVERHEAD = 8 + IV_BYTES + 2 + ICV_BYTES  # of AES-GCM, without padding
PROTO_HOPOPTS, PROTO_IPIP, PROTO_UDP, PROTO_IPV6, PROTO_ROUTING, PROTO_FRAGMENT = 0, 4, 17, 41, 43, 44
PROTO_ESP, PROTO_ICMPV6, PROTO_DSTOPTS = 50, 58, 60
NATT_PORT = 4500


# ---- IP packets as bytes -------------------------------------------------------------------------------


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_bytes(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def ipv4(src, dst, protocol, payload, ttl=64, tos=0, flags=0, version=4, words=5, total=None, bad_checksum=False,
         identification=None):
    """An IPv4 packet whose fields may be wrong one at a time; the checksum fits whatever stands there."""
    if total is None:
        total = 20 + len(payload)
    if identification is None:
        identification = os.getpid() & 0xFFFF
    fields = [(version << 4) | words, tos, total, identification, flags << 13, ttl, protocol, 0]
    addresses = ip_bytes(src) + ip_bytes(dst)
    right = checksum(struct.pack("!BBHHHBBH", *fields) + addresses)
    fields[-1] = right ^ 0x0101 if bad_checksum else right
    return struct.pack("!BBHHHBBH", *fields) + addresses + payload


def ipv6(src, dst, next_header, payload, ttl=64, tos=0, flow=0, version=6, total=None):
    """An IPv6 packet whose fields may be wrong one at a time; total is the payload length."""
    first = version << 28 | tos << 20 | flow
    length = len(payload) if total is None else total
    return struct.pack("!IHBB", first, length, next_header, ttl) + ip_bytes(src) + ip_bytes(dst) + payload


def ip(src, dst, protocol, payload, **fields):
    return (ipv6 if ":" in src else ipv4)(src, dst, protocol, payload, **fields)


def extension(next_header, words=0):
    """A hop-by-hop or destination options header that holds padding only."""
    return bytes([next_header, words, 1, 4 + 8 * words]) + bytes(4 + 8 * words)


def upper_checksum(src, dst, protocol, data):
    """Of UDP, TCP and ICMPv6, with the pseudo header of the addresses' family."""
    pseudo = ip_bytes(src) + ip_bytes(dst) + struct.pack("!II", len(data), protocol)
    return checksum(pseudo + data)


def udp(src, dst, sport=4000, dport=5000, data=b"", extensions=(), **ip_fields):
    """A UDP packet as bytes; extensions are the numbers of IPv6 extension headers in front of UDP."""
    header = struct.pack("!HHH", sport, dport, 8 + len(data))
    total = upper_checksum(src, dst, PROTO_UDP, header + b"\0\0" + data) or 0xFFFF
    payload, protocol = header + struct.pack("!H", total) + data, PROTO_UDP
    for number in reversed(extensions):
        payload, protocol = extension(protocol) + payload, number
    return ip(src, dst, protocol, payload, **ip_fields)


def header_bytes(src):
    """Of an IP and a UDP header."""
    return 48 if ":" in src else 28


def udp_of_length(src, dst, length, tag, **ip_fields):
    """A UDP packet of length bytes; its ports and bytes depend on tag, so that no two are alike."""
    length -= header_bytes(src) + 8 * len(ip_fields.get("extensions", ()))
    data = bytes((tag * 31 + i * 7) & 0xFF for i in range(length))
    return udp(src, dst, 1024 + tag % 60000, 5000, data, **ip_fields)


def with_checksum(packet):
    """The IPv4 packet with the header checksum that its header needs."""
    length = (packet[0] & 15) * 4
    header = packet[:10] + b"\0\0" + packet[12:length]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + packet[length:]


def forwarded(packet):
    """What a router makes of a packet: TTL or hop limit one less, IPv4 header checksum to match."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    return with_checksum(packet[:8] + bytes([packet[8] - 1]) + packet[9:])


def upper_of(packet):
    """(protocol, its offset, offset of the byte that names it) behind the IP header and IPv6 extension headers."""
    if packet[0] >> 4 == 4:
        return packet[9], (packet[0] & 15) * 4, 9
    protocol, offset, named_at = packet[6], 40, 6
    while protocol in (PROTO_HOPOPTS, PROTO_ROUTING, PROTO_DSTOPTS) and len(packet) >= offset + 8:
        protocol, named_at, offset = packet[offset], offset, offset + 8 * (packet[offset + 1] + 1)
    return protocol, offset, named_at


def esp_offset(packet):
    """Where the ESP header of an outer packet starts, None when there is none. UDP-encapsulated ESP counts."""
    if len(packet) < 20 or packet[0] >> 4 not in (4, 6) or (packet[0] >> 4 == 6 and len(packet) < 40):
        return None
    protocol, offset, _ = upper_of(packet)
    if protocol == PROTO_UDP and len(packet) >= offset + 16:
        ports = struct.unpack("!HH", packet[offset : offset + 4])
        marker = packet[offset + 8 : offset + 12]
        return offset + 8 if NATT_PORT in ports and marker != bytes(4) else None
    return offset if protocol == PROTO_ESP and len(packet) >= offset + 8 else None


def esp_header(outer):
    """(SPI, low 32 bits of the sequence number) of an outer packet."""
    offset = esp_offset(outer)
    return struct.unpack("!II", outer[offset : offset + 8])


# ---- suites --------------------------------------------------------------------------------------------


class Suite:
    """One row of suite.list, by the hand sealer: ESP header in, IV, ciphertext and ICV out. crypt and auth are
    scapy's names; crypt is None where scapy has no such algorithm."""

    align = 4
    iv_bytes, icv_bytes = IV_BYTES, ICV_BYTES
    auth = None

    def new_iv(self):
        return os.urandom(self.iv_bytes)

    def scapy_keys(self, key):
        return {"crypt_algo": self.crypt, "crypt_key": key}


class Aead(Suite):
    """RFC 4106, RFC 4309, RFC 7634: the nonce is salt and IV."""

    def __init__(self, crypt, cipher, cipher_key_bytes, salt_bytes=4):
        self.crypt, self.cipher, self.salt_bytes = crypt, cipher, salt_bytes
        self.key_bytes = cipher_key_bytes + salt_bytes

    def _made(self, key, iv):
        return self.cipher(key[: -self.salt_bytes]), key[-self.salt_bytes :] + iv

    def seal(self, key, associated, iv, plain, _high):
        cipher, nonce = self._made(key, iv)
        return iv + cipher.encrypt(nonce, plain, associated)

    def open(self, key, associated, data, _high):
        cipher, nonce = self._made(key, data[: self.iv_bytes])
        return cipher.decrypt(nonce, data[self.iv_bytes :], associated)


class Gmac(Aead):
    """RFC 4543: nothing is encrypted; SPI, sequence number, IV and payload are what is authenticated."""

    def __init__(self, cipher_key_bytes):
        super().__init__(None, AESGCM, cipher_key_bytes)

    def seal(self, key, associated, iv, plain, _high):
        cipher, nonce = self._made(key, iv)
        return iv + plain + cipher.encrypt(nonce, b"", associated + iv + plain)

    def open(self, key, associated, data, _high):
        iv, plain = data[: self.iv_bytes], data[self.iv_bytes : -self.icv_bytes]
        cipher, nonce = self._made(key, iv)
        cipher.decrypt(nonce, data[-self.icv_bytes :], associated + iv + plain)
        return plain


class Hmac(Suite):
    """Encrypt, then HMAC-SHA2 cut to half (RFC 4868). With ESN the upper half of the sequence number is
    authenticated behind the packet (RFC 4303 2.2.1)."""

    def __init__(self, crypt, cipher_key_bytes, sha, iv_bytes, salt_bytes=0, align=4):
        self.crypt, self.auth = crypt, f"SHA2-{sha}-{sha // 2}"
        self.crypt_bytes, self.salt_bytes = cipher_key_bytes + salt_bytes, salt_bytes
        self.key_bytes = self.crypt_bytes + sha // 8
        self.digest = getattr(hashlib, f"sha{sha}")
        self.iv_bytes, self.icv_bytes, self.align = iv_bytes, sha // 16, align

    def scapy_keys(self, key):
        keys = {"crypt_algo": self.crypt, "auth_algo": self.auth, "auth_key": key[self.crypt_bytes :]}
        return {**keys, "crypt_key": key[: self.crypt_bytes]} if self.crypt_bytes else keys

    def _cipher(self, key, iv):
        if self.crypt == "NULL":
            return None
        salt = key[self.crypt_bytes - self.salt_bytes : self.crypt_bytes]
        mode = modes.CTR(salt + iv + b"\0\0\0\1") if self.crypt == "AES-CTR" else modes.CBC(iv)
        return Cipher(algorithms.AES(key[: self.crypt_bytes - self.salt_bytes]), mode)

    def _icv(self, key, header, data, high):
        return hmac.digest(key[self.crypt_bytes :], header[:8] + data + high, self.digest)[: self.icv_bytes]

    def seal(self, key, associated, iv, plain, high):
        cipher = self._cipher(key, iv)
        data = iv + (plain if cipher is None else cipher.encryptor().update(plain))
        return data + self._icv(key, associated, data, high)

    def open(self, key, associated, data, high):
        data, icv = data[: -self.icv_bytes], data[-self.icv_bytes :]
        if icv != self._icv(key, associated, data, high):
            raise InvalidTag
        cipher = self._cipher(key, data[: self.iv_bytes])
        return data if cipher is None else cipher.decryptor().update(data[self.iv_bytes :])


def suite_named(name):
    """The suite of a name of suite.list; KeyError when no oracle knows it."""
    for pattern, make in (
        (r"aes(\d+)gcm16", lambda bits: Aead("AES-GCM", AESGCM, bits // 8)),
        (r"aes(\d+)ccm16", lambda bits: Aead("AES-CCM", lambda key: AESCCM(key, 16), bits // 8, salt_bytes=3)),
        (r"aes(\d+)gmac", lambda bits: Gmac(bits // 8)),
        (r"chacha20poly1305", lambda: Aead("CHACHA20-POLY1305", ChaCha20Poly1305, 32)),
        (r"aes(\d+)-sha(\d+)", lambda bits, sha: Hmac("AES-CBC", bits // 8, sha, 16, align=16)),
        (r"aes(\d+)ctr-sha(\d+)", lambda bits, sha: Hmac("AES-CTR", bits // 8, sha, 8, salt_bytes=4)),
        (r"null-sha(\d+)", lambda sha: Hmac("NULL", 0, sha, 0)),
    ):
        found = re.fullmatch(pattern, name)
        if found:
            return make(*(int(text) for text in found.groups()))
    raise KeyError(name)


# ---- SAs -----------------------------------------------------------------------------------------------


class PeerSa:
    """One SA, seen from the other end. src and dst are the outer addresses of its packets; ports are those of UDP
    encapsulation."""

    def __init__(self, spi, suite, key, src, dst, esn=False, transport=False, ports=None):
        self.spi = spi
        self.suite = suite
        self.crypto = suite_named(suite)
        self.key = key
        self.src = src
        self.dst = dst
        self.esn = esn
        self.transport = transport
        self.ports = ports
        self.sequence = 0  # last one used by seal() and scapy_seal()

    def _next(self, sequence):
        if sequence is None:
            sequence = self.sequence + 1
        self.sequence = max(self.sequence, sequence)
        return sequence

    @property
    def scapy_knows(self):
        """scapy 2.5 has no AES-GMAC, and forgets the upper half of a sequence number in an HMAC."""
        return self.crypto.crypt is not None and not (self.esn and self.crypto.auth)

    def _scapy(self, sequence):
        header = (IPv6 if ":" in self.src else IP)(src=self.src, dst=self.dst)
        return SecurityAssociation(
            ESP,
            spi=self.spi,
            tunnel_header=None if self.transport else header,
            nat_t_header=UDP(sport=self.ports[0], dport=self.ports[1]) if self.ports else None,
            esn_en=self.esn,
            esn=sequence >> 32,
            **self.crypto.scapy_keys(self.key),
        )

    @staticmethod
    def _scapy_packet(packet):
        return (IPv6 if packet[0] >> 4 == 6 else IP)(packet)

    def scapy_seal(self, inner, sequence=None):
        """Outer packet as bytes, sealed by scapy."""
        sequence = self._next(sequence)
        return bytes(self._scapy(sequence).encrypt(self._scapy_packet(inner), seq_num=sequence & 0xFFFFFFFF))

    def scapy_open(self, outer, sequence=0):
        """Inner packet as bytes, opened and authenticated by scapy (IPSecIntegrityError if wrong).
        sequence matters for its upper half only, with ESN."""
        return bytes(self._scapy(sequence).decrypt(self._scapy_packet(outer)))

    def _associated(self, sequence):
        """What is authenticated in front of the IV, and for HMAC behind the packet."""
        high = struct.pack("!I", sequence >> 32) if self.esn else b""
        spi, low = struct.pack("!I", self.spi), struct.pack("!I", sequence & 0xFFFFFFFF)
        return (spi + low if self.crypto.auth else spi + high + low), high

    def seal_esp(self, payload, sequence=None, next_header=PROTO_IPIP, padding=None, pad_length=None):
        """ESP header to ICV. padding and pad_length may contradict each other and RFC 4303."""
        sequence = self._next(sequence)
        if padding is None:
            padding = bytes(range(1, 1 + -(len(payload) + 2) % self.crypto.align))
        if pad_length is None:
            pad_length = len(padding)
        associated, high = self._associated(sequence)
        plain = payload + padding + bytes([pad_length, next_header])
        sealed = self.crypto.seal(self.key, associated, self.crypto.new_iv(), plain, high)
        return struct.pack("!II", self.spi, sequence & 0xFFFFFFFF) + sealed

    def encapsulate(self, esp, src=None, dst=None, ports=None, **ip_fields):
        """Outer packet of tunnel mode around what seal_esp() made."""
        protocol, ports = PROTO_ESP, ports or self.ports
        if ports:
            esp, protocol = struct.pack("!HHHH", *ports, 8 + len(esp), 0) + esp, PROTO_UDP
        return ip(src or self.src, dst or self.dst, protocol, esp, **ip_fields)

    def seal(self, inner, sequence=None, src=None, dst=None, ports=None, tos=0, **esp_fields):
        """Outer packet of tunnel mode as bytes, sealed by hand."""
        esp_fields.setdefault("next_header", PROTO_IPV6 if inner[0] >> 4 == 6 else PROTO_IPIP)
        esp = self.seal_esp(inner, sequence, **esp_fields)
        return self.encapsulate(esp, src, dst, ports, tos=tos)

    def seal_transport(self, packet, sequence=None):
        """The packet with ESP between its IP headers and what follows, sealed by hand."""
        protocol, offset, named_at = upper_of(packet)
        esp = self.seal_esp(packet[offset:], sequence, next_header=protocol)
        number = PROTO_ESP
        if self.ports:
            esp, number = struct.pack("!HHHH", *self.ports, 8 + len(esp), 0) + esp, PROTO_UDP
        outer = packet[:named_at] + bytes([number]) + packet[named_at + 1 : offset] + esp
        return with_length(outer)

    def seal_bad_icv(self, inner, sequence=None, **fields):
        """A packet whose last bit is wrong. Does not count as a used sequence number."""
        used = self.sequence
        packet = self.seal(inner, used + 1 if sequence is None else sequence, **fields)
        self.sequence = used
        return packet[:-1] + bytes([packet[-1] ^ 1])

    def open_esp(self, esp, sequence_high=0):
        """(payload, next header) of what lies from the ESP header to the ICV, opened by hand: the ICV, the padding
        and its length are checked."""
        spi, low = struct.unpack("!II", esp[:8])
        if spi != self.spi:
            raise ValueError(f"SPI {spi:#x} is not {self.spi:#x}")
        associated, high = self._associated(sequence_high << 32 | low)
        plain = self.crypto.open(self.key, associated, esp[8:], high)
        pad_length, next_header = plain[-2:]
        end = len(plain) - 2 - pad_length
        if pad_length >= self.crypto.align or plain[end:-2] != bytes(range(1, pad_length + 1)):
            raise ValueError(f"padding {plain[end:-2].hex()}")
        return plain[:end], next_header

    def open(self, outer, sequence_high=0):
        """Inner packet as bytes, opened by hand."""
        offset = esp_offset(outer)
        payload, next_header = self.open_esp(outer[offset:], sequence_high)
        if not self.transport:
            if payload[0] >> 4 != {PROTO_IPIP: 4, PROTO_IPV6: 6}.get(next_header):
                raise ValueError(f"next header {next_header} of an IP version {payload[0] >> 4} packet")
            return payload
        _, kept, named_at = upper_of(outer)
        return with_length(outer[:named_at] + bytes([next_header]) + outer[named_at + 1 : kept] + payload)


def with_length(packet):
    """The packet with the length, and for IPv4 the checksum, that it needs."""
    if packet[0] >> 4 == 6:
        return packet[:4] + struct.pack("!H", len(packet) - 40) + packet[6:]
    return with_checksum(packet[:2] + struct.pack("!H", len(packet)) + packet[4:])

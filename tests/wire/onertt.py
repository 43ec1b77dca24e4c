# SPDX-License-Identifier: BSD-3-Clause
"""An independent peer of the one-round-trip exchange, written from docs/one-round-trip.md and its RFCs alone.

Initiator and Responder make and read messages as bytes; sockets are the test's. What a test wants to be wrong it sets in
Settings (a time, a code, an identity), or it changes the bytes.
"""

import copy
import dataclasses
import hashlib
import hmac
import ipaddress
import os
import struct
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noise import IK, NKPSK2, Handshake, Refused, mac, raw_public

LABEL = b"tandem one-round-trip 1"
ONERTT, INFORMATIONAL = 240, 37
INITIATOR, RESPONSE = 0x08, 0x20
SA, IDI, IDR, NONCE, NOTIFY, DELETE, TSI, TSR, SK = 33, 35, 36, 40, 41, 42, 44, 45, 46
NOISE = 128
COOKIE, STALE = 16390, 8192
ONE_ROUND_TRIP, FRESHNESS, WRAPPED_KEY, KEY_EXPIRED = 40960, 40961, 40962, 40963
NATD_SOURCE, NATD_DESTINATION, FRAGMENTATION = 16388, 16389, 16430
CONTRIBUTORY, FROM_INITIATOR = 0, 1
DERIVED, WRAPPED = 0, 1
ID_FQDN, ID_IPV4 = 2, 1
ESP_GCM_256 = (20, 256, 36)  # transform, bits of key, bytes of keying material


def now_us():
    return time.time_ns() // 1000


# ---- codes and keys ---------------------------------------------------------------------------


def code(key, time_us, step_s=30):
    """RFC 6238 with HMAC-SHA-256 and 8 digits."""
    digest = mac(key, struct.pack(">Q", time_us // 1_000_000 // step_s))
    at = digest[-1] & 15
    return (int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF) % 10**8


def prf_plus(key, seed, length):
    out, block = b"", b""
    for number in range(1, 256):
        if len(out) >= length:
            break
        block = mac(key, block, seed, bytes([number]))
        out += block
    return out[:length]


class Session:
    """Keys of the IKE SA, and its sealed messages (RFC 7296 2.14, 3.14, RFC 5282)."""

    def __init__(self, split, nonces, spi_i, spi_r, initiator, step_s=30):
        self.spi_i, self.spi_r, self.initiator, self.step_s = spi_i, spi_r, initiator, step_s
        seed = mac(b"".join(nonces), b"".join(split))
        keys = prf_plus(seed, b"".join(nonces) + spi_i + spi_r, 32 + 36 + 36 + 32 + 32)
        self.d, self.e_i, self.e_r = keys[:32], keys[32:68], keys[68:104]
        self.code_key = mac(self.d, b"code")
        self.iv = 0
        self.offset_us = 0  # the responder's time less ours
        self.last_us = 0

    def time_us(self):
        self.last_us = max(now_us() + self.offset_us, self.last_us + 1)
        return self.last_us

    def freshness(self, time_us=None):
        time_us = self.time_us() if time_us is None else time_us
        return notify(FRESHNESS, struct.pack(">QI", time_us, code(self.code_key, time_us, self.step_s)))

    def seal(self, exchange, message_id, payloads, response=False, freshness=True):
        """freshness: True, False (without one) or the payload itself."""
        if freshness:
            payloads = [self.freshness() if freshness is True else freshness, *payloads]
        first, inside = chain(payloads)
        flags = (INITIATOR if self.initiator else 0) | (RESPONSE if response else 0)
        key = self.e_i if self.initiator else self.e_r
        self.iv += 1
        iv, inside = struct.pack(">Q", self.iv), inside + b"\0"
        length = 4 + len(iv) + len(inside) + 16
        head = header(self.spi_i, self.spi_r, SK, exchange, flags, message_id, 28 + length)
        head += struct.pack(">BBH", first, 0, length)
        return head + iv + AESGCM(key[:32]).encrypt(key[32:] + iv, inside, head)

    def open(self, message):
        """(exchange, flags, message ID, payloads); the code of its freshness is checked, its time is the caller's."""
        head = parse_header(message)
        if head.first != SK or len(message) < 28 + 4 + 8 + 17:
            raise Refused("no sealed message")
        key = self.e_i if head.flags & INITIATOR else self.e_r
        try:
            inside = AESGCM(key[:32]).decrypt(key[32:] + message[32:40], message[40:], message[:32])
        except InvalidTag as error:
            raise Refused("altered") from error
        payloads = parse_chain(message[28], inside[: len(inside) - 1 - inside[-1]])
        stamp = find_notify(payloads, FRESHNESS)
        if stamp is None:
            raise Refused("no freshness")
        check_code(stamp, self.code_key, self.step_s)
        return head, payloads


def check_code(stamp, key, step_s=30):
    time_us, number = struct.unpack(">QI", stamp)
    if number != code(key, time_us, step_s):
        raise Refused("wrong code")
    return time_us


# ---- messages ---------------------------------------------------------------------------------


@dataclasses.dataclass
class Header:
    spi_i: bytes
    spi_r: bytes
    first: int
    exchange: int
    flags: int
    message_id: int


def header(spi_i, spi_r, first, exchange, flags, message_id, length):
    return spi_i + spi_r + struct.pack(">BBBBII", first, 0x20, exchange, flags, message_id, length)


def parse_header(message):
    if len(message) < 28:
        raise Refused("truncated")
    first, version, exchange, flags, message_id, length = struct.unpack(">BBBBII", message[16:28])
    if length != len(message) or version != 0x20:
        raise Refused("malformed")
    return Header(message[:8], message[8:16], first, exchange, flags, message_id)


def chain(payloads):
    """[(type, body)] as (type of the first, bytes)."""
    out = b""
    for at, (_, body) in enumerate(payloads):
        following = payloads[at + 1][0] if at + 1 < len(payloads) else 0
        out += struct.pack(">BBH", following, 0, 4 + len(body)) + body
    return (payloads[0][0] if payloads else 0), out


def parse_chain(kind, data):
    payloads = []
    while kind:
        if len(data) < 4:
            raise Refused("malformed")
        following, _, length = struct.unpack(">BBH", data[:4])
        if length < 4 or length > len(data):
            raise Refused("malformed")
        payloads.append((kind, data[4:length]))
        kind, data = following, data[length:]
    if data:
        raise Refused("malformed")
    return payloads


def notify(number, data=b""):
    return NOTIFY, struct.pack(">BBH", 0, 0, number) + data


def find(payloads, kind):
    return next((body for one, body in payloads if one == kind), None)


def find_notify(payloads, number):
    for kind, body in payloads:
        if kind == NOTIFY and len(body) >= 4 and struct.unpack(">H", body[2:4])[0] == number:
            return body[4 + body[1] :]
    return None


def error_of(payloads):
    """The first error notify's number, or None."""
    numbers = (struct.unpack(">H", body[2:4])[0] for kind, body in payloads if kind == NOTIFY)
    return next((number for number in numbers if number < 16384), None)


def identity(name):
    try:
        return struct.pack(">BBH", ID_IPV4, 0, 0) + ipaddress.IPv4Address(name).packed
    except ValueError:
        return struct.pack(">BBH", ID_FQDN, 0, 0) + name.encode()


def proposal(spi, suite, esn):
    transforms = struct.pack(">BBHBBHHH", 3, 0, 12, 1, 0, suite[0], 0x800E, suite[1])
    transforms += struct.pack(">BBHBBH", 0, 0, 8, 5, 0, int(esn))
    return SA, struct.pack(">BBHBBBB", 0, 0, 8 + 4 + len(transforms), 1, 3, 4, 2) + struct.pack(">I", spi) + transforms


def spi_of(payload):
    """The SPI of an SA payload's first proposal, of ESP."""
    if payload is None or len(payload) < 12 or payload[5:7] != b"\x03\x04":
        raise Refused("no proposal for ESP")
    return struct.unpack(">I", payload[8:12])[0]


def selector(kind, prefix):
    network = ipaddress.ip_network(prefix)
    first, last = network.network_address.packed, network.broadcast_address.packed
    number = 7 if network.version == 4 else 8
    return kind, struct.pack(">BBHBBHHH", 1, 0, 0, number, 0, 8 + 2 * len(first), 0, 65535) + first + last


def natd(number, spi_i, spi_r, address, port):
    packed = ipaddress.ip_address(address).packed + struct.pack(">H", port)
    return notify(number, hashlib.sha1(spi_i + spi_r + packed).digest())


def natds(spi_i, spi_r, own, peer):
    return [natd(NATD_SOURCE, spi_i, spi_r, *own), natd(NATD_DESTINATION, spi_i, spi_r, *peer)]


# ---- the exchange -----------------------------------------------------------------------------


@dataclasses.dataclass
class Settings:
    """Both sides of a test have one each."""

    pattern: int = IK
    static: object = None  # X25519PrivateKey of this side
    remote: bytes = None  # the other's static public key; a responder checks it, None: whoever it is
    psk: bytes = None
    local_id: str = None  # IDi or IDr, sent when set
    remote_id: str = None
    source: int = CONTRIBUTORY
    delivery: int = DERIVED
    suite: tuple = ESP_GCM_256
    esn: bool = True
    local: str = "10.1.0.0/16"
    remote_prefix: str = "10.2.0.0/16"
    own: tuple = ("192.0.2.1", 500)
    peer: tuple = ("192.0.2.2", 500)
    step_s: int = 30
    extra: list = dataclasses.field(default_factory=list)  # further payloads
    # What is to be wrong, or of another time.
    time_us: int = None
    code: int = None
    key_id: bytes = None
    wrapped: bytes = None  # in place of the initiator's keys


@dataclasses.dataclass
class Child:
    spi_in: int
    spi_out: int
    key_in: bytes
    key_out: bytes


class Stale(Exception):
    """The responder refuses the time of message 1 and says its own."""

    def __init__(self, time_us):
        super().__init__(time_us)
        self.time_us = time_us


class NoChild(Exception):
    """There is a session, but no child."""

    def __init__(self, error, session):
        super().__init__(error)
        self.error, self.session = error, session


def key_id(public):
    return hashlib.sha256(public).digest()[:8]


def prologue(spi_i, pattern, identifier):
    return LABEL + spi_i + bytes([0x20, ONERTT, pattern]) + identifier


def stamp(settings, export, time_us):
    time_us = time_us if settings.time_us is None else settings.time_us
    number = code(mac(export, b"code"), time_us, settings.step_s) if settings.code is None else settings.code
    return notify(FRESHNESS, struct.pack(">QI", time_us, number)), time_us


def noise_message(spi_i, spi_r, flags, body, before=()):
    first, inside = chain([*before, (NOISE, body)])
    return header(spi_i, spi_r, first, ONERTT, flags, 0, 28 + len(inside)) + inside


def noise_body(message, initiator):
    """(pattern, key id or None, Noise message)."""
    head = parse_header(message)
    body = find(parse_chain(head.first, message[28:]), NOISE)
    skip = 4 if initiator else 12
    if head.exchange != ONERTT or body is None or len(body) < skip:
        raise Refused("not of this exchange")
    return body[0], body[4:skip] if not initiator else None, body[skip:]


def halves(keys, length):
    return keys[:length], keys[length : 2 * length]


class Initiator:
    def __init__(self, settings):
        self.settings = settings
        self.spi_i = os.urandom(8)
        self.nonce = os.urandom(32)
        self.spi_in, self.spi_out = (256 + int.from_bytes(os.urandom(3), "big") for _ in range(2))
        self.sent_us = self.session = self.keys = self.handshake = self.finished = None

    def message_1(self, cookie=None):
        settings = self.settings
        identifier = settings.key_id or key_id(settings.remote)
        self.handshake = Handshake(
            settings.pattern, True, prologue(self.spi_i, settings.pattern, identifier), settings.static, settings.remote, settings.psk
        )
        written = self.handshake.write_tokens()
        export = self.handshake.export()
        fresh, self.sent_us = stamp(settings, export, now_us())
        written += self.handshake.write_payload(self._payload_1(export, fresh))
        before = [notify(COOKIE, cookie)] if cookie else []
        body = bytes([settings.pattern, 0, 0, 0]) + identifier + written
        return noise_message(self.spi_i, bytes(8), INITIATOR, body, before)

    def _payload_1(self, export, fresh):
        settings = self.settings
        mode = struct.pack(">BBH", settings.source, settings.delivery, 0)
        length = 2 * settings.suite[2]
        payloads = [fresh]
        if settings.local_id:
            payloads.append((IDI, identity(settings.local_id)))
        if settings.remote_id:
            payloads.append((IDR, identity(settings.remote_id)))
        payloads.append((NONCE, self.nonce))
        if settings.source == FROM_INITIATOR:
            mode += struct.pack(">I", self.spi_out)
            seed = self.nonce + struct.pack(">I", self.spi_out)
            self.keys = prf_plus(mac(export, b"traffic"), seed, length)
            if settings.delivery == WRAPPED:
                self.keys = os.urandom(length)
                wrapped = keywrap.aes_key_wrap_with_padding(mac(export, b"wrap"), self.keys)
                payloads.append(notify(WRAPPED_KEY, wrapped if settings.wrapped is None else settings.wrapped))
        payloads += natds(self.spi_i, bytes(8), settings.own, settings.peer)
        payloads += [notify(FRAGMENTATION), *settings.extra, proposal(self.spi_in, settings.suite, settings.esn)]
        payloads += [selector(TSI, settings.local), selector(TSR, settings.remote_prefix)]
        first, inside = chain([notify(ONE_ROUND_TRIP, mode), *payloads])
        return bytes([first]) + inside

    @property
    def early(self):
        """With the source at the initiator: the child before message 2 has come."""
        return self._child(self.keys)

    def _child(self, keys):
        out, into = halves(keys, self.settings.suite[2])
        return Child(self.spi_in, self.spi_out, into, out)

    @staticmethod
    def with_cookie(message, cookie):
        """Message 1 once more, with what the responder under load has said."""
        head = parse_header(message)
        return noise_message(head.spi_i, bytes(8), INITIATOR, find(parse_chain(head.first, message[28:]), NOISE), [notify(COOKIE, cookie)])

    def cookie_of(self, answer):
        """The cookie that a responder under load asks for, or None."""
        head = parse_header(answer)
        return find_notify(parse_chain(head.first, answer[28:]), COOKIE)

    def read_2(self, message):
        """(session, child), or an exception; then nothing has changed and another message 2 can be read."""
        settings = self.settings
        head = parse_header(message)
        pattern, _, data = noise_body(message, True)
        if head.spi_i != self.spi_i or pattern != settings.pattern or not head.flags & RESPONSE:
            raise Refused("not for us")
        handshake = copy.copy(self.handshake)
        data = handshake.read_tokens(data)
        plain = handshake.read_payload(data)
        payloads = parse_chain(plain[0], plain[1:])
        export = handshake.export()
        time_us = check_code(find_notify(payloads, FRESHNESS) or bytes(12), mac(export, b"code"), settings.step_s)
        if find_notify(payloads, STALE) is not None:
            raise Stale(time_us)
        mode = find_notify(payloads, ONE_ROUND_TRIP)
        if mode is None or mode[:2] != bytes([settings.source, settings.delivery]) or mode[4:12] != head.spi_r:
            raise Refused("another mode, or another SPI")
        nonces = (self.nonce, find(payloads, NONCE))
        session = Session(handshake.split(), nonces, self.spi_i, head.spi_r, True, settings.step_s)
        session.offset_us, session.last_us = time_us - now_us(), self.sent_us
        if find(payloads, SA) is None:
            raise NoChild(error_of(payloads), session)
        spi = spi_of(find(payloads, SA))
        if settings.source == FROM_INITIATOR and spi != self.spi_out:
            raise Refused("another SPI than message 1 named")
        self.spi_out = spi
        self.session, self.finished = session, handshake
        return session, self._child(self._keys_2(payloads, export, session, nonces))

    def _keys_2(self, payloads, export, session, nonces):
        if self.settings.source == FROM_INITIATOR:
            return self.keys
        if self.settings.delivery == DERIVED:
            return prf_plus(session.d, b"".join(nonces), 2 * self.settings.suite[2])
        return unwrap(mac(export, b"wrap"), find_notify(payloads, WRAPPED_KEY), 2 * self.settings.suite[2])


def unwrap(key, wrapped, length):
    try:
        keys = keywrap.aes_key_unwrap_with_padding(key, wrapped or b"")
    except keywrap.InvalidUnwrap as error:
        raise Refused("wrapped keys") from error
    if len(keys) != length:
        raise Refused("wrapped keys of another length")
    return keys


class Responder:
    def __init__(self, settings):
        self.settings = settings
        self.spi_r = os.urandom(8)
        self.nonce = os.urandom(32)
        self.spi_in = 256 + int.from_bytes(os.urandom(3), "big")
        self.handshake = self.head = self.payloads = self.export_1 = self.mode = self.time_us = None

    def read_1(self, message):
        """The payloads of message 1, once it is authentic, from whom we expect, and its code is right."""
        settings = self.settings
        self.head = parse_header(message)
        pattern, identifier, data = noise_body(message, False)
        if pattern != settings.pattern or identifier != key_id(raw_public(settings.static)):
            raise Refused("another pattern or key")
        self.handshake = Handshake(
            pattern, False, prologue(self.head.spi_i, pattern, identifier), settings.static, None, settings.psk
        )
        data = self.handshake.read_tokens(data)
        if pattern == IK and settings.remote and self.handshake.remote_static != settings.remote:
            raise Refused("unknown key")
        plain = self.handshake.read_payload(data)
        self.payloads = parse_chain(plain[0], plain[1:])
        if settings.remote_id and find(self.payloads, IDI) != identity(settings.remote_id):
            raise Refused("unknown identity")
        self.export_1 = self.handshake.export()
        fresh = find_notify(self.payloads, FRESHNESS)
        self.time_us = check_code(fresh or bytes(12), mac(self.export_1, b"code"), settings.step_s)
        self.mode = find_notify(self.payloads, ONE_ROUND_TRIP)
        if self.mode is None or self.mode[:2] != bytes([settings.source, settings.delivery]):
            raise Refused("another mode")
        return self.payloads

    def _message_2(self, payloads, time_us):
        written = self.handshake.write_tokens()
        export = self.handshake.export()
        fresh, sent_us = stamp(self.settings, export, time_us)
        plan = payloads(export, fresh)
        first, inside = chain(plan)
        written += self.handshake.write_payload(bytes([first]) + inside)
        body = bytes([self.settings.pattern, 0, 0, 0]) + written
        return noise_message(self.head.spi_i, self.spi_r, RESPONSE, body), sent_us

    def stale(self, time_us=None):
        """The answer to a message 1 whose time is refused."""
        time_us = now_us() if time_us is None else time_us
        return self._message_2(lambda export, fresh: [notify(STALE), fresh], time_us)[0]

    def message_2(self, child_error=None):
        """(message, session, child); with child_error (a notify's number) there is no child, and None."""
        settings, child, wrapped = self.settings, None, []
        nonces = (find(self.payloads, NONCE), self.nonce)
        if settings.source == FROM_INITIATOR:
            (self.spi_in,) = struct.unpack(">I", self.mode[4:8])
        mode = struct.pack(">BBH", settings.source, settings.delivery, 0) + self.spi_r
        secret, length = os.urandom(32), 2 * settings.suite[2]

        def payloads(export, fresh):
            if settings.source == CONTRIBUTORY and settings.delivery == WRAPPED:
                keys = prf_plus(secret, b"".join(nonces), length)
                wrapped.append(notify(WRAPPED_KEY, keywrap.aes_key_wrap_with_padding(mac(export, b"wrap"), keys)))
            plan = [notify(ONE_ROUND_TRIP, mode), fresh, (NONCE, self.nonce), *(wrapped if not child_error else ())]
            plan += natds(self.head.spi_i, self.spi_r, settings.own, settings.peer)
            plan += [notify(FRAGMENTATION), *settings.extra]
            if child_error:
                return [*plan, notify(child_error)]
            plan.append(proposal(self.spi_in, settings.suite, settings.esn))
            return plan + [(TSI, find(self.payloads, TSI)), (TSR, find(self.payloads, TSR))]

        message, sent_us = self._message_2(payloads, now_us())
        session = Session(self.handshake.split(), nonces, self.head.spi_i, self.spi_r, False, settings.step_s)
        session.last_us = sent_us
        if not child_error:
            keys = self._keys(session, nonces, secret, length)
            into, out = halves(keys, settings.suite[2])
            child = Child(self.spi_in, spi_of(find(self.payloads, SA)), into, out)
        return message, session, child

    def _keys(self, session, nonces, secret, length):
        settings = self.settings
        if settings.source == CONTRIBUTORY:
            return prf_plus(session.d if settings.delivery == DERIVED else secret, b"".join(nonces), length)
        if settings.delivery == WRAPPED:
            return unwrap(mac(self.export_1, b"wrap"), find_notify(self.payloads, WRAPPED_KEY), length)
        return prf_plus(mac(self.export_1, b"traffic"), nonces[0] + struct.pack(">I", self.spi_in), length)


def cookie_answer(message_1, cookie):
    """What a responder under load says."""
    head = parse_header(message_1)
    first, inside = chain([notify(COOKIE, cookie)])
    return header(head.spi_i, bytes(8), first, ONERTT, RESPONSE, 0, 28 + len(inside)) + inside


def same(one, other):
    """Whether the two ends of a child fit."""
    return (
        (one.spi_in, one.spi_out) == (other.spi_out, other.spi_in)
        and hmac.compare_digest(one.key_in, other.key_out)
        and hmac.compare_digest(one.key_out, other.key_in)
    )


MODES = {"key": IK, "id": IK, "secret": NKPSK2}

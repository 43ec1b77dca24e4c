# SPDX-License-Identifier: BSD-3-Clause
"""The Noise handshakes IK and NKpsk2 (25519, AESGCM, SHA256), revision 34, with python3-cryptography: tandem's judge."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

IK, NKPSK2 = 1, 2
PATTERNS = {
    IK: (b"Noise_IK_25519_AESGCM_SHA256", (("e", "es", "s", "ss"), ("e", "ee", "se"))),
    NKPSK2: (b"Noise_NKpsk2_25519_AESGCM_SHA256", (("e", "es"), ("e", "ee", "psk"))),
}
TAG = 16


class Refused(Exception):
    """What was received is not what it should be."""


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def raw_public(private):
    return private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Handshake:
    """copy.copy() is a snapshot. static, ephemeral: X25519PrivateKey; remote: the responder's 32 bytes, for the initiator."""

    def __init__(self, pattern, initiator, prologue, static=None, remote=None, psk=None, ephemeral=None):
        name, self.messages = PATTERNS[pattern]
        self.pattern, self.initiator, self.psk, self.static = pattern, initiator, psk, static
        self.ephemeral = ephemeral or X25519PrivateKey.generate()
        self.remote_static, self.remote_ephemeral = remote, None
        self.hash = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.chain, self.key, self.nonce = self.hash, None, 0
        self.number = 0  # of the message whose tokens were done last
        self.inner = None
        self._mix_hash(prologue)
        self._mix_hash(remote if initiator else raw_public(static))

    # ---- symmetric state

    def _mix_hash(self, data):
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _hkdf(self, material, count):
        temporary, out, block = mac(self.chain, material), [], b""
        for number in range(1, count + 1):
            block = mac(temporary, block, bytes([number]))
            out.append(block)
        return out

    def _mix_key(self, material):
        self.chain, self.key = self._hkdf(material, 2)
        self.nonce = 0

    def _mix_key_and_hash(self, material):
        self.chain, mixed, self.key = self._hkdf(material, 3)
        self._mix_hash(mixed)
        self.nonce = 0

    def _next_nonce(self):
        self.nonce += 1
        return bytes(4) + (self.nonce - 1).to_bytes(8, "big")

    def _seal(self, plain):
        sealed = AESGCM(self.key).encrypt(self._next_nonce(), plain, self.hash)
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed):
        try:
            plain = AESGCM(self.key).decrypt(self._next_nonce(), sealed, self.hash)
        except (InvalidTag, ValueError) as error:
            raise Refused("altered") from error
        self._mix_hash(sealed)
        return plain

    # ---- tokens

    def _agree(self, token):
        own, other = (token if self.initiator else token[::-1])
        private = self.static if own == "s" else self.ephemeral
        public = self.remote_static if other == "s" else self.remote_ephemeral
        try:
            self._mix_key(private.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError as error:
            raise Refused("a key of low order") from error

    def _tokens(self, data, writing):
        """What is written, or what is left of data."""
        for token in self.messages[self.number]:
            if token == "e":
                if writing:
                    key = raw_public(self.ephemeral)
                    data += key
                else:
                    key, data = data[:32], data[32:]
                    if len(key) < 32:
                        raise Refused("truncated")
                    self.remote_ephemeral = key
                self._mix_hash(key)
                if self.psk is not None or self.pattern == NKPSK2:
                    self._mix_key(key)
            elif token == "s":
                if writing:
                    data += self._seal(raw_public(self.static))
                else:
                    self.remote_static, data = self._open(data[: 32 + TAG]), data[32 + TAG :]
            elif token == "psk":
                self._mix_key_and_hash(self.psk)
            else:
                self._agree(token)
        self.number += 1
        self.inner = mac(self.chain, b"tandem one-round-trip 1", bytes([self.number]), self.hash)
        return data

    def write_tokens(self):
        return self._tokens(b"", True)

    def write_payload(self, plain):
        return self._seal(plain)

    def read_tokens(self, data):
        return self._tokens(data, False)

    def read_payload(self, data):
        return self._open(data)

    def export(self):
        """The secret of the message whose tokens were done last (docs/one-round-trip.md, Keys)."""
        if self.pattern == NKPSK2 and self.number == 1:
            return mac(self.psk, self.inner)
        return self.inner

    def split(self):
        return tuple(self._hkdf(b"", 2))

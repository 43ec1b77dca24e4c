#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes ike.txt: keys and sealed messages of IKEv2, made by Python's hmac and integers and by python3-cryptography."""

import hashlib
import hmac
import pathlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

CBC, GCM, CHACHA = 12, 20, 28
PRFS = {5: "sha256", 6: "sha384", 7: "sha512"}
# Integrity algorithm: hash, key bytes, ICV bytes.
INTEGS = {0: (None, 0, 0), 12: ("sha256", 32, 16), 13: ("sha384", 48, 24), 14: ("sha512", 64, 32)}
SUITES = [(GCM, bits, 0) for bits in (128, 192, 256)] + [(CHACHA, 0, 0)]
SUITES += [(CBC, bits, integ) for bits in (128, 192, 256) for integ in (12, 13, 14)]


def pattern(label, length):
    return hashlib.shake_128(label.encode()).digest(length)


def prf(number, key, data):
    return hmac.new(key, data, PRFS[number]).digest()


def prf_plus(number, key, seed, length):
    out, block = b"", b""
    for counter in range(1, 256):
        if len(out) >= length:
            break
        block = prf(number, key, block + seed + bytes([counter]))
        out += block
    return out[:length]


def pi_bits(bits):
    """The whole part of pi times 2^bits, by Machin's formula."""

    def arctan(inverse):
        total, sign, n = 0, 1, 1
        power = (1 << bits + 64) // inverse
        while power:
            total += sign * power // n
            power //= inverse * inverse
            sign, n = -sign, n + 2
        return total

    return 4 * (4 * arctan(5) - arctan(239)) >> 64


def modp():
    """Agreements in the groups of RFC 3526, whose primes come from its formula: one with a shared secret and one with
    a public value that begins with a zero byte."""
    for group, bits, offset in ((14, 2048, 124476), (15, 3072, 1690314)):
        prime = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi_bits(bits - 130) + offset)
        size = bits // 8
        peer = int.from_bytes(pattern(f"modp {group} peer", 40), "big")
        wanted = {"shared", "public"}
        for number in range(10000):
            own = int.from_bytes(pattern(f"modp {group} {number}", 40), "big")
            public = pow(2, own, prime).to_bytes(size, "big")
            shared = pow(2, own * peer, prime).to_bytes(size, "big")
            found = {"shared"} if shared[0] == 0 else {"public"} if public[0] == 0 else set()
            if found & wanted:
                wanted -= found
                other = pow(2, peer, prime).to_bytes(size, "big")
                yield "modp", group, own.to_bytes(40, "big"), public, other, shared
            if not wanted:
                break


def derive():
    for index, (encr, bits, integ) in enumerate(SUITES):
        number = 5 + index % 3
        secret = (bits or 256) // 8 + (4 if encr != CBC else 0)
        shared = pattern(f"shared {index}", 32 + 16 * index)
        nonces = pattern(f"ni {index}", 16 + index), pattern(f"nr {index}", 256 if index == 0 else 32)
        spis = pattern(f"spis {index}", 16)
        old_number = 7 - index % 3 if index % 2 else 0
        old_d = pattern(f"old {index}", hashlib.new(PRFS[old_number]).digest_size) if old_number else b""
        if old_number:
            seed = prf(old_number, old_d, shared + b"".join(nonces))
        else:
            seed = prf(number, b"".join(nonces), shared)
        size = hashlib.new(PRFS[number]).digest_size
        sizes = [size, INTEGS[integ][1], INTEGS[integ][1], secret, secret, size, size]
        stream = prf_plus(number, seed, b"".join(nonces) + spis, sum(sizes))
        yield "derive", encr, bits, integ, number, old_number, old_d, shared, *nonces, spis, stream


def child():
    for number, size in PRFS.items():
        for key_bytes in (20, 36, 64, 128):
            sk_d = pattern(f"d {number}", hashlib.new(size).digest_size)
            shared = pattern(f"pfs {number}", 32) if key_bytes != 36 else b""
            nonces = pattern("ni", 32), pattern("nr", 20)
            stream = prf_plus(number, sk_d, shared + b"".join(nonces), 2 * key_bytes)
            yield "child", number, sk_d, shared, *nonces, stream


def seal(encr, integ, key, mac_key, clear_of, iv, plain):
    """clear_of gives what comes before the IV, by the length of all that comes behind it."""
    if encr == CBC:
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        clear = clear_of(len(iv) + len(plain) + INTEGS[integ][2])
        message = clear + iv + encryptor.update(plain) + encryptor.finalize()
        return message + hmac.new(mac_key, message, INTEGS[integ][0]).digest()[: INTEGS[integ][2]]
    clear = clear_of(len(iv) + len(plain) + 16)
    aead = (AESGCM if encr == GCM else ChaCha20Poly1305)(key[:-4])
    return clear + iv + aead.encrypt(key[-4:] + iv, plain, clear)


def sealed():
    """A message each with one SK payload, with a payload before it, with a fragment, with padding at its longest."""
    for encr, bits, integ in SUITES:
        for index, (before, fragment, extra, length) in enumerate(
            [(b"", None, 0, 100), (b"", (2, 3), 0, 33), (b"", None, 240, 0), (b"\0\0\0\x08\0\0\x40\x02", None, 0, 5)]
        ):
            label = f"{encr} {bits} {integ} {index}"
            key = pattern("e " + label, (bits or 256) // 8 + (4 if encr != CBC else 0))
            mac_key = pattern("a " + label, INTEGS[integ][1])
            inside = pattern("inside " + label, length)
            block = 16 if encr == CBC else 1
            padding = -(length + 1) % block + extra // block * block
            plain = inside + pattern("padding", padding) + bytes([padding])
            payload = 53 if fragment else 46
            if before:  # a notify of type 16386, whose next payload is the encrypted one
                before = bytes([payload]) + before[1:]

            def clear_of(behind, before=before, fragment=fragment, payload=payload, label=label):
                body = b"".join(n.to_bytes(2, "big") for n in fragment or ())
                size = 4 + len(body) + behind
                header = pattern("spis " + label, 16) + bytes([41 if before else payload, 0x20, 37, 8]) + bytes(4)
                header += (28 + len(before) + size).to_bytes(4, "big")
                return header + before + bytes([42, 0]) + size.to_bytes(2, "big") + body

            iv = pattern("iv " + label, 16 if encr == CBC else 8)
            message = seal(encr, integ, key, mac_key, clear_of, iv, plain)
            yield "sealed", encr, bits, integ, key, mac_key, *(fragment or (0, 0)), inside, message


def refused():
    """Authentic messages that are malformed inside: only a peer that has the keys can send them."""
    for encr, bits, integ in SUITES:
        key = pattern("e refused", (bits or 256) // 8 + (4 if encr != CBC else 0))
        mac_key = pattern("a refused", INTEGS[integ][1])
        cases = [("padding-beyond", pattern("p", 31) + b"\x20", b""), ("padding-255", b"\xff" * 16, b"")]
        cases += [("fragment-0", bytes(16), b"\0\0\0\2"), ("fragment-beyond", bytes(16), b"\0\3\0\2")]
        if encr != CBC:
            cases += [("nothing", b"", b"")]
        for name, plain, body in cases:

            def clear_of(behind, body=body):
                size = 4 + len(body) + behind
                header = pattern("spis", 16) + bytes([53 if body else 46, 0x20, 37, 8]) + bytes(4)
                return header + (28 + size).to_bytes(4, "big") + bytes([42, 0]) + size.to_bytes(2, "big") + body

            iv = pattern("iv", 16 if encr == CBC else 8)
            yield "refused", encr, bits, integ, key, mac_key, name, seal(encr, integ, key, mac_key, clear_of, iv, plain)


def psk():
    for number, name in PRFS.items():
        secret, sk_p = pattern("psk", 24), pattern("p", hashlib.new(name).digest_size)
        message, nonce, id_body = pattern("message", 300), pattern("nonce", 32), b"\x02\0\0\0gw-a.example"
        octets = message + nonce + prf(number, sk_p, id_body)
        auth = prf(number, prf(number, secret, b"Key Pad for IKEv2"), octets)
        yield "psk", number, secret, sk_p, message, nonce, id_body, auth


def prfs():
    for number, name in PRFS.items():
        for length in (1, 31, 64, 65, 400, 255 * hashlib.new(name).digest_size):
            key, seed = pattern(f"key {length}", 40), pattern(f"seed {length}", 90)
            out = prf_plus(number, key, seed, length)
            # The longest is too long to be written down.
            yield "prfplus", number, key, seed, length, out if length <= 400 else hashlib.sha256(out).digest()


def text(field):
    return str(field) if isinstance(field, int) else field if isinstance(field, str) else field.hex() or "-"


def main():
    lines = [
        "# SPDX-License-Identifier: BSD-3-Clause",
        "# Made by ike.py, which says what the fields are.",
    ]
    for vectors in (prfs, modp, derive, child, sealed, refused, psk):
        lines += [" ".join(text(field) for field in vector) for vector in vectors()]
    pathlib.Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

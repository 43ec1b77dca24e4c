#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes suites.txt: ESP packets of every suite, made by python3-cryptography (OpenSSL)."""

import hashlib
import hmac
import pathlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

SPI = bytes.fromhex("c0de1234")
BITS = (128, 192, 256)
HASHES = (256, 384, 512)


def pattern(label, length):
    return hashlib.shake_128(label.encode()).digest(length)


def seal_aead(make, salt_bytes, key, iv, aad, plain):
    secret, salt = key[:-salt_bytes], key[-salt_bytes:]
    return make(secret).encrypt(salt + iv, plain, aad)


def seal_gmac(key, iv, aad, plain):
    tag = AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", aad + iv + plain)
    return plain + tag


def seal_hmac(mode, bits, sha, key, iv, esp, high, plain):
    secret, rest = key[: bits // 8], key[bits // 8 :]
    if mode == "cbc":
        encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    elif mode == "ctr":
        nonce, rest = rest[:4], rest[4:]
        block = nonce + iv + (1).to_bytes(4, "big")
        encryptor = Cipher(algorithms.AES(secret), modes.CTR(block)).encryptor()
    data = encryptor.update(plain) + encryptor.finalize() if mode != "null" else plain
    mac = hmac.new(rest, esp + iv + data + high, f"sha{sha}").digest()
    return data + mac[: sha // 16]


def suites():
    """Name, key bytes, IV bytes, alignment, function(key, iv, esp, high, aad, plain)."""

    def by_aad(seal, *args):
        return lambda key, iv, esp, high, aad, plain: seal(*args, key, iv, aad, plain)

    def by_high(*args):
        return lambda key, iv, esp, high, aad, plain: seal_hmac(*args, key, iv, esp, high, plain)

    for bits in BITS:
        yield f"aes{bits}gcm16", bits // 8 + 4, 8, 4, by_aad(seal_aead, AESGCM, 4)
        yield f"aes{bits}gmac", bits // 8 + 4, 8, 4, by_aad(seal_gmac)
        if bits != 192:
            yield f"aes{bits}ccm16", bits // 8 + 3, 8, 4, by_aad(seal_aead, AESCCM, 3)
        for sha in HASHES:
            yield f"aes{bits}-sha{sha}", (bits + sha) // 8, 16, 16, by_high("cbc", bits, sha)
            yield f"aes{bits}ctr-sha{sha}", (bits + sha) // 8 + 4, 8, 4, by_high("ctr", bits, sha)
    for sha in HASHES:
        yield f"null-sha{sha}", sha // 8, 0, 4, by_high("null", 0, sha)
    yield "chacha20poly1305", 36, 8, 4, by_aad(seal_aead, ChaCha20Poly1305, 4)


def row(name, key_bytes, iv_bytes, seal, length, esn):
    label = f"{name} {length} {esn}"
    sequence = int.from_bytes(pattern(label + " sequence", 8), "big")
    high, low = (sequence >> 32).to_bytes(4, "big"), (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    key, iv = pattern(label + " key", key_bytes), pattern(label + " iv", iv_bytes)
    plain, esp = pattern(label + " plain", length), SPI + low
    aad = SPI + high + low if esn else esp
    sealed = seal(key, iv, esp, high if esn else b"", aad, plain)
    return [name, key.hex(), esp.hex(), high.hex() if esn else "-", iv.hex() or "-", plain.hex(), sealed.hex()]


def main():
    with open(pathlib.Path(__file__).with_name("suites.txt"), "w", encoding="ascii") as out:
        out.write("# SPDX-License-Identifier: BSD-3-Clause\n")
        out.write("# Made by suites.py. Suite, keying material, ESP header, high half of an extended sequence\n")
        out.write("# number, IV, data, sealed data and ICV.\n")
        for name, key_bytes, iv_bytes, align, seal in suites():
            for blocks, esn in ((1, False), (3, True), (140 // align + 1, False), (300 // align + 1, True)):
                out.write(" ".join(row(name, key_bytes, iv_bytes, seal, blocks * align, esn)) + "\n")


if __name__ == "__main__":
    main()

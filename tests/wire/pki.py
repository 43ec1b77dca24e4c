# SPDX-License-Identifier: BSD-3-Clause
"""A certification authority of the tests: keys and certificates in PEM."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def make_key(kind):
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=3072 if kind == "rsa" else 2048)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Authority:
    """issuer None: a root."""

    def __init__(self, name, issuer=None, kind="rsa"):
        self.key = make_key(kind)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.issuer = issuer
        self.certificate = self._make(issuer or self)

    def _make(self, signer):
        builder = _builder(self.name, signer.name, self.key.public_key(), 30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(signer.key, _hash_for(signer.key))

    @property
    def pem(self):
        return _pem(self.certificate)

    def issue(self, host, kind, days=30):
        """(private key, certificate) of a host name. days < 0: it ended so long ago."""
        key = make_key(kind)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = _builder(name, self.name, key.public_key(), days)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return key_pem(key), _pem(builder.sign(self.key, _hash_for(self.key)))


def _hash_for(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _builder(subject, issuer, public_key, days):
    end = datetime.datetime.utcnow() + days * DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - 60 * DAY)
        .not_valid_after(end)
    )

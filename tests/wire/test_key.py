# SPDX-License-Identifier: BSD-3-Clause
"""tandemctl key: what it makes is what other programs take, and nobody else can read the secrets."""

import os
import re
import stat
import subprocess
import tempfile
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from daemon import default_build_dir

KINDS = {"x25519": x25519.X25519PrivateKey, "ed25519": ed25519.Ed25519PrivateKey, "ecdsa-p256": ec.EllipticCurvePrivateKey}


class KeyTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run_key(self, *arguments, code=0, umask=0):
        done = subprocess.run(
            [os.path.join(default_build_dir(), "tandemctl"), "key", *arguments], cwd=self.directory.name, umask=umask,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def mode(self, name):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def verify(self, authority, name):
        subprocess.run(
            ["openssl", "verify", "-CAfile", self.path(authority), self.path(name)], capture_output=True, timeout=60, check=True
        )

    def test_private_keys(self):
        for kind, expected in KINDS.items():
            with self.subTest(kind):
                said = self.run_key("gen", kind, "--type", kind)
                text = self.read(kind)
                key = serialization.load_pem_private_key(text, None)
                self.assertIsInstance(key, expected)
                self.assertEqual(self.mode(kind), 0o600)
                self.assertNotIn(text.splitlines()[1].decode(), said)
                public = key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                self.assertEqual(self.run_key("pub", kind).encode(), public)
                self.run_key("pub", kind, "--out", kind + ".pub", umask=0o022)
                self.assertEqual(self.read(kind + ".pub"), public)
                self.assertEqual(self.mode(kind + ".pub"), 0o644)
                self.assertEqual(self.run_key("pub", kind + ".pub").encode(), public)

    def test_nothing_is_overwritten(self):
        self.run_key("gen", "a")
        before = self.read("a")
        os.symlink(self.path("elsewhere"), self.path("link"))
        for name in ("a", "link"):
            for arguments in (("gen", name), ("pub", "a", "--out", name), ("register", "gw", "--out", name)):
                self.assertIn("File exists", self.run_key(*arguments, code=1))
        self.assertIn("File exists", self.run_key("cert", "a", "--id", "gw", "--out", "a", code=1))
        self.assertEqual(self.read("a"), before)
        self.assertFalse(os.path.exists(self.path("elsewhere")))

    def test_open_private_key_is_refused(self):
        self.run_key("gen", "a")
        os.chmod(self.path("a"), 0o640)
        self.assertIn("chmod 600", self.run_key("pub", "a", code=1))

    def test_certificates(self):
        names = {
            "gw-a.example": lambda san: san.get_values_for_type(x509.DNSName),
            "192.0.2.1": lambda san: [str(one) for one in san.get_values_for_type(x509.IPAddress)],
            "2001:db8::1": lambda san: [str(one) for one in san.get_values_for_type(x509.IPAddress)],
            "gw@example.org": lambda san: san.get_values_for_type(x509.RFC822Name),
        }
        for kind in KINDS:
            self.run_key("gen", kind, "--type", kind)
            for number, (name, get) in enumerate(names.items()):
                with self.subTest(kind, name=name):
                    file = f"{kind}-{number}.crt"
                    self.run_key("cert", kind, "--id", name, "--out", file, "--days", "7")
                    certificate = x509.load_pem_x509_certificate(self.read(file))
                    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                    self.assertEqual(get(san), [name])
                    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
                    self.assertEqual(usage.key_agreement, kind == "x25519")
                    self.assertEqual(usage.digital_signature, kind != "x25519")
                    self.assertEqual((certificate.not_valid_after - certificate.not_valid_before).days, 7)
                    self.assertEqual(self.run_key("pub", file), self.run_key("pub", kind))
                    self.verify(file, file)

    def test_certificate_of_an_authority(self):
        self.run_key("gen", "ca", "--type", "ecdsa-p256")
        subprocess.run(
            ["openssl", "req", "-x509", "-key", self.path("ca"), "-subj", "/CN=ca", "-out", self.path("ca.crt")],
            capture_output=True, timeout=60, check=True,
        )
        self.run_key("gen", "a")
        self.run_key("pub", "a", "--out", "a.pub")
        order = ("cert", "a.pub", "--id", "CN=gw-a, O=Example")
        self.run_key(*order, "--out", "a.crt", "--ca-key", "ca", "--ca-cert", "ca.crt")
        certificate = x509.load_pem_x509_certificate(self.read("a.crt"))
        self.assertEqual(certificate.subject.rfc4514_string(), "O=Example,CN=gw-a")
        self.verify("ca.crt", "a.crt")
        self.run_key(*order, "--out", "b.crt", "--ca-key", "ca", code=2)
        self.assertIn("of another key", self.run_key(*order, "--out", "b.crt", "--ca-key", "a", "--ca-cert", "ca.crt", code=1))
        self.run_key("cert", "ca", "--id", "gw", "--out", "own.crt")
        self.assertIn("not of an authority",
                      self.run_key(*order, "--out", "b.crt", "--ca-key", "ca", "--ca-cert", "own.crt", code=1))
        self.assertFalse(os.path.exists(self.path("b.crt")))

    def test_registration(self):
        said = self.run_key("register", "gw-c.example", "--out", "secret")
        text = self.read("secret").decode()
        self.assertRegex(text, re.compile(r"\A0x[0-9a-f]{64}\n\Z"))
        self.assertEqual(self.mode("secret"), 0o600)
        self.assertNotIn(text[2:66], said)
        self.run_key("register", "gw-c.example", "--out", "another")
        self.assertNotEqual(self.read("another").decode(), text)

    def test_bad_orders(self):
        self.run_key("gen", "a")
        for code, arguments in (
            (2, ("gen",)), (2, ("gen", "b", "--type", "rsa")), (2, ("register", "gw")), (2, ("cert", "a", "--out", "b")),
            (1, ("cert", "a", "--id", "keyid:x", "--out", "b")), (1, ("cert", "none", "--id", "gw", "--out", "b")),
            (2, ("cert", "a", "--id", "gw", "--out", "b", "--days", "0")), (1, ("register", "", "--out", "b")),
            (1, ("gen", "no/such/directory")), (1, ("pub", "none")),
        ):
            with self.subTest(arguments):
                self.assertTrue(self.run_key(*arguments, code=code).startswith("tandemctl: "))
                self.assertFalse(os.path.exists(self.path("b")))


if __name__ == "__main__":
    unittest.main()

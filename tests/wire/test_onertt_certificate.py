# SPDX-License-Identifier: BSD-3-Clause
"""The one-round-trip exchange with the keys and certificates that tandemctl makes, and with one that has expired."""

import datetime
import os
import subprocess
import tempfile
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from daemon import DaemonError, default_build_dir
from lab import wait_until
from negotiated import NegotiatedTestCase
from negotiator import onertt_keys
from rpc import Rpc
from scenario import Scenario

NAMES = {"a": "depot", "b": "head"}


class Certificate(NegotiatedTestCase):
    seconds = 8

    def make_files(self):
        """By the commands of the manual."""
        files = {}
        with tempfile.TemporaryDirectory() as directory:

            def key(*arguments):
                command = [os.path.join(default_build_dir(), "tandemctl"), "key", *arguments]
                subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)

            for side, name in NAMES.items():
                key("gen", f"{side}.key")
                key("cert", f"{side}.key", "--id", name, "--out", f"{side}.crt")
                key("pub", f"{side}.key", "--out", f"{side}.pub")
            key("register", "depot", "--out", "registration")
            for name in os.listdir(directory):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    files[name] = file.read()
        return files

    @staticmethod
    def expired(public_key):
        """A certificate of a time that is over."""
        authority = ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
        begin = datetime.datetime(2020, 1, 1)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(serialization.load_pem_public_key(public_key.encode()))
            .serial_number(1).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=30)).sign(authority, None)
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def test_keys_of_tandemctl(self):
        files = self.make_files()
        for mode in ("key", "id", "secret"):
            with self.subTest(mode):
                keys = {side: text.replace(".pub", ".crt") for side, text in onertt_keys("rekey_ms = 500; life_ms = 4000; ", mode).items()}
                self.start(keys, files)
                with Scenario(self.lab) as traffic:
                    traffic.wait_packets(100)
                    self.roll(traffic, 1)
                    self.assert_clean(traffic)
                self.negotiator.close()
                self.lab.stop_daemons()

    def test_name_of_another(self):
        """A certificate must be for who it is configured for, when names count."""
        files = self.make_files()
        keys = onertt_keys(mode="id")
        keys["b"] = keys["b"].replace("/a.pub", "/b.crt")
        with self.assertRaisesRegex(DaemonError, "is not for depot"):
            self.lab.start_daemons(keys=keys, files=files)

    def test_expired(self):
        """The initiator says so; the responder counts it, because anybody can ask."""
        for side in ("a", "b"):
            with self.subTest(whose=side):
                files = self.make_files()
                files["old.crt"] = self.expired(files[f"{side}.pub"])
                keys = {one: text.replace(f"/{side}.pub", "/old.crt") for one, text in onertt_keys().items()}
                self.lab.start_daemons(keys=keys, files=files)
                if side == "b":
                    with Rpc(self.lab.gw_a.daemon.socket_path) as events:
                        events.subscribe()
                        events.call("tunnel.up", {"tunnel": self.lab.gw_a.tunnel})
                        self.assertIn("the certificate has expired", events.wait_event("ike_failed")["reason"])
                    self.assertIn("the certificate has expired", self.lab.gw_a.rpc.call("tunnel.list")["tunnels"][0]["last_error"])
                    self.assertEqual(self.lab.gw_a.rpc.call("ike.stats")["onertt_answers"], 0)
                else:
                    wait_until(lambda: self.lab.gw_b.rpc.call("ike.stats")["onertt_unknown_key"] >= 1, "the responder counts it")
                    self.assertEqual(self.lab.gw_b.rpc.call("ike.stats")["onertt_accepted"], 0)
                for gateway in self.lab.gateways:
                    self.assertFalse(gateway.rpc.call("tunnel.list")["tunnels"][0]["established"])
                self.lab.stop_daemons()


if __name__ == "__main__":
    unittest.main()

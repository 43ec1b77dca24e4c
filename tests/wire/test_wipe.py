# SPDX-License-Identifier: BSD-3-Clause
"""Keys are gone from memory when what they were for is gone. strongSwan, which writes them all into its log, says what
they were."""

import hashlib
import hmac
import re
import unittest

from interop import TANDEM_ADDRESS, InteropLab, psk_tunnel
from lab import wait_until
from memory import search

PSK = "a pre-shared key of the tests only"
KEY_PAD = b"Key Pad for IKEv2"
SUITES = {
    "gcm": ("aes128gcm16-prfsha256-x25519", "aes128gcm16"),
    "cbc": ("aes256-sha256-x25519", "aes256-sha256"),
    "chacha": ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305"),
}
SECRETS = re.compile(r"(SK_\w+ secret|Sk_\w+ secret|shared Diffie Hellman secret|\w+ (?:initiator|responder) key) => (\d+) bytes", re.I)
BYTES = re.compile(r"^.*\]\s+\d+: ((?:[0-9A-F]{2} )+)")


def secrets_of(log):
    """{name: bytes} of what strongSwan's log says at level 4."""
    found, lines = {}, log.splitlines()
    for at, line in enumerate(lines):
        head = SECRETS.search(line)
        if not head:
            continue
        data = b""
        for follow in lines[at + 1 :]:
            row = BYTES.match(follow)
            if not row or len(data) >= int(head.group(2)):
                break
            data += bytes.fromhex(row.group(1))
        found[f"{head.group(1)} {len(found)}"] = data[: int(head.group(2))]
    return found


class Wipe(unittest.TestCase):
    seconds = 60

    def check(self, suite):
        ike, esp = SUITES[suite]
        tunnel = psk_tunnel("wiped", 1, "a", ike, esp)
        lab = InteropLab([tunnel], "drain_ms = 100; retransmit_ms = 300;", files={"tunnel.psk": PSK}, log_levels="ike = 4\n chd = 4")
        self.addCleanup(lab.close)
        lab.start_strongswan()
        lab.strongswan.load_psk("psk", PSK, [TANDEM_ADDRESS, tunnel.outer])
        lab.load_connections()
        lab.start_tandem()
        daemon = lab.gw_a.daemon
        rpc, pid = daemon.rpc, daemon.pid
        wait_until(lambda: rpc.call("tunnel.list")["tunnels"][0]["established"], "the tunnel is up")
        for ike_too in (False, True):
            rekeys = rpc.call("tunnel.list")["tunnels"][0]["rekeys"]
            before = rpc.call("ike.list")["ike_sas"][0]["spi_i"]
            rpc.call("tunnel.rekey", {"tunnel": "wiped", "ike": ike_too})
            if ike_too:
                wait_until(lambda: rpc.call("ike.list")["ike_sas"][0]["spi_i"] != before, "the IKE SA has new keys")
            else:
                wait_until(lambda: rpc.call("tunnel.list")["tunnels"][0]["rekeys"] > rekeys, "the SAs have new keys")
        wait_until(lambda: len(rpc.call("ike.list")["ike_sas"]) == 1, "the old IKE SA is gone")
        secrets = secrets_of(lab.strongswan.log())
        self.assertGreater(len(secrets), 15, lab.strongswan.log()[-3000:])
        secrets["prf(psk, pad)"] = hmac.new(PSK.encode(), KEY_PAD, hashlib.sha256).digest()
        held = search(pid, secrets)
        for part in ("SK_d secret", "initiator key", "responder key"):
            self.assertTrue(any(part.lower() in name.lower() for name in held), f"the search finds a living {part}: {held}")
        self.assertTrue(search(pid, {"psk": PSK.encode()}), "the key of the configuration stays")

        rpc.call("tunnel.down", {"tunnel": "wiped"})
        wait_until(lambda: not rpc.call("ike.list")["ike_sas"] and not rpc.call("sa.list")["sas"], "all SAs are gone")
        # The workers' last look at the SAs ends a few loops later.
        left = {}

        def wiped():
            left.clear()
            left.update(search(pid, secrets))
            return not left

        try:
            wait_until(wiped, "the keys are wiped", timeout=10)
        except TimeoutError:
            self.fail(f"left in memory: { {name: [hex(place) for place in places] for name, places in left.items()} }")
        daemon.stop_checked()

    def test_aes_gcm(self):
        self.check("gcm")

    def test_aes_cbc(self):
        self.check("cbc")

    def test_chacha20_poly1305(self):
        self.check("chacha")


if __name__ == "__main__":
    unittest.main()

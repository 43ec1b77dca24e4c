# SPDX-License-Identifier: BSD-3-Clause
"""IKEv2 and ESP with strongSwan: every algorithm and proof of identity, either side starting, traffic through all tunnels
while either side changes the keys. docs/interoperability.md has the results."""

import collections
import time
import unittest

from flows import Flows, LinkCapture
from interop import TANDEM_ADDRESS, InteropLab, Tunnel
from lab import SLOW, wait_until
from pki import Authority

PSK = "a pre-shared key of the tests only"
RATE = 5 if SLOW else 20  # packets per second of each flow
SUITES = {  # IKE without its group, and ESP
    "gcm128": ("aes128gcm16-prfsha256", "aes128gcm16"),
    "gcm256": ("aes256gcm16-prfsha384", "aes256gcm16"),
    "cbc": ("aes256-sha256", "aes256-sha256"),
    "chacha": ("chacha20poly1305-prfsha256", "chacha20poly1305"),
}
AUTHS = ("psk", "ecdsa", "rsa")
GROUPS = ("x25519", "ecp256", "modp2048")


class Credentials:
    """Each side's certificates come from an authority of its own below the root, and go with that authority's: an RSA
    chain does not fit one datagram."""

    def __init__(self):
        self.root = Authority("tandem test root")
        self.ours = Authority("tandem test authority a", self.root)
        self.theirs = Authority("tandem test authority b", self.root)
        self.files = {"tunnel.psk": PSK, "root.pem": self.root.pem}
        self.keys, self.certificates = [], {}
        for kind in AUTHS[1:]:
            key, certificate = self.ours.issue(f"{kind}.a.example", kind)
            self.files[f"{kind}.key"], self.files[f"{kind}.pem"] = key, certificate + self.ours.pem
            key, self.certificates[kind] = self.theirs.issue(f"{kind}.b.example", kind)
            self.keys.append(key)

    def load(self, strongswan):
        owners = [TANDEM_ADDRESS, *(f"192.0.2.{number}" for number in range(101, 200))]
        strongswan.load_psk("psk", PSK, owners)
        strongswan.load_authority(self.root.pem)
        strongswan.load_authority(self.theirs.pem)
        for key in self.keys:
            strongswan.load_key(key)

    def parts(self, auth):
        """What a Tunnel has of it."""
        if auth == "psk":
            return {"tandem": 'psk_file = "@DIR@/tunnel.psk"; ', "local": {"auth": "psk"}, "remote": {"auth": "psk"}}
        return {
            "tandem": f'key_file = "@DIR@/{auth}.key"; certificate_file = "@DIR@/{auth}.pem"; '
            f'authority_file = "@DIR@/root.pem"; local_id = "{auth}.a.example"; remote_id = "{auth}.b.example"; ',
            "local": {"auth": "pubkey", "id": f"{auth}.b.example", "certs": [self.certificates[auth]]},
            "remote": {"auth": "pubkey", "id": f"{auth}.a.example"},
        }


def matrix(credentials):
    """Every suite with every proof of identity and either starter; every group with each of the three; half of them with
    perfect forward secrecy."""
    tunnels = []
    for s, (suite, (ike, esp)) in enumerate(SUITES.items()):
        for a, auth in enumerate(AUTHS):
            group = GROUPS[(s + a) % 3]
            for starter in "ab":
                pfs = (s + a + (starter == "b")) % 2
                name = f"{suite}-{auth}-{group}-{starter}{'-pfs' if pfs else ''}"
                tunnels.append(
                    Tunnel(
                        name=name, number=len(tunnels) + 1, starter=starter, ike=f"{ike}-{group}",
                        esp=f"{esp}-{group}" if pfs else esp, **credentials.parts(auth),
                    )
                )
    return tunnels


class Matrix(unittest.TestCase):
    """The lab with all tunnels up and traffic through each of them."""

    TANDEM = ""  # keys of all its tunnels

    def setUp(self):
        self.credentials = Credentials()
        tunnels = matrix(self.credentials)
        self.lab = InteropLab(tunnels, self.TANDEM, files=self.credentials.files)
        self.addCleanup(self.lab.close)
        self.seen = collections.Counter()  # events by (kind, tunnel)
        self.start()

    def start(self):
        lab = self.lab
        self.captures = [LinkCapture(gateway.namespace, "out0") for gateway in lab.gateways]
        for capture in self.captures:
            capture.start()
        lab.start_strongswan()
        self.credentials.load(lab.strongswan)
        lab.load_connections()
        lab.start_tandem()
        for tunnel in lab.tunnels.values():
            if tunnel.starter == "b":
                lab.strongswan.initiate(tunnel.name)
        lab.wait_established()
        pairs = {tunnel.name: tunnel.inner for tunnel in lab.tunnels.values()}
        self.flows = Flows(lab.host_a, lab.host_b, pairs, RATE)
        self.addCleanup(self.flows.close)
        self.flows.wait_open()
        self.handshakes = [dict(capture.fragments) for capture in self.captures]
        for capture in self.captures:
            capture.clear()
        self.flows.start()

    def count_events(self):
        while event := self.lab.events.next_event(0.05):
            self.seen[event["event"], event.get("tunnel")] += 1

    def wait_events(self, kind, count, timeout=90.0):
        """Until every tunnel has had so many."""

        def missing():
            self.count_events()
            return [name for name in self.lab.tunnels if self.seen[kind, name] < count]

        try:
            wait_until(lambda: not missing(), kind, timeout)
        except TimeoutError:
            self.fail(f"{kind}: not {count} times at {missing()}\n{self.lab.diagnosis()}")

    def wait_packets(self, count, timeout=60.0):
        """Until every flow has carried so many more."""
        goals = {name: self.flows.received(name) + count for name in self.lab.tunnels}
        wait_until(
            lambda: all(self.flows.received(name) >= goal for name, goal in goals.items()), f"{count} packets", timeout
        )

    def lost_of_tandem(self):
        """By flow, what came to tandem and did not leave it; (lost on the whole way, sent) of both directions."""
        from_strongswan, from_tandem = self.captures
        faults, lost, sent = [], collections.Counter(), collections.Counter()
        for name, pair in self.flows.flows.items():
            tunnel = self.lab.tunnels[name]
            sealed = from_tandem.count(TANDEM_ADDRESS, tunnel.outer)
            came = from_strongswan.count(tunnel.outer, TANDEM_ADDRESS)
            if sealed != pair["a"].sent:
                faults.append(f"{name}: {pair['a'].sent} packets came to tandem, {sealed} left it sealed")
            if came != len(pair["b"].received):
                faults.append(f"{name}: {came} ESP packets came to tandem, {len(pair['b'].received)} reached the host")
            for way, flow in pair.items():
                lost[way] += len(flow.lost)
                sent[way] += flow.sent
                if flow.twice or flow.bad:
                    faults.append(f"{name}: {flow.twice} duplicates, {flow.bad} corrupt from {way}")
        return faults, lost, sent

    def finish(self):
        """Stops the traffic; nothing may be lost at tandem. Returns (lost, sent) by direction."""
        self.flows.stop()
        time.sleep(0.2)  # for the captures' last frames
        for capture in self.captures:
            capture.stop()
        faults, lost, sent = self.lost_of_tandem()
        for capture in self.captures:
            if capture.plaintext or capture.missed:
                faults.append(f"{capture.plaintext} plaintext packets, {capture.missed} missed by the capture")
        print(f"# {self.id()}: lost (a: from tandem's hosts) {dict(lost)} of {dict(sent)}", flush=True)
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))
        return lost, sent


class Suites(Matrix):
    def test_keys_changed_by_strongswan(self):
        lab = self.lab
        suites = {sa["tunnel"]: sa["suite"] for sa in lab.gw_a.rpc.call("sa.list")["sas"]}
        for name in lab.tunnels:
            self.assertEqual(suites[name], SUITES[name.split("-", maxsplit=1)[0]][1])
        for _ in range(2):
            self.seen.clear()
            self.count_events()
            self.seen.clear()
            for name in lab.tunnels:
                lab.strongswan.rekey_child(name)
            self.wait_events("child_active", 1)
            self.wait_packets(10)
            for name in lab.tunnels:
                lab.strongswan.rekey_ike(name)
            self.wait_events("ike_rekeyed", 1)
            self.wait_packets(10)
        self.finish()
        self.lab.gw_a.daemon.stop_checked()


class ByTandem(Matrix):
    TANDEM = "rekey_ms = 4000; ike_rekey_ms = 6000; "

    def test_keys_changed_by_tandem(self):
        self.wait_events("child_active", 4)
        self.wait_events("ike_rekeyed", 2)
        lost, _ = self.finish()
        self.assertEqual(sum(lost.values()), 0)
        self.lab.gw_a.daemon.stop_checked()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""IKEv2 and ESP with strongSwan: every algorithm and proof of identity, either side starting, traffic through all tunnels
while either side changes the keys. docs/interoperability.md has the results."""

import contextlib
import unittest

from flows import Flows, LinkCapture
from interop import TANDEM_ADDRESS, InteropLab, Tunnel, psk_tunnel
from lab import SLOW, wait_until
from pki import Authority
from rpc import RpcError
from vici import ViciError

PSK = "a pre-shared key of the tests only"
RATE = 5 if SLOW else 40  # packets per second of each flow
SUITES = {  # IKE without its group, and ESP
    "gcm128": ("aes128gcm16-prfsha256", "aes128gcm16"),
    "gcm256": ("aes256gcm16-prfsha384", "aes256gcm16"),
    "cbc": ("aes256-sha256", "aes256-sha256"),
    "chacha": ("chacha20poly1305-prfsha256", "chacha20poly1305"),
}
AUTHS = ("psk", "ecdsa", "rsa")
OTHER_SUITES = ("aes192gcm16", "aes128ccm16", "aes256ccm16", "aes128ctr-sha256", "aes256-sha512")
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
        for kind in (*AUTHS[1:], "ed25519"):
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


def others(credentials, number):
    """Suites and a kind of key beyond the matrix."""
    tunnels = [
        psk_tunnel(f"other-{esp}", number + at, "ab"[at % 2], f"{SUITES['gcm128'][0]}-x25519", esp)
        for at, esp in enumerate(OTHER_SUITES)
    ]
    ike, esp = SUITES["gcm128"]
    for starter in "ab":
        name = f"gcm128-ed25519-{starter}"
        parts = credentials.parts("ed25519")
        tunnels.append(Tunnel(name, number + len(tunnels), starter, ike=f"{ike}-x25519", esp=esp, **parts))
    return tunnels


def disputed(number):
    """What both sides take unless told otherwise; and a Diffie-Hellman group that the other side does not want, so that
    the starter tries again with another (RFC 7296 1.2, 1.3)."""
    ike, esp = SUITES["gcm128"]
    tunnels = []
    for starter in "ab":
        default = psk_tunnel(f"default-{starter}", number, starter, None, None)
        default.more, default.child = {"proposals": ["default"]}, {"esp_proposals": ["default"]}
        groups = {"a": ("x25519-ecp256", "ecp256"), "b": ("x25519", "ecp256-x25519")}[starter]
        group = psk_tunnel(f"gcm128-other-group-{starter}", number + 1, starter, f"{ike}-{groups[0]}", f"{esp}-{groups[0]}")
        group.more = {"proposals": [f"{ike}-{groups[1]}"]}
        group.child = {"esp_proposals": [f"{esp}-{groups[1]}"]}
        tunnels += [default, group]
        number += 2
    return tunnels


class Matrix(unittest.TestCase):
    """All tunnels up at once, traffic through each of them while keys change."""

    seconds = 60

    @classmethod
    def setUpClass(cls):
        cls.undo = contextlib.ExitStack()
        try:
            cls.start()
        except BaseException:
            cls.undo.close()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.lab.gw_a.daemon.stop_checked()
        finally:
            cls.undo.close()

    @classmethod
    def start(cls):
        credentials = Credentials()
        tunnels = matrix(credentials)
        tunnels += others(credentials, len(tunnels) + 1)
        tunnels += disputed(len(tunnels) + 1)
        cls.lab = lab = cls.undo.enter_context(InteropLab(tunnels, files=credentials.files))
        cls.captures = [LinkCapture(gateway.namespace, "out0") for gateway in lab.gateways]
        for capture in cls.captures:
            capture.start()
            cls.undo.callback(capture.stop)
        lab.start_strongswan()
        credentials.load(lab.strongswan)
        lab.load_connections()
        lab.start_tandem()
        for tunnel in lab.tunnels.values():
            if tunnel.starter == "b":
                lab.strongswan.initiate(tunnel.name)
        lab.wait_established()
        pairs = {tunnel.name: tunnel.inner for tunnel in lab.tunnels.values()}
        cls.flows = Flows(lab.host_a, lab.host_b, pairs, RATE)
        cls.undo.callback(cls.flows.close)
        cls.flows.wait_open()
        cls.handshakes = [dict(capture.fragments) for capture in cls.captures]

    @contextlib.contextmanager
    def traffic(self, lossless):
        """Around changes of keys; nothing may be lost at tandem, or, if lossless, anywhere."""
        for capture in self.captures:
            capture.wait_quiet()
            capture.clear()
        while self.lab.events.next_event(0.05):
            pass
        self.overflows = self.lab.strongswan.overflows()
        self.flows.start()
        try:
            self.wait_packets(5)
            yield
            self.wait_packets(10)
        finally:
            self.flows.stop()
        for capture in self.captures:
            capture.wait_quiet()
        self.check(lossless)

    def wait_packets(self, count):
        """Until every flow has carried so many more."""
        goals = {name: self.flows.received(name) + count for name in self.lab.tunnels}
        wait_until(lambda: all(self.flows.received(name) >= goal for name, goal in goals.items()), "packets", 60.0)

    def wait_events(self, kind):
        """Until every tunnel has had one."""
        missing = set(self.lab.tunnels)

        def take():
            while event := self.lab.events.next_event(0.05):
                if event["event"] == kind:
                    missing.discard(event.get("tunnel"))
            return not missing

        try:
            wait_until(take, kind, 90.0)
        except TimeoutError:
            self.fail(f"no {kind} of {sorted(missing)}\n{self.lab.diagnosis()}")

    def check(self, lossless):
        faults, lost, sent = [], {"a": 0, "b": 0}, {"a": 0, "b": 0}
        for name, pair in self.flows.flows.items():
            faults += self.faults_of_tandem(self.lab.tunnels[name], pair)
            for way, flow in pair.items():
                lost[way] += len(flow.lost)
                sent[way] += flow.sent
                if flow.twice or flow.bad:
                    faults.append(f"{name} from {way}: {flow.twice} twice, {flow.bad} corrupt")
        for capture in self.captures:
            if capture.plaintext or capture.missed():
                faults.append(f"{capture.plaintext} plaintext packets on the link, or the capture missed some")
        # What a busy machine lets run over in front of strongSwan's process is no loss by a change of keys.
        overflows = self.lab.strongswan.overflows() - self.overflows
        if lossless and sum(lost.values()) > overflows:
            faults.append(f"lost {lost}, only {overflows} of them in front of strongSwan's process")
        print(f"# {self.id()}: lost {lost} of {sent} (by the side of the sender); {overflows} overflows", flush=True)
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))

    def faults_of_tandem(self, tunnel, pair):
        """Whatever came to it from a host leaves sealed; whatever came sealed reaches a host. What is lost beyond that is
        strongSwan's loss."""
        from_strongswan, from_tandem = self.captures
        sealed = from_tandem.count(TANDEM_ADDRESS, tunnel.outer)
        came = from_strongswan.count(tunnel.outer, TANDEM_ADDRESS)
        if sealed != pair["a"].sent:
            yield f"{tunnel.name}: {pair['a'].sent} packets came to tandem, {sealed} left it sealed"
        if came != len(pair["b"].received):
            yield f"{tunnel.name}: {came} ESP packets came to tandem, {len(pair['b'].received)} reached the host"

    def test_suites(self):
        sas = self.lab.gw_a.rpc.call("sa.list")["sas"]
        # By default the responder's taste decides, and each side was responder of some rekey or other.
        default = {"aes128gcm16", "aes128-sha256"}
        for name, tunnel in self.lab.tunnels.items():
            for suite in {sa["suite"] for sa in sas if sa["tunnel"] == name}:
                expected = f"{tunnel.esp}-".startswith(f"{suite}-") if tunnel.esp else suite in default
                self.assertTrue(expected, f"{name} has {suite}")

    def test_long_certificates_go_in_fragments(self):
        for tunnel in self.lab.tunnels.values():
            if "-rsa-" in tunnel.name:
                from_strongswan, from_tandem = self.handshakes
                self.assertGreaterEqual(from_strongswan.get((tunnel.outer, TANDEM_ADDRESS), 0), 2, tunnel.name)
                self.assertGreaterEqual(from_tandem.get((TANDEM_ADDRESS, tunnel.outer), 0), 2, tunnel.name)

    def rekey_at_tandem(self, name, ike):
        self.lab.gw_a.rpc.call("tunnel.rekey", {"tunnel": name, "ike": ike})

    def rekey_at_strongswan(self, name, ike):
        (self.lab.strongswan.rekey_ike if ike else self.lab.strongswan.rekey_child)(name)

    def rekey_twice(self, rekey):
        """The SAs of every tunnel and its IKE SA, and both again."""
        for ike in (False, True, False, True):
            for name in self.lab.tunnels:
                rekey(name, ike)
            self.wait_events("ike_rekeyed" if ike else "child_switched")
            self.wait_packets(20)

    def test_rekeys_by_tandem(self):
        with self.traffic(lossless=True):
            self.rekey_twice(self.rekey_at_tandem)

    def test_rekeys_by_strongswan(self):
        with self.traffic(lossless=False):
            self.rekey_twice(self.rekey_at_strongswan)

    def test_rekeys_by_both_at_once(self):
        def both(name, ike):
            # The last one may not be over yet, or the other side is faster: then one side is enough.
            with contextlib.suppress(RpcError):
                self.rekey_at_tandem(name, ike)
            with contextlib.suppress(ViciError):
                self.rekey_at_strongswan(name, ike)

        before = self.lab.gw_a.rpc.call("ike.stats")["collisions"]
        with self.traffic(lossless=False):
            self.rekey_twice(both)
        print(f"# collisions: {self.lab.gw_a.rpc.call('ike.stats')['collisions'] - before}", flush=True)


if __name__ == "__main__":
    unittest.main()

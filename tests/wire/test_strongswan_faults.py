# SPDX-License-Identifier: BSD-3-Clause
"""strongSwan and tandem that cannot agree, fall silent, die and come back."""

import signal
import unittest

from flows import Flows
from interop import TANDEM_ADDRESS, InteropLab, Tunnel, psk_tunnel
from lab import wait_until
from pki import Authority

PSK = "a pre-shared key of the tests only"
IKE, ESP = "aes128gcm16-prfsha256-x25519", "aes128gcm16"
REFUSED = "the peer refuses: AUTHENTICATION_FAILED"


class Credentials:
    """What the tunnels of Disagreements prove themselves with."""

    def __init__(self):
        root, stranger = Authority("tandem test root", kind="ecdsa"), Authority("stranger", kind="ecdsa")
        key, certificate = root.issue("a.example", "ecdsa")
        self.files = {"tunnel.psk": PSK, "root.pem": root.pem, "a.key": key, "a.pem": certificate}
        self.authorities = [root.pem, stranger.pem]
        self.keys, self.certificates = [], {}
        for kind, authority, days in (("untrusted", stranger, 30), ("expired", root, -1)):
            key, self.certificates[kind] = authority.issue(f"{kind}.b.example", "ecdsa", days)
            self.keys.append(key)

    def parts(self, kind):
        return {
            "tandem": 'key_file = "@DIR@/a.key"; certificate_file = "@DIR@/a.pem"; authority_file = "@DIR@/root.pem"; '
            f'local_id = "a.example"; remote_id = "{kind}.b.example";',
            "local": {"auth": "pubkey", "id": f"{kind}.b.example", "certs": [self.certificates[kind]]},
            "remote": {"auth": "pubkey", "id": "a.example"},
        }


# What differs, and what tandem says when it starts, and when strongSwan does.
DISAGREEMENTS = (
    ("wrong-psk", REFUSED, "the pre-shared keys are not the same"),
    ("wrong-id", REFUSED, "no tunnel between these addresses is for other.example as remote_id"),
    ("untrusted", "is not trusted", "is not trusted"),
    ("expired", "has expired", "has expired"),
    ("no-ike", "the peer refuses: NO_PROPOSAL_CHOSEN", "no proposal for the IKE SA in common, the peer offers aes256gcm16"),
    ("no-esp", "the peer refuses the child: NO_PROPOSAL_CHOSEN", "no proposal for the SAs of tunnel no-esp-b in common, the peer offers aes256gcm16"),
    ("no-network", "the peer refuses the child: TS_UNACCEPTABLE", "no tunnel has traffic between 10.1.14.0/24 (here) and 10.2.14.0/24"),
)


def disagreeing(credentials):
    tunnels = []
    for kind, *_ in DISAGREEMENTS:
        for starter in "ab":
            number = len(tunnels) + 1
            name = f"{kind}-{starter}"
            if kind in credentials.certificates:
                tunnel = Tunnel(
                    name=name, number=number, starter=starter, ike=IKE, esp=ESP, **credentials.parts(kind)
                )
            else:
                tunnel = psk_tunnel(name, number, starter, IKE, ESP)
            tunnels.append(tunnel)
            if kind == "wrong-id":
                tunnel.local = {"auth": "psk", "id": "other.example"}
            elif kind == "no-ike":
                tunnel.more = {"proposals": ["aes256gcm16-prfsha256-x25519"]}
            elif kind == "no-esp":
                tunnel.child = {"esp_proposals": ["aes256gcm16"]}
            elif kind == "no-network":
                tunnel.networks = (f"10.1.{number + 100}.0/24", f"10.2.{number + 100}.0/24")
    return tunnels


class Disagreements(unittest.TestCase):
    def test_each_names_tunnel_and_reason(self):
        credentials = Credentials()
        lab = InteropLab(disagreeing(credentials), "retransmit_ms = 300; ", files=credentials.files)
        self.addCleanup(lab.close)
        strongswan = lab.strongswan
        lab.start_strongswan()
        for pem in credentials.authorities:
            strongswan.load_authority(pem)
        for pem in credentials.keys:
            strongswan.load_key(pem)
        for tunnel in lab.tunnels.values():
            secret = "not the pre-shared key of tandem" if tunnel.name.startswith("wrong-psk") else PSK
            strongswan.load_psk(tunnel.name, secret, [tunnel.outer, tunnel.local.get("id", tunnel.outer)])
        lab.load_connections()
        lab.start_tandem()
        for tunnel in lab.tunnels.values():
            if tunnel.starter == "b":
                strongswan.initiate(tunnel.name)
        said = {}
        wanted = {f"{kind}-{side}": text for kind, a, b in DISAGREEMENTS for side, text in (("a", a), ("b", b))}

        def missing():
            while event := lab.events.next_event(0.05):
                if "tunnel" in event and "reason" in event:
                    said.setdefault(event["tunnel"], set()).add(event["reason"])
            return [name for name, text in wanted.items() if not any(text in reason for reason in said.get(name, ()))]

        try:
            wait_until(lambda: not missing(), "reasons")
        except TimeoutError:
            self.fail("\n".join(f"{name}: {said.get(name)}" for name in missing()) + "\n" + lab.diagnosis())
        lines = lab.gw_a.daemon.stderr().splitlines()
        for name, text in wanted.items():
            self.assertTrue(any(name in line and text in line for line in lines), f"no log line has {name} and {text}")
        self.assertEqual([name for name, one in lab.tandem_tunnels().items() if one["established"]], [])
        lab.gw_a.daemon.stop_checked()


class Outages(unittest.TestCase):
    """Both tunnels come up again, whoever went away; traffic shows it."""

    seconds = 50

    def setUp(self):
        tunnels = [
            psk_tunnel("by-tandem", 1, "a", IKE, ESP, more={"dpd_delay": "1s"}),
            psk_tunnel(
                "by-strongswan", 2, "b", IKE, ESP, more={"dpd_delay": "1s", "unique": "replace"},
                child={"start_action": "start", "dpd_action": "restart"},
                # Only who knows whom it starts with says that it is new (INITIAL_CONTACT).
                remote={"auth": "psk", "id": TANDEM_ADDRESS},
            ),
        ]
        self.lab = InteropLab(
            tunnels, "liveness_ms = 1000; retransmit_ms = 200; retransmit_tries = 7; ", files={"tunnel.psk": PSK}
        )
        self.addCleanup(self.lab.close)
        self.start_strongswan()
        self.lab.start_tandem()
        pairs = {name: tunnel.inner for name, tunnel in self.lab.tunnels.items()}
        self.flows = Flows(self.lab.host_a, self.lab.host_b, pairs, 20)
        self.addCleanup(self.flows.close)
        self.wait_traffic()

    def start_strongswan(self):
        self.lab.start_strongswan()
        self.lab.strongswan.load_psk("psk", PSK, [TANDEM_ADDRESS, *(one.outer for one in self.lab.tunnels.values())])
        self.lab.load_connections()

    def wait_traffic(self):
        try:
            self.lab.wait_established()
            self.flows.wait_open()
        except TimeoutError as error:
            self.fail(f"{error}\n{self.lab.diagnosis()}")

    def wait_event(self, kind, tunnel, reason):
        try:
            self.lab.events.wait_event(kind, 60.0, tunnel=tunnel, reason=reason)
        except TimeoutError as error:
            self.fail(f"{error}\n{self.lab.diagnosis()}")

    def sas_of(self, tunnel):
        return [sa for name, sa in self.lab.strongswan.sas() if name == tunnel]

    def test_strongswan_is_silent(self):
        self.lab.strongswan.signal(signal.SIGSTOP)
        for name in self.lab.tunnels:
            self.wait_event("ike_dead", name, "the peer does not answer")
        self.lab.strongswan.signal(signal.SIGCONT)
        self.wait_traffic()
        self.lab.gw_a.daemon.stop_checked()

    def test_strongswan_is_killed(self):
        self.lab.strongswan.kill()
        self.start_strongswan()
        # It says that it is new, where it starts.
        self.wait_event("ike_down", "by-strongswan", "the peer has started anew")
        self.wait_event("ike_dead", "by-tandem", "the peer does not answer")
        self.wait_traffic()
        self.lab.gw_a.daemon.stop_checked()

    def test_tandem_is_killed(self):
        self.lab.gw_a.daemon.stop(signal.SIGKILL)
        self.lab.start_tandem()
        self.wait_traffic()
        self.lab.gw_a.daemon.stop_checked()

    def test_deletes(self):
        strongswan = self.lab.strongswan
        for name in self.lab.tunnels:
            self.lab.gw_a.rpc.call("tunnel.down", {"tunnel": name})
        wait_until(lambda: not self.sas_of("by-tandem"), "DELETE of by-tandem")
        for name in self.lab.tunnels:
            self.lab.gw_a.rpc.call("tunnel.up", {"tunnel": name})
        self.wait_traffic()
        child = self.lab.tandem_tunnels()["by-tandem"]["outbound_spi"]
        strongswan.terminate_child("by-tandem")
        wait_until(lambda: self.lab.tandem_tunnels()["by-tandem"]["outbound_spi"] != child, "DELETE of the SAs")
        self.wait_traffic()
        strongswan.terminate("by-tandem")
        self.wait_event("ike_down", "by-tandem", "the peer has deleted it")
        self.wait_traffic()
        # Both tunnels, by DELETEs; strongSwan starts its own anew.
        self.lab.gw_a.daemon.stop_checked()
        wait_until(lambda: not self.sas_of("by-tandem"), "DELETE of by-tandem")
        self.assertIn("received DELETE for IKE_SA by-strongswan", strongswan.log())


if __name__ == "__main__":
    unittest.main()

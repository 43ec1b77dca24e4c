# SPDX-License-Identifier: BSD-3-Clause
"""The lab with strongSwan as gateway b, and tunnels that both ends know.

Tunnel number n runs between 192.0.2.1 and 192.0.2.(100 + n), for 10.1.n.0/24 and 10.2.n.0/24, so that every one has
its own peer, and whatever is seen on the link belongs to one of them."""

import dataclasses

from daemon import Daemon
from lab import Lab, wait_until
from rpc import Rpc
from strongswan import StrongSwan

DEVICE = "framecnt=4096"
TANDEM_ADDRESS = "192.0.2.1"


@dataclasses.dataclass
class Tunnel:
    """One tunnel as both ends have it. tandem: more keys of its configuration; ike, esp: proposals of both; auth: the
    parts of a strongSwan connection."""

    name: str
    number: int
    starter: str  # "a": tandem, "b": strongSwan
    tandem: str
    ike: str  # None, with esp: what tandem takes by default
    esp: str
    local: dict
    remote: dict
    more: dict = dataclasses.field(default_factory=dict)  # of the strongSwan connection
    child: dict = dataclasses.field(default_factory=dict)  # of its child
    networks: tuple = None  # of tandem, instead of its own

    @property
    def outer(self):
        return f"192.0.2.{100 + self.number}"

    @property
    def inner(self):
        """Addresses of the hosts."""
        return f"10.1.{self.number}.2", f"10.2.{self.number}.2"

    @property
    def prefixes(self):
        return f"10.1.{self.number}.0/24", f"10.2.{self.number}.0/24"

    def tandem_config(self, common):
        local, remote = self.networks or self.prefixes
        proposals = f'ike = [ "{self.ike}" ]; esp = [ "{self.esp}" ];' if self.ike else ""
        start = "boot" if self.starter == "a" else "respond"
        return (
            f'  {{ name = "{self.name}"; local_address = "{TANDEM_ADDRESS}"; remote_address = "{self.outer}";\n'
            f'    local = [ "{local}" ]; remote = [ "{remote}" ]; start = "{start}";\n'
            f"    {proposals} {common} {self.tandem} }}"
        )

    def strongswan_config(self):
        local, remote = self.prefixes
        child = {
            "mode": "tunnel",
            "local_ts": [remote],
            "remote_ts": [local],
            "esp_proposals": [self.esp],
            # Only when it is told to.
            "rekey_time": "0",
            "life_time": "0",
            **self.child,
        }
        connection = {
            "version": "2",
            "local_addrs": [self.outer],
            "remote_addrs": [TANDEM_ADDRESS],
            "proposals": [self.ike],
            "rekey_time": "0",
            "reauth_time": "0",
            "local": self.local,
            "remote": self.remote,
            "children": {self.name: child},
            **self.more,
        }
        return {self.name: connection}


def psk_tunnel(name, number, starter, ike, esp, **more):
    """Authenticated by the file tunnel.psk, and by addresses."""
    parts = {"local": {"auth": "psk"}, "remote": {"auth": "psk"}, "tandem": 'psk_file = "@DIR@/tunnel.psk";', **more}
    return Tunnel(name=name, number=number, starter=starter, ike=ike, esp=esp, **parts)


class InteropLab(Lab):
    """common: keys of all tunnels of tandem. Nothing runs before start()."""

    def __init__(self, tunnels, common="", settings="", files=None, log_levels=""):
        self.tunnels = {tunnel.name: tunnel for tunnel in tunnels}
        self.common, self.files = common, files or {}
        self.settings, self.log_levels = settings, log_levels
        super().__init__()

    def _build(self):
        super()._build()
        # Its kernel is the gateway now.
        other = self.gw_b.namespace
        other.run("nft", "delete", "table", "netdev", "tandem")
        other.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        other.ip("address", "add", "10.2.0.1/16", "dev", "in0")
        for tunnel in self.tunnels.values():
            other.ip("address", "add", f"{tunnel.outer}/24", "dev", "out0")
            # kernel-libipsec refuses a policy without an address of its own within it.
            other.ip("address", "add", f"10.2.{tunnel.number}.1/16", "dev", "in0")
            for host, address in zip((self.host_a, self.host_b), tunnel.inner):
                host.ip("address", "add", f"{address}/16", "dev", "eth0")
        self.strongswan = StrongSwan(other, self.settings, self.log_levels)
        self._undo.callback(self.strongswan.close)
        self.gw_a.daemon = Daemon(self.gw_a.namespace.name, self._tandem_config(), "gw-a", self.build_dir, self.files)
        self._undo.callback(self.gw_a.daemon.cleanup)

    def _tandem_config(self):
        tunnels = ",\n".join(tunnel.tandem_config(self.common) for tunnel in self.tunnels.values())
        return f"""worker: {{ count = 1; idle = "adaptive"; }};
memory: {{ hugepages = false; size_mb = 768; file_prefix = "@PREFIX@"; }};
control: {{ socket = "@SOCKET@"; state_dir = "@DIR@"; }};
ports = (
  {{ name = "inside"; device = "net_af_packet0,iface=in0,{DEVICE}"; role = "inside"; addresses = [ "10.1.0.1/16" ]; }},
  {{ name = "outside"; device = "net_af_packet1,iface=out0,{DEVICE}"; role = "outside";
    addresses = [ "{TANDEM_ADDRESS}/24" ]; }}
);
tunnels = (
{tunnels}
);
policies = ( {{ action = "bypass"; direction = "both"; local = "{TANDEM_ADDRESS}/32"; remote = "192.0.2.0/24"; }},
  {{ action = "bypass"; direction = "both"; local = "10.1.0.1/32"; remote = "10.1.0.0/16"; }} );
"""

    def start_strongswan(self):
        """credentials() of the caller come next."""
        self.strongswan.start()
        self.strongswan.route("10.1.0.0/16")

    def load_connections(self):
        for tunnel in self.tunnels.values():
            self.strongswan.load(tunnel.strongswan_config())

    def start_tandem(self):
        self.gw_a.daemon.start()
        self.gw_a.daemon.wait_ready()
        self.events = Rpc(self.gw_a.daemon.socket_path)
        self._undo.callback(self.events.close)
        self.events.subscribe()

    def tandem_tunnels(self):
        return {one["name"]: one for one in self.gw_a.rpc.call("tunnel.list")["tunnels"]}

    def wait_established(self, names=None, timeout=60.0):
        """At both ends. (A child that is not routed yet at strongSwan is "INSTALLED" as well.)"""
        names = set(names or self.tunnels)

        def missing():
            here = {name for name, one in self.tandem_tunnels().items() if one["established"]}
            there = {
                child["name"]
                for _, sa in self.strongswan.sas()
                for child in sa["child-sas"].values()
                if child["state"] == "INSTALLED"
            }
            return names - (here & there)

        try:
            wait_until(lambda: not missing(), "tunnels", timeout, interval=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; missing: {sorted(missing())}\n{self.diagnosis()}") from None

    def diagnosis(self):
        return f"strongSwan:\n{self.strongswan.log()[-6000:]}\n{super().diagnosis()}"

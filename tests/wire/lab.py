# SPDX-License-Identifier: BSD-3-Clause
"""Two hosts and two gateways, each in a network namespace of its own:

    host-a 10.1.0.2 -- in0 [gw-a] out0 -- out0 [gw-b] in0 -- 10.2.0.2 host-b
              10.1.0.1 ^      ^ 192.0.2.1  ^ 192.0.2.2  ^ 10.2.0.1

A tandemd runs in each gateway. Its addresses live on the TAPs ("inside", "outside"); the veth ends carry none, and an
ingress hook hides their frames from the kernel, which would otherwise answer beside the gateway.
"""

import contextlib
import json
import os
import time

from daemon import Daemon
from netns import Namespace, run

HOST_MTU = 1400  # leaves room for the ESP headers within the gateways' 1500
# Sanitizer builds forward more slowly than two cores of a small machine can be asked to.
SLOW = os.environ.get("TANDEM_SLOW") == "1"

def wait_until(condition, what, timeout=30.0, interval=0.02):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)


class LabNamespace(Namespace):
    def __init__(self, role):
        super().__init__(role)
        # The value may be inherited from a host that routes; here only the gateway may forward.
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=0")

    def command(self, *command):
        """A command line that runs in here and dies with its parent."""
        return ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.name, *command]


def offloads_off(namespace, interface):
    """Checksums on a veth are left to the receiver unless told otherwise; ESP would seal them unfinished."""
    features = ("rx", "tx", "sg", "tso", "gso", "gro")
    namespace.run("ethtool", "-K", interface, *(word for name in features for word in (name, "off")))


def link(left, left_name, right, right_name):
    """Connects two namespaces by a veth pair; both ends are up."""
    run("ip", "link", "add", left_name, "netns", left.name, "type", "veth", "peer", "name", right_name, "netns", right.name)
    for namespace, name in ((left, left_name), (right, right_name)):
        offloads_off(namespace, name)
        namespace.run("ip", "link", "set", "dev", name, "addrgenmode", "none", "up")


class Gateway:
    """What differs between the two gateways, and the daemon once it runs."""

    def __init__(self, side, namespace):
        own, other = (1, 2) if side == "a" else (2, 1)
        self.side = side
        self.tunnel = "b" if side == "a" else "a"
        self.namespace = namespace
        self.inside_address = f"10.{own}.0.1"
        self.outside_network = "192.0.2"
        self.outside_address = f"192.0.2.{own}"
        self.peer_address = f"192.0.2.{other}"
        self.local, self.remote = f"10.{own}.0.0/24", f"10.{other}.0.0/24"
        self.daemon = None

    def move(self, network):
        """Another network outside."""
        self.outside_network = network
        self.outside_address = f"{network}.{1 if self.side == 'a' else 2}"

    @property
    def rpc(self):
        return self.daemon.rpc

    @staticmethod
    def _bypass(local, remote):
        return f'{{ action = "bypass"; direction = "both"; local = "{local}/32"; remote = "{remote}"; }}'

    def config(self, workers=1, queue_pairs=1, drain_ms=None, policies=(), more_tunnels=0, tunnel_keys="", device_keys="", frames=4096):
        # The ring of the default 512 frames overflows when a loaded machine leaves the worker alone for a while.
        device = f"framecnt={frames},qpairs={queue_pairs}{device_keys}"
        # The gateway talks to its own links in plaintext.
        own = (self._bypass(self.outside_address, f"{self.outside_network}.0/24"), self._bypass(self.inside_address, self.local))
        drain = f"drain_ms = {drain_ms}; " if drain_ms is not None else ""
        # Without prefixes: they are there to have SAs.
        more = "".join(
            f',\n  {{ name = "m{number}"; local_address = "{self.outside_address}"; '
            f'remote_address = "198.18.{number >> 8}.{number & 255}"; }}'
            for number in range(more_tunnels)
        )
        return f"""worker: {{ count = {workers}; idle = "adaptive"; }};
memory: {{ hugepages = false; size_mb = 768; file_prefix = "@PREFIX@"; }};
control: {{ socket = "@SOCKET@"; state_dir = "@DIR@"; }};
ports = (
  {{ name = "inside"; device = "net_af_packet0,iface=in0,{device}"; role = "inside";
    addresses = [ "{self.inside_address}/24" ]; }},
  {{ name = "outside"; device = "net_af_packet1,iface=out0,{device}"; role = "outside";
    addresses = [ "{self.outside_address}/24" ]; }}
);
tunnels = (
  {{ name = "{self.tunnel}"; local_address = "{self.outside_address}"; remote_address = "{self.peer_address}";
    {drain}{tunnel_keys}local = [ "{self.local}" ]; remote = [ "{self.remote}" ]; }}{more}
);
policies = ( {", ".join((*own, *policies))} );
"""

    def drops(self):
        return {drop["reason"]: drop["packets"] for drop in self.rpc.call("drop.list")["drops"] if drop["packets"]}


class Lab:
    """Use as a context manager. The daemons are started by start_daemons()."""

    def __init__(self, build_dir=None):
        self.build_dir = build_dir
        self._undo = contextlib.ExitStack()
        try:
            self._build()
        except BaseException:
            self._undo.close()
            raise

    def _build(self):
        self.host_a, self.host_b = self._namespace("host-a"), self._namespace("host-b")
        self.gw_a, self.gw_b = Gateway("a", self._namespace("gw-a")), Gateway("b", self._namespace("gw-b"))
        self._join()
        for host, gateway in ((self.host_a, self.gw_a), (self.host_b, self.gw_b)):
            host.address = gateway.inside_address[:-1] + "2"
            link(host, "eth0", gateway.namespace, "in0")
            host.run("ip", "link", "set", "dev", "eth0", "mtu", str(HOST_MTU))
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
            host.run("ip", "route", "add", "default", "via", gateway.inside_address)
            gateway.namespace.hide_from_kernel("in0", "out0")

    def _join(self):
        """Connects the gateways. middle: where the frames arrive that they exchange."""
        link(self.gw_a.namespace, "out0", self.gw_b.namespace, "out0")
        self.middle = [(gateway.namespace, "out0") for gateway in self.gateways]

    def _namespace(self, role):
        namespace = LabNamespace(role)
        self._undo.callback(namespace.delete)
        return namespace

    @property
    def gateways(self):
        return self.gw_a, self.gw_b

    def start_daemons(self, keys=None, files=None, **config):
        """keys: more keys of the tunnel by side, e.g. {"a": 'start = "boot"; '}."""
        for gateway in self.gateways:
            more = {"tunnel_keys": keys[gateway.side]} if keys else {}
            text = gateway.config(**config, **more)
            gateway.daemon = Daemon(gateway.namespace.name, text, f"gw-{gateway.side}", self.build_dir, files)
            # After a test that failed half way; stop_daemons() is what checks the exit.
            self._undo.callback(gateway.daemon.cleanup)
            gateway.daemon.start()
        for gateway in self.gateways:
            gateway.daemon.wait_ready()

    def lose_ike(self, percent):
        """Loses so many of the gateways' IKE messages, at random. For daemons with device_keys=",qdisc_bypass=0"."""
        some = f"numgen random mod 100 < {percent} " if percent < 100 else ""
        for gateway in self.gateways:
            table = "add table netdev loss; add chain netdev loss egress { type filter hook egress device out0 priority 0; }; "
            rule = f"add rule netdev loss egress udp dport 500 {some}counter drop"
            gateway.namespace.run("nft", table + rule)

    def lost_ike(self):
        """How many that were."""
        counts = [gateway.namespace.run("nft", "-j", "list", "table", "netdev", "loss").stdout for gateway in self.gateways]
        rules = [entry["rule"] for count in counts for entry in json.loads(count)["nftables"] if "rule" in entry]
        return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)

    def stop_daemons(self):
        """Stops both; raises DaemonError if one did not end cleanly or its sanitizer reported."""
        daemons = [gateway.daemon for gateway in self.gateways]
        try:
            daemons[0].stop_checked()
        finally:
            daemons[1].stop_checked()

    def wait_path(self, timeout=30.0):
        """Waits until a ping goes from host to host and back: every neighbour is known then."""

        def ping():
            # -W is the only pacing needed: an attempt lasts until its answer or for this second.
            done = self.host_a.run("ping", "-nc1", "-W1", self.host_b.address, check=False)
            return done.returncode == 0

        wait_until(ping, f"ping from {self.host_a.address} to {self.host_b.address}", timeout)

    def diagnosis(self):
        """What the gateways counted and wrote, for a message about a failure."""
        parts = []
        for gateway in self.gateways:
            if gateway.daemon is None:
                continue
            drops = "not to be had"
            with contextlib.suppress(OSError, ValueError):
                drops = gateway.drops()
            parts.append(f"gw-{gateway.side}: drops {drops}\n{gateway.daemon.stderr()[-4000:]}")
        return "\n".join(parts)

    def close(self):
        self._undo.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class NatLab(Lab):
    """The same, but between the gateways a router hides gw-a behind its own address and other ports:

    [gw-a] out0 192.0.2.1 -- 192.0.2.254 in0 [nat] out0 203.0.113.1 -- 203.0.113.2 out0 [gw-b]
    """

    def _join(self):
        self.nat = self._namespace("nat")
        self.gw_b.move("203.0.113")
        self.gw_a.peer_address, self.gw_b.peer_address = self.gw_b.outside_address, "203.0.113.1"
        link(self.gw_a.namespace, "out0", self.nat, "in0")
        link(self.nat, "out0", self.gw_b.namespace, "out0")
        # Here the ports are those of IKE, and what gw-a sends can be seen.
        self.middle = [(self.gw_a.namespace, "out0"), (self.nat, "in0")]
        for address, name in (("192.0.2.254", "in0"), ("203.0.113.1", "out0")):
            self.nat.ip("address", "add", f"{address}/24", "dev", name)
        self.nat.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        hide = "add chain ip nat post { type nat hook postrouting priority 100; }; "
        self.nat.run("nft", f'add table ip nat; {hide}add rule ip nat post oif "out0" meta l4proto udp masquerade to :20000-29999')

    def start_daemons(self, *arguments, **named):
        super().start_daemons(*arguments, **named)
        self.gw_a.namespace.ip("route", "replace", "203.0.113.0/24", "via", "192.0.2.254")

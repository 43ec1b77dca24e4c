# SPDX-License-Identifier: BSD-3-Clause
"""A path that becomes narrower under a TCP transfer: a router between the gateways says so for the outer packets, the
gateway for the inner ones, and the host's TCP goes on with segments that fit."""

import socket
import struct
import unittest

from controller import Controller
from daemon import Daemon
from lab import Gateway, Lab, LabNamespace, link, wait_until
from rpc import Rpc
from traffic import Traffic

TCP_PORT = 7001
TCP_RATE = 1 << 20
ESP_BYTES = 8 + 8 + 16  # SPI and sequence number, IV, ICV of AES-GCM
ETH_P_ALL = 3


class RoutedGateway(Gateway):
    """Its outside network ends at the router."""

    def __init__(self, side, namespace, ipv6):
        super().__init__(side, namespace)
        own, other = (1, 2) if side == "a" else (2, 1)
        if ipv6:
            self.inside_address, self.local, self.remote = f"fd00:{own}::1", f"fd00:{own}::/64", f"fd00:{other}::/64"
            networks = [f"2001:db8:{number}::" for number in (own, other)]
            self.length = 64
        else:
            networks = [f"192.0.{number}." for number in (own + 1, other + 1)]
            self.length = 24
        self.outside_address, self.peer_address = (f"{network}1" for network in networks)
        self.router_address = f"{networks[0]}2"
        zero = "" if ipv6 else "0"
        self.outside_network, self.peer_network = (f"{network}{zero}/{self.length}" for network in networks)

    def routed_config(self):
        return f"""worker: {{ count = 1; idle = "adaptive"; }};
memory: {{ hugepages = false; size_mb = 768; file_prefix = "@PREFIX@"; }};
control: {{ socket = "@SOCKET@"; }};
ports = (
  {{ name = "inside"; device = "net_af_packet0,iface=in0,framecnt=4096"; role = "inside";
    addresses = [ "{self.inside_address}/{self.length}" ]; }},
  {{ name = "outside"; device = "net_af_packet1,iface=out0,framecnt=4096"; role = "outside";
    addresses = [ "{self.outside_address}/{self.length}" ]; }}
);
routes = ( {{ to = "{self.peer_network}"; via = "{self.router_address}"; }},
  {{ to = "{self.remote}"; via = "{self.router_address}"; }} );
tunnels = (
  {{ name = "{self.tunnel}"; local_address = "{self.outside_address}"; remote_address = "{self.peer_address}";
    local = [ "{self.local}" ]; remote = [ "{self.remote}" ]; }}
);
"""


class RoutedLab(Lab):
    """host-a -- gw-a -- router -- gw-b -- host-b, every link of 1500 bytes."""

    def __init__(self, ipv6):
        self.ipv6 = ipv6
        super().__init__()

    def _namespace(self, role):
        namespace = super()._namespace(role)
        if self.ipv6:
            names = ("accept_dad=0", "dad_transmits=0", "router_solicitations=0", "accept_ra=0", "disable_ipv6=0")
            settings = [f"net.ipv6.conf.{scope}.{name}" for scope in ("all", "default") for name in names]
            namespace.run("sysctl", "-qw", *settings)
        return namespace

    def _build(self):
        self.host_a, self.host_b = self._namespace("host-a"), self._namespace("host-b")
        self.gw_a, self.gw_b = (RoutedGateway(side, self._namespace(f"gw-{side}"), self.ipv6) for side in "ab")
        self.router = self._namespace("router")
        family = "ipv6.conf.all.forwarding" if self.ipv6 else "ipv4.ip_forward"
        self.router.run("sysctl", "-qw", f"net.{family}=1")
        for host, gateway, side in ((self.host_a, self.gw_a, "left"), (self.host_b, self.gw_b, "right")):
            host.address = gateway.inside_address[:-1] + "2"
            self._join(host, "eth0", gateway, "in0", f"{host.address}/{gateway.length}")
            host.run("ip", "route", "add", "default", "via", gateway.inside_address)
            self._join(self.router, side, gateway, "out0", f"{gateway.router_address}/{gateway.length}")
            if self.ipv6:
                # Without one Linux asks for no neighbour of a packet that it forwards.
                self.router.run("ip", "address", "add", "fe80::2/64", "dev", side)
            gateway.namespace.hide_from_kernel("in0", "out0")

    @staticmethod
    def _join(namespace, name, gateway, gateway_name, address):
        link(namespace, name, gateway.namespace, gateway_name)
        namespace.run("ip", "address", "add", address, "dev", name)

    def start_routed(self):
        for gateway in self.gateways:
            gateway.daemon = Daemon(gateway.namespace.name, gateway.routed_config(), f"gw-{gateway.side}", self.build_dir)
            self._undo.callback(gateway.daemon.cleanup)
            gateway.daemon.start()
        for gateway in self.gateways:
            gateway.daemon.wait_ready()


class PathMtu(unittest.TestCase):
    def transfer_over_a_path_that_shrinks(self, ipv6, narrow, outer_bytes, inner_bytes):
        lab = RoutedLab(ipv6)
        self.addCleanup(lab.close)
        lab.start_routed()
        controller = Controller(lab)
        self.addCleanup(controller.close)
        controller.install()
        lab.wait_path()
        events = Rpc(lab.gw_a.daemon.socket_path)
        self.addCleanup(events.close)
        events.subscribe()
        common = ("--address", lab.host_b.address, "--port", TCP_PORT)
        receiver = Traffic(lab.host_b, "tcp-receive", *common)
        self.addCleanup(receiver.close)
        sender = Traffic(lab.host_a, "tcp-send", *common, "--rate", TCP_RATE)
        self.addCleanup(sender.close)

        def inner_mtu(outer_mtu):
            # The padding aligns to four bytes; pad length and next header are the last two of them.
            return (outer_mtu - outer_bytes - ESP_BYTES) // 4 * 4 - 2

        # The gateway tells the host what fits its own link, behind ESP.
        self.wait_segments(lab, sender, inner_mtu(1500), inner_bytes)
        lab.router.run("ip", "link", "set", "dev", "right", "mtu", str(narrow))
        event = events.wait_event("path_mtu", 30)
        self.assertEqual((event["mtu"], event["tunnel"], event["source"]), (narrow, "b", lab.gw_a.router_address))
        self.wait_segments(lab, sender, inner_mtu(narrow), inner_bytes)
        sent, received = sender.stop(), receiver.stop()
        self.assertEqual([one["error"] for one in (sent, received)], [None, None])
        self.assertTrue(received["end"])
        self.assertEqual(received["sha256"], sent["sha256"])
        self.assertEqual(lab.gw_a.rpc.call("tunnel.list")["tunnels"][0]["pmtu"], narrow)
        self.assertEqual(lab.gw_b.rpc.call("tunnel.list")["tunnels"][0]["pmtu"], 0, "its way is as wide as before")
        controller.close()
        lab.stop_daemons()

    def wait_segments(self, lab, sender, mtu, inner_bytes):
        """Waits until TCP knows this path MTU, and its full segments arrive."""
        wait_until(lambda: sender.status()["pmtu"] == mtu, f"path MTU {mtu} at the sending host")
        # Time stamps are the 12 bytes of options.
        self.assertEqual(sender.status()["mss"], mtu - inner_bytes - 12)
        start = 14 + (4 if lab.ipv6 else 2)
        lacks = 40 if lab.ipv6 else 0  # the payload length of IPv6 leaves the header out
        with lab.host_b.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as watch:
            watch.bind(("eth0", ETH_P_ALL))
            watch.settimeout(30)
            while True:
                frame, address = watch.recvfrom(2048)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                if struct.unpack_from("!H", frame, start)[0] + lacks == mtu:
                    break

    def test_ipv4(self):
        self.transfer_over_a_path_that_shrinks(False, 1300, 20, 40)

    def test_ipv6(self):
        self.transfer_over_a_path_that_shrinks(True, 1400, 40, 60)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""One gateway between two raw ends: this process is the host on the inside and the peer on the outside, frame
by frame.

    peer namespace: in1 ---veth--- in0 [tandemd "inside" ... "outside"] out0 ---veth--- out1 :peer namespace
"""

import itertools
import json
import os
import select
import socket
import struct
import time
import unittest

from daemon import Daemon
from esp import PeerSa, esp_header, esp_offset, forwarded, ip_bytes, suite_named, udp_of_length
from netns import Namespace

TIMEOUT_S = 20.0
ETH_P_ALL = 3
ETH_IP = 0x0800
ETH_IPV6 = 0x86DD
ETH_ARP = 0x0806
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
BURST = 128  # frames that the gateway's receive ring surely holds

GATEWAY_INSIDE, GATEWAY_OUTSIDE = "10.1.0.1", "192.0.2.1"
HOST, PEER = "10.1.0.2", "192.0.2.2"
REMOTE_HOST = "10.2.0.5"
GATEWAY_INSIDE6, GATEWAY_OUTSIDE6 = "fd00:1::1", "2001:db8::1"
HOST6, PEER6 = "fd00:1::2", "2001:db8::2"
REMOTE_HOST6 = "fd00:2::5"
HOST_MAC, PEER_MAC = "02:00:00:00:01:02", "02:00:00:00:02:02"

CONFIG = """
worker: {{ count = {workers}; idle = "adaptive"; }};
memory: {{ hugepages = false; size_mb = {memory}; file_prefix = "@PREFIX@"; }};
control: {{ socket = "@SOCKET@"; }};
ports = (
  {{ name = "inside"; device = "{driver}0,iface=in0{arguments}"; role = "inside"; addresses = [ {inside} ]; }},
  {{ name = "outside"; device = "{driver}1,iface=out0{arguments}"; role = "outside"; addresses = [ {outside} ]; }}
);
routes = ( {{ to = "198.51.100.0/24"; via = "192.0.2.2"; }} );
policies = ( {policies} );
tunnels = ( {tunnels} );
"""
# The gateway talks to its outside link in plaintext. Its inside link needs no policy.
OWN_LINK = '{ action = "bypass"; direction = "both"; local = "192.0.2.1/32"; remote = "192.0.2.0/24"; }'
# The same for IPv6; the kernel reports the groups that it listens to (RFC 3810).
OWN_LINK6 = (
    '{ action = "bypass"; direction = "out"; remote = "ff02::/16"; }, '
    '{ action = "bypass"; direction = "both"; local = "2001:db8::1/128"; remote = "2001:db8::2/128"; }'
)


class Tunnel:
    """One entry of tunnels, and what the other end needs to know about its SAs. local and remote are lists of
    networks, keys any other keys of the entry."""

    def __init__(self, name, local=(), remote=(), ends=(GATEWAY_OUTSIDE, PEER), transport=False, ports=None, **keys):
        self.name, self.ends, self.transport, self.ports = name, ends, transport, ports
        self.keys = {"name": name, "local_address": ends[0], "remote_address": ends[1]}
        if local:
            self.keys |= {"local": list(local), "remote": list(remote)}
        if transport:
            self.keys["mode"] = "transport"
        if ports:
            self.keys |= {"udp_local_port": ports[0], "udp_remote_port": ports[1]}
        self.keys |= keys

    def config(self):
        # JSON's strings, numbers and arrays are libconfig's too.
        return "{ " + " ".join(f"{key} = {json.dumps(value)};" for key, value in self.keys.items()) + " }"

    def peer_sa(self, direction, spi, suite, key, esn):
        ours, theirs = self.ends
        ports = self.ports
        if direction == "in":
            return PeerSa(spi, suite, key, theirs, ours, esn, self.transport, ports and ports[::-1])
        return PeerSa(spi, suite, key, ours, theirs, esn, self.transport, ports)


TUNNELS = (
    Tunnel("b", ["10.1.0.0/24"], ["10.2.0.0/24"]),
    Tunnel("c", ["10.1.0.0/24"], ["10.3.0.0/24"]),
)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def gateway_config(
    workers=1, policies=(OWN_LINK,), driver="net_af_packet", arguments="", tunnels=TUNNELS, ipv6=False, memory=768
):
    inside, outside = [f"{GATEWAY_INSIDE}/24"], [f"{GATEWAY_OUTSIDE}/24"]
    if ipv6:
        inside.append(f"{GATEWAY_INSIDE6}/64")
        outside.append(f"{GATEWAY_OUTSIDE6}/64")
    return CONFIG.format(
        workers=workers, policies=", ".join(policies), driver=driver, arguments=arguments, memory=memory,
        inside=json.dumps(inside)[1:-1], outside=json.dumps(outside)[1:-1],
        tunnels=", ".join(tunnel.config() for tunnel in tunnels),
    )


def fragment_config(**options):
    """A gateway that sees single fragments: net_af_packet has the kernel put them together first."""
    return gateway_config(driver="net_pcap", arguments=",phy_mac=1", **options)


class Wire:
    """The far end of one of the gateway's links, as a packet socket."""

    def __init__(self, namespace, interface, mac):
        self.mac = mac_bytes(mac)
        self.gateway_mac = None
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setblocking(False)

    def close(self):
        self._socket.close()

    def send_frame(self, frame):
        self._socket.send(frame)

    def send(self, packet, ethertype=None, dst=None, src=None):
        """A packet to the gateway's MAC."""
        if ethertype is None:
            ethertype = ETH_IPV6 if packet[0] >> 4 == 6 else ETH_IP
        self.send_frame((dst or self.gateway_mac) + (src or self.mac) + struct.pack("!H", ethertype) + packet)

    def receive(self, timeout):
        """The next frame that the gateway sent, or None."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                frame, address = self._socket.recvfrom(1 << 16)
                if address[2] != PACKET_OUTGOING:
                    return frame
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                select.select([self._socket], [], [], left)

    def pending(self, timeout=0):
        """All frames that come until none does for so long."""
        return list(iter(lambda: self.receive(timeout), None))

    def flush(self):
        self.pending()

    def until(self, match, timeout=TIMEOUT_S):
        """Waits for a frame for which match(frame) holds. Returns the frames before it, and it."""
        deadline = time.monotonic() + timeout
        others = []
        while True:
            frame = self.receive(max(0, deadline - time.monotonic()))
            if frame is None:
                raise AssertionError(f"the frame did not come; others: {[f.hex() for f in others[:8]]}")
            if match(frame):
                return others, frame
            others.append(frame)

    def expect(self, match, timeout=TIMEOUT_S):
        return self.until(match, timeout)[1]

    def expect_packet(self, packet, timeout=TIMEOUT_S):
        """Waits for exactly this IP packet. Returns the packets of its family that came before it."""
        kind = ETH_IPV6 if packet[0] >> 4 == 6 else ETH_IP
        others, _ = self.until(lambda frame: ethertype_of(frame) == kind and frame[14:] == packet, timeout)
        return [frame[14:] for frame in others if ethertype_of(frame) == kind and not is_own_group(frame)]

    def expect_packets(self, packets, timeout=TIMEOUT_S):
        """Waits for these IP packets, in any order."""
        missing = set(packets)
        deadline = time.monotonic() + timeout
        while missing:
            frame = self.receive(max(0, deadline - time.monotonic()))
            if frame is None:
                raise AssertionError(f"{len(missing)} of {len(packets)} did not come: {[p.hex() for p in missing][:4]}")
            missing.discard(frame[14:])

    def expect_esp(self, spi=None, timeout=TIMEOUT_S):
        """Waits for an ESP packet (of this SPI); returns it from the outer IP header on."""
        return self.expect(lambda frame: is_esp(frame, spi), timeout)[14:]

    def send_arp(self, operation, sender_ip, target_ip, target_mac=b"\0" * 6, sender_mac=None):
        body = struct.pack("!HHBBH", 1, ETH_IP, 6, 4, operation)
        body += (sender_mac or self.mac) + ip_bytes(sender_ip) + target_mac + ip_bytes(target_ip)
        self.send(body, ETH_ARP, dst=b"\xff" * 6 if operation == 1 else target_mac)


def ethertype_of(frame):
    return struct.unpack("!H", frame[12:14])[0]


def is_own_group(frame):
    """What the gateway's kernel tells its IPv6 link about itself."""
    return frame[:2] == b"\x33\x33"


def is_ip(frame):
    return ethertype_of(frame) in (ETH_IP, ETH_IPV6) and not is_own_group(frame)


def is_esp(frame, spi=None):
    if not is_ip(frame) or esp_offset(frame[14:]) is None:
        return False
    return spi is None or esp_header(frame[14:])[0] == spi


def is_arp(frame, operation, target_ip=None, sender_ip=None):
    if ethertype_of(frame) != ETH_ARP or struct.unpack("!H", frame[20:22])[0] != operation:
        return False
    if target_ip is not None and frame[38:42] != ip_bytes(target_ip):
        return False
    return sender_ip is None or frame[28:32] == ip_bytes(sender_ip)


class Gateway:
    """Namespaces, links and the daemon. start() leaves a ready gateway that knows both neighbours."""

    def __init__(self, config_text=None, build_dir=None, tunnels=TUNNELS):
        config_text = config_text or gateway_config()
        self.tunnels = {tunnel.name: tunnel for tunnel in tunnels}
        self.ipv6 = GATEWAY_OUTSIDE6 in config_text
        self._undo = []
        self._spis = itertools.count(0x1001)
        try:
            self.namespace = self._made(Namespace("gw"), "delete")
            self.peers = self._made(Namespace("peers"), "delete")
            self._make_link("in0", "in1", HOST_MAC)
            self._make_link("out0", "out1", PEER_MAC)
            self.namespace.hide_from_kernel("in0", "out0")
            if self.ipv6:
                self._enable_ipv6()
            self.inside = self._made(Wire(self.peers, "in1", HOST_MAC), "close")
            self.outside = self._made(Wire(self.peers, "out1", PEER_MAC), "close")
            self.inside.gateway_mac = self._mac_of("in0")
            self.outside.gateway_mac = self._mac_of("out0")
            self.daemon = self._made(Daemon(self.namespace.name, config_text, "gw", build_dir), "cleanup")
        except BaseException:
            self.close()
            raise

    def _made(self, thing, undo):
        self._undo.append(getattr(thing, undo))
        return thing

    def _make_link(self, near, far, far_mac):
        self.namespace.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", self.peers.name)
        self.namespace.ip("link", "set", near, "addrgenmode", "none", "up")
        self.peers.ip("link", "set", far, "address", far_mac, "addrgenmode", "none", "up")

    def _enable_ipv6(self):
        # Addresses are good at once, and the kernel asks its links nothing.
        names = ("accept_dad=0", "dad_transmits=0", "router_solicitations=0", "accept_ra=0", "disable_ipv6=0")
        settings = [f"net.ipv6.conf.{scope}.{name}" for scope in ("all", "default") for name in names]
        self.namespace.run("sysctl", "-qw", *settings)

    def _mac_of(self, link):
        text = self.namespace.run("cat", f"/sys/class/net/{link}/address").stdout.strip()
        return mac_bytes(text)

    def start(self):
        try:
            self.daemon.start().wait_ready()
            self.set_neighbour("inside", HOST, HOST_MAC)
            self.set_neighbour("outside", PEER, PEER_MAC)
            if self.ipv6:
                self.set_neighbour("inside", HOST6, HOST_MAC)
                self.set_neighbour("outside", PEER6, PEER_MAC)
        except BaseException:
            self.close()
            raise
        return self

    def set_neighbour(self, port, address, mac):
        self.namespace.ip("neigh", "replace", address, "lladdr", mac, "dev", port, "nud", "permanent")

    @property
    def rpc(self):
        return self.daemon.rpc

    def close(self):
        """Undoes everything, whatever state it is in."""
        while self._undo:
            self._undo.pop()()

    def close_checked(self):
        """Stops the daemon, which must end cleanly, and undoes everything."""
        try:
            self.daemon.stop_checked()
        finally:
            self.close()

    # ---- SAs -------------------------------------------------------------------------------------

    def new_sa(self, direction, suite="aes128gcm16", esn=False, spi=None, tunnel="b"):
        """A PeerSa that the gateway does not have yet."""
        key = os.urandom(suite_named(suite).key_bytes)
        spi = next(self._spis) if spi is None else spi
        return self.tunnels[tunnel].peer_sa(direction, spi, suite, key, esn)

    def add(self, sa, direction, tunnel="b", **fields):
        return self.rpc.call("sa.add", self.request(sa, direction, tunnel, **fields))

    @staticmethod
    def request(sa, direction, tunnel="b", **fields):
        return {
            "spi": sa.spi, "direction": direction, "tunnel": tunnel, "suite": sa.suite, "key": sa.key.hex(),
            "esn": sa.esn, **fields,
        }

    def add_in(self, suite="aes128gcm16", esn=False, tunnel="b", **fields):
        sa = self.new_sa("in", suite, esn, tunnel=tunnel)
        self.add(sa, "in", tunnel, **fields)
        return sa

    def add_out(self, suite="aes128gcm16", esn=False, tunnel="b", activate=True, **fields):
        sa = self.new_sa("out", suite, esn, tunnel=tunnel)
        self.add(sa, "out", tunnel, activate=activate, **fields)
        return sa

    def delete_all_sas(self):
        names = [
            {"spi": sa["spi"], "direction": sa["direction"], "tunnel": sa["tunnel"]}
            for sa in self.rpc.call("sa.list")["sas"]
        ]
        if names:
            self.rpc.call("sa.delete", {"sas": names, "force": True})

    def sa_state(self, sa, direction):
        """The SA's row of sa.list, or None."""
        for row in self.rpc.call("sa.list")["sas"]:
            if row["spi"] == sa.spi and row["direction"] == direction:
                return row
        return None

    def drops(self):
        """Reason to packets."""
        rows = self.rpc.call("drop.list", {"all": True})["drops"]
        return {row["reason"]: row["packets"] for row in rows}


def drops_between(before, after):
    return {reason: after[reason] - before[reason] for reason in after if after[reason] != before[reason]}


@unittest.skipUnless(os.geteuid() == 0, "needs root: makes network namespaces")
class GatewayTestCase(unittest.TestCase):
    """One gateway for the tests of a class; each test starts without SAs and with empty wires."""

    config_text = None
    tunnels = TUNNELS

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(cls.config_text, tunnels=cls.tunnels)
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.close_checked()

    def setUp(self):
        self.assertIsNone(self.gateway.daemon.process.poll(), self.gateway.daemon.stderr())
        self.gateway.delete_all_sas()
        self.inside, self.outside = self.gateway.inside, self.gateway.outside
        self.inside.flush()
        self.outside.flush()
        self._tags = itertools.count(1)

    def eventually(self, read, expected, message="", timeout=TIMEOUT_S):
        """Waits until read() returns what is expected."""
        deadline = time.monotonic() + timeout
        while True:
            value = read()
            if value == expected:
                return
            if time.monotonic() > deadline:
                self.assertEqual(value, expected, message)
            time.sleep(0.01)

    def assert_drops(self, before, expected):
        """Exactly these reasons have counted exactly so many packets since before."""
        self.eventually(lambda: drops_between(before, self.gateway.drops()), expected, "drops")

    def inner_out(self, length=100, src=HOST, dst=REMOTE_HOST, **fields):
        """A new packet from the host on the inside."""
        return udp_of_length(src, dst, length, next(self._tags), **fields)

    def inner_in(self, length=100, src=REMOTE_HOST, dst=HOST, **fields):
        """A new packet from the far side's host."""
        return udp_of_length(src, dst, length, next(self._tags), **fields)

    def pass_in(self, sa, sequence=None, **fields):
        """Sends a good ESP packet and waits for its inner packet. Returns what else came inside before it."""
        inner = self.inner_in(**fields)
        self.outside.send(sa.seal(inner, sequence))
        return self.inside.expect_packet(forwarded(inner))

    def pass_out(self, sa, **fields):
        """Sends a good plain packet and waits for it as ESP. Returns what else came outside before it."""
        inner = self.inner_out(**fields)
        self.inside.send(inner)
        others, _ = self.outside.until(lambda f: is_esp(f, sa.spi) and sa.open(f[14:]) == forwarded(inner))
        return [f[14:] for f in others if is_ip(f)]

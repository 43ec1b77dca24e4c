# SPDX-License-Identifier: BSD-3-Clause
"""Two-way traffic through the lab with a watch on the middle link, and the verdict about it."""

import contextlib
import os
import time

from lab import SLOW, wait_until
from traffic import Traffic

UDP_PORT, TCP_PORT = 7000, 7001
UDP_RATE = 300 if SLOW else 1200  # packets per second each way
TCP_RATE = (256 << 10) if SLOW else (2 << 20)  # bytes per second
LAST_PACKET_S = 10.0  # how long the last packets may take once no more are sent


class Scenario:
    """with Scenario(lab) as traffic: ...; traffic.finish()"""

    def __init__(self, lab, udp_rate=UDP_RATE, tcp_rate=TCP_RATE, flows=1, last_packet_s=LAST_PACKET_S, flooded=False):
        self.lab = lab
        self.udp_rate, self.tcp_rate, self.flows = udp_rate, tcp_rate, flows
        self.last_packet_s = last_packet_s
        self.flooded = ("--flooded",) if flooded else ()
        self.results = {}
        self._undo = contextlib.ExitStack()

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_):
        self._undo.close()

    def _traffic(self, namespace, *arguments):
        process = Traffic(namespace, *arguments)
        self._undo.callback(process.close)
        return process

    def _start(self):
        a, b = self.lab.host_a, self.lab.host_b
        ends = ",".join(gateway.outside_address for gateway in self.lab.gateways)
        self.captures = [
            self._traffic(namespace, "capture", "--interface", interface, "--address", ends, *self.flooded)
            for namespace, interface in self.lab.middle
        ]
        self.receivers, self.senders = {}, {}
        for name, source, sink in (("a to b", a, b), ("b to a", b, a)):
            common = ("--address", sink.address, "--port", UDP_PORT, "--run-id", os.urandom(8).hex())
            self.receivers[name] = self._traffic(sink, "udp-receive", *common)
            # Started below, when all receivers and captures are ready.
            self.senders[name] = (source, "udp-send", *common, "--rate", self.udp_rate, "--flows", self.flows)
        self.tcp_receiver = self.tcp_sender = None
        if self.tcp_rate:
            common = ("--address", b.address, "--port", TCP_PORT)
            self.tcp_receiver = self._traffic(b, "tcp-receive", *common)
            self.tcp_sender = self._traffic(a, "tcp-send", *common, "--rate", self.tcp_rate)
        self.senders = {name: self._traffic(*arguments) for name, arguments in self.senders.items()}

    def wait_packets(self, count, timeout=60.0):
        """Waits until every direction has delivered this many more packets."""
        goals = {name: one.status()["received"] + count for name, one in self.receivers.items()}
        wait_until(
            lambda: all(self.receivers[name].status()["received"] >= goal for name, goal in goals.items()),
            f"{count} UDP packets each way",
            timeout,
            interval=0.1,
        )

    def progress(self):
        """For each direction (sent, received), the latter looked at first."""
        received = {name: receiver.status()["received"] for name, receiver in self.receivers.items()}
        return {name: (self.senders[name].status()["sent"], count) for name, count in received.items()}

    def finish(self):
        """Stops the traffic, waits for what is under way, and returns the numbers."""
        tcp = None
        if self.tcp_sender:
            tcp = {"sender": self.tcp_sender.stop(), "receiver": self.tcp_receiver.stop()}
        udp = {}
        for name, sender in self.senders.items():
            udp[name] = sender.stop()
        for name, numbers in udp.items():
            self._wait_last(self.receivers[name], numbers["sent"])
        errors = [numbers["error"] for numbers in udp.values()]
        for name, receiver in self.receivers.items():
            end = receiver.stop()
            errors.append(end.pop("error"))
            udp[name].update(end, lost=udp[name]["sent"] - end["received"])
        captures = [capture.stop() for capture in self.captures]
        errors += [capture["error"] for capture in captures]
        middle = {
            key: sum(capture[key] for capture in captures)
            for key in ("esp", "ike", "plaintext", "arp", "icmp", "other", "drops")
        }
        middle["spis"] = sorted({int(spi) for capture in captures for spi in capture["spis"]})
        middle["examples"] = [example for capture in captures for example in capture["examples"]]
        if tcp:
            errors += [tcp["sender"]["error"], tcp["receiver"]["error"]]
        self.results = {"udp": udp, "tcp": tcp, "middle": middle, "errors": [error for error in errors if error]}
        return self.results

    def _wait_last(self, receiver, sent):
        """Until all came, or nothing more comes."""
        deadline = time.monotonic() + self.last_packet_s
        received = -1
        while time.monotonic() < deadline:
            now = receiver.status()["received"]
            if now >= sent:
                return
            if now != received:
                received, deadline = now, time.monotonic() + self.last_packet_s
            time.sleep(0.05)

    def faults(self):
        """What is wrong with the results of finish(), as sentences; none when all is well."""
        results, found = self.results, list(self.results["errors"])
        for name, udp in results["udp"].items():
            if not udp["sent"]:
                found.append(f"UDP {name}: nothing was sent")
            if udp["lost"]:
                found.append(
                    f"UDP {name}: {udp['lost']} of {udp['sent']} packets lost, first gaps {udp['missing']}, "
                    f"{udp['socket_drops']} of them at the receiving socket"
                )
            for key in ("duplicates", "corrupt"):
                if udp[key]:
                    found.append(f"UDP {name}: {udp[key]} packets {key}")
        tcp = results["tcp"]
        if tcp:
            sender, receiver = tcp["sender"], tcp["receiver"]
            if not receiver["bytes"]:
                found.append("TCP: nothing arrived")
            if not receiver["end"] or sender["sha256"] != receiver["sha256"]:
                found.append(f"TCP: {sender['bytes']} bytes sent, {receiver['bytes']} arrived, or not the same")
        middle = results["middle"]
        if middle["plaintext"]:
            found.append(f"{middle['plaintext']} plaintext packets on the middle link: {middle['examples']}")
        if not middle["esp"]:
            found.append("no ESP packets on the middle link")
        if middle["drops"]:
            found.append(f"the capture missed {middle['drops']} packets, so it proves nothing")
        return found

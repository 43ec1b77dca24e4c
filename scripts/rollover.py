#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two gateways, two hosts, and key rollovers while traffic runs both ways. Exit status 0 only if no packet was lost and
none was seen in plaintext between the gateways. The gateways negotiate their keys by IKEv2, or a small controller gives
them fresh ones (--injected)."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "wire"))

from controller import Controller  # noqa: E402
from daemon import DaemonError  # noqa: E402
from flood import KINDS, Flood  # noqa: E402
from lab import SLOW, Lab, wait_until  # noqa: E402
from negotiator import FILES, Negotiator, key_files, onertt_keys, psk_keys  # noqa: E402
from rpc import RpcError  # noqa: E402
from scenario import Scenario  # noqa: E402

# The pace asked for is above the two per second that are shown, so that a busy machine stays above them, too.
ROLLOVERS_PER_SECOND = 2.5
MINIMUM_PER_SECOND = 2.0
MINIMUM_UDP_RATE = 1000
DRAIN_MS = 1000
FLOOD_FRAMES = 32768  # of a port's ring: at 100,000 packets a second a third of a second without the processor
FLOOD_SHARE = 0.9  # of what was asked for is sent, or it proves too little
PROGRESS_S = 2.0  # between lines, when the output is no terminal


class Progress:
    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.width = 0
        self.last = 0.0

    def step(self, text):
        self.end()
        print(text, flush=True)

    def line(self, text, now=False):
        """Overwrites itself on a terminal; in a log there are fewer."""
        if self.terminal:
            print("\r" + text.ljust(self.width), end="", flush=True)
            self.width = len(text)
        elif now or time.monotonic() - self.last >= PROGRESS_S:
            print(text, flush=True)
            self.last = time.monotonic()

    def end(self):
        if self.width:
            print(flush=True)
            self.width = 0


class Injected:
    """Keys from a controller, which asks for each rollover."""

    def __init__(self, lab, options):
        self.options = options
        lab.start_daemons()
        self.controller = Controller(lab)
        self.controller.install()
        self.asked_per_second = ROLLOVERS_PER_SECOND

    def begin(self):
        pass

    def roll(self, traffic, start, number):
        # Pacing only: a rollover itself waits for what happens, not for time.
        time.sleep(max(0.0, start + number / ROLLOVERS_PER_SECOND - time.monotonic()))
        self.controller.rollover(DRAIN_MS)
        return self.controller.rollovers

    def finish(self):
        wait_until(self.controller.settled, "removal of the drained SAs")

    def faults(self, results):
        if set(results["middle"]["spis"]) != self.controller.used_spis:
            return ["the ESP packets seen are not those of all keys and only those"]
        return []

    @property
    def keys(self):
        return len(self.controller.used_spis)

    def rows(self):
        return []

    def close(self):
        self.controller.close()


class Negotiated:
    """Keys by IKEv2 or in one round trip; a lifetime that is short enough brings the rollovers."""

    def __init__(self, lab, options):
        self.lab, self.options = lab, options
        life = f"rekey_ms = {options.life_ms // 2}; life_ms = {options.life_ms}; "
        onertt = options.negotiation == "onertt"
        self.files = key_files() if onertt else FILES
        lab.start_daemons(
            keys=onertt_keys(life) if onertt else psk_keys(f"retransmit_ms = 100; {life}"),
            files=self.files,
            drain_ms=DRAIN_MS,
            device_keys=",qdisc_bypass=0" if options.control_loss else "",
            **({"frames": FLOOD_FRAMES} if options.flood else {}),
        )
        self.negotiator = Negotiator(lab)
        self.negotiator.wait_up()
        self.handshake = self.measure() if onertt else None
        if options.control_loss:
            lab.lose_ike(options.control_loss)
        # Jitter makes it a little more often than this, both sides together more still.
        self.asked_per_second = 1000 / options.life_ms
        self.before = self.keys_before = 0

    def begin(self):
        """From now on they count."""
        self.negotiator.look()
        self.before, self.keys_before = self.negotiator.rollovers, len(self.negotiator.used_spis)

    def roll(self, traffic, start, number):
        deadline = time.monotonic() + 30
        while self.negotiator.rollovers - self.before < number:
            if time.monotonic() > deadline:
                raise RuntimeError("no rollover for 30 s")
            self.negotiator.look()
            time.sleep(0.02)
        return self.negotiator.rollovers - self.before

    def finish(self):
        self.negotiator.look()

    def faults(self, results):
        found = []
        unknown = set(results["middle"]["spis"]) - self.negotiator.used_spis
        if unknown and not self.negotiator.lost_events:
            found.append(f"ESP packets under {len(unknown)} keys that nobody announced")
        if self.handshake and self.handshake[0] != 2 * self.handshake[1]:
            found.append(f"{self.handshake[0]} messages in {self.handshake[1]} handshakes of one round trip")
        return found

    @property
    def keys(self):
        # Both directions' last key from before carried traffic as well.
        return len(self.negotiator.used_spis) - self.keys_before + 2

    def rows(self):
        if not self.handshake:
            return []
        came, made = self.handshake
        return [("messages per handshake", f"{came / made:g}", f"{came} in {made}")]

    def messages(self):
        """Messages of the exchange that came, of both kinds and at both gateways, and the sessions that were made."""
        stats = [gateway.rpc.call("ike.stats") for gateway in (self.lab.gw_a, self.lab.gw_b)]
        return [sum(one[f"onertt_{name}"] for one in stats for name in names) for names in (("asked", "answers"), ("answered",))]

    def measure(self, handshakes=5):
        """What handshakes take once the gateways have met: the first one may have to learn the other's clock."""
        came, made = self.messages()
        for _ in range(handshakes):
            for wanted in ("down", "up"):
                self.lab.gw_a.rpc.call(f"tunnel.{wanted}", {"tunnel": self.lab.gw_a.tunnel})
                wait_until(
                    lambda up=wanted == "up": all(self.negotiator.tunnel(side)["established"] == up for side in ("a", "b")),
                    f"the tunnel is {wanted}",
                )
        now_came, now_made = self.messages()
        return now_came - came, now_made - made

    def close(self):
        self.negotiator.close()


def roll(source, traffic, count, progress):
    """Performs, or waits for, the rollovers. Returns how many there were and how long they took."""
    start, done = time.monotonic(), 0
    while done < count:
        done = source.roll(traffic, start, done + 1)
        seen = traffic.progress()
        flows = ", ".join(f"{name} {sent} sent {received} received" for name, (sent, received) in seen.items())
        progress.line(f"  rollover {done} of {count}: UDP {flows}", now=done >= count)
    progress.end()
    return done, time.monotonic() - start


def table(results, rollovers, seconds, keys, lost):
    """Rows of the result table."""
    rows = [("rollovers", f"{rollovers}", f"{rollovers / seconds:.1f} per second")]
    for name, udp in results["udp"].items():
        rows.append((f"UDP {name}: sent", f"{udp['sent']}", f"{udp['rate']:.0f} per second"))
        rows.append((f"UDP {name}: received", f"{udp['received']}", ""))
        rows.append((f"UDP {name}: lost", f"{udp['lost']}", ""))
    tcp = results["tcp"]
    rows.append(("TCP a to b: bytes", f"{tcp['receiver']['bytes']}", f"{tcp['sender']['retransmitted'] - tcp['sender']['needless']} segments sent again after a loss"))
    same = tcp["receiver"]["end"] and tcp["sender"]["sha256"] == tcp["receiver"]["sha256"]
    rows.append(("TCP a to b: SHA-256", "the same" if same else "DIFFERENT", ""))
    middle = results["middle"]
    spis = len(set(middle["spis"]))
    rows.append(("middle link: ESP packets", f"{middle['esp']}", f"under {spis} keys of {keys}"))
    if middle["ike"]:
        rows.append(("middle link: IKE messages", f"{middle['ike']}", f"{lost} more were lost on purpose" if lost else ""))
    rows.append(("middle link: plaintext packets", f"{middle['plaintext']}", ""))
    rows.append(("middle link: missed by the capture", f"{middle['drops']}", ""))
    return rows


def print_table(rows):
    left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
    print()
    for name, value, remark in rows:
        print(f"  {name.ljust(left)}  {value.rjust(right)}  {remark}".rstrip())
    print(flush=True)


def run(lab, options, progress):
    """Runs it; prints the table; returns what went wrong as sentences."""
    try:
        return run_unguarded(lab, options, progress)
    except Exception:
        progress.end()
        print(lab.diagnosis(), file=sys.stderr)
        raise


def run_unguarded(lab, options, progress):
    source = (Injected if options.injected else Negotiated)(lab, options)
    lab.wait_path()
    progress.step(f"Two-way traffic through the tunnel, {options.rollovers} rollovers:")
    with contextlib.ExitStack() as undo:
        traffic = undo.enter_context(Scenario(lab, flooded=options.flood > 0))
        traffic.wait_packets(200)
        flood = None
        if options.flood:
            flood = undo.enter_context(Flood(lab, source.files, options.flood, options.flood_kind, options.flood_of, build_dir=options.build_dir))
        source.begin()
        rollovers, seconds = roll(source, traffic, options.rollovers, progress)
        if flood:
            flood.stop()
        traffic.wait_packets(200)
        results = traffic.finish()
        faults = traffic.faults()
    source.finish()
    lost = lab.lost_ike() if options.control_loss else 0
    print_table(table(results, rollovers, seconds, source.keys, lost) + source.rows() + (flood.rows() if flood else []))
    faults += source.faults(results)
    if flood and not SLOW:
        faults += [f"only {one['sent']} of the flood were sent in {one['seconds']:.0f} s" for one in flood.results.values()
                   if one["sent"] < FLOOD_SHARE * options.flood * one["seconds"]]
    if not SLOW and rollovers / seconds < min(MINIMUM_PER_SECOND, source.asked_per_second):
        faults.append(f"only {rollovers / seconds:.1f} rollovers per second: the machine is too busy")
    for name, udp in results["udp"].items():
        if not SLOW and udp["rate"] < MINIMUM_UDP_RATE:
            faults.append(f"UDP {name}: fewer than {MINIMUM_UDP_RATE} packets per second sent: the machine is too busy")
    if faults:
        print(lab.diagnosis(), file=sys.stderr)
    source.close()
    lab.stop_daemons()
    return faults


def end_by_signal(number, _frame):
    # An exception, so that everything is undone on the way out. A second signal must not interrupt that.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollovers", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--injected", action="store_true", help="keys from a controller instead of IKEv2")
    parser.add_argument("--negotiation", choices=("ikev2", "onertt"), default="ikev2", help="how (default ikev2)")
    parser.add_argument("--life-ms", type=int, default=800, help="lifetime of a key; rekeyed at half of it (default 800)")
    parser.add_argument("--control-loss", type=int, default=0, help="percent of IKE messages to lose (default 0)")
    parser.add_argument("--flood", type=int, default=0, help="first messages a second from forged addresses, to a gateway")
    parser.add_argument("--flood-of", choices=("a", "b", "ab"), default="b", help="which gateway, or both (default b, which responds)")
    parser.add_argument("--flood-kind", choices=KINDS, default=KINDS[0], help="with the peer's address, or of a session that is not there")
    parser.add_argument("--build-dir", help="where tandemd is (default: build)")
    options = parser.parse_args()
    if options.rollovers < 1:
        parser.error("--rollovers must be 1 or more")
    if not 40 <= options.life_ms <= 3600000 or not 0 <= options.control_loss <= 50:
        parser.error("--life-ms must be 40 to 3600000, --control-loss 0 to 50")
    if options.injected and options.negotiation != "ikev2":
        parser.error("--negotiation is for keys that are negotiated")
    if options.injected and options.control_loss:
        parser.error("--control-loss is for IKEv2")
    if options.flood and options.negotiation != "onertt":
        parser.error("--flood is for the one-round-trip exchange")
    if os.geteuid() != 0:
        print("This makes network namespaces: run it as root.", file=sys.stderr)
        return 1
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end_by_signal)
    progress = Progress()
    progress.step("Starting host-a, gw-a, gw-b and host-b in network namespaces.")
    try:
        with Lab(options.build_dir) as lab:
            faults = run(lab, options, progress)
    except (DaemonError, RpcError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        progress.end()
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    if not faults:
        print("OK: no packet lost, no plaintext seen.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

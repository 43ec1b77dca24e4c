#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demo: two gateways, two hosts, and 30 key rollovers while traffic runs both ways. Exit status 0 only if no packet
was lost and none was seen in plaintext between the gateways."""

import argparse
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "wire"))

from controller import Controller  # noqa: E402
from daemon import DaemonError  # noqa: E402
from lab import SLOW, Lab, wait_until  # noqa: E402
from rpc import RpcError  # noqa: E402
from scenario import Scenario  # noqa: E402

# The pace asked for is above the two per second that are shown, so that a busy machine stays above them, too.
ROLLOVERS_PER_SECOND = 2.5
MINIMUM_PER_SECOND = 2.0
MINIMUM_UDP_RATE = 1000
DRAIN_MS = 1000
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


def roll(controller, traffic, count, progress):
    """Performs the rollovers at their pace. Returns how long they took."""
    start = time.monotonic()
    for number in range(1, count + 1):
        # Pacing only: a rollover itself waits for what happens, not for time.
        time.sleep(max(0.0, start + number / ROLLOVERS_PER_SECOND - time.monotonic()))
        controller.rollover(DRAIN_MS)
        seen = traffic.progress()
        flows = ", ".join(f"{name} {sent} sent {received} received" for name, (sent, received) in seen.items())
        progress.line(f"  rollover {number} of {count}: UDP {flows}", now=number == count)
    progress.end()
    return time.monotonic() - start


def table(results, rollovers, seconds, keys):
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
    rows.append(("middle link: plaintext packets", f"{middle['plaintext']}", ""))
    rows.append(("middle link: missed by the capture", f"{middle['drops']}", ""))
    return rows


def print_table(rows):
    left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
    print()
    for name, value, remark in rows:
        print(f"  {name.ljust(left)}  {value.rjust(right)}  {remark}".rstrip())
    print(flush=True)


def demo(lab, rollovers, progress):
    """Runs it; prints the table; returns what went wrong as sentences."""
    try:
        return run_demo(lab, rollovers, progress)
    except Exception:
        progress.end()
        print(lab.diagnosis(), file=sys.stderr)
        raise


def run_demo(lab, rollovers, progress):
    lab.start_daemons()
    controller = Controller(lab)
    controller.install()
    lab.wait_path()
    progress.step(f"Two-way traffic through the tunnel, {rollovers} rollovers:")
    with Scenario(lab) as traffic:
        traffic.wait_packets(200)
        seconds = roll(controller, traffic, rollovers, progress)
        traffic.wait_packets(200)
        results = traffic.finish()
        faults = traffic.faults()
    wait_until(controller.settled, "removal of the drained SAs")
    print_table(table(results, controller.rollovers, seconds, len(controller.used_spis)))
    if controller.rollovers != rollovers:
        faults.append(f"{controller.rollovers} rollovers instead of {rollovers}")
    if set(results["middle"]["spis"]) != controller.used_spis:
        faults.append("the ESP packets seen are not those of all keys and only those")
    if not SLOW and controller.rollovers / seconds < MINIMUM_PER_SECOND:
        faults.append(f"fewer than {MINIMUM_PER_SECOND:.0f} rollovers per second: the machine is too busy")
    for name, udp in results["udp"].items():
        if not SLOW and udp["rate"] < MINIMUM_UDP_RATE:
            faults.append(f"UDP {name}: fewer than {MINIMUM_UDP_RATE} packets per second sent: the machine is too busy")
    if faults:
        print(lab.diagnosis(), file=sys.stderr)
    controller.close()
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
    parser.add_argument("--build-dir", help="where tandemd is (default: build)")
    options = parser.parse_args()
    if options.rollovers < 1:
        parser.error("--rollovers must be 1 or more")
    if os.geteuid() != 0:
        print("The demo makes network namespaces: run it as root.", file=sys.stderr)
        return 1
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end_by_signal)
    progress = Progress()
    progress.step("Starting host-a, gw-a, gw-b and host-b in network namespaces.")
    try:
        with Lab(options.build_dir) as lab:
            faults = demo(lab, options.rollovers, progress)
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

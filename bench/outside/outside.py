#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""tandemd from outside, beside DPDK's ipsec-secgw on the same ports where that is at hand.

    outside.py [--quick] [--json FILE] [--folder DIR] [--build-dir DIR] [--secgw PROGRAM] [SIZE...]

Packets come from a file by net_pcap, are sealed in one tunnel (AES-128-GCM) and dropped by net_null. The programs take turns
on the same core: while one runs the others are stopped. Files, configurations and logs stay in the folder."""

import argparse
import json
import os
import shlex
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))

from netns import Namespace  # noqa: E402
from programs import Secgw, Tandem  # noqa: E402
import wires  # noqa: E402

SIZES = ["64", "512", "1400", "imix"]
SIZES_QUICK = ["64", "1400"]
TARGETS = {"64": 1.3, "1400": 1.15}
WARM_S = 0.3


def round_of(program, seconds):
    """Nanoseconds of its own core's time that a packet took, and packets a second by the clock on the wall."""
    program.resume()
    time.sleep(WARM_S)
    sent, busy, start = program.sent(), wires.busiest_thread_ns(program.process.pid), time.monotonic()
    time.sleep(seconds)
    sent, busy = program.sent() - sent, wires.busiest_thread_ns(program.process.pid) - busy
    rate = sent / (time.monotonic() - start)
    program.pause()
    return busy / sent, rate


def row_of(size, name, found):
    times = [ns for ns, _ in found]
    return {
        "group": "encrypt, aes128gcm16, one tunnel, one core", "size": size, "program": name, "rounds": len(found),
        "ns_per_packet": {"median": statistics.median(times), "min": min(times), "max": max(times)},
        "mpps": 1000 / statistics.median(times), "wall_mpps": statistics.median(rate for _, rate in found) / 1e6,
    }


def size_measure(size, options, namespace):
    wires.write_pcap(os.path.join(options.folder, f"{size}.pcap"), size if size == "imix" else int(size))
    core = max(os.sched_getaffinity(0))
    programs = [Tandem(options.folder, size, core, options.build_dir, namespace.name)]
    if options.secgw:
        programs.append(Secgw(options.folder, size, core, options.secgw))
    found = {program.name: [] for program in programs}
    try:
        for program in programs:
            program.start()
        for _ in range(2 if options.quick else 9):
            for program in programs:
                found[program.name].append(round_of(program, 0.3 if options.quick else 1.0))
    finally:
        for program in programs:
            program.stop()
    rows = [row_of(size, name, of) for name, of in found.items()]
    if len(rows) == 2:
        # Those of one round lie next to each other, on a machine whose clock wanders.
        ratios = [theirs[0] / ours[0] for ours, theirs in zip(*found.values())]
        rows[0]["times_as_fast"] = statistics.median(ratios)
        if size in TARGETS:
            rows[0]["least"] = TARGETS[size]
    return rows


def show(row):
    times = row["ns_per_packet"]
    ratio = f"{row['times_as_fast']:9.2f}" if "times_as_fast" in row else ""
    least = f"  (target {row['least']})" if "least" in row else ""
    print(f"{row['size']:>6}  {row['program']:12} {times['median']:9.1f} {times['min']:8.1f} {times['max']:8.1f}"
          f" {row['mpps']:9.3f} {row['wall_mpps']:9.3f} {ratio}{least}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--folder", default=os.path.join(ROOT, "build", "bench", "outside"))
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    parser.add_argument("--secgw", default=os.environ.get("SECGW"))
    parser.add_argument("sizes", nargs="*")
    options = parser.parse_args()
    os.makedirs(options.folder, mode=0o700, exist_ok=True)
    rows = []
    namespace = Namespace("bench")
    print(f"{'bytes':>6}  {'':12} {'ns/packet':>9} {'min':>8} {'max':>8} {'Mpps':>9} {'on wall':>9} {'as fast':>9}")
    try:
        for size in options.sizes or (SIZES_QUICK if options.quick else SIZES):
            rows += size_measure(size, options, namespace)
            for row in rows:
                if row["size"] == size:
                    show(row)
    finally:
        namespace.delete()
    if not options.secgw:
        print("DPDK's ipsec-secgw was not there to compare with: SECGW=PROGRAM (docs/benchmarking.md).")
    print(f"Packets, configurations and logs are in {options.folder}; another program: --vdev",
          " --vdev ".join(shlex.quote(device) for device in wires.devices(f"{options.folder}/SIZE.pcap")))
    if options.json:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"benchmark": "outside", "cpu": cpu, "quick": options.quick, "rows": rows}, file, indent=1)


main()

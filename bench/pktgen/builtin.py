#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The searches of search.lua with the built-in source, against a tandemd in another process, joined by memif.

    builtin.py [--quick] [--json FILE] [--build-dir DIR] [--storm ROLLOVERS_A_SECOND]

    source port 0 ---memif--- inside [tandemd] outside ---memif--- source port 1"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))

from daemon import Daemon  # noqa: E402
from netns import Namespace  # noqa: E402

CONFIG = """
worker: { count = 1; cores = [@CORE@]; idle = "adaptive"; };
memory: { hugepages = false; size_mb = 768; file_prefix = "@PREFIX@"; };
control: { socket = "@SOCKET@"; state_dir = "@DIR@"; };
ports = (
  { name = "inside"; device = "net_memif0,role=server,socket=@DIR@/inside,socket-abstract=no,mac=02:00:00:00:00:01";
    role = "inside"; addresses = ["10.1.0.254/24"]; },
  { name = "outside"; device = "net_memif1,role=server,socket=@DIR@/outside,socket-abstract=no,mac=02:00:00:00:00:02";
    role = "outside"; addresses = ["192.0.2.1/24"]; }
);
routes = ( { to = "10.2.0.0/24"; via = "192.0.2.2"; } );
tunnels = ( { name = "b"; local_address = "192.0.2.1"; remote_address = "192.0.2.2";
  local = ["10.1.0.0/24"]; remote = ["10.2.0.0/24"]; } );
"""
SUITE, KEY_BYTES = "aes128gcm16", 20


class Keys:
    """Gives the tunnel outbound SAs, each in the place of the one before."""

    def __init__(self, rpc):
        self.rpc, self.spi = rpc, 0x1000

    def roll(self):
        old, self.spi = self.spi, self.spi + 1
        self.rpc.call("sa.add", {
            "spi": self.spi, "direction": "out", "tunnel": "b", "suite": SUITE, "esn": True,
            "key": os.urandom(KEY_BYTES).hex(), "activate": True,
        })
        if old > 0x1000:
            self.rpc.call("sa.delete", {"spi": old, "direction": "out", "tunnel": "b"})

    def storm(self, rate, stop):
        """Until stop is set. Returns nothing; self.spi tells how many there were."""
        begin, due = time.monotonic(), 1
        while not stop.wait(max(0.0, begin + due / rate - time.monotonic())):
            self.roll()
            due += 1


def searches(gateway, options, tests, path, **environment):
    """Runs builtin.lua; returns its exit status and rows."""
    orders, answers = (os.path.join(gateway.directory, name) for name in ("orders", "answers"))
    settings = {"TANDEM_BENCH_TESTS": tests, "TANDEM_BENCH_JSON": path, "TANDEM_BENCH_QUICK": "1" if options.quick else "0"}
    status = subprocess.run(["lua5.3", os.path.join(HERE, "builtin.lua"), orders, answers],
                            env={**os.environ, **settings, **environment}, check=False).returncode
    try:
        with open(path, encoding="utf-8") as file:
            return status, json.load(file)
    except (OSError, ValueError):
        return status or 1, {"rows": []}


def source_start(gateway, options, core):
    descriptors = []
    for name in ("orders", "answers"):
        os.mkfifo(os.path.join(gateway.directory, name))
        # Both ways, so that neither end waits for the other one to open it.
        descriptors.append(os.open(os.path.join(gateway.directory, name), os.O_RDWR))
    command = ["setpriv", "--pdeathsig", "KILL", os.path.join(options.build_dir, "bench", "source"), "--no-huge", "-m", "256",
               "--no-pci", "--no-telemetry", "--file-prefix", f"source{os.getpid()}", "-l", str(core)]
    for number, port in enumerate(("inside", "outside")):
        command += ["--vdev", f"net_memif{number},role=client,socket={gateway.directory}/{port},socket-abstract=no"]
    with open(os.path.join(gateway.directory, "source.log"), "wb") as log:
        process = subprocess.Popen(command, stdin=descriptors[0], stdout=descriptors[1], stderr=log)
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    return process


def storm(gateway, keys, options, report, path):
    stop, first = threading.Event(), keys.spi
    rolling = threading.Thread(target=keys.storm, args=(options.storm, stop))
    rolling.start()
    begin = time.monotonic()
    rate = next((row["rate"] for row in report["rows"] if row.get("rate_kind") == "NDR" and not row["failed"]), 20000)
    status, stormy = searches(gateway, options, "storm", path, TANDEM_BENCH_STORM_RATE=str(rate))
    stop.set()
    rolling.join()
    for row in stormy["rows"]:
        row["rollovers_per_s"] = (keys.spi - first) / (time.monotonic() - begin)
        print(f"             {row['rollovers_per_s']:.0f} rollovers a second meanwhile")
    report["rows"] += stormy["rows"]
    return status


def run(gateway, namespace, options, core):
    gateway.start().wait_ready()
    namespace.ip("neighbour", "replace", "192.0.2.2", "lladdr", "02:00:00:00:02:02", "dev", "outside")
    keys = Keys(gateway.rpc)
    keys.roll()
    source = source_start(gateway, options, core)
    path = options.json or os.path.join(gateway.directory, "pktgen.json")
    try:
        status, report = searches(gateway, options, os.environ.get("TANDEM_BENCH_TESTS", "throughput imix latency"), path)
        status |= storm(gateway, keys, options, report, path)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
        if source.poll() is not None:
            with open(os.path.join(gateway.directory, "source.log"), encoding="utf-8", errors="replace") as log:
                print(log.read(), file=sys.stderr)
    finally:
        source.terminate()
        source.wait()
    return status


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    parser.add_argument("--storm", type=float, default=1000)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    namespace = Namespace("bench")
    gateway = Daemon(namespace.name, CONFIG.replace("@CORE@", str(cores[-1])), build_dir=options.build_dir)
    try:
        return run(gateway, namespace, options, cores[0])
    finally:
        gateway.cleanup()
        namespace.delete()


sys.exit(main())

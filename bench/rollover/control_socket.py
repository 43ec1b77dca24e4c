#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How many SAs a second a tandemd takes over its control socket, in bulk. Requests are ready before the clock starts, and
the next one goes out when the last one is answered.

    control_socket.py [--quick] [--json FILE] [--build-dir DIR]

With --json its rows are added to a file of the rollover benchmark."""

import argparse
import json
import os
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "wire"))

from daemon import Daemon  # noqa: E402
from netns import Namespace  # noqa: E402

TUNNELS = 1000
BULK = 10000  # as many as one request may have (TD_RPC_BULK_MAX)
SUITE, KEY_BYTES = "aes128gcm16", 20
LEAST = 50000

CONFIG = """
worker: {{ count = 1; idle = "adaptive"; }};
memory: {{ hugepages = false; size_mb = 768; file_prefix = "@PREFIX@"; }};
control: {{ socket = "@SOCKET@"; }};
ports = (
  {{ name = "inside"; device = "net_null0,no-rx=1"; role = "inside"; addresses = ["10.1.0.1/24"]; }},
  {{ name = "outside"; device = "net_null1,no-rx=1"; role = "outside"; addresses = ["192.0.2.1/24"]; }}
);
tunnels = ( {tunnels} );
"""


def config():
    tunnels = (
        f'{{ name = "t{n}"; local_address = "192.0.2.1"; remote_address = "192.0.2.2"; '
        f'routes = ["10.{128 + n // 256}.{n % 256}.0/24"]; }}'
        for n in range(TUNNELS)
    )
    return CONFIG.format(tunnels=", ".join(tunnels))


def line(method, params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


def requests(bulks):
    """Lines that add SAs, half of them inbound, and lines that delete them."""
    add, delete = [], []
    keys = os.urandom(bulks * BULK * KEY_BYTES).hex()
    for bulk in range(bulks):
        numbers = range(bulk * BULK, (bulk + 1) * BULK)
        names = [
            {"spi": 0x10000 + n, "direction": "in" if n % BULK < BULK // 2 else "out", "tunnel": f"t{n % TUNNELS}"}
            for n in numbers
        ]
        add.append(line("sa.add", {"sas": [
            name | {"suite": SUITE, "esn": True, "key": keys[2 * n * KEY_BYTES : 2 * (n + 1) * KEY_BYTES]}
            for name, n in zip(names, numbers)
        ]}))
        delete.append(line("sa.delete", {"sas": names, "force": True}))
    return {"added": add, "deleted": delete}


def rates(rpc, lines):
    """SAs a second of each request."""
    found = []
    for text in lines:
        start = time.monotonic()
        rpc.send_raw(text)
        answer = rpc.read_answer(1, timeout=120)
        seconds = time.monotonic() - start
        if "error" in answer or list(answer["result"].values()) != [BULK]:
            raise SystemExit(f"control_socket.py: {answer}")
        found.append(BULK / seconds)
    return found


def measure(build_dir, bulks):
    namespace = Namespace("bench")
    gateway = Daemon(namespace.name, config(), build_dir=build_dir)
    try:
        gateway.start().wait_ready()
        rpc = gateway.rpc
        found = {}
        for name, lines in requests(bulks).items():
            found[name] = rates(rpc, lines)
        gateway.stop_checked()
        return found
    finally:
        gateway.cleanup()
        namespace.delete()


def rows(found):
    for name, of in found.items():
        row = {
            "group": "installs", "name": f"over the control socket, {name}", "unit": "/s", "median": statistics.median(of),
            "min": min(of), "max": max(of), "rounds": len(of), "failed": False,
        }
        if name == "added":
            row["least"] = LEAST
        yield row


def show(row):
    least = f"{row['least']:10.0f}" if "least" in row else " " * 10
    missed = "  missed" if row["median"] < row.get("least", 0) else ""
    print(f"  {row['name']:36} {row['median']:10.0f} {row['min']:10.0f} {row['max']:10.0f} {least}{missed}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build"))
    options = parser.parse_args()
    found = list(rows(measure(options.build_dir, 2 if options.quick else 20)))
    for row in found:
        show(row)
    if options.json:
        with open(options.json, encoding="utf-8") as file:
            report = json.load(file)
        report["rows"] += found
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


main()

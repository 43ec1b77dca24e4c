#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plots the throughput rows of pktgen.json as SVG, by gnuplot: millions of packets and Gb a second over the packets' size.

    plot.py FILE.json FOLDER"""

import json
import os
import subprocess
import sys

STYLE = """set terminal svg size 800,480 background rgb 'white' font 'sans,12'
set grid
set key outside right
set xlabel 'inner packet, bytes'
set yrange [0:*]
"""


def main():
    source, folder = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        rows = [row for row in json.load(file)["rows"] if row["test"] == "throughput" and not row["failed"]]
    if not rows:
        return
    for name, label, figure in (
        ("mpps", "million packets a second", lambda row: row["pps"] / 1e6),
        ("gbps", "Gb/s of inner packets", lambda row: row["gbps"]),
    ):
        path = os.path.join(folder, f"pktgen-{name}.svg")
        script = STYLE + f"set output '{path}'\nset ylabel '{label}'\n"
        kinds = sorted({row["rate_kind"] for row in rows})
        for kind in kinds:
            points = "".join(f"{row['size']} {figure(row)}\n" for row in rows if row["rate_kind"] == kind)
            script += f"${kind} << end\n{points}end\n"
        script += "plot " + ", ".join(f"${kind} using 1:2 with linespoints title '{kind}'" for kind in kinds) + "\n"
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
        print(path)


main()

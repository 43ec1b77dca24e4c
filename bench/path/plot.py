#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plots of path.json as SVG, by gnuplot: cycles a packet over its size, and the share of the cipher's speed.

    plot.py FILE.json FOLDER"""

import json
import os
import subprocess
import sys

STYLE = """set terminal svg size 800,480 background rgb 'white' font 'sans,12'
set grid
set key outside right
set xlabel 'inner packet, bytes'
"""


def series(rows, suite, tunnels):
    """Rows of one suite and number of tunnels by direction, in the order of their size. The IMIX has no place there."""
    found = {}
    for row in rows:
        if row["suite"] == suite and row["tunnels"] == tunnels and row["size"] and not row["failed"]:
            found.setdefault(row["direction"], []).append(row)
    return {direction: sorted(of, key=lambda row: row["size"]) for direction, of in found.items()}


def draw(path, title, ylabel, lines):
    """lines: (title, points), of x and y."""
    blocks = "".join(
        f"$data{number} << end\n" + "".join(f"{x} {y}\n" for x, y in points) + "end\n"
        for number, (_, points) in enumerate(lines)
    )
    plots = ", ".join(
        f"$data{number} using 1:2 with linespoints title '{name}'" for number, (name, _) in enumerate(lines)
    )
    script = f"{STYLE}set output '{path}'\nset title '{title}'\nset ylabel '{ylabel}'\nset yrange [0:*]\n{blocks}plot {plots}\n"
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(path)


def main():
    source, folder = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        report = json.load(file)
    rows = report["rows"]
    for suite, tunnels in sorted({(row["suite"], row["tunnels"]) for row in rows}):
        found = series(rows, suite, tunnels)
        if not found:
            continue
        cycles, share = [], []
        for direction, of in found.items():
            cycles.append((direction, [(row["size"], row["cycles"]["median"]) for row in of]))
            cycles.append((f"cipher alone, {direction}", [(row["size"], row["raw_cycles"]["median"]) for row in of]))
            share.append((direction, [(row["size"], 100 * row["of_raw"]) for row in of]))
        title = f"{suite}, tunnels: {tunnels} ({report['cpu']})"
        name = os.path.join(folder, f"path-{suite}-{tunnels}")
        draw(f"{name}-cycles.svg", title, "TSC cycles a packet", cycles)
        draw(f"{name}-share.svg", title, "% of the speed of the cipher alone", share)


main()

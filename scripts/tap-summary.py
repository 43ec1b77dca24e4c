#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Adds up TAP files: names what failed, ends with the line "N passed, N failed, N skipped".

A test that the plan of its file promises and that has no result (the program crashed or was killed) counts as failed, as
does a file without a plan. Exit status 0 only if nothing failed and something passed."""

import os
import re
import sys

RESULT = re.compile(r"(not )?ok\b[ \d]*(?:- )?(.*)")
PLAN = re.compile(r"1\.\.(\d+)")
SKIP = re.compile(r"#\s*SKIP\b", re.IGNORECASE)


def read(path):
    """(passed, failed, skipped, what failed)."""
    passed = skipped = 0
    failures, planned = [], None
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        return 0, 1, 0, [f"{name}: {error.strerror}"]
    for line in lines:
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned = int(plan[1])
        elif result and result[1]:
            failures.append(f"{name}: {result[2]}")
        elif result and SKIP.search(line):
            skipped += 1
        elif result:
            passed += 1
    missing = 1 if planned is None else max(0, planned - passed - skipped - len(failures))
    if missing:
        failures.append(f"{name}: {missing} without a result: the program crashed or was ended")
    failed = len(failures) + max(0, missing - 1)
    return passed, failed, skipped, failures


def main():
    totals, failures = [0, 0, 0], []
    for path in sys.argv[1:]:
        *counts, found = read(path)
        totals = [total + count for total, count in zip(totals, counts)]
        failures += found
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 0 if totals[0] and not totals[1] else 1


if __name__ == "__main__":
    sys.exit(main())

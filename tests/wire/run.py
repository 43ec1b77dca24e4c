#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the wire tests and reports in TAP: on standard output, and in a file for scripts/tap-summary.py.

    run.py [--build-dir DIR] [--tap FILE] [PATTERN...]

A PATTERN is a part of a test's name (module.Class.test)."""

import argparse
import os
import signal
import sys
import time
import unittest

DIRECTORY = os.path.dirname(os.path.abspath(__file__))


class TapResult(unittest.TestResult):
    """One line for each test; its failures, also those of subtests, follow as comments."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.number = 0
        self.bad = 0
        self.notes, self.reason, self.failed, self.start = [], None, False, 0.0

    def startTest(self, test):
        super().startTest(test)
        self.notes, self.reason, self.failed = [], None, False
        self.start = time.monotonic()

    def _fail(self, test, error):
        self.failed = True
        self.notes.append(self._exc_info_to_string(error, test))

    def addError(self, test, err):
        if isinstance(test, unittest.TestCase):
            self._fail(test, err)
        else:  # setUpClass or the loading of a module: it stands for all tests that did not run
            self.startTest(test)
            self._fail(test, err)
            self.stopTest(test)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.notes.append(str(subtest))
            self._fail(test, err)

    def addSkip(self, test, reason):
        self.reason = reason
        if not isinstance(test, unittest.TestCase):
            self.startTest(test)
            self.reason = reason
            self.stopTest(test)

    def addUnexpectedSuccess(self, test):
        self.failed = True
        self.notes.append("succeeded, although it is marked as an expected failure")

    def stopTest(self, test):
        super().stopTest(test)
        self.number += 1
        self.bad += self.failed
        line = f"{'not ok' if self.failed else 'ok'} {self.number} - {test.id()}"
        if self.reason is not None and not self.failed:
            line += f" # SKIP {self.reason}"
        self.out(f"{line} ({time.monotonic() - self.start:.1f} s)" if "# SKIP" not in line else line)
        for note in self.notes:
            self.out("\n".join("# " + text for text in note.rstrip().splitlines()))


def each_test(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def end_by_signal(number, _frame):
    # An exception, so that the fixtures are taken down; the plan then lacks tests, which counts as failure.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", help="where tandemd is (default: build)")
    parser.add_argument("--tap", help="file that gets the report, too")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("The wire tests make network namespaces: run them as root.", file=sys.stderr)
        return 1
    if options.build_dir:
        os.environ["TANDEM_BUILD"] = os.path.abspath(options.build_dir)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end_by_signal)
    sys.path.insert(0, DIRECTORY)
    found = unittest.TestLoader().discover(DIRECTORY, pattern="test_*.py", top_level_dir=DIRECTORY)
    suite = unittest.TestSuite(
        test
        for test in each_test(found)
        if not options.patterns or any(pattern in test.id() for pattern in options.patterns)
    )
    with open(options.tap or os.devnull, "w", encoding="utf-8") as file:

        def out(text):
            for stream in (sys.stdout, file):
                print(text, file=stream, flush=True)

        out(f"TAP version 13\n1..{suite.countTestCases()}")
        result = TapResult(out)
        suite.run(result)
    return 1 if result.bad or result.number < suite.countTestCases() else 0


if __name__ == "__main__":
    sys.exit(main())

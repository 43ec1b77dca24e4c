#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the wire tests and reports in TAP: on standard output, and in a file for scripts/tap-summary.py.

    run.py [--build-dir DIR] [--tap FILE] [--jobs N] [PATTERN...]

A PATTERN is a part of a test's name (module.Class.test). Test classes run in N processes at a time, the longest first:
a class that takes more than some seconds says about how many in its attribute `seconds`."""

import argparse
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
import unittest

DIRECTORY = os.path.dirname(os.path.abspath(__file__))


class TapResult(unittest.TestResult):
    """Hands a report on for each test: whether it failed, and its text without "ok" and number: the test's name, and
    behind it the failures, also those of subtests, as comments."""

    def __init__(self, report):
        super().__init__()
        self.report = report
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
        line = test.id()
        if self.reason is not None and not self.failed:
            line += f" # SKIP {self.reason}"
        else:
            line += f" ({time.monotonic() - self.start:.1f} s)"
        notes = ["# " + text for note in self.notes for text in note.rstrip().splitlines()]
        self.report((self.failed, "\n".join([line, *notes])))


def each_test(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each_test(test)
        else:
            yield test


def by_class(tests):
    """Suites of one class each, so that its fixture is made once."""
    classes = {}
    for test in tests:
        classes.setdefault(type(test), []).append(test)
    longest_first = sorted(classes, key=lambda each: -getattr(each, "seconds", 0))
    return [unittest.TestSuite(classes[each]) for each in longest_first]


def end_by_signal(number, _frame):
    # An exception, so that the fixtures are taken down; the plan then lacks tests, which counts as failure.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def run_suites(suites, connection, parents):
    """One process of several: runs the suites whose numbers come, and reports on each."""
    for inherited in parents:  # so that the end of the parent is seen
        inherited.close()
    while (number := connection.recv()) is not None:
        reports = []
        suites[number].run(TapResult(reports.append))
        connection.send(reports)


def run_parallel(suites, jobs):
    """Yields the report on each test."""
    numbers = iter(range(len(suites)))
    processes, connections = [], []
    try:
        for _ in range(jobs):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=run_suites, args=(suites, theirs, [*connections, ours]))
            process.start()
            theirs.close()
            ours.send(next(numbers, None))
            processes.append(process)
            connections.append(ours)
        while connections:
            for connection in multiprocessing.connection.wait(connections):
                try:
                    yield from connection.recv()
                    connection.send(next(numbers, None))
                except (EOFError, ConnectionError):  # at its end, or killed: the plan then lacks tests
                    connections.remove(connection)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", help="where tandemd is (default: build)")
    parser.add_argument("--tap", help="file that gets the report, too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: as many as CPUs)")
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
    tests = [
        test
        for test in each_test(found)
        if not options.patterns or any(pattern in test.id() for pattern in options.patterns)
    ]
    done = bad = 0
    with open(options.tap or os.devnull, "w", encoding="utf-8") as file:

        def out(text):
            for stream in (sys.stdout, file):
                print(text, file=stream, flush=True)

        out(f"TAP version 13\n1..{len(tests)}")
        for failed, text in run_parallel(by_class(tests), options.jobs):
            done, bad = done + 1, bad + failed
            out(f"{'not ok' if failed else 'ok'} {done} - {text}")
    return 1 if bad or done < len(tests) else 0


if __name__ == "__main__":
    sys.exit(main())

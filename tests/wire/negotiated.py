# SPDX-License-Identifier: BSD-3-Clause
"""A test case with two gateways that negotiate their keys, and traffic between two hosts."""

import unittest

from lab import Lab
from negotiator import FILES, Negotiator


class NegotiatedTestCase(unittest.TestCase):
    lab_type = Lab

    def setUp(self):
        self.lab = self.lab_type()
        self.addCleanup(self.lab.close)

    def start(self, keys, files=FILES, **config):
        self.lab.start_daemons(keys=keys, files=files, **config)
        self.negotiator = Negotiator(self.lab)
        self.addCleanup(self.negotiator.close)
        try:
            self.negotiator.wait_up()
        except TimeoutError as error:
            self.fail(f"{error}\n{self.lab.diagnosis()}")
        self.lab.wait_path()

    def roll(self, traffic, count):
        start = self.negotiator.rollovers
        while self.negotiator.rollovers < start + count:
            traffic.wait_packets(20)
            self.negotiator.look()

    def assert_clean(self, scenario):
        scenario.finish()
        self.negotiator.look()
        faults = scenario.faults()
        unknown = set(scenario.results["middle"]["spis"]) - self.negotiator.used_spis
        if unknown:
            faults.append(f"ESP packets under keys that nobody announced: {unknown}")
        if faults:
            self.fail("\n".join([*faults, self.lab.diagnosis()]))

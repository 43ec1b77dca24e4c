# SPDX-License-Identifier: BSD-3-Clause
"""What tandemctl makes of the daemon's lists."""

import os
import tempfile
import unittest

from scripted import tandemctl

PORT = {"name": "outside", "role": "outside", "link_up": True, "mtu": 1500, "rx_missed": 5, "rx_errors": 6, "tx_errors": 7}


class Tables(unittest.TestCase):
    def cells(self, result, *arguments):
        """Rows as dictionaries by heading."""
        with tempfile.TemporaryDirectory() as directory:
            method = (".".join(arguments), {})
            done = tandemctl(os.path.join(directory, "sock"), [("answer", method, {"result": result})], *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        heading, *rows = (line.split() for line in done.stdout.splitlines())
        return [dict(zip(heading, row, strict=True)) for row in rows]

    def test_ports_have_all_their_columns(self):
        (row,) = self.cells({"ports": [PORT]}, "port", "list")
        self.assertEqual((row["LINK"], row["RX-MISSED"], row["RX-ERRORS"], row["TX-ERRORS"]), ("up", "5", "6", "7"))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces: made, entered by sockets of this process, removed."""

import ctypes
import itertools
import os
import socket
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def run(*command, check=True, timeout=60):
    """Runs a command; an error shows what it said."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return done


def _setns(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Namespace:
    """A namespace whose name no other run has. IPv6 is off and reverse-path checks are off inside it."""

    def __init__(self, role):
        self.name = f"tdw{os.getpid()}-{next(_numbers)}-{role}"
        run("ip", "netns", "add", self.name)
        run(
            "ip", "netns", "exec", self.name, "sysctl", "-qw",
            "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
            "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
        )
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments, check=True):
        return run("ip", "-n", self.name, *arguments, check=check)

    def run(self, *command, check=True, timeout=60):
        return run("ip", "netns", "exec", self.name, *command, check=check, timeout=timeout)

    def socket(self, *arguments):
        """A socket that lives in the namespace."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                return socket.socket(*arguments)
            finally:
                _setns(here)
        finally:
            os.close(here)

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)

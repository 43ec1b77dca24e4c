# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces: made, entered by sockets of this process, removed."""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import glob
import itertools
import os
import socket
import subprocess

CLONE_NEWNET = 0x40000000
RUN_DIRECTORY = "/run/tandem-lab"
NAME_PREFIX = "tdw"
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


class _RunLock:
    """Held while this process lives, so that another run can tell its namespaces from those of a killed one."""

    def __init__(self):
        os.makedirs(RUN_DIRECTORY, mode=0o700, exist_ok=True)
        self._sweep()
        self._path = f"{RUN_DIRECTORY}/{NAME_PREFIX}{os.getpid()}.lock"
        while True:
            # Inheritance is off: the processes of the lab must not keep the lock.
            self._file = open(self._path, "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            # Another run may have swept the file away before it was locked.
            if os.path.exists(self._path):
                break
            self._file.close()
        atexit.register(self._release)

    def _release(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    @staticmethod
    def _sweep():
        for path in glob.glob(f"{RUN_DIRECTORY}/*.lock"):
            with contextlib.suppress(OSError), open(path, "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                run_name = os.path.basename(path)[: -len(".lock")]
                for namespace in glob.glob(f"/run/netns/{run_name}-*"):
                    run("ip", "netns", "delete", os.path.basename(namespace), check=False)
                os.unlink(path)


@functools.cache
def hold_run_lock():
    return _RunLock()


class Namespace:
    """A namespace whose name no other run has; what a killed run left is removed first. IPv6 is off and
    reverse-path checks are off inside it."""

    def __init__(self, role):
        hold_run_lock()
        self.name = f"{NAME_PREFIX}{os.getpid()}-{next(_numbers)}-{role}"
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

    def hide_from_kernel(self, *interfaces):
        """Drops every frame that arrives on the interfaces after packet sockets have got their copy: the kernel would
        otherwise answer on the link itself, beside the gateway."""
        devices = ", ".join(f'"{name}"' for name in interfaces)
        chain = f"type filter hook ingress devices = {{ {devices} }} priority 0; policy drop;"
        self.run("nft", "add table netdev tandem")
        self.run("nft", f"add chain netdev tandem ingress {{ {chain} }}")

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)

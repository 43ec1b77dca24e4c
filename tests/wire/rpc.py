# SPDX-License-Identifier: BSD-3-Clause
"""Client of tandemd's control socket (docs/control-protocol.md)."""

import collections
import json
import socket
import time


class RpcError(Exception):
    """The daemon answered with an error object."""

    def __init__(self, method, error):
        self.code = error.get("code")
        self.message = error.get("message", "")
        self.data = error.get("data") or {}
        super().__init__(f"{method}: {self.message} (code {self.code}, data {self.data})")


class Rpc:
    """One connection. Events that arrive while a call waits for its answer are kept in order."""

    def __init__(self, path, timeout=20.0):
        self.timeout = timeout
        self._events = collections.deque()
        self._buffer = bytearray()
        self._id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read_message(self, deadline):
        """The next message, or None when the deadline passes. ConnectionError at end of file."""
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            searched = len(self._buffer)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return json.loads(line)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                chunk = self._socket.recv(1 << 20)
            except socket.timeout:
                return None
            if not chunk:
                raise ConnectionError("the daemon closed the control connection")
            self._buffer += chunk

    def send_raw(self, data):
        """Sends bytes as they are, for tests of malformed requests."""
        self._socket.settimeout(self.timeout)
        self._socket.sendall(data)

    def read_answer(self, request_id=None, timeout=None):
        """The next answer (any one when request_id is None); events are put aside."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            message = self._read_message(deadline)
            if message is None:
                raise TimeoutError("no answer from the control socket")
            if message.get("method") == "event":
                self._events.append(message["params"])
            elif request_id is None or message.get("id") == request_id:
                return message

    def call(self, method, params=None):
        """Returns the result or raises RpcError."""
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method}
        if params is not None:
            request["params"] = params
        self.send_raw(json.dumps(request).encode() + b"\n")
        answer = self.read_answer(self._id)
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    def subscribe(self):
        self.call("events.subscribe")

    def past_events(self):
        """All events that were sent before now: the answer to a request comes behind them."""
        self.call("version")
        events = list(self._events)
        self._events.clear()
        return events

    def next_event(self, timeout=10.0):
        """The next event's params ({"event": KIND, ...}), or None when none comes in time."""
        if self._events:
            return self._events.popleft()
        deadline = time.monotonic() + timeout
        while True:
            message = self._read_message(deadline)
            if message is None:
                return None
            if message.get("method") == "event":
                return message["params"]

    def wait_event(self, kind, timeout=10.0, **fields):
        """Waits for an event of this kind with these fields; others stay queued in order."""
        deadline = time.monotonic() + timeout
        put_aside = []
        try:
            while True:
                event = self.next_event(deadline - time.monotonic())
                if event is None:
                    raise TimeoutError(f"no event {kind} {fields} within {timeout} s; others: {put_aside}")
                if event["event"] == kind and all(event.get(k) == v for k, v in fields.items()):
                    return event
                put_aside.append(event)
        finally:
            self._events.extendleft(reversed(put_aside))

# SPDX-License-Identifier: BSD-3-Clause
"""Client of strongSwan's control socket (its protocol: src/libcharon/plugins/vici/README.md). Messages are dictionaries
of strings, lists of strings and dictionaries."""

import contextlib
import socket
import struct

CMD_REQUEST, CMD_RESPONSE, CMD_UNKNOWN, EVENT_REGISTER, EVENT_UNREGISTER, EVENT_CONFIRM, EVENT_UNKNOWN, EVENT = range(8)
SECTION_START, SECTION_END, KEY_VALUE, LIST_START, LIST_ITEM, LIST_END = range(1, 7)


class ViciError(Exception):
    """strongSwan answered that the command failed."""


def _name(text):
    return struct.pack("!B", len(text)) + text.encode()


def _value(value):
    data = value if isinstance(value, bytes) else str(value).encode()
    return struct.pack("!H", len(data)) + data


def encode(message):
    parts = []
    for key, value in message.items():
        if isinstance(value, dict):
            parts += [bytes([SECTION_START]), _name(key), encode(value), bytes([SECTION_END])]
        elif isinstance(value, (list, tuple)):
            parts += [bytes([LIST_START]), _name(key)]
            parts += [bytes([LIST_ITEM]) + _value(item) for item in value]
            parts.append(bytes([LIST_END]))
        else:
            parts += [bytes([KEY_VALUE]), _name(key), _value(value)]
    return b"".join(parts)


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def name(self):
        return self.take(self.take(1)[0]).decode()

    def value(self):
        return self.take(struct.unpack("!H", self.take(2))[0]).decode(errors="replace")

    def message(self):
        """Up to the end of the section, or of the data."""
        result = {}
        while self.at < len(self.data):
            kind = self.take(1)[0]
            if kind == SECTION_END:
                break
            key = self.name()
            if kind == SECTION_START:
                result[key] = self.message()
            elif kind == KEY_VALUE:
                result[key] = self.value()
            else:
                result[key] = []
                while self.take(1)[0] == LIST_ITEM:
                    result[key].append(self.value())
        return result


class Vici:
    """One connection."""

    def __init__(self, path, timeout=60.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def close(self):
        self._socket.close()

    def _send(self, kind, name, message=None):
        packet = bytes([kind]) + _name(name) + encode(message or {})
        self._socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionError("strongSwan closed the control connection")
            data += part
        return data

    def _receive(self):
        """(kind, message) of the next packet."""
        (length,) = struct.unpack("!I", self._exactly(4))
        reader = _Reader(self._exactly(length))
        kind = reader.take(1)[0]
        if kind == EVENT:
            reader.name()
        return kind, reader.message()

    def call(self, command, message=None):
        """Returns the answer, or raises ViciError."""
        self._send(CMD_REQUEST, command, message)
        kind, answer = self._receive()
        if kind != CMD_RESPONSE or answer.get("success", "yes") != "yes":
            raise ViciError(f"{command}: {answer.get('errmsg', f'packet of kind {kind}')}")
        return answer

    def stream(self, command, event, message=None):
        """The events that a command answers with."""
        self._send(EVENT_REGISTER, event)
        self._receive()
        self._send(CMD_REQUEST, command, message)
        events = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._receive)
            undo.callback(self._send, EVENT_UNREGISTER, event)
            while (packet := self._receive())[0] == EVENT:
                events.append(packet[1])
        return events

# SPDX-License-Identifier: BSD-3-Clause
"""A responder of the one-round-trip exchange that is asked too much: cookies, and what one address may ask with them."""

import contextlib
import os
import time
import unittest

import onertt
from judge import JudgeTestCase
from lab import wait_until
from negotiator import onertt_keys

FREE_PER_S, SOURCE_PER_S, REFUSALS_PER_S = 200, 20, 20  # common/limits.h


class Load(JudgeTestCase):
    def take_pattern(self):
        """A message 1 of nobody's, which others are made of."""
        self.pattern = onertt.Initiator(self.settings("initiator", "key")).message_1()

    def forged(self):
        return os.urandom(8) + self.pattern[8:44] + os.urandom(len(self.pattern) - 44)

    def load(self):
        """As much as makes the responder ask for cookies until the second ends."""
        self.flood([self.forged() for _ in range(FREE_PER_S + 20)])

    def flood(self, messages):
        """Nobody reads what is answered."""
        self.send(messages)
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65535)
        self.socket.settimeout(0.5)

    def send(self, messages):
        """Not faster than the workers give them to the kernel (TD_PUNT_IKE_FIRST_PER_S)."""
        for number, message in enumerate(messages):
            self.socket.sendto(message, self.there)
            if number % 5 == 4:
                time.sleep(0.0015)

    def refused(self, gateway, make):
        """Of messages 1 that make() gives, the first that was asked for a cookie, and the cookie. If the second ends between the
        load and a message, that one is taken as without load, and would be answered the same again: the next is another."""

        def once():
            before = self.counter(gateway, "accepted")
            message = make()
            self.load()
            answer = self.ask(message)
            cookie = answer and onertt.Initiator.cookie_of(None, answer)
            if cookie:
                self.assertEqual(self.counter(gateway, "accepted"), before)
            return (message, cookie) if cookie else None

        return wait_until(once, "a cookie")

    def test_cookie(self):
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            self.take_pattern()
            settings = self.settings("initiator", "key")
            self.begin(settings)
            settings.time_us = settings.time_us or onertt.now_us()

            def message_1():
                settings.time_us += 10**6
                self.peer = onertt.Initiator(settings)
                return self.peer.message_1()

            _, cookie = self.refused(gateway, message_1)
            wrong = bytes(len(cookie))
            self.refused(gateway, lambda: onertt.Initiator.with_cookie(message_1(), wrong))
            # It is good for the message alone that it was given for.
            self.refused(gateway, lambda: onertt.Initiator.with_cookie(message_1(), cookie))
            message, cookie = self.refused(gateway, message_1)
            before = self.counter(gateway, "accepted")
            self.load()
            self.peer.read_2(self.ask(onertt.Initiator.with_cookie(message, cookie)))
            self.assertEqual(self.counter(gateway, "accepted"), before + 1)
            self.assertGreater(self.counter(gateway, "cookies_sent"), 3)

    def test_the_peer_is_told_the_time_beside_replays_of_it(self):
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            settings = self.settings("initiator", "key")
            self.begin(settings)
            settings.time_us = onertt.now_us() - 86400 * 10**6
            recorded = onertt.Initiator(settings).message_1()

            def asked():
                """If the second ends among them, the peer is told at once."""
                self.flood([recorded] * (REFUSALS_PER_S + 5))
                peer = onertt.Initiator(settings)
                message = peer.message_1()
                answer = self.ask(message)
                cookie = answer and onertt.Initiator.cookie_of(None, answer)
                return (peer, message, cookie) if cookie else None

            peer, message, cookie = wait_until(asked, "a cookie")
            self.assertGreaterEqual(self.counter(gateway, "told_stale"), REFUSALS_PER_S)
            self.flood([recorded] * (REFUSALS_PER_S + 5))
            with self.assertRaises(onertt.Stale):
                peer.read_2(self.ask(onertt.Initiator.with_cookie(message, cookie)))

    def test_rate_of_an_address(self):
        with self.gateway("b", onertt_keys()["b"]) as gateway:
            self.take_pattern()
            messages = []

            def gather():
                self.load()
                for forged in (self.forged() for _ in range(10)):
                    answer = self.ask(forged)
                    if not answer:  # the second has ended
                        break
                    messages.append(onertt.Initiator.with_cookie(forged, onertt.Initiator.cookie_of(None, answer)))
                return len(messages) > SOURCE_PER_S

            wait_until(gather, "cookies")

            def limited():
                self.load()
                before = gateway.rpc.call("ike.stats")
                self.send(messages)
                after = wait_until(lambda: self.unless_fewer(gateway, "asked", before, len(messages)), "all were looked at")
                grown = {name: after["onertt_" + name] - before["onertt_" + name] for name in expected}
                # Otherwise the second has ended among them.
                return grown == expected

            expected = {"limited": len(messages) - SOURCE_PER_S, "unauthentic": SOURCE_PER_S}
            wait_until(limited, f"{SOURCE_PER_S} of an address are looked at in a second")


if __name__ == "__main__":
    unittest.main()

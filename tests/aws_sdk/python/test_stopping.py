"""A stop ends before a supervisor kills the process: Kubernetes waits 30 s."""

import contextlib
import signal
import tempfile
import time

import wire
from served import Asserting
from server import Server

KUBERNETES = 30
LONG = b'{"milliseconds": 600000}'


class Stopping(Asserting):
    def stop(self, server):
        """How long it takes after SIGTERM."""
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(timeout=120), 0, server.said())
        return time.monotonic() - began

    def test_a_stop_does_not_wait_long_for_stuck_handlers_and_connections(self):
        """INV-28"""
        with tempfile.TemporaryDirectory() as folder:
            for flags in ((), ("--data", folder)):
                with self.subTest(flags=flags), contextlib.ExitStack() as stack:
                    server = Server("--timeout", 900_000, *flags)
                    stack.callback(server.kill)
                    event = wire.invoke(server, "sleep", LONG, kind="Event")
                    self.assertEqual(event.status, 202)
                    head = [("host", "localhost"), ("content-length", len(LONG))]
                    calling = stack.enter_context(wire.connect(server, timeout=60))
                    calling.sendall(wire.head("POST", wire.invocations("sleep"), head) + LONG)
                    half = stack.enter_context(wire.connect(server))
                    half.sendall(wire.head("POST", wire.invocations("sleep"), head) + LONG[:5])
                    unread = stack.enter_context(wire.connect(server))
                    big = b'{"bytes": 6000000}'
                    head = [("host", "localhost"), ("content-length", len(big))]
                    unread.sendall((wire.head("POST", wire.invocations("big"), head) + big) * 3)
                    while self.running(server) < 2:
                        pass
                    self.assertLess(self.stop(server), KUBERNETES * 0.9)
                    told = wire.answer(calling)
                    self.assert_refused(told, "ServiceUnavailableException", 503)

    def running(self, server):
        """How many events and calls of `sleep` are under way."""
        stats = wire.exchange(server, "GET", "/_redrive/functions/sleep/stats").json()
        return stats["Events"]["running"] + stats["Calls"]["running"]

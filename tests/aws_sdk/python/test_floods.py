"""Floods of idle clients keep no other client out, and their memory is bounded."""

import contextlib
import socket
import ssl
import threading
import time

import wire
from served import ServedAfresh
from test_tls import CERTIFICATE, KEY

# A half handshake each so many seconds, each held for so long.
PAUSE = 0.0025
HELD = 8
FLOOD = 10
GOOD_MAX = 5
# An unoptimised server makes three large answers a second.
UNREAD = 60
HALF = 150
BIG = 6291456
# What is held for clients, the server itself, and what an allocator keeps.
MEMORY_MAX = 560 << 20


class Flood:
    """Connections that begin a handshake, or a request, and go no further; for as long as the block lasts."""

    def __init__(self, server, said):
        self.server, self.said, self.count, self.ends = server, said, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        held = []
        while not self.ends.wait(PAUSE):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(self.server.address, timeout=5)
                held.append((time.monotonic(), connection))
                connection.sendall(self.said)
                self.count += 1
            while held and time.monotonic() - held[0][0] > HELD:
                held.pop(0)[1].close()
        for _, connection in held:
            connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


class Handshakes(ServedAfresh):
    flags = ("--cert", CERTIFICATE, "--key", KEY)

    def good(self):
        """How long a good client waits for its answer."""
        context = ssl.create_default_context(cafile=CERTIFICATE)
        began = time.monotonic()
        with wire.connect(self.server, timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"GET /_redrive/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
                self.assertEqual(wire.answer(tls, "GET").status, 200)
        return time.monotonic() - began

    def test_good_clients_are_served_during_a_flood_of_half_handshakes(self):
        """INV-28, PAR-01"""
        for said in (b"\x16\x03\x01", b""):
            with self.subTest(said=said), Flood(self.server, said) as flood:
                began, waits = time.monotonic(), []
                while time.monotonic() - began < FLOOD or flood.count < 1_500:
                    waits.append(self.good())
            self.assertLess(max(waits), GOOD_MAX, f"{flood.count} half handshakes: {waits}")


class Heads(ServedAfresh):
    def test_good_clients_are_served_during_a_flood_of_half_heads(self):
        """INV-28"""
        with Flood(self.server, b"POST / HTTP/1.1\r\nhost: ") as flood:
            began, waits = time.monotonic(), []
            while time.monotonic() - began < FLOOD or flood.count < 1_500:
                asked = time.monotonic()
                self.assertEqual(wire.exchange(self.server, "GET", "/_redrive/health/live").status, 200)
                waits.append(time.monotonic() - asked)
        self.assertLess(max(waits), GOOD_MAX, f"{flood.count} half heads: {waits}")


class Unread(ServedAfresh):
    def test_memory_of_unread_responses_is_bounded(self):
        """INV-26: and who reads slowly and steadily beside them gets its answer whole."""
        body = b'{"bytes": %d}' % BIG
        request = wire.head(
            "POST", wire.invocations("big"), [("host", "localhost"), ("content-length", len(body))]
        ) + body
        with contextlib.ExitStack() as stack:
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            slow.settimeout(30)
            slow.connect(self.server.address)
            stack.enter_context(slow).sendall(request)
            taken = self.take(slow, 1 << 20, pause=0.1)
            largest = 0
            for _ in range(UNREAD):
                stack.enter_context(wire.connect(self.server)).sendall(request)
                largest = max(largest, self.server.memory())
            while taken < BIG:
                more = self.take(slow, min(1 << 18, BIG - taken), pause=0.05)
                self.assertTrue(more, f"it is cut off after {taken} bytes")
                taken += more
                largest = max(largest, self.server.memory())
            good = stack.enter_context(wire.connect(self.server, timeout=300))
            good.sendall(request)
            self.assertEqual(len(wire.answer(good).body), BIG)
            largest = max(largest, self.server.memory())
            self.assertLess(largest, MEMORY_MAX)

    def take(self, connection, most, pause):
        """Reads as much, slowly."""
        taken = 0
        while taken < most and (part := connection.recv(32 << 10)):
            taken += len(part)
            time.sleep(pause)
        return taken

    def test_memory_of_unfinished_bodies_is_bounded(self):
        """INV-26"""
        head = wire.head("POST", wire.invocations("echo"), [("host", "localhost"), ("content-length", BIG)])
        with contextlib.ExitStack() as stack:
            largest = 0
            for _ in range(HALF):
                connection = stack.enter_context(wire.connect(self.server))
                connection.sendall(head + b'"' + b"x" * (BIG - 2))
                largest = max(largest, self.server.memory())
            self.assertLess(largest, MEMORY_MAX)
            self.assertEqual(wire.invoke(self.server, "echo").status, 200)

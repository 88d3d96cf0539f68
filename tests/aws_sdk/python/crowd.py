"""Bad clients in a separate process: idle ones, slow ones, and ones with floods of headers.

`crowd.py PORT IDLE SLOW` connects them, prints `ready`, keeps at it until it is told anything, and prints what it saw as
JSON.
"""

import json
import selectors
import socket
import sys
import time

PORT, IDLE, SLOW = map(int, sys.argv[1:])
REQUEST = b"GET /_redrive/health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
INVOKE = b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nhost: 127.0.0.1\r\n"
# Half of the slow ones never end their head, the others never their body.
SLOW_STARTS = (b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", INVOKE + b"content-length: 1000000\r\n\r\n\"")
FLOOD = INVOKE + b"".join(b"x-%d: %s\r\n" % (number, b"x" * 100) for number in range(5_000)) + b"\r\n"
SLOW_PAUSE = 0.5
FLOOD_PAUSE = 0.1


def connect():
    return socket.create_connection(("127.0.0.1", PORT), timeout=30)


def idle():
    """A connection that was good for one request, and then says nothing."""
    connection = connect()
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        answer += connection.recv(65536)
    connection.setblocking(False)
    return connection


def is_open(connection):
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


class Slow:
    """A connection that says one byte at a time; once it is hung up on, it comes again."""

    def __init__(self, start):
        self.start, self.connection, self.said, self.returned = start, None, 0, 0
        self.come()

    def come(self):
        self.connection = connect()
        self.connection.sendall(self.start)
        self.connection.setblocking(False)

    def say(self):
        try:
            if not is_open(self.connection):
                raise ConnectionResetError
            self.said += self.connection.send(b"x")
        except OSError:
            self.connection.close()
            self.returned += 1
            self.come()


def flood():
    """More headers than anybody reads; the status of the answer, if there is one."""
    with connect() as connection:
        try:
            connection.sendall(FLOOD)
        except OSError:
            pass
        try:
            return connection.recv(65536)[9:12].decode()
        except OSError:
            return ""


def main():
    idlers = [idle() for _ in range(IDLE)]
    slow = [Slow(SLOW_STARTS[number % 2]) for number in range(SLOW)]
    floods = []
    print("ready", flush=True)
    told_to_stop = selectors.DefaultSelector()
    told_to_stop.register(sys.stdin, selectors.EVENT_READ)
    next_word = time.monotonic()
    while not told_to_stop.select(FLOOD_PAUSE):
        floods.append(flood())
        if time.monotonic() >= next_word:
            next_word += SLOW_PAUSE
            for each in slow:
                each.say()
    seen = {
        "idle": sum(map(is_open, idlers)),
        "said": sum(each.said for each in slow),
        "returned": sum(each.returned for each in slow),
        "floods": sorted(set(floods)),
        "flooded": len(floods),
    }
    print(json.dumps(seen), flush=True)


main()

"""The same signature again: accepted within its window, as at AWS, or refused if the server is set so."""

import json
import shutil
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import wire
from served import Asserting, client
from server import REGION, Server
from signing import Person, Request, allow, moment

ALICE = Person("alice", allow("*"))
ECHO = "/2015-03-31/functions/echo"


class Replays(Asserting):
    flags = ()

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.keys = f"{self.folder}/keys.json"
        with open(self.keys, "w") as file:
            json.dump({"credentials": [ALICE.entry()]}, file)
        self.server = self.start()
        self.addCleanup(lambda: self.server.kill())

    def start(self):
        return Server("--auth", self.keys, *self.flags)

    def signed(self, *parameters):
        request = Request(self.server, *parameters)
        request.headers.clear()
        return request.sign(ALICE)

    def send(self, request):
        """To the server as it is now, which may have another port than when the request was signed."""
        host = f"{request.server.address[0]}:{request.server.address[1]}"
        headers = [("host", host), ("connection", "close"), ("content-length", len(request.body))]
        sent = wire.head(request.method, request.path, headers + list(request.headers.items())) + request.body
        return wire.exchange_bytes(self.server, sent, request.method)


class Accepted(Replays):
    def test_a_signature_is_accepted_again_within_its_window(self):
        """SIG-04"""
        for request in (
            self.signed(),
            self.signed("GET", ECHO, b""),
            Request(self.server, "GET", ECHO, b"").presign(ALICE, expires=604800),
        ):
            for _ in range(3):
                self.assertEqual(self.send(request).status, 200)

    def test_equal_concurrent_calls_are_all_executed(self):
        """SIG-04, as two clients with one key and no headers of an SDK make them"""
        with moment(0):
            requests = [self.signed() for _ in range(16)]
        with ThreadPoolExecutor(8) as pool:
            self.assertEqual({answer.status for answer in pool.map(self.send, requests)}, {200})

    @unittest.skipUnless(shutil.which("curl"), "there is no curl")
    def test_curl_may_send_the_same_request_twice(self):
        """SIG-01, SIG-04"""
        for ask in (["--data", '{"same":1}', self.server.url + wire.invocations("echo")], [self.server.url + ECHO]):
            for _ in range(3):
                said = subprocess.run(
                    ["curl", "--silent", "--show-error", "--aws-sigv4", f"aws:amz:{REGION}:lambda"]
                    + ["--user", f"{ALICE.access_key}:{ALICE.secret_key}"]
                    + ["--header", "content-type: application/json", "--write-out", "\n%{http_code}", *ask],
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                self.assertEqual(said.stdout.rpartition("\n")[2], "200", said)

    def test_the_http_date_header_is_accepted(self):
        """SIG-04, SIG-09: botocore takes the header Date where a request has one, and sends no X-Amz-Date."""
        request = Request(self.server, headers=[("Date", "is set when it is signed")]).sign(ALICE)
        self.assertNotIn("X-Amz-Date", request.headers)
        self.assertIn("date;host", request.headers["Authorization"])
        self.assertEqual(request.send().status, 200)
        request.headers["Date"] = request.headers["Date"].replace("20", "19", 1)
        self.assertEqual(request.send().status, 403)
        old = Request(self.server, headers=[("Date", "")]).sign(ALICE, ago=20 * 60).send()
        self.assert_refused(old, "InvalidSignatureException", 403)

    def test_an_unsigned_date_is_refused(self):
        """SIG-09"""
        request = Request(self.server, headers=[("Date", "")]).sign(ALICE, forgotten=["date"])
        self.assert_refused(request.send(), "IncompleteSignatureException", 403)
        without = self.signed()
        del without.headers["X-Amz-Date"]
        refused = without.send()
        self.assert_refused(refused, "IncompleteSignatureException", 403)
        self.assertIn("'X-Amz-Date' or a 'Date' header", refused.json()["message"])

    def test_a_hash_of_the_body_need_not_be_signed(self):
        """SIG-06: aws-requests-auth sends it beside what it signs."""
        hashed = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        request = self.signed()
        request.headers["x-amz-content-sha256"] = hashed
        self.assertEqual(request.send().status, 200)
        request.headers["x-amz-content-sha256"] = "0" + hashed[1:]
        self.assertEqual(request.send().status, 403)
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        self.assertEqual(request.send().status, 403)


class Refused(Replays):
    flags = ("--replays", "refuse")

    def start(self):
        return Server("--auth", self.keys, "--data", f"{self.folder}/store", *self.flags)

    def assert_used_up(self, request):
        answer = self.send(request)
        self.assertEqual((answer.status, answer.code), (403, "RequestReplayedException"), answer)

    def test_an_accepted_signature_is_refused_after_kill_9_and_after_a_stop(self):
        """SIG-04: a presigned URL that is good for a week, too."""
        requests = [
            self.signed(),
            self.signed("GET", ECHO, b""),
            Request(self.server, "GET", ECHO, b"").presign(ALICE, expires=604800),
        ]
        unused = Request(self.server, "GET", ECHO, b"").presign(ALICE, expires=604799)
        for request in requests:
            self.assertEqual(self.send(request).status, 200)
            self.assert_used_up(request)
        for end in (Server.kill, Server.interrupt):
            end(self.server)
            self.server = self.start()
            for request in requests:
                self.assert_used_up(request)
        self.assertEqual(self.send(unused).status, 200, "a restart uses nothing up")

    def test_a_signature_in_use_at_kill_9_is_used_up(self):
        """SIG-04: it is kept before the call begins."""
        request = self.signed("POST", wire.invocations("sleep"), b'{"milliseconds": 2500}')
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.send, request)
            while self.running("sleep") == 0:
                self.assertFalse(asked.done(), "it was over before it was seen")
            self.server.kill()
            self.assertIsNotNone(asked.exception(), "it was answered")
        self.server = self.start()
        self.assert_used_up(request)

    def running(self, function):
        """How many calls of a function are carried out."""
        path = f"/_redrive/functions/{function}/stats"
        return Request(self.server, "GET", path, b"").sign(ALICE).send().json()["Calls"]["running"]

    def test_an_sdk_may_repeat_a_call_within_a_second(self):
        """SIG-06"""
        alice = client(self.server, ALICE.access_key, ALICE.secret_key)
        for _ in range(20):
            self.assertEqual(alice.invoke(FunctionName="echo", Payload=b"{}")["StatusCode"], 200)

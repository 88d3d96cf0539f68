"""The base of the suites: a test case with a server, its clients, and assertions on AWS's responses."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
import unittest
import uuid
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import wire
from server import REGION, ROOT, Server

# ERR-02: the case of the message's key depends on the shape.
UPPER_CASE = {"ResourceNotFoundException", "ServiceException"}
LOWER_CASE = {
    "InvalidParameterValueException",
    "InvalidRequestContentException",
    "PolicyLengthExceededException",
    "PreconditionFailedException",
    "RequestEntityTooLargeException",
    "ResourceConflictException",
    "ResourceNotReadyException",
    "TooManyRequestsException",
    "UnsupportedMediaTypeException",
}


def client(server, access_key="AKIAIOSFODNN7EXAMPLE", secret_key="secret", token=None, **config):
    """A boto3 client of the server, without the SDK's own retries (PAR-02)."""
    config.setdefault("parameter_validation", False)
    return boto3.client(
        "lambda",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60, **config),
    )


def is_uuid(text):
    try:
        return str(uuid.UUID(text)) == text.lower()
    except (TypeError, ValueError):
        return False


class Refusal:
    """Filled in when the call has been refused."""

    error = message = response = None


class Asserting(unittest.TestCase):
    """Assertions on answers, whoever got them."""

    maxDiff = 4000

    @contextlib.contextmanager
    def refused(self, code, status):
        """The SDK must see this error class, with this HTTP status and a request id."""
        refusal = Refusal()
        with self.assertRaises(ClientError) as caught:
            yield refusal
        refusal.error = caught.exception
        refusal.response = caught.exception.response
        refusal.message = refusal.response["Error"]["Message"]
        met = refusal.response["ResponseMetadata"]
        self.assertEqual(
            (refusal.response["Error"]["Code"], met["HTTPStatusCode"]), (code, status), refusal.response
        )
        self.assertTrue(is_uuid(met.get("RequestId")), met)
        self.assertTrue(refusal.message, refusal.response)

    def assert_aws_shape(self, answer, typed=True):
        """ERR-01, ERR-02, INV-19: what every error answer is made of.

        `typed` unless a line says that `Type` is missing.
        """
        self.assertTrue(is_uuid(answer.request_id), f"no request id: {answer}")
        self.assertGreaterEqual(answer.status, 400, answer)
        self.assertTrue(answer.code, f"no x-amzn-ErrorType: {answer}")
        self.assertTrue(answer.headers.get("content-type", "").startswith("application/json"), answer)
        body = answer.json()
        self.assertIsInstance(body, dict)
        if answer.code in UPPER_CASE:
            self.assertIn("Message", body, answer)
        elif answer.code in LOWER_CASE:
            self.assertIn("message", body, answer)
        else:
            self.assertTrue({"Message", "message"} & body.keys(), answer)
        # INV-26: AWS refuses what is too large before Lambda sees it.
        outside = body.get("message", "").startswith("Request must be smaller than ")
        if answer.code == "ValidationException" or outside:
            self.assertNotIn("Type", body, answer)
        elif answer.code in UPPER_CASE | LOWER_CASE and typed:
            kinds = ["User"] if answer.status < 500 else ["Server", "Service"]
            self.assertIn(body.get("Type"), kinds, answer)

    def assert_refused(self, answer, code, status):
        """An error answer of AWS's shape, with this code and status."""
        self.assertEqual((answer.code, answer.status), (code, status), answer)
        self.assert_aws_shape(answer)


class Served(Asserting):
    """Tests that share one server, for they leave nothing behind on it."""

    flags = ()
    afresh = False

    @classmethod
    def setUpClass(cls):
        if not cls.afresh:
            cls.open(Server(*cls.flags))
            cls.addClassCleanup(cls.server.kill)

    def setUp(self):
        if self.afresh:
            self.open(Server(*self.flags))
            self.addCleanup(lambda: self.server.kill())

    @classmethod
    def open(cls, server):
        cls.server = server
        cls.aws = client(server)

    def invoke(self, function, payload=None, **parameters):
        """Invokes through boto3; what came back is read into `Payload`."""
        if payload is not None:
            parameters["Payload"] = json.dumps(payload).encode()
        answer = self.aws.invoke(FunctionName=function, **parameters)
        answer["Payload"] = answer["Payload"].read()
        return answer

    def send(self, function, payload=None, **parameters):
        """Invokes asynchronously; returns the request id."""
        answer = self.invoke(function, payload, InvocationType="Event", **parameters)
        self.assertEqual(answer["StatusCode"], 202)
        return answer["ResponseMetadata"]["RequestId"]

    def ask(self, method, path, body=None):
        """One request of the API beyond AWS; the parsed answer."""
        sent = b"" if body is None else json.dumps(body).encode()
        answer = wire.exchange(self.server, method, f"/_redrive/{path}", sent)
        self.assertLess(answer.status, 300, answer)
        self.assertTrue(is_uuid(answer.request_id), answer)
        return answer.json() if answer.body else None

    def event(self, request_id, wait=20):
        """What became of an event, once it is known, or after `wait` seconds what it is doing."""
        return self.ask("GET", f"events/{request_id}?wait={wait}")

    def eventually(self, question, seconds=20):
        """Asks until the answer is true."""
        deadline = time.monotonic() + seconds
        while not (found := question()):
            self.assertLess(time.monotonic(), deadline, "it never came true")
            time.sleep(0.01)
        return found

    def cli(self, *words, fails=False, **environment):
        """Runs the AWS CLI; returns what it printed, parsed, or its error text."""
        endpoint = [] if "AWS_ENDPOINT_URL_LAMBDA" in environment else ["--endpoint-url", self.server.url]
        with tempfile.TemporaryDirectory() as home:
            ran = subprocess.run(
                [ROOT / "target/python/bin/aws", *endpoint, "lambda", *words],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": home,
                    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                    "AWS_SECRET_ACCESS_KEY": "secret",
                    "AWS_DEFAULT_REGION": REGION,
                    "AWS_MAX_ATTEMPTS": "1",
                    **environment,
                },
                capture_output=True,
                text=True,
            )
        if fails:
            self.assertNotEqual(ran.returncode, 0, ran.stdout)
            return ran.stderr
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout) if ran.stdout.strip() else None

    def cli_invoke(self, *words, **environment):
        """`aws lambda invoke`: what it printed, and the bytes of its output file."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            printed = self.cli("invoke", *words, str(out), **environment)
            return printed, out.read_bytes()


class ServedAfresh(Served):
    """Tests that change the server, so that each gets one of its own."""

    afresh = True

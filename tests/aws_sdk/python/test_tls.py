"""The same API over TLS, with a certificate beside this file that only these tests trust."""

import contextlib
import json
import ssl
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, SSLError

import wire
from served import Served
from server import REGION

CERTIFICATE = Path(__file__).with_name("certificate") / "localhost.pem"
KEY = CERTIFICATE.with_suffix(".key")


class Tls(Served):
    flags = ("--cert", CERTIFICATE, "--key", KEY)

    def client(self, trusted):
        return boto3.client(
            "lambda",
            endpoint_url=self.server.url,
            region_name=REGION,
            aws_access_key_id="a",
            aws_secret_access_key="s",
            verify=str(trusted) if trusted else None,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def test_boto3_is_served_over_https(self):
        """INV-01, PAR-01"""
        self.assertTrue(self.server.url.startswith("https://"))
        answer = self.client(CERTIFICATE).invoke(FunctionName="echo", Payload=b"[1]")
        self.assertEqual(json.loads(answer["Payload"].read()), [1])

    def test_a_client_that_does_not_trust_the_certificate_gets_no_response(self):
        """PAR-01"""
        with self.assertRaises((SSLError, EndpointConnectionError)):
            self.client(None).invoke(FunctionName="echo")

    def test_plain_http_is_not_served_on_the_tls_port(self):
        """PAR-01: nothing of a request that came in the clear is answered."""
        with wire.connect(self.server) as connection:
            connection.sendall(b"GET /_redrive/health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            self.assertNotIn(b"HTTP/", connection.recv(65536))

    def test_tls_1_2_and_1_3_are_supported(self):
        """PAR-01"""
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = ssl.create_default_context(cafile=CERTIFICATE)
            context.minimum_version = context.maximum_version = version
            with wire.connect(self.server) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
                self.assertEqual(tls.version(), name)

    @contextlib.contextmanager
    def connection(self):
        context = ssl.create_default_context(cafile=CERTIFICATE)
        with wire.connect(self.server) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            yield tls

    def test_malformed_http_over_tls_is_refused(self):
        """ERR-01, ERR-02"""
        with self.connection() as tls:
            tls.sendall(b"GARBAGE\r\n\r\n")
            self.assert_refused(wire.answer(tls), "InvalidRequestContentException", 400)
            self.assertEqual(tls.recv(1), b"")

    def test_malformed_http_over_tls_is_refused_after_earlier_responses(self):
        """ERR-01, ERR-02"""
        good = wire.head("POST", wire.invocations("sleep"), [("host", "localhost"), ("content-length", 2)]) + b"50"
        with self.connection() as tls:
            tls.sendall(good + good + b"GARBAGE\r\n\r\n")
            for _ in range(2):
                self.assertEqual(wire.answer(tls).status, 200)
            self.assert_refused(wire.answer(tls), "InvalidRequestContentException", 400)

    def test_a_large_body_is_echoed_over_tls(self):
        """INV-26"""
        body = b'"' + b"x" * ((6 << 20) - 2) + b'"'
        with self.connection() as tls:
            headers = [("host", "localhost"), ("content-length", len(body))]
            tls.sendall(wire.head("POST", wire.invocations("echo"), headers) + body)
            self.assertEqual(wire.answer(tls).body, body)

    def test_http_1_0_and_head_are_served(self):
        """ERR-01: the first closes, the second has no body."""
        with self.connection() as tls:
            tls.sendall(b"HEAD /_redrive/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
            self.assertEqual(wire.answer(tls, "HEAD").body, b"")
            tls.sendall(b"GET /_redrive/health/live HTTP/1.0\r\n\r\n")
            self.assertEqual(wire.answer(tls).status, 200)
            self.assertEqual(tls.recv(1), b"")

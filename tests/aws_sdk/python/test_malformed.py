"""Requests that no SDK sends: broken bodies, headers, paths and methods. Each gets an AWS-style error."""

import base64
import contextlib
import socket
import uuid

import wire
from served import Served

SYNC, EVENT = "RequestResponse", "Event"
DEEP = 100_000


class Bodies(Served):
    """INV-09: what is not JSON is refused before anything is kept."""

    def assert_no_json(self, body):
        for kind in (SYNC, EVENT):
            with self.subTest(kind=kind, body=body[:40]):
                answer = wire.invoke(self.server, "echo", body, kind=kind)
                self.assert_refused(answer, "InvalidRequestContentException", 400)
                self.assertTrue(
                    answer.json()["message"].startswith(
                        "Could not parse request body into json: Could not parse payload into json: "
                    ),
                    answer,
                )

    def test_malformed_json_is_refused(self):
        """INV-09"""
        for body in (b"{", b"}", b"[1,]", b'{"a":}', b"{'a': 1}", b"nul", b"01", b'"open', b"\x00", b" ", b"1 2"):
            self.assert_no_json(body)

    def test_numbers_that_are_not_json_are_refused(self):
        """INV-09"""
        for body in (b"NaN", b"Infinity", b"+1", b".5", b"1.", b"0x10", b"1e"):
            self.assert_no_json(body)

    def test_text_that_is_not_utf_8_is_refused(self):
        """INV-09"""
        for body in (b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'{"\xfe": 1}', '"é"'.encode("latin-1")):
            self.assert_no_json(body)

    def test_json_in_utf_16_is_refused(self):
        """INV-09"""
        self.assert_no_json('{"a": 1}'.encode("utf-16"))

    def test_json_100000_levels_deep_is_refused_and_the_server_lives(self):
        """INV-09: whether it is taken or refused, nothing may overflow."""
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            for body in (opening * DEEP + b"1" + closing * DEEP, opening * DEEP):
                for kind in (SYNC, EVENT):
                    answer = wire.invoke(self.server, "echo", body, kind=kind)
                    if answer.status >= 400:
                        self.assert_refused(answer, "InvalidRequestContentException", 400)
        self.assertEqual(wire.invoke(self.server, "echo").status, 200)

    def test_invoke_async_is_as_strict(self):
        """INV-32"""
        for body in (b"{", b'"\xff"', b"[" * DEEP):
            answer = wire.exchange(self.server, "POST", "/2014-11-13/functions/echo/invoke-async/", body)
            self.assert_refused(answer, "InvalidRequestContentException", 400)

    def test_settings_that_are_not_json_are_refused(self):
        """CFG-11, CFG-24, CFG-29, CFG-31: a body is JSON there too."""
        for method, path in (
            ("PUT", "/2019-09-25/functions/echo/event-invoke-config"),
            ("POST", "/2019-09-25/functions/echo/event-invoke-config"),
            ("PUT", "/2017-10-31/functions/echo/concurrency"),
            ("PUT", "/2024-08-31/functions/echo/recursion-config"),
            ("POST", "/2015-03-31/functions/echo/policy"),
        ):
            for body in (b"{", b"[]", b'"\xff"', b"[" * DEEP, b"", b"7"):
                with self.subTest(path=path, body=body[:20]):
                    answer = wire.exchange(self.server, method, path, body)
                    self.assertIn(answer.status, (400, 404), answer)
                    self.assert_aws_shape(answer)


class Framing(Served):
    """INV-26, INV-27: sizes hold however the body comes, and what is too large is refused before it has come."""

    def request(self, *headers, kind=SYNC, path=None):
        path = path or wire.invocations("echo")
        return wire.head("POST", path, [("host", "127.0.0.1"), ("x-amz-invocation-type", kind), *headers])

    def test_a_declared_length_over_the_limit_is_refused_before_the_body_arrives(self):
        """INV-26, INV-27: all are asked at once, for an answer may wait a while for the body."""
        with contextlib.ExitStack() as open_connections:
            asked = []
            for kind, size in ((SYNC, 6291457), (EVENT, 1048577), (SYNC, 10**12), (EVENT, 2**63)):
                connection = open_connections.enter_context(wire.connect(self.server, timeout=30))
                connection.sendall(self.request(("content-length", size), kind=kind))
                asked.append((kind, size, connection))
            for kind, size, connection in asked:
                with self.subTest(kind=kind, size=size):
                    self.assert_refused(wire.answer(connection), "RequestEntityTooLargeException", 413)

    def test_a_chunked_body_is_accepted(self):
        """INV-08"""
        sent = self.request(("transfer-encoding", "chunked")) + b'2\r\n[1\r\n3;x=y\r\n,2]\r\n0\r\n\r\n'
        answer = wire.exchange_bytes(self.server, sent)
        self.assertEqual((answer.status, answer.json()), (200, [1, 2]))

    def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(self):
        """INV-26, INV-27"""
        for kind, limit in ((SYNC, 6291456), (EVENT, 1048576)):
            with self.subTest(kind=kind), wire.connect(self.server) as connection:
                connection.sendall(self.request(("transfer-encoding", "chunked"), kind=kind))
                chunk = b"10000\r\n" + b"1" * 0x10000 + b"\r\n"
                try:
                    for _ in range(limit // 0x10000 + 1):
                        connection.sendall(chunk)
                except OSError:
                    pass  # It need not read on once it has refused.
                # The end never comes: it must not be waited for.
                self.assert_refused(wire.answer(connection), "RequestEntityTooLargeException", 413)

    def test_an_endless_body_costs_no_memory(self):
        """INV-26"""
        wire.invoke(self.server, "echo")
        before = self.server.memory()
        for _ in range(8):
            with wire.connect(self.server, timeout=5) as connection:
                connection.sendall(self.request(("transfer-encoding", "chunked")))
                chunk = b"100000\r\n" + b"1" * 0x100000 + b"\r\n"
                try:
                    for _ in range(64):
                        connection.sendall(chunk)
                except OSError:
                    pass
        self.assertLess(self.server.memory() - before, 64 << 20)
        self.assertEqual(wire.invoke(self.server, "echo").status, 200)

    def test_a_truncated_body_runs_nothing(self):
        """ASY-01, INV-13"""
        for headers, body in (
            ([("content-length", 100)], b'{"message": "half"}'),
            ([("transfer-encoding", "chunked")], b'13\r\n{"message": "half"}\r\n'),
        ):
            with wire.connect(self.server) as connection:
                path = wire.invocations("fail")
                connection.sendall(self.request(*headers, kind=EVENT, path=path) + body)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass  # Until the server has hung up: it is done with the request.
        stats = self.ask("GET", "functions/fail/stats")
        self.assertEqual(stats["Events"]["accepted"], 0, stats)

    def test_lengths_that_contradict_each_other_are_refused(self):
        """ASY-01: or a proxy in front would see another request than we do."""
        for headers in (
            [("content-length", 2), ("content-length", 3)],
            [("content-length", "2, 3")],
            [("content-length", 2), ("transfer-encoding", "chunked")],
            [("content-length", -1)],
            [("content-length", "two")],
            [("content-length", "+2")],
            [("transfer-encoding", "chunked, gzip")],
            [("transfer-encoding", "gzip")],
        ):
            with self.subTest(headers=headers):
                answer = wire.exchange_bytes(self.server, self.request(*headers) + b"{}\r\n0\r\n\r\n")
                self.assert_refused(answer, "InvalidRequestContentException", 400)

    def test_a_chunk_of_no_size_is_refused(self):
        """ASY-01"""
        for chunk in (b"x\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffffff\r\n", b"2\r\n{}XX"):
            with self.subTest(chunk=chunk):
                sent = self.request(("transfer-encoding", "chunked")) + chunk
                answer = wire.exchange_bytes(self.server, sent)
                self.assertIn(answer.status, (400, 413), answer)
                self.assert_aws_shape(answer)

    def test_a_line_that_ends_in_lf_alone_is_refused(self):
        """ASY-01: or a proxy in front would see another request than we do."""
        path = wire.invocations("echo").encode()
        head = b"POST " + path + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nx-amz-invocation-type: Event\r\n"
        chunked = head + b"transfer-encoding: chunked\r\n\r\n"
        inner = head + b"content-length: 1\r\n\r\n7"
        for sent in (
            head.replace(b"\r\n", b"\n") + b"content-length: 1\n\n7",
            head + b"content-length: 1\n\r\n7",
            head + b"content-length: 1\r\n\n7",
            head + b"x-a: b\ncontent-length: 1\r\n\r\n7",
            head + b"x-a: b\rcontent-length: 1\r\n\r\n7",
            head + b"content-length: 1\r\nx-a: \0\r\n\r\n7",
            head + b"content-length : 1\r\n\r\n7",
            head + b"content-length: 1\r\n x-a: b\r\n\r\n7",
            chunked + b"1\n7\r\n0\r\n\r\n",
            chunked + b"1\r\n7\n0\r\n\r\n",
            chunked + b"1\r\n7\r\n0\n\r\n",
            chunked + b"1\r\n7\r\n0\r\n\n",
            chunked + b"1\r\n7\r\n0\r\nx-a: b\n\n" + inner,
        ):
            with self.subTest(sent=sent), wire.connect(self.server) as connection:
                connection.sendall(sent)
                self.assert_refused(wire.answer(connection), "InvalidRequestContentException", 400)
                self.assertEqual(connection.recv(1), b"", "nothing more is answered")
        self.assertEqual(self.ask("GET", "functions/echo/stats")["Events"]["accepted"], 0)

    def test_a_connection_serves_several_requests(self):
        """INV-19: also after a refusal, and each answer with an id of its own."""
        with wire.connect(self.server) as connection:
            ids = set()
            for body, status in ((b"1", 200), (b"{", 400), (b"2", 200)):
                connection.sendall(self.request(("content-length", len(body))) + body)
                answer = wire.answer(connection)
                self.assertEqual(answer.status, status, answer)
                ids.add(answer.request_id)
            self.assertEqual(len(ids), 3)

    def test_expect_100_continue_is_honoured(self):
        """INV-01: botocore and curl may ask before they send."""
        with wire.connect(self.server) as connection:
            connection.sendall(self.request(("content-length", 2), ("expect", "100-continue")))
            self.assertIn(b"100", connection.recv(1024))
            connection.sendall(b"{}")
            self.assertEqual(wire.answer(connection).status, 200)


class Headers(Served):
    def test_a_malformed_client_context_is_refused(self):
        """INV-06"""
        for context in ("%%%", "e30", "AAAA", base64.b64encode(b'{"a":').decode(), "e30=" * 2000):
            for kind in (SYNC, "DryRun"):
                with self.subTest(context=context[:20], kind=kind):
                    headers = [("x-amz-client-context", context)]
                    answer = wire.invoke(self.server, "echo", headers=headers, kind=kind)
                    self.assert_refused(answer, "InvalidRequestContentException", 400)

    def test_a_client_context_that_is_not_ascii_is_refused(self):
        """INV-06: by either class, for no line says which."""
        answer = wire.invoke(self.server, "echo", headers=[("x-amz-client-context", b"\xff\xfe")])
        self.assertEqual(answer.status, 400, answer)
        self.assert_aws_shape(answer)

    def test_a_client_context_as_deep_as_it_may_be_long_overflows_nothing(self):
        """INV-06"""
        context = base64.b64encode(b"[" * 2600).decode()
        answer = wire.invoke(self.server, "echo", headers=[("x-amz-client-context", context)])
        self.assert_refused(answer, "InvalidRequestContentException", 400)

    def test_an_unknown_invocation_type_is_refused_and_runs_nothing(self):
        """INV-04"""
        for kind in ("event", "Fire", "", "Event, Event", b"\xff"):
            with self.subTest(kind=kind):
                headers = [("x-amz-invocation-type", kind)]
                answer = wire.invoke(self.server, "echo", headers=headers)
                self.assertEqual(answer.status, 400, answer)
                self.assert_aws_shape(answer)

    def test_an_unknown_log_type_is_refused(self):
        """INV-05"""
        answer = wire.invoke(self.server, "echo", headers=[("x-amz-log-type", "Head")])
        self.assertEqual(answer.status, 400, answer)
        self.assert_aws_shape(answer)

    def test_a_malformed_request_id_is_refused(self):
        """INV-10"""
        for chosen in ("7", "not-a-uuid", "z" * 36, b"\xff"):
            with self.subTest(chosen=chosen):
                headers = [("x-amzn-requestid", chosen)]
                answer = wire.invoke(self.server, "echo", headers=headers)
                self.assert_refused(answer, "InvalidRequestContentException", 400)

    def test_a_chosen_request_id_is_accepted(self):
        """INV-10"""
        headers = [("x-amzn-requestid", str(uuid.uuid4()))]
        self.assertEqual(wire.invoke(self.server, "echo", headers=headers).status, 200)

    def test_content_types_of_the_sdks_are_accepted(self):
        """INV-11"""
        for kind in (
            "application/json",
            "application/json; charset=utf-8",
            "application/octet-stream",
            "binary/octet-stream",
            "application/x-amz-json-1.0",
        ):
            answer = wire.invoke(self.server, "echo", headers=[("content-type", kind)])
            self.assertEqual(answer.status, 200, answer)
        self.assertEqual(wire.invoke(self.server, "echo").status, 200)

    def test_another_content_type_is_accepted_or_refused_as_unsupported(self):
        """INV-11"""
        answer = wire.invoke(self.server, "echo", headers=[("content-type", "text/html")])
        if answer.status != 200:
            self.assert_refused(answer, "UnsupportedMediaTypeException", 415)

    def test_every_trace_header_is_accepted(self):
        """INV-12, XRY-01"""
        for header in (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=25:a87bd80c:1;Other=x",
            "Self=1-5759e988-bd862e3fe1be46a994272793",
            "nonsense",
            ";;;===",
            "",
            "x" * 5000,
            b"Root=\xff",
        ):
            with self.subTest(header=header):
                answer = wire.invoke(self.server, "echo", headers=[("x-amzn-trace-id", header)])
                self.assertEqual(answer.status, 200, answer)

    def test_a_flood_of_headers_is_refused_and_the_server_lives(self):
        """INV-28"""
        for flood in (
            [("x-one", "x" * (2 << 20))],
            [(f"x-{number}", "x" * 100) for number in range(20_000)],
            [("x-same", "1")] * 50_000,
        ):
            answer = wire.invoke(self.server, "echo", headers=flood)
            self.assert_refused(answer, "RequestHeaderFieldsTooLargeException", 431)
            self.assertEqual(wire.invoke(self.server, "echo").status, 200)

    def test_an_unfinished_head_times_out(self):
        """ERR-01, ERR-02"""
        with wire.connect(self.server, timeout=30) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: ")
            self.assert_refused(wire.answer(connection), "RequestTimeoutException", 408)

    def test_a_header_line_without_end_is_cut_off(self):
        """INV-28"""
        with wire.connect(self.server, timeout=20) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nx-endless: ")
            with self.assertRaises(OSError, msg="it read 64 MiB of one header"):
                for _ in range(64):
                    connection.sendall(b"x" * (1 << 20))


class Hosts(Served):
    def test_a_host_that_is_not_loopback_is_refused_with_advice(self):
        """SIG-01: without credentials this machine alone is served, by a name of its own."""
        port = self.server.address[1]
        for host in ("redrive", f"redrive:{port}", "10.0.0.1", "x" * 1000):
            with self.subTest(host=host[:20]):
                sent = wire.head("GET", "/2015-03-31/functions", [("host", host)])
                answer = wire.exchange_bytes(self.server, sent, "GET")
                self.assert_refused(answer, "AccessDeniedException", 403)
                said = answer.json()
                said = said.get("Message") or said.get("message")
                for part in (host[:90], f"http://localhost:{port}", "LambdaApi::credentials", "--auth FILE"):
                    self.assertIn(part, said)
                self.assertLess(len(said), 700)


class Paths(Served):
    def assert_nothing_there(self, method, path, body=b""):
        with self.subTest(method=method, path=path):
            answer = wire.exchange(self.server, method, path, body)
            self.assertGreaterEqual(answer.status, 400, answer)
            self.assertLess(answer.status, 500, answer)
            if method == "HEAD":
                self.assertTrue(answer.code, answer)
                self.assertTrue(answer.request_id, answer)
            else:
                self.assert_aws_shape(answer)

    def test_an_unknown_path_gets_an_error_of_awss_shape(self):
        """ERR-01, ERR-02, INV-19"""
        for path in (
            "/",
            "/nothing",
            "/2015-03-31",
            "/2015-03-31/functions/",
            "/2015-03-31/functions/echo/nothing",
            "/2015-03-31/functions/echo/invocations/more",
            "/1999-01-01/functions/echo/invocations",
            "/2015-03-31/functions//invocations",
            "//2015-03-31/functions/echo/invocations",
            "/_redrive",
            "/_redrive/nothing",
        ):
            for method in ("GET", "POST"):
                if (method, path) != ("GET", "/2015-03-31/functions/"):
                    self.assert_nothing_there(method, path)

    def test_an_unknown_method_gets_an_error_of_awss_shape(self):
        """ERR-01, ERR-02, INV-19"""
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"):
            self.assert_nothing_there(method, wire.invocations("echo"))
        for method in ("PATCH", "BREW", "HEAD"):
            self.assert_nothing_there(method, "/2015-03-31/functions/echo")

    def test_malformed_escapes_are_refused(self):
        """NAM-04, SIG-10"""
        for name in ("%zz", "%", "%e", "echo%00", "%ff", "%c0%af", "%2e%2e%2fecho", "echo%0d%0aX%3a%20y"):
            self.assert_nothing_there("POST", wire.invocations(name), b"{}")

    def test_an_escaped_name_is_the_name(self):
        """INV-02, SIG-10"""
        escaped_arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho"
        for name in ("%65cho", "echo%3Alive", "echo%3alive", escaped_arn):
            answer = wire.invoke(self.server, name)
            self.assertEqual((answer.status, answer.body), (200, b"{}"), answer)

    def test_every_query_gets_a_response(self):
        """INV-03"""
        for query in ("", "&&", "Qualifier", "Qualifier=", "x=y", "Qualifier=1&Qualifier=live", "Qualifier=%ff", "%"):
            with self.subTest(query=query):
                answer = wire.exchange(self.server, "POST", f"{wire.invocations('echo')}?{query}", b"{}")
                if answer.status != 200:
                    self.assertLess(answer.status, 500)
                    self.assert_aws_shape(answer)

    def test_a_path_without_end_is_refused(self):
        """INV-28, NAM-03"""
        for size in (1000, 60_000, 2 << 20):
            answer = wire.invoke(self.server, "n" * size)
            self.assertIn(answer.status, (400, 431), answer)
            self.assert_aws_shape(answer)
        self.assertEqual(wire.invoke(self.server, "echo").status, 200)

    def test_malformed_http_is_refused_and_the_connection_closed(self):
        """ERR-01, ERR-02"""
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20  # As TLS begins.
        for noise in (hello, b"GARBAGE\r\n\r\n", b"\x00" * 4096):
            with self.subTest(noise=noise[:10]), wire.connect(self.server, timeout=20) as connection:
                connection.sendall(noise)
                answer = wire.answer(connection)
                self.assert_refused(answer, "InvalidRequestContentException", 400)
                self.assertEqual(connection.recv(1), b"")
        self.assertEqual(wire.invoke(self.server, "echo").status, 200)

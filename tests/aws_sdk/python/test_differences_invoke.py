"""AWS's responses to invocations, row by row of the account of differences. Each check has the id of its row."""

import base64
import json
import time

import wire
from served import Served
from server import arn

BAD_CONTEXT = "Client context must be a valid Base64-encoded JSON object."
ROOT = "1-5e724476-c67b46bf2d130f10d11a427d"


class Rows(Served):
    flags = ("--retry-delays", "10,10", "--timeout", "1000")

    def row(self, row):
        """A check of one row of the account."""
        return self.subTest(row=row)


class Contexts(Rows):
    def test_a_client_context_is_an_object(self):
        """INV-06"""
        encoded = lambda text: base64.b64encode(text).decode()
        for row, context in (
            ("client context string", "string"),
            ("client context no JSON", "bm90IGpzb24="),
            ("client context not base64", "%%%"),
            ("client context array", encoded(b"[1]")),
            ("client context number", encoded(b"1")),
            ("client context not UTF-8", encoded(b'{"a":"\xff"}')),
            ("client context empty", encoded(b" ")),
        ):
            for kind in ("RequestResponse", "Event", "DryRun"):
                with self.row(row), self.refused("InvalidRequestContentException", 400) as refusal:
                    self.invoke("echo", {}, ClientContext=context, InvocationType=kind)
                self.assertEqual(refusal.message, BAD_CONTEXT)
        with self.refused("InvalidRequestContentException", 400) as refusal:
            self.invoke("echo", {}, ClientContext="A" * 3584)
        self.assertIn("3583", refusal.message)
        self.invoke("echo", {}, ClientContext=encoded(b' {"a": {}} '))


class DryRuns(Rows):
    def test_a_dry_run_accepts_what_a_call_accepts(self):
        """INV-15, INV-26"""
        for size in (1_048_577, 6_291_456):
            payload = b'"' + b"x" * (size - 2) + b'"'
            with self.row(f"DryRun {size}"):
                answer = wire.invoke(self.server, "echo", payload, kind="DryRun")
                self.assertEqual((answer.status, answer.body), (204, b""))
        answer = wire.invoke(self.server, "echo", b'"' + b"x" * 6_291_455 + b'"', kind="DryRun")
        self.assert_refused(answer, "RequestEntityTooLargeException", 413)


class Failures(Rows):
    """INV-21 to INV-25: what kept the handler from answering has these two members and no others."""

    def failed(self, function, payload):
        answer = self.invoke(function, payload)
        self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
        return json.loads(answer["Payload"])

    def test_a_result_over_the_limit_has_awss_error(self):
        for row, size in (("response 6291557", 6_291_557), ("response 7 MiB", 7 << 20)):
            with self.row(row):
                self.assertEqual(
                    self.failed("big", {"bytes": size}),
                    {
                        "errorType": "Function.ResponseSizeTooLarge",
                        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
                    },
                )

    def test_a_panic_has_awss_error_members(self):
        with self.row("panic"):
            told = self.failed("panic", {"message": "overboard"})
            self.assertEqual(told.keys(), {"errorType", "errorMessage"})
            self.assertEqual(told["errorMessage"], "Lambda panicked: overboard")

    def test_a_timeout_has_awss_error_members(self):
        with self.row("timeout"):
            told = self.failed("sleep", {"milliseconds": 5000})
            self.assertEqual(told.keys(), {"errorType", "errorMessage"})
            self.assertEqual(told["errorType"], "Sandbox.Timedout")
            self.assertRegex(told["errorMessage"], r"^RequestId: \S{36} Error: Task timed out after 1\.00 seconds$")

    def test_an_error_of_the_handler_has_the_request_id(self):
        answer = self.invoke("fail", {"message": "bad"})
        self.assertEqual(
            json.loads(answer["Payload"])["requestId"], answer["ResponseMetadata"]["RequestId"]
        )


class Qualifiers(Rows):
    def test_latest_published_is_an_unknown_qualifier(self):
        """NAM-02, NAM-13"""
        for name, query in (
            ("echo", {"Qualifier": "$LATEST.PUBLISHED"}),
            ("echo:$LATEST.PUBLISHED", {}),
            ("echo:$LATEST.PUBLISHED", {"Qualifier": "$LATEST.PUBLISHED"}),
        ):
            message = f"Function not found: {arn('echo', '$LATEST.PUBLISHED')}"
            for kind in ("RequestResponse", "Event", "DryRun"):
                with self.refused("ResourceNotFoundException", 404) as refusal:
                    self.invoke(name, {}, InvocationType=kind, **query)
                self.assertEqual(refusal.message, message)
            for call in (self.aws.get_function, self.aws.get_function_configuration):
                with self.refused("ResourceNotFoundException", 404) as refusal:
                    call(FunctionName=name, **query)
                self.assertEqual(refusal.message, message)
        for qualifier in ("$LATEST.PUBLISHE", "LATEST.PUBLISHED", "a.b"):
            with self.refused("ValidationException", 400) as refusal:
                self.invoke("echo", {}, Qualifier=qualifier)
            self.assertIn("at 'qualifier'", refusal.message)


class Traces(Rows):
    def traced(self, function, body, kind, header=None):
        headers = [("X-Amzn-Trace-Id", header)] if header is not None else []
        answer = wire.invoke(self.server, function, body, headers, kind)
        self.assertIn(answer.status, (200, 202), answer)
        return answer

    def letter(self, answer):
        """The trace header of the event's dead letter: what its handler has seen."""
        self.event(answer.request_id)
        return self.ask("GET", f"dead-letters/{answer.request_id}")["trace_header"]

    def test_the_response_to_an_event_has_its_trace(self):
        """XRY-01, XRY-03, XRY-04"""
        for header in (None, f"Root={ROOT}", f"Root={ROOT};Parent=2981f7c8188419dc;Sampled=1;X=y", "garbage"):
            with self.subTest(header=header):
                answer = self.traced("fail", b'{"message":"x"}', "Event", header)
                trace = answer.headers["x-amzn-trace-id"]
                self.assertRegex(trace, r"^Root=1-[0-9a-f]{8}-[0-9a-f]{24}")
                if header and header.startswith("Root"):
                    self.assertEqual(trace, header)
                self.assertEqual(self.letter(answer), trace)

    def test_a_repeated_event_gets_the_first_trace(self):
        """INV-10, BYD-12"""
        request_id = "0b9f1ab7-5a43-4d1b-9f2f-0d6c3b1a2c3d"
        headers = [("x-amzn-RequestId", request_id)]
        send = lambda: wire.invoke(self.server, "echo", b"{}", headers, "Event")
        first = send()
        # A trace that begins here has the second in which its event was accepted.
        second = int(time.time())
        self.eventually(lambda: int(time.time()) > second)
        again = send()
        self.assertEqual((first.status, again.status), (202, 202))
        self.assertRegex(first.headers["x-amzn-trace-id"], r"^Root=1-")
        self.assertEqual(again.headers["x-amzn-trace-id"], first.headers["x-amzn-trace-id"])

    def test_the_response_to_a_call_has_its_trace(self):
        """XRY-03"""
        for function, body in (("echo", b"{}"), ("fail", b'{"message":"x"}')):
            answer = self.traced(function, body, "RequestResponse", f"Root={ROOT}")
            self.assertEqual(answer.headers["x-amzn-trace-id"], f"Root={ROOT}")
            answer = self.traced(function, body, "RequestResponse")
            self.assertRegex(answer.headers["x-amzn-trace-id"], r"^Root=1-")

    def test_a_long_trace_header_keeps_the_root_and_sampling(self):
        """XRY-01"""
        for kind in ("RequestResponse", "Event"):
            answer = self.traced("fail", b'{"message":"x"}', kind, f"Root={ROOT};Sampled=1;x=" + "y" * 3000)
            self.assertEqual(answer.headers["x-amzn-trace-id"], f"Root={ROOT};Sampled=1")
            if kind == "Event":
                self.assertEqual(self.letter(answer), f"Root={ROOT};Sampled=1")

    def test_trace_keys_may_have_any_case(self):
        """XRY-01"""
        expected = f"Root={ROOT};Parent=2981f7c8188419dc;Sampled=1;x=Y"
        for kind in ("RequestResponse", "Event"):
            for key in (str.lower, str.upper, str.swapcase):
                pairs = [("Self", "1-x"), ("Root", ROOT), ("Parent", "2981f7c8188419dc"), ("Sampled", "1")]
                header = ";".join(f"{key(name)}={value}" for name, value in pairs) + ";x=Y"
                answer = self.traced("fail", b'{"message":"x"}', kind, header)
                self.assertEqual(answer.headers["x-amzn-trace-id"], expected)
                if kind == "Event":
                    self.assertEqual(self.letter(answer), expected)


class Media(Rows):
    def test_another_content_type_is_accepted(self):
        """INV-11, UNV-22: on purpose. What AWS takes is not recorded, and the body is JSON whatever it is called."""
        with self.row("image/gif"):
            answer = wire.invoke(self.server, "echo", b"{}", [("content-type", "image/gif")])
            self.assertEqual((answer.status, answer.body), (200, b"{}"))

"""Invoke as boto3 sees it: the three invocation types, their responses, and their size limits."""

import base64
import json

import wire
from served import Served, ServedAfresh, client, is_uuid
from server import arn

HANDLED_HEADERS = ("x-amz-function-error", "x-amz-executed-version", "x-amz-log-result")


def headers(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]


class InvocationTypes(Served):
    flags = ("--retry-delays", "10,20")

    def test_a_synchronous_call_returns_what_the_function_returned(self):
        """INV-01, INV-04, INV-14, INV-17, INV-19"""
        for kind in ({}, {"InvocationType": "RequestResponse"}):
            answer = self.invoke("echo", {"a": [1, "é", None]}, **kind)
            self.assertEqual(answer["StatusCode"], 200)
            self.assertEqual(json.loads(answer["Payload"]), {"a": [1, "é", None]})
            self.assertEqual(answer["ExecutedVersion"], "$LATEST")
            self.assertNotIn("FunctionError", answer)
            self.assertTrue(is_uuid(answer["ResponseMetadata"]["RequestId"]))

    def test_any_json_value_is_a_payload(self):
        """INV-08, INV-20"""
        for payload in (b"null", b"true", b"1.5", b'"text"', b"[]", b"{}", b' {"a" : 1} '):
            answer = self.aws.invoke(FunctionName="echo", Payload=payload)
            self.assertEqual(json.loads(answer["Payload"].read()), json.loads(payload))

    def test_an_empty_body_becomes_an_empty_object(self):
        """INV-08"""
        for nothing in ({}, {"Payload": b""}):
            answer = self.aws.invoke(FunctionName="echo", **nothing)
            self.assertEqual(json.loads(answer["Payload"].read()), {})

    def test_a_function_that_returns_nothing_returns_null(self):
        """INV-20"""
        self.assertEqual(self.invoke("sleep", {"milliseconds": 0})["Payload"], b"null")

    def test_an_event_gets_an_empty_202(self):
        """INV-13"""
        answer = self.invoke("echo", {"a": 1}, InvocationType="Event", LogType="Tail")
        self.assertEqual((answer["StatusCode"], answer["Payload"]), (202, b""))
        for header in HANDLED_HEADERS:
            self.assertNotIn(header, headers(answer))

    def test_an_event_runs_under_the_request_id_of_its_202(self):
        """INV-19"""
        event = self.event(self.send("echo", {"a": 1}))
        self.assertEqual(event["state"], "succeeded", event)

    def test_a_dry_run_is_a_204_and_runs_nothing(self):
        """INV-15"""
        answer = self.invoke("fail", {"message": "ran"}, InvocationType="DryRun")
        self.assertEqual((answer["StatusCode"], answer["Payload"]), (204, b""))
        for header in HANDLED_HEADERS:
            self.assertNotIn(header, headers(answer))
        # Whatever it could have started would have ended before this one.
        self.event(self.send("fail", {"message": "marker"}))
        letters = self.ask("GET", "dead-letters?function=fail")
        self.assertEqual(letters["total"], 1, letters)

    def test_a_dry_run_checks_its_parameters(self):
        """INV-15"""
        with self.refused("ResourceNotFoundException", 404):
            self.invoke("nobody", {}, InvocationType="DryRun")
        with self.refused("ResourceNotFoundException", 404):
            self.invoke("echo", {}, InvocationType="DryRun", Qualifier="nothing")

    def test_invoke_async_is_a_202(self):
        """INV-30, INV-33"""
        answer = self.aws.invoke_async(FunctionName="echo", InvokeArgs=b'{"a": 1}')
        self.assertEqual(answer["Status"], 202)
        event = self.event(answer["ResponseMetadata"]["RequestId"])
        self.assertEqual(event["state"], "succeeded", event)

    def test_invoke_async_gives_the_refusals_of_invoke(self):
        """INV-32"""
        with self.refused("ResourceNotFoundException", 404):
            self.aws.invoke_async(FunctionName="nobody", InvokeArgs=b"{}")
        with self.refused("InvalidRequestContentException", 400):
            self.aws.invoke_async(FunctionName="echo", InvokeArgs=b"{")

    def test_headers_of_unsupported_features_are_ignored(self):
        """INV-07"""
        answer = self.invoke("echo", {}, DurableExecutionName="of-some-kind")
        self.assertEqual(answer["StatusCode"], 200)
        for name, value in (("x-amz-tenant-id", "t" * 256), ("x-amz-durable-execution-name", "d" * 64)):
            for kind, status in (("RequestResponse", 200), ("Event", 202), ("DryRun", 204)):
                answer = wire.invoke(self.server, "echo", headers=[(name, value)], kind=kind)
                self.assertEqual(answer.status, status, answer)


class Qualifiers(Served):
    def test_each_form_of_a_name_reaches_the_function(self):
        """INV-02, NAM-02"""
        for name in (
            "echo",
            "function:echo",
            "000000000000:function:echo",
            "us-east-1:000000000000:function:echo",
            arn("echo"),
        ):
            for qualifier, version in (("", "$LATEST"), (":$LATEST", "$LATEST"), (":1", "1"), (":live", "1")):
                with self.subTest(name=name + qualifier):
                    answer = self.invoke(name + qualifier, {})
                    self.assertEqual(answer["ExecutedVersion"], version)

    def test_a_qualifier_selects_a_version_or_an_alias(self):
        """INV-03, INV-17"""
        for qualifier, version in (("$LATEST", "$LATEST"), ("1", "1"), ("live", "1")):
            answer = self.invoke("echo", {}, Qualifier=qualifier)
            self.assertEqual(answer["ExecutedVersion"], version)

    def test_events_and_dry_runs_take_qualifiers_too(self):
        """INV-03"""
        event = self.event(self.send("echo:live", {}))
        self.assertEqual(event["state"], "succeeded", event)
        self.assertEqual(self.invoke("echo", {}, Qualifier="1", InvocationType="DryRun")["StatusCode"], 204)


class FailingFunctions(Served):
    flags = ("--timeout", "1000")

    def failed(self, function, payload):
        """The error object of a synchronous call that failed (INV-14, INV-16, INV-21)."""
        answer = self.invoke(function, payload)
        self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
        self.assertEqual(answer["ExecutedVersion"], "$LATEST")
        error = json.loads(answer["Payload"])
        self.assertIsInstance(error["errorType"], str)
        return error, answer["ResponseMetadata"]["RequestId"]

    def test_an_error_is_a_200_with_an_error_object(self):
        """INV-14, INV-16, INV-21, INV-25"""
        error, _ = self.failed("fail", {"message": "no disk 💾"})
        self.assertEqual(error["errorMessage"], "no disk 💾")

    def test_a_panic_is_an_error_with_its_message(self):
        """INV-16, INV-25"""
        error, _ = self.failed("panic", {"message": "out of cheese"})
        self.assertIn("out of cheese", error["errorMessage"])

    def test_a_timeout_names_the_request_and_the_seconds(self):
        """INV-23, CFL-05"""
        error, request_id = self.failed("sleep", {"milliseconds": 60_000})
        self.assertEqual(error["errorType"], "Sandbox.Timedout")
        self.assertEqual(
            error["errorMessage"], f"RequestId: {request_id} Error: Task timed out after 1.00 seconds"
        )

    def test_a_payload_of_another_type_fails_the_function_and_not_the_call(self):
        """INV-14"""
        error, _ = self.failed("fail", {"massage": "?"})
        self.assertIn("message", error["errorMessage"])

    def test_a_response_over_the_limit_is_a_function_error(self):
        """INV-24"""
        error, _ = self.failed("big", {"bytes": 6291557})
        self.assertEqual(error["errorType"], "Function.ResponseSizeTooLarge")
        self.assertEqual(
            error["errorMessage"],
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        )

    def test_a_response_at_the_limit_arrives(self):
        """INV-24"""
        answer = self.invoke("big", {"bytes": 6291556})
        self.assertNotIn("FunctionError", answer)
        self.assertEqual(len(answer["Payload"]), 6291556)


def text(size):
    """A JSON string of so many bytes."""
    return b'"' + b"x" * (size - 2) + b'"'


class Sizes(Served):
    def test_a_synchronous_request_at_the_limit_is_accepted(self):
        """INV-26, INV-29"""
        answer = self.aws.invoke(FunctionName="echo", Payload=text(6291456))
        self.assertEqual(answer["StatusCode"], 200)
        self.assertEqual(len(answer["Payload"].read()), 6291456)

    def test_a_synchronous_request_over_the_limit_is_refused(self):
        """INV-26, CFL-04"""
        with self.refused("RequestEntityTooLargeException", 413) as refusal:
            self.aws.invoke(FunctionName="echo", Payload=text(6291457))
        self.assertEqual(
            refusal.message,
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        )

    def test_an_event_at_the_limit_is_accepted(self):
        """INV-27, INV-29, CFL-03"""
        answer = self.aws.invoke(FunctionName="echo", Payload=text(1048576), InvocationType="Event")
        self.assertEqual(answer["StatusCode"], 202)
        event = self.event(answer["ResponseMetadata"]["RequestId"])
        self.assertEqual(event["state"], "succeeded")

    def test_an_event_over_the_limit_is_refused(self):
        """INV-27, CFL-04"""
        with self.refused("RequestEntityTooLargeException", 413) as refusal:
            self.aws.invoke(FunctionName="echo", Payload=text(1048577), InvocationType="Event")
        self.assertEqual(
            refusal.message,
            "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
        )

    def test_invoke_async_keeps_its_old_limit(self):
        """INV-31, CFL-03"""
        answer = self.aws.invoke_async(FunctionName="echo", InvokeArgs=text(262144))
        self.assertEqual(answer["Status"], 202)
        with self.refused("RequestEntityTooLargeException", 413):
            self.aws.invoke_async(FunctionName="echo", InvokeArgs=text(262145))


class ClientContext(Served):
    CONTEXT = base64.b64encode(json.dumps({"custom": {"who": "test"}}).encode()).decode()

    def test_a_client_context_may_come_with_each_invocation_type(self):
        """INV-06"""
        for kind, status in (("RequestResponse", 200), ("Event", 202), ("DryRun", 204)):
            answer = self.invoke("echo", {}, InvocationType=kind, ClientContext=self.CONTEXT)
            self.assertEqual(answer["StatusCode"], status)

    def test_a_client_context_must_be_base64_of_json(self):
        """INV-06"""
        for bad in ("!", "e30", base64.b64encode(b"{").decode(), base64.b64encode(b"\xff").decode()):
            with self.subTest(context=bad), self.refused("InvalidRequestContentException", 400):
                self.invoke("echo", {}, ClientContext=bad)

    def test_a_client_context_may_be_3583_bytes_long(self):
        """INV-06: the longest base64 below it has 3580."""
        for size, code in ((2685, None), (2688, "InvalidRequestContentException")):
            context = base64.b64encode(b'{"custom":"' + b"x" * (size - 13) + b'"}').decode()
            if code is None:
                self.assertEqual(self.invoke("echo", {}, ClientContext=context)["StatusCode"], 200)
            else:
                with self.refused(code, 400):
                    self.invoke("echo", {}, ClientContext=context)


class Capacity(ServedAfresh):
    def test_a_call_beyond_the_reserved_concurrency_is_throttled_and_an_event_waits(self):
        """CON-02, ERR-05, ERR-06, ERR-08, ASY-20, ASY-21"""
        self.aws.put_function_concurrency(FunctionName="sleep", ReservedConcurrentExecutions=1)
        busy = self.send("sleep", {"milliseconds": 1500})
        self.eventually(lambda: self.event(busy, wait=0)["state"] == "running")
        with self.refused("TooManyRequestsException", 429) as refusal:
            self.invoke("sleep", {"milliseconds": 0})
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        self.assertEqual(refusal.response["Reason"], reason)
        self.assertEqual(refusal.message, "Rate Exceeded.")
        waiting = self.event(self.send("sleep", {"milliseconds": 0}))
        self.assertEqual(waiting["state"], "succeeded", waiting)


class Repeats(ServedAfresh):
    def test_an_event_sent_twice_under_one_chosen_id_runs_once(self):
        """INV-10, BYD-12: an SDK's own retry of a call whose answer was lost."""
        chosen = "7d1c1ab4-1f4e-4c2b-9a34-0c8f2d1e5b60"
        for _ in range(2):
            answer = wire.invoke(
                self.server, "echo", b"[1]", [("x-amzn-requestid", chosen)], kind="Event"
            )
            self.assertEqual((answer.status, answer.request_id), (202, chosen), answer)
        self.assertEqual(self.event(chosen)["state"], "succeeded")
        self.assertEqual(self.ask("GET", "functions/echo/stats")["Events"]["accepted"], 1)

    def test_retries_of_an_sdk_run_the_event_once(self):
        """ERR-09: each POST is an event of its own."""
        patient = client(self.server, tcp_keepalive=True)
        ids = {
            patient.invoke(FunctionName="echo", Payload=b"{}", InvocationType="Event")["ResponseMetadata"][
                "RequestId"
            ]
            for _ in range(20)
        }
        self.assertEqual(len(ids), 20)

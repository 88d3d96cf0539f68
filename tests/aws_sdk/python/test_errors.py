"""Every class of error that a client can provoke: on the wire, and as boto3 and the CLI read it."""

import json
import re

import wire
from served import ServedAfresh
from server import arn

INVOKE = wire.invocations("echo")
CONFIG = "/2019-09-25/functions/echo/event-invoke-config"
CONCURRENCY = "/2017-10-31/functions/echo/concurrency"
RECURSION = "/2024-08-31/functions/echo/recursion-config"
POLICY = "/2015-03-31/functions/echo/policy"
GRANT = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}

# What is asked, and what is refused: method, path, body, status, code, the keys of the body beside its message.
REFUSALS = [
    ("POST", wire.invocations("nobody"), {}, 404, "ResourceNotFoundException", {"Type": "User"}),
    ("POST", wire.invocations("echo!"), {}, 400, "ValidationException", {}),
    ("POST", wire.invocations("echo:1", "live"), {}, 400, "InvalidParameterValueException", {"Type": "User"}),
    ("POST", INVOKE, b"{", 400, "InvalidRequestContentException", {"Type": "User"}),
    ("POST", INVOKE, b"1" * 6291457, 413, "RequestEntityTooLargeException", {}),
    ("GET", "/2015-03-31/functions/nobody", b"", 404, "ResourceNotFoundException", {"Type": "User"}),
    ("GET", "/2015-03-31/functions/?FunctionVersion=SOME", b"", 400, "ValidationException", {}),
    ("PUT", CONFIG, {}, 400, "InvalidParameterValueException", {"Type": "User"}),
    ("PUT", CONFIG, {"MaximumRetryAttempts": 3}, 400, "ValidationException", {}),
    ("POST", CONFIG, {"MaximumRetryAttempts": 1}, 404, "ResourceNotFoundException", {"Type": "User"}),
    ("GET", CONFIG, b"", 404, "ResourceNotFoundException", {"Type": "User"}),
    ("DELETE", CONFIG, b"", 404, "ResourceNotFoundException", {"Type": "User"}),
    ("PUT", CONCURRENCY, {"ReservedConcurrentExecutions": 901}, 400, "InvalidParameterValueException", {}),
    ("PUT", CONCURRENCY, {"ReservedConcurrentExecutions": -1}, 400, "ValidationException", {}),
    ("PUT", RECURSION, {"RecursiveLoop": "Perhaps"}, 400, "ValidationException", {}),
    ("POST", POLICY, GRANT | {"Principal": "?"}, 400, "InvalidParameterValueException", {"Type": "User"}),
    ("GET", POLICY, b"", 404, "ResourceNotFoundException", {"Type": "User"}),
    ("DELETE", f"{POLICY}/s", b"", 404, "ResourceNotFoundException", {"Type": "User"}),
]


class Envelopes(ServedAfresh):
    def test_each_error_has_its_header_its_status_and_its_keys(self):
        """ERR-01, ERR-02, ERR-03, ERR-04, INV-19"""
        for method, path, body, status, code, keys in REFUSALS:
            with self.subTest(method=method, path=path, code=code):
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                answer = wire.exchange(self.server, method, path, sent)
                self.assert_envelope(answer, status, code, keys)

    def assert_envelope(self, answer, status, code, keys):
        self.assertEqual((answer.status, answer.code), (status, code), answer)
        body = answer.json()
        message = body.pop("Message" if code == "ResourceNotFoundException" else "message")
        self.assertTrue(message)
        self.assertEqual(body, keys)
        self.assert_aws_shape(answer, typed="Type" in keys)

    def test_a_throttled_call_says_why_and_since_when_one_may_try_again(self):
        """ERR-05, ERR-06, ASY-28"""
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        answer = wire.exchange(self.server, "POST", INVOKE, b"{}")
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        self.assertEqual((answer.status, answer.code), (429, "TooManyRequestsException"))
        self.assertEqual(answer.json(), {"Reason": reason, "Type": "User", "message": "Rate Exceeded."})
        after = answer.headers.get("retry-after")
        if after is not None:
            self.assertTrue(after.isdigit(), after)

    def test_a_conflict_is_a_409(self):
        """ERR-02, ERR-04, CFG-35"""
        body = json.dumps(GRANT).encode()
        self.assertEqual(wire.exchange(self.server, "POST", POLICY, body).status, 201)
        answer = wire.exchange(self.server, "POST", POLICY, body)
        self.assert_envelope(answer, 409, "ResourceConflictException", {"Type": "User"})

    def test_a_stale_revision_is_a_412(self):
        """ERR-02, ERR-04, CFG-35"""
        wire.exchange(self.server, "POST", POLICY, json.dumps(GRANT).encode())
        stale = GRANT | {"StatementId": "other", "RevisionId": "stale"}
        answer = wire.exchange(self.server, "POST", POLICY, json.dumps(stale).encode())
        self.assert_envelope(answer, 412, "PreconditionFailedException", {"Type": "User"})

    def test_a_policy_that_grows_too_long_is_refused(self):
        """ERR-02, ERR-04, CFG-35"""
        for number in range(200):
            grant = GRANT | {"StatementId": f"{number:03}" + "s" * 97}
            answer = wire.exchange(self.server, "POST", POLICY, json.dumps(grant).encode())
            if answer.status != 201:
                break
        self.assert_envelope(answer, 400, "PolicyLengthExceededException", {"Type": "User"})
        policy = self.aws.get_policy(FunctionName="echo")["Policy"]
        self.assertLessEqual(len(policy), 20 << 10)
        self.assertGreater(len(policy), 19 << 10)


class Classes(ServedAfresh):
    def test_boto3_raises_the_class_of_each_error(self):
        """ERR-01, ERR-04"""
        aws = self.aws
        errors = aws.exceptions
        name = {"FunctionName": "echo"}
        with self.assertRaises(errors.ResourceNotFoundException):
            aws.invoke(FunctionName="nobody")
        with self.assertRaises(errors.InvalidParameterValueException):
            aws.invoke(FunctionName="echo:1", Qualifier="live")
        with self.assertRaises(errors.InvalidRequestContentException):
            aws.invoke(Payload=b"{", **name)
        aws.add_permission(**name, **GRANT)
        with self.assertRaises(errors.PreconditionFailedException):
            aws.add_permission(**name, **GRANT, RevisionId="stale")
        with self.assertRaises(errors.ResourceConflictException):
            aws.add_permission(**name, **GRANT)
        aws.put_function_concurrency(**name, ReservedConcurrentExecutions=0)
        with self.assertRaises(errors.TooManyRequestsException) as caught:
            aws.invoke(**name)
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        self.assertEqual(caught.exception.response["Reason"], reason)

    def test_the_cli_prints_code_operation_and_message(self):
        """ERR-01, NAM-13"""
        said = self.cli("invoke", "--function-name", "nobody", "/dev/null", fails=True)
        self.assertIn("(ResourceNotFoundException)", said)
        self.assertIn("the Invoke operation", said)
        self.assertIn(f"Function not found: {arn('nobody', '$LATEST')}", said)

    def test_the_cli_names_a_throttled_call(self):
        """ERR-05"""
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        said = self.cli("invoke", "--function-name", "echo", "/dev/null", fails=True)
        self.assertIn("(TooManyRequestsException)", said)
        self.assertIn("Rate Exceeded.", said)


class Operations(ServedAfresh):
    def test_the_sdk_has_no_operation_that_is_unknown_here(self):
        """ERR-01, CFG-01, ORD-03: what isn't done here is refused by name, with what to do instead."""
        model = self.aws.meta.service_model
        for name in model.operation_names:
            http = model.operation_model(name).http
            path = re.sub(r"\{\w+\}", "echo", http["requestUri"])
            with self.subTest(operation=name, path=path):
                answer = wire.exchange(self.server, http["method"], path, b"{}")
                self.assertNotEqual(answer.code, "UnknownOperationException", answer)
                if answer.status >= 400:
                    self.assert_aws_shape(answer, typed=False)
                if "is not supported by this runtime" in str(answer.body):
                    self.assertRegex(answer.json()["message"], r"^\w+ is not supported by this runtime: \w+")

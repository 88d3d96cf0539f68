"""AWS's command line, as a user at a terminal runs it (PAR-01)."""

import base64
import json

from served import ServedAfresh
from server import FUNCTIONS, arn

ECHO = ("--function-name", "echo")


class CommandLine(ServedAfresh):
    flags = ("--retry-delays", "10,20")

    def test_invoke_writes_what_the_function_returned(self):
        """INV-01, INV-14, INV-17"""
        printed, payload = self.cli_invoke(*ECHO, "--payload", '{"a": [1]}')
        self.assertEqual(printed, {"StatusCode": 200, "ExecutedVersion": "$LATEST"})
        self.assertEqual(json.loads(payload), {"a": [1]})

    def test_an_event_is_a_202_and_an_empty_file(self):
        """INV-13"""
        printed, payload = self.cli_invoke(*ECHO, "--invocation-type", "Event", "--payload", '{"a": 1}')
        self.assertEqual((printed, payload), ({"StatusCode": 202}, b""))
        self.eventually(lambda: self.ask("GET", "functions/echo/stats")["Events"]["succeeded"] == 1)

    def test_a_dry_run_is_a_204(self):
        """INV-15"""
        printed, _ = self.cli_invoke(*ECHO, "--invocation-type", "DryRun")
        self.assertEqual(printed, {"StatusCode": 204})

    def test_a_failed_function_is_reported_and_the_command_succeeds(self):
        """INV-14, INV-16, INV-18"""
        printed, payload = self.cli_invoke(
            "--function-name", "fail", "--payload", '{"message": "no"}', "--log-type", "Tail"
        )
        self.assertEqual((printed["StatusCode"], printed["FunctionError"]), (200, "Unhandled"))
        self.assertEqual(json.loads(payload)["errorMessage"], "no")
        self.assertIn("END RequestId: ", base64.b64decode(printed["LogResult"]).decode())

    def test_the_endpoint_may_come_from_the_environment(self):
        """PAR-01"""
        printed = self.cli("get-function-configuration", *ECHO, AWS_ENDPOINT_URL_LAMBDA=self.server.url)
        self.assertEqual(printed["FunctionArn"], arn("echo"))

    def test_the_cli_reads_all_pages_of_a_listing(self):
        """CFG-01, CFG-02"""
        printed = self.cli("list-functions", "--page-size", "3")
        self.assertEqual([each["FunctionName"] for each in printed["Functions"]], FUNCTIONS)
        printed = self.cli("list-functions", "--max-items", "2")
        self.assertEqual(len(printed["Functions"]), 2)
        self.assertIn("NextToken", printed)

    def test_settings_can_be_put_read_and_deleted(self):
        """CFG-11, CFG-13, CFG-24, CFG-29"""
        config = ("--maximum-retry-attempts", "1", "--maximum-event-age-in-seconds", "60")
        put = self.cli("put-function-event-invoke-config", *ECHO, "--qualifier", "live", *config)
        self.assertEqual(put["FunctionArn"], arn("echo", "live"))
        self.assertEqual(self.cli("get-function-event-invoke-config", *ECHO, "--qualifier", "live"), put)
        self.assertIsNone(self.cli("delete-function-event-invoke-config", *ECHO, "--qualifier", "live"))
        reserved = ("--reserved-concurrent-executions", "0")
        self.assertEqual(
            self.cli("put-function-concurrency", *ECHO, *reserved), {"ReservedConcurrentExecutions": 0}
        )
        self.assertIsNone(self.cli("delete-function-concurrency", *ECHO))
        loop = self.cli("put-function-recursion-config", *ECHO, "--recursive-loop", "Allow")
        self.assertEqual(loop, {"RecursiveLoop": "Allow"})

    def test_permissions_can_be_added_read_and_removed(self):
        """CFG-31, CFG-32, CFG-36, CFG-37"""
        bucket = "arn:aws:s3:::bucket"
        statement = ("--statement-id", "s", "--action", "lambda:InvokeFunction")
        source = ("--principal", "s3.amazonaws.com", "--source-arn", bucket)
        added = json.loads(self.cli("add-permission", *ECHO, *statement, *source)["Statement"])
        self.assertEqual(added["Condition"], {"ArnLike": {"AWS:SourceArn": bucket}})
        policy = json.loads(self.cli("get-policy", *ECHO)["Policy"])
        self.assertEqual(policy["Statement"], [added])
        self.assertIsNone(self.cli("remove-permission", *ECHO, "--statement-id", "s"))

    def test_waiters_succeed(self):
        """CFG-10"""
        for waiter in ("function-active-v2", "function-updated-v2"):
            self.assertIsNone(self.cli("wait", waiter, *ECHO))

    def test_a_refusal_is_an_error_with_its_class(self):
        """ERR-01, CFG-15, CFG-17"""
        said = self.cli("get-function-event-invoke-config", *ECHO, fails=True)
        self.assertIn("(ResourceNotFoundException)", said)
        said = self.cli("put-function-event-invoke-config", *ECHO, fails=True)
        self.assertIn("(InvalidParameterValueException)", said)

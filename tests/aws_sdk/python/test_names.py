"""Names, ARNs and qualifiers: the accepted forms, and the refusals of others."""

from botocore.exceptions import ClientError

from served import Served
from server import arn


class Names(Served):
    def assert_invalid(self, fields, **parameters):
        """NAM-04, NAM-05: the code, the number of failures and the fields; not the pattern's text."""
        with self.subTest(**parameters):
            with self.refused("ValidationException", 400) as refusal:
                self.aws.invoke(Payload=b"{}", **parameters)
            plural = "error" if len(fields) == 1 else "errors"
            self.assertTrue(
                refusal.message.startswith(f"{len(fields)} validation {plural} detected: "), refusal.message
            )
            for field in fields:
                self.assertIn(f"at '{field}' failed to satisfy constraint: ", refusal.message)
            self.assertNotIn("Type", refusal.response, "ERR-03")

    def assert_unknown(self, name, message=None, **parameters):
        with self.subTest(name=name, **parameters):
            with self.refused("ResourceNotFoundException", 404) as refusal:
                self.aws.invoke(FunctionName=name, Payload=b"{}", **parameters)
            if message:
                self.assertEqual(refusal.message, message)

    def test_a_name_with_other_characters_is_invalid(self):
        """NAM-01, NAM-04"""
        for name in ("echo!", "ec ho", "écho", "echo/..", "echo*", "../echo", "%", "echo\n"):
            self.assert_invalid(["functionName"], FunctionName=name)

    def test_the_error_contains_the_invalid_value(self):
        """NAM-04"""
        with self.refused("ValidationException", 400) as refusal:
            self.invoke("echo!", {})
        self.assertIn("Value 'echo!' at 'functionName'", refusal.message)

    def test_several_failures_are_reported_at_once(self):
        """NAM-05"""
        self.assert_invalid(["functionName", "qualifier"], FunctionName="echo!", Qualifier="!")

    def test_a_bad_qualifier_is_invalid(self):
        """NAM-06, INV-03"""
        for qualifier in ("q" * 129, "a.b", "a b", "!", "é"):
            self.assert_invalid(["qualifier"], FunctionName="echo", Qualifier=qualifier)

    def test_a_qualifier_of_128_characters_is_valid_and_unknown(self):
        """NAM-06, NAM-13"""
        self.assert_unknown("echo", Qualifier="q" * 128)

    def test_a_name_of_65_characters_is_valid_and_unknown(self):
        """NAM-07"""
        self.assert_unknown("n" * 65)

    def test_a_name_may_be_256_characters_long(self):
        """NAM-03"""
        self.assert_unknown("n" * 256)
        self.assert_invalid(["functionName"], FunctionName="n" * 257)

    def test_a_broken_arn_is_invalid(self):
        """NAM-08"""
        for name in (
            arn("echo", "1:2"),
            arn("echo", "$LATEST:extra"),
            arn("echo", "$LATES"),
            "echo:$LATES",
            "arn:aws:lambda::000000000000:function:echo",
            "arn:aws:lambda:us-east-1::function:echo",
            "arn:aws:lambda:nowhere:000000000000:function:echo",
            "arn:aws:lambda:us-east-1:0000:function:echo",
            "arn:aws:ec2:us-east-1:000000000000:instance:echo",
            "arn:aws:sqs:us-east-1:000000000000:echo",
        ):
            self.assert_invalid(["functionName"], FunctionName=name)

    def test_an_arn_that_ends_early_means_a_function_named_function(self):
        """NAM-09"""
        self.assert_unknown("arn:aws:lambda:us-east-1:000000000000:function")

    def test_latest_in_lower_case_is_unknown_as_a_parameter(self):
        """NAM-10"""
        message = f"Function not found: {arn('echo', '$latest')}"
        self.assert_unknown("echo", message, Qualifier="$latest")

    def test_two_qualifiers_must_agree(self):
        """NAM-11"""
        with self.refused("InvalidParameterValueException", 400) as refusal:
            self.invoke("echo:live", {}, Qualifier="1")
        self.assertEqual(
            refusal.message,
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
        self.assertEqual(self.invoke(arn("echo", "live"), {}, Qualifier="live")["StatusCode"], 200)

    def test_another_region_is_not_reachable(self):
        """NAM-12"""
        self.assert_unknown(
            "arn:aws:lambda:eu-west-1:000000000000:function:echo",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        )

    def test_an_unknown_function_is_named_by_its_arn(self):
        """NAM-13, CFL-10"""
        latest = f"Function not found: {arn('nobody', '$LATEST')}"
        for kind in ("RequestResponse", "Event", "DryRun"):
            self.assert_unknown("nobody", latest, InvocationType=kind)
        self.assert_unknown(arn("nobody"), latest)
        self.assert_unknown("nobody", f"Function not found: {arn('nobody', 'live')}", Qualifier="live")
        self.assert_unknown("echo", f"Function not found: {arn('echo', 'dead')}", Qualifier="dead")
        self.assert_unknown("echo:7", f"Function not found: {arn('echo', '7')}")

    def test_a_function_of_another_account_is_out_of_reach(self):
        """NAM-02, NAM-13: whatever its code, nothing of account 111111111111 is here."""
        with self.assertRaises(ClientError) as caught:
            self.invoke("111111111111:function:echo", {})
        self.assertIn(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], (403, 404))

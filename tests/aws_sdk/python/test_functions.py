"""Descriptions of functions: listings, pages, one function, waiters, and operations that an in-process runtime lacks."""

import json

from botocore.exceptions import ClientError

import wire
from served import Served, ServedAfresh, is_uuid
from server import FUNCTIONS, VERSIONS, arn

STATES = {"State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason"}


class Listings(Served):
    def test_each_function_is_listed_once_with_its_unqualified_arn(self):
        """CFG-01, CFG-02"""
        functions = self.aws.list_functions()["Functions"]
        self.assertEqual(
            {each["FunctionName"]: each["FunctionArn"] for each in functions},
            {name: arn(name) for name in FUNCTIONS},
        )
        self.assertEqual(len(functions), len(FUNCTIONS))

    def test_all_versions_are_listed_with_qualified_arns(self):
        """CFG-02"""
        functions = self.aws.list_functions(FunctionVersion="ALL")["Functions"]
        expected = {arn(name, "$LATEST") for name in FUNCTIONS}
        expected |= {arn(name, version) for name, versions in VERSIONS.items() for version in versions}
        self.assertEqual({each["FunctionArn"] for each in functions}, expected)
        self.assertEqual(len(functions), len(expected))

    def test_a_listing_omits_states(self):
        """CFG-03"""
        for function in self.aws.list_functions()["Functions"]:
            self.assertFalse(STATES & function.keys() | {"RuntimeVersionConfig"} & function.keys(), function)

    def test_versions_are_all_or_latest(self):
        """CFG-04"""
        with self.refused("ValidationException", 400) as refusal:
            self.aws.list_functions(FunctionVersion="SOME")
        self.assertIn("at 'functionVersion' failed to satisfy constraint", refusal.message)
        self.assertIn("[ALL]", refusal.message)

    def test_pages_have_all_functions_each_once(self):
        """CFG-01"""
        for size in (1, 3, 8, 10_000):
            pages = list(self.aws.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": size}))
            names = [each["FunctionName"] for page in pages for each in page["Functions"]]
            self.assertEqual(sorted(names), FUNCTIONS)
            self.assertEqual(len(pages), -(-len(FUNCTIONS) // size))
            self.assertNotIn("NextMarker", pages[-1])

    def test_a_page_has_1_to_10000_items(self):
        """CFG-01"""
        for size in (0, -1, 10_001):
            with self.refused("ValidationException", 400) as refusal:
                self.aws.list_functions(MaxItems=size)
            self.assertIn("at 'maxItems'", refusal.message)

    def test_a_foreign_marker_is_no_server_error(self):
        """CFG-01: with a page or with a refusal, and never with a fault."""
        answer = wire.exchange(self.server, "GET", "/2015-03-31/functions/?Marker=%00nonsense")
        if answer.status != 200:
            self.assertEqual(answer.status, 400, answer)
            self.assert_aws_shape(answer)


class OneFunction(ServedAfresh):
    def test_a_function_is_described_with_its_code_and_configuration(self):
        """CFG-05"""
        answer = self.aws.get_function(FunctionName="echo")
        self.assertEqual(answer["Configuration"]["FunctionArn"], arn("echo"))
        self.assertIn("RepositoryType", answer["Code"])
        self.assertNotIn("Concurrency", answer)

    def test_reserved_concurrency_is_in_the_description(self):
        """CFG-05"""
        for reserved in (7, 0):
            self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=reserved)
            answer = self.aws.get_function(FunctionName="echo")
            self.assertEqual(answer["Concurrency"], {"ReservedConcurrentExecutions": reserved})

    def test_the_configuration_has_what_the_cli_shows(self):
        """CFG-06, CFG-07"""
        told = self.aws.get_function_configuration(FunctionName="echo")
        self.assertEqual((told["FunctionName"], told["Version"]), ("echo", "$LATEST"))
        self.assertEqual((told["State"], told["LastUpdateStatus"]), ("Active", "Successful"))
        self.assertEqual((told["PackageType"], told["Architectures"]), ("Zip", ["x86_64"]))
        self.assertEqual((told["TracingConfig"]["Mode"] in ("Active", "PassThrough")), True)
        self.assertEqual(told["LoggingConfig"], {"LogFormat": "Text", "LogGroup": "/aws/lambda/echo"})
        self.assertRegex(told["LastModified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000$")
        self.assertTrue(is_uuid(told["RevisionId"]))
        for number in ("CodeSize", "Timeout", "MemorySize"):
            self.assertIsInstance(told[number], int)
        for text in ("Runtime", "Role", "Handler", "Description", "CodeSha256"):
            self.assertIsInstance(told[text], str)
        self.assertEqual(told["EphemeralStorage"], {"Size": 512})
        self.assertEqual(told["SnapStart"], {"ApplyOn": "None", "OptimizationStatus": "Off"})

    def test_a_qualifier_selects_the_described_version(self):
        """CFG-05, CFG-06, CFG-23"""
        for qualifier in ("1", "live"):
            told = self.aws.get_function_configuration(FunctionName="echo", Qualifier=qualifier)
            self.assertEqual(told["Version"], "1")
            self.assertEqual(told["FunctionArn"], arn("echo", qualifier))
            told = self.aws.get_function(FunctionName=arn("echo", qualifier))
            self.assertEqual(told["Configuration"]["FunctionArn"], arn("echo", qualifier))

    def test_an_unknown_function_is_a_404(self):
        """NAM-13, CFG-05, CFG-06"""
        for call in (self.aws.get_function, self.aws.get_function_configuration):
            with self.refused("ResourceNotFoundException", 404) as refusal:
                call(FunctionName="nobody")
            self.assertIn(arn("nobody"), refusal.message)
            with self.refused("ResourceNotFoundException", 404) as refusal:
                call(FunctionName="echo", Qualifier="dead")
            self.assertIn(arn("echo", "dead"), refusal.message)

    def test_waiters_end_at_once(self):
        """CFG-10"""
        for waiter in ("function_active_v2", "function_updated_v2", "function_exists"):
            self.aws.get_waiter(waiter).wait(
                FunctionName="echo", WaiterConfig={"Delay": 0, "MaxAttempts": 1}
            )

    def test_the_account_has_its_limits(self):
        """CFG-09, CON-01"""
        told = self.aws.get_account_settings()
        self.assertEqual(told["AccountLimit"]["ConcurrentExecutions"], 1000)
        self.assertEqual(told["AccountLimit"]["UnreservedConcurrentExecutions"], 1000)
        self.assertEqual(told["AccountUsage"]["FunctionCount"], len(FUNCTIONS))
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=10)
        limit = self.aws.get_account_settings()["AccountLimit"]
        self.assertEqual(limit["UnreservedConcurrentExecutions"], 990)


class BeyondReach(ServedAfresh):
    """CFG-09: what an in-process runtime can't do is refused in so many words, and changes nothing."""

    def test_code_can_be_neither_uploaded_nor_deleted(self):
        """CFG-09, ERR-01, ERR-02"""
        for method, path, body in (
            ("POST", "/2015-03-31/functions", {"FunctionName": "new", "Role": "r", "Code": {"ZipFile": "UEs="}}),
            ("PUT", "/2015-03-31/functions/echo/code", {"ZipFile": "UEs="}),
            ("DELETE", "/2015-03-31/functions/echo", None),
            ("POST", "/2015-03-31/functions/echo/versions", {}),
            ("POST", "/2015-03-31/functions/echo/aliases", {"Name": "new", "FunctionVersion": "1"}),
            ("PUT", "/2015-03-31/functions/echo/configuration", {"Environment": {"Variables": {"A": "b"}}}),
            ("GET", "/2018-10-31/layers", None),
            ("GET", "/2015-03-31/event-source-mappings/", None),
            ("POST", "/2021-10-31/functions/echo/url", {"AuthType": "NONE"}),
            (
                "PUT",
                "/2019-09-30/functions/echo/provisioned-concurrency?Qualifier=1",
                {"ProvisionedConcurrentExecutions": 1},
            ),
        ):
            with self.subTest(method=method, path=path):
                sent = b"" if body is None else json.dumps(body).encode()
                answer = wire.exchange(self.server, method, path, sent)
                self.assertGreaterEqual(answer.status, 400, answer)
                self.assertNotIn(answer.status, (500, 502, 503, 504), "an SDK would try again (ERR-09)")
                self.assert_aws_shape(answer)
        listed = self.aws.list_functions(FunctionVersion="ALL")["Functions"]
        self.assertEqual(len(listed), len(FUNCTIONS) + sum(map(len, VERSIONS.values())))
        self.assertEqual(self.invoke("echo", {})["StatusCode"], 200)

    def test_boto3_reads_a_code_and_a_message(self):
        """CFG-09, ERR-01"""
        with self.assertRaises(ClientError) as caught:
            self.aws.create_function(FunctionName="new", Role="r", Code={"ZipFile": b"PK"})
        error = caught.exception.response["Error"]
        self.assertTrue(error["Code"].isalpha(), error)
        self.assertTrue(error["Message"], error)

"""Answers that once differed from those recorded of AWS, each by its id: names, permissions, concurrency, what HTTP carries,
and members that were taken though AWS's model forbids them.

What each answer is expected to be comes from AWS's recorded answers, botocore's model, or Smithy's protocol tests.
"""

import contextlib
import json
import re
import uuid

import wire
from served import Served, ServedAfresh
from server import ACCOUNT, REGION, arn

S3 = "s3.amazonaws.com"
INVOKE = "lambda:InvokeFunction"
CONCURRENCY = "/2017-10-31/functions/echo/concurrency"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetPolicy API to retrieve the latest Revision Id"
)
LONG, SHORT = "have length less than or equal to {}", "have length greater than or equal to {}"
PATTERN, NOT_NULL = "satisfy regular expression pattern", "not be null"


class Rows(ServedAfresh):
    afresh = False

    @contextlib.contextmanager
    def row(self, row_id, code, status, message=None):
        """One answer, by its row's id."""
        with self.subTest(row=row_id):
            with self.refused(code, status) as refusal:
                yield refusal
            if message:
                self.assertEqual(refusal.message, message)

    @contextlib.contextmanager
    def invalid(self, row_id, *told):
        """A validation error that tells these members and constraints, and nothing else."""
        with self.row(row_id, "ValidationException", 400) as refusal:
            yield
        errors = "error" if len(told) == 1 else "errors"
        self.assertTrue(refusal.message.startswith(f"{len(told)} validation {errors} detected: "), refusal.message)
        found = re.findall(r"at '([\w.]+)' failed to satisfy constraint: Member must (.*?)(?=; Value|$)", refusal.message)
        self.assertEqual(len(found), len(told), refusal.message)
        for (member, rule), (expected, constraint) in zip(found, told):
            self.assertEqual(member, expected)
            self.assertTrue(rule.startswith(constraint), rule)


class Names(Rows):
    def test_regions_have_awss_errors(self):
        """NAM-02, NAM-12"""
        for region in ("us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1", "us-gov-east-1"):
            message = f"Functions from '{region}' are not reachable in this region ('{REGION}')"
            with self.row(f"region-{region}", "ResourceNotFoundException", 404, message):
                self.invoke(f"arn:aws:lambda:{region}:{ACCOUNT}:function:echo", {})

    def test_lengths_and_patterns_of_names_have_awss_errors(self):
        """NAM-03, NAM-05"""
        both = [("functionName", LONG.format(256)), ("functionName", PATTERN)]
        with self.invalid("name-257-and-pattern", *both):
            self.invoke("!" * 257, {})
        for operation, call in (
            ("put_function_concurrency", lambda name: self.aws.put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=1)),
            ("get_function_concurrency", lambda name: self.aws.get_function_concurrency(FunctionName=name)),
            ("delete_function_concurrency", lambda name: self.aws.delete_function_concurrency(FunctionName=name)),
            ("list_aliases", lambda name: self.aws.list_aliases(FunctionName=name)),
            ("get_function_recursion_config", lambda name: self.aws.get_function_recursion_config(FunctionName=name)),
        ):
            with self.invalid(f"name-141-{operation}", ("functionName", LONG.format(140))):
                call("a" * 141)
            with self.row(f"name-140-{operation}", "ResourceNotFoundException", 404):
                call("a" * 140)

    def test_recursion_takes_no_qualifier(self):
        """CFG-29"""
        for row, call in (
            ("recursion-qualified-name", lambda: self.aws.get_function_recursion_config(FunctionName="echo:live")),
            ("recursion-qualified-put", lambda: self.aws.put_function_recursion_config(
                FunctionName=arn("echo", "1"), RecursiveLoop="Allow")),
        ):
            with self.invalid(row, ("functionName", PATTERN)):
                call()

    def test_another_account_has_awss_error(self):
        """NAM-13"""
        other = f"arn:aws:lambda:{REGION}:111111111111:function:echo"
        denied = (
            "User: anonymous is not authorized to perform: lambda:{0} on resource: {1} "
            "because no resource-based policy allows the lambda:{0} action"
        )
        for kind in ("RequestResponse", "Event", "DryRun"):
            message = denied.format("InvokeFunction", other)
            with self.row("other-account-invoke", "AccessDeniedException", 403, message):
                self.invoke(other, {}, InvocationType=kind)
        with self.row("other-account-get", "AccessDeniedException", 403, denied.format("GetFunction", other)):
            self.aws.get_function(FunctionName="111111111111:echo")


class Concurrency(Rows):
    def test_concurrency_of_unknown_functions_has_awss_error(self):
        """CFG-24, NAM-13"""
        message = f"Function not found: {arn('doesnotexist', '$LATEST')}"
        for row, reserved in (("put_…_doesnotexist", 1), ("put_…_doesnotexist_and_invalid_concurrency", 0)):
            with self.row(row, "ResourceNotFoundException", 404, message):
                self.aws.put_function_concurrency(FunctionName="doesnotexist", ReservedConcurrentExecutions=reserved)

    def test_missing_concurrency_members_have_awss_error(self):
        """CFG-24, CFG-29"""
        with self.invalid("put nothing recursion", ("recursiveLoop", NOT_NULL)):
            self.aws.put_function_recursion_config(FunctionName="chain")
        with self.invalid("put nothing", ("reservedConcurrentExecutions", NOT_NULL)):
            self.aws.put_function_concurrency(FunctionName="echo")


class Permissions(Rows):
    afresh = True

    def add(self, sid="lambda", name="echo", **parameters):
        asked = {"StatementId": sid, "Action": INVOKE, "Principal": S3, **parameters}
        given = {key: value for key, value in asked.items() if value is not None}
        return self.aws.add_permission(FunctionName=name, **given)

    def remove(self, sid="s3", name="echo", **parameters):
        return self.aws.remove_permission(FunctionName=name, StatementId=sid, **parameters)

    def test_principals_have_awss_errors(self):
        """CFG-33, CFG-35"""
        message = "The provided principal was invalid. Please check the principal and try again."
        for principal in ("invalid.nonaws.com", "s3.example.com", "amazonaws.com", "s3.amazonaws.com.example.com"):
            row = f"add_permission_principal_invalid {principal}"
            with self.row(row, "InvalidParameterValueException", 400, message):
                self.add(Principal=principal, SourceAccount=ACCOUNT)
        for number, principal in enumerate(("logs.eu-west-1.amazonaws.com", "alexa-appkit.amazon.com", "*", ACCOUNT)):
            self.add(f"s{number}", Principal=principal)

    def test_unknown_qualifiers_of_permissions_have_awss_error(self):
        """CFG-31, CFG-37"""
        nobody = f"Cannot find alias arn: {arn('echo', 'alias-doesnotexist')}"
        version = f"Function not found: {arn('echo', '42')}"
        code = "ResourceNotFoundException"
        with self.row("add_permission_fn_alias_doesnotexist", code, 404, nobody):
            self.add(name="echo:alias-doesnotexist")
        with self.row("remove_permission_fn_alias_doesnotexist", code, 404, nobody):
            self.remove(Qualifier="alias-doesnotexist")
        with self.row("add_permission_fn_version_doesnotexist", code, 404, version):
            self.add(Qualifier="42")
        with self.row("remove_permission_fn_version_doesnotexist", code, 404, version):
            self.remove(Qualifier="42")
        with self.row("add_permission_fn_doesnotexist", code, 404, f"Function not found: {arn('doesnotexist')}"):
            self.add(name="doesnotexist")
        with self.row("remove_permission_fn_doesnotexist", code, 404, f"No policy found for: {arn('doesnotexist')}"):
            self.remove(name="doesnotexist")

    def test_function_urls_have_a_separate_action(self):
        """CFG-31"""
        message = "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
        for action in (INVOKE, "lambda:*", "*"):
            row = f"FunctionUrlAuthType-other-action {action}"
            with self.row(row, "InvalidParameterValueException", 400, message):
                self.add(Action=action, FunctionUrlAuthType="NONE", Principal="*")
        added = self.add(Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE", Principal="*")
        self.assertEqual(
            json.loads(added["Statement"])["Condition"], {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
        )

    def test_revisions_of_policies_match_aws(self):
        """CFG-35, CFG-37"""
        code, other = "PreconditionFailedException", str(uuid.uuid4())
        with self.row("wrong revision, no policy", code, 412, STALE):
            self.add(name="fail", RevisionId="wrong")
        with self.row("add_permission_alias_revision_exception", code, 412, STALE):
            self.add(name="echo:live", RevisionId="wrong")
        self.add("s3")
        with self.row("remove-stale-revision", code, 412, STALE):
            self.remove("s3", RevisionId=other)
        with self.row("add-stale-revision", code, 412, STALE):
            self.add("sns", RevisionId=other)

    def test_the_revision_before_the_first_policy_matches_aws(self):
        """CFG-35: that of the alias, of the version or of the function itself."""
        alias = self.aws.get_alias(FunctionName="echo", Name="live")["RevisionId"]
        with self.subTest(row="add to alias with the alias's revision"):
            self.add(name="echo:live", Qualifier="live", RevisionId=alias)
            with self.refused("PreconditionFailedException", 412):
                self.add("again", name="echo:live", RevisionId=alias)
        with self.subTest(row="add to function with the function's revision"):
            function = self.aws.get_function(FunctionName="fail")["Configuration"]["RevisionId"]
            self.add(name="fail", RevisionId=function)
            with self.refused("PreconditionFailedException", 412):
                self.add("again", name="fail", RevisionId=function)
            policy = self.aws.get_policy(FunctionName="fail")["RevisionId"]
            self.add("again", name="fail", RevisionId=policy)
        with self.subTest(row="add to version with the version's revision"):
            version = self.aws.get_function(FunctionName="echo", Qualifier="1")["Configuration"]["RevisionId"]
            self.add(name="echo:1", RevisionId=version)

    def test_permission_members_have_awss_errors(self):
        """CFG-31, NAM-04, NAM-05"""
        for row, parameters, *told in (
            ("account 1234567890123", {"SourceAccount": "1234567890123"},
             ("sourceAccount", LONG.format(12)), ("sourceAccount", PATTERN)),
            ("source-arn", {"SourceArn": "not an arn"}, ("sourceArn", PATTERN)),
            ("token-pattern", {"EventSourceToken": "a b"}, ("eventSourceToken", PATTERN)),
            ("token-257", {"EventSourceToken": "t" * 257}, ("eventSourceToken", LONG.format(256))),
            ("org-pattern", {"PrincipalOrgID": "x-1234567890"}, ("principalOrgID", PATTERN)),
            ("org-short", {"PrincipalOrgID": "o-1"}, ("principalOrgID", SHORT.format(12)), ("principalOrgID", PATTERN)),
            ("principal-space", {"Principal": "a b"}, ("principal", PATTERN)),
            ("without Action", {"Action": None}, ("action", NOT_NULL)),
            ("without StatementId", {"sid": None}, ("statementId", NOT_NULL)),
            ("without Principal", {"Principal": None}, ("principal", NOT_NULL)),
        ):
            with self.invalid(row, *told):
                self.add(**parameters)
        with self.invalid("remove sid 101", ("statementId", LONG.format(100))):
            self.remove("s" * 101)
        with self.invalid("remove sid ?", ("statementId", PATTERN)):
            self.remove("a b")


class Protocol(Rows):
    def test_numbers_of_more_than_32_bits_have_awss_error(self):
        """ERR-04"""
        for number in (-9223372000000000000, 9223372000000000000, 10**400):
            body = json.dumps({"ReservedConcurrentExecutions": number}).encode()
            with self.subTest(row=f"integer {number}"):
                answer = wire.exchange(self.server, "PUT", CONCURRENCY, body)
                self.assert_refused(answer, "SerializationException", 400)
            with self.subTest(row=f"query integer {number}"):
                answer = wire.exchange(self.server, "GET", f"/2015-03-31/functions/?MaxItems={number}")
                self.assert_refused(answer, "SerializationException", 400)

    def test_media_types_have_awss_errors(self):
        """UNV-22: on purpose, for what AWS Lambda does with others isn't known: the body is read as JSON, and answered so."""
        body = b'{"ReservedConcurrentExecutions":1}'
        for row, header in (("wrong media type", ("content-type", "text/plain")), ("wrong accept", ("accept", "text/plain"))):
            with self.subTest(row=row):
                answer = wire.exchange(self.server, "PUT", CONCURRENCY, body, [header])
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(answer.headers["content-type"], "application/json")

    def test_bodies_that_are_too_large_have_awss_error(self):
        """INV-26"""
        for row, path, size in (
            ("body of RequestEntityTooLargeException", wire.invocations("echo"), 6291457),
            ("body of InvokeAsync's", "/2014-11-13/functions/echo/invoke-async", 262145),
        ):
            with self.subTest(row=row):
                answer = wire.exchange(self.server, "POST", path, b"1" * size)
                self.assertEqual((answer.status, answer.code), (413, "RequestEntityTooLargeException"))
                self.assertEqual(list(answer.json()), ["message"])


class Lenient(Served):
    def test_members_that_the_model_forbids_are_refused(self):
        """NAM-04: test_model.py has all of them."""
        functions, grant = "/2015-03-31/functions", {"StatementId": "s", "Action": INVOKE, "Principal": S3}
        add, policy = "POST", f"{functions}/echo/policy"
        rows = [
            ("AddPermission EventSourceToken max", add, policy, grant | {"EventSourceToken": "a" * 257}),
            ("AddPermission EventSourceToken pattern", add, policy, grant | {"EventSourceToken": "ä"}),
            ("AddPermission PrincipalOrgID pattern", add, policy, grant | {"PrincipalOrgID": "b d!"}),
            ("ListAliases FunctionVersion max", "GET", f"{functions}/echo/aliases?FunctionVersion={'1' * 1025}", None),
            ("ListAliases FunctionVersion min", "GET", f"{functions}/echo/aliases?FunctionVersion=", None),
            ("ListAliases FunctionVersion pattern", "GET", f"{functions}/echo/aliases?FunctionVersion=%C3%A4", None),
            ("ListFunctions MasterRegion max", "GET", f"{functions}/?MasterRegion={'a' * 51}", None),
            ("ListFunctions MasterRegion min", "GET", f"{functions}/?MasterRegion=", None),
            ("ListFunctions MasterRegion pattern", "GET", f"{functions}/?MasterRegion=b%20d!", None),
        ]
        for row, method, path, body in rows:
            with self.subTest(row=row):
                sent = b"" if body is None else json.dumps(body).encode()
                self.assert_refused(wire.exchange(self.server, method, path, sent), "ValidationException", 400)

    def test_headers_that_the_model_forbids_are_refused(self):
        """NAM-04"""
        for member, header, longest in (
            ("DurableExecutionName", "x-amz-durable-execution-name", 64),
            ("TenantId", "x-amz-tenant-id", 256),
        ):
            told = member[0].lower() + member[1:]
            for rule, value in (("max", "a" * (longest + 1)), ("min", ""), ("pattern", "ä".encode())):
                for kind in ("RequestResponse", "Event", "DryRun"):
                    with self.subTest(row=f"Invoke {member} {rule}", kind=kind):
                        answer = wire.invoke(self.server, "echo", headers=[(header, value)], kind=kind)
                        self.assert_refused(answer, "ValidationException", 400)
                        self.assertIn(f"at '{told}'", answer.json()["message"])
            taken = wire.invoke(self.server, "echo", headers=[(header, "a" * longest)])
            self.assertEqual(taken.status, 200)

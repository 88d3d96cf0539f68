"""AWS's responses for functions, tags, revisions and unsupported operations, row by row of the account of differences. Each
check has the id of its row."""

import json
import urllib.parse

import wire
from served import Served, ServedAfresh, client, is_uuid
from server import arn
from signing import Person, allow, guarded

NOBODY = arn("nobody")
ELSEWHERE = "arn:aws:lambda:us-west-2:000000000000:function:echo"
MAPPING = "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:a1b2c3d4-0000-4000-8000-a0b1c2d3e4f5"
NOT_REACHABLE = "Functions from 'us-west-2' are not reachable in this region ('us-east-1')"
STALE = (
    "The Revision Id provided does not match the latest Revision Id."
    " Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)
NO_TAGS_HERE = "Tags on function aliases and versions are not supported. Please specify a function ARN."

SUPPORTED = {
    "AddPermission",
    "DeleteFunctionConcurrency",
    "DeleteFunctionEventInvokeConfig",
    "GetAccountSettings",
    "GetAlias",
    "GetFunction",
    "GetFunctionConcurrency",
    "GetFunctionConfiguration",
    "GetFunctionEventInvokeConfig",
    "GetFunctionRecursionConfig",
    "GetPolicy",
    "Invoke",
    "InvokeAsync",
    "ListAliases",
    "ListFunctionEventInvokeConfigs",
    "ListFunctions",
    "ListTags",
    "ListVersionsByFunction",
    "PutFunctionConcurrency",
    "PutFunctionEventInvokeConfig",
    "PutFunctionRecursionConfig",
    "RemovePermission",
    "TagResource",
    "UntagResource",
    "UpdateFunctionConfiguration",
    "UpdateFunctionEventInvokeConfig",
}


class Rows(Served):
    def row(self, row):
        """A check of one row of the account."""
        return self.subTest(row=row)

    def assert_told(self, code, status, message, call, **parameters):
        with self.refused(code, status) as refusal:
            call(**parameters)
        self.assertEqual(refusal.message, message)

    def assert_constraint(self, field, call, **parameters):
        """One broken pattern of the model, at this field (NAM-04)."""
        with self.refused("ValidationException", 400) as refusal:
            call(**parameters)
        self.assertRegex(
            refusal.message,
            f"^1 validation error detected: Value '.*' at '{field}' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ",
        )


class Descriptions(Rows):
    def test_get_function_has_the_members_that_aws_recorded(self):
        """CFG-05, CFG-07"""
        told = self.aws.get_function(FunctionName="echo")
        with self.row("members"):
            self.assertEqual(told.keys() - {"ResponseMetadata"}, {"Configuration", "Code"})
        with self.row("configuration lacks nothing"):
            self.assertRegex(
                told["Configuration"]["RuntimeVersionConfig"]["RuntimeVersionArn"],
                r"^arn:aws:lambda:us-east-1::runtime:.+$",
            )

    def test_lists_omit_what_aws_omits(self):
        """CFG-03"""
        versions = self.aws.list_versions_by_function(FunctionName="echo")["Versions"]
        self.assertGreaterEqual(len(versions), 2)
        for omitted in ("State", "LastUpdateStatus", "RuntimeVersionConfig"):
            with self.row(f"versions omit {omitted}"):
                self.assertFalse([each for each in versions if omitted in each])
        for version in versions:
            described = self.aws.get_function_configuration(
                FunctionName="echo", Qualifier=version["Version"]
            )
            self.assertEqual(
                described.keys() - version.keys(),
                {"State", "LastUpdateStatus", "RuntimeVersionConfig", "ResponseMetadata"},
            )

    def test_an_alias_name_must_not_be_a_number(self):
        """NAM-14"""
        for name in ("2024", "1", "a b", "a.b", "$LATEST"):
            with self.row(f"get_alias number {name}"):
                self.assert_constraint("name", self.aws.get_alias, FunctionName="echo", Name=name)
        with self.refused("ValidationException", 400) as refusal:
            self.aws.get_alias(FunctionName="echo", Name="1" * 129)
        self.assertTrue(refusal.message.startswith("2 validation errors detected: "), refusal.message)
        message = f"Cannot find alias arn: {arn('echo', 'a1')}"
        self.assert_told(
            "ResourceNotFoundException", 404, message, self.aws.get_alias, FunctionName="echo", Name="a1"
        )


class Revisions(ServedAfresh, Rows):
    def revision(self, qualifier=None):
        query = {"Qualifier": qualifier} if qualifier else {}
        function = self.aws.get_function(FunctionName="echo", **query)["Configuration"]["RevisionId"]
        told = self.aws.get_function_configuration(FunctionName="echo", **query)["RevisionId"]
        self.assertEqual(function, told)
        self.assertTrue(is_uuid(told))
        return told

    def alias(self):
        return self.aws.get_alias(FunctionName="echo", Name="live")["RevisionId"]

    def all(self):
        return {
            "latest": self.revision(),
            "version": self.revision("1"),
            "alias": self.alias(),
        }

    def assert_changed(self, before, *changed):
        """These revisions are others now, and the rest are as they were."""
        after = self.all()
        self.assertEqual({name for name in after if after[name] != before[name]}, set(changed))
        return after

    def test_get_function_of_an_alias_has_its_versions_revision(self):
        with self.row("get_function of an alias has its version's RevisionId"):
            self.assertEqual(self.revision("live"), self.revision("1"))
            self.assertEqual(self.revision("$LATEST"), self.revision())
        self.assertEqual(len(set(self.all().values())), 3)
        listed = self.aws.list_versions_by_function(FunctionName="echo")["Versions"]
        for version in listed:
            self.assertEqual(version["RevisionId"], self.revision(version["Version"]))
        aliases = self.aws.list_aliases(FunctionName="echo")["Aliases"]
        listed = {alias["Name"]: alias["RevisionId"] for alias in aliases}
        self.assertEqual(listed["live"], self.alias())

    def test_a_setting_changes_the_function_alone(self):
        before = self.all()
        self.aws.update_function_configuration(FunctionName="echo", Timeout=7)
        before = self.assert_changed(before, "latest")
        self.aws.tag_resource(Resource=arn("echo"), Tags={"a": "b"})
        before = self.assert_changed(before, "latest")
        self.aws.untag_resource(Resource=arn("echo"), TagKeys=["a"])
        before = self.assert_changed(before, "latest")
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=3)
        self.aws.put_function_event_invoke_config(FunctionName="echo", MaximumRetryAttempts=1)
        self.assert_changed(before)

    def test_a_policy_changes_the_revision_of_its_qualifier(self):
        """CFG-36"""
        statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
        for name, query in (
            ("latest", {}),
            ("version", {"Qualifier": "1"}),
            ("alias", {"Qualifier": "live"}),
        ):
            before = self.all()
            self.aws.add_permission(FunctionName="echo", **statement, **query)
            after = self.assert_changed(before, name)
            policy = self.aws.get_policy(FunctionName="echo", **query)
            self.assertEqual(policy["RevisionId"], after[name])
            self.aws.remove_permission(FunctionName="echo", StatementId="s", **query)
            self.assert_changed(after, name)

    def test_a_function_with_a_policy_is_revised_too(self):
        self.aws.add_permission(
            FunctionName="echo", StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
        )
        before = self.all()
        self.aws.update_function_configuration(FunctionName="echo", Timeout=7)
        after = self.assert_changed(before, "latest")
        self.assertEqual(self.aws.get_policy(FunctionName="echo")["RevisionId"], after["latest"])

    def test_a_stale_revision_is_refused(self):
        latest = self.revision()
        update = self.aws.update_function_configuration
        with self.row("update wrong revision"):
            self.assert_told(
                "PreconditionFailedException",
                412,
                STALE,
                update,
                FunctionName="echo",
                RevisionId="wrong",
                Timeout=9,
            )
        told = update(FunctionName="echo", RevisionId=latest, Timeout=9)
        self.assertEqual((told["Timeout"], told["RevisionId"]), (9, self.revision()))
        with self.refused("PreconditionFailedException", 412):
            update(FunctionName="echo", RevisionId=latest, Timeout=10)

    def test_null_members_change_nothing(self):
        path = "/2015-03-31/functions/echo/configuration"
        body = {"RevisionId": None, "Timeout": None, "Environment": None, "DeadLetterConfig": None}
        before = self.all()
        answer = wire.exchange(self.server, "PUT", path, json.dumps(body).encode())
        self.assertEqual(answer.status, 200, answer)
        self.assert_changed(before)


class Tags(ServedAfresh, Rows):
    def tags(self):
        return self.aws.list_tags(Resource=arn("echo"))["Tags"]

    def tag(self, **tags):
        return self.aws.tag_resource(Resource=arn("echo"), Tags=tags)["ResponseMetadata"]["HTTPStatusCode"]

    def untag(self, *keys):
        answer = self.aws.untag_resource(Resource=arn("echo"), TagKeys=keys)
        return answer["ResponseMetadata"]["HTTPStatusCode"]

    def test_tags_can_be_added_listed_and_removed(self):
        self.assertEqual(self.tags(), {})
        with self.row("tag_resource echo"):
            self.assertEqual(self.tag(A="tag-a"), 204)
        self.tag(B="tag-b", C="tag-c")
        self.tag(C="tag-c-newsuffix", D="")
        kept = {"A": "tag-a", "B": "tag-b", "C": "tag-c-newsuffix", "D": ""}
        self.assertEqual(self.tags(), kept)
        self.assertEqual(self.aws.get_function(FunctionName="echo")["Tags"], kept)
        with self.row("untag_resource echo"):
            self.assertEqual(self.untag("A"), 204)
        self.untag("B", "C")
        self.assertEqual(self.tags(), {"D": ""})
        self.untag("D", "F")
        self.untag("F")
        self.assertEqual(self.tags(), {})
        self.assertNotIn("Tags", self.aws.get_function(FunctionName="echo"))
        self.assertEqual(self.aws.list_tags(Resource=arn("fail"))["Tags"], {})

    def test_a_function_has_at_most_50_tags(self):
        too_many = "Number of tags exceeds resource tag limit."
        tag = self.aws.tag_resource
        words = {f"{n}_key": f"{n}_value" for n in range(51)}
        invalid = ("InvalidParameterValueException", 400)
        self.assert_told(*invalid, too_many, tag, Resource=arn("echo"), Tags=words)
        del words["50_key"]
        self.tag(**words)
        self.assertEqual(self.tags(), words)
        self.assert_told(*invalid, too_many, tag, Resource=arn("echo"), Tags={"one": "more"})
        self.assertEqual(self.tag(**{"0_key": "another"}), 204)

    def test_tag_keys_and_values_must_match_the_model(self):
        for words, what in (
            ({"": "v"}, "keys"),
            ({"k" * 129: "v"}, "keys"),
            ({"k!": "v"}, "keys"),
            ({"k": "v" * 257}, "value"),
            ({"k": "{}"}, "value"),
        ):
            with self.subTest(words=words), self.refused("ValidationException", 400) as refusal:
                self.tag(**words)
            self.assertIn("at 'tags' failed to satisfy constraint: Map " + what, refusal.message)
        self.tag(**{"Straße 5/ü_.:=+-@": "日本", "k" * 128: "v" * 256})
        self.assertEqual(len(self.tags()), 2)
        for keys in ([""], ["a", "b!"], ["k" * 129]):
            with self.refused("ValidationException", 400) as refusal:
                self.untag(*keys)
            self.assertIn("at 'tagKeys' failed to satisfy constraint: Member", refusal.message)

    def test_missing_members_are_reported(self):
        null = "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null"
        path = "/2017-03-31/tags/" + urllib.parse.quote(arn("echo"), safe="")
        for method, field in (("POST", "tags"), ("DELETE", "tagKeys")):
            answer = wire.exchange(self.server, method, path)
            self.assert_refused(answer, "ValidationException", 400)
            self.assertEqual(answer.json()["message"], null.format(field))
        self.assert_told(
            "InvalidParameterValueException",
            400,
            "An error occurred and the request cannot be processed.",
            self.aws.tag_resource,
            Resource=arn("echo"),
            Tags={},
        )

    def test_the_cli_can_tag_a_function(self):
        self.cli("tag-resource", "--resource", arn("echo"), "--tags", "team=blue,tier=1")
        self.assertEqual(
            self.cli("list-tags", "--resource", arn("echo")), {"Tags": {"team": "blue", "tier": "1"}}
        )
        self.cli("untag-resource", "--resource", arn("echo"), "--tag-keys", "team", "tier")
        self.assertEqual(self.cli("list-tags", "--resource", arn("echo")), {"Tags": {}})

    def operations(self):
        """Each operation on tags, as a call of a resource."""
        yield "list", lambda resource: self.aws.list_tags(Resource=resource)
        yield "tag", lambda resource: self.aws.tag_resource(Resource=resource, Tags={"a": "b"})
        yield "untag", lambda resource: self.aws.untag_resource(Resource=resource, TagKeys=["a"])

    def test_only_functions_have_tags(self):
        for name, call in self.operations():
            for qualifier in ("live", "1", "$LATEST", "nowhere"):
                with self.row(f"{name} aliased_arn_exception {qualifier}"):
                    self.assert_told(
                        "InvalidParameterValueException",
                        400,
                        NO_TAGS_HERE,
                        call,
                        resource=arn("echo", qualifier),
                    )

    def test_a_resource_is_a_whole_arn(self):
        for name, call in self.operations():
            for resource in (
                "arn:aws:lambda:us-east-1:000000000000:foobar:echo",
                "arn:aws:something",
                "echo",
                "function:echo",
                "000000000000:function:echo",
                "arn:aws:lambda:us-east-1:000000000000:function:echo:1:2",
                "arn:aws:s3:::bucket",
            ):
                with self.row(f"{name} invalid_arn_exception {resource}"):
                    self.assert_constraint("resource", call, resource=resource)

    def test_an_unknown_function_has_no_tags(self):
        for name, call in self.operations():
            with self.row(f"{name}_resource nobody"):
                message = f"Function not found: {NOBODY}"
                self.assert_told("ResourceNotFoundException", 404, message, call, resource=NOBODY)
            with self.row(f"esm not_found_exception_{name}"):
                with self.refused("ResourceNotFoundException", 404):
                    call(MAPPING)
            with self.subTest(name, resource=ELSEWHERE):
                self.assert_told("ResourceNotFoundException", 404, NOT_REACHABLE, call, resource=ELSEWHERE)


class GuardedTags(Served):
    """IAM-01: tags are seen and changed by those who may."""

    OWNER = Person("owner", allow("lambda:*"))
    READER = Person("reader", allow("lambda:GetFunction", resource=[arn("echo")]))
    TAGGER = Person("tagger", allow("lambda:TagResource", "lambda:UntagResource", resource=[arn("echo")]))
    DENIED = Person("denied", allow("lambda:*"), allow("lambda:ListTags", effect="Deny"))

    @classmethod
    def setUpClass(cls):
        people = [cls.OWNER, cls.READER, cls.TAGGER, cls.DENIED]
        cls.open(guarded(people))
        cls.addClassCleanup(cls.server.kill)

    def of(self, person):
        return client(self.server, person.access_key, person.secret_key)

    def test_each_tag_operation_needs_its_action(self):
        owner, reader, tagger = self.of(self.OWNER), self.of(self.READER), self.of(self.TAGGER)
        tagger.tag_resource(Resource=arn("echo"), Tags={"team": "blue"})
        self.assertEqual(owner.list_tags(Resource=arn("echo"))["Tags"], {"team": "blue"})
        for call in (
            lambda: tagger.list_tags(Resource=arn("echo")),
            lambda: tagger.tag_resource(Resource=arn("fail"), Tags={"team": "blue"}),
            lambda: tagger.tag_resource(Resource=arn("echo", "live"), Tags={"team": "blue"}),
            lambda: reader.tag_resource(Resource=arn("echo"), Tags={"team": "red"}),
            lambda: reader.untag_resource(Resource=arn("echo"), TagKeys=["team"]),
            lambda: reader.list_layers(),
            lambda: reader.delete_function(FunctionName="nobody"),
        ):
            with self.refused("AccessDeniedException", 403):
                call()
        self.assertEqual(owner.get_function(FunctionName="echo")["Tags"], {"team": "blue"})
        for person, qualifier in ((self.READER, {}), (self.DENIED, {}), (self.DENIED, {"Qualifier": "live"})):
            told = self.of(person).get_function(FunctionName="echo", **qualifier)
            self.assertNotIn("Tags", told)
            self.assertEqual(told["TagsError"]["ErrorCode"], "AccessDeniedException")
            self.assertIn("lambda:ListTags", told["TagsError"]["Message"])
        tagger.untag_resource(Resource=arn("echo"), TagKeys=["team"])
        self.assertNotIn("TagsError", reader.get_function(FunctionName="echo"))
        with self.refused("ValidationException", 400) as refusal:
            tagger.tag_resource(Resource="echo", Tags={"team": "blue"})
        self.assertIn("at 'resource'", refusal.message)


class Unsupported(Rows):
    """CFG-09: what can't be done here is refused by its name, after what AWS refuses first."""

    def sent(self, operation, function="echo", alias="live", qualifier=None):
        """A request of an operation of the model, by hand: most have members that nothing here reads."""
        model = self.aws.meta.service_model.operation_model(operation)
        path, _, query = model.http["requestUri"].partition("?")
        quote = lambda text: urllib.parse.quote(text, safe="")
        path = path.replace("{FunctionName}", quote(function)).replace("{Name}", alias)
        path = "/".join("x" if part.startswith("{") else part for part in path.split("/"))
        pairs = [query] if query else []
        if qualifier:
            pairs.append("Qualifier=" + quote(qualifier))
        target = path + ("?" + "&".join(pairs) if pairs else "")
        body = b"{}" if model.http["method"] in ("POST", "PUT") else b""
        return wire.exchange(self.server, model.http["method"], target, body)

    def operations(self, member=None):
        """The operations of the model that are not supported; those that have this member."""
        model = self.aws.meta.service_model
        for name in model.operation_names:
            shape = model.operation_model(name).input_shape
            members = shape.members if shape else {}
            if name not in SUPPORTED and (member is None or member in members):
                yield name

    def of_functions(self):
        for name in self.operations("FunctionName"):
            uri = self.aws.meta.service_model.operation_model(name).http["requestUri"]
            if "{FunctionName}" in uri:
                yield name

    def assert_named(self, answer, operation):
        self.assert_refused(answer, "InvalidParameterValueException", 400)
        message = answer.json()["message"]
        self.assertTrue(message.startswith(f"{operation} is not supported by this runtime: "), message)

    def test_each_operation_is_refused_by_its_name(self):
        operations = list(self.operations())
        self.assertEqual(len(operations) + len(SUPPORTED), len(self.aws.meta.service_model.operation_names))
        for operation in operations:
            with self.row(f"names the operation {operation}"):
                self.assert_named(self.sent(operation), operation)

    def test_the_sdk_reads_the_operations_name(self):
        for row, call, parameters in (
            ("list_layers", self.aws.list_layers, {}),
            ("get_function_url_config", self.aws.get_function_url_config, {"FunctionName": "echo"}),
            (
                "list_provisioned_concurrency_configs",
                self.aws.list_provisioned_concurrency_configs,
                {"FunctionName": "echo"},
            ),
            (
                "get_provisioned_concurrency_config",
                self.aws.get_provisioned_concurrency_config,
                {"FunctionName": "echo", "Qualifier": "live"},
            ),
        ):
            with self.row(f"names the operation {row}"):
                with self.refused("InvalidParameterValueException", 400) as refusal:
                    call(**parameters)
                named = "".join(word.capitalize() for word in row.split("_"))
                self.assertIn(named, refusal.message)

    def test_another_region_is_reported_first(self):
        """NAM-12"""
        for operation in self.of_functions():
            with self.row(f"wrong-region-{operation}"):
                answer = self.sent(operation, ELSEWHERE)
                self.assert_refused(answer, "ResourceNotFoundException", 404)
                self.assertEqual(answer.json()["Message"], NOT_REACHABLE)
        for row in ("get_function_url_config", "get_function_code_signing_config", "delete_function"):
            with self.row(f"wrong-region-{row}"):
                self.assert_told(
                    "ResourceNotFoundException",
                    404,
                    NOT_REACHABLE,
                    getattr(self.aws, row),
                    FunctionName=ELSEWHERE,
                )

    def test_a_faulty_name_is_reported_first(self):
        """NAM-04"""
        for operation in self.of_functions():
            with self.subTest(operation):
                answer = self.sent(operation, "a b")
                self.assert_refused(answer, "ValidationException", 400)
                self.assertIn("at 'functionName'", answer.json()["message"])

    def test_an_unknown_function_is_reported_first(self):
        """NAM-13"""
        told = {
            "CreateFunctionUrlConfig": "Function does not exist",
            "UpdateFunctionUrlConfig": "Function does not exist",
            "ListFunctionUrlConfigs": "Function does not exist",
            "GetFunctionUrlConfig": "The resource you requested does not exist.",
            "DeleteFunctionUrlConfig": "The resource you requested does not exist.",
            "InvokeWithResponseStream": f"Function not found: {NOBODY}:$LATEST",
        }
        for operation in self.of_functions():
            with self.row(f"{operation} nobody"):
                answer = self.sent(operation, "nobody")
                self.assert_refused(answer, "ResourceNotFoundException", 404)
                expected = told.get(operation, f"Function not found: {NOBODY}")
                self.assertEqual(answer.json()["Message"], expected)

    def test_an_unknown_qualifier_is_reported_first(self):
        """NAM-13"""
        told = {
            "GetProvisionedConcurrencyConfig": "Cannot find alias arn: {}",
            "PutProvisionedConcurrencyConfig": "Cannot find alias arn: {}",
            "DeleteProvisionedConcurrencyConfig": "Cannot find alias arn: {}",
            "CreateFunctionUrlConfig": "Function does not exist",
            "UpdateFunctionUrlConfig": "Function does not exist",
            "GetFunctionUrlConfig": "The resource you requested does not exist.",
            "DeleteFunctionUrlConfig": "The resource you requested does not exist.",
        }
        for operation in self.operations("Qualifier"):
            if operation == "DeleteFunction":
                # At AWS deleting a version that isn't there is no error.
                self.assert_named(self.sent(operation, qualifier="noalias"), operation)
                continue
            for function in ("echo", "nobody"):
                with self.row(f"{operation} {function} noalias"):
                    answer = self.sent(operation, function, qualifier="noalias")
                    self.assert_refused(answer, "ResourceNotFoundException", 404)
                    expected = told.get(operation, "Function not found: {}")
                    expected = expected.format(arn(function, "noalias"))
                    self.assertEqual(answer.json()["Message"], expected)
            if "FunctionUrlConfig" not in operation:
                with self.row(f"{operation} echo 10"):
                    answer = self.sent(operation, qualifier="10")
                    self.assert_refused(answer, "ResourceNotFoundException", 404)
                    self.assertEqual(answer.json()["Message"], f"Function not found: {arn('echo', '10')}")
            else:
                for qualifier in ("1", "2", "$LATEST"):
                    with self.row(f"{operation} echo {qualifier}"):
                        answer = self.sent(operation, qualifier=qualifier)
                        self.assert_refused(answer, "ValidationException", 400)
                        self.assertIn("at 'qualifier'", answer.json()["message"])
            with self.subTest(operation, known="live"):
                self.assert_named(self.sent(operation, qualifier="live"), operation)

    def test_two_qualifiers_must_agree(self):
        """NAM-11"""
        for operation in self.operations("Qualifier"):
            with self.subTest(operation):
                answer = self.sent(operation, "echo:live", qualifier="dead")
                self.assert_refused(answer, "InvalidParameterValueException", 400)
                self.assertEqual(
                    answer.json()["message"],
                    "The derived qualifier from the function name does not match the specified qualifier.",
                )

    def test_an_unknown_alias_or_version_is_reported_first(self):
        answer = self.sent("UpdateAlias", alias="nowhere")
        self.assert_refused(answer, "ResourceNotFoundException", 404)
        self.assertEqual(answer.json()["Message"], f"Alias not found: {arn('echo', 'nowhere')}")
        path = "/2015-03-31/functions/{}/aliases"
        for function, version in (("echo", "10"), ("nobody", "1")):
            body = json.dumps({"Name": "new", "FunctionVersion": version}).encode()
            answer = wire.exchange(self.server, "POST", path.format(function), body)
            self.assert_refused(answer, "ResourceNotFoundException", 404)
            self.assertEqual(answer.json()["Message"], f"Function not found: {arn(function, version)}")
        body = json.dumps({"Name": "new", "FunctionVersion": "1"}).encode()
        self.assert_named(wire.exchange(self.server, "POST", path.format("echo"), body), "CreateAlias")

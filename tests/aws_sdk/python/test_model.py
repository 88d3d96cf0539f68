"""Every member that botocore's model of Lambda constrains, of every operation that is here, at and beyond its bounds."""

import functools
import gzip
import json
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import botocore

import wire
from served import Served
from server import ROOT, arn
from signing import Person, Request, allow, guarded

MODEL = Path(botocore.__file__).parent / "data/lambda/2015-03-31/service-2.json.gz"
# CON-06: the model's 5,400 s are for functions on managed instances.
MODEL_MAX = {("UpdateFunctionConfiguration", "timeout"): 900}
# AWS names these in an order of its own (CFG-29).
ENUM_ORDER = {"RecursiveLoop": ["Terminate", "Allow"]}
# A request line has no room for so much.
PATH_MAX = 4_000

# A value of each shape that needs one to be valid.
VALID = {
    "Action": "lambda:InvokeFunction",
    "Alias": "live",
    "Arn": "arn:aws:s3:::bucket",
    "CapacityProviderArn": "arn:aws:lambda:us-east-1:000000000000:capacity-provider:c",
    "DestinationArn": "arn:aws:sqs:us-east-1:000000000000:q",
    "DurableExecutionName": "name",
    "EventSourceToken": "token",
    "FunctionName": "echo",
    "FunctionRuntimeArn": f"arn:aws:lambda:us-east-1:000000000000:runtime/{'r' * 48}",
    "Handler": "handler",
    "LogGroup": "/aws/lambda/echo",
    "MasterRegion": "us-east-1",
    "NamespacedFunctionName": "echo",
    "NamespacedStatementId": "sid",
    "NumericLatestPublishedOrAliasQualifier": "live",
    "Principal": "s3.amazonaws.com",
    "PrincipalOrgID": "o-abcdefghij",
    "ResourceArn": "arn:aws:sqs:us-east-1:000000000000:q",
    "RoleArn": "arn:aws:iam::000000000000:role/r",
    "SourceOwner": "000000000000",
    "StatementId": "sid",
    "TaggableResource": arn("echo"),
    "TenantId": "tenant",
    "UnqualifiedFunctionName": "echo",
    "VersionWithLatestPublished": "$LATEST",
    "EnvironmentVariableName": "NAME",
    "LayerVersionArn": "arn:aws:lambda:us-east-1:000000000000:layer:l:1",
    "SecurityGroupId": "sg-1",
    "SubnetId": "subnet-1",
}


@functools.cache
def model():
    return json.loads(gzip.decompress(MODEL.read_bytes()))


def shape(name):
    return model()["shapes"][name]


def operations():
    """The names of AWS's operations that the route table has."""
    table = (ROOT / "src/http/lambda/operations.rs").read_text()
    actions = re.findall(r'^ *row\(.*"lambda:(\w+)"', table, re.MULTILINE)
    return ["Invoke" if action == "InvokeFunction" else action for action in actions]


class Member:
    """A member of an operation's input: the way to it, and what the model says of it."""

    def __init__(self, operation, way, parents, reference, required):
        self.operation, self.way, self.parents, self.required = operation, way, parents, required
        self.shape_name = reference["shape"]
        self.shape = shape(self.shape_name)
        self.kind = self.shape["type"]
        self.place = reference.get("location", "body")
        self.wire_name = reference.get("locationName", way[-1])
        self.told = ".".join(step[0].lower() + step[1:] for step in way)
        self.pattern = self.shape.get("pattern")
        self.min, self.max = self.shape.get("min"), self.shape.get("max")
        self.max = MODEL_MAX.get((operation, self.told), self.max)
        self.enum = ENUM_ORDER.get(self.shape_name, self.shape.get("enum"))

    @property
    def constrained(self):
        return bool(self.required or self.pattern or self.enum or self.min or self.max is not None)

    def broken_by(self, value):
        """What AWS tells of a value, in its words."""
        if value is None:
            must = ["not be null"] if self.required else []
            return [f"Value null at '{self.told}' failed to satisfy constraint: Member must {rule}" for rule in must]
        rules = list(self.rules_broken_by(value))
        return [f"Value '{value}' at '{self.told}' failed to satisfy constraint: Member must {rule}" for rule in rules]

    def rules_broken_by(self, value):
        if self.enum:
            if value not in self.enum:
                yield f"satisfy enum value set: [{', '.join(self.enum)}]"
        elif self.kind == "string":
            if len(value) < (self.min or 0):
                yield f"have length greater than or equal to {self.min}"
            if self.max is not None and len(value) > self.max:
                yield f"have length less than or equal to {self.max}"
            if self.pattern and not re.fullmatch(self.pattern, value):
                yield f"satisfy regular expression pattern: {self.pattern}"
        elif self.kind in ("integer", "double"):
            if self.min is not None and value < self.min:
                yield f"have value greater than or equal to {self.min}"
            if self.max is not None and value > self.max:
                yield f"have value less than or equal to {self.max}"

    def valid(self):
        if self.enum:
            return self.enum[0]
        if self.kind in ("integer", "double"):
            return self.min if self.min is not None else 1
        if self.kind == "structure":
            return {}
        if self.kind == "string":
            return VALID.get(self.shape_name, "a" * max(self.min or 0, 1))
        return {"a": "b"} if self.kind == "map" else ["a"]

    def candidates(self):
        """Values at the bounds, beyond them, and of other forms."""
        if self.enum:
            yield from (*self.enum, "Nonsense", self.enum[0].lower(), self.enum[0].upper() + "_", "")
        elif self.kind == "string":
            yield self.valid()
            yield from ("", "a", "1", "a b", "ä", "!", "a:b", "$LATEST", "$LATEST.PUBLISHED", "a.b", "ALL", "é" * 3)
            if self.max is not None:
                for length in (self.max, self.max + 1):
                    for letter in "a1!":
                        yield letter * length
                    yield (self.valid() + "x" * length)[:length]
        elif self.kind in ("integer", "double"):
            for bound in (self.min, self.max):
                if bound is not None:
                    yield from (bound - 1, bound, bound + 1)
            yield from (0, 1, -1, 2**31 - 1, -(2**31))

    def can_carry(self, value):
        """Can it be said in this place at all?"""
        if self.place == "uri":
            return 0 < len(value) <= PATH_MAX and "/" not in value
        if self.place == "header":
            return value == value.strip()
        return True


def members(operation):
    """All of them, in the model's order."""
    def walk(name, way, parents):
        inner = shape(name)
        for key, reference in inner["members"].items():
            member = Member(operation, [*way, key], parents, reference, key in inner.get("required", []))
            yield member
            if member.kind == "structure":
                yield from walk(reference["shape"], [*way, key], [*parents, member])

    given = model()["operations"][operation].get("input")
    return list(walk(given["shape"], [], [])) if given else []


def checked(operation, kinds=("string", "integer", "double")):
    """Those of a type that has bounds of its own."""
    return [each for each in members(operation) if each.constrained and each.kind in kinds]


class Model(Served):
    def ask(self, operation, values):
        """The answer to a request with these values, by the way to their members; what is required besides is valid."""
        described = model()["operations"][operation]["http"]
        values = dict(values)
        parents = {tuple(parent.way) for member in members(operation) for parent in member.parents
                   if tuple(member.way) in values}
        for member in members(operation):
            there = not member.parents or tuple(member.parents[-1].way) in parents
            if member.required and there and member.kind not in ("structure", "blob"):
                values.setdefault(tuple(member.way), member.valid())
        path, query, headers, body = described["requestUri"], {}, [], {}
        for member in members(operation):
            if (value := values.get(tuple(member.way))) is None:
                continue
            if member.place == "uri":
                path = path.replace(f"{{{member.wire_name}}}", quote(str(value), safe=""))
            elif member.place == "querystring":
                query[member.wire_name] = value
            elif member.place == "header":
                headers.append((member.wire_name, value.encode()))
            elif member.kind != "blob":
                inner = body
                for step in member.way[:-1]:
                    inner = inner.setdefault(step, {})
                inner[member.way[-1]] = value
        path += f"?{urlencode(query, doseq=True)}" if query else ""
        sent = b"" if described["method"] == "GET" else json.dumps(body).encode()
        return wire.exchange(self.server, described["method"], path, sent, headers)

    def assert_told(self, answer, broken):
        """Exactly these violations, or none."""
        if not broken:
            self.assertNotIn(answer.code, ("ValidationException", "SerializationException"), answer)
            return
        self.assert_refused(answer, "ValidationException", 400)
        errors = "error" if len(broken) == 1 else "errors"
        expected = f"{len(broken)} validation {errors} detected: {'; '.join(broken)}"
        self.assertEqual(answer.json()["message"], expected)

    def test_each_operation_is_in_the_model(self):
        self.assertGreaterEqual(len(operations()), 24)
        for operation in operations():
            self.assertIn(operation, model()["operations"])

    def test_each_member_has_its_bounds(self):
        """NAM-01 to NAM-06, CFG-12, CFG-18, CFG-24, CFG-29, CFG-31"""
        tried = 0
        for operation in operations():
            for member in checked(operation):
                for value in dict.fromkeys(member.candidates()):
                    if not member.can_carry(value):
                        continue
                    with self.subTest(operation=operation, member=member.told, value=str(value)[:80]):
                        tried += 1
                        answer = self.ask(operation, {tuple(member.way): value})
                        self.assert_told(answer, member.broken_by(value))
        self.assertGreater(tried, 1_400)

    def test_required_members_must_be_present(self):
        """NAM-04"""
        for operation in operations():
            for member in checked(operation, ("string", "integer", "double", "list", "map")):
                if not member.required or member.place == "uri":
                    continue
                with self.subTest(operation=operation, member=member.told):
                    values = {tuple(parent.way): {} for parent in member.parents}
                    missing = self.ask(operation, values | {tuple(member.way): None})
                    others = [each for each in members(operation) if each.required and each.way == member.way]
                    self.assert_told(missing, [each.broken_by(None)[0] for each in others])

    def test_numbers_of_more_than_32_bits_can_not_be_read(self):
        """ERR-04"""
        for operation in operations():
            for member in checked(operation):
                if member.kind != "integer":
                    continue
                for value in (2**31, -(2**31) - 1, 2**63 - 1, -(2**63), 10**30):
                    with self.subTest(operation=operation, member=member.told, value=value):
                        answer = self.ask(operation, {tuple(member.way): value})
                        self.assert_refused(answer, "SerializationException", 400)

    def test_values_of_another_type_can_not_be_read(self):
        for operation in operations():
            for member in checked(operation):
                if member.place != "body":
                    continue
                wrong = [True, [], {}, "1" if member.kind != "string" else 1]
                for value in wrong:
                    with self.subTest(operation=operation, member=member.told, value=value):
                        answer = self.ask(operation, {tuple(member.way): value})
                        self.assert_refused(answer, "SerializationException", 400)

    def test_all_validation_errors_are_reported_at_once(self):
        """NAM-05"""
        for operation in operations():
            values, broken = {}, []
            for member in checked(operation):
                for value in member.candidates():
                    if member.can_carry(value) and (told := member.broken_by(value)):
                        values[tuple(member.way)] = value
                        broken += told
                        break
            with self.subTest(operation=operation, members=len(values)):
                if values:
                    self.assert_told(self.ask(operation, values), broken)

    def test_items_of_lists_and_keys_of_maps_have_their_form(self):
        """The lists and maps of UpdateFunctionConfiguration, which can't be changed here, are held against the model first."""
        path = "/2015-03-31/functions/echo/configuration"
        for way, good, bad, many in (
            (("VpcConfig", "SubnetIds"), "subnet-1", "net", 17),
            (("VpcConfig", "SecurityGroupIds"), "sg-1", "group", 6),
            (("Layers",), VALID["LayerVersionArn"], "layer", None),
            (("ImageConfig", "Command"), "", None, 1501),
            (("ImageConfig", "EntryPoint"), "", None, 1501),
        ):
            told = ".".join(step[0].lower() + step[1:] for step in way)

            def put(value):
                for step in reversed(way):
                    value = {step: value}
                return wire.exchange(self.server, "PUT", path, json.dumps(value).encode())

            with self.subTest(way=way):
                self.assertEqual(put([good]).code, "InvalidParameterValueException")
                for faulty in ([bad] if bad else None, [good] * many if many else None):
                    if faulty:
                        answer = put(faulty)
                        self.assert_refused(answer, "ValidationException", 400)
                        self.assertIn(f"at '{told}' failed to satisfy constraint: Member must", answer.json()["message"])
        for key, code in (("NAME", "InvalidParameterValueException"), ("1", "ValidationException")):
            sent = json.dumps({"Environment": {"Variables": {key: "x"}}}).encode()
            self.assertEqual(wire.exchange(self.server, "PUT", path, sent).code, code)


class SignedModel(Served):
    """Where requests are signed, they are held against the model once it is known who asks."""

    alice, bob = Person("alice", allow("*")), Person("bob")

    @classmethod
    def setUpClass(cls):
        cls.open(guarded([cls.alice, cls.bob]))
        cls.addClassCleanup(cls.server.kill)

    def test_all_validation_errors_are_reported_at_once(self):
        """NAM-05"""
        path = wire.invocations("echo%21", "%21")
        headers = {"x-amz-invocation-type": "Later", "x-amz-log-type": "Head", "x-amz-tenant-id": "!"}
        for person in (self.alice, self.bob):
            answer = Request(self.server, path=path, headers=headers).sign(person).send()
            self.assert_refused(answer, "ValidationException", 400)
            told = re.findall(r"at '(\w+)'", answer.json()["message"])
            self.assertEqual(told, ["functionName", "invocationType", "logType", "qualifier", "tenantId"])
        body = json.dumps({"StatementId": "!", "Principal": " ", "SourceAccount": "1"}).encode()
        path = "/2015-03-31/functions/echo/policy"
        answer = Request(self.server, path=path, body=body).sign(self.alice).send()
        told = re.findall(r"at '(\w+)'", answer.json()["message"])
        self.assertEqual(told, ["statementId", "action", "principal", "sourceAccount"])

    def test_unknown_callers_get_no_validation_errors(self):
        stranger = Person("stranger")
        answer = Request(self.server, path=wire.invocations("%21")).sign(stranger).send()
        self.assertEqual(answer.status, 403)

    def test_a_function_of_another_account_is_denied_to_everybody(self):
        """NAM-13"""
        other = arn("echo").replace("000000000000", "111111111111")
        for person in (self.alice, self.bob):
            answer = Request(self.server, path=wire.invocations(other)).sign(person).send()
            self.assertEqual((answer.status, answer.code), (403, "AccessDeniedException"), answer)
            self.assertEqual(
                answer.json()["Message"],
                f"User: {person.arn} is not authorized to perform: lambda:InvokeFunction on resource: {other} "
                "because no resource-based policy allows the lambda:InvokeFunction action",
            )

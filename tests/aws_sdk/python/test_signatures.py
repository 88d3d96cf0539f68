"""Authentication: requests signed by SigV4, accepted and refused, and the decisions of the policies."""

import json
import re
import tempfile

import wire
from served import Asserting, Served, client
from server import FUNCTIONS, DidNotStart, Server, arn
from signing import Person, Request, allow, guarded

ALICE = Person("alice", allow("*"))
BOB = Person("bob")
CAROL = Person("carol", allow("lambda:InvokeFunction"), allow("lambda:*", resource=arn("fail"), effect="Deny"))
DAVE = Person("dave", allow("lambda:InvokeFunction", resource=[arn("echo", "live")]))
ERIN = Person("erin", allow("lambda:*"), token="a token that came with the keys")
FRANK = Person("frank", allow("lambda:InvokeAsync", "lambda:ListVersionsByFunction", resource=[arn("echo", "live")]))
PEOPLE = [ALICE, BOB, CAROL, DAVE, ERIN, FRANK]
STRANGER = Person("stranger", allow("*"))


class Guarded(Served):
    """A server that lets in those of a file."""

    @classmethod
    def setUpClass(cls):
        cls.open(guarded(PEOPLE, "--retry-delays", "10,20"))
        cls.addClassCleanup(cls.server.kill)

    def request(self, *parameters, **named):
        return Request(self.server, *parameters, **named)

    def of(self, person, **config):
        """A boto3 client with somebody's keys."""
        return client(self.server, person.access_key, person.secret_key, person.token, **config)


class Accepted(Guarded):
    def test_boto3_is_accepted(self):
        """SIG-01, SIG-06, SIG-07"""
        alice = self.of(ALICE)
        answer = alice.invoke(FunctionName="echo", Payload=b'{"a": 1}')
        self.assertEqual(json.loads(answer["Payload"].read()), {"a": 1})
        names = [each["FunctionName"] for each in alice.list_functions(MaxItems=50)["Functions"]]
        self.assertEqual(sorted(names), FUNCTIONS)

    def test_names_with_escapes_are_signed_escaped_twice(self):
        """SIG-06, SIG-10"""
        for name in ("echo:live", "echo:$LATEST", arn("echo"), arn("echo", "1"), "000000000000:function:echo"):
            answer = self.of(ALICE).invoke(FunctionName=name, Payload=b"{}")
            self.assertEqual(answer["StatusCode"], 200)

    def test_queries_are_signed(self):
        """SIG-06"""
        alice = self.of(ALICE)
        self.assertEqual(alice.invoke(FunctionName="echo", Qualifier="$LATEST")["StatusCode"], 200)
        listed = alice.list_functions(FunctionVersion="ALL", MaxItems=3)
        self.assertEqual(len(listed["Functions"]), 3)
        again = alice.list_functions(FunctionVersion="ALL", MaxItems=3, Marker=listed["NextMarker"])
        self.assertEqual(len(again["Functions"]), 3)

    def test_bodies_of_every_size_are_signed(self):
        """SIG-06"""
        for size in (0, 2, 1000, 1 << 20, 6291456):
            payload = b'"' + b"x" * (size - 2) + b'"' if size else b""
            answer = self.of(ALICE).invoke(FunctionName="echo", Payload=payload)
            self.assertEqual(len(answer["Payload"].read()), size or 2)

    def test_every_method_is_signed(self):
        """SIG-06"""
        alice = self.of(ALICE)
        alice.put_function_event_invoke_config(FunctionName="log", MaximumRetryAttempts=1)
        alice.update_function_event_invoke_config(FunctionName="log", MaximumRetryAttempts=0)
        alice.get_function_event_invoke_config(FunctionName="log")
        alice.delete_function_event_invoke_config(FunctionName="log")

    def test_temporary_credentials_are_accepted_with_their_token(self):
        """SIG-05, SIG-09"""
        self.assertEqual(self.of(ERIN).invoke(FunctionName="echo")["StatusCode"], 200)

    def test_the_cli_is_accepted(self):
        """SIG-01, PAR-01"""
        keys = {"AWS_ACCESS_KEY_ID": ALICE.access_key, "AWS_SECRET_ACCESS_KEY": ALICE.secret_key}
        printed, payload = self.cli_invoke("--function-name", "echo:live", "--payload", '{"a": 1}', **keys)
        self.assertEqual((printed["StatusCode"], json.loads(payload)), (200, {"a": 1}))
        said = self.cli("list-functions", fails=True)
        self.assertIn("(UnrecognizedClientException)", said)

    def test_a_presigned_request_is_accepted(self):
        """SIG-01"""
        answer = self.request("GET", "/2015-03-31/functions/echo", b"").presign(ALICE).send()
        self.assertEqual(answer.status, 200, answer)
        answer = self.request("GET", "/2015-03-31/functions/?MaxItems=3", b"").presign(ALICE).send()
        self.assertEqual(answer.status, 200, answer)

    def test_a_signature_of_a_minute_ago_is_accepted(self):
        """SIG-04"""
        for ago in (60, -60):
            answer = self.request().sign(ALICE, ago=ago).send()
            self.assertEqual(answer.status, 200, answer)

    def test_many_calls_of_one_second_are_no_replays(self):
        """SIG-06: an SDK signs an id with each, or some calls would be taken for one another."""
        alice = self.of(ALICE)
        for _ in range(100):
            alice.invoke(FunctionName="echo", Payload=b"{}", InvocationType="Event")


class Refused(Guarded):
    def assert_kept_out(self, request, code, words=""):
        answer = request.send()
        self.assert_refused(answer, code, 403)
        body = answer.json()
        self.assertIn(words, body.get("message") or body.get("Message"))

    def test_an_unsigned_request_is_refused(self):
        """SIG-01"""
        self.assert_kept_out(self.request(), "MissingAuthenticationTokenException", "Missing Authentication Token")
        for path in ("/2015-03-31/functions/", "/_redrive/stats", "/_redrive/dead-letters"):
            answer = wire.exchange(self.server, "GET", path)
            self.assert_refused(answer, "MissingAuthenticationTokenException", 403)

    def test_a_header_that_lacks_a_part_is_incomplete(self):
        """SIG-02"""
        for part in (r"Credential=[^,]+, ", r"SignedHeaders=[^,]+, ", r", Signature=\w+", r"(?<=Signature)="):
            request = self.request().sign(ALICE)
            request.headers["Authorization"] = re.sub(part, "", request.headers["Authorization"])
            with self.subTest(part=part):
                self.assert_kept_out(request, "IncompleteSignatureException")

    def test_a_malformed_authorization_header_is_refused(self):
        """SIG-02"""
        for header in ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ,,,", "AWS4-HMAC-SHA256 =", "Basic QTpC", "x" * 10_000):
            request = self.request().sign(ALICE)
            request.headers["Authorization"] = header
            with self.subTest(header=header[:40]):
                answer = request.send()
                self.assertEqual(answer.status, 403, answer)
                self.assert_aws_shape(answer)

    def test_a_foreign_credential_scope_is_refused(self):
        """SIG-03"""
        scoped = "Credential should be scoped"
        self.assert_kept_out(self.request().sign(ALICE, region="eu-west-1"), "InvalidSignatureException", scoped)
        self.assert_kept_out(self.request().sign(ALICE, service="s3"), "InvalidSignatureException", scoped)
        request = self.request().sign(ALICE).edit("/aws4_request", "/aws5_request")
        self.assert_kept_out(request, "InvalidSignatureException", scoped)
        request = self.request().sign(ALICE)
        day = request.headers["X-Amz-Date"][:8]
        self.assert_kept_out(request.edit(f"/{day}/", "/20200101/"), "InvalidSignatureException")

    def test_a_signature_too_old_or_too_new_is_refused(self):
        """SIG-04"""
        old = self.request().sign(ALICE, ago=20 * 60)
        self.assert_kept_out(old, "InvalidSignatureException", "Signature expired")
        new = self.request().sign(ALICE, ago=-20 * 60)
        self.assert_kept_out(new, "InvalidSignatureException", "Signature not yet current")

    def test_a_presigned_request_expires(self):
        """SIG-01, SIG-04"""
        request = self.request("GET", "/2015-03-31/functions/echo", b"").presign(ALICE, expires=10, ago=30)
        answer = request.send()
        self.assertEqual(answer.status, 403, answer)
        self.assert_aws_shape(answer)

    def test_an_unknown_access_key_is_refused(self):
        """SIG-05"""
        with self.refused("UnrecognizedClientException", 403):
            self.of(STRANGER).list_functions()

    def test_a_token_must_be_the_one_that_came_with_the_keys(self):
        """SIG-05"""
        for token in (None, "another"):
            forged = Person("erin", token=token)
            answer = self.request().sign(forged).send()
            self.assertEqual(answer.status, 403, answer)
            self.assert_aws_shape(answer)

    def test_another_secret_is_refused(self):
        """SIG-08"""
        forger = Person("alice")
        forger.secret_key = "a guess"
        with self.refused("InvalidSignatureException", 403) as refusal:
            self.of(forger).list_functions()
        self.assertTrue(
            refusal.message.startswith(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method."
            )
        )

    def test_a_request_changed_after_signing_is_refused(self):
        """SIG-06, SIG-07, SIG-08"""

        def body(request):
            request.body = b"[]"

        def path(request):
            request.path = wire.invocations("log")

        def query(request):
            request.path += "?Qualifier=1"

        def header(request):
            request.headers["X-Amz-Invocation-Type"] = "DryRun"

        def signature(request):
            last = request.headers["Authorization"][-1]
            request.headers["Authorization"] = request.headers["Authorization"][:-1] + ("1" if last == "0" else "0")

        for change in (body, path, query, header, signature):
            request = self.request(headers=[("X-Amz-Invocation-Type", "Event")]).sign(ALICE)
            change(request)
            with self.subTest(change=change.__name__):
                self.assert_kept_out(request, "InvalidSignatureException")

    def test_a_method_that_was_changed_after_signing_is_refused(self):
        """SIG-06, SIG-08"""
        path = "/2019-09-25/functions/echo/event-invoke-config"
        request = self.request("GET", path, b"").sign(ALICE)
        request.method = "DELETE"
        self.assert_kept_out(request, "InvalidSignatureException")

    def test_a_body_that_is_not_the_one_its_hash_names_is_refused(self):
        """SIG-06"""
        hashed = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        honest = self.request(headers=[("x-amz-content-sha256", hashed)]).sign(ALICE)
        self.assertEqual(honest.send().status, 200)
        request = self.request(headers=[("x-amz-content-sha256", hashed)]).sign(ALICE)
        request.body = b"[]"
        answer = request.send()
        self.assert_refused(answer, "XAmzContentSHA256Mismatch", 400)

    def test_host_date_and_token_must_be_signed(self):
        """SIG-09"""
        for name, person in (("host", ALICE), ("x-amz-date", ALICE), ("x-amz-security-token", ERIN)):
            request = self.request().sign(person, forgotten=[name])
            with self.subTest(name=name):
                answer = request.send()
                self.assertEqual(answer.status, 403, answer)
                self.assert_aws_shape(answer)

    def test_a_refused_request_runs_nothing(self):
        """ASY-01"""
        request = self.request("POST", wire.invocations("panic"), b'{"message": "m"}').sign(STRANGER)
        self.assertEqual(request.send().status, 403)
        answer = self.request("GET", "/_redrive/functions/panic/stats", b"").sign(ALICE).send()
        self.assertEqual(answer.json()["Invocations"], 0)

    def test_unknown_callers_do_not_learn_whether_a_function_exists(self):
        """ASY-01: who may not come in learns nothing of what is inside."""
        for function in ("echo", "nobody"):
            with self.refused("UnrecognizedClientException", 403):
                self.of(STRANGER).invoke(FunctionName=function)

    def test_health_needs_no_signature(self):
        """BYD-22: a load balancer signs nothing."""
        self.assertEqual(wire.exchange(self.server, "GET", "/_redrive/health/live").status, 200)


class Policies(Guarded):
    def denied(self, action, resource, person):
        """IAM-09"""
        refusal = self.refused("AccessDeniedException", 403)

        class Checked:
            def __enter__(_):
                _.refusal = refusal.__enter__()

            def __exit__(_, *raised):
                swallowed = refusal.__exit__(*raised)
                self.assertIn(
                    f"User: {person.arn} is not authorized to perform: {action} on resource: {resource}",
                    _.refusal.message,
                )
                return swallowed

        return Checked()

    def test_actions_without_a_policy_are_denied(self):
        """IAM-01, IAM-07, IAM-09, INV-15, UNV-12"""
        bob = self.of(BOB)
        for kind in ("RequestResponse", "Event", "DryRun"):
            with self.denied("lambda:InvokeFunction", arn("echo"), BOB):
                bob.invoke(FunctionName="echo", InvocationType=kind)
        with self.denied("lambda:InvokeAsync", arn("echo"), BOB):
            bob.invoke_async(FunctionName="echo", InvokeArgs=b"{}")
        with self.refused("AccessDeniedException", 403) as refusal:
            bob.list_functions()
        self.assertIn("lambda:ListFunctions", refusal.message)

    def test_each_operation_has_its_own_action(self):
        """IAM-07, IAM-08"""
        carol = self.of(CAROL)
        self.assertEqual(carol.invoke(FunctionName="echo")["StatusCode"], 200)
        name = {"FunctionName": "echo"}
        for action, call in (
            ("GetFunction", lambda: carol.get_function(**name)),
            ("GetFunctionConfiguration", lambda: carol.get_function_configuration(**name)),
            ("PutFunctionConcurrency", lambda: carol.put_function_concurrency(**name, ReservedConcurrentExecutions=1)),
            ("GetFunctionConcurrency", lambda: carol.get_function_concurrency(**name)),
            ("DeleteFunctionConcurrency", lambda: carol.delete_function_concurrency(**name)),
            ("PutFunctionEventInvokeConfig", lambda: carol.put_function_event_invoke_config(**name)),
            ("GetFunctionEventInvokeConfig", lambda: carol.get_function_event_invoke_config(**name)),
            ("GetPolicy", lambda: carol.get_policy(**name)),
            ("InvokeAsync", lambda: carol.invoke_async(**name, InvokeArgs=b"{}")),
        ):
            with self.subTest(action=action), self.denied(f"lambda:{action}", arn("echo"), CAROL):
                call()

    def test_an_explicit_deny_wins(self):
        """IAM-01"""
        with self.denied("lambda:InvokeFunction", arn("fail"), CAROL):
            self.of(CAROL).invoke(FunctionName="fail", Payload=b'{"message": "m"}')

    def test_a_qualified_resource_matches_one_qualifier(self):
        """IAM-06, IAM-08"""
        dave = self.of(DAVE)
        for name in ("echo:live", arn("echo", "live"), "000000000000:function:echo:live"):
            self.assertEqual(dave.invoke(FunctionName=name)["StatusCode"], 200)
        for name in ("echo", "echo:1", arn("echo")):
            with self.refused("AccessDeniedException", 403):
                dave.invoke(FunctionName=name)

    def test_an_ignored_qualifier_grants_nothing(self):
        """IAM-06, INV-31: InvokeAsync runs the function itself, whatever its query says."""
        for name, query, status in (("echo:live", "", 202), ("echo", "?Qualifier=live", 403)):
            path = f"/2014-11-13/functions/{name}/invoke-async/{query}"
            self.assertEqual(self.request("POST", path, b"{}").sign(FRANK).send().status, status, path)
        versions = self.request("GET", "/2015-03-31/functions/echo/versions?Qualifier=live")
        self.assertEqual(versions.sign(FRANK).send().status, 403)

    def test_a_resource_policy_admits_a_caller(self):
        """IAM-02, IAM-03, IAM-06, CFG-31"""
        alice, bob = self.of(ALICE), self.of(BOB)
        statement = {"StatementId": "bob", "Action": "lambda:InvokeFunction", "Principal": BOB.arn}
        alice.add_permission(FunctionName="log", **statement)
        self.addCleanup(lambda: alice.remove_permission(FunctionName="log", StatementId="bob"))
        self.assertEqual(bob.invoke(FunctionName="log", Payload=b'{"lines": 1}')["StatusCode"], 200)
        with self.refused("AccessDeniedException", 403):
            bob.get_function(FunctionName="log")
        with self.refused("AccessDeniedException", 403):
            bob.invoke(FunctionName="echo")

    def test_a_resource_policy_of_a_qualifier_holds_for_it_alone(self):
        """IAM-06"""
        alice, bob = self.of(ALICE), self.of(BOB)
        statement = {"StatementId": "bob", "Action": "lambda:InvokeFunction", "Principal": BOB.arn}
        alice.add_permission(FunctionName="echo", Qualifier="live", **statement)
        self.addCleanup(lambda: alice.remove_permission(FunctionName="echo", Qualifier="live", StatementId="bob"))
        self.assertEqual(bob.invoke(FunctionName="echo:live")["StatusCode"], 200)
        for name in ("echo", "echo:1"):
            with self.refused("AccessDeniedException", 403):
                bob.invoke(FunctionName=name)

    def test_a_permission_that_was_removed_is_gone(self):
        """CFG-37, IAM-03"""
        alice, bob = self.of(ALICE), self.of(BOB)
        statement = {"StatementId": "bob", "Action": "lambda:InvokeFunction", "Principal": BOB.arn}
        alice.add_permission(FunctionName="big", **statement)
        self.assertEqual(bob.invoke(FunctionName="big", Payload=b'{"bytes": 5}')["StatusCode"], 200)
        alice.remove_permission(FunctionName="big", StatementId="bob")
        with self.refused("AccessDeniedException", 403):
            bob.invoke(FunctionName="big", Payload=b'{"bytes": 5}')

    def test_a_denial_in_the_identity_policy_beats_the_resource_policy(self):
        """IAM-01, IAM-02"""
        alice = self.of(ALICE)
        statement = {"StatementId": "carol", "Action": "lambda:InvokeFunction", "Principal": CAROL.arn}
        alice.add_permission(FunctionName="fail", **statement)
        self.addCleanup(lambda: alice.remove_permission(FunctionName="fail", StatementId="carol"))
        with self.refused("AccessDeniedException", 403):
            self.of(CAROL).invoke(FunctionName="fail", Payload=b'{"message": "m"}')

    def test_the_admin_api_needs_a_policy_too(self):
        """IAM-01"""
        for method, path in (("GET", "stats"), ("GET", "dead-letters"), ("POST", "functions/echo/pause")):
            answer = self.request(method, f"/_redrive/{path}", b"").sign(CAROL).send()
            self.assert_refused(answer, "AccessDeniedException", 403)


class BadFiles(Asserting):
    """A file of credentials that is not understood must not be served with."""

    def test_a_misspelt_auth_file_is_refused_at_the_start(self):
        """IAM-08"""
        good = ALICE.entry()
        statement = {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}
        for policy in (
            {"Version": "2012-10-17", "Statement": [statement | {"Conditions": {}}]},
            {"Version": "2012-10-17", "Statement": [statement | {"Effect": "allow"}]},
            {"Version": "2012-10-17", "Statement": [statement | {"Condition": {"StringEqual": {"a": "b"}}}]},
            {"Version": "2012-10-17", "Statements": [statement]},
            {"Version": "2012-10-17"},
        ):
            with self.subTest(policy=policy), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump({"credentials": [good | {"policies": [policy]}]}, file)
                file.flush()
                with self.assertRaises(DidNotStart):
                    Server("--auth", file.name).kill()

    def test_an_invalid_auth_file_is_refused_with_the_reason(self):
        """IAM-08"""
        good = ALICE.entry()
        for entries, why in (
            ([good, good], "are there twice"),
            ([good | {"access_key_id": ""}], "aren't empty"),
            ([good | {"secret_access_key": ""}], "aren't empty"),
            ([good | {"session_token": ""}], "empty session_token"),
            ([good | {"principal": "alice"}], "need the ARN of a principal"),
            ([good | {"policies": [{}]}], "faulty policies[0]"),
        ):
            with self.subTest(why=why), tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump({"credentials": entries}, file)
                file.flush()
                with self.assertRaises(DidNotStart) as refused:
                    Server("--auth", file.name).kill()
                self.assertIn(f"--auth {file.name}: the credentials of '", str(refused.exception))
                self.assertIn(why, str(refused.exception))

"""Authorisation of reads, invocations and redrives: each test tries, by a signed request, a way that must be closed."""

import base64
import json
import uuid

import wire
from served import Served, client
from server import arn
from signing import Person, Request, allow, guarded

INVOKE = "lambda:InvokeFunction"
REDRIVE = "redrive:RedriveDeadLetters"
PUT_CONFIG = "lambda:PutFunctionEventInvokeConfig"


class Foreigner(Person):
    """Somebody of another account."""

    def __init__(self, name, path):
        super().__init__(name, allow("*"))
        self.path = path

    @property
    def arn(self):
        return f"arn:aws:iam::111111111111:{self.path}"


ADMIN = Person("admin", allow("*"))
ONLY_FAIL = Person("onlyfail", allow("*", resource=[arn("fail"), arn("fail", "*")]))
REDRIVER = Person("redriver", allow(REDRIVE, resource=["*"]), allow(INVOKE, effect="Deny"))
RUNNER = Person("runner", allow(REDRIVE, INVOKE, resource=[arn("fail"), arn("fail", "*")]))
CONFIGURER = Person("configurer", allow(PUT_CONFIG, resource=[arn("echo")]))
TRUSTED = Person("trusted", allow(PUT_CONFIG, INVOKE))
EVE = Foreigner("eve", "user/eve")
ROOT = Foreigner("root", "root")
PEOPLE = (ADMIN, ONLY_FAIL, REDRIVER, RUNNER, CONFIGURER, TRUSTED, EVE, ROOT)


class Authorised(Served):
    """A server with the credentials of all of them."""

    @classmethod
    def setUpClass(cls):
        cls.open(guarded(PEOPLE, "--retry-delays", "1", "--concurrency", "50"))
        cls.addClassCleanup(cls.server.kill)

    def by(self, person, method, path, body=None, headers=()):
        sent = b"" if body is None else json.dumps(body).encode()
        return Request(self.server, method, path, sent, headers).sign(person).send()

    def invoke_as(self, person, function, body, request_id=None, kind="Event", tail=False):
        headers = {"x-amz-invocation-type": kind}
        if request_id:
            headers["x-amzn-requestid"] = request_id
        if tail:
            headers["x-amz-log-type"] = "Tail"
        return self.by(person, "POST", wire.invocations(function), body, headers)

    def over(self, event, person=ADMIN):
        """What became of an event, once it is over."""
        return self.by(person, "GET", f"/_redrive/events/{event}?wait=20").json()

    def dead(self):
        """A dead letter of `fail`."""
        sent = self.invoke_as(ADMIN, "fail", {"message": "as ever"})
        self.assertEqual(self.over(sent.request_id)["state"], "dead")
        return sent.request_id

    def assert_denied(self, answer):
        self.assert_refused(answer, "AccessDeniedException", 403)


class Logs(Authorised):
    """The rights on an event's function decide who may read its log, for every event id."""

    def forget(self, event):
        """Has the server forget an event of `log`, and keep its log."""
        aws = client(self.server, ADMIN.access_key, ADMIN.secret_key)
        path = f"/_redrive/events/{event}"
        number = 0
        while self.by(ADMIN, "GET", path).status == 200:
            for _ in range(250):
                number += 1
                payload = json.dumps({"lines": 0, "number": number}).encode()
                aws.invoke(FunctionName="log", InvocationType="Event", Payload=payload)

    def test_reading_the_log_of_another_functions_event_is_denied(self):
        event = self.invoke_as(ADMIN, "log", {"lines": 3}, str(uuid.uuid4())).request_id
        self.over(event)
        log = f"/_redrive/events/{event}/log"
        self.assertIn("line 3", self.by(ADMIN, "GET", log).json()["log"])
        self.assert_denied(self.by(ONLY_FAIL, "GET", log))
        self.forget(event)
        self.assert_denied(self.by(ONLY_FAIL, "GET", log))
        # The id chosen again, for a function that the caller may invoke.
        called = self.invoke_as(ONLY_FAIL, "fail", {"message": "m"}, event, "RequestResponse", tail=True)
        self.assertEqual((called.status, called.request_id), (200, event))
        tail = base64.b64decode(called.headers["x-amz-log-result"]).decode()
        self.assertIn("[ERROR]", tail)
        self.assertNotIn("line ", tail)
        own = self.by(ONLY_FAIL, "GET", log)
        if own.status == 200:
            self.assertNotIn("line ", own.json()["log"])


class Running(Authorised):
    """A caller that may not invoke a function finds no other way to run it with a chosen payload."""

    redrive = "/_redrive/dead-letters/redrive"

    def test_a_redrive_with_a_payload_is_denied_without_invoke_rights(self):
        letter = self.dead()
        self.assert_denied(self.invoke_as(REDRIVER, "fail", {"message": "chosen"}))
        for order in (
            {"request_id": letter, "payload": {"message": "chosen"}},
            {"request_id": letter, "payload": None},
            {"request_id": letter, "payload": {}, "dry_run": True},
            {"filter": {"function": "fail"}, "payload": {"message": "chosen"}},
            {"filter": {}, "payload": {"message": "chosen"}},
        ):
            with self.subTest(order):
                self.assert_denied(self.by(REDRIVER, "POST", self.redrive, order))
        self.assertEqual(self.by(ADMIN, "GET", f"/_redrive/dead-letters/{letter}").status, 200)

    def test_a_redrive_of_the_unchanged_payload_needs_no_invoke_rights(self):
        sent = self.by(REDRIVER, "POST", self.redrive, {"request_id": self.dead()})
        self.assertEqual((sent.status, len(sent.json()["sent"])), (200, 1), sent)

    def test_a_redrive_with_a_payload_is_allowed_with_invoke_rights(self):
        order = {"request_id": self.dead(), "payload": {"message": "mended"}}
        sent = self.by(RUNNER, "POST", self.redrive, order)
        self.assertEqual(sent.status, 200, sent)
        event = self.over(sent.json()["sent"][0]["event"])
        self.assertEqual(event["failure"]["message"], "mended")

    def test_setting_a_destination_needs_the_right_to_invoke_it(self):
        """CFG-22"""
        path = "/2019-09-25/functions/echo/event-invoke-config"
        for goal in ("OnSuccess", "OnFailure"):
            config = {"DestinationConfig": {goal: {"Destination": arn("fail")}}}
            self.assert_denied(self.by(CONFIGURER, "PUT", path, config))
            self.assertEqual(self.by(TRUSTED, "PUT", path, config).status, 200)
        retries = self.by(CONFIGURER, "PUT", path, {"MaximumRetryAttempts": 0})
        self.assertEqual(retries.status, 200)


class Foreigners(Authorised):
    """The policies of another account give no rights on this one."""

    def test_foreign_accounts_are_denied_what_belongs_to_no_function(self):
        for person in (EVE, ROOT):
            for method, path, body in (
                ("GET", "/2015-03-31/functions", None),
                ("GET", "/2016-08-19/account-settings", None),
                ("POST", "/2015-03-31/functions", {}),
                ("GET", "/_redrive/stats", None),
                ("GET", "/_redrive/functions", None),
                ("GET", "/_redrive/unregistered", None),
                ("GET", "/_redrive/dead-letters", None),
                ("GET", f"/_redrive/dead-letters/{uuid.uuid4()}", None),
                ("GET", f"/_redrive/events/{uuid.uuid4()}", None),
                ("DELETE", f"/_redrive/events/{uuid.uuid4()}", None),
                ("POST", "/_redrive/dead-letters/redrive", {"filter": {}}),
                ("POST", "/_redrive/dead-letters/purge", {"filter": {}}),
            ):
                with self.subTest(f"{person.name}: {method} {path}"):
                    self.assert_denied(self.by(person, method, path, body))

    def test_an_sdk_of_a_foreign_account_is_denied(self):
        aws = client(self.server, EVE.access_key, EVE.secret_key)
        for call in (aws.list_functions, aws.get_account_settings):
            with self.refused("AccessDeniedException", 403):
                call()

    def test_a_permission_opens_its_function_alone(self):
        """IAM-03"""
        self.assert_denied(self.invoke_as(EVE, "sleep", {"milliseconds": 0}))
        permission = {"StatementId": "eve", "Action": INVOKE, "Principal": "111111111111"}
        path = "/2015-03-31/functions/sleep/policy"
        self.assertEqual(self.by(ADMIN, "POST", path, permission).status, 201)
        self.assertEqual(self.invoke_as(EVE, "sleep", {"milliseconds": 1}).status, 202)
        self.assert_denied(self.invoke_as(EVE, "echo", {}))
        self.assert_denied(self.by(EVE, "GET", "/2015-03-31/functions/sleep"))
        self.assert_denied(self.by(EVE, "GET", "/_redrive/stats"))

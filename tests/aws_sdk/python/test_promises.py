"""The promises of the admin API, and of it together with AWS's: each test is one promise."""

import concurrent.futures
import json
import signal
import time

import wire
from served import Served, ServedAfresh
from server import arn
from signing import Person, Request, allow, guarded

ADMIN = Person("admin", allow("*"))
BARRED = Person("barred", allow("*"), allow("*", resource=[arn("fail"), arn("fail", "*")], effect="Deny"))
GRANTED = Person("granted", allow("redrive:*", resource=[arn("echo")]))


class Barred(Served):
    """IAM-01: whoever is denied everything about a function can do nothing about it, by any path."""

    @classmethod
    def setUpClass(cls):
        cls.open(guarded((ADMIN, BARRED, GRANTED), "--retry-delays", "1"))
        cls.addClassCleanup(cls.server.kill)

    def by(self, person, method, path, body=None):
        sent = b"" if body is None else json.dumps(body).encode()
        return Request(self.server, method, path, sent).sign(person).send()

    def dead(self):
        """A dead letter of `fail`."""
        request = Request(self.server, path=wire.invocations("fail"), body=b'{"message": "secret"}')
        request.headers["x-amz-invocation-type"] = "Event"
        sent = request.sign(ADMIN).send()
        self.assertEqual(sent.status, 202)
        path = f"/_redrive/events/{sent.request_id}?wait=20"
        self.assertEqual(self.by(ADMIN, "GET", path).json()["state"], "dead")
        return sent.request_id

    def test_a_denied_function_can_not_be_invoked(self):
        self.assert_refused(self.by(BARRED, "POST", wire.invocations("fail"), {}), "AccessDeniedException", 403)

    def test_events_of_a_denied_function_can_not_be_read(self):
        letter = self.dead()
        for path in (f"events/{letter}", f"events/{letter}/log", f"dead-letters/{letter}"):
            with self.subTest(path):
                self.assert_refused(self.by(BARRED, "GET", f"/_redrive/{path}"), "AccessDeniedException", 403)

    def test_letters_of_a_denied_function_are_omitted_from_lists(self):
        letter = self.dead()
        listed = self.by(BARRED, "GET", "/_redrive/dead-letters")
        if listed.status == 200:
            self.assertNotIn(letter, [each["request_id"] for each in listed.json()["letters"]])

    def test_a_denied_function_can_not_be_run_by_a_redrive(self):
        letter = self.dead()
        order = {"request_id": letter, "payload": {"message": "injected"}}
        answer = self.by(BARRED, "POST", "/_redrive/dead-letters/redrive", order)
        self.assert_refused(answer, "AccessDeniedException", 403)

    def test_a_denied_function_can_not_be_set_as_a_destination(self):
        """CFG-22: who names a destination must be allowed to invoke it."""
        path = "/2019-09-25/functions/echo/event-invoke-config"
        config = {"DestinationConfig": {"OnSuccess": {"Destination": arn("fail")}}}
        self.assertEqual(self.by(BARRED, "PUT", path, config).status, 403)

    def test_letters_of_a_denied_function_can_not_be_purged(self):
        letter = self.dead()
        self.by(BARRED, "POST", "/_redrive/dead-letters/purge", {"filter": {"function": "fail"}})
        self.assertEqual(self.by(ADMIN, "GET", f"/_redrive/dead-letters/{letter}").status, 200)

    def test_a_grant_for_one_function_is_good_for_its_events(self):
        sent = Request(self.server, path=wire.invocations("echo"), body=b"1")
        sent.headers["x-amz-invocation-type"] = "Event"
        event = sent.sign(ADMIN).send().request_id
        self.assertEqual(self.by(GRANTED, "GET", f"/_redrive/events/{event}?wait=5").status, 200)


class Revisions(ServedAfresh):
    def test_a_revision_stands_until_something_changes(self):
        """CFG-07"""
        read = lambda: self.aws.get_function_configuration(FunctionName="echo")["RevisionId"]
        self.assertEqual(read(), read())
        alias = lambda: self.aws.get_alias(FunctionName="echo", Name="live")["RevisionId"]
        self.assertEqual(alias(), alias())

    def test_the_revision_just_read_is_current(self):
        """CFG-07, CFG-09"""
        revision = self.aws.get_function_configuration(FunctionName="echo")["RevisionId"]
        self.aws.update_function_configuration(FunctionName="echo", Timeout=7, RevisionId=revision)


class Concurrency(ServedAfresh):
    def test_a_burst_gets_no_more_than_what_is_reserved(self):
        """CON-02, ERR-05: what is above the ceiling is throttled at once, and never waits."""
        over = []
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(6):
                for reserved in (1, 2):
                    self.aws.put_function_concurrency(
                        FunctionName="sleep", ReservedConcurrentExecutions=reserved
                    )
                    call = lambda _: wire.invoke(self.server, "sleep", b'{"milliseconds": 150}').status
                    taken = list(pool.map(call, range(8))).count(200)
                    if taken > reserved:
                        over.append((reserved, taken))
        self.assertEqual(over, [])


class Letters(ServedAfresh):
    flags = ("--retry-delays", "1")

    def setUp(self):
        super().setUp()
        self.letter = self.send("fail", {"message": "old"})
        self.assertEqual(self.event(self.letter)["state"], "dead")

    def test_the_total_counts_matching_letters_only(self):
        """openapi.json, LetterPage"""
        page = self.ask("GET", "dead-letters?function=echo")
        self.assertEqual((page["letters"], page["total"]), ([], 0))

    def test_a_listed_event_has_what_every_status_has(self):
        """openapi.json, EventStatus: `status` is a Status, which requires `request_id` and `state`."""
        (event,) = self.ask("GET", "functions/fail/events?state=finished")["events"]
        described = self.ask("GET", "openapi.json")["components"]["schemas"]
        self.assertEqual(described["EventStatus"]["properties"]["status"], {"$ref": "#/components/schemas/Status"})
        for key in described["Status"]["required"]:
            self.assertIn(key, event["status"])

    def test_a_payload_of_null_is_a_payload(self):
        """openapi.json, Redrive: `payload` is sent in place of the letter's own."""
        redriven = self.ask("POST", "dead-letters/redrive", {"request_id": self.letter, "payload": None})
        again = self.event(redriven["sent"][0]["event"])
        self.assertIsNone(again["letter"]["payload"])

    def test_a_json_list_in_place_of_an_object_is_refused(self):
        """openapi.json, Purge and CFG-11, CFG-24"""
        answer = wire.exchange(self.server, "POST", "/_redrive/dead-letters/purge", b"[{}, false]")
        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.ask("GET", "dead-letters")["total"], 1)
        answer = wire.exchange(self.server, "PUT", "/2017-10-31/functions/echo/concurrency", b"[5]")
        self.assertEqual(answer.status, 400, answer)
        path = "/2019-09-25/functions/echo/event-invoke-config"
        self.assertEqual(wire.exchange(self.server, "PUT", path, b"[1, 60, null]").status, 400)


class Waiting(ServedAfresh):
    flags = ("--retry-delays", "1500,1500")

    def test_a_long_poll_ends_when_the_server_stops(self):
        self.ask("POST", "functions/sleep/pause")
        event = self.send("sleep", {"milliseconds": 1})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            path = f"/_redrive/events/{event}?wait=60"
            poll = pool.submit(lambda: wire.exchange(self.server, "GET", path))
            time.sleep(0.5)
            started = time.monotonic()
            self.server.process.send_signal(signal.SIGTERM)
            self.assertEqual(poll.result().json()["state"], "accepted")
            self.assertLess(time.monotonic() - started, 10)


class Pages(ServedAfresh):
    flags = ("--retry-delays", "1")

    def test_pages_of_letters_take_no_more_memory_than_a_few_letters(self):
        """Issue: in constant memory."""
        payload = {"message": 1, "x": "y" * 1_000_000}
        for _ in range(50):
            # Asked at once: statuses are remembered for 8 MiB of payloads, the letters for longer.
            self.assertEqual(self.event(self.send("fail", payload))["state"], "dead")
        before = self.server.memory()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            ask = lambda _: wire.exchange(self.server, "GET", "/_redrive/dead-letters?limit=1000").status
            asked = [pool.submit(ask, number) for number in range(8)]
            most = before
            while not all(each.done() for each in asked):
                most = max(most, self.server.memory())
                time.sleep(0.01)
        self.assertLess(most - before, 64 << 20)

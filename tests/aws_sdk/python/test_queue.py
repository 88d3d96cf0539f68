"""The asynchronous queue from outside: retries, dead letters, pausing, and its state after a kill."""

import json
import tempfile
import time
import uuid

import wire
from served import Served, ServedAfresh
from server import Server, arn

EXHAUSTED, AGED, ZERO = "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"


class Queue:
    """What the tests ask about letters."""

    def letter(self, request_id):
        event = self.event(request_id)
        self.assertEqual(event["state"], "dead", event)
        return event["letter"]

    def condition(self, request_id):
        """Why it died, and after how many attempts."""
        letter = self.letter(request_id)
        return letter["condition"], len(letter["attempts"])


class Retries(Queue, Served):
    flags = ("--retry-delays", "20,40")

    def test_a_failing_event_is_tried_three_times(self):
        """ASY-13, ASY-16"""
        self.assertEqual(self.condition(self.send("fail", {"message": "m"})), (EXHAUSTED, 3))

    def test_an_event_that_succeeds_on_retry_is_not_a_dead_letter(self):
        """ASY-04, ASY-13"""
        for failures in (0, 1, 2):
            event = self.event(self.send("flaky", {"failures": failures}))
            self.assertEqual(event["state"], "succeeded", event)
            self.assertEqual(event["result"], {"attempt": failures + 1}, event)

    def test_one_failure_more_than_retries_is_one_letter(self):
        """ASY-13, ASY-16"""
        self.assertEqual(self.condition(self.send("flaky", {"failures": 3})), (EXHAUSTED, 3))

    def test_the_second_delay_follows_the_first(self):
        """ASY-14: delays count from the failure."""
        started = time.monotonic()
        self.event(self.send("flaky", {"failures": 2}))
        self.assertGreaterEqual(time.monotonic() - started, 0.06)

    def test_panics_are_retried(self):
        """ASY-07"""
        self.assertEqual(self.condition(self.send("panic", {"message": "m"})), (EXHAUSTED, 3))

    def test_a_response_too_large_counts_as_failed(self):
        """ASY-07: an event's response may be no larger than a call's."""
        event = self.event(self.send("big", {"bytes": 6291557}))
        self.assertEqual(event["state"], "dead", str(event)[:500])

    def test_a_failed_synchronous_call_is_neither_retried_nor_dead_lettered(self):
        """DLQ-02, DST-02"""
        answer = self.invoke("flaky", {"failures": 1})
        self.assertEqual(answer["FunctionError"], "Unhandled")
        event = self.event(answer["ResponseMetadata"]["RequestId"])
        self.assertEqual(event["state"], "failed", event)
        letters = json.dumps(self.ask("GET", "dead-letters?function=flaky"))
        self.assertNotIn(answer["ResponseMetadata"]["RequestId"], letters)

    def test_a_letter_has_the_payload_unchanged_and_the_error(self):
        """DLQ-03, DLQ-05"""
        letter = self.letter(self.send("fail", {"message": "lost 💾", "more": [1]}))
        self.assertEqual(letter["payload"], {"message": "lost 💾", "more": [1]}, letter)
        for attempt in letter["attempts"]:
            self.assertEqual(attempt["failure"]["message"], "lost 💾")

    def test_letters_are_listed_by_function(self):
        """DLQ-02"""
        request_id = self.send("fail", {"message": "listed"})
        self.letter(request_id)
        page = self.ask("GET", "dead-letters?function=fail")
        self.assertIn(request_id, json.dumps(page["letters"]))
        self.assertGreaterEqual(page["total"], 1)
        self.assertEqual(self.ask("GET", "dead-letters?function=log")["letters"], [])


class Timeouts(Queue, Served):
    flags = ("--retry-delays", "10,20", "--timeout", "100")

    def test_timeouts_are_retried(self):
        """ASY-07"""
        self.assertEqual(self.condition(self.send("sleep", {"milliseconds": 60_000})), (EXHAUSTED, 3))


class Ages(Queue, Served):
    flags = ("--retry-delays", "200,60000", "--max-age", "30000")

    def test_an_event_that_would_be_too_old_for_its_retry_dies_at_once(self):
        """ASY-17, ASY-18, ASY-34"""
        started = time.monotonic()
        letter = self.letter(self.send("fail", {"message": "old"}))
        self.assertEqual((letter["condition"], len(letter["attempts"])), (AGED, 2))
        self.assertLess(time.monotonic() - started, 15)


class Settings(Queue, ServedAfresh):
    flags = ("--retry-delays", "60000,60000")

    def set(self, **config):
        self.aws.put_function_event_invoke_config(FunctionName="fail", **config)

    def test_the_configured_retries_are_made(self):
        """ASY-13, CFG-12"""
        self.set(MaximumRetryAttempts=0)
        self.assertEqual(self.condition(self.send("fail", {"message": "m"})), (EXHAUSTED, 1))

    def test_a_maximum_age_takes_effect(self):
        """ASY-17, CFG-12: 60 s, and the first retry would be later than that."""
        self.set(MaximumEventAgeInSeconds=60)
        self.assertEqual(self.condition(self.send("fail", {"message": "m"})), (AGED, 1))

    def test_settings_of_one_qualifier_do_not_affect_another(self):
        """CFG-14, DST-19"""
        self.aws.put_function_event_invoke_config(
            FunctionName="echo", Qualifier="live", MaximumRetryAttempts=0
        )
        # A payload that echo can't fail on: what matters is that both are dealt with at all.
        self.assertEqual(self.event(self.send("echo:live", {}))["state"], "succeeded")
        with self.refused("ResourceNotFoundException", 404):
            self.aws.get_function_event_invoke_config(FunctionName="echo")

    def test_a_destination_function_receives_the_record(self):
        """DST-03, DST-04, DST-05, DST-09, DST-13, CFG-12"""
        self.set(MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn("echo")}})
        request_id = self.send("fail", {"message": "m"})
        self.letter(request_id)
        self.eventually(lambda: self.ask("GET", "functions/echo/stats")["Events"]["succeeded"] == 1)


class ZeroConcurrency(Queue, ServedAfresh):
    def test_an_event_goes_straight_to_the_dead_letters(self):
        """ASY-10, ASY-26, ASY-27, ASY-29, ERR-08"""
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        self.assertEqual(self.condition(self.send("echo", {"a": 1})), (ZERO, 0))

    def test_calls_are_throttled_meanwhile_and_served_afterwards(self):
        """ASY-28, CFG-26"""
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        with self.refused("TooManyRequestsException", 429) as refusal:
            self.invoke("echo", {})
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        self.assertEqual(refusal.response["Reason"], reason)
        self.aws.delete_function_concurrency(FunctionName="echo")
        self.assertEqual(self.invoke("echo", {})["StatusCode"], 200)


class HoldingBack(Queue, ServedAfresh):
    """BYD-01, BYD-02, BYD-03: what AWS has no call for."""

    def states(self, function, state):
        return json.dumps(self.ask("GET", f"functions/{function}/events?state={state}"))

    def test_a_paused_function_loses_nothing(self):
        """BYD-03, GAP-03"""
        self.ask("POST", "functions/echo/pause")
        ids = [self.send("echo", {"n": n}) for n in range(5)]
        self.assertEqual(self.event(ids[0], wait=0)["state"], "accepted")
        for request_id in ids:
            self.assertIn(request_id, self.states("echo", "accepted"))
        self.ask("POST", "functions/echo/resume")
        for request_id in ids:
            self.assertEqual(self.event(request_id)["state"], "succeeded")

    def test_an_event_that_waits_can_be_cancelled(self):
        """BYD-02"""
        request_id = self.send("fail", {"message": "m"})
        self.eventually(lambda: self.event(request_id, wait=0)["state"] == "delayed")
        self.assertIn(request_id, self.states("fail", "delayed"))
        self.ask("DELETE", f"events/{request_id}")
        self.assertEqual(self.event(request_id)["state"], "cancelled")
        answer = wire.exchange(self.server, "DELETE", f"/_redrive/events/{request_id}")
        self.assert_refused(answer, "ResourceConflictException", 409)

    def test_an_unknown_event_is_a_404(self):
        """BYD-06, ERR-02"""
        nobody = "00000000-0000-4000-8000-000000000000"
        for method, path in (
            ("GET", f"events/{nobody}"),
            ("DELETE", f"events/{nobody}"),
            ("POST", "functions/nobody/pause"),
            ("GET", "functions/nobody/events?state=accepted"),
            ("GET", f"dead-letters/{nobody}"),
        ):
            answer = wire.exchange(self.server, method, f"/_redrive/{path}")
            self.assert_refused(answer, "ResourceNotFoundException", 404)

    def test_a_malformed_query_is_a_400(self):
        """BYD-01, ERR-02"""
        for path in ("events/seven", "functions/echo/events?state=odd", "functions/echo/events?limit=-1"):
            answer = wire.exchange(self.server, "GET", f"/_redrive/{path}")
            self.assertEqual(answer.status, 400, answer)
            self.assert_aws_shape(answer)

    def test_the_server_is_live_and_ready(self):
        """BYD-22"""
        for path in ("health/live", "health/ready"):
            self.assertEqual(wire.exchange(self.server, "GET", f"/_redrive/{path}").status, 200)

    def test_stats_add_up(self):
        """BYD-10: accepted is succeeded, dead, cancelled and waiting, at any time."""
        for payload in ({"failures": 0}, {"failures": 9}):
            self.send("flaky", payload)
        events = self.ask("GET", "stats")["Events"]
        ended = ("succeeded", "dead", "cancelled", "ready", "delayed", "running")
        self.assertEqual(events["accepted"], sum(events[state] for state in ended), events)
        self.assertEqual(events["accepted"], 2)


class Recursion(ServedAfresh):
    def test_a_chain_is_cut_near_its_16th_link(self):
        """REC-01, REC-03, REC-04"""
        self.send("chain", {})

        def stopped():
            stats = self.ask("GET", "functions/chain/stats")
            return stats if stats["RecursiveInvocationsDropped"] else None

        stats = self.eventually(stopped)
        self.assertEqual(stats["RecursiveInvocationsDropped"], 1)
        self.assertTrue(14 <= stats["Events"]["accepted"] <= 18, stats)


class Kills(Queue, Served):
    """BYD-22: a 202 is kept, whatever happens to the process."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.start()
        self.addCleanup(lambda: self.server.kill())

    def start(self, *flags):
        self.open(Server("--data", self.folder, *flags))

    def restart(self, *flags):
        self.server.kill()
        self.start(*flags)

    def test_accepted_events_survive_kill_9(self):
        """INV-13, ASY-02, BYD-22"""
        self.ask("POST", "functions/echo/pause")
        ids = [self.send("echo", {"n": n}) for n in range(50)]
        self.restart()
        self.ask("POST", "functions/echo/resume")
        for number, request_id in enumerate(ids):
            event = self.event(request_id)
            self.assertEqual((event["state"], event.get("result")), ("succeeded", {"n": number}), event)

    def test_an_event_in_mid_retry_survives_kill_9(self):
        """ASY-03, ASY-04"""
        self.restart("--retry-delays", "2000,10")
        request_id = self.send("flaky", {"failures": 1})
        self.eventually(lambda: self.event(request_id, wait=0)["state"] == "delayed")
        self.restart("--retry-delays", "2000,10")
        event = self.event(request_id)
        self.assertEqual((event["state"], event["result"]), ("succeeded", {"attempt": 2}), event)

    def test_dead_letters_survive_kill_9(self):
        """DLQ-02, BYD-09: one that dies as the process does may have its last attempt again."""
        self.restart("--retry-delays", "10,10")
        request_id = self.send("fail", {"message": "kept"})
        before = self.letter(request_id)
        self.restart()
        page = self.eventually(self.listed_letters)
        (after,) = page["letters"]
        self.assertEqual((page["total"], after["request_id"]), (1, request_id))
        for what in ("payload", "condition"):
            self.assertEqual(after[what], before[what])
        self.assertEqual(len(after["attempts"]), 3, after)

    def listed_letters(self):
        page = self.ask("GET", "dead-letters?function=fail")
        return page if page["letters"] else None

    def test_a_cancellation_survives_kill_9(self):
        """INV-13: what was answered is kept."""
        self.ask("POST", "functions/echo/pause")
        for _ in range(5):
            request_id = self.send("echo", "it must not run")
            self.assertTrue(self.ask("DELETE", f"events/{request_id}")["cancelled"])
            self.restart()
            self.assertEqual(self.event(request_id, wait=0)["state"], "cancelled")

    def test_a_purge_survives_kill_9(self):
        """BYD-09: what was answered is kept."""
        for _ in range(5):
            self.restart("--retry-delays", "1,1")
            self.letter(self.send("fail", {"message": "m"}))
            self.assertEqual(self.ask("POST", "dead-letters/purge", {"filter": {}})["purged"], 1)
            self.restart("--retry-delays", "1,1")
            self.assertEqual(self.ask("GET", "dead-letters")["total"], 0)

    def test_an_event_is_known_by_its_chosen_id_after_kill_9(self):
        """INV-10, BYD-12: who didn't get its answer sends again."""
        self.restart("--retry-delays", "30000,1")

        def send(request_id, function, payload):
            headers = [("x-amzn-requestid", request_id)]
            return wire.invoke(self.server, function, json.dumps(payload).encode(), headers, kind="Event")

        done, waiting, held = (str(uuid.uuid4()) for _ in range(3))
        self.ask("POST", "functions/sleep/pause")
        sent = ((done, "echo", 1), (waiting, "fail", {"message": "m"}), (held, "sleep", {"milliseconds": 1}))
        for each in sent:
            self.assertEqual(send(*each).status, 202)
        self.event(done)
        self.eventually(lambda: self.event(waiting, wait=0)["state"] == "delayed")
        # What became of them is on the disk before an answered cancellation is.
        self.ask("DELETE", f"events/{self.send('sleep', {'milliseconds': 1})}")
        self.restart("--retry-delays", "30000,1")
        for each in sent:
            for _ in range(2):
                answer = send(*each)
                self.assertEqual((answer.status, answer.request_id), (202, each[0]), answer)
        for request_id in (done, waiting, held):
            self.assert_refused(send(request_id, "big", {"bytes": 9}), "ResourceConflictException", 409)
        stats = self.ask("GET", "stats")
        self.assertEqual((stats["MailboxDepth"], stats["StoreErrors"]), (2, 0), stats)

    def test_a_trace_and_a_revision_survive_kill_9(self):
        """XRY-04, CFG-07"""
        self.restart("--retry-delays", "1,1")
        request_id = self.send("fail", {"message": "m"})
        trace = self.letter(request_id)["trace_header"]
        self.assertRegex(trace, "^Root=1-[0-9a-f]{8}-[0-9a-f]{24};")
        self.aws.update_function_configuration(FunctionName="echo", Timeout=9)
        revision = self.aws.get_function_configuration(FunctionName="echo")["RevisionId"]
        self.restart("--retry-delays", "1,1")
        self.assertEqual(self.letter(request_id)["trace_header"], trace)
        self.assertEqual(self.ask("GET", f"dead-letters/{request_id}")["trace_header"], trace)
        self.aws.update_function_configuration(FunctionName="echo", Timeout=8, RevisionId=revision)
        with self.refused("PreconditionFailedException", 412):
            self.aws.update_function_configuration(FunctionName="echo", Timeout=7, RevisionId=revision)

    def test_settings_survive_kill_9(self):
        """CFG-11, CFG-14, CFG-24, CFG-29, CFG-31"""
        echo = {"FunctionName": "echo"}
        aws = self.aws
        aws.put_function_event_invoke_config(**echo, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
        aws.put_function_event_invoke_config(**echo, Qualifier="live", MaximumRetryAttempts=0)
        aws.put_function_concurrency(FunctionName="fail", ReservedConcurrentExecutions=0)
        aws.put_function_recursion_config(FunctionName="chain", RecursiveLoop="Allow")

        def settings():
            answers = (
                self.aws.list_function_event_invoke_configs(**echo)["FunctionEventInvokeConfigs"],
                self.aws.get_function_concurrency(FunctionName="fail")["ReservedConcurrentExecutions"],
                self.aws.get_function_recursion_config(FunctionName="chain")["RecursiveLoop"],
            )
            return json.loads(json.dumps(answers, default=str))

        before = settings()
        self.assertEqual(len(before[0]), 2)
        self.restart()
        self.assertEqual(settings(), before)
        with self.refused("TooManyRequestsException", 429):
            self.invoke("fail", {"message": "m"})

    def test_deleted_settings_stay_deleted_after_kill_9(self):
        """CFG-11, CFG-26"""
        echo = {"FunctionName": "echo"}
        self.aws.put_function_event_invoke_config(**echo, MaximumRetryAttempts=1)
        self.aws.put_function_concurrency(**echo, ReservedConcurrentExecutions=0)
        self.aws.delete_function_event_invoke_config(**echo)
        self.aws.delete_function_concurrency(**echo)
        self.restart()
        configs = self.aws.list_function_event_invoke_configs(**echo)
        self.assertEqual(configs["FunctionEventInvokeConfigs"], [])
        self.assertNotIn("ReservedConcurrentExecutions", self.aws.get_function_concurrency(**echo))
        self.assertEqual(self.invoke("echo", {})["StatusCode"], 200)

    def test_permissions_survive_kill_9(self):
        """CFG-31, CFG-36"""
        self.aws.add_permission(
            FunctionName="echo", StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
        )
        before = self.aws.get_policy(FunctionName="echo")
        self.restart()
        after = self.aws.get_policy(FunctionName="echo")
        self.assertEqual((after["Policy"], after["RevisionId"]), (before["Policy"], before["RevisionId"]))

    def test_a_requested_stop_finishes_running_events(self):
        """BYD-22"""
        request_id = self.send("sleep", {"milliseconds": 500})
        self.eventually(lambda: self.event(request_id, wait=0)["state"] == "running")
        self.server.interrupt()
        self.start()
        self.assertEqual(self.event(request_id)["state"], "succeeded")

"""The context of a handler, seen from outside; a weighted alias; a function whose workers can't start."""

import base64
import json
import tempfile
import time
import uuid

import wire
from served import Served, ServedAfresh
from server import Server, arn

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
CLIENT = {"custom": {"who": "test"}, "client": {"app_title": "é"}}


def encoded(context):
    return base64.b64encode(json.dumps(context).encode()).decode()


class Context(Served):
    flags = ("--retry-delays", "10,20", "--timeout", "60000")

    def told(self, name="context", **parameters):
        """What a call of the function tells, and the call's request id."""
        answer = self.invoke(name, {}, **parameters)
        self.assertNotIn("FunctionError", answer, answer["Payload"])
        return json.loads(answer["Payload"]), answer["ResponseMetadata"]["RequestId"]

    def told_of_event(self, **parameters):
        request_id = self.send("context", {}, **parameters)
        event = self.event(request_id)
        self.assertEqual(event["state"], "succeeded", event)
        return event["result"], request_id

    def test_a_handler_knows_its_request_its_name_and_its_deadline(self):
        """RTA-04"""
        for ask in (self.told, self.told_of_event):
            before = time.time() * 1e3
            told, request_id = ask()
            self.assertEqual(told["awsRequestId"], request_id)
            self.assertEqual((told["functionName"], told["functionVersion"]), ("context", "$LATEST"))
            self.assertEqual((told["attempt"], told["hops"]), (1, 0))
            self.assertRegex(told["traceHeader"], "^Root=1-[0-9a-f]{8}-[0-9a-f]{24};")
            self.assertTrue(before + 50_000 < told["deadlineMs"] < time.time() * 1e3 + 61_000, told)
            self.assertTrue(0 < told["remainingMs"] <= 60_000, told)

    def test_a_chosen_request_id_becomes_the_invocations_id(self):
        """INV-10, UNV-23: of a call and of an event."""
        for kind in ("RequestResponse", "Event"):
            chosen = str(uuid.uuid4())
            answer = wire.invoke(self.server, "context", headers=[("x-amzn-requestid", chosen)], kind=kind)
            self.assertEqual(answer.request_id, chosen)
            told = answer.json() if kind == "RequestResponse" else self.event(chosen)["result"]
            self.assertEqual(told["awsRequestId"], chosen)

    def test_the_arn_has_the_form_of_the_caller(self):
        """NAM-16, RTA-04"""
        for name, qualifier, version in (
            ("context", None, "$LATEST"),
            (arn("context"), None, "$LATEST"),
            ("context:$LATEST", "$LATEST", "$LATEST"),
            ("context:2", "2", "2"),
            (arn("context", "live"), "live", "1"),
        ):
            told, _ = self.told(name)
            self.assertEqual(told["invokedFunctionArn"], arn("context", qualifier))
            self.assertEqual(told["functionVersion"], version)

    def test_a_client_context_comes_with_calls_only(self):
        """INV-06: an event that brings one is taken, and its handler sees none."""
        self.assertEqual(self.told(ClientContext=encoded(CLIENT))[0]["clientContext"], CLIENT)
        self.assertIsNone(self.told()[0]["clientContext"])
        self.assertIsNone(self.told_of_event(ClientContext=encoded(CLIENT))[0]["clientContext"])

    def test_the_longest_client_context_arrives_whole(self):
        """INV-06: base64 of 3,580 bytes; there is none of 3,581 to 3,583."""
        longest = {"custom": "x" * (2685 - len('{"custom": ""}'))}
        self.assertEqual(len(encoded(longest)), 3580)
        self.assertEqual(self.told(ClientContext=encoded(longest))[0]["clientContext"], longest)
        for kind in ("RequestResponse", "Event", "DryRun"):
            with self.refused("InvalidRequestContentException", 400):
                self.invoke("context", {}, InvocationType=kind, ClientContext=encoded("x" * 2686))

    def test_a_foreign_lineage_is_passed_on_and_ignored(self):
        """XRY-02, XRY2-17, UNV-13: not even that the chain is long."""
        given = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=25:a87bd80c:1"
        answer = wire.invoke(self.server, "context", headers=[("x-amzn-trace-id", given)])
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.json()["traceHeader"], answer.json()["hops"]), (given, 0))


    def test_a_trace_is_forwarded_and_a_new_one_is_not_sampled(self):
        """XRY2-14, XRY-04"""
        for sampled in "01":
            given = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled={sampled}"
            answer = wire.invoke(self.server, "context", headers=[("x-amzn-trace-id", given)])
            self.assertEqual(answer.json()["traceHeader"], given)
        told, _ = self.told_of_event()
        self.assertRegex(told["traceHeader"], "^Root=1-[0-9a-f]{8}-[0-9a-f]{24};.*Sampled=0$")


class WeightedAlias(Served):
    def test_each_call_runs_one_of_its_two_versions(self):
        """NAM-15, INV-17, NAM-16: that one of two never comes in 100 calls has a chance of one in 2 to the 99th."""
        versions = set()
        for _ in range(100):
            answer = self.invoke("context:weighted", {})
            told = json.loads(answer["Payload"])
            self.assertEqual(told["functionVersion"], answer["ExecutedVersion"])
            self.assertEqual(told["invokedFunctionArn"], arn("context", "weighted"))
            versions.add(answer["ExecutedVersion"])
        self.assertEqual(versions, {"1", "2"})

    def test_a_weighted_alias_is_described_with_its_weights(self):
        """NAM-15"""
        alias = self.aws.get_alias(FunctionName="context", Name="weighted")
        self.assertEqual(alias["FunctionVersion"], "1")
        self.assertEqual(alias["RoutingConfig"], {"AdditionalVersionWeights": {"2": 0.5}})


class KeptOverARestart(Served):
    @classmethod
    def setUpClass(cls):
        pass

    def start(self, folder):
        self.open(Server("--data", folder))
        return self.server

    def test_the_context_of_an_event_survives_kill_9(self):
        """ASY-03: its id, payload, qualifier, time, trace and number of attempts."""
        trace = f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"
        with tempfile.TemporaryDirectory() as folder:
            server = self.start(folder)
            try:
                self.ask("POST", "functions/context/pause")
                before = time.time() * 1e3
                path = wire.invocations("context", "live")
                headers = [("x-amz-invocation-type", "Event"), ("x-amzn-trace-id", trace)]
                accepted = wire.exchange(server, "POST", path, b'{"a": 1}', headers)
                self.assertEqual(accepted.status, 202, accepted)
                after = time.time() * 1e3
                server.kill()
                server = self.start(folder)
                self.ask("POST", "functions/context/resume")
                told = self.event(accepted.request_id)["result"]
            finally:
                server.kill()
        self.assertEqual(told["awsRequestId"], accepted.request_id)
        self.assertEqual(told["payload"], {"a": 1})
        self.assertEqual((told["invokedFunctionArn"], told["functionVersion"]), (arn("context", "live"), "1"))
        self.assertEqual((told["traceHeader"], told["attempt"]), (trace, 1))
        self.assertTrue(before - 1 <= told["acceptedMs"] <= after + 1, told)


class WorkersThatCannotStart(ServedAfresh):
    def test_a_call_fails_and_an_event_waits(self):
        """INV-16, INV-21, UNV-06"""
        answer = self.invoke("init-fails", {})
        self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
        error = json.loads(answer["Payload"])
        self.assertEqual(error["errorMessage"], "no connection to the database")
        self.assertEqual(error.get("requestId", ""), "")
        request_id = self.send("init-fails", {})
        self.assertEqual(self.event(request_id, wait=1)["state"], "accepted")
        self.assertEqual(self.ask("GET", "dead-letters")["total"], 0)
        self.ask("DELETE", f"events/{request_id}")


class Parsed(ServedAfresh):
    def test_an_sdk_reads_status_error_class_and_reason(self):
        """PAR-03"""
        answer = self.invoke("fail", {"message": "m"})
        self.assertEqual((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
        self.assertEqual(json.loads(answer["Payload"])["errorMessage"], "m")
        self.aws.put_function_concurrency(FunctionName="fail", ReservedConcurrentExecutions=0)
        with self.assertRaises(self.aws.exceptions.TooManyRequestsException) as caught:
            self.invoke("fail", {"message": "m"})
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        self.assertEqual(caught.exception.response["Reason"], reason)

    def test_an_sdk_works_without_members_that_do_not_apply(self):
        """CFG-08"""
        told = self.aws.get_function_configuration(FunctionName="echo")
        shape = self.aws.meta.service_model.shape_for("FunctionConfiguration")
        missing = set(shape.members) - told.keys()
        self.assertTrue({"VpcConfig", "Environment", "KMSKeyArn", "Layers", "FileSystemConfigs"} <= missing)
        self.assertEqual(shape.required_members, [])

"""The log of an event: of one that runs, of one that was retried, and of one that never ran."""

import base64

import wire
from served import Served, ServedAfresh


class Kept:
    """What is kept of an event's log."""

    def log(self, request_id):
        return wire.exchange(self.server, "GET", f"/_redrive/events/{request_id}/log")


class QuietEnds(Kept, ServedAfresh):
    def test_throttled_and_dropped_events_log_nothing(self):
        """LOG-12"""
        ran = self.send("echo", {})
        self.assertEqual(self.event(ran)["state"], "succeeded")
        self.assertIn("START RequestId: ", self.log(ran).json()["log"])
        self.aws.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        dropped = self.send("echo", {})
        self.assertEqual(self.event(dropped)["state"], "dead")
        with self.refused("TooManyRequestsException", 429) as refusal:
            self.invoke("echo", {}, LogType="Tail")
        self.assertNotIn("x-amz-log-result", refusal.response["ResponseMetadata"]["HTTPHeaders"])
        for request_id in (dropped, refusal.response["ResponseMetadata"]["RequestId"]):
            answer = self.log(request_id)
            self.assertEqual((answer.status, answer.code), (404, "ResourceNotFoundException"), answer)


class LateEnds(Served):
    flags = ("--timeout", "100")

    def test_the_report_of_a_timeout_has_its_status(self):
        """LOG-07, UNV-20"""
        answer = self.invoke("sleep", {"milliseconds": 60_000}, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        (report,) = [line for line in log.splitlines() if line.startswith("REPORT ")]
        self.assertTrue(report.endswith("\tStatus: timeout"), report)


class Retries(Kept, Served):
    flags = ("--retry-delays", "10,20", "--timeout", "60000")

    def test_each_attempt_has_its_block_under_the_same_id(self):
        """LOG-11, JLF-12"""
        request_id = self.send("flaky", {"failures": 2})
        self.assertEqual(self.event(request_id)["state"], "succeeded")
        lines = self.log(request_id).json()["log"].splitlines()
        ours = [line for line in lines if line.split(" ")[0] in ("START", "END", "REPORT")]
        kinds = [line.split(" ")[0] for line in ours]
        self.assertEqual(kinds, ["START", "END", "REPORT"] * 3)
        for line in ours:
            self.assertIn(f"RequestId: {request_id}", line)

    def test_a_log_is_readable_while_its_attempt_runs(self):
        """CWL-47"""
        request_id = self.send("sleep", {"milliseconds": 30_000})
        self.eventually(lambda: self.event(request_id, wait=0)["state"] == "running")
        log = self.eventually(lambda: self.log(request_id).json().get("log"))
        self.assertTrue(log.startswith(f"START RequestId: {request_id} Version: $LATEST\n"), log)
        self.assertNotIn("END ", log)
        self.ask("DELETE", f"events/{request_id}")

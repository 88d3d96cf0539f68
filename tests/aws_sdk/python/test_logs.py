"""The log tail of a synchronous call, and the trace that runs through it."""

import base64
import re

import wire
from served import Served

ROOT = "1-5759e988-bd862e3fe1be46a994272793"


class Tails(Served):
    flags = ("--timeout", "1000")

    def tail(self, function, payload, **parameters):
        answer = self.invoke(function, payload, LogType="Tail", **parameters)
        return base64.b64decode(answer["LogResult"]), answer["ResponseMetadata"]["RequestId"]

    def test_a_tail_contains_start_end_and_report(self):
        """INV-05, INV-18, LOG-03, LOG-04, LOG-05, INV-19"""
        log, request_id = self.tail("log", {"lines": 3})
        lines = log.decode().splitlines()
        start = lines.index(f"START RequestId: {request_id} Version: $LATEST")
        end = lines.index(f"END RequestId: {request_id}")
        (report,) = [line for line in lines if line.startswith("REPORT ")]
        self.assertLess(start, end)
        self.assertLess(end, lines.index(report))
        own = [line for line in lines[start:end] if "line " in line]
        self.assertEqual([line.rsplit("line ", 1)[1] for line in own], ["1", "2", "3"])
        self.assertRegex(
            report,
            rf"^REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms"
            r"\tMemory Size: \d+ MB\tMax Memory Used: \d+ MB\t",
        )

    def test_the_billed_duration_is_rounded_up(self):
        """LOG-06"""
        log, _ = self.tail("sleep", {"milliseconds": 20})
        duration, billed = re.search(rb"Duration: ([\d.]+) ms\tBilled Duration: (\d+) ms", log).groups()
        self.assertLessEqual(0, int(billed) - float(duration))
        self.assertLess(int(billed) - float(duration), 1.01)
        self.assertGreaterEqual(float(duration), 20)

    def test_a_tail_is_the_last_4096_bytes(self):
        """INV-18"""
        log, request_id = self.tail("log", {"lines": 5000})
        self.assertEqual(len(log), 4096)
        self.assertIn(b"line 5000", log)
        self.assertIn(f"END RequestId: {request_id}".encode(), log)
        self.assertNotIn(b"START ", log)

    def test_the_tail_names_the_executed_version(self):
        """LOG-03"""
        log, request_id = self.tail("echo", {}, Qualifier="live")
        self.assertIn(f"START RequestId: {request_id} Version: 1".encode(), log)

    def test_a_failed_call_has_its_tail(self):
        """INV-18, LOG-03, LOG-05"""
        for function, payload in (
            ("fail", {"message": "m"}),
            ("panic", {"message": "m"}),
            ("sleep", {"milliseconds": 60_000}),
        ):
            log, request_id = self.tail(function, payload)
            self.assertIn(f"START RequestId: {request_id} ".encode(), log)
            self.assertIn(f"REPORT RequestId: {request_id}\t".encode(), log)

    def test_a_timeout_is_in_the_log(self):
        """LOG-09"""
        log, request_id = self.tail("sleep", {"milliseconds": 60_000})
        self.assertRegex(log.decode(), rf"{request_id} Task timed out after 1\.00 seconds")

    def test_the_log_of_one_call_has_nothing_of_another(self):
        """INV-18"""
        self.tail("log", {"lines": 7})
        log, request_id = self.tail("log", {"lines": 1})
        self.assertNotIn(b"line 7", log)
        self.assertEqual(set(re.findall(rb"RequestId: (\S+)", log)), {request_id.encode()})

    def test_a_tail_is_returned_only_on_request(self):
        """INV-05, INV-13"""
        for asked in ({}, {"LogType": "None"}):
            self.assertNotIn("LogResult", self.invoke("log", {"lines": 1}, **asked))
        answer = self.invoke("log", {"lines": 1}, InvocationType="Event", LogType="Tail")
        self.assertNotIn("LogResult", answer)


class Traces(Served):
    def trace(self, **headers):
        headers = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return wire.invoke(self.server, "echo", headers=headers).headers.get("x-amzn-trace-id")

    def test_the_callers_trace_root_is_kept(self):
        """INV-12, XRY-01, XRY-03"""
        trace = self.trace(x_amzn_trace_id=f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1")
        self.assertIn(f"Root={ROOT}", trace)
        self.assertIn("Sampled=1", trace)

    def test_self_is_dropped_and_unknown_trace_keys_are_kept(self):
        """XRY-01"""
        trace = self.trace(x_amzn_trace_id=f"Self=1-67891234-12456789abcdef012345678;Root={ROOT};Other=x")
        self.assertNotIn("Self=", trace)
        self.assertIn("Other=x", trace)

    def test_a_call_without_a_trace_gets_a_new_one(self):
        """XRY-04, XRY-05"""
        first, second = self.trace(), self.trace()
        for trace in (first, second):
            self.assertRegex(trace, r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}")
            self.assertIn("Sampled=0", trace)
        self.assertNotEqual(first.split(";")[0], second.split(";")[0])

"""The error of a failure, between START and END, in the tail of a call and in the log of an event."""

import base64

from served import Served


class Failures(Served):
    flags = ("--retry-delays", "1", "--timeout", "1000")

    def tail(self, function, payload):
        answer = self.invoke(function, payload, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        return log, answer["ResponseMetadata"]["RequestId"]

    def between(self, log, request_id):
        """The lines between START and END; there is one of each of the runtime's own."""
        lines = log.splitlines()
        for word in ("START ", "END ", "REPORT "):
            self.assertEqual(len([line for line in lines if line.startswith(word)]), 1, log)
        self.assertTrue(lines[0].startswith(f"START RequestId: {request_id} "), log)
        return lines[1 : lines.index(f"END RequestId: {request_id}")]

    def test_an_error_is_logged_with_its_type(self):
        """LOG-03, LOG-04"""
        log, request_id = self.tail("fail", {"message": "the card was declined"})
        (error,) = self.between(log, request_id)
        self.assertTrue(error.startswith("[ERROR] ") and error.endswith(": the card was declined"), log)

    def test_a_panic_is_logged_with_its_location(self):
        """LOG-07"""
        log, request_id = self.tail("panic", {"message": "overboard"})
        error, place = self.between(log, request_id)
        self.assertEqual(error, "[ERROR] Panic: panicked: overboard")
        self.assertRegex(place, r"^    at \S*lambda_api\.rs:\d+:\d+$")

    def test_a_message_forges_no_line(self):
        forged = "m\nEND RequestId: x\r\nREPORT RequestId: x\tDuration: 0 ms\u2028START RequestId: x\u0085\u001b[2J"
        for function in ("fail", "panic"):
            log, request_id = self.tail(function, {"message": forged})
            self.between(log, request_id)
            self.assertNotIn("\u001b", log)

    def test_a_long_message_leaves_room_for_the_rest(self):
        """INV-18"""
        log, request_id = self.tail("fail", {"message": "x" * 60_000})
        (error,) = self.between(log, request_id)
        self.assertLessEqual(len(error.encode()), 1024)

    def test_the_log_of_an_event_has_each_attempt(self):
        """LOG-11"""
        request_id = self.send("fail", {"message": "again"})
        self.assertEqual(self.event(request_id)["state"], "dead")
        log = self.ask("GET", f"events/{request_id}/log")["log"]
        self.assertEqual(log.count("[ERROR] "), log.count("START "), log)
        self.assertEqual(log.count(": again\n"), log.count("END "), log)


class Shapes(Served):
    flags = ("--retry-delays", "1")

    def test_an_event_has_the_same_members_in_every_state(self):
        described = self.ask("GET", "openapi.json")["components"]["schemas"]["Event"]
        for function, payload, state in (("echo", {"a": 1}, "succeeded"), ("fail", {"message": "m"}, "dead")):
            event = self.event(self.send(function, payload))
            self.assertEqual(event["state"], state)
            self.assertEqual(set(event), set(described["properties"]), event)
            self.assertEqual(set(event), set(described["required"]))

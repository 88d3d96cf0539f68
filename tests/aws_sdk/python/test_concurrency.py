"""Reserved concurrency and the recursion setting."""

import wire
from served import ServedAfresh
from server import arn

UNQUALIFIED = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


class Concurrency(ServedAfresh):
    def put(self, reserved, name="echo"):
        return self.aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)

    def get(self, name="echo"):
        return self.aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")

    def test_concurrency_can_be_set_and_deleted(self):
        """CFG-24, CFG-25, CFG-26"""
        self.assertIsNone(self.get())
        for reserved in (5, 0):
            self.assertEqual(self.put(reserved)["ReservedConcurrentExecutions"], reserved)
            self.assertEqual(self.get(), reserved)
        deleted = self.aws.delete_function_concurrency(FunctionName="echo")
        self.assertEqual(deleted["ResponseMetadata"]["HTTPStatusCode"], 204)
        self.assertIsNone(self.get())
        self.aws.delete_function_concurrency(FunctionName="echo")

    def test_unset_concurrency_is_an_empty_object(self):
        """CFG-25"""
        answer = wire.exchange(self.server, "GET", "/2019-09-30/functions/echo/concurrency")
        self.assertEqual((answer.status, answer.json()), (200, {}))

    def test_a_version_or_an_alias_has_no_concurrency(self):
        """CFG-24"""
        for name in ("echo:live", "echo:1", arn("echo", "live")):
            with self.refused("InvalidParameterValueException", 400) as refusal:
                self.put(1, name)
            self.assertEqual(refusal.message, UNQUALIFIED)

    def test_concurrency_can_be_set_by_arn(self):
        """CFG-24, INV-02"""
        self.put(3, arn("echo"))
        self.assertEqual(self.get("000000000000:function:echo"), 3)

    def test_100_executions_stay_unreserved(self):
        """CFG-27, CON-01"""
        with self.refused("InvalidParameterValueException", 400) as refusal:
            self.put(901)
        self.assertEqual(
            refusal.message,
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of [100].",
        )
        self.assertIsNone(self.get())
        self.put(900)
        with self.refused("InvalidParameterValueException", 400):
            self.put(1, "fail")

    def test_changing_a_reservation_first_gives_back_the_old_one(self):
        """CFG-27"""
        for reserved in (900, 899, 900):
            self.put(reserved)
        self.assertEqual(self.get(), 900)

    def test_invalid_concurrency_values_are_refused(self):
        """CFG-24"""
        with self.refused("ValidationException", 400) as refusal:
            self.put(-1)
        self.assertIn("at 'reservedConcurrentExecutions'", refusal.message)
        for body in (b"{}", b'{"ReservedConcurrentExecutions": "1"}', b'{"ReservedConcurrentExecutions": 1e99}'):
            answer = wire.exchange(self.server, "PUT", "/2017-10-31/functions/echo/concurrency", body)
            self.assertEqual(answer.status, 400, answer)
            self.assert_aws_shape(answer)

    def test_an_unknown_function_is_not_found(self):
        """CFG-24, CFG-25, CFG-26, NAM-13"""
        with self.refused("ResourceNotFoundException", 404):
            self.put(1, "nobody")
        with self.refused("ResourceNotFoundException", 404):
            self.get("nobody")
        with self.refused("ResourceNotFoundException", 404):
            self.aws.delete_function_concurrency(FunctionName="nobody")


class Recursion(ServedAfresh):
    def get(self, name="chain"):
        return self.aws.get_function_recursion_config(FunctionName=name)["RecursiveLoop"]

    def put(self, loop, name="chain"):
        return self.aws.put_function_recursion_config(FunctionName=name, RecursiveLoop=loop)

    def test_a_loop_is_terminated_unless_it_is_allowed(self):
        """CFG-29"""
        self.assertEqual(self.get(), "Terminate")
        for loop in ("Allow", "Terminate"):
            self.assertEqual(self.put(loop)["RecursiveLoop"], loop)
            self.assertEqual(self.get(), loop)

    def test_another_recursion_value_is_refused(self):
        """CFG-29"""
        for loop in ("Perhaps", "allow", ""):
            with self.refused("ValidationException", 400) as refusal:
                self.put(loop)
            self.assertIn("[Terminate, Allow]", refusal.message)
            self.assertIn("at 'recursiveLoop'", refusal.message)
        self.assertEqual(self.get(), "Terminate")

    def test_an_unknown_function_is_not_found(self):
        """CFG-29, NAM-13"""
        with self.refused("ResourceNotFoundException", 404):
            self.get("nobody")
        with self.refused("ResourceNotFoundException", 404):
            self.put("Allow", "nobody")

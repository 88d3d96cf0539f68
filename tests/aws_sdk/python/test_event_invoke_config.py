"""The settings of asynchronous invocations: put, updated, got, listed and deleted, for each qualifier."""

import datetime
import time

import wire
from served import Served, ServedAfresh
from server import arn

PATH = "/2019-09-25/functions/echo/event-invoke-config"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"


class Calls:
    """The calls by short names; `config` is what an answer says without its metadata."""

    def config(self, answer):
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def put(self, name="echo", **parameters):
        return self.config(self.aws.put_function_event_invoke_config(FunctionName=name, **parameters))

    def update(self, name="echo", **parameters):
        return self.config(self.aws.update_function_event_invoke_config(FunctionName=name, **parameters))

    def get(self, name="echo", **parameters):
        return self.config(self.aws.get_function_event_invoke_config(FunctionName=name, **parameters))

    def delete(self, name="echo", **parameters):
        return self.aws.delete_function_event_invoke_config(FunctionName=name, **parameters)

    def list(self, name="echo", **parameters):
        return self.aws.list_function_event_invoke_configs(FunctionName=name, **parameters)


class RoundTrips(Calls, ServedAfresh):
    def test_put_settings_can_be_read(self):
        """CFG-11, CFG-12, CFG-13"""
        put = self.put(MaximumRetryAttempts=1, MaximumEventAgeInSeconds=3600)
        self.assertEqual(put["FunctionArn"], arn("echo", "$LATEST"))
        self.assertEqual((put["MaximumRetryAttempts"], put["MaximumEventAgeInSeconds"]), (1, 3600))
        self.assertEqual(put["DestinationConfig"], {"OnSuccess": {}, "OnFailure": {}})
        age = datetime.datetime.now(datetime.timezone.utc) - put["LastModified"]
        self.assertLess(abs(age.total_seconds()), 60)
        self.assertEqual(self.get(), put)

    def test_last_modified_is_a_number_of_seconds(self):
        """CFG-13"""
        self.put(MaximumRetryAttempts=1)
        modified = wire.exchange(self.server, "GET", PATH).json()["LastModified"]
        self.assertIsInstance(modified, (int, float))
        self.assertLess(abs(time.time() - modified), 60)

    def test_unset_members_are_omitted(self):
        """CFG-13"""
        self.put(MaximumRetryAttempts=0)
        answer = wire.exchange(self.server, "GET", PATH).json()
        self.assertEqual(
            answer.keys(), {"LastModified", "FunctionArn", "MaximumRetryAttempts", "DestinationConfig"}
        )
        self.assertEqual(answer["MaximumRetryAttempts"], 0)

    def test_put_replaces_all(self):
        """CFG-11"""
        self.put(MaximumRetryAttempts=1, MaximumEventAgeInSeconds=3600)
        self.put(MaximumEventAgeInSeconds=60)
        self.assertNotIn("MaximumRetryAttempts", self.get())

    def test_update_changes_what_is_given(self):
        """CFG-11"""
        first = self.put(MaximumRetryAttempts=1, MaximumEventAgeInSeconds=3600)
        self.update(MaximumRetryAttempts=2)
        updated = self.get()
        self.assertEqual((updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]), (2, 3600))
        self.assertGreaterEqual(updated["LastModified"], first["LastModified"])

    def test_delete_is_an_empty_204(self):
        """CFG-11, CFG-17"""
        self.put(MaximumRetryAttempts=1)
        answer = wire.exchange(self.server, "DELETE", PATH)
        self.assertEqual((answer.status, answer.body), (204, b""))
        with self.refused("ResourceNotFoundException", 404):
            self.get()

    def test_limits_are_inclusive(self):
        """CFG-12"""
        for config in (
            {"MaximumRetryAttempts": 0},
            {"MaximumRetryAttempts": 2},
            {"MaximumEventAgeInSeconds": 60},
            {"MaximumEventAgeInSeconds": 21600},
        ):
            told = self.put(**config)
            self.assertEqual({key: told[key] for key in config}, config)

    def test_each_qualifier_has_separate_settings(self):
        """CFG-14, CFG-13"""
        self.put(MaximumRetryAttempts=0)
        self.put(Qualifier="1", MaximumRetryAttempts=1)
        self.put(Qualifier="live", MaximumRetryAttempts=2)
        for qualifier, retries in (("$LATEST", 0), ("1", 1), ("live", 2)):
            told = self.get(Qualifier=qualifier)
            self.assertEqual(told["MaximumRetryAttempts"], retries)
            self.assertEqual(told["FunctionArn"], arn("echo", qualifier))
        self.delete(Qualifier="1")
        self.assertEqual(self.get(Qualifier="live")["MaximumRetryAttempts"], 2)
        self.assertEqual(self.get()["MaximumRetryAttempts"], 0)

    def test_forms_of_a_name_mean_the_same(self):
        """CFG-23"""
        self.put("echo:live", MaximumRetryAttempts=1)
        expected = self.get("echo", Qualifier="live")
        for name in ("echo:live", arn("echo", "live"), "000000000000:function:echo:live"):
            self.assertEqual(self.get(name), expected)
            self.assertEqual(self.get(name, Qualifier="live"), expected)

    def test_a_listing_has_one_entry_for_each_qualifier(self):
        """CFG-11"""
        self.assertEqual(self.list()["FunctionEventInvokeConfigs"], [])
        for qualifier in ("$LATEST", "1", "live"):
            self.put(Qualifier=qualifier, MaximumRetryAttempts=1)
        listed = self.list()["FunctionEventInvokeConfigs"]
        expected = {arn("echo", qualifier) for qualifier in ("$LATEST", "1", "live")}
        self.assertEqual({each["FunctionArn"] for each in listed}, expected)
        self.assertEqual(self.list("fail")["FunctionEventInvokeConfigs"], [])

    def test_a_listing_has_pages(self):
        """CFG-11"""
        for qualifier in ("$LATEST", "1", "live"):
            self.put(Qualifier=qualifier, MaximumRetryAttempts=1)
        paginator = self.aws.get_paginator("list_function_event_invoke_configs")
        for size in (1, 2, 3, 50):
            pages = list(paginator.paginate(FunctionName="echo", PaginationConfig={"PageSize": size}))
            listed = [each["FunctionArn"] for page in pages for each in page["FunctionEventInvokeConfigs"]]
            self.assertEqual((len(listed), len(set(listed)), len(pages)), (3, 3, -(-3 // size)))
        for size in (0, 51):
            with self.refused("ValidationException", 400):
                self.list(MaxItems=size)


class Destinations(Calls, ServedAfresh):
    def test_a_function_may_be_a_destination(self):
        """CFG-12, CFG-13, CFG-21, DST-01"""
        config = {"OnSuccess": {"Destination": arn("log")}, "OnFailure": {"Destination": arn("fail")}}
        self.put(DestinationConfig=config)
        self.assertEqual(self.get()["DestinationConfig"], config)

    def test_an_empty_destination_is_kept_as_none(self):
        """CFG-19"""
        told = self.put(MaximumRetryAttempts=1, DestinationConfig={"OnSuccess": {}, "OnFailure": {}})
        self.assertEqual(told["DestinationConfig"], {"OnSuccess": {}, "OnFailure": {}})

    def test_put_removes_a_destination_and_update_keeps_it(self):
        """CFG-11"""
        destination = {"OnSuccess": {"Destination": arn("log")}, "OnFailure": {}}
        self.put(DestinationConfig=destination)
        self.update(MaximumRetryAttempts=1)
        self.assertEqual(self.get()["DestinationConfig"], destination)
        self.put(MaximumRetryAttempts=1)
        self.assertEqual(self.get()["DestinationConfig"], {"OnSuccess": {}, "OnFailure": {}})

    def refuse(self, destination, side="OnFailure"):
        with self.refused("InvalidParameterValueException", 400) as refusal:
            self.put(DestinationConfig={side: {"Destination": destination}})
        with self.refused("ResourceNotFoundException", 404):
            self.get()
        return refusal.message

    def test_a_destination_that_is_not_an_arn_is_invalid(self):
        """CFG-18"""
        for destination in ("nonsense", "arn:aws", "http://x", "arn:aws:sqs:us-east-1:000000000000:" + "q" * 350):
            for side, field in (("OnFailure", "onFailure"), ("OnSuccess", "onSuccess")):
                with self.refused("ValidationException", 400) as refusal:
                    self.put(DestinationConfig={side: {"Destination": destination}})
                self.assertIn(f"at 'destinationConfig.{field}.destination'", refusal.message)

    def test_another_service_is_no_destination(self):
        """CFG-20"""
        role = "arn:aws:iam::000000000000:role/r"
        self.assertEqual(
            self.refuse(role, "OnSuccess"),
            "The provided destination config DestinationConfig("
            f"onSuccess=OnSuccess(destination={role}), onFailure=null) is invalid.",
        )

    def test_a_function_that_does_not_exist_is_no_destination(self):
        """CFG-21"""
        self.assertEqual(self.refuse(arn("nobody")), f"The destination ARN {arn('nobody')} is invalid.")

    def test_a_function_is_no_destination_of_its_own(self):
        """CFG-21"""
        self.assertEqual(
            self.refuse(arn("echo")), "You can't specify the function as a destination for itself."
        )

    def test_a_fifo_queue_is_no_destination(self):
        """CFG-22, CFL-12, GAP-11"""
        for kind in ("sqs", "sns"):
            self.refuse(f"arn:aws:{kind}:us-east-1:000000000000:orders.fifo")


class Refusals(Calls, Served):
    def test_nothing_to_set_is_refused(self):
        """CFG-15"""
        with self.refused("InvalidParameterValueException", 400) as refusal:
            self.put()
        self.assertEqual(
            refusal.message, "You must specify at least one of error handling or destination setting."
        )

    def test_numbers_out_of_range_are_invalid(self):
        """CFG-12, NAM-04"""
        for config, field in (
            ({"MaximumRetryAttempts": 3}, "maximumRetryAttempts"),
            ({"MaximumRetryAttempts": -1}, "maximumRetryAttempts"),
            ({"MaximumEventAgeInSeconds": 59}, "maximumEventAgeInSeconds"),
            ({"MaximumEventAgeInSeconds": 21601}, "maximumEventAgeInSeconds"),
        ):
            for call in (self.put, self.update):
                (value,) = config.values()
                with self.subTest(**config):
                    with self.refused("ValidationException", 400) as refusal:
                        call(**config)
                    expected = f"1 validation error detected: Value '{value}' at '{field}'"
                    self.assertIn(expected, refusal.message)

    def test_two_failures_are_reported_at_once(self):
        """NAM-05"""
        with self.refused("ValidationException", 400) as refusal:
            self.put(MaximumRetryAttempts=3, MaximumEventAgeInSeconds=1)
        self.assertTrue(refusal.message.startswith("2 validation errors detected: "), refusal.message)

    def test_members_of_another_type_are_refused(self):
        """CFG-12"""
        for body in (
            b'{"MaximumRetryAttempts": "one"}',
            b'{"MaximumRetryAttempts": 1.5}',
            b'{"MaximumRetryAttempts": 1e30}',
            b'{"DestinationConfig": []}',
            b'{"DestinationConfig": {"OnSuccess": "x"}}',
            b'{"DestinationConfig": {"OnSuccess": {"Destination": 7}}}',
        ):
            with self.subTest(body=body):
                answer = wire.exchange(self.server, "PUT", PATH, body)
                self.assertEqual(answer.status, 400, answer)
                self.assert_aws_shape(answer)

    def test_a_function_that_does_not_exist_has_no_settings(self):
        """CFG-16, CFG-17"""
        for name, qualifier in (("nobody", {}), ("echo", {"Qualifier": "dead"})):
            for call, config in ((self.put, {"MaximumRetryAttempts": 1}), (self.update, {"MaximumRetryAttempts": 1})):
                with self.refused("ResourceNotFoundException", 404) as refusal:
                    call(name, **qualifier, **config)
                self.assertEqual(refusal.message, "The function doesn't exist.")
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.list("nobody")
        self.assertEqual(refusal.message, "The function doesn't exist.")
        for call in (self.get, self.delete):
            with self.refused("ResourceNotFoundException", 404) as refusal:
                call("nobody")
            self.assertEqual(
                refusal.message, f"The function {arn('nobody', '$LATEST')} doesn't have an EventInvokeConfig"
            )

    def test_settings_that_were_never_put_can_be_neither_read_nor_changed(self):
        """CFG-17"""
        for qualifier in ("$LATEST", "1", "live"):
            for call, config in ((self.get, {}), (self.delete, {}), (self.update, {"MaximumRetryAttempts": 1})):
                with self.refused("ResourceNotFoundException", 404) as refusal:
                    call(Qualifier=qualifier, **config)
                self.assertEqual(
                    refusal.message,
                    f"The function {arn('echo', qualifier)} doesn't have an EventInvokeConfig",
                )

    def test_two_qualifiers_must_agree(self):
        """CFG-23, NAM-11"""
        for call, config in ((self.get, {}), (self.delete, {}), (self.put, {"MaximumRetryAttempts": 1})):
            with self.refused("InvalidParameterValueException", 400):
                call("echo:live", Qualifier="1", **config)

"""AWS's refusals of settings of asynchronous invocations, row by row of the account of differences. Each check has the id of
its row."""

from served import Served

NOTHING = "You must specify at least one of error handling or destination setting."


class Rows(Served):
    def test_empty_settings_are_refused_before_the_function_is_looked_up(self):
        """CFG-15"""
        for call in (
            self.aws.put_function_event_invoke_config,
            self.aws.update_function_event_invoke_config,
        ):
            for name in ("doesnotexist", "echo:doesnotexist", "echo"):
                with self.subTest(row="put_functionname_nootherargs", name=name):
                    with self.refused("InvalidParameterValueException", 400) as refusal:
                        call(FunctionName=name)
                    self.assertEqual(refusal.message, NOTHING)

    def refuse(self, **goals):
        config = {name: {"Destination": arn} for name, arn in goals.items()}
        with self.refused("ValidationException", 400) as refusal:
            self.aws.put_function_event_invoke_config(FunctionName="echo", DestinationConfig=config)
        return refusal.message

    def test_a_destination_must_match_the_models_pattern(self):
        """CFG-18"""
        for destination in (
            "arn:aws:sqs:mars:000000000000:q",
            "arn:aws:sqs:us-east-11:000000000000:q",
            "arn:aws:sqs:us-east-1:000000000000",
            "arn:aws:_-/!lambda:us-east-1:000000000000:function:f",
            "kafka://.hidden",
            "kafka://",
            "kafka://a b",
            "kafka://" + "t" * 250,
        ):
            for goal, field in (("OnSuccess", "onSuccess"), ("OnFailure", "onFailure")):
                with self.subTest(row=f"{goal}-{destination}"):
                    message = self.refuse(**{goal: destination})
                    begins = f"1 validation error detected: Value '{destination}' at 'destinationConfig.{field}.destination'"
                    self.assertTrue(message.startswith(begins), message)
                    self.assertIn("Member must satisfy regular expression pattern", message)

    def test_all_faults_of_destinations_are_reported_at_once(self):
        """CFG-18, NAM-05"""
        message = self.refuse(OnSuccess="q" * 351, OnFailure="kafka://")
        self.assertTrue(message.startswith("3 validation errors detected: "), message)
        self.assertIn("Member must have length less than or equal to 350", message)

"""The resource policy of a function: statements added, told and removed."""

import json

from served import ServedAfresh, is_uuid
from server import ACCOUNT, arn

INVOKE = "lambda:InvokeFunction"
S3 = "s3.amazonaws.com"


class Permissions(ServedAfresh):
    def add(self, sid="s", principal=S3, name="echo", **parameters):
        parameters.setdefault("Action", INVOKE)
        answer = self.aws.add_permission(
            FunctionName=name, StatementId=sid, Principal=principal, **parameters
        )
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 201)
        return json.loads(answer["Statement"])

    def remove(self, sid="s", name="echo", **parameters):
        return self.aws.remove_permission(FunctionName=name, StatementId=sid, **parameters)

    def policy(self, name="echo", **parameters):
        answer = self.aws.get_policy(FunctionName=name, **parameters)
        self.assertTrue(is_uuid(answer["RevisionId"]))
        return json.loads(answer["Policy"])

    def revision(self):
        return self.aws.get_policy(FunctionName="echo")["RevisionId"]

    def test_an_added_statement_is_returned(self):
        """CFG-31, CFG-32, CFG-33"""
        self.assertEqual(
            self.add(),
            {
                "Sid": "s",
                "Effect": "Allow",
                "Principal": {"Service": S3},
                "Action": INVOKE,
                "Resource": arn("echo"),
            },
        )

    def test_a_policy_contains_its_statements(self):
        """CFG-36"""
        statements = [self.add("one"), self.add("two", "sns.amazonaws.com")]
        policy = self.policy()
        self.assertEqual(
            (policy["Version"], policy["Id"], policy["Statement"]), ("2012-10-17", "default", statements)
        )

    def test_each_form_of_a_principal_is_accepted(self):
        """CFG-33"""
        user = f"arn:aws:iam::{ACCOUNT}:user/alice"
        for sid, given, told in (
            ("service", "events.amazonaws.com", {"Service": "events.amazonaws.com"}),
            ("account", ACCOUNT, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
            ("user", user, {"AWS": user}),
            ("all", "*", "*"),
        ):
            self.assertEqual(self.add(sid, given)["Principal"], told)

    def test_each_condition_has_its_operator(self):
        """CFG-34, CFL-07"""
        bucket = "arn:aws:s3:::bucket"
        for sid, parameters, condition in (
            ("arn", {"SourceArn": bucket}, {"ArnLike": {"AWS:SourceArn": bucket}}),
            ("account", {"SourceAccount": ACCOUNT}, {"StringEquals": {"AWS:SourceAccount": ACCOUNT}}),
            (
                "both",
                {"SourceArn": bucket, "SourceAccount": ACCOUNT},
                {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": bucket}},
            ),
            ("org", {"PrincipalOrgID": "o-abc1234567"}, {"StringEquals": {"aws:PrincipalOrgID": "o-abc1234567"}}),
            ("token", {"EventSourceToken": "t"}, {"StringEquals": {"lambda:EventSourceToken": "t"}}),
        ):
            principal = "*" if sid == "org" else S3
            self.assertEqual(self.add(sid, principal, **parameters)["Condition"], condition)

    def test_each_qualifier_has_a_separate_policy(self):
        """CFG-33, CFG-36, IAM-06"""
        self.assertEqual(self.add("s", Qualifier="live")["Resource"], arn("echo", "live"))
        self.assertEqual(self.add("s", name="echo:1")["Resource"], arn("echo", "1"))
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.policy()
        self.assertEqual(refusal.message, "The resource you requested does not exist.")
        self.assertEqual(len(self.policy(Qualifier="live")["Statement"]), 1)

    def test_a_statement_id_is_unique(self):
        """CFG-35"""
        self.add()
        with self.refused("ResourceConflictException", 409) as refusal:
            self.add()
        self.assertEqual(
            refusal.message,
            "The statement id (s) provided already exists. Please provide a new statement id, "
            "or remove the existing statement.",
        )

    def test_latest_has_no_policy(self):
        """CFG-35"""
        with self.refused("InvalidParameterValueException", 400) as refusal:
            self.add(Qualifier="$LATEST")
        self.assertEqual(refusal.message, "We currently do not support adding policies for $LATEST.")

    def test_an_invalid_principal_is_refused(self):
        """CFG-35"""
        for principal in ("nobody", "?", "12345"):
            with self.refused("InvalidParameterValueException", 400) as refusal:
                self.add(principal=principal)
            self.assertEqual(
                refusal.message,
                "The provided principal was invalid. Please check the principal and try again.",
            )

    def test_malformed_members_are_refused(self):
        """CFG-31, NAM-04"""
        for member, field, bad in (
            ("StatementId", "statementId", "s s"),
            ("StatementId", "statementId", "s" * 101),
            ("Action", "action", "s3:GetObject"),
            ("SourceAccount", "sourceAccount", "12"),
            ("FunctionUrlAuthType", "functionUrlAuthType", "SOME"),
        ):
            statement = {"StatementId": "s", "Action": INVOKE, "Principal": S3, member: bad}
            with self.subTest(**{member: bad}):
                with self.refused("ValidationException", 400) as refusal:
                    self.aws.add_permission(FunctionName="echo", **statement)
                self.assertIn(f"at '{field}'", refusal.message)

    def test_a_revision_that_is_stale_is_refused(self):
        """CFG-35, CFG-37"""
        self.add("one")
        first = self.revision()
        self.add("two", RevisionId=first)
        self.assertNotEqual(self.revision(), first)
        with self.refused("PreconditionFailedException", 412):
            self.add("three", RevisionId=first)
        with self.refused("PreconditionFailedException", 412):
            self.remove("one", RevisionId=first)
        self.remove("one", RevisionId=self.revision())
        self.assertEqual([each["Sid"] for each in self.policy()["Statement"]], ["two"])

    def test_any_revision_is_stale_where_there_is_no_policy(self):
        """CFG-35: or two who both saw the last statement removed would overwrite each other."""
        self.add()
        revision = self.revision()
        self.remove()
        with self.refused("PreconditionFailedException", 412):
            self.add(RevisionId=revision)

    def test_removing_the_last_statement_removes_the_policy(self):
        """CFG-37, CFG-36"""
        self.add()
        self.assertEqual(self.remove()["ResponseMetadata"]["HTTPStatusCode"], 204)
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.policy()
        self.assertEqual(refusal.message, "The resource you requested does not exist.")

    def test_an_unknown_statement_can_not_be_removed(self):
        """CFG-37"""
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.remove()
        self.assertEqual(refusal.message, "No policy is associated with the given resource.")
        self.add("other")
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.remove()
        self.assertEqual(refusal.message, "Statement s is not found in resource policy.")
        with self.refused("ResourceNotFoundException", 404) as refusal:
            self.remove(name="nobody")
        self.assertEqual(refusal.message, f"No policy found for: {arn('nobody')}")

    def test_an_unknown_function_is_not_found(self):
        """CFG-31, CFG-36, NAM-13"""
        for call in (self.add, self.policy):
            with self.refused("ResourceNotFoundException", 404):
                call(name="nobody")

"""Signed requests by hand: botocore's own signer, which can also sign wrongly."""

import datetime
import json
import tempfile
import uuid
from unittest import mock

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import wire
from server import ACCOUNT, REGION, Server


def user(name):
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


def allow(*actions, resource="*", effect="Allow"):
    """A policy document of one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Person:
    """Somebody with an access key, and what the file of credentials says of them."""

    def __init__(self, name, *policies, token=None):
        self.name, self.policies, self.token = name, list(policies), token
        self.access_key = f"AKIA{name.upper():0>16}"[:20]
        self.secret_key = f"the secret of {name}"

    @property
    def arn(self):
        return user(self.name)

    def entry(self):
        return {
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "session_token": self.token,
            "principal": self.arn,
            "policies": self.policies,
        }

    def credentials(self):
        return Credentials(self.access_key, self.secret_key, self.token)


def guarded(people, *flags):
    """A running server that lets in these people."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"credentials": [person.entry() for person in people]}, file)
        file.flush()
        return Server("--auth", file.name, *flags)


class Signer(SigV4Auth):
    """Signs all headers but those it is told to forget."""

    forgotten = ()

    def headers_to_sign(self, request):
        headers = super().headers_to_sign(request)
        for name in self.forgotten:
            del headers[name]
        return headers


class Request:
    """A request on its way to be signed. Change it afterwards, and the signature is wrong."""

    def __init__(self, server, method="POST", path=None, body=b"{}", headers=()):
        self.server, self.method, self.body = server, method, body
        self.path = path or wire.invocations("echo")
        # Two requests of one second have the same signature; where replays are refused, this tells them apart.
        self.headers = dict(headers) | {"amz-sdk-invocation-id": str(uuid.uuid4())}

    def aws(self):
        url = f"http://{self.server.address[0]}:{self.server.address[1]}{self.path}"
        return AWSRequest(self.method, url, headers=self.headers, data=self.body)

    def sign(self, person, region=REGION, service="lambda", ago=0, forgotten=()):
        """Signs by the Authorization header, as of `ago` seconds before now."""
        signer = Signer(person.credentials(), service, region)
        signer.forgotten = forgotten
        request = self.aws()
        with moment(ago):
            signer.add_auth(request)
        self.headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        return self

    def presign(self, person, expires=60, ago=0):
        """Signs by the query."""
        signer = SigV4QueryAuth(person.credentials(), "lambda", REGION, expires=expires)
        self.headers = {}
        request = self.aws()
        with moment(ago):
            signer.add_auth(request)
        self.path = request.url.split(str(self.server.address[1]), 1)[1]
        return self

    def edit(self, old, new):
        """Changes the Authorization header."""
        header = self.headers["Authorization"]
        assert old in header, header
        self.headers["Authorization"] = header.replace(old, new)
        return self

    def send(self):
        host = f"{self.server.address[0]}:{self.server.address[1]}"
        headers = [("host", host), ("connection", "close"), ("content-length", len(self.body))]
        headers += list(self.headers.items())
        return wire.exchange_bytes(
            self.server, wire.head(self.method, self.path, headers) + self.body, self.method
        )


def moment(ago):
    """botocore's clock, so many seconds slow."""
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=ago)
    return mock.patch("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: now.replace(tzinfo=None))

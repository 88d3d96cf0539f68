"""Signs requests for Lambda with botocore, and writes each as one line of JSON, as it goes over the wire.

    sign.py COUNT SEED
    sign.py vectors

The first line has the region and the access keys. The same seed gives the same requests, but for those of boto3's own client
(one in twenty), which carry ids of their own. The second form writes `vectors.jsonl`, on which the tests of single rules stand.
"""

import base64
import datetime
import hashlib
import json
import random
import sys
from urllib.parse import quote, urlsplit

import boto3
import botocore.auth
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.utils import percent_encode_sequence

REGION = "eu-central-1"
ACCOUNT = "123456789012"

KEYS = [
    Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    Credentials("AKID+=odd", "s"),
    Credentials("AKIDLONG", "long/" * 40),
    Credentials("ASIATEMPORARY", "temporary+secret", "FwoGZXIvYXdzEBY/+a==" * 20),
    Credentials("ASIASHORT", "another", "t"),
]

METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"]

ENDPOINTS = [
    "http://127.0.0.1:9000",
    "http://localhost:80",
    "https://lambda.eu-central-1.amazonaws.com",
    "https://lambda.eu-central-1.amazonaws.com:443",
    "http://[::1]:3001",
]

FUNCTIONS = [
    "fn",
    "fn:1",
    "fn:$LATEST",
    "my_function-7",
    f"{ACCOUNT}:function:fn",
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fn:live",
]

UNICODE = ["é", "ß", "日本", "🦀", "Ω≈ç", "\u202e", "\u00a0"]
ASCII = [chr(code) for code in range(32, 127)]
CONTROL = ["\t", "\n", "\r", "\x00", "\x7f"]

NOW = datetime.datetime(2026, 2, 28, 23, 59, 30, tzinfo=datetime.timezone.utc)


class Clock:
    """The clock that botocore signs by: it passes a week, so that signing keys change under way."""

    def __init__(self, count):
        self.now = NOW
        self.behind = datetime.timedelta()
        self.longest_step = 2 * 7 * 24 * 3600 // count
        botocore.auth.get_current_datetime = lambda *_args, **_kwargs: self.now - self.behind

    def advance(self, chance):
        self.now += datetime.timedelta(seconds=chance.randint(0, self.longest_step))
        self.behind = datetime.timedelta()


def text(chance, longest, alphabet=ASCII + UNICODE + CONTROL):
    return "".join(chance.choice(alphabet) for _ in range(chance.randrange(longest + 1)))


def path(chance):
    kind = chance.randrange(4)
    if kind == 0:
        name = quote(chance.choice(FUNCTIONS), safe="")
        return f"/2015-03-31/functions/{name}/invocations"
    if kind == 1:
        # As botocore's serialiser escapes what it puts into a path.
        segments = [quote(text(chance, 8), safe="~") for _ in range(chance.randrange(6))]
    elif kind == 2:
        segments = [
            chance.choice(["", ".", "..", "...", ".a", "a", "fn%3A1", "%2F", "%2e%2E", "%25", "a%20b"])
            for _ in range(chance.randrange(9))
        ]
    else:
        # Raw, as far as a request line can have it.
        alphabet = [c for c in ASCII if c not in ' "#?<>[\\]^`{|}'] + ["%41", "%c3%a9", "%zz", "%"]
        segments = [text(chance, 8, alphabet) for _ in range(chance.randrange(5))]
    return "/" + "/".join(segments) + chance.choice(["", "", "/", "//"])


def parameters(chance):
    names = ["Qualifier", "Marker", "MaxItems", "", "a", "A", "a-b", "a.b", "x y", "é", "k=v", "a&b", "+"]
    pairs = []
    for _ in range(chance.randrange(6)):
        name = chance.choice(names) if chance.random() < 0.7 else text(chance, 6)
        pairs.append((name, text(chance, 10)))
        if chance.random() < 0.2:
            pairs.append((name, text(chance, 3)))
    return pairs


def raw_query(chance):
    pieces = ["", "a", "a=", "=v", "b=1", "b=0", "b=1", "a-=2", "a=+", "a%20b=c%2Bd", "%C3%A9=%F0%9F%A6%80", "z=~-_."]
    return "&".join(chance.choice(pieces) for _ in range(chance.randrange(7)))


def headers(chance):
    some = [
        ("Content-Type", chance.choice(["application/json", "application/x-amz-json-1.0", "text/plain; charset=utf-8"])),
        ("X-Amz-Invocation-Type", chance.choice(["Event", "RequestResponse", "DryRun"])),
        ("X-Amz-Log-Type", "Tail"),
        ("X-Amz-Client-Context", base64.b64encode(text(chance, 40).encode()).decode()),
        ("X-Spaces", chance.choice(["  two  spaces ", "tab\there", " \t mixed \t  run \t", "a  'quoted  text'  b", ""])),
        ("X-Graphic", text(chance, 30, ASCII)),
        ("amz-sdk-invocation-id", str(chance.getrandbits(64))),
        ("amz-sdk-request", "attempt=1; max=5"),
        ("User-Agent", "Boto3/1 md/unsigned"),
        ("X-Amzn-Trace-Id", "Root=1-5e6722a7-cc2b6a4b8d4f3f1c2a3b4c5d"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    chosen = [header for header in some if chance.random() < 0.4]
    if chance.random() < 0.2:
        chosen += [("X-Repeated", " one "), ("x-repeated", "two,  three")]
    chance.shuffle(chosen)
    return chosen


def body(chance):
    """As it goes into a line: bytes, or what to make a large one of."""
    kind = chance.random()
    if kind < 0.3:
        return b"", {}
    if kind < 0.9:
        data = chance.randbytes(chance.randrange(1, 2048))
        return data, {"base64": base64.b64encode(data).decode()}
    if kind < 0.998:
        fill, length = chance.randrange(256), chance.randrange(2048, 64 * 1024)
    else:
        fill, length = chance.randrange(256), chance.randrange(1 << 20, 6 << 20)
    return bytes([fill]) * length, {"fill": fill, "length": length}


def host(url):
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}[parts.scheme]
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return name if parts.port in (None, default) else f"{name}:{parts.port}"


def wire(method, url, fields, content, now):
    rest = url.split("://", 1)[1]
    target = rest[rest.index("/") :] if "/" in rest else "/"
    raw_path, _, query = target.partition("?")
    fields = [(name, value.decode() if isinstance(value, bytes) else value) for name, value in fields]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", host(url)))
    return {
        "method": method,
        "path": raw_path,
        "query": query,
        "headers": fields,
        "body": content,
        "now": int(now.timestamp()),
    }


def signed(chance, clock):
    method, url = chance.choice(METHODS), chance.choice(ENDPOINTS) + path(chance)
    data, content = body(chance)
    params = None
    if chance.random() < 0.5:
        params = parameters(chance) or None
    elif query := raw_query(chance):
        url += "?" + query
    request = AWSRequest(method=method, url=url, data=data, params=params)
    for name, value in headers(chance):
        request.headers.add_header(name, value)
    if chance.random() < 0.3:
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
    SigV4Auth(chance.choice(KEYS), "lambda", REGION).add_auth(request)
    if params:
        # As the client's serialiser has it on the wire; AWSRequest's own has `+` for a space, which nobody signs.
        url += "?" + percent_encode_sequence(params)
    return wire(method, url, request.headers.items(), content, clock.now)


def presigned(chance, clock):
    method, url = chance.choice(METHODS), chance.choice(ENDPOINTS) + path(chance)
    params = dict(parameters(chance)) or None
    request = AWSRequest(method=method, url=url, params=params)
    for name, value in headers(chance):
        request.headers.add_header(name, value)
    expires = chance.choice([1, 60, 3600, 604800])
    # It may be used until the last second.
    clock.behind = datetime.timedelta(seconds=chance.choice([0, expires // 2, expires]))
    SigV4QueryAuth(chance.choice(KEYS), "lambda", REGION, expires=expires).add_auth(request)
    return wire(method, request.url, request.headers.items(), {}, clock.now)


class Client:
    """boto3's own client, whose requests are caught before they are sent."""

    def __init__(self):
        self.sent = None
        config = Config(retries={"total_max_attempts": 1}, region_name=REGION)
        self.clients = []
        for keys in KEYS:
            session = boto3.Session(
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.token,
            )
            client = session.client("lambda", endpoint_url="http://127.0.0.1:9000", config=config)
            client.meta.events.register("before-send.lambda", self.catch)
            self.clients.append(client)

    def catch(self, request, **_):
        self.sent = request
        return AWSResponse(request.url, 503, {}, None)

    def request(self, chance, clock):
        client = chance.choice(self.clients)
        function = chance.choice(FUNCTIONS)
        payload = json.dumps({"text": text(chance, 40)}).encode()
        context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
        calls = [
            lambda: client.invoke(FunctionName=function, InvocationType="Event", Payload=payload),
            lambda: client.invoke(FunctionName="fn", Qualifier="live", LogType="Tail", ClientContext=context, Payload=payload),
            lambda: client.list_functions(FunctionVersion="ALL", Marker="a b/c+d=", MaxItems=7),
            lambda: client.get_function(FunctionName=function),
            lambda: client.put_function_event_invoke_config(FunctionName="fn", Qualifier="1", MaximumRetryAttempts=1),
            lambda: client.delete_function_concurrency(FunctionName=function),
        ]
        self.sent = None
        try:
            chance.choice(calls)()
        except Exception:
            if self.sent is None:
                raise
        sent = self.sent
        data = sent.body or b""
        data = data if isinstance(data, bytes) else data.read()
        content = {"base64": base64.b64encode(data).decode()} if data else {}
        return wire(sent.method, sent.url, sent.headers.items(), content, clock.now)

    def presigned(self, chance, clock):
        client = chance.choice(self.clients)
        url = client.generate_presigned_url(
            "get_function", Params={"FunctionName": chance.choice(FUNCTIONS), "Qualifier": "1"}, ExpiresIn=600
        )
        return wire("GET", url, [], {}, clock.now)


def vectors():
    clock = Clock(1)
    base = "http://127.0.0.1:9000/2015-03-31/functions"
    event = b'{"key":1}'

    def vector(name, method, url, data=b"", key=0, signer=SigV4Auth, declared=False, **options):
        request = AWSRequest(method=method, url=url, data=data)
        if data:
            request.headers["X-Amz-Invocation-Type"] = "Event"
        if declared:
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
        signer(KEYS[key], "lambda", REGION, **options).add_auth(request)
        content = {"base64": base64.b64encode(data).decode()}
        return {"name": name} | wire(method, request.url, request.headers.items(), content, clock.now)

    return [
        vector("plain", "POST", f"{base}/fn/invocations", event),
        vector("escaped", "POST", f"{base}/fn%3A1/invocations", event),
        vector("dots", "POST", f"{base}//./other/../fn/invocations/", event),
        vector("declared", "POST", f"{base}/fn/invocations", event, declared=True),
        vector("temporary", "GET", f"{base}?MaxItems=7&Marker=a%20b", key=4),
        vector("presigned", "GET", f"{base}?MaxItems=7", signer=SigV4QueryAuth, expires=600),
        vector("presigned temporary", "GET", base, key=4, signer=SigV4QueryAuth, expires=600),
    ]


def requests(count, seed):
    chance, clock, client = random.Random(seed), Clock(count), Client()
    for _ in range(count):
        clock.advance(chance)
        kind = chance.random()
        if kind < 0.04:
            yield client.request(chance, clock)
        elif kind < 0.05:
            yield client.presigned(chance, clock)
        elif kind < 0.2:
            yield presigned(chance, clock)
        else:
            yield signed(chance, clock)


def main():
    keys = [{"id": keys.access_key, "secret": keys.secret_key, "token": keys.token} for keys in KEYS]
    print(json.dumps({"region": REGION, "keys": keys}))
    lines = vectors() if sys.argv[1] == "vectors" else requests(int(sys.argv[1]), int(sys.argv[2]))
    for line in lines:
        print(json.dumps(line))


main()

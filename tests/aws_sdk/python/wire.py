"""HTTP by hand, for requests that no SDK sends: any bytes over a socket, and the parsed response."""

import http.client
import json
import socket


class Answer:
    """A response, read to its end."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def code(self):
        """The error code as an SDK reads it (ERR-01)."""
        return self.headers.get("x-amzn-ErrorType", "").split(":")[0].split("#")[-1]

    @property
    def request_id(self):
        return self.headers.get("x-amzn-RequestId")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]!r}"


def connect(server, timeout=30):
    """A connection on which nothing has been said yet."""
    return socket.create_connection(server.address, timeout=timeout)


def answer(connection, method="POST"):
    """The next response on the connection."""
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        return Answer(response)
    finally:
        response.close()


def head(method, path, headers):
    """A request up to the empty line. Values may be bytes, to be sent as they are."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1")]
    for name, value in headers:
        value = value if isinstance(value, bytes) else str(value).encode("latin-1")
        lines.append(name.encode("latin-1") + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def exchange(server, method, path, body=b"", headers=()):
    """One request on a connection of its own, and its response."""
    headers = [("host", "127.0.0.1"), ("connection", "close"), *headers]
    if body or method in ("POST", "PUT"):
        headers.append(("content-length", len(body)))
    return exchange_bytes(server, head(method, path, headers) + body, method)


def exchange_bytes(server, sent, method="POST"):
    """The same for a request that is already spelt out."""
    with connect(server) as connection:
        try:
            connection.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused while we were still sending; the answer may be there all the same.
        return answer(connection, method)


def invocations(function, qualifier=None):
    """The path of Invoke (INV-01)."""
    query = f"?Qualifier={qualifier}" if qualifier else ""
    return f"/2015-03-31/functions/{function}/invocations{query}"


def invoke(server, function, body=b"{}", headers=(), kind=None):
    """Invoke by hand."""
    if kind:
        headers = [*headers, ("x-amz-invocation-type", kind)]
    return exchange(server, "POST", invocations(function), body, headers)

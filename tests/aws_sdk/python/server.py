"""The server under test: the example `lambda_api` as a child process.

It is started on a port of its own choice, with the flags that a test wants, and killed at the end.
"""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("REDRIVE_LAMBDA_API", str(ROOT / "target/debug/examples/lambda_api"))
REGION = "us-east-1"
ACCOUNT = "000000000000"
FUNCTIONS = ["big", "chain", "context", "echo", "fail", "flaky", "init-fails", "log", "panic", "sleep"]
# The versions besides $LATEST.
VERSIONS = {"context": ["1", "2"], "echo": ["1"]}


def arn(function, qualifier=None):
    """The ARN of a function of the example."""
    unqualified = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    return f"{unqualified}:{qualifier}" if qualifier else unqualified


class DidNotStart(AssertionError):
    """The program ended, or said something else than where it listens."""


class Server:
    """One running `lambda_api`."""

    def __init__(self, *flags):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [PROGRAM, "--port", "0", *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        line = self.process.stdout.readline()
        announced = re.fullmatch(r"listening on ((https?)://(127\.0\.0\.1):(\d+))\n", line)
        if announced is None:
            self.stop()
            said = self.said()
            self.errors.close()
            raise DidNotStart(f"no address but {line!r} from {PROGRAM} {flags}:\n{said}")
        self.url = announced[1]
        self.address = announced[3], int(announced[4])

    def said(self):
        """What it has written to stderr."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def memory(self):
        """Its resident memory, in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_time(self):
        """The seconds of processor time it has used."""
        # The name, which may have spaces, ends with the last parenthesis.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def interrupt(self):
        """Asks it to stop, as Ctrl-C does, and waits until it has; its exit code must be 0."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.kill()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def kill(self):
        """kill -9. A server that has died of itself before is a failed test."""
        ended = self.process.poll()
        self.stop()
        said = self.said()
        self.errors.close()
        if ended not in (None, 0):
            raise AssertionError(f"the server died with {ended}:\n{said[-4000:]}")

"""A Docker Engine API on a unix socket with canned answers, which keeps what it was asked; and the
two clients that are compared before it: docker's own and ours."""

import contextlib
import io
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from skep.cli import main as program

DOCKER = shutil.which("docker")
PINGED = {
    "Api-Version": "1.50",
    "Ostype": "linux",
    "Docker-Experimental": "false",
    "Swarm": "active/manager",
    "Builder-Version": "1",
    "Server": "Docker/28.2.2 (linux)",
}


@dataclass
class Asked:
    """A request as it arrived, its path without the version."""

    method: str
    path: str
    query: dict
    body: object = None

    @property
    def line(self):
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """An answer with a status of its own, or raw bytes instead of JSON."""

    status: int = 200
    body: object = None
    raw: bytes | None = None
    kind: str = "application/json"
    headers: dict = field(default_factory=dict)


def refuse(status, message):
    return Answer(status, {"message": message})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def _content(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self):
        parts = urlsplit(self.path)
        path = re.sub(r"^/v\d+\.\d+", "", parts.path)
        if path == "/_ping":
            return self._send(Answer(raw=b"OK", kind="text/plain"))
        content = self._content()
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = content
        asked = Asked(self.command, path, dict(parse_qsl(parts.query)), body)
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        if callable(answer):
            return answer(self, asked)
        return self._send(answer if isinstance(answer, Answer) else Answer(body=answer))

    def _send(self, answer):
        content = answer.raw
        if content is None:
            content = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {**PINGED, "Content-Type": answer.kind, **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PUT = _handle  # noqa: N815

    def hijack(self):
        """Answer 101; what follows on the socket is for whoever calls this."""
        kind = "application/vnd.docker.multiplexed-stream"
        self.wfile.write(
            b"HTTP/1.1 101 UPGRADED\r\nContent-Type: " + kind.encode() + b"\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\nApi-Version: 1.50\r\n\r\n"
        )
        self.close_connection = True
        return self.connection


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients may go away in the middle of anything."""


class FakeApi:
    """The server. ``answers`` maps "GET /path" to JSON, an `Answer`, or a function of the handler
    and the request; a path may end in * ."""

    def __init__(self, path):
        self.path = path
        self.answers = {}
        self.asked = []
        self._server = _Server(str(path), _Handler)
        self._server.asked = self.asked
        self._server.answer = self._answer
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, asked):
        for line in (asked.line, *self._wild(asked)):
            if line in self.answers:
                return self.answers[line]
        return refuse(404, f"page not found: {asked.line}")

    def _wild(self, asked):
        return [
            line for line in self.answers if line.endswith("*") and asked.line.startswith(line[:-1])
        ]

    @property
    def host(self):
        return f"unix://{self.path}"

    def docker(self, *words, stdin="", **environment):
        """What docker's client prints and asks: code, output, complaints, requests."""
        self.asked.clear()
        home = str(self.path.parent)
        done = subprocess.run(
            [DOCKER, "-H", self.host, *words], capture_output=True, text=True, timeout=60,
            check=False, input=stdin, env=_environment(home) | environment, cwd=home,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr, list(self.asked))

    def skep(self, *words, stdin="", **environment):
        """The same of ours, within this process."""
        self.asked.clear()
        home = str(self.path.parent)
        output, complaints = _Text(), _Text()
        here = os.getcwd()
        with (
            mock.patch.dict(os.environ, _environment(home) | environment, clear=True),
            mock.patch.object(sys, "argv", ["skep", "-H", self.host, *words]),
            mock.patch.object(sys, "stdin", _Text(stdin)),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(complaints),
        ):
            os.chdir(home)
            try:
                code = program.main()
            finally:
                os.chdir(here)
        return Done(code, output.text(), complaints.text(), list(self.asked))

    def skep_process(self, *words, stdin=b""):
        """Ours as a process of its own: code, output, complaints in bytes."""
        done = subprocess.run(
            [sys.executable, "-m", "skep.cli.main", "-H", self.host, *words],
            capture_output=True, timeout=60, check=False,
            input=stdin, env=os.environ | {"SKEP_DEBUG": "1"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr


@dataclass
class Done:
    """One use of a client."""

    code: int
    output: str
    complaints: str
    asked: list

    def bodies(self, method="POST"):
        """The bodies of requests that change something, with their paths."""
        return [(each.path, each.query, each.body) for each in self.asked if each.method == method]


class _Text(io.TextIOWrapper):
    """Text in memory with the bytes beneath, as the real streams have."""

    def __init__(self, text=""):
        super().__init__(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)

    def text(self):
        return self.buffer.getvalue().decode()


def _environment(home):
    return {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "DOCKER_CONFIG": home,
        "DOCKER_CLI_HINTS": "false",
        "SKEP_DEBUG": "1",
        "TZ": "UTC",
    }


# Members where an empty or zero value says something else than none at all.
_POINTERS = {
    "Replicas", "Init", "MaxAttempts", "EnableIPv4", "EnableIPv6", "StopGracePeriod", "Delay",
    "Window", "MaxConcurrent", "TotalCompletions", "OomKillDisable", "PidsLimit",
    "MemorySwappiness", "StopTimeout", "Replicated", "Global", "GlobalJob", "Parallelism",
}  # fmt: skip


def essence(value):
    """JSON without what says nothing, lists of texts and ports in one order."""
    if isinstance(value, dict):
        found = {key: essence(item) for key, item in value.items()}
        return {
            key: item
            for key, item in found.items()
            if item not in (None, "", [], {}, 0, False) or (key in _POINTERS and item is not None)
        }
    if isinstance(value, list):
        found = [essence(item) for item in value]
        return sorted(found, key=lambda item: json.dumps(item, sort_keys=True))
    return value


def differences(one, other, where=""):
    """Where two pieces of JSON differ, for a readable failure."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in differences(
                one.get(key, "(none)"), other.get(key, "(none)"), f"{where}.{key}"
            )
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for place, (a, b) in pairs for line in differences(a, b, f"{where}[{place}]")]
    return [] if one == other else [f"{where}: docker {one!r}, skep {other!r}"]

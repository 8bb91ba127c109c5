"""The Docker Engine API as the commands use it, over the socket of ``-H`` or DOCKER_HOST."""

from __future__ import annotations

import http
import http.client
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from skep.dial import UnixConnection
from skep.model.errors import Invalid, Refusal, Unavailable

DEFAULT_HOST = "unix:///run/docker.sock"
_CHUNK = 65536
_JSON = {"Content-Type": "application/json"}
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class Refused(Refusal):
    """What the daemon answered instead of doing it. ``status`` is HTTP's, ``message`` its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.status = status
        self.message = message

    @property
    def missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == http.HTTPStatus.NOT_FOUND


def reference(name: str) -> str:
    """An object's name as part of a path; images' names have slashes of their own."""
    return quote(name, safe=":@/")


def filters(wanted: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """The query that narrows a list down; {} for none. In the form docker's client sends."""
    maps = {key: dict.fromkeys(sorted(values), True) for key, values in sorted(wanted.items())}
    return {"filters": json.dumps(maps, separators=(",", ":"))} if maps else {}


class Api:
    """The API behind one socket. Every call raises `Refused` with the daemon's words, and
    `Unavailable` if nobody answers, or not within ``timeout`` seconds (None: wait for ever)."""

    def __init__(self, host: str = "", timeout: float | None = None) -> None:
        self._timeout = timeout
        self.host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        scheme, _, path = self.host.partition("://")
        if scheme != "unix" or not path:
            raise Invalid(f'skep speaks to unix sockets only, not to "{self.host}"')
        self._path = Path(path)

    def get(self, path: str, **query: Any) -> Any:
        """JSON of an object or a list."""
        return _decoded(self._ask("GET", path, None, query))

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """Change something; the JSON that comes back, None if nothing does."""
        return _decoded(self._ask("POST", path, body, query))

    def delete(self, path: str, **query: Any) -> Any:
        """Remove something."""
        return _decoded(self._ask("DELETE", path, None, query))

    def raw(self, path: str, **query: Any) -> str:
        """The text of an answer, as it came."""
        return self._ask("GET", path, None, query).decode(errors="replace")

    def headers(self, path: str) -> Mapping[str, str]:
        """The headers of an answer to GET."""
        with self.stream("GET", path) as answer:
            return dict(answer.getheaders())

    @contextmanager
    def stream(
        self, method: str, path: str, body: Any = None, **query: Any
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer that is read as it comes. ``body`` is JSON, or bytes or a file as they are."""
        connection = UnixConnection(self._path, self._timeout)
        try:
            yield self._answer(connection, method, _target(path, query), body)
        finally:
            connection.close()

    def hijack(self, path: str, body: Any = None, **query: Any) -> Hijacked:
        """POST, and take the connection over: bytes both ways."""
        connection = UnixConnection(self._path, self._timeout)
        try:
            answer = self._answer(connection, "POST", _target(path, query), body, _UPGRADE)
        except BaseException:
            connection.close()
            raise
        return Hijacked(connection, answer)

    def _ask(self, method: str, path: str, body: Any, query: Mapping[str, Any]) -> bytes:
        connection = UnixConnection(self._path, self._timeout)
        try:
            return self._answer(connection, method, _target(path, query), body).read()
        except http.client.HTTPException as error:
            raise Unavailable(f"error during connect: {self.host}: {error!r}") from error
        finally:
            connection.close()

    def _answer(
        self,
        connection: UnixConnection,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        content, kind = _encoded(method, body)
        try:
            connection.request(method, target, content, {**kind, **(headers or {})})
            answer = connection.getresponse()
        except OSError as error:
            raise Unavailable(self._unreachable(error)) from error
        except http.client.HTTPException as error:
            raise Unavailable(f"error during connect: {self.host}: {error!r}") from error
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(answer.status, _message(answer.read()))
        return answer

    def _unreachable(self, error: OSError) -> str:
        if isinstance(error, PermissionError):
            return (
                "permission denied while trying to connect to the Docker daemon socket at "
                f"{self.host}: it takes root"
            )
        return (
            f"Cannot connect to the Docker daemon at {self.host}. Is the docker daemon running?\n"
            '(For Skep that is skepd; of a lab\'s host "skep lab sock HOST" says the socket, '
            "for -H or DOCKER_HOST.)"
        )


class Hijacked:
    """A connection taken over. Its two directions end independently."""

    def __init__(self, connection: UnixConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer
        # getresponse forgets the socket of an answer that ends with its connection; the file that
        # the answer is read from keeps it, and what it read ahead.
        self._socket = connection.sock or _socket_of(answer)
        self.multiplexed = "multiplexed" in answer.headers.get("Content-Type", "")

    def read(self) -> bytes:
        """Some bytes; b"" at the end."""
        file = self._answer.fp
        return file.read1(_CHUNK) if file is not None else b""

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Nothing more will be sent; the other side's output goes on."""
        self._socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """End both directions: whoever reads gets the end."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give it back."""
        self._connection.close()
        self._answer.close()


def _socket_of(answer: http.client.HTTPResponse) -> socket.socket:
    found: socket.socket = answer.fp.raw._sock  # type: ignore[attr-defined]
    return found


def _target(path: str, query: Mapping[str, Any]) -> str:
    words = {
        key: "1" if value is True else str(value)
        for key, value in query.items()
        if value is not None and value is not False and value != ""
    }
    return f"{path}?{urlencode(words)}" if words else path


def _encoded(method: str, body: Any) -> tuple[Any, dict[str, str]]:
    if body is None:
        return None, _JSON if method == "POST" else {}
    if isinstance(body, dict | list):
        return json.dumps(body).encode(), _JSON
    return body, {"Content-Type": "application/x-tar"}


def _decoded(content: bytes) -> Any:
    return json.loads(content) if content.strip() else None


def _message(content: bytes) -> str:
    """The sentence in Docker's error body, or the body itself."""
    try:
        return str(json.loads(content)["message"])
    except (ValueError, TypeError, KeyError):
        return content.decode(errors="replace").strip()

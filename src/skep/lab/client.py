"""As much of the Docker Engine API's client side as the lab needs, over a unix socket."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from skep.dial import UnixConnection
from skep.model.errors import Broken, Unavailable

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Api:
    """The API behind one socket. ``timeout`` is in seconds, for each step of an exchange."""

    def __init__(self, socket_path: Path, timeout: float = 5.0) -> None:
        self._path = socket_path
        self._timeout = timeout

    def answers(self) -> bool:
        """Whether somebody answers there."""
        try:
            self._request("GET", "/_ping")
        except (Broken, Unavailable):
            return False
        return True

    def tags(self) -> set[str]:
        """Names of the images there, without registry: "busybox:latest"."""
        images: list[dict[str, Any]] = json.loads(self._request("GET", "/images/json"))
        return {tag.rpartition("/")[2] for image in images for tag in image.get("RepoTags") or ()}

    def load(self, archive: Path) -> None:
        """Load an image archive. Raises `Broken` with the reason, `Unavailable` if nobody hears."""
        size = {"Content-Type": "application/x-tar", "Content-Length": str(archive.stat().st_size)}
        with archive.open("rb") as body:
            lines = self._request("POST", "/images/load?quiet=1", body, size)
        for line in lines.splitlines():
            if b'"error"' in line:
                raise Broken(json.loads(line)["error"])

    def _request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> bytes:
        connection = UnixConnection(self._path, self._timeout)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self._path} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise Broken(f"{method} {path}: {_message(content)}")
        return content


def _message(content: bytes) -> str:
    """The sentence in Docker's error body, or the body itself."""
    try:
        return str(json.loads(content)["message"])
    except (ValueError, TypeError, KeyError):
        return content.decode(errors="replace").strip()

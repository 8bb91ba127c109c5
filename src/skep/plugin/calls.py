"""One call of a plugin: a request by HTTP, an answer in JSON, a deadline.

A plugin that does not answer, or not in JSON, may have done what it was asked: that is `Silent`.
One that says no has not: `Declined`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from skep.model.errors import UNREADABLE, Broken, Unavailable
from skep.plugin.discovery import Place, Tls

T = TypeVar("T")

MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
LONGEST = 1 << 20
"""Bytes of an answer."""
SHOWN = 120
"""Characters of an answer that are quoted."""
FIRST_PAUSE = 0.1
"""Seconds before the second attempt to connect; each further pause is twice as long."""


class Silent(Unavailable):
    """The plugin gave no answer that can be understood: what it did is not known."""


class Declined(Broken):
    """The plugin says that it did not do it, and why."""


class Unknown(Declined):
    """The plugin does not know the call."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a plugin, and how long to wait (seconds): for its answer, and before that for
    somebody who listens."""

    plugin: str
    call: str
    body: Any
    deadline: float
    patience: float

    def fault(self, words: str) -> str:
        """A sentence about what went wrong."""
        return f'plugin "{self.plugin}": {self.call}: {words}'


async def send(place: Place, request: Request) -> Any:
    """The answer to a call, decoded; members that are null are left out. Raises `Silent`,
    `Declined`."""
    try:
        async with asyncio.timeout(request.deadline):
            status, kind, payload = await _patiently(place, request)
    except TimeoutError:
        words = f"no answer within {request.deadline:g} s"
        raise Silent(request.fault(words)) from None
    if len(payload) > LONGEST:
        raise Silent(request.fault(f"its answer is longer than {LONGEST} bytes"))
    return _understood(request, status, kind, payload)


def fitting(request: Request, found: Any, shape: type[T]) -> T:
    """An answer as a shape. Raises `Silent` if it has another one."""
    try:
        return msgspec.convert(found, shape)
    except msgspec.ValidationError as error:
        raise Silent(request.fault(f"its answer makes no sense: {error}")) from error


async def _patiently(place: Place, request: Request) -> tuple[int, str, bytes]:
    """Try again while nobody listens: a plugin may be just about to start again."""
    until, pause = time.monotonic() + request.patience, FIRST_PAUSE
    while True:
        try:
            return await _post(place, request)
        except aiohttp.ClientConnectorError as error:
            if time.monotonic() + pause > until:
                reason = error.os_error.strerror or str(error.os_error)
                raise Silent(request.fault(f"cannot connect to {place.url}: {reason}")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            words = f"it ended the connection without an answer ({type(error).__name__}: {error})"
            raise Silent(request.fault(words)) from error
        await asyncio.sleep(pause)
        pause *= 2


async def _post(place: Place, request: Request) -> tuple[int, str, bytes]:
    parts = urlsplit(place.url)
    if parts.scheme == "unix":
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(parts.path)
        base = "http://plugin"
    else:
        secure = place.tls is not None or parts.scheme == "https"
        connector = aiohttp.TCPConnector(ssl=_context(place.tls) if secure else False)
        scheme = "https" if secure else "http"
        base = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
    data = b"" if request.body is None else msgspec.json.encode(request.body)
    whole = aiohttp.ClientTimeout(total=None)
    url = f"{base}/{request.call}"
    async with (
        aiohttp.ClientSession(connector=connector, timeout=whole) as session,
        session.post(url, data=data, headers=headers, allow_redirects=False) as answer,
    ):
        payload = b""
        async for piece in answer.content.iter_any():
            payload += piece
            if len(payload) > LONGEST:
                break
        return answer.status, answer.headers.get("Content-Type", "no type"), payload


def _context(tls: Tls | None) -> ssl.SSLContext:
    """Raises OSError for files that cannot be read."""
    wanted = tls or Tls()
    context = ssl.create_default_context(cafile=wanted.ca_file or None)
    if wanted.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if wanted.cert_file:
        context.load_cert_chain(wanted.cert_file, wanted.key_file or None)
    return context


def _understood(request: Request, status: int, kind: str, payload: bytes) -> Any:
    found: Any = {}
    readable = True
    try:
        found = _without_nulls(msgspec.json.decode(payload)) if payload.strip() else {}
    except UNREADABLE:
        readable = False
    why = found.get("Err", "") if isinstance(found, dict) else ""
    if why:
        raise Declined(request.fault(str(why)))
    if status == 404:
        raise Unknown(request.fault("it does not know this call"))
    if status != 200:
        raise Silent(request.fault(f"it answered with status {status} ({_quoted(payload)})"))
    if not readable or not isinstance(found, dict):
        raise Silent(request.fault(f"its answer ({kind}) is no JSON object: {_quoted(payload)}"))
    return found


def _without_nulls(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _without_nulls(each) for key, each in found.items() if each is not None}
    return [_without_nulls(each) for each in found] if isinstance(found, list) else found


def _quoted(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    return repr(text[:SHOWN] + ("…" if len(text) > SHOWN else ""))

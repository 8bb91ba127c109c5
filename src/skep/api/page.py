"""The page: its files, and the few things that it asks for beside the picture. It only looks."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path

import msgspec
from aiohttp import web

from skep.api import inspection
from skep.api.call import Call, json
from skep.api.loglines import Lines
from skep.api.logs import has_terminal
from skep.api.ports import PageAddress
from skep.model.errors import Forbidden, Missing

FOLDER = Path(__file__).with_name("browser")
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
HOME = "index.html"
TAIL = 100
"""Lines of a log that are shown."""
LARGEST = 256 << 10
"""Bytes of a log that are shown: of longer ones the end."""
ONLY_LOOKS = (
    "the page only looks: skep trace --live sends a real packet, and --follow listens to traffic"
)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What every answer to a browser carries: nothing from elsewhere, nothing inline, in no frame."""


class File(msgspec.Struct, frozen=True):
    """A file of the page, ready to be sent."""

    body: bytes
    kind: str
    tag: str


@cache
def files() -> dict[str, File]:
    """All files of the page by name."""
    found = {}
    for path in FOLDER.iterdir():
        if path.suffix in TYPES:
            body = path.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
            found[path.name] = File(body, TYPES[path.suffix], tag)
    return found


async def home(call: Call) -> web.StreamResponse:
    """``GET /`` and ``GET /skep/page``: the page itself."""
    return _file(call, HOME)


async def file(call: Call) -> web.StreamResponse:
    """``GET /skep/page/{name}``: a file of it."""
    return _file(call, call.parts["name"])


def _file(call: Call, name: str) -> web.Response:
    found = files().get(name)
    if found is None:
        raise Missing("page not found")
    headers = {**HEADERS, "ETag": found.tag, "Cache-Control": "no-cache"}
    if call.request.headers.get("If-None-Match") == found.tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, content_type=found.kind, charset="utf-8", headers=headers)


async def trace(call: Call) -> web.StreamResponse:
    """``GET /skep/trace`` as the page may ask for it: without a real packet, and
    without listening to anybody's."""
    if call.flag("live") or call.flag("follow"):
        raise Forbidden(ONLY_LOOKS)
    return await inspection.trace(call)


async def logs(call: Call) -> web.StreamResponse:
    """``GET /skep/page/logs?task=``: the last lines of a task's log, as ``text``, and ``why`` there
    is no more. Raises `Missing`."""
    task = call.ports.cluster.state().find_task(call.query("task"))
    lines = Lines(b"", timestamps=False, framed=False)
    options = {"stdout": "1", "stderr": "1", "tail": str(TAIL)}
    data, why = bytearray(), ""
    raw = has_terminal(task.spec)
    async with contextlib.aclosing(call.ports.cluster.logs(task.id, options)) as pieces:
        async for piece in pieces:
            data += lines.feed(piece.data, raw=piece.tty or raw)
            del data[:-LARGEST]
            why = piece.refusal
            if piece.end:
                break
    data += lines.end()
    return json({"text": data.decode(errors="replace"), "why": why})


async def address(call: Call) -> web.StreamResponse:
    """``GET /skep/page-address``: a `PageAddress`. Not for the page itself."""
    port = call.ports.page
    found = port.address() if port else PageAddress(why="this daemon serves no page")
    return json(msgspec.to_builtins(found))

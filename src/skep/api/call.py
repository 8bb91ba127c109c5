"""One request on its way through a handler, and the plain answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from skep.api import schema
from skep.api.facts import Facts
from skep.api.filters import Filters
from skep.api.ports import Ports
from skep.model.errors import Invalid

T = TypeVar("T")

FALSEHOODS = ("", "0", "no", "false", "none")
"""What Docker takes for false in a query; everything else is true."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gets: the request, the negotiated version, the path's variable parts, and
    all of the daemon that it may use."""

    request: web.Request
    version: tuple[int, int]
    parts: Mapping[str, str]
    ports: Ports
    facts: Facts

    def query(self, name: str, default: str = "") -> str:
        """A parameter's text."""
        return str(self.request.query.get(name, default))

    def flag(self, name: str) -> bool:
        """A parameter as Docker reads booleans."""
        return self.query(name).strip().lower() not in FALSEHOODS

    def number(self, name: str) -> int | None:
        """A whole number, None if it was not given. Raises `Invalid`."""
        text = self.query(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as fault:
            raise Invalid(_not_a_number(text)) from fault

    def object_version(self, kind: str) -> int:
        """``?version=``, which updates need. Raises `Invalid` with Docker's sentence."""
        text = self.query("version")
        if not text.isdecimal():
            raise Invalid(f"invalid {kind} version '{text}': {_not_a_number(text)}")
        return int(text)

    def filters(self, *allowed: str) -> Filters:
        """``?filters=``. Raises `Invalid` for a key that is not ``allowed``."""
        return Filters.parse(self.query("filters"), allowed)

    def parameters(self) -> dict[str, str]:
        """All parameters, to be passed on."""
        return dict(self.request.query)

    async def body(self) -> Any:
        """The JSON body without nulls. Raises `Invalid`."""
        return await schema.body(self.request)

    async def object_body(self) -> dict[str, Any]:
        """The JSON body, an object, without nulls. Raises `Invalid` if it is something else."""
        found = await self.body()
        if not isinstance(found, dict):
            raise Invalid("invalid JSON: an object is needed")
        return found

    async def decode(self, kind: type[T]) -> T:
        """The JSON body as a struct of the model. Raises `Invalid`, `Unsupported`."""
        return schema.decode(await self.body(), kind)


HEADERS: web.AppKey[dict[str, str]] = web.AppKey("headers", dict)
"""What every answer carries, the hijacked ones included."""

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def json(value: Any, *, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )


def empty(status: int = 204) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def _not_a_number(text: str) -> str:
    return f'strconv.ParseUint: parsing "{text}": invalid syntax'

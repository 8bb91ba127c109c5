"""Bodies of requests: JSON to the model's structs, by Docker's rules and with Docker's sentences.

Go clients send ``null`` for empty lists and maps, and Go servers take member names in any case.
What this version does not know is never silently ignored: a member with a value that would have
an effect is refused by its name.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from skep.api.arriving import ARRIVALS
from skep.model.errors import UNREADABLE, Invalid, Unsupported

T = TypeVar("T")

DEEPEST = 100
"""Levels of nesting that a body may have. Docker's own need ten."""
LEAST, MOST = -(1 << 63), (1 << 64) - 1
"""Integers that a body may have: Go's int64 and uint64."""


class Member(typing.NamedTuple):
    """A struct's member: its name on the wire and its type."""

    name: str
    kind: Any


async def raw_body(request: web.Request) -> Any:
    """The request's JSON as it came; None if there is no body.

    Raises `Invalid` with Docker's sentences for another content type, bad JSON, trailing content,
    and what `Arrivals.whole` does.
    """
    raw = await request.app[ARRIVALS].whole(request)
    _check_content_type(request.headers.get("Content-Type", ""), raw)
    return _parse(raw) if raw else None


async def body(request: web.Request) -> Any:
    """The request's JSON with ``null`` members dropped; {} if there is no body. Raises as above."""
    found = without_nulls(await raw_body(request))
    return {} if found is None else found


def _check_content_type(header: str, raw: bytes) -> None:
    if not header and not raw:
        return
    if not header:
        raise Invalid("malformed Content-Type header (): mime: no media type")
    if header.partition(";")[0].strip().lower() != "application/json":
        raise Invalid(f"unsupported Content-Type header ({header}): must be 'application/json'")


def _parse(raw: bytes) -> Any:
    if not raw.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    try:
        found = msgspec.json.decode(raw)
    except UNREADABLE as fault:
        if "trailing characters" in str(fault):
            raise Invalid("unexpected content after JSON") from fault
        raise Invalid(f"invalid JSON: {fault}") from fault
    _check_bounds(found)
    return found


def _check_bounds(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        for each in level:
            if isinstance(each, int) and not LEAST <= each <= MOST:
                raise Invalid("invalid JSON: a number in it has more than 64 bits")
        level = [inner for each in level for inner in _members_of(each)]
        if not level:
            return
    raise Invalid(f"invalid JSON: nested more than {DEEPEST} levels deep")


def _members_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def without_nulls(value: Any) -> Any:
    """The same JSON without members that are null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def decode(value: Any, kind: type[T]) -> T:
    """JSON (see `body`) as a struct of the model.

    Raises `Invalid` if a member has the wrong type, `Unsupported` if one that the struct does not
    have asks for something.
    """
    if not isinstance(value, dict):
        raise Invalid("invalid JSON: an object is needed")
    try:
        return msgspec.convert(_fit(value, kind, ""), kind)
    except msgspec.ValidationError as fault:
        raise Invalid(f"invalid JSON: {fault}") from fault


def is_empty(value: Any) -> bool:
    """Whether a member asks for nothing: Go's zero values, and collections of only such."""
    if isinstance(value, dict):
        return all(is_empty(item) for item in value.values())
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return not value


def _fit(value: Any, kind: Any, where: str) -> Any:
    """The value with the struct's own member names, and without members that ask for nothing."""
    inner = _inner(kind)
    if inner is None:
        return value
    if isinstance(value, list):
        return [_fit(item, inner, where) for item in value]
    if not isinstance(value, dict):
        return value
    fitted = {}
    for name, item in value.items():
        member = _members(inner).get(name.lower())
        if member is not None:
            fitted[member.name] = _fit(item, member.kind, f"{where}{member.name}.")
        elif not is_empty(item):
            raise Unsupported(f"{where}{name} is not supported by this version of Skep")
    return fitted


@cache
def _members(kind: type) -> dict[str, Member]:
    """A struct's members by their lower-case names."""
    return {
        field.encode_name.lower(): Member(field.encode_name, field.type)
        for field in msgspec.structs.fields(kind)
    }


def _inner(kind: Any) -> Any:
    """The struct that a type is, may be, or is a sequence of; None if there is none."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Union, tuple, list):
        return next((i for i in map(_inner, typing.get_args(kind)) if i is not None), None)
    return None

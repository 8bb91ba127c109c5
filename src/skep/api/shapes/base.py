"""What all shapes share: instants, versions, and specs in Go's manner."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args

import msgspec

from skep.model.cluster import Record

Json = dict[str, Any]

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time."""

ALWAYS_SAID = frozenset({"Parallelism", "MaxFailureRatio", "Soft", "Hard"})
"""Members that the Engine API sends even when they are zero."""


class Member(NamedTuple):
    """A struct's member: attribute, name on the wire, whether None is its only absence, and whether
    it must be said even when it is zero."""

    attribute: str
    name: str
    optional: bool
    always: bool


def instant(seconds: float) -> str:
    """Unix seconds in RFC 3339 with nanoseconds, UTC; 0.0 is "never"."""
    if not seconds:
        return NEVER
    nanoseconds = round(seconds * 1_000_000) * 1000
    whole, fraction = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def meta(record: Record) -> Json:
    """``Version``, ``CreatedAt`` and ``UpdatedAt`` of an object of the cluster."""
    return {
        "Version": {"Index": record.version},
        "CreatedAt": instant(record.created_at),
        "UpdatedAt": instant(record.updated_at),
    }


def wire(value: Any) -> Any:
    """A spec as Go encodes it: zero values left out, unlike msgspec, which leaves out *defaults*.

    What may be None (Go's pointers) is left out only when it is None.
    """
    if isinstance(value, msgspec.Struct):
        return {
            member.name: wire(found)
            for member in _members(type(value))
            if _is_said(member, found := getattr(value, member.attribute))
        }
    if isinstance(value, tuple | list):
        return [wire(item) for item in value]
    if isinstance(value, dict):
        return {key: wire(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _is_said(member: Member, value: Any) -> bool:
    if member.optional:
        return value is not None
    return member.always or bool(value)


@cache
def _members(kind: type) -> tuple[Member, ...]:
    return tuple(
        Member(field.name, field.encode_name, _is_optional(field.type), _is_always_said(field))
        for field in msgspec.structs.fields(kind)
    )


def _is_always_said(field: msgspec.structs.FieldInfo) -> bool:
    """Left out, a member would be read back as its default, which need not be its zero value."""
    return field.encode_name in ALWAYS_SAID or bool(
        field.default is not msgspec.NODEFAULT and field.default
    )


def _is_optional(kind: Any) -> bool:
    return isinstance(kind, UnionType) and NoneType in get_args(kind)

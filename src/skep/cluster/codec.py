"""How the cluster's objects lie in the store: one key each, the value in msgpack.

The version is not part of the value: it is the revision of the store's item.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from skep.cluster.change import KINDS
from skep.model.cluster import Record

_ENCODER = msgspec.msgpack.Encoder()
_DECODERS = {kind: msgspec.msgpack.Decoder(record_type) for kind, record_type in KINDS.items()}


def key(kind: str, id: str) -> str:
    """The store's key of an object: ``/tasks/<id>``."""
    assert kind in KINDS, f"not a kind of object: {kind}"
    return f"/{kind}/{id}"


def split(key: str) -> tuple[str, str]:
    """Kind and id of a key made by `key`."""
    _, kind, id = key.split("/")
    assert kind in KINDS, f"not a kind of object: {kind}"
    return kind, id


def encode(record: Record) -> bytes:
    """The value to store."""
    return _ENCODER.encode(replace(record, version=0))


def decode(key: str, value: bytes, revision: int) -> Record:
    """The object at ``key``, last changed at ``revision``.

    Raises `msgspec.ValidationError` if the value is not such an object.
    """
    kind, _ = split(key)
    return replace(_DECODERS[kind].decode(value), version=revision)

"""``/secrets`` and ``/configs``: the same handlers for both. Only a config's data is ever shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec
from aiohttp import web

from skep.api.call import Call, empty, json
from skep.api.filters import Filters
from skep.api.shapes import secret as shapes
from skep.api.shapes.base import Json
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.state import Draft, State
from skep.model.cluster import Config, Secret
from skep.model.spec import SecretSpec

R = TypeVar("R", Secret, Config)

FILTERS = ("id", "label", "name", "names")


class Kind(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One of the two kinds: its handlers, and in what it differs from the other."""

    word: str
    records: Callable[[State], Mapping[str, R]]
    find: Callable[[State, str], R]
    create_one: Callable[[Draft, Context, SecretSpec], str]
    update_one: Callable[[Draft, Context, str, int, SecretSpec], None]
    remove_one: Callable[[Draft, Context, str], None]
    shown: Callable[[R], Json]

    async def list_all(self, call: Call) -> web.StreamResponse:
        """``GET /secrets``."""
        filters = call.filters(*FILTERS)
        records = self.records(call.ports.cluster.state()).values()
        return json([self.shown(record) for record in records if _passes(record, filters)])

    async def create(self, call: Call) -> web.StreamResponse:
        """``POST /secrets/create``."""
        spec = await call.decode(SecretSpec)
        made = await call.ports.cluster.change(
            lambda draft, context: self.create_one(draft, context, spec)
        )
        return json({"ID": made}, status=201)

    async def inspect(self, call: Call) -> web.StreamResponse:
        """``GET /secrets/{id}``."""
        return json(self.shown(self.find(call.ports.cluster.state(), call.parts["id"])))

    async def update(self, call: Call) -> web.StreamResponse:
        """``POST /secrets/{id}/update?version=``: of its labels."""
        reference, version = call.parts["id"], call.object_version(self.word)
        spec = await call.decode(SecretSpec)
        await call.ports.cluster.change(
            lambda draft, context: self.update_one(draft, context, reference, version, spec)
        )
        return empty(200)

    async def remove(self, call: Call) -> web.StreamResponse:
        """``DELETE /secrets/{id}``."""
        reference = call.parts["id"]
        await call.ports.cluster.change(
            lambda draft, context: self.remove_one(draft, context, reference)
        )
        return empty()


def _passes(record: Secret | Config, filters: Filters) -> bool:
    return (
        filters.prefix("id", record.id)
        and filters.prefix("name", record.spec.name)
        and filters.exact("names", record.spec.name)
        and filters.labels("label", record.spec.labels)
    )


SECRETS = Kind[Secret](
    word="secret",
    records=lambda state: state.secrets,
    find=lambda state, reference: state.find_secret(reference),
    create_one=control.create_secret,
    update_one=control.update_secret,
    remove_one=control.remove_secret,
    shown=shapes.secret,
)
CONFIGS = Kind[Config](
    word="config",
    records=lambda state: state.configs,
    find=lambda state, reference: state.find_config(reference),
    create_one=control.create_config,
    update_one=control.update_config,
    remove_one=control.remove_config,
    shown=shapes.config,
)

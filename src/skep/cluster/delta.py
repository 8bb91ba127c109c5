"""The way from one assignment to the next, as small as what changed.

``patch(old, difference(old, new)) == new``, always. Within networks, endpoints and services travel
one by one: the change of a single endpoint costs a single endpoint. What many hosts hold in common
they hold as the same object, so what did not change is not compared, and what did is compared once
(`Steps`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from skep.model.assignment import (
    Assignment,
    AssignmentDelta,
    Entry,
    MapDelta,
    NetworkAssignment,
    NetworkEndpoint,
    NetworkService,
    Payload,
    PeerNode,
)
from skep.model.cluster import Task

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder()


class Scalars(Entry, frozen=True):
    """What an assignment holds besides its maps."""

    node_id: str
    cluster_id: str
    data_path_port: int
    mesh_key: bytes
    settled: int = 0
    generation: int = 0


_PEER = msgspec.msgpack.Decoder(PeerNode)
_NETWORK = msgspec.msgpack.Decoder(NetworkAssignment)
_TASK = msgspec.msgpack.Decoder(Task)
_ENDPOINT = msgspec.msgpack.Decoder(NetworkEndpoint)
_SERVICE = msgspec.msgpack.Decoder(NetworkService)
_PAYLOAD = msgspec.msgpack.Decoder(Payload)
_SCALARS = msgspec.msgpack.Decoder(Scalars)

_NOTHING: dict[str, Any] = {}
_NO_DELTA = MapDelta()


class Steps:
    """The last difference of each map that many hosts hold, and its whole content, encoded.

    Found again by the very maps that they are between; whoever else asks gets a difference made
    for the occasion.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], MapDelta]] = {}
        self._whole: dict[str, tuple[Mapping[str, Any], MapDelta]] = {}

    def learn(
        self, part: str, old: Mapping[str, T], new: Mapping[str, T], ids: Iterable[str]
    ) -> None:
        """A part came from ``old`` to ``new``, which differ at most at these ids."""
        put = {id: _encoded(new[id]) for id in ids if id in new and old.get(id) != new[id]}
        gone = tuple(id for id in ids if id in old and id not in new)
        self._last[part] = (old, new, MapDelta(put=put, remove=gone))

    def forget(self, part: str) -> None:
        """The part is no more."""
        self._last.pop(part, None)
        self._whole.pop(part, None)

    def between(self, part: str, old: Mapping[str, T], new: Mapping[str, T]) -> MapDelta:
        """The difference of two pictures of a part."""
        if old is new:
            return _NO_DELTA
        if not old:
            whole = self._whole.get(part)
            if whole is None or whole[0] is not new:
                whole = self._whole[part] = (new, compare(old, new))
            return whole[1]
        last = self._last.get(part)
        if last is None or last[0] is not old or last[1] is not new:
            last = self._last[part] = (old, new, compare(old, new))
        return last[2]


def difference(
    old: Assignment | None, new: Assignment, steps: Steps | None = None
) -> AssignmentDelta:
    """What a host that holds ``old`` (None: nothing) needs to come to ``new``."""
    base = old or Assignment()
    steps = steps or Steps()
    frames: dict[str, msgspec.Raw] = {}
    endpoints: dict[str, MapDelta] = {}
    services: dict[str, MapDelta] = {}
    for id, network in new.networks.items():
        before = base.networks.get(id)
        if before is network:
            continue
        if before is None or not _same_frame(before, network):
            frames[id] = _encoded(_frame(network))
        had, served = (before.endpoints, before.services) if before else (_NOTHING, _NOTHING)
        _note(endpoints, id, steps.between(f"endpoints/{id}", had, network.endpoints))
        _note(services, id, steps.between(f"services/{id}", served, network.services))
    gone = tuple(id for id in base.networks if id not in new.networks)
    return AssignmentDelta(
        base=old.index if old else 0,
        index=new.index,
        scalars=_encoded(_scalars(new)),
        peers=steps.between("peers", base.peers, new.peers),
        networks=MapDelta(put=frames, remove=gone) if frames or gone else _NO_DELTA,
        tasks=compare(base.tasks, new.tasks),
        secrets=compare(base.secrets, new.secrets),
        configs=compare(base.configs, new.configs),
        endpoints=endpoints,
        services=services,
    )


def says_nothing(old: Assignment | None, delta: AssignmentDelta) -> bool:
    """Whether a delta, made for ``old``, changes nothing but the index."""
    maps = (delta.peers, delta.networks, delta.tasks, delta.secrets, delta.configs)
    return (
        old is not None
        and not any(part.put or part.remove for part in maps)
        and not delta.endpoints
        and not delta.services
        and delta.scalars == _encoded(_scalars(old))
    )


def patch(old: Assignment | None, delta: AssignmentDelta) -> Assignment:
    """The assignment that ``delta`` leads to. It must have been made for ``old``.

    Raises `msgspec.ValidationError` if the delta is not one.
    """
    assert delta.base == (old.index if old else 0), "this delta starts from another assignment"
    base = old or Assignment()
    scalars = _SCALARS.decode(delta.scalars)
    networks = dict(base.networks)
    for id in delta.networks.remove:
        networks.pop(id, None)
    frames = {id: _NETWORK.decode(raw) for id, raw in delta.networks.put.items()}
    for id in dict.fromkeys([*frames, *delta.endpoints, *delta.services]):
        before = networks.get(id) or frames[id]
        networks[id] = replace(
            frames.get(id, before),
            endpoints=_merge(before.endpoints, delta.endpoints.get(id), _ENDPOINT),
            services=_merge(before.services, delta.services.get(id), _SERVICE),
        )
    return Assignment(
        index=delta.index,
        node_id=scalars.node_id,
        cluster_id=scalars.cluster_id,
        data_path_port=scalars.data_path_port,
        mesh_key=scalars.mesh_key,
        settled=scalars.settled,
        generation=scalars.generation,
        peers=_merge(base.peers, delta.peers, _PEER),
        networks=networks,
        tasks=_merge(base.tasks, delta.tasks, _TASK),
        secrets=_merge(base.secrets, delta.secrets, _PAYLOAD),
        configs=_merge(base.configs, delta.configs, _PAYLOAD),
    )


def compare(old: Mapping[str, T], new: Mapping[str, T]) -> MapDelta:
    """The difference of two maps, value by value."""
    if old is new:
        return _NO_DELTA
    put = {
        id: _encoded(value)
        for id, value in new.items()
        if (before := old.get(id)) is not value and before != value
    }
    return MapDelta(put=put, remove=tuple(id for id in old if id not in new))


def _scalars(assignment: Assignment) -> Scalars:
    return Scalars(
        node_id=assignment.node_id,
        cluster_id=assignment.cluster_id,
        data_path_port=assignment.data_path_port,
        mesh_key=assignment.mesh_key,
        settled=assignment.settled,
        generation=assignment.generation,
    )


def _encoded(value: object) -> msgspec.Raw:
    return msgspec.Raw(_ENCODER.encode(value))


def _frame(network: NetworkAssignment) -> NetworkAssignment:
    """The network without what travels on its own."""
    return replace(network, endpoints=_NOTHING, services=_NOTHING)


def _same_frame(one: NetworkAssignment, other: NetworkAssignment) -> bool:
    return (
        one.spec == other.spec
        and one.subnets == other.subnets
        and one.present == other.present
        and one.created_at == other.created_at
        and one.id == other.id
    )


def _note(deltas: dict[str, MapDelta], id: str, delta: MapDelta) -> None:
    if delta.put or delta.remove:
        deltas[id] = delta


def _merge(
    old: Mapping[str, T], delta: MapDelta | None, decoder: msgspec.msgpack.Decoder[T]
) -> dict[str, T]:
    merged = dict(old)
    if delta is not None:
        for id in delta.remove:
            merged.pop(id, None)
        merged.update((id, decoder.decode(raw)) for id, raw in delta.put.items())
    return merged

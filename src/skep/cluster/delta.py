"""The way from one assignment to the next, as small as what changed.

``patch(old, difference(old, new)) == new``, always. Within networks, endpoints and services travel
one by one: the change of a single endpoint costs a single endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

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


_PEER = msgspec.msgpack.Decoder(PeerNode)
_NETWORK = msgspec.msgpack.Decoder(NetworkAssignment)
_TASK = msgspec.msgpack.Decoder(Task)
_ENDPOINT = msgspec.msgpack.Decoder(NetworkEndpoint)
_SERVICE = msgspec.msgpack.Decoder(NetworkService)
_SCALARS = msgspec.msgpack.Decoder(Scalars)


def difference(old: Assignment | None, new: Assignment) -> AssignmentDelta:
    """What a host that holds ``old`` (None: nothing) needs to come to ``new``."""
    base = old or Assignment()
    scalars = Scalars(
        node_id=new.node_id,
        cluster_id=new.cluster_id,
        data_path_port=new.data_path_port,
        mesh_key=new.mesh_key,
    )
    endpoints: dict[str, MapDelta] = {}
    services: dict[str, MapDelta] = {}
    for id, network in new.networks.items():
        before = base.networks.get(id)
        _note(endpoints, id, _compare(before.endpoints if before else {}, network.endpoints))
        _note(services, id, _compare(before.services if before else {}, network.services))
    return AssignmentDelta(
        base=old.index if old else 0,
        index=new.index,
        scalars=msgspec.Raw(_ENCODER.encode(scalars)),
        peers=_compare(base.peers, new.peers),
        networks=_compare(_frames(base.networks), _frames(new.networks)),
        tasks=_compare(base.tasks, new.tasks),
        endpoints=endpoints,
        services=services,
    )


def patch(old: Assignment | None, delta: AssignmentDelta) -> Assignment:
    """The assignment that ``delta`` leads to. It must have been made for ``old``.

    Raises `msgspec.ValidationError` if the delta is not one.
    """
    assert delta.base == (old.index if old else 0), "this delta starts from another assignment"
    base = old or Assignment()
    scalars = _SCALARS.decode(delta.scalars)
    frames = _merge(_frames(base.networks), delta.networks, _NETWORK)
    networks = {}
    for id, frame in frames.items():
        before = base.networks.get(id, frame)
        networks[id] = replace(
            frame,
            endpoints=_merge(before.endpoints, delta.endpoints.get(id), _ENDPOINT),
            services=_merge(before.services, delta.services.get(id), _SERVICE),
        )
    return Assignment(
        index=delta.index,
        node_id=scalars.node_id,
        cluster_id=scalars.cluster_id,
        data_path_port=scalars.data_path_port,
        mesh_key=scalars.mesh_key,
        peers=_merge(base.peers, delta.peers, _PEER),
        networks=networks,
        tasks=_merge(base.tasks, delta.tasks, _TASK),
    )


def _frames(networks: Mapping[str, NetworkAssignment]) -> dict[str, NetworkAssignment]:
    """The networks without what travels on its own."""
    return {id: replace(network, endpoints={}, services={}) for id, network in networks.items()}


def _note(deltas: dict[str, MapDelta], id: str, delta: MapDelta) -> None:
    if delta.put or delta.remove:
        deltas[id] = delta


def _compare(old: Mapping[str, T], new: Mapping[str, T]) -> MapDelta:
    put = {
        id: msgspec.Raw(_ENCODER.encode(value))
        for id, value in new.items()
        if id not in old or old[id] != value
    }
    return MapDelta(put=put, remove=tuple(id for id in old if id not in new))


def _merge(
    old: Mapping[str, T], delta: MapDelta | None, decoder: msgspec.msgpack.Decoder[T]
) -> dict[str, T]:
    if delta is None:
        return dict(old)
    gone = set(delta.remove)
    merged = {id: value for id, value in old.items() if id not in gone}
    merged.update((id, decoder.decode(raw)) for id, raw in delta.put.items())
    return merged

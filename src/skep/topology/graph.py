"""The picture as a value: things, lines between them, and how much flows. The API sends it as JSON.

Things contain one another by ``parent``. Ids stay the same for as long as a thing lives, so that
two graphs can be compared.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

OK, CHANGING, BROKEN, DOUBTFUL, UNKNOWN = "ok", "changing", "broken", "doubtful", "unknown"
"""States of things and lines: as it should be; on its way there; wrong; not always right; nobody
can tell."""

HOST, BRIDGE, OVERLAY, MESH, BOX = "host", "bridge", "overlay", "mesh", "box"
LAN = "lan"
SERVICE, NETWORK, GROUP, REST = "service", "network", "group", "rest"
"""Kinds of things. A mesh is a host's ingress_sbox, an overlay its namespace of a swarm network, a
lan a network on a link of the host or of a plugin, a box a container; a group stands for several
boxes of one service on one host, a rest for others."""

PLUG, VXLAN, TUNNEL, VIP = "plug", "vxlan", "tunnel", "vip"
"""Kinds of lines: an interface of a box on a bridge, an overlay's tunnel device, a pair of hosts
that have tunnels to one another, a service's address on a network."""

NOT_PLACED = "host:"
"""The parent of tasks that are on no host."""


TIMES = "\N{MULTIPLICATION SIGN}"
"""Stands before a count in labels."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what a picture is made of."""


class Part(Drawn, frozen=True):
    """An interface of a thing. ``peer`` is its other end's name, ``index`` 0 if it is not there."""

    name: str
    kind: str = ""
    network: str = ""
    address: str = ""
    address6: str = ""
    mac: str = ""
    mtu: int = 0
    index: int = 0
    peer: str = ""
    vni: int = 0
    up: bool = False


class Thing(Drawn, frozen=True):
    """Something to be drawn. ``note`` says why its state is not ok. ``asked`` is what ``skep
    trace`` calls it, "" if nothing can be traced to it. ``service`` and ``networks`` are the ids of
    things, ``count`` is how many boxes it stands for, ``facts`` are lines of detail."""

    id: str
    kind: str
    name: str
    parent: str = ""
    state: str = OK
    note: str = ""
    namespace: str = ""
    asked: str = ""
    service: str = ""
    networks: tuple[str, ...] = ()
    count: int = 0
    facts: dict[str, str] = {}
    parts: tuple[Part, ...] = ()


class Line(Drawn, frozen=True):
    """What joins two things; ``count`` is how many such lines it stands for."""

    id: str
    kind: str
    source: str
    target: str
    network: str = ""
    state: str = OK
    note: str = ""
    count: int = 1
    facts: dict[str, str] = {}


Rate = tuple[float, float]
"""Bytes per second into the source of a line, and out of it."""


class Graph(Drawn, frozen=True):
    """All of it. ``rates`` are of lines, and of hosts (what their underlay carries), by id; those
    without traffic are left out. ``boxes`` counts all boxes, drawn or ``folded`` into groups."""

    things: dict[str, Thing] = {}
    lines: dict[str, Line] = {}
    rates: dict[str, Rate] = {}
    boxes: int = 0
    folded: bool = False


class Change(Drawn, frozen=True):
    """What makes one graph another: what to put (by its id) and what to drop."""

    things: dict[str, Thing] = {}
    lines: dict[str, Line] = {}
    rates: dict[str, Rate] = {}
    gone: tuple[str, ...] = ()
    gone_lines: tuple[str, ...] = ()
    still: tuple[str, ...] = ()
    boxes: int | None = None
    folded: bool | None = None


def difference(old: Graph, new: Graph) -> Change | None:
    """What makes ``old`` ``new``; None if nothing does. ``still`` are ids without traffic now."""
    change = Change(
        things={id: each for id, each in new.things.items() if old.things.get(id) != each},
        lines={id: each for id, each in new.lines.items() if old.lines.get(id) != each},
        rates={id: each for id, each in new.rates.items() if old.rates.get(id) != each},
        gone=tuple(sorted(old.things.keys() - new.things.keys())),
        gone_lines=tuple(sorted(old.lines.keys() - new.lines.keys())),
        still=tuple(sorted(old.rates.keys() - new.rates.keys())),
        boxes=None if old.boxes == new.boxes else new.boxes,
        folded=None if old.folded == new.folded else new.folded,
    )
    return None if change == Change() else change


def patched(old: Graph, change: Change) -> Graph:
    """The graph that ``old`` becomes."""

    def merged(was: dict[str, T], put: dict[str, T], gone: tuple[str, ...]) -> dict[str, T]:
        return {id: each for id, each in {**was, **put}.items() if id not in gone}

    return Graph(
        things=merged(old.things, change.things, change.gone),
        lines=merged(old.lines, change.lines, change.gone_lines),
        rates=merged(old.rates, change.rates, change.still),
        boxes=old.boxes if change.boxes is None else change.boxes,
        folded=old.folded if change.folded is None else change.folded,
    )


def own_addresses(graph: Graph) -> dict[str, str]:
    """Of each thing's addresses the one that its user means, without prefix ("" for none): not the
    routing mesh's, but for the mesh itself."""
    meshes = {
        each.name
        for each in graph.things.values()
        if each.kind == NETWORK and "routing mesh" in each.facts
    }
    return {id: _own_address(thing, meshes) for id, thing in graph.things.items()}


def _own_address(thing: Thing, meshes: set[str]) -> str:
    found = [each for each in thing.parts if each.address]
    own = [each for each in found if each.network not in meshes or thing.kind == MESH]
    return next((each.address.partition("/")[0] for each in (*own, *found)), "")

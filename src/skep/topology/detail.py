"""One thing of the picture, closely: what it is joined to, and what its interfaces have carried."""

from __future__ import annotations

from skep.model.glance import Gauge, Glimpse, Space
from skep.topology.graph import Drawn, Graph, Line, Rate, Thing


class Detail(Drawn, frozen=True):
    """``lines`` are those that it is an end of, and ``around`` what is at their other ends;
    ``rates`` are of those lines, ``gauges`` of its interfaces, by name."""

    thing: Thing
    lines: dict[str, Line] = {}
    around: dict[str, Thing] = {}
    rates: dict[str, Rate] = {}
    gauges: dict[str, Gauge] = {}


MOST = 200
"""Lines that are told of one thing."""


def detailed(graph: Graph, thing: Thing, glimpse: Glimpse | None) -> Detail:
    """What there is to say of a thing of a whole picture; ``glimpse`` is its host's."""
    ends = [each for each in graph.lines.values() if thing.id in (each.source, each.target)]
    lines = {each.id: each for each in ends[:MOST]}
    others = {each.source if each.target == thing.id else each.target for each in lines.values()}
    space = glimpse.spaces.get(thing.namespace, Space()) if glimpse else Space()
    names = {part.name for part in thing.parts}
    return Detail(
        thing=thing,
        lines=lines,
        around={id: graph.things[id] for id in sorted(others) if id in graph.things},
        rates={id: rate for id, rate in graph.rates.items() if id in lines or id == thing.id},
        gauges={each.name: each for each in space.gauges if each.name in names},
    )

"""Making a large picture small enough to be looked at: boxes are folded into groups by host and
service, small groups of a full host into a rest, and so are overlays, services and networks.

What is wrong is never folded away, nor what somebody looks for, nor what was expanded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from skep.topology import graph as g
from skep.topology.find import fits
from skep.topology.graph import Graph, Line, Rate, Thing

MANY = 80
"""Boxes from which on a picture is folded."""
ALIKE = 3
"""Boxes of a service on a host that are worth a group."""
PER_PICTURE = 240
"""Groups and single boxes that are drawn one by one, shared by the hosts, of which each has at
least..."""
PER_HOST = 2
FOUND = 60
"""Boxes that are drawn because somebody looks for them, and..."""
WRONG = 60
"""...because something is wrong with them."""
OPENED = 200
"""Boxes of an expanded group that are drawn; the others stay a group."""
OVERLAYS = 16
"""Overlays of a host that are drawn one by one."""
AROUND = 60
"""Services, and networks, that are drawn one by one."""
MESHED = 12
"""Hosts up to which the tunnels of each pair are drawn, and all interfaces and facts of what they
hold; of more, these are told when somebody looks closer."""

Fold = Callable[[Thing], str]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to see: groups to ``expand`` (ids), boxes to ``show`` (by what ``skep
    trace`` calls them), words to ``find``, or everything (``whole``)."""

    expand: frozenset[str] = frozenset()
    show: frozenset[str] = frozenset()
    find: str = ""
    whole: bool = False


def fold(graph: Graph, wanted: Wanted) -> Graph:
    """The picture as small as it need be."""
    if wanted.whole or (graph.boxes <= MANY and len(graph.things) <= 4 * MANY):
        return graph
    into = _boxes(graph, wanted)
    into |= _overlays(graph, wanted)
    into |= _around(graph, wanted, g.SERVICE)
    into |= _around(graph, wanted, g.NETWORK)
    return _folded(graph, into)


def _boxes(graph: Graph, wanted: Wanted) -> dict[str, str]:
    """Which boxes go into which group or rest (ids)."""
    shown = _shown(graph, wanted)
    hosts: dict[str, dict[str, list[Thing]]] = defaultdict(lambda: defaultdict(list))
    for thing in graph.things.values():
        if thing.kind == g.BOX and thing.id not in shown:
            hosts[thing.parent][thing.service].append(thing)
    at_most = max(PER_HOST, PER_PICTURE // max(len(hosts), 1))
    into: dict[str, str] = {}
    for host, services in hosts.items():
        left = at_most
        rest = f"rest:{host}"
        for service, boxes in sorted(services.items(), key=lambda each: -len(each[1])):
            group = f"group:{host}/{service}"
            folded = _beyond(boxes, group, wanted)
            drawn = len(boxes) - len(folded) + bool(folded)
            if left < drawn and rest not in wanted.expand and group not in wanted.expand:
                into |= {each.id: rest for each in boxes}
                continue
            left -= drawn
            into |= {each.id: group for each in folded}
    return into


def _shown(graph: Graph, wanted: Wanted) -> set[str]:
    """The boxes that are not to be folded: wrong, or looked for."""
    boxes = [each for each in graph.things.values() if each.kind == g.BOX]
    shown = [each.id for each in boxes if each.state in (g.BROKEN, g.DOUBTFUL)][:WRONG]
    shown += [each.id for each in boxes if each.asked in wanted.show]
    if wanted.find.strip():
        found = [each.id for each in boxes if fits(each, wanted.find, graph.things)]
        shown += found[:FOUND]
    return set(shown)


def _beyond(boxes: list[Thing], group: str, wanted: Wanted) -> list[Thing]:
    """Those of a service's boxes that are folded."""
    if group in wanted.expand:
        return boxes[OPENED:]
    return boxes if len(boxes) >= ALIKE else []


def _overlays(graph: Graph, wanted: Wanted) -> dict[str, str]:
    """The overlays beyond a host's first ones, those with the most plugs staying."""
    plugs: dict[str, int] = defaultdict(int)
    for line in graph.lines.values():
        if line.kind == g.PLUG:
            plugs[line.target] += 1
    hosts: dict[str, list[Thing]] = defaultdict(list)
    for thing in graph.things.values():
        if thing.kind == g.OVERLAY and thing.state == g.OK:
            hosts[thing.parent].append(thing)
    into: dict[str, str] = {}
    for host, overlays in hosts.items():
        rest = f"rest:{host}/overlays"
        if len(overlays) > OVERLAYS and rest not in wanted.expand:
            order = sorted(overlays, key=lambda each: (-plugs[each.id], each.id))
            into |= {each.id: rest for each in order[OVERLAYS:]}
    return into


def _around(graph: Graph, wanted: Wanted, kind: str) -> dict[str, str]:
    """The services or networks beyond the first ones, those with the most boxes staying."""
    weights: dict[str, int] = defaultdict(int)
    for thing in graph.things.values():
        if thing.kind == g.BOX:
            for id in (thing.service, *thing.networks):
                weights[id] += 1
    rest = f"rest:{kind}s"
    found = [
        each
        for each in graph.things.values()
        if each.kind == kind and each.state in (g.OK, g.CHANGING)
    ]
    if len(found) <= AROUND or rest in wanted.expand:
        return {}
    if wanted.find.strip():
        found = [each for each in found if not fits(each, wanted.find, graph.things)]
    order = sorted(found, key=lambda each: (-weights[each.id], each.id))
    return {each.id: rest for each in order[AROUND:]}


# --- folding


def _folded(graph: Graph, into: dict[str, str]) -> Graph:
    things = {id: each for id, each in graph.things.items() if id not in into}
    members: dict[str, list[Thing]] = defaultdict(list)
    for id, group in into.items():
        members[group].append(graph.things[id])
    for group, those in members.items():
        things[group] = _group(group, those, graph)
    hosts = sum(each.kind == g.HOST for each in things.values())
    things = {id: _rewired(each, into) for id, each in things.items()}
    if hosts > MESHED:
        things = {id: _outlined(each) for id, each in things.items()}
    lines: dict[str, Line] = {}
    rates: dict[str, Rate] = {}
    for line in graph.lines.values():
        if line.kind == g.TUNNEL and hosts > MESHED and line.state in (g.OK, g.UNKNOWN):
            continue
        kept = _moved(line, into)
        known = lines.get(kept.id)
        if known is not None:
            kept = msgspec.structs.replace(known, count=known.count + kept.count)
        lines[kept.id] = kept
        if line.id in graph.rates:
            rates[kept.id] = _sum(rates.get(kept.id, (0.0, 0.0)), graph.rates[line.id])
    rates |= {id: rate for id, rate in graph.rates.items() if id in things}
    return Graph(things=things, lines=lines, rates=rates, boxes=graph.boxes, folded=bool(into))


def _group(id: str, those: list[Thing], graph: Graph) -> Thing:
    """What stands for several things: a service's boxes, or a mixture."""
    first = those[0]
    service = graph.things.get(first.service)
    alike = id.startswith("group:")
    name = (service.name if service else "containers") if alike else _counted(those)
    states = {each.state for each in those}
    return Thing(
        id=id,
        kind=g.GROUP if alike else g.REST,
        name=name,
        parent=first.parent,
        state=next((each for each in WORST_FIRST if each in states), g.OK),
        note=_tally(those),
        service=first.service if alike else "",
        networks=tuple(dict.fromkeys(n for each in those for n in each.networks)) if alike else (),
        count=len(those),
        facts={"of": first.kind},
    )


WORST_FIRST = (g.BROKEN, g.UNKNOWN, g.DOUBTFUL, g.CHANGING, g.OK)
_PLURALS = {g.BOX: "containers", g.OVERLAY: "networks", g.SERVICE: "services",
            g.NETWORK: "networks"}  # fmt: skip


def _counted(those: list[Thing]) -> str:
    return f"{len(those)} more {_PLURALS[those[0].kind]}"


def _tally(those: Iterable[Thing]) -> str:
    """ "3 changing, 1 broken"; "" if all is well."""
    counts: dict[str, int] = defaultdict(int)
    for each in those:
        counts[each.state] += 1
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items()) if state != g.OK)


def _rewired(thing: Thing, into: dict[str, str]) -> Thing:
    """A thing that refers to what is drawn alone."""
    networks = tuple(dict.fromkeys(into.get(each, each) for each in thing.networks))
    service = into.get(thing.service, thing.service)
    if (networks, service) == (thing.networks, thing.service):
        return thing
    return msgspec.structs.replace(thing, networks=networks, service=service)


def _outlined(thing: Thing) -> Thing:
    """A thing without its details."""
    if thing.kind in (g.OVERLAY, g.BRIDGE, g.LAN, g.MESH, g.BOX):
        return msgspec.structs.replace(thing, parts=(), facts={})
    return thing


def _moved(line: Line, into: dict[str, str]) -> Line:
    """A line between what its ends were folded into."""
    source, target = into.get(line.source, line.source), into.get(line.target, line.target)
    network = into.get(line.network, line.network)
    if (source, target, network) == (line.source, line.target, line.network):
        return line
    id = f"{line.kind}:{source}>{target}"
    return msgspec.structs.replace(
        line, id=id, source=source, target=target, network=network, note=""
    )


def _sum(one: Rate, other: Rate) -> Rate:
    return one[0] + other[0], one[1] + other[1]

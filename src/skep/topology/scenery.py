"""Where things are in a still picture: a card per host, chips in rows with gutters beside them,
bars below. The page (``api/browser/layout.js``) places them likewise. Sizes are pixels."""

from __future__ import annotations

import msgspec

from skep.topology import graph as g
from skep.topology.graph import Graph, Line, Thing

CHIP_WIDTH, CHIP_HEIGHT, GAP = 116, 40, 12
BAR_HEIGHT, BAR_GAP = 26, 10
HEAD, PAD, TRUNK, EXIT, PLATE = 54, 16, 7, 22, 30
SPACE, UNDER, TOP = 28, 70, 76
ACROSS = 3
"""Hosts side by side."""


class Spot(msgspec.Struct, frozen=True):
    """A thing's place in its card."""

    thing: Thing
    x: int
    y: int
    width: int


class Card(msgspec.Struct, frozen=True):
    """A host's place in the picture, with what it holds; ``gutter`` is left of each column."""

    host: Thing
    chips: tuple[Spot, ...]
    bars: tuple[Spot, ...]
    width: int
    height: int
    x: int = 0
    y: int = 0

    @property
    def plate(self) -> int:
        """The upper edge of what stands for the host's own link."""
        return self.height - PLATE

    def trunk(self, bar: str) -> int:
        """How many gutters' steps left of a chip the lines to a bar go down."""
        return next(n for n, each in enumerate(self.bars) if each.thing.id == bar)


def cards(graph: Graph) -> list[Card]:
    """All hosts, placed."""
    hosts = sorted((e for e in graph.things.values() if e.kind == g.HOST), key=lambda e: e.name)
    made = [_card(host, graph) for host in hosts]
    placed: list[Card] = []
    y = TOP
    for start in range(0, len(made), ACROSS):
        row = made[start : start + ACROSS]
        tallest = max(card.height for card in row)
        x = SPACE
        for card in row:
            placed.append(_stretched(card, tallest, x, y))
            x += card.width + SPACE
        y += tallest + UNDER
    return placed


def _card(host: Thing, graph: Graph) -> Card:
    inside = [each for each in graph.things.values() if each.parent == host.id]
    chips = sorted((each for each in inside if is_chip(each)), key=_chip_order)
    bars = sorted((each for each in inside if is_bar(each)), key=lambda e: _bar_order(e, graph))
    columns = 2 if len(chips) <= 6 else 3 if len(chips) <= 24 else 5
    gutter = 12 + len(bars) * TRUNK
    step = gutter + CHIP_WIDTH + GAP
    spots = tuple(
        Spot(
            each,
            PAD + n % columns * step + gutter,
            HEAD + n // columns * (CHIP_HEIGHT + GAP),
            CHIP_WIDTH,
        )
        for n, each in enumerate(chips)
    )
    below = HEAD + -(-len(chips) // columns) * (CHIP_HEIGHT + GAP) + 8
    inner = columns * step - GAP
    placed = tuple(
        Spot(each, PAD, below + n * (BAR_HEIGHT + BAR_GAP), inner) for n, each in enumerate(bars)
    )
    height = below + len(bars) * (BAR_HEIGHT + BAR_GAP) + 4 + PLATE
    return Card(host, spots, placed, 2 * PAD + inner + EXIT, height)


def _stretched(card: Card, height: int, x: int, y: int) -> Card:
    """As tall as its row, by room above the bars."""
    more = height - card.height
    bars = tuple(msgspec.structs.replace(each, y=each.y + more) for each in card.bars)
    return msgspec.structs.replace(card, bars=bars, height=height, x=x, y=y)


def is_chip(thing: Thing) -> bool:
    """Whether it stands for containers."""
    of_boxes = thing.kind == g.REST and thing.facts.get("of") == g.BOX
    return thing.kind in (g.BOX, g.GROUP, g.MESH) or of_boxes


def is_bar(thing: Thing) -> bool:
    """Whether it is something that containers are plugged into."""
    of_overlays = thing.kind == g.REST and thing.facts.get("of") == g.OVERLAY
    return thing.kind in (g.OVERLAY, g.BRIDGE, g.LAN) or of_overlays


def _chip_order(thing: Thing) -> tuple[int, str, int]:
    head, _, tail = thing.name.rpartition(".")
    rank = {g.MESH: 1, g.REST: 2}.get(thing.kind, 0)
    return (rank, head, int(tail)) if tail.isdecimal() else (rank, thing.name, 0)


def _bar_order(thing: Thing, graph: Graph) -> tuple[int, str]:
    if thing.kind == g.BRIDGE:
        return (3 if thing.name == "docker_gwbridge" else 4), thing.name
    if thing.kind == g.LAN:
        return 5, thing.name
    network = graph.things.get(thing.networks[0]) if thing.networks else None
    is_mesh = network is not None and "routing mesh" in network.facts
    return (2 if thing.kind == g.REST else int(is_mesh)), thing.name


def plugs(graph: Graph) -> dict[str, list[Line]]:
    """The lines out of each chip."""
    found: dict[str, list[Line]] = {}
    for line in graph.lines.values():
        if line.kind == g.PLUG:
            found.setdefault(line.source, []).append(line)
    return found

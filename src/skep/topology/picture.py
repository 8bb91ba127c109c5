"""The cluster as a still picture, in plain SVG."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from skep.topology import graph as g
from skep.topology.graph import TIMES, Graph, Line
from skep.topology.scenery import (
    BAR_HEIGHT,
    CHIP_HEIGHT,
    PAD,
    PLATE,
    SPACE,
    TRUNK,
    UNDER,
    Card,
    Spot,
    cards,
    plugs,
)

COLOURS = ("#3b7dd8", "#8a5cc9", "#1c9a86", "#c2577f", "#6d8b1f", "#c0712b", "#3a93b5", "#a05195",
           "#5b6ee0", "#4f8f4a")  # fmt: skip
MESH_COLOUR, BRIDGE_COLOUR = "#b48a1e", "#85888f"
INK = {g.OK: "#2f8f5b", g.CHANGING: "#b7791f", g.BROKEN: "#c8383d", g.DOUBTFUL: "#b7791f",
       g.UNKNOWN: "#83868c"}  # fmt: skip
_STYLE = """
  text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #23262b }
  .title { font-size: 16px; font-weight: bold }
  .small { font-size: 10.5px; fill: #6c6f75 }
  .mono { font: 10.5px "DejaVu Sans Mono", monospace; fill: #6c6f75 }
  .bold { font-weight: bold }
  .frame { fill: #fffefb; stroke: #dedbd2 }
  .chip { fill: #f4f3ef; stroke: #dedbd2 }
  .plate { fill: #efede7; stroke: #dedbd2 }
  .wire { fill: none; stroke-width: 1.4 }
  .join { fill: none; stroke: #85888f; stroke-width: 2; stroke-opacity: .5 }
"""


def draw(graph: Graph) -> str:
    """The picture, as the text of an SVG file."""
    placed = cards(graph)
    width = max((card.x + card.width for card in placed), default=400) + SPACE
    height = max((card.y + card.height for card in placed), default=200) + UNDER
    colours = _colours(graph)
    lines, addresses = plugs(graph), g.own_addresses(graph)
    joins = [line for line in graph.lines.values() if line.kind == g.TUNNEL]
    hosts = {card.host.id: card for card in placed}
    body = [
        *(_join(line, hosts) for line in joins if {line.source, line.target} <= hosts.keys()),
        *(text for card in placed for text in _card(card, lines, colours, addresses)),
        *_legend(graph, colours),
    ]
    inner = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="The cluster">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#f4f3ef"/>\n{inner}\n</svg>\n'
    )


def _colours(graph: Graph) -> dict[str, str]:
    """A colour for each network; all others have the bridges'."""
    found: dict[str, str] = {}
    for thing in sorted(graph.things.values(), key=lambda each: each.name):
        if thing.kind == g.NETWORK:
            taken = sum(each != MESH_COLOUR for each in found.values())
            is_mesh = "routing mesh" in thing.facts
            found[thing.id] = MESH_COLOUR if is_mesh else COLOURS[taken % len(COLOURS)]
    return found


def _card(
    card: Card, lines: dict[str, list[Line]], colours: dict[str, str], addresses: dict[str, str]
) -> Iterator[str]:
    host = card.host
    yield f'<g transform="translate({card.x},{card.y})">'
    yield f'<rect class="frame" width="{card.width}" height="{card.height}" rx="14"/>'
    yield f'<circle cx="22" cy="21" r="4.5" fill="{INK[host.state]}"/>'
    yield f'<text class="title" x="34" y="26">{cut(host.name, 30)}</text>'
    said = host.note or host.facts.get("role", "")
    yield f'<text class="small" x="34" y="42">{cut(said, card.width // 7)}</text>'
    for chip in card.chips:
        yield from _wires(card, chip, lines.get(chip.thing.id, []), colours)
    for bar in card.bars:
        yield from _bar(card, bar, colours)
    yield from _joints(card, lines, colours)
    for chip in card.chips:
        yield from _chip(chip, addresses[chip.thing.id])
    link = host.parts[0].name if host.parts else ""
    words = " · ".join(filter(None, (link, host.facts.get("tunnels' address", ""))))
    y = card.plate
    yield (
        f'<path class="plate" d="M0,{y} h{card.width} v{PLATE - 14} q0,14 -14,14 '
        f'h{28 - card.width} q-14,0 -14,-14 z"/>'
    )
    yield (
        f'<text class="mono" x="{card.width / 2:g}" y="{y + 19}" text-anchor="middle">'
        f"{escape(words)}</text>"
    )
    yield "</g>"


def _wires(card: Card, chip: Spot, lines: list[Line], colours: dict[str, str]) -> Iterator[str]:
    here = {each.thing.id: each for each in card.bars}
    known = [each for each in lines if each.target in here]
    for place, line in enumerate(known, 1):
        y = chip.y + CHIP_HEIGHT * place / (len(known) + 1)
        x = chip.x - 8 - card.trunk(line.target) * TRUNK
        colour = _ink(line, colours.get(line.network, BRIDGE_COLOUR))
        yield (
            f'<path class="wire" stroke="{colour}" d="M{chip.x},{y:g} H{x + 4} Q{x},{y:g} '
            f'{x},{y + 4:g} V{here[line.target].y + 1}"/>'
        )


def _joints(card: Card, lines: dict[str, list[Line]], colours: dict[str, str]) -> Iterator[str]:
    """Dots where lines end on bars, above those that only pass under them."""
    here = {each.thing.id: each for each in card.bars}
    for chip in card.chips:
        for line in lines.get(chip.thing.id, []):
            if line.target in here:
                x = chip.x - 8 - card.trunk(line.target) * TRUNK
                colour = colours.get(line.network, BRIDGE_COLOUR)
                yield f'<circle cx="{x}" cy="{here[line.target].y + 1}" r="3" fill="{colour}"/>'


def _ink(line: Line, otherwise: str) -> str:
    return otherwise if line.state in (g.OK, g.UNKNOWN) else INK[line.state]


def _bar(card: Card, bar: Spot, colours: dict[str, str]) -> Iterator[str]:
    thing = bar.thing
    network = thing.networks[0] if thing.networks else ""
    colour = colours.get(network, BRIDGE_COLOUR)
    edge = INK[g.BROKEN] if thing.state == g.BROKEN else colour
    # Opaque below, so that lines to other bars pass under it.
    for fill, opacity in (("#fffefb", 1), (colour, 0.17)):
        yield (
            f'<rect x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{BAR_HEIGHT}" rx="8" '
            f'fill="{fill}" fill-opacity="{opacity}" stroke="{edge}" stroke-opacity=".5"/>'
        )
    parts = {each.kind: each for each in thing.parts}
    bridge, tunnel = parts.get("bridge"), parts.get("vxlan")
    inner = (bridge.address or bridge.name) if bridge else thing.facts.get("by", "")
    words = f'{cut(thing.name, 24)}<tspan class="mono" dx="9">{escape(inner)}</tspan>'
    y = bar.y + 17
    yield f'<text class="bold" x="{bar.x + 12}" y="{y}" fill="{colour}">{words}</text>'
    if tunnel:
        end = bar.x + bar.width
        x = card.width - PAD - card.trunk(thing.id) % 4 * 5
        yield (
            f'<text class="mono" x="{end - 10}" y="{y}" text-anchor="end">'
            f"{escape(tunnel.name)} {tunnel.vni}</text>"
        )
        middle = bar.y + BAR_HEIGHT / 2
        yield (
            f'<path class="wire" stroke="{colour}" d="M{end},{middle:g} H{x - 5} Q{x},{middle:g} '
            f'{x},{middle + 5:g} V{card.plate}"/>'
        )


def _chip(chip: Spot, address: str) -> Iterator[str]:
    thing = chip.thing
    folded = thing.kind in (g.GROUP, g.REST)
    for offset in (5, 2.5) if folded else ():
        yield (
            f'<rect class="frame" x="{chip.x + offset}" y="{chip.y + offset}" '
            f'width="{chip.width}" height="{CHIP_HEIGHT}" rx="9"/>'
        )
    edge = f' style="stroke:{INK[thing.state]}"' if thing.state != g.OK else ""
    yield (
        f'<rect class="chip" x="{chip.x}" y="{chip.y}" width="{chip.width}" '
        f'height="{CHIP_HEIGHT}" rx="9"{edge}/>'
    )
    yield f'<circle cx="{chip.x + 13}" cy="{chip.y + 14}" r="3.6" fill="{INK[thing.state]}"/>'
    yield f'<text class="bold" x="{chip.x + 22}" y="{chip.y + 18}">{cut(thing.name, 13)}</text>'
    sub = f"{TIMES} {thing.count}" if folded else address
    yield f'<text class="small" x="{chip.x + 22}" y="{chip.y + 32}">{escape(sub)}</text>'


def _join(line: Line, hosts: dict[str, Card]) -> str:
    one, other = sorted((hosts[line.source], hosts[line.target]), key=lambda c: (c.y, c.x))
    ends = [(card.x + card.width / 2, card.y + card.height) for card in (one, other)]
    (x1, y1), (x2, y2) = ends
    deep = min(24 + abs(x2 - x1) / 14, UNDER - 8)
    said = (line.facts.get("networks"), line.facts.get("delay"))
    words = cut(" · ".join(filter(None, said)), 200)
    ink = _ink(line, "")
    style = f' style="stroke:{ink};stroke-opacity:1"' if ink else ""
    return (
        f'<path class="join"{style} d="M{x1:g},{y1} C{x1:g},{y1 + deep:g} {x2:g},{y2 + deep:g} '
        f'{x2:g},{y2}"><title>{words}</title></path>'
    )


def _legend(graph: Graph, colours: dict[str, str]) -> Iterator[str]:
    x = SPACE
    for id, colour in list(colours.items())[:8]:
        thing = graph.things[id]
        words = f"{thing.name} {thing.facts.get('subnets', '')}"
        yield f'<rect x="{x}" y="28" width="11" height="11" rx="3" fill="{colour}"/>'
        yield f'<text x="{x + 17}" y="38">{cut(words, 36)}</text>'
        x += 40 + 7 * min(len(words), 36)


def cut(text: str, letters: int) -> str:
    """So many letters of a text at most, safe in SVG. What XML cannot say is left out."""
    plain = "".join(each for each in text if each.isprintable())
    return escape(plain if len(plain) <= letters else plain[: letters - 1] + "…")

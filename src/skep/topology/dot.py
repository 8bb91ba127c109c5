"""The cluster in Graphviz's language: a cluster per host, a node per thing, an edge per line."""

from __future__ import annotations

from collections.abc import Iterator

from skep.topology import graph as g
from skep.topology.graph import TIMES, Graph, Line, Thing

SHAPES = {g.BOX: "box", g.GROUP: "box3d", g.REST: "box3d", g.MESH: "component", g.OVERLAY: "cds",
          g.BRIDGE: "cds", g.LAN: "cds", g.SERVICE: "ellipse", g.NETWORK: "hexagon"}  # fmt: skip
COLOURS = {g.OK: "gray30", g.CHANGING: "orange3", g.BROKEN: "red3", g.DOUBTFUL: "orange3",
           g.UNKNOWN: "gray60"}  # fmt: skip
STYLES = {g.VXLAN: "dashed", g.TUNNEL: "bold", g.VIP: "dotted"}


def write(graph: Graph) -> str:
    """The text of a DOT file."""
    return "\n".join(["graph skep {", *_body(graph), "}", ""])


def _body(graph: Graph) -> Iterator[str]:
    addresses = g.own_addresses(graph)
    yield '  graph [rankdir=LR, fontname="sans-serif"];'
    yield '  node [fontname="sans-serif", fontsize=10];'
    yield '  edge [fontname="sans-serif", fontsize=9];'
    for host in graph.things.values():
        if host.kind == g.HOST:
            yield f"  subgraph {quoted(f'cluster {host.id}')} {{"
            label = quoted(_label(host, addresses[host.id]))
            yield f"    label={label}; color={COLOURS[host.state]};"
            yield f"    {quoted(host.id)} [label={quoted(_link(host))}, shape=plaintext];"
            for thing in graph.things.values():
                if thing.parent == host.id:
                    yield f"    {_node(thing, addresses[thing.id])}"
            yield "  }"
    for thing in graph.things.values():
        if not thing.parent and thing.kind != g.HOST:
            yield f"  {_node(thing, addresses[thing.id])}"
    for line in graph.lines.values():
        yield f"  {_edge(line)}"
    for thing in graph.things.values():
        if thing.service in graph.things:
            yield f"  {quoted(thing.service)} -- {quoted(thing.id)} [style=dotted];"


def _link(host: Thing) -> str:
    return host.parts[0].name if host.parts else host.name


def _label(thing: Thing, address: str) -> str:
    count = f" {TIMES} {thing.count}" if thing.kind in (g.GROUP, g.REST) else ""
    return "\n".join(filter(None, (thing.name + count, address, thing.note)))


def _node(thing: Thing, address: str) -> str:
    shape = SHAPES.get(thing.kind, "box")
    label = quoted(_label(thing, address))
    return f"{quoted(thing.id)} [label={label}, shape={shape}, color={COLOURS[thing.state]}];"


def _edge(line: Line) -> str:
    words = line.note or (f"{TIMES} {line.count}" if line.count > 1 else "")
    style = STYLES.get(line.kind, "solid")
    return (
        f"{quoted(line.source)} -- {quoted(line.target)} "
        f"[label={quoted(words)}, style={style}, color={COLOURS[line.state]}];"
    )


def quoted(text: str) -> str:
    """A string of DOT. What is not printable is left out, but for the ends of lines."""
    plain = "".join(each for each in text if each.isprintable() or each == "\n")
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

"""A trace as a picture: a column per host, a box per namespace, a row per hop. Plain SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from itertools import pairwise

import msgspec

from skep.trace.report import BROKEN, DOUBTFUL, OK, UNKNOWN, Hop, Trace

COLUMN, GAP, ROW, MARGIN, HEAD = 440, 60, 42, 24, 84
"""Pixels: a host's column, between two, a hop's row, around, above the first row."""
TITLE, APART = 26, 14
"""Pixels above a box's first hop, for whose it is; between the way there and the way back."""
LETTERS, SMALL_LETTERS = 51, 59
"""Letters of a phrase, and of the line under it, that fit a column."""
TEXT = "#1f2328"
INK = {OK: "#1a7f37", BROKEN: "#cf222e", DOUBTFUL: "#9a6700", UNKNOWN: "#9a6700"}
PAPER = {OK: "#ffffff", BROKEN: "#ffebe9", DOUBTFUL: "#fff8c5", UNKNOWN: "#fff8c5"}
_STYLE = """
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328 }
  .title { font-size: 16px; font-weight: bold }
  .host { font-size: 14px; font-weight: bold }
  .owner { font-size: 11px; fill: #59636e }
  .small { font-size: 10.5px; fill: #59636e }
  .lane { fill: #f6f8fa; stroke: #d1d9e0 }
  .box { fill: #eef2f6; stroke: #c2ccd6 }
  .way { fill: none; stroke: #57606a; stroke-width: 1.6; marker-end: url(#tip) }
  .back { stroke-dasharray: 5 3 }
  .tunnel { stroke: #8250df; stroke-width: 3 }
"""


class Spot(msgspec.Struct, frozen=True):
    """A hop's place in the picture: its number, its host's column, its upper edge."""

    hop: Hop
    number: int
    column: int
    back: bool
    y: int

    @property
    def x(self) -> int:
        """Its left edge."""
        return MARGIN + self.column * (COLUMN + GAP) + 12


def draw(trace: Trace) -> str:
    """The picture, as the text of an SVG file."""
    spots = _spots(trace)
    hosts = list(dict.fromkeys(spot.hop.host for spot in spots))
    width = 2 * MARGIN + max(len(hosts), 1) * COLUMN + max(len(hosts) - 1, 0) * GAP
    bottom = (spots[-1].y + ROW if spots else HEAD) + 12
    words = list(_verdict(trace, width))
    height = bottom + 20 + 18 * len(words) + MARGIN
    body = [
        *_lanes(hosts, bottom),
        *_boxes(spots),
        *_ways(spots),
        *(line for spot in spots for line in _row(spot)),
        *(
            f'<text x="{MARGIN}" y="{bottom + 24 + 18 * n}" fill="{colour}" '
            f'style="fill:{colour}">{escape(line)}</text>'
            for n, (line, colour) in enumerate(words)
        ),
    ]
    port = f" {trace.port}" if trace.port else ""
    title = escape(f"{trace.source} → {trace.target}, {trace.protocol}{port}")
    inner = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{title}">\n'
        f"<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#57606a"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        f'<text class="title" x="{MARGIN}" y="34">{title}</text>\n{inner}\n</svg>\n'
    )


def _spots(trace: Trace) -> list[Spot]:
    hops = [(hop, False) for hop in trace.there] + [(hop, True) for hop in trace.back]
    columns: dict[str, int] = {}
    spots: list[Spot] = []
    y = HEAD
    for number, (hop, back) in enumerate(hops, 1):
        column = columns.setdefault(hop.host, len(columns))
        before = spots[-1] if spots else None
        if before is None or _key(before) != (hop.host, hop.namespace, back):
            y += TITLE
        if before is not None and before.back != back:
            y += APART
        spots.append(Spot(hop, number, column, back, y))
        y += ROW
    return spots


def _lanes(hosts: list[str], bottom: int) -> Iterator[str]:
    for column, host in enumerate(hosts):
        x = MARGIN + column * (COLUMN + GAP)
        yield (
            f'<rect class="lane" x="{x}" y="{HEAD - 30}" width="{COLUMN}" '
            f'height="{bottom - HEAD + 30}" rx="8"/>'
        )
        yield f'<text class="host" x="{x + 12}" y="{HEAD - 10}">{escape(host)}</text>'


def _boxes(spots: list[Spot]) -> Iterator[str]:
    """A box around each run of hops in one namespace."""
    start = 0
    for number in range(1, len(spots) + 1):
        if number < len(spots) and _key(spots[number]) == _key(spots[start]):
            continue
        first, last = spots[start], spots[number - 1]
        height = last.y - first.y + ROW + TITLE - 6
        yield (
            f'<rect class="box" x="{first.x - 6}" y="{first.y - TITLE + 4}" '
            f'width="{COLUMN - 12}" height="{height}" rx="5"/>'
        )
        namespace = first.hop.namespace
        named = f" · {namespace}" if namespace not in ("", first.hop.owner) else ""
        yield (
            f'<text class="owner" x="{first.x + 32}" y="{first.y - 7}">'
            f"{escape(first.hop.owner + named)}</text>"
        )
        start = number


def _key(spot: Spot) -> tuple[str, str, bool]:
    return spot.hop.host, spot.hop.namespace, spot.back


def _ways(spots: list[Spot]) -> Iterator[str]:
    for one, other in pairwise(spots):
        if one.back != other.back:
            continue
        style = "way back" if one.back else "way"
        if one.hop.host != other.hop.host:
            style += " tunnel"
        x1, x2 = one.x + 14, other.x + 14
        y1, y2 = one.y + 27, other.y + 5
        bend = f"C {x1} {y1 + 34}, {x2} {y2 - 34}," if x1 != x2 else "L"
        yield f'<path class="{style}" d="M {x1} {y1} {bend} {x2} {y2}"/>'


def _row(spot: Spot) -> Iterator[str]:
    hop, x, y = spot.hop, spot.x, spot.y + 16
    colour = INK[hop.state]
    details = "\n".join((*hop.details, *((hop.seen.words,) if hop.seen else ())))
    yield f"<g><title>{escape(hop.says + chr(10) + details)}</title>"
    yield (
        f'<circle cx="{x + 14}" cy="{y}" r="10" fill="{PAPER[hop.state]}" stroke="{colour}" '
        'stroke-width="1.5"/>'
    )
    yield (
        f'<text x="{x + 14}" y="{y + 4}" text-anchor="middle" style="font-size:10px">'
        f"{_sign(spot)}</text>"
    )
    says = _cut(hop.says, LETTERS)
    loud = f' style="fill:{colour};font-weight:bold"' if hop.state != OK else ""
    yield f'<text x="{x + 32}" y="{y + 4}"{loud}>{escape(says)}</text>'
    proof = "" if hop.seen is None else "● seen" if hop.seen.packets else "○ not seen"
    under = " · ".join(each for each in (hop.kind, proof, *hop.details[:1]) if each)
    under = _cut(under, SMALL_LETTERS)
    yield f'<text class="small" x="{x + 32}" y="{y + 17}">{escape(under)}</text></g>'


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _sign(spot: Spot) -> str:
    return "✗" if spot.hop.state == BROKEN else str(spot.number)


def _verdict(trace: Trace, width: int) -> Iterator[tuple[str, str]]:
    state = trace.trouble.state if trace.trouble else OK
    yield trace.summary, INK[state]
    if trace.trouble is None:
        return
    for word, said in (
        ("where", trace.trouble.where),
        ("why", trace.trouble.why),
        ("should", trace.trouble.should),
        ("to do", trace.trouble.todo),
    ):
        if said:
            for line in textwrap.wrap(f"{word}: {said}", max(40, width // 8)):
                yield line, TEXT

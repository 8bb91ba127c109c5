"""Between hosts: which have tunnels to one another, and how they reach each other underneath."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.inspection import PeerSight
from skep.plan.layout import overlay_namespace
from skep.topology import graph as g
from skep.topology.graph import Drawn, Line
from skep.topology.sources import Sources

LOSSY, MANY = 0.15, 10
"""Share of lost probes, of so many at least, from which a path is doubtful: as for the doctor."""
ENOUGH = 3
"""Probes from which anything can be said."""
DEAF = 0.99
"""Share of lost probes from which nothing gets through."""


class Path(Drawn, frozen=True):
    """One host's word on its way to another: delay in milliseconds, shares of lost probes. ``mtu``
    is the size in bytes of the large probes, 0 if none was sent yet; ``large_loss`` is theirs."""

    source: str
    target: str
    state: str = g.OK
    note: str = ""
    delay: float = 0.0
    loss: float = 0.0
    probes: int = 0
    mtu: int = 0
    large_loss: float = 0.0


class Matrix(Drawn, frozen=True):
    """All pairs of ``hosts``, whose things' ids map to their names, in order."""

    hosts: dict[str, str] = msgspec.field(default_factory=dict)
    paths: tuple[Path, ...] = ()


def matrix(sources: Sources) -> Matrix:
    """Host to host."""
    order = sorted(sources.nodes, key=lambda node: node.description.hostname)
    known = {node.id for node in order}
    return Matrix(
        hosts={f"host:{node.id}": node.description.hostname for node in order},
        paths=tuple(
            _path(node.id, peer, sight)
            for node in order
            if node.id in sources.glimpses
            for peer, sight in sources.glimpses[node.id].peers.items()
            if peer in known
        ),
    )


def _path(node_id: str, peer: str, sight: PeerSight) -> Path:
    state, note = judged(sight)
    return Path(
        source=f"host:{node_id}",
        target=f"host:{peer}",
        state=state,
        note=note,
        delay=float(f"{sight.rtt * 1000:.3g}"),
        loss=round(sight.loss, 3),
        probes=sight.probes,
        mtu=sight.large_size if sight.large_probes else 0,
        large_loss=round(sight.large_loss, 3),
    )


def judged(sight: PeerSight) -> tuple[str, str]:
    """What probes say of a path, in a word and a phrase."""
    if sight.probes < ENOUGH:
        return g.UNKNOWN, "hardly probed yet"
    if sight.loss >= DEAF:
        return g.BROKEN, "no probe is answered"
    if sight.large_probes >= ENOUGH and sight.large_loss >= DEAF:
        if sight.path_mtu:
            return g.DOUBTFUL, f"only packets of up to {sight.path_mtu} bytes get through"
        return g.BROKEN, f"packets of {sight.large_size} bytes do not get through"
    if sight.probes >= MANY and sight.loss >= LOSSY:
        return g.DOUBTFUL, f"{sight.loss:.0%} of the probes are lost"
    return g.OK, ""


def tunnels(sources: Sources) -> Iterator[Line]:
    """Pairs of hosts of which one has forwarding entries to the other, by what kernels contain."""
    shared: dict[tuple[str, str], set[str]] = {}
    names = {each.id: each.spec.name for each in sources.networks}
    vteps = {node.vtep: node.id for node in sources.nodes if node.vtep}
    for node_id, glimpse in sources.glimpses.items():
        for network_id in glimpse.networks:
            space = glimpse.spaces.get(overlay_namespace(network_id))
            for vtep in space.remotes if space else ():
                other = vteps.get(vtep)
                if other is not None and other != node_id:
                    pair = (min(node_id, other), max(node_id, other))
                    shared.setdefault(pair, set()).add(names.get(network_id, network_id))
    for pair, networks in shared.items():
        yield _tunnel(sources, pair, networks)


def _tunnel(sources: Sources, pair: tuple[str, str], networks: set[str]) -> Line:
    state, note, delays = g.UNKNOWN, "", []
    for one, other in (pair, pair[::-1]):
        glimpse = sources.glimpses.get(one)
        sight = glimpse.peers.get(other) if glimpse else None
        if sight is None:
            continue
        if sight.rtt:
            delays.append(sight.rtt)
        found, why = judged(sight)
        if ORDER.index(found) > ORDER.index(state) or state == g.UNKNOWN:
            state, note = found, why
    delay = about(min(delays)) if delays else ""
    return Line(
        id=f"tunnel:{pair[0]}/{pair[1]}",
        kind=g.TUNNEL,
        source=f"host:{pair[0]}",
        target=f"host:{pair[1]}",
        state=state,
        note=note,
        count=len(networks),
        facts={"networks": ", ".join(sorted(networks)), **({"delay": delay} if delay else {})},
    )


def about(seconds: float) -> str:
    """A delay in steps of 1, 2, 5: one that wavers is no news."""
    milliseconds = seconds * 1000
    step = next((each for each in STEPS if milliseconds <= each), None)
    return f"under {step:g} ms" if step else f"over {STEPS[-1]:g} ms"


STEPS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""Milliseconds."""

ORDER = (g.OK, g.UNKNOWN, g.DOUBTFUL, g.BROKEN)
"""From good to bad."""

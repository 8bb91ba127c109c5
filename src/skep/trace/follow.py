"""Real traffic of a pair, laid over the ways that a walk found: who talks, and how far it gets.

Hosts tell what passed at their taps; nothing is sent. A conversation is known by its client's port
(of echoes, their id), which translation of addresses leaves as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from skep.model.inspection import End, Sighting, Sightings, Tap
from skep.plan.journey import Dropped, Translated
from skep.trace.frames import Pair
from skep.trace.report import Hop
from skep.trace.trace import Case, Turn

FORGOTTEN_AFTER = 60.0
"""Seconds of silence after which a conversation is over."""
MOST_TALKS = 500
OLD_ENOUGH = 0.5
"""Seconds after its first packet in which what is not seen yet may still come."""

Spot = tuple[str, Tap, bool]
"""A node's tap, and whether questions are meant, not answers."""


class Talked(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation as far as it got: its ends as its client sees them, packets so far both
    ways, to which backend, and (``lost``) where it ends, "" if nowhere."""

    source: str
    target: str
    there: int
    back: int
    backend: str = ""
    lost: str = ""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """What was going on in the last while: conversations in which something was said. ``at`` is in
    Unix seconds; ``notes`` are hosts that could not be watched, and why."""

    at: float
    talks: tuple[Talked, ...] = ()
    notes: tuple[str, ...] = ()


class _Way:
    """The tapped hops of one turn, there and back, and whom it leads to."""

    def __init__(self, case: Case, turn: Turn) -> None:
        there = [(hop, _spot(hop, asked=True)) for hop in case.there(turn) if hop.link]
        back = [(hop, _spot(hop, asked=False)) for hop in case.back(turn) if hop.link]
        self.hops = [*there, *back]
        self.there = [spot for _, spot in there]
        self.back = [spot for _, spot in back]
        end = turn.there.end
        self.address = end.flow.target
        self.backend = case.scene.holder(end.flow.target, end.at.host)


def _spot(hop: Hop, *, asked: bool) -> Spot:
    return hop.node, Tap(namespace=hop.namespace, link=hop.link), asked


class _Conversation:
    """One client port's packets so far, by spot."""

    def __init__(self, first: Sighting, now: float) -> None:
        self.begun = self.last = now
        self.counts: Counter[Spot] = Counter()
        self.source, self.target = _ends(first)
        self.addresses: set[str] = set()
        self.fresh = True


class Follower:
    """What is watched for one case, and what the watching amounts to."""

    def __init__(self, case: Case) -> None:
        turns = case.turns() if case.goal.address else []
        self._ways = [_Way(case, turn) for turn in turns]
        self._pair = Pair(case.goal.protocol, tuple(dict.fromkeys(_forms(turns))))
        self._names = {each.node_id: each.name for each in case.scene.hosts.values()}
        self._talks: dict[int, _Conversation] = {}
        taps: dict[str, dict[Tap, None]] = {}
        for way in self._ways:
            for hop, (node, tap, _) in way.hops:
                if hop.node:
                    taps.setdefault(node, {})[tap] = None
        self.taps = {node: tuple(each) for node, each in taps.items()}

    @property
    def ends(self) -> tuple[End, ...]:
        """The forms that packets of the pair take on the way."""
        return self._pair.ends

    def take(
        self, now: float, seen: Mapping[str, Sequence[Sightings]], silent: Mapping[str, str]
    ) -> Followed:
        """What hosts (by node id) saw since the last time; ``silent`` are those that do not."""
        deaf: set[tuple[str, Tap]] = set()
        for node, parts in seen.items():
            for part in parts:
                deaf |= {(node, tap) for tap, _ in part.deaf}
                for sighting in part.seen:
                    self._count(now, node, sighting)
        self._forget(now)
        # What has only just begun is told of the next time, when it is known how far it got.
        fresh = [
            each for each in self._talks.values() if each.fresh and now - each.begun >= OLD_ENOUGH
        ]
        for each in fresh:
            each.fresh = False
        told = [self._told(each, silent, deaf) for each in fresh]
        notes = [f"{self._names.get(node, node)}: {why}" for node, why in silent.items()]
        return Followed(at=now, talks=tuple(told), notes=tuple(notes))

    def _count(self, now: float, node: str, sighting: Sighting) -> None:
        asked = self._pair.asks(sighting)
        key = sighting.source_port if asked else sighting.target_port
        talk = self._talks.get(key)
        if talk is None:
            if len(self._talks) >= MOST_TALKS:
                return
            talk = self._talks[key] = _Conversation(sighting, now)
        talk.counts[node, sighting.tap, asked] += sighting.packets
        talk.last, talk.fresh = now, True
        talk.addresses |= {sighting.source, sighting.target}
        if asked and self._ways and (node, sighting.tap, True) == self._ways[0].there[0]:
            talk.source, talk.target = _ends(sighting)

    def _forget(self, now: float) -> None:
        self._talks = {
            key: each for key, each in self._talks.items() if now - each.last < FORGOTTEN_AFTER
        }

    def _told(
        self, talk: _Conversation, silent: Mapping[str, str], deaf: set[tuple[str, Tap]]
    ) -> Talked:
        way = max(self._ways, key=lambda each: _agreement(each, talk))
        listened = (
            (hop, spot) for hop, spot in way.hops if spot[0] not in silent and spot[:2] not in deaf
        )
        return Talked(
            source=talk.source,
            target=talk.target,
            there=max((talk.counts[spot] for spot in way.there), default=0),
            back=max((talk.counts[spot] for spot in way.back), default=0),
            backend=way.backend,
            lost=_lost(talk, listened),
        )


def _agreement(way: _Way, talk: _Conversation) -> tuple[bool, int]:
    """How well a conversation fits a way: by its backend, then by where it was seen."""
    return way.address in talk.addresses, sum(bool(talk.counts[spot]) for spot in way.there)


def _lost(talk: _Conversation, hops: Iterable[tuple[Hop, Spot]]) -> str:
    """Where a conversation's packets were never seen, though they were at the hop before; "" if
    nowhere."""
    before = None
    for hop, spot in hops:
        if talk.counts[spot]:
            before = hop
        elif before is not None:
            return (
                f"not seen at {hop.link} of {hop.owner} on {hop.host}, though at {before.link} of "
                f"{before.owner} on {before.host}"
            )
    return ""


def _ends(sighting: Sighting) -> tuple[str, str]:
    if sighting.protocol == "icmp":
        return sighting.source, sighting.target
    return (
        f"{sighting.source}:{sighting.source_port}",
        f"{sighting.target}:{sighting.target_port}",
    )


def _forms(turns: Iterable[Turn]) -> Iterator[End]:
    """The ends that packets have on their way, as each translation left them."""
    for turn in turns:
        flows = [turn.there.end.flow]
        for step in turn.there.hops:
            if isinstance(step, Translated):
                flows += [step.before, step.after]
        if isinstance(turn.there.end, Dropped) and not flows[0].source:
            continue
        for flow in flows:
            yield End(source=flow.source, target=flow.target, port=flow.target_port)

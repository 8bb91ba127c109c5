"""A real probe beside a walk: where to listen for it, and what hearing it proves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from skep.model.inspection import Listen, Probe, Sighting, Tap
from skep.trace.report import BROKEN, UNKNOWN, Hop, Live, Seen, Trace, Trouble
from skep.trace.survey import Evidence
from skep.trace.trace import Case, Turn

PROBE_WITHIN = 1.5
"""Seconds that an answer is waited for, and..."""
LISTEN_FOR = 2.0
"""...seconds that taps listen, beginning before the probe is sent."""

FIRST_TOKEN, TOKENS = 20_000, 10_000
"""Source ports and ICMP ids of probes: below those that kernels choose by themselves."""

CANNOT_SEND = "a probe cannot be sent from outside; trace from a host or a container of the cluster"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: who sends which probe, who listens where (by node id)."""

    node: str
    probe: Probe
    listening: dict[str, Listen]


def plan(case: Case, token: int) -> Plan | None:
    """How to probe what a case traces; None if nobody of the cluster can send it."""
    goal, start = case.goal, case.start
    if start.source or not goal.address:
        return None
    taps: defaultdict[str, dict[Tap, None]] = defaultdict(dict)
    for turn in case.turns():
        for hop in (*case.there(turn), *case.back(turn)):
            if hop.link and hop.node:
                taps[hop.node][Tap(namespace=hop.namespace, link=hop.link)] = None
    probe = Probe(
        namespace=start.place.namespace,
        protocol=goal.protocol,
        target=goal.address,
        port=goal.port,
        token=token,
        seconds=PROBE_WITHIN,
    )
    return Plan(
        node=case.scene.hosts[start.place.host].node_id,
        probe=probe,
        listening={
            node: Listen(taps=tuple(each), protocol=goal.protocol, token=token, seconds=LISTEN_FOR)
            for node, each in taps.items()
        },
    )


def prove(case: Case, token: int, evidence: Evidence) -> Trace:
    """The trace of the way that the probe really took, with what was seen of it at each hop."""
    ears = _Ears(token, evidence)
    turns = case.turns()
    taken = max(turns, key=lambda turn: _agreement(case, turn, ears))
    there = [ears.marked(hop, asked=True) for hop in case.there(taken)]
    back = [ears.marked(hop, asked=False) for hop in case.back(taken)]
    trace = case.told(turns, taken)
    lost = None if evidence.echo.answered else _lost(there, back)
    trouble = trace.trouble or _live_trouble(evidence, lost)
    summary = trace.summary if trouble is trace.trouble else "The probe was lost on the way."
    notes = list(_notes(evidence, trace))
    if evidence.echo.answered and trouble is not None and trouble.state == UNKNOWN:
        notes.append(f"not all of the way could be looked into: {trouble.why}")
        trouble, summary = None, "The probe was answered."
    live = Live(
        answered=evidence.echo.answered,
        words=evidence.echo.words,
        milliseconds=round(evidence.echo.seconds * 1000, 2),
        notes=tuple(notes),
    )
    return msgspec.structs.replace(
        trace,
        there=tuple(there),
        back=tuple(back),
        reached=trouble is None or (trace.reached and trouble.state != BROKEN),
        trouble=trouble,
        summary=summary,
        live=live,
    )


class _Ears:
    """What was heard, by tap."""

    def __init__(self, token: int, evidence: Evidence) -> None:
        self._token = token
        self._seen: defaultdict[tuple[str, Tap], list[Sighting]] = defaultdict(list)
        self._deaf = {
            (node, tap) for node, each in evidence.sightings.items() for tap, _ in each.deaf
        }
        self._listened = set(evidence.sightings)
        for node, each in evidence.sightings.items():
            for sighting in each.seen:
                self._seen[node, sighting.tap].append(sighting)

    def at(self, hop: Hop, *, asked: bool) -> list[Sighting]:
        """The packets of one direction at a hop: questions, or answers."""
        key = (hop.node, Tap(namespace=hop.namespace, link=hop.link))
        return [each for each in self._seen[key] if self._is_question(each) == asked]

    def _is_question(self, sighting: Sighting) -> bool:
        if sighting.protocol == "icmp":
            return sighting.note == "echo request"
        return sighting.source_port == self._token

    def marked(self, hop: Hop, *, asked: bool) -> Hop:
        """The hop with what was seen there; as it is if nobody could listen."""
        tap = Tap(namespace=hop.namespace, link=hop.link)
        if not hop.link or hop.node not in self._listened or (hop.node, tap) in self._deaf:
            return hop
        found = self.at(hop, asked=asked)
        words = _words(found[0]) if found else "not seen"
        return msgspec.structs.replace(hop, seen=Seen(packets=len(found), words=words))


def _words(sighting: Sighting) -> str:
    source, target = sighting.source, sighting.target
    if sighting.source_port or sighting.target_port:
        source = f"{source}:{sighting.source_port}"
        target = f"{target}:{sighting.target_port}"
    tunnelled = f" in VNI {sighting.vni}" if sighting.vni else ""
    note = f" {sighting.note}" if sighting.note else ""
    return f"{source} -> {target}{note}{tunnelled}"


def _agreement(case: Case, turn: Turn, ears: _Ears) -> int:
    """How many hops of a turn the probe was seen at."""
    return sum(bool(ears.at(hop, asked=True)) for hop in case.there(turn) if hop.link)


def _lost(there: list[Hop], back: list[Hop]) -> Hop | None:
    """The first hop that a probe did not come to, if it was seen anywhere before."""
    listened = [hop for hop in (*there, *back) if hop.seen is not None]
    begun = False
    for hop in listened:
        assert hop.seen is not None, "only hops with ears are looked at"
        if begun and not hop.seen.packets:
            return hop
        begun = begun or bool(hop.seen.packets)
    return None


def _live_trouble(evidence: Evidence, lost: Hop | None) -> Trouble | None:
    """What the probe showed and the walk did not."""
    if evidence.echo.answered:
        return None
    if lost is None:
        return Trouble(
            where="the probe's end",
            why=evidence.echo.words,
            should="an answer",
            todo="all hops were passed: look at the program that should answer",
            state=UNKNOWN if "need not answer" in evidence.echo.words else BROKEN,
        )
    return Trouble(
        where=f"{lost.namespace or 'host'} ({lost.owner}) on {lost.host}",
        why=f"the probe was not seen at {lost.link}, though it was at the hop before; "
        f"{evidence.echo.words}",
        should="seen there, by all that the kernels contain",
        todo="something that Skep cannot read drops it: other firewalls (iptables-legacy, tc, "
        "eBPF), a link without carrier, the network between the hosts",
    )


def _notes(evidence: Evidence, trace: Trace) -> Iterable[str]:
    for node, why in evidence.unheard.items():
        yield f"node {node} did not listen: {why}"
    if evidence.echo.answered and trace.trouble is not None and trace.trouble.state == BROKEN:
        yield "the probe was answered although the walk ends: it may have been repaired meanwhile"


def unsent(trace: Trace, why: str) -> Trace:
    """The trace, with a word on why no probe was sent."""
    return msgspec.structs.replace(trace, live=Live(answered=False, words=why))

"""A real probe beside a walk: where to listen for it, and what hearing it proves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from skep.model.inspection import Listen, Probe, Sighting, Sightings, Tap
from skep.trace.blame import blame
from skep.trace.report import BROKEN, DOUBTFUL, UNKNOWN, Hop, Live, Seen, Trace
from skep.trace.survey import Evidence
from skep.trace.trace import Case, Turn

PROBE_WITHIN = 1.5
"""Seconds that an answer is waited for, and..."""
LISTEN_FOR = 6.0
"""...seconds that taps listen at most: until the last of them listens, too, and the probe's end."""

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
    spaces: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for hop in hops_of(case):
        spaces[hop.node][hop.namespace] = None
        if hop.link:
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
            node: Listen(
                taps=tuple(taps[node]),
                traced=tuple(each),
                tunnel=case.scene.hosts[start.place.host].view.data_path_port,
                protocol=goal.protocol,
                token=token,
                seconds=LISTEN_FOR,
            )
            for node, each in spaces.items()
        },
    )


def hops_of(case: Case) -> Iterator[Hop]:
    """The hops of all ways there and back, on hosts that can be asked."""
    for turn in case.turns():
        for hop in (*case.there(turn), *case.back(turn)):
            if hop.node:
                yield hop


def prove(case: Case, token: int, evidence: Evidence) -> Trace:
    """The trace of the way that the probe really took, with what was seen of it at each hop."""
    ears = _Ears(token, evidence)
    turns = case.turns()
    taken = max(turns, key=lambda turn: _agreement(case, turn, ears))
    there = [ears.marked(hop, asked=True) for hop in case.there(taken)]
    back = [ears.marked(hop, asked=False) for hop in case.back(taken)]
    trace = case.told(turns, taken)
    trouble = trace.trouble
    warnings = list(trace.warnings)
    if not evidence.echo.answered and (trouble is None or trouble.state != BROKEN):
        found = blame(case, evidence, (*there, *back), trouble)
        if trouble is not None and trouble.state == DOUBTFUL:
            warnings.insert(0, trouble)
        trouble = found or trouble
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
        warnings=tuple(warnings),
        summary=summary,
        live=live,
    )


class _Ears:
    """What was heard, by tap and by rule."""

    def __init__(self, token: int, evidence: Evidence) -> None:
        self._token = token
        self._evidence = evidence
        self._seen: defaultdict[tuple[str, Tap], list[Sighting]] = defaultdict(list)
        self._deaf = {
            (node, tap) for node, each in evidence.sightings.items() for tap, _ in each.deaf
        }
        for node, each in evidence.sightings.items():
            for sighting in each.seen:
                self._seen[node, sighting.tap].append(sighting)

    def at(self, hop: Hop, *, asked: bool) -> list[Sighting]:
        """The packets of one direction at a hop: questions, or answers. A link of the underlay may
        carry them both by themselves and in a tunnel."""
        key = (hop.node, Tap(namespace=hop.namespace, link=hop.link))
        tunnelled = hop.kind == "underlay"
        return [
            each
            for each in self._seen[key]
            if self._is_question(each) == asked and bool(each.vni) == tunnelled
        ]

    def _is_question(self, sighting: Sighting) -> bool:
        if sighting.protocol == "icmp":
            return sighting.note == "echo request"
        return sighting.source_port == self._token

    def marked(self, hop: Hop, *, asked: bool) -> Hop:
        """The hop with what was seen there; as it is if nobody could look."""
        heard = self._evidence.sightings.get(hop.node)
        if heard is None:
            return hop
        seen = self._captured(hop, heard, asked) if hop.link else self._met(hop, heard, asked)
        return hop if seen is None else msgspec.structs.replace(hop, seen=seen)

    def _captured(self, hop: Hop, heard: Sightings, asked: bool) -> Seen | None:
        tap = Tap(namespace=hop.namespace, link=hop.link)
        if (hop.node, tap) in self._deaf:
            return None
        found = self.at(hop, asked=asked)
        words = _words(found[0]) if found else "not seen"
        grown = [c for c in heard.counts if (c.namespace, c.link) == (hop.namespace, hop.link)]
        counted = grown[0].received + grown[0].sent if grown else -1
        return Seen(packets=len(found), words=words, counted=counted)

    def _met(self, hop: Hop, heard: Sightings, asked: bool) -> Seen | None:
        """Whether a packet was judged by the hop's rule, as the kernel itself tells."""
        handle, watched = hop.facts.get("handle"), hop.namespace in heard.watched
        if handle is None or not watched or hop.kind == "unread":
            return None
        place = (hop.namespace, hop.facts["table"], hop.facts["chain"], handle, asked)
        found = [
            each
            for each in heard.rules
            if (each.namespace, f"{each.family} {each.table}", each.chain, each.handle, each.asked)
            == place
        ]
        words = f"judged by rule handle {handle}: {found[0].verdict}" if found else "not met"
        return Seen(packets=len(found), words=words, by="nft trace")


def _words(sighting: Sighting) -> str:
    source, target = sighting.source, sighting.target
    if sighting.protocol != "icmp":
        source = f"{source}:{sighting.source_port}"
        target = f"{target}:{sighting.target_port}"
    tunnelled = f" in VNI {sighting.vni}" if sighting.vni else ""
    note = f" {sighting.note}" if sighting.note else ""
    return f"{source} -> {target}{note}{tunnelled}"


def _agreement(case: Case, turn: Turn, ears: _Ears) -> int:
    """How many hops of a turn the probe was seen at."""
    return sum(bool(ears.at(hop, asked=True)) for hop in case.there(turn) if hop.link)


def _notes(evidence: Evidence, trace: Trace) -> Iterable[str]:
    for node, why in evidence.unheard.items():
        yield f"node {node} did not listen: {why}"
    for node, heard in evidence.sightings.items():
        for name, why in heard.untraced[:1]:
            yield f"node {node}, {name or 'the host'}: {why}"
    if evidence.echo.answered and trace.trouble is not None and trace.trouble.state == BROKEN:
        yield "the probe was answered although the walk ends: it may have been repaired meanwhile"


def unsent(trace: Trace, why: str) -> Trace:
    """The trace, with a word on why no probe was sent."""
    return msgspec.structs.replace(trace, live=Live(answered=False, words=why))

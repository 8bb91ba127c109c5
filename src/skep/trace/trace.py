"""A trace: from FROM and TO, over what the hosts of a survey contain, to hops and a verdict."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.model.inspection import AskNames
from skep.model.naming import RESOLVER
from skep.model.netstate import HOST
from skep.plan.journey import (
    Delivered,
    Departed,
    Dropped,
    Flow,
    Journey,
    Marked,
    Packet,
    Place,
    Translated,
    Tunnelled,
)
from skep.plan.walk import answer, walk
from skep.trace import goal as goals
from skep.trace.arrival import judge_arrival, way_out
from skep.trace.asked import parse_source, parse_target
from skep.trace.between import judge_between, judge_sizes
from skep.trace.drift import differences, place
from skep.trace.ends import Start, find_start
from skep.trace.goal import Goal, find_goal
from skep.trace.path import Told, tell
from skep.trace.report import BROKEN, DOUBTFUL, UNKNOWN, Hop, Trace, Trouble
from skep.trace.ruling import backends_of
from skep.trace.scene import Scene
from skep.trace.survey import Survey
from skep.trace.verdict import Judged, judge_journey

CLIENT_PORT = 40000
"""The source port of the packet that is imagined."""

MOST_TURNS = 64
"""Backends that are tried one by one."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a packet at one standing of the round-robin counters."""

    there: Journey
    back: Journey | None = None
    wrong: Judged | None = None
    wrong_back: Judged | None = None
    warnings: tuple[Judged, ...] = ()

    @property
    def worst(self) -> int:
        """2 if it is broken, 1 if it works for some packets only, 0 if nothing is wrong."""
        found = [each.trouble.state for each in (self.wrong, self.wrong_back) if each]
        if any(state != DOUBTFUL for state in found):
            return 2
        return 1 if found or self.warnings else 0


def question(survey: Survey, source: str, target: str) -> tuple[str, AskNames] | None:
    """What must be asked of skep-dns, and on which node, before `trace`. Raises refusals."""
    scene = Scene(survey)
    wanted = parse_target(target)
    start = find_start(scene, parse_source(source), wanted)
    return goals.question(scene, start, wanted)


def trace(survey: Survey, source: str, target: str) -> Trace:
    """The path of a packet, its answer's, and what is wrong. Raises refusals."""
    return Case(survey, source, target).trace()


class Case:
    """One pair of ends over one survey."""

    def __init__(self, survey: Survey, source: str, target: str) -> None:
        self.scene = Scene(survey)
        wanted = parse_target(target)
        self.start: Start = find_start(self.scene, parse_source(source), wanted)
        self.goal: Goal = find_goal(self.scene, self.start, wanted)
        self._turns: list[Turn] = []

    def trace(self) -> Trace:
        """All that is to be said."""
        if not self.goal.address:
            assert self.goal.trouble is not None, "without an address there is a reason"
            return self._unaddressed(self._way_to_resolver() or self.goal.trouble)
        turns = self.turns()
        return self.told(turns, max(turns, key=_interest))

    # --- walking

    def packet(self) -> Packet:
        """What is sent."""
        goal = self.goal
        port = CLIENT_PORT if goal.port else 0
        six = goal.protocol == "icmp" and ":" in goal.address
        protocol = "icmpv6" if six else goal.protocol
        return Packet(Flow(protocol, self.start.source, goal.address, port, goal.port))

    def turns(self) -> list[Turn]:
        """What becomes of it at every turn of the balancing that it meets."""
        if not self._turns:
            first = self.turn(0)
            others = (self.turn(slot) for slot in range(1, self._count(first.there)))
            self._turns = [first, *others]
        return self._turns

    def _count(self, journey: Journey) -> int:
        counts = [1]
        for step in journey.hops:
            if isinstance(step, Translated):
                host = self.scene.hosts.get(step.at.host)
                counts.append(len(backends_of(host, step, _mark_before(journey, step))[0]))
        return min(max(counts), MOST_TURNS)

    def turn(self, slot: int) -> Turn:
        """Walk there and back, over what is and what should be."""
        scene, packet = self.scene, self.packet()
        observed = walk(scene.world, self.start.place, packet, slot)
        planned = walk(scene.planned, self.start.place, packet, slot)
        troubles = list(self._wrong(observed, planned))
        wrong = _first_broken(troubles)
        warnings = tuple(each for each in troubles if each.trouble.state == DOUBTFUL)
        if wrong is not None or isinstance(observed.end, Dropped):
            return Turn(there=observed, wrong=wrong, warnings=warnings)
        back = answer(scene.world, observed)
        planned_back = back if isinstance(planned.end, Dropped) else answer(scene.planned, planned)
        wrong_back, more = self._wrong_back(back, planned_back)
        return Turn(there=observed, back=back, wrong_back=wrong_back, warnings=(*warnings, *more))

    def _wrong(self, observed: Journey, planned: Journey) -> Iterator[Judged]:
        judged = judge_journey(self.scene, observed, planned)
        if judged is None:
            judged = judge_arrival(self.scene, observed)
        if judged is not None:
            yield judged
        yield from judge_between(self.scene, observed)
        yield from judge_sizes(self.scene, observed)

    def _wrong_back(
        self, back: Journey, planned: Journey
    ) -> tuple[Judged | None, tuple[Judged, ...]]:
        judged = judge_journey(self.scene, back, planned) or self._astray(back)
        troubles = [judged] if judged else []
        troubles += [*judge_between(self.scene, back), *judge_sizes(self.scene, back)]
        warnings = tuple(each for each in troubles if each.trouble.state == DOUBTFUL)
        return _first_broken(troubles), warnings

    def _astray(self, back: Journey) -> Judged | None:
        """An answer that ends elsewhere than where the question came from."""
        end, start = back.end, self.start.place
        if self.start.source:
            home = isinstance(end, Departed) and end.at.host == start.host
        else:
            here = (end.at.host, end.at.namespace) == (start.host, start.namespace)
            home = isinstance(end, Delivered) and here
        if home:
            return way_out(self.scene, back, end) if isinstance(end, Departed) else None
        host = self.scene.hosts[end.at.host]
        trouble = Trouble(
            where=place(host, end.at.namespace),
            why=f"the answer ends here, from {end.flow.source} to {end.flow.target}",
            should=f"back at {self.start.label}",
            todo="look at the hops of the way back: the last translation or route is not the one "
            "that undoes the way there",
        )
        return Judged(step=len(back.hops), at=end.at, trouble=trouble)

    # --- telling

    def _name_hop(self) -> list[Hop]:
        answered = self.goal.answer
        if answered is None:
            return []
        where = self.start.place
        found = ", ".join(answered.answered) or answered.code or "no answer"
        holders = {a: self.scene.holder(a, where.host) for a in answered.answered}
        said = answered.error or f"{answered.seconds * 1000:.1f} ms"
        details = [f"skep-dns at 127.0.0.11 in this sandbox, {said}"]
        details += [f"{address}: {who}" for address, who in holders.items() if who]
        hop = Hop(
            host=self.scene.name(where.host),
            node=self.scene.hosts[where.host].node_id,
            namespace=where.namespace,
            owner=self.scene.hosts[where.host].owner(where.namespace),
            kind="name",
            says=f"{answered.name} is {found}",
            details=tuple(details),
            facts={"name": answered.name, "addresses": found, "by": "skep-dns"},
            state=BROKEN if self.goal.trouble else "ok",
        )
        return [hop]

    def _way_to_resolver(self) -> Trouble | None:
        """Why the question itself did not come to skep-dns, if the kernel is to blame."""
        if self.goal.answer is None or not self.goal.answer.error:
            return None
        packet = Packet(Flow("udp", "", RESOLVER, CLIENT_PORT, 53))
        scene, start = self.scene, self.start.place
        observed, planned = (walk(each, start, packet) for each in (scene.world, scene.planned))
        judged = judge_journey(scene, observed, planned)
        return judged.trouble if judged else None

    def _unaddressed(self, trouble: Trouble) -> Trace:
        return Trace(
            source=self.start.label,
            target=self.goal.label,
            protocol=self.goal.protocol,
            port=self.goal.port,
            there=tuple(self._name_hop()),
            summary="It ends before the first packet.",
            trouble=trouble,
        )

    def there(self, turn: Turn) -> list[Hop]:
        """The hops of the way there, the name's first."""
        hops = self._hops(turn.there, turn.wrong, turn.warnings)
        if isinstance(turn.there.end, Delivered) and hops[-1].kind == "deliver":
            hops[-1] = self._with_listeners(hops[-1], turn.there.end)
        return [*self._name_hop(), *hops]

    def back(self, turn: Turn) -> list[Hop]:
        """The hops of the answer's way."""
        return [] if turn.back is None else self._hops(turn.back, turn.wrong_back, ())

    def _with_listeners(self, hop: Hop, end: Delivered) -> Hop:
        if not end.flow.target_port:
            return hop
        host = self.scene.hosts[end.at.host]
        waiting = host.listeners(end.at.namespace, end.flow.protocol, end.flow.target_port)
        heard = ", ".join(sorted({f"{each.address}:{each.port}" for each in waiting}))
        details = (*hop.details, f"listening: {heard or 'nobody'}")
        return msgspec.structs.replace(hop, details=details)

    def told(self, turns: list[Turn], shown: Turn) -> Trace:
        """The trace of one of several turns."""
        wrong = shown.wrong or shown.wrong_back
        first = self.goal.trouble or (wrong.trouble if wrong else None)
        warnings = [each.trouble for each in shown.warnings]
        trouble = first or next(iter(warnings), None)
        others = dict.fromkeys(each for each in warnings if each != trouble)
        return Trace(
            source=self.start.label,
            target=self._target_words(),
            protocol=self.goal.protocol,
            port=self.goal.port,
            there=tuple(self.there(shown)),
            back=tuple(self.back(shown)),
            reached=first is None,
            summary=self._summary(turns, shown, trouble),
            trouble=trouble,
            warnings=tuple(others),
            notes=tuple(self._notes(shown, trouble)),
        )

    def _target_words(self) -> str:
        goal = self.goal
        return goal.label if goal.label in ("", goal.address) else f"{goal.label} ({goal.address})"

    def _hops(
        self, journey: Journey, wrong: Judged | None, warnings: tuple[Judged, ...]
    ) -> list[Hop]:
        told = tell(self.scene, journey)
        if wrong is None:
            return [self._marked(each, warnings) for each in told]
        # What a tunnel's step tells ends where its trouble is: on this side or on the underlay.
        before = [each for each in told if each.step < wrong.step]
        same = [each for each in told if each.step == wrong.step]
        at = [n for n, each in enumerate(same) if self._is_about(wrong, each.hop)]
        if wrong.at.namespace == HOST and at:
            before += same[: at[0]]
        hops = [self._marked(each, warnings) for each in before]
        return [*hops, self._broken(wrong)]

    def _marked(self, told: Told, warnings: tuple[Judged, ...]) -> Hop:
        """A hop, doubtful if a warning is about it."""
        for each in warnings:
            if each.step == told.step and self._is_about(each, told.hop):
                details = (*told.hop.details, each.trouble.why)
                return msgspec.structs.replace(told.hop, state=each.trouble.state, details=details)
        return told.hop

    def _is_about(self, judged: Judged, hop: Hop) -> bool:
        if hop.host != self.scene.name(judged.at.host):
            return False
        if judged.at.namespace == HOST:
            return hop.kind == "underlay"
        return hop.namespace == judged.at.namespace

    def _broken(self, wrong: Judged) -> Hop:
        host = self.scene.hosts.get(wrong.at.host)
        trouble = wrong.trouble
        return Hop(
            host=self.scene.name(wrong.at.host),
            node=host.node_id if host else "",
            namespace=wrong.at.namespace,
            owner=host.owner(wrong.at.namespace) if host else wrong.at.namespace,
            kind="lost",
            says=trouble.why,
            link=wrong.at.link if trouble.state == BROKEN else "",
            state=trouble.state,
        )

    def _summary(self, turns: list[Turn], shown: Turn, trouble: Trouble | None) -> str:
        bad = [each for each in turns if each.worst == max(1, shown.worst)]
        every = len(turns)
        if trouble is None:
            return f"All {every} backends are reached." if every > 1 else "It gets there and back."
        way = "on the way back" if shown.wrong is None and shown.wrong_back else "on the way"
        words = {
            BROKEN: f"It is lost {way}",
            DOUBTFUL: "It gets there, but not always",
            UNKNOWN: "It cannot be followed to its end",
        }
        said = words[trouble.state]
        return f"{said}: {len(bad)} of {every} backends." if every > 1 else f"{said}."

    def _notes(self, shown: Turn, trouble: Trouble | None) -> Iterator[str]:
        """What else is not as planned in the namespaces that the packet passes."""
        seen: dict[Place, None] = {}
        for journey in (shown.there, shown.back):
            for step in journey.hops if journey else ():
                seen.setdefault(Place(step.at.host, step.at.namespace))
        for at in seen:
            host = self.scene.hosts.get(at.host)
            if host is None:
                continue
            for each in differences(host, [op for op in host.ops if op.ns == at.namespace]):
                if trouble is None or not trouble.why.startswith(f"{each.what} {each.state}"):
                    yield f"in {place(host, at.namespace)}, {each.sentence}"


def _interest(turn: Turn) -> tuple[int, bool]:
    """What is wrong is shown rather than what is not, then what crosses hosts."""
    return turn.worst, any(isinstance(step, Tunnelled) for step in turn.there.hops)


def _first_broken(troubles: list[Judged]) -> Judged | None:
    """The first along the way of those that lose every packet, or hide what becomes of it."""
    final = [each for each in troubles if each.trouble.state != DOUBTFUL]
    return min(final, key=lambda each: each.step, default=None)


def _mark_before(journey: Journey, until: Translated) -> int:
    """The packet's mark when it met a translation."""
    mark = journey.packet.mark
    for step in journey.hops:
        if step is until:
            break
        if isinstance(step, Marked) and step.target == "meta":
            mark = step.mark
    return mark

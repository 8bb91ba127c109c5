"""Why a packet does not get where it should: the first step that is wrong, what it should be, and
what to do.

A journey over what hosts contain is laid beside the journey over what they should contain. Where
they part, something is not as planned, and the operations that would repair that place say what.
Where they do not, the plan itself ends there: no task is ready, a name is not on that network,
somebody else's rule says no (`losses`).
"""

from __future__ import annotations

import msgspec

from skep.model import ops
from skep.model.netstate import HOST, MAIN_TABLE
from skep.model.ops import Op
from skep.plan.journey import (
    Crossed,
    Dropped,
    End,
    Journey,
    Marked,
    Place,
    Plugged,
    Routed,
    Step,
    Switched,
    Translated,
    Tunnelled,
    Unread,
)
from skep.trace.drift import differences, place, repair_promise
from skep.trace.losses import explain
from skep.trace.report import Trouble
from skep.trace.scene import Host, Scene


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a journey: the step at which (as many as there are: at its end), where."""

    step: int
    at: Place
    trouble: Trouble


def part(observed: Journey, planned: Journey) -> int | None:
    """The step at which the two journeys part; None if they are the same to their end."""
    one = [_essence(each) for each in observed.hops if not isinstance(each, Unread)]
    other = [_essence(each) for each in planned.hops if not isinstance(each, Unread)]
    for number in range(max(len(one), len(other))):
        if one[number : number + 1] != other[number : number + 1]:
            return number
    return None if _ended(observed) == _ended(planned) else len(one)


def _essence(step: Step) -> tuple[object, ...]:
    """What of a step is the same whichever table and index it was found at."""
    match step:
        case Marked(at=at, target=target, mark=mark):
            return Marked, at.host, at.namespace, target, mark
        case Translated(at=at, before=before, after=after):
            return Translated, at.host, at.namespace, before, after
        case _:
            return (step,)


def _ended(journey: Journey) -> tuple[object, ...]:
    return type(journey.end), journey.end.at, journey.end.flow


def judge_journey(scene: Scene, observed: Journey, planned: Journey) -> Judged | None:
    """What went otherwise than planned, or was planned to fail; None if it ends well."""
    parting = part(observed, planned)
    if parting is not None and not isinstance(planned.end, Dropped):
        drifted = _drifted(scene, observed, planned, parting)
        if drifted is not None:
            return drifted
    if isinstance(observed.end, Dropped):
        return Judged(
            step=len(observed.hops),
            at=observed.end.at,
            trouble=explain(scene, observed, observed.end),
        )
    return None


# --- drift


def _drifted(scene: Scene, observed: Journey, planned: Journey, parting: int) -> Judged | None:
    """What is not as planned at the parting, if the hosts' repairs tell it."""
    steps = [each for each in planned.hops if not isinstance(each, Unread)]
    expected = steps[parting] if parting < len(steps) else None
    spots = [*(spot for each in steps[parting : parting + 2] for spot in _spots(each))]
    spots.append(observed.end.at)
    kinds = _kinds(expected, observed.end)
    for spot in spots:
        host = scene.hosts.get(spot.host)
        todo = _fitting(host, spot, kinds, _words(expected)) if host else []
        if host is not None and todo:
            number = _real_number(observed, parting)
            return Judged(step=number, at=spot, trouble=_drift_trouble(host, spot, todo))
    return None


def _real_number(journey: Journey, parting: int) -> int:
    """The number among all steps of the one that is ``parting`` among those that can be judged."""
    known = [n for n, each in enumerate(journey.hops) if not isinstance(each, Unread)]
    return known[parting] if parting < len(known) else len(journey.hops)


def _spots(expected: Step | None) -> list[Place]:
    """The namespaces that a step takes place in."""
    match expected:
        case None:
            return []
        case Crossed(at=at, to=to):
            return [at, to]
        case Tunnelled(at=at, host=host):
            # An overlay's namespace has the same name on every host.
            return [at, Place(host, at.namespace), Place(host, HOST)]
        case _:
            return [expected.at]


_TABLES = (ops.ReplaceTable, ops.SetElements, ops.AddChain, ops.DelChain)
_LINKS = (ops.AddLink, ops.SetLink, ops.AddNamespace, ops.DelLink, ops.ReturnLink)
_ENTRIES = (ops.SetNeighbour, ops.SetFdb, ops.DelFdb, ops.DelNeighbour)
_WAYS = (ops.AddRoute, ops.DelRoute, ops.AddRule, ops.AddAddress, ops.DelAddress, ops.SetSysctl)


def _kinds(expected: Step | None, end: End) -> tuple[type[Op], ...]:
    """The operations that would bring a step about, the likeliest first."""
    if isinstance(end, Dropped) and end.why.startswith(_NO_WAY):
        return (*_WAYS, *_LINKS)
    match expected:
        case Marked() | Translated():
            return (*_TABLES, ops.AddRule, ops.AddAddress)
        case Routed():
            return (*_WAYS, *_LINKS, *_TABLES)
        case Tunnelled():
            return (*_LINKS, *_ENTRIES, *_TABLES)
        case Plugged() | Switched() | Crossed():
            return (*_LINKS, *_ENTRIES, ops.AddAddress, *_TABLES)
        case _:
            return (*_TABLES, *_LINKS, *_WAYS)


_NO_WAY = ("no route", "it would have to be forwarded", "net.ipv4.conf.")


def _fitting(host: Host, spot: Place, kinds: tuple[type[Op], ...], words: set[str]) -> list[Op]:
    """The repairs of a place that would bring a step about: those that concern its very links,
    addresses or entries first, and of one kind only. Entries for others are not to blame."""
    ranked: dict[tuple[bool, int], list[Op]] = {}
    for op in host.ops:
        kind = next((n for n, each in enumerate(kinds) if isinstance(op, each)), None)
        if op.ns != spot.namespace or kind is None:
            continue
        if isinstance(op, ops.SetLink) and not _stops_frames(host, op):
            kind = len(kinds)
        concerned = _concerns(op, words)
        if concerned or not isinstance(op, _ENTRIES):
            ranked.setdefault((not concerned, kind), []).append(op)
    return ranked[min(ranked)] if ranked else []


def _concerns(op: Op, words: set[str]) -> bool:
    """Whether a repair is about one of these; an entry is about its own ends, not about its link,
    on which all others are too."""
    match op:
        case ops.SetNeighbour(neighbour=n) | ops.DelNeighbour(neighbour=n):
            return bool({f"'{n.address}'", f"'{n.mac}'"} & words)
        case ops.SetFdb(fdb=f) | ops.DelFdb(fdb=f):
            return f"'{f.mac}'" in words
        case _:
            return any(word in str(op) for word in words)


def _stops_frames(host: Host, op: ops.SetLink) -> bool:
    """Whether a link that is not as planned lets nothing through; entries on it may then be gone
    because of that alone."""
    have = host.link(op.ns, op.link.name)
    return have is None or (have.up, have.master) != (op.link.up, op.link.master)


def _words(expected: Step | None) -> set[str]:
    """What the repair of a step would mention."""
    match expected:
        case Tunnelled(next_hop=address, mac=mac, link=link):
            return {f"'{each}'" for each in (address, mac, link)}
        case Routed(link=link, via=via, table=table):
            named = {f"'{each}'" for each in (link, via) if each}
            return named if table == MAIN_TABLE else {str(table)}
        case Plugged(at=at) | Crossed(at=at):
            return {f"'{at.link}'"}
        case Switched(port=port):
            return {f"'{port}'"}
        case Translated(before=before):
            return {f"'{before.target}'"}
        case Marked(mark=mark):
            return {str(mark)}
        case _:
            return set()


def _drift_trouble(host: Host, at: Place, todo: list[Op]) -> Trouble:
    found = differences(host, todo)
    first = found[0]
    more = f" (and {len(found) - 1} more of the kind)" if len(found) > 1 else ""
    return Trouble(
        where=place(host, at.namespace),
        why=f"{first.what} {first.state}{more}",
        should=first.should,
        todo=repair_words(host, todo[0]),
    )


def repair_words(host: Host, op: Op) -> str:
    """Who will repair it, and when; or why skepd does not."""
    for refused in host.inspection.failures:
        if refused.namespace == op.ns and not host.inspection.held_until:
            return (
                f"skepd on {host.name} tried and the kernel refused: {refused.what}: {refused.why}"
            )
    return repair_promise(host)

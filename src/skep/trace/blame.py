"""Why a probe was lost, when the walk over what can be read would have brought it through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skep.model.inspection import LinkCount, RuleHit
from skep.model.netstate import HOST
from skep.trace.drift import place
from skep.trace.report import BROKEN, UNKNOWN, Hop, Trouble
from skep.trace.survey import Evidence
from skep.trace.trace import Case

UNREADABLE = (
    "something that Skep cannot read drops it: other firewalls (iptables-legacy, nft's netdev "
    "family, tc, eBPF), a link without carrier, the network between the hosts"
)


def blame(
    case: Case, evidence: Evidence, hops: Sequence[Hop], known: Trouble | None
) -> Trouble | None:
    """What the probe showed and the walk did not; ``known`` is why the walk could not go on. None
    if that says more."""
    dropped = _dropped(case, evidence, hops)
    if dropped is not None:
        return dropped
    before, lost = _first_missed(hops)
    if lost is not None:
        return _missed(case, evidence, before, lost)
    if known is not None and known.state == UNKNOWN:
        return _silence(evidence, before, known)
    optional = "need not answer" in evidence.echo.words
    return Trouble(
        where="the probe's end",
        why=evidence.echo.words,
        should="an answer",
        todo="all hops were passed: look at the program that should answer",
        state=UNKNOWN if optional else BROKEN,
    )


def _dropped(case: Case, evidence: Evidence, hops: Iterable[Hop]) -> Trouble | None:
    """The rule that dropped a packet of the probe's, in the order of the way."""
    for hop in hops:
        heard = evidence.sightings.get(hop.node)
        hits = [
            each
            for each in (heard.rules if heard else ())
            if each.namespace == hop.namespace and each.verdict == "drop"
        ]
        if hits:
            return _by_rule(case, hop, hits[0])
    return None


def _by_rule(case: Case, hop: Hop, hit: RuleHit) -> Trouble:
    host = case.scene.by_node(hop.node)
    rule = f"handle {hit.handle}" if hit.handle else "its policy"
    enter = "" if hop.namespace == HOST else f"nsenter --net=/run/netns/{hop.namespace} "
    chain = f"{hit.family} {hit.table} {hit.chain}"
    remedy = f"; to remove it: {enter}nft delete rule {chain} {rule}" if hit.handle else ""
    return Trouble(
        where=place(host, hop.namespace) if host else hop.host,
        why=f"the probe was dropped by nft table {hit.family} {hit.table}, chain {hit.chain}, "
        f"{rule}, as the kernel's own trace shows",
        should="let through",
        todo=f"on {hop.host}: {enter}nft -a list chain {chain}{remedy}",
    )


def _first_missed(hops: Iterable[Hop]) -> tuple[Hop | None, Hop | None]:
    """The last link that a probe was seen at, and the first after it that it did not come to."""
    before = None
    for hop in hops:
        if hop.seen is None or not hop.link:
            continue
        if before is not None and not hop.seen.packets:
            return before, hop
        if hop.seen.packets:
            before = hop
    return before, None


def _missed(case: Case, evidence: Evidence, before: Hop | None, lost: Hop) -> Trouble:
    assert before is not None, "it is missed after it was seen"
    thrown = _thrown(case, evidence, (before, lost))
    if before.host != lost.host and lost.kind == "underlay":
        where = f"between {before.host} and {lost.host}"
    else:
        where = f"{lost.namespace or 'host'} ({lost.owner}) on {lost.host}"
    return Trouble(
        where=where,
        why=f"the probe was not seen at {lost.link}, though it was at {before.link} on "
        f"{before.host} before; {evidence.echo.words}{thrown}",
        should="seen there, by all that the kernels contain",
        todo=UNREADABLE,
    )


def _thrown(case: Case, evidence: Evidence, hops: Iterable[Hop]) -> str:
    """Links next to the loss whose own counters say that they threw packets away."""
    words = []
    for hop in hops:
        heard = evidence.sightings.get(hop.node)
        for count in heard.counts if heard else ():
            here = (count.namespace, count.link) == (hop.namespace, hop.link)
            if here and count.dropped + count.failed:
                words.append(_count_words(case, hop, count))
    return "".join(f"; {each}" for each in dict.fromkeys(words))


def _count_words(case: Case, hop: Hop, count: LinkCount) -> str:
    host = case.scene.by_node(hop.node)
    where = place(host, hop.namespace) if host else hop.host
    return f"{count.link} in {where} dropped {count.dropped + count.failed} packets meanwhile"


def _silence(evidence: Evidence, before: Hop | None, known: Trouble) -> Trouble | None:
    """A host that says nothing, and a probe that is not answered: it left, as far as was seen."""
    if before is None or before.kind != "underlay":
        return None
    there = known.where.removeprefix("host ")
    return Trouble(
        where=f"between {before.host} and {there}",
        why=f"the probe left {before.host} by {before.link}, and nothing came back "
        f"({evidence.echo.words}); {known.why}",
        should="an answer",
        todo=f"on {before.host}: ping {before.facts.get('remote', there)}; if that answers, "
        f"see whether skepd runs on {there}",
    )

"""The other way to balance: IPVS, where a host was told to use it (`skepd --balancer ipvs`).

Rules only mark; every packet, since IPVS may forget a connection earlier or later than connection
tracking does. A service is known to IPVS by its mark, as in Docker, and its members are reached by
translation; nothing touches the client's address, so answers come back as `skep.plan.returning`
brings them, and IPVS undoes the translation where it made it.

A member that gets nothing new has the weight 0: its connections go on until it is gone. The kernel
has no random scheduler, so what is to be random is still drawn by nftables.
"""

from __future__ import annotations

from collections.abc import Iterable

from skep.model.host import HostView
from skep.model.netstate import Destination, Timeouts, VirtualService
from skep.model.nft import Ct, Dnat, Rule, Statement, Verdict
from skep.plan.backends import Balanced
from skep.plan.family import Family
from skep.plan.grammar import MARK, NEW, PORT, PORTED, PROTOCOL, is_, lookup, rule

TIMEOUTS = Timeouts(tcp=432000, tcp_fin=120, udp=300)
"""TCP as long as connection tracking remembers an idle connection; the kernel's own 900 s have cut
off many. The others are the kernel's."""

SYSCTLS = {
    # The way back, masquerading and forgetting need connection tracking.
    "net.ipv4.vs.conntrack": "1",
    # What went to a member that is gone is balanced anew, and not swallowed.
    "net.ipv4.vs.expire_nodest_conn": "1",
    # A client's affinity to a member that gets nothing new ends.
    "net.ipv4.vs.expire_quiescent_template": "1",
}

_SCHEDULERS = {"rr": ("rr", "wrr"), "lc": ("lc", "wlc"), "source": ("mh", "mh"),
               "sh": ("sh", "sh"), "mh": ("mh", "mh")}  # fmt: skip
"""By the option's word: where all members weigh the same, and where not. Of the hashes, mh moves
fewer clients when a member comes or goes."""


def by_ipvs(view: HostView, service: Balanced) -> bool:
    """Whether this host's IPVS balances a service."""
    return view.balancer == "ipvs" and service.balance in _SCHEDULERS and service.mark != 0


def virtual_services(
    view: HostView, services: Iterable[Balanced], family: Family
) -> frozenset[VirtualService]:
    """Those of ``services`` that IPVS balances. One that several networks of a client have is one:
    it has one mark."""
    found: dict[int, VirtualService] = {}
    for each in services:
        if by_ipvs(view, each) and each.members:
            before = found.get(each.mark)
            others = before.destinations if before else frozenset()
            found[each.mark] = _virtual(each, family, others)
    return frozenset(found.values())


def _virtual(service: Balanced, family: Family, others: frozenset[Destination]) -> VirtualService:
    open_to = {each.weight for each in service.members if each.ready and each.weight}
    return VirtualService(
        mark=service.mark,
        family=family.name,
        scheduler=_SCHEDULERS[service.balance][len(open_to) > 1],
        affinity=service.affinity,
        destinations=others
        | {Destination(m.address, m.weight if m.ready else 0) for m in service.members},
    )


def which_packets(view: HostView) -> tuple[Statement, ...]:
    """Which of a connection's packets are marked: the first, unless IPVS asks for all."""
    return () if view.balancer == "ipvs" else (NEW,)


def port_rules(view: HostView, family: Family) -> list[Rule]:
    """In the ingress sandbox, after the turns: IPVS changes no port of a service that it knows by
    its mark, so the port that tasks listen on is put in before."""
    if view.balancer != "ipvs":
        return []
    target = lookup("targets", MARK, PROTOCOL, PORT)
    return [rule(PORTED, Dnat("", target, family.name))]


def answer_rules(view: HostView) -> list[Rule]:
    """Of what IPVS sends on, only the answers are forwarded, and no translation is noted there."""
    if view.balancer != "ipvs":
        return []
    return [rule(is_(Ct("direction"), "reply"), Verdict("accept"))]

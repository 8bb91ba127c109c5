"""What changes in a namespace's IPVS: services, destinations, time outs."""

from __future__ import annotations

import msgspec

from skep.model import ops
from skep.model.netstate import Destination, Namespace, VirtualService
from skep.model.ops import Op


def virtual_changes(want: Namespace, have: Namespace) -> tuple[list[Op], list[Op]]:
    """The operations before rules change, and those after: a service must be there before packets
    are marked for it, and stay until none are.

    Who is to get connections comes before anybody leaves, so that a service never has nobody.
    """
    wanted = {(each.family, each.mark): each for each in want.virtual}
    there = {(each.family, each.mark): each for each in have.virtual}
    early: list[Op] = []
    if want.timeouts is not None and want.timeouts != have.timeouts:
        early.append(ops.SetTimeouts(ns=want.name, timeouts=want.timeouts))
    for key, service in sorted(wanted.items()):
        early += _service_changes(want.name, service, there.get(key))
    late: list[Op] = [
        ops.DelVirtual(ns=want.name, service=_bare(there[key]))
        for key in sorted(there.keys() - wanted.keys())
    ]
    return early, late


def _service_changes(ns: str, want: VirtualService, have: VirtualService | None) -> list[Op]:
    header = _bare(want)
    todo: list[Op] = []
    if have is None or _bare(have) != header:
        todo.append(ops.SetVirtual(ns=ns, service=header))
    there = have.destinations if have else frozenset()
    changed = sorted(want.destinations - there, key=lambda to: (not to.weight, to.address))
    todo += [ops.SetDestination(ns=ns, service=header, destination=each) for each in changed]
    kept = {_place(each) for each in want.destinations}
    gone = sorted((each for each in there if _place(each) not in kept), key=_place)
    todo += [ops.DelDestination(ns=ns, service=header, destination=each) for each in gone]
    return todo


def _bare(service: VirtualService) -> VirtualService:
    return msgspec.structs.replace(service, destinations=frozenset())


def _place(destination: Destination) -> tuple[str, int]:
    return destination.address, destination.port

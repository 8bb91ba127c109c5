"""What IPVS does to a packet, for the walker: the destination that its mark leads to.

Which one a scheduler chooses follows from all that went before; here it is the walker's slot.
"""

from __future__ import annotations

import msgspec

from skep.model.netstate import Namespace
from skep.plan.carry import Lost
from skep.plan.family import family_of
from skep.plan.judge import Moment
from skep.plan.layout import number


class Scheduled(msgspec.Struct, frozen=True):
    """The address that a packet is sent on to, and the service in ipvsadm(8)'s words."""

    target: str
    service: str


def schedule(namespace: Namespace, moment: Moment) -> Scheduled | None:
    """Where a connection's first packet is sent on to; None if its mark is no service's.

    Raises `Lost` if the service has nobody for new connections: the kernel refuses them.
    """
    family = family_of(moment.flow.target).name
    for service in namespace.virtual:
        if (service.family, service.mark) != (family, moment.mark):
            continue
        words = f"IPVS FWM {service.mark} {service.scheduler}"
        open_to = sorted((to.address for to in service.destinations if to.weight), key=number)
        if not open_to:
            raise Lost(f"refused (port unreachable): {words} has no destination for it")
        return Scheduled(open_to[moment.slot % len(open_to)], words)
    return None

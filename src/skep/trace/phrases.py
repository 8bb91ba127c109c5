"""What routes, links and changes of addresses are called, as ``ip`` would show them."""

from __future__ import annotations

from collections.abc import Iterable

from skep.model.netstate import Link
from skep.plan.journey import Flow, Routed
from skep.plan.layout import holds, subnet_of
from skep.trace.scene import Host


def changes(before: Flow, after: Flow) -> Iterable[str]:
    """What a translation did."""
    if (before.target, before.target_port) != (after.target, after.target_port):
        was = end_words(before.target, before.target_port)
        yield f"target {was} becomes {end_words(after.target, after.target_port)}"
    if (before.source, before.source_port) != (after.source, after.source_port):
        was = end_words(before.source, before.source_port)
        yield f"source {was} becomes {end_words(after.source, after.source_port)}"


def end_words(address: str, port: int) -> str:
    """One end of a flow; ``port`` 0 for none."""
    shown = f"[{address}]" if ":" in address and port else address
    return f"{shown}:{port}" if port else address


def destination(host: Host, step: Routed, target: str) -> str:
    """The route's destination, as ``ip route`` would show it."""
    namespace = host.state[step.at.namespace]
    fitting = [
        (int(each.address.partition("/")[2]), subnet_of(each.address))
        for each in namespace.addresses
        if each.link == step.link and not step.via and holds(each.address, target)
    ]
    fitting += [
        (0 if each.destination == "default" else int(each.destination.partition("/")[2]),
         each.destination)
        for each in namespace.routes
        if (each.link, each.via, each.table) == (step.link, step.via, step.table)
        and (each.destination == "default" or holds(each.destination, target))
    ]  # fmt: skip
    return max(fitting, default=(0, "default"))[1]


def link_words(link: Link | None) -> str:
    """A link's name, index, peer's index, MAC and MTU; "" if it is not known."""
    if link is None:
        return ""
    state = "" if link.up else ", DOWN"
    peer = f", peer if {link.peer_index}" if link.peer_index else ""
    return f"{link.name} (if {link.index}{peer}, {link.mac}, mtu {link.mtu}{state})"

"""Options that a service's labels carry: refused when they are given, if they make no sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skep.model.cluster import Node
from skep.model.errors import Invalid
from skep.model.options import NEEDS_IPVS, read_options, read_weight
from skep.model.spec import ServiceSpec

BALANCER_LABEL = "skep.balancer"
"""The engine label by which a host says what it balances with. Source: `skep.agent.balancer`."""


def check_options(labels: Mapping[str, str]) -> None:
    """Raises `Invalid` for an option that cannot be read or that there is none of."""
    _, complaints = read_options(labels)
    if complaints:
        raise Invalid(complaints[0])


def check_node_options(labels: Mapping[str, str]) -> None:
    """Raises `Invalid` for an option of nodes that cannot be read or that there is none of."""
    _, complaints = read_weight(labels)
    if complaints:
        raise Invalid(complaints[0])


def balance_of(spec: ServiceSpec) -> str:
    """How a service's connections are to be shared out."""
    return read_options(spec.labels)[0].balance


def check_balancing(labels: Mapping[str, str], nodes: Iterable[Node]) -> None:
    """Raises `Invalid` if a service asks for what only IPVS can do, and a host has none: its
    clients there would be shared out in another way than was asked for."""
    options, _ = read_options(labels)
    if options.balance not in NEEDS_IPVS:
        return
    without = sorted(
        node.description.hostname
        for node in nodes
        if node.description.engine_labels.get(BALANCER_LABEL) != "ipvs"
    )
    if without:
        named = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if without[5:] else "")
        raise Invalid(
            f'label skep.balance: "{options.balance}" needs IPVS on every host, and {named} '
            f"{'has' if len(without) == 1 else 'have'} none in use: choose rr, random or source, "
            "or start skepd there with --balancer ipvs"
        )

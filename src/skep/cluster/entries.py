"""The nodes' own addresses on the ingress network: one for each host's entry to the mesh."""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster.allocate import exhausted, take_address
from skep.cluster.state import Draft
from skep.model.cluster import Node
from skep.model.errors import Unavailable
from skep.model.ula import sixth_address


def with_ingress_address(draft: Draft, node: Node) -> Node:
    """The node with an address on the ingress network, if there is such a network.

    Raises `Unavailable` if that is full.
    """
    ingress = draft.ingress
    if ingress is None:
        return replace(node, ingress_address="", ingress_address6="")
    found = take_address(draft, ingress.id)
    if found is None:
        raise Unavailable(exhausted(ingress))
    address, given = found
    return replace(
        node,
        ingress_address=address,
        ingress_address6=sixth_address(ingress.subnets, address, given),
    )


def give_ingress_addresses(draft: Draft) -> None:
    """Give every node an address on a new ingress network. Raises `Unavailable` if that is too
    small."""
    for node in sorted(draft.nodes.values(), key=lambda each: (each.created_at, each.id)):
        draft.put(with_ingress_address(draft, node))


def take_ingress_addresses(draft: Draft) -> None:
    """Take the nodes' addresses back: the ingress network goes."""
    for node in list(draft.nodes.values()):
        draft.put(replace(node, ingress_address="", ingress_address6=""))

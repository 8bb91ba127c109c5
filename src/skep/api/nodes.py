"""``/nodes``: the hosts of the swarm."""

from __future__ import annotations

from aiohttp import web

from skep.api.call import Call, empty, json
from skep.api.filters import Filters
from skep.api.managing import trust
from skep.api.shapes import node as shapes
from skep.api.shapes.base import Json
from skep.cluster import control
from skep.model.cluster import Node
from skep.model.errors import Invalid
from skep.model.spec import NodeSpec

FILTERS = ("id", "label", "membership", "name", "node.label", "role")
ROLES = ("manager", "worker")
SELF = "self"


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /nodes``."""
    filters = call.filters(*FILTERS)
    for role in filters.get("role"):
        if role not in ROLES:
            raise Invalid(f"invalid role filter: '{role}'")
    nodes = call.ports.cluster.state().nodes
    return json([_shown(call, node) for node in nodes.values() if _passes(node, filters)])


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /nodes/{id}``."""
    return json(_shown(call, call.ports.cluster.state().find_node(_reference(call))))


async def update(call: Call) -> web.StreamResponse:
    """``POST /nodes/{id}/update?version=``."""
    version = call.object_version("node")
    spec = await call.decode(NodeSpec)
    reference = _reference(call)
    await call.ports.cluster.change(
        lambda draft, context: control.update_node(draft, context, reference, version, spec)
    )
    return empty(200)


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /nodes/{id}?force=``."""
    reference, force = _reference(call), call.flag("force")
    await call.ports.cluster.change(
        lambda draft, context: control.remove_node(draft, context, reference, force=force)
    )
    return empty(200)


def _reference(call: Call) -> str:
    reference = call.parts["id"]
    return call.ports.cluster.membership().node_id if reference == SELF else reference


def _shown(call: Call, node: Node) -> Json:
    leader = call.ports.cluster.membership().node_id
    return shapes.node(node, leader=leader, tls=trust(call.ports))


def _passes(node: Node, filters: Filters) -> bool:
    return (
        filters.prefix("id", node.id)
        and filters.prefix("name", node.description.hostname, node.spec.name)
        and filters.exact("role", node.spec.role)
        and filters.exact("membership", "accepted")
        and filters.labels("label", node.description.engine_labels)
        and filters.labels("node.label", node.spec.labels)
    )

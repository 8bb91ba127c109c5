"""Nodes, as ``node ls`` and ``node inspect`` show them."""

from __future__ import annotations

from skep.api.shapes.base import Json, meta, wire
from skep.api.shapes.info import NETWORK_DRIVERS, VOLUME_DRIVERS
from skep.model.cluster import Node

PLUGINS = [
    {"Type": kind, "Name": name}
    for kind, names in (("Network", NETWORK_DRIVERS), ("Volume", VOLUME_DRIVERS))
    for name in names
]
"""The drivers that every host has."""


def node(record: Node, *, leader: str, tls: Json) -> Json:
    """``GET /nodes/{id}``. ``leader`` is the leading manager's id, ``tls`` the cluster's CA."""
    shown = {
        "ID": record.id,
        **meta(record),
        "Spec": _spec(record),
        "Description": _description(record, tls),
        "Status": {"State": record.state, "Addr": record.address},
    }
    if record.message:
        shown["Status"]["Message"] = record.message
    if record.spec.role == "manager":
        shown["ManagerStatus"] = {
            "Leader": record.id == leader,
            "Reachability": "reachable" if record.state == "ready" else "unreachable",
            "Addr": record.manager_address,
        }
    return shown


def _spec(record: Node) -> Json:
    named = {"Name": record.spec.name} if record.spec.name else {}
    return named | {
        "Labels": dict(record.spec.labels),
        "Role": record.spec.role,
        "Availability": record.spec.availability,
    }


def _description(record: Node, tls: Json) -> Json:
    said = record.description
    resources: Json = {"NanoCPUs": said.nano_cpus, "MemoryBytes": said.memory_bytes}
    if said.generic_resources:
        resources["GenericResources"] = wire(said.generic_resources)
    return {
        "Hostname": said.hostname,
        "Platform": {"Architecture": said.platform.architecture, "OS": said.platform.os},
        "Resources": resources,
        "Engine": {
            "EngineVersion": said.engine_version,
            **({"Labels": dict(said.engine_labels)} if said.engine_labels else {}),
            "Plugins": PLUGINS,
        },
        "TLSInfo": tls,
    }

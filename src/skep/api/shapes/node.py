"""Nodes, as ``node ls`` and ``node inspect`` show them."""

from __future__ import annotations

from skep.api.shapes.base import Json, meta
from skep.model.cluster import Node

BUILT_IN = (("Network", "bridge"), ("Network", "host"), ("Network", "null"), ("Network", "overlay"))
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
    shown = {
        "Labels": dict(record.spec.labels),
        "Role": record.spec.role,
        "Availability": record.spec.availability,
    }
    if record.spec.name:
        shown["Name"] = record.spec.name
    return shown


def _description(record: Node, tls: Json) -> Json:
    said = record.description
    return {
        "Hostname": said.hostname,
        "Platform": {"Architecture": said.platform.architecture, "OS": said.platform.os},
        "Resources": {"NanoCPUs": said.nano_cpus, "MemoryBytes": said.memory_bytes},
        "Engine": {
            "EngineVersion": said.engine_version,
            "Labels": dict(said.engine_labels),
            "Plugins": [{"Type": kind, "Name": name} for kind, name in BUILT_IN],
        },
        "TLSInfo": tls,
    }

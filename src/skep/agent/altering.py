"""What of a container can be changed after it was made: its name, its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from skep.agent.network import Network
from skep.agent.records import Record
from skep.engine.resources import KNOWN
from skep.model.errors import Clash, Invalid, Unsupported

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
"""Source: moby daemon/names, RestrictedNamePattern; one letter will do here."""

LEAST_MEMORY = 6 << 20
"""Bytes. Source: moby daemon, linuxMinMemory."""


def check_new_name(record: Record, name: str) -> None:
    """Raises the refusal that a new name meets, in Docker's sentences where it has them."""
    if not name:
        raise Invalid("Neither old nor new names may be empty")
    if name == record.name:
        raise Invalid("Renaming a container with the same name as its current name")
    check_form(name)
    if record.task_id:
        raise Clash(f'cannot rename container "/{record.name}": it belongs to a task of a service')
    if record.attachments:
        raise Unsupported(
            f'container "/{record.name}" is on networks of the swarm, where its name is known on '
            "all hosts: take it off them (docker network disconnect), rename it, connect it again"
        )


def check_form(name: str) -> None:
    """Raises `Invalid` if no container can be called that."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )


def check_memory(limits: Mapping[str, Any]) -> None:
    """Raises `Invalid` for so little memory that no container could begin with it."""
    if 0 < (limits.get("Memory") or 0) < LEAST_MEMORY:
        raise Invalid("Minimum memory limit allowed is 6MB")


def rename(network: Network, record: Record, name: str) -> None:
    """Have the record and the names on its networks say so."""
    endpoints = tuple(
        msgspec.structs.replace(
            each, names=tuple(name if known == record.name else known for known in each.names)
        )
        for each in record.endpoints
    )
    network.records.put(msgspec.structs.replace(record, name=name, endpoints=endpoints))
    network.changed()


def wanted_limits(body: dict[str, Any]) -> dict[str, Any]:
    """The limits that an update asks for. Raises `Unsupported` for what cannot be changed."""
    policy = (body.get("RestartPolicy") or {}).get("Name")
    if policy:
        raise Unsupported(
            "the engine cannot change the restart policy of a container: create it anew"
        )
    wanted = {name: value for name, value in body.items() if value and name != "RestartPolicy"}
    for name in wanted.keys() - KNOWN:
        raise Unsupported(f"{name} of a container cannot be changed: create it anew")
    if wanted.get("NanoCpus") and (wanted.get("CpuQuota") or wanted.get("CpuPeriod")):
        raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    check_memory(wanted)
    return wanted

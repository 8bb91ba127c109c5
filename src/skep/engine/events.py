"""What an engine says of its containers' lives. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

CONNECTED = "connected"
"""The action that marks the stream's beginning, and each beginning anew."""


class ContainerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a container (create, start, die, remove…), an image, a volume.

    ``kind`` is container, image or volume; a volume's id is its name.
    ``exit_code`` belongs to die. ``time`` in Unix seconds. The action "connected" (no id) says that
    the stream begins (again): what happened before is unknown, so list the containers.
    ``attributes`` are the engine's: name, image, labels.
    """

    id: str
    action: str
    exit_code: int = 0
    time: float = 0.0
    attributes: Mapping[str, str] = {}
    kind: str = "container"


def parse_event(line: bytes) -> ContainerEvent:
    """One line of ``GET /events``."""
    said = json.loads(line)
    actor: dict[str, Any] = said.get("Actor") or {}
    attributes: dict[str, str] = actor.get("Attributes") or {}
    return ContainerEvent(
        id=actor.get("ID") or said.get("id") or "",
        action=said.get("Action") or said.get("status") or "",
        # Podman repeats the code under a name of its own, and sends that with every action.
        exit_code=int(attributes.get("exitCode") or 0),
        time=said.get("timeNano", 0) / 1e9 or float(said.get("time", 0)),
        attributes=attributes,
        kind=said.get("Type") or "container",
    )

"""The listing of tasks: of a service, a node or a stack."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from skep.cli.api import Api, Refused, reference
from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.show.rows import ellipsis, familiar, first_upper, short_id
from skep.cli.show.times import human_span, instant

TABLE = Table(
    columns("ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports"),
    {
        "ID": "ID",
        "Name": "NAME",
        "Image": "IMAGE",
        "Node": "NODE",
        "DesiredState": "DESIRED STATE",
        "CurrentState": "CURRENT STATE",
        "Error": "ERROR",
        "Ports": "PORTS",
    },
)
_ERROR_WIDTH = 30


class Names:
    """Names of services and hosts by id, asked for once each; the ids themselves if not wanted, or
    if there is nothing of that id any more."""

    def __init__(self, api: Api, *, resolve: bool = True) -> None:
        self._api = api
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def service(self, identity: str) -> str:
        """A service's name."""
        return self._name(f"/services/{reference(identity)}", identity, insertDefaults="false")

    def node(self, identity: str) -> str:
        """A host's name, or its hostname."""
        return self._name(f"/nodes/{reference(identity)}", identity)

    def _name(self, path: str, identity: str, **query: str) -> str:
        if not identity or not self._resolve:
            return identity
        if path not in self._known:
            try:
                found = self._api.get(path, **query)
                name = found.get("Spec", {}).get("Name")
                self._known[path] = name or found.get("Description", {}).get("Hostname") or identity
            except Refused as refused:
                if not refused.missing:
                    raise
                self._known[path] = identity
        return self._known[path]


def task_name(task: Mapping[str, Any], names: Names) -> str:
    """``web.1``, or for one task a host ``web.<node id>``."""
    service = names.service(task.get("ServiceID", ""))
    return f"{service}.{task.get('Slot') or task.get('NodeID', '')}"


def rows(
    tasks: Sequence[Mapping[str, Any]], names: Names, *, full: bool, indent: bool
) -> list[Row]:
    """The lines: a slot's tasks stand together, the newest first, in tables with the older ones
    indented below it."""
    named = [(task_name(task, names), task) for task in tasks]
    named.sort(key=lambda pair: pair[1].get("CreatedAt", ""), reverse=True)
    named.sort(key=lambda pair: natural(pair[0]))
    older = [one[0] == other[0] for one, other in pairwise(named)]
    return [
        _row(
            task,
            rf" \_ {name}" if again and indent else name,
            names.node(task.get("NodeID", "")),
            full,
        )
        for (name, task), again in zip(named, (False, *older), strict=False)
    ]


def _row(task: Mapping[str, Any], name: str, node: str, full: bool) -> Row:
    status = task.get("Status", {})
    spec = task.get("Spec", {}).get("ContainerSpec") or {}
    image, error = spec.get("Image", ""), status.get("Err", "")
    if not full:
        image, error = familiar(image), ellipsis(error, _ERROR_WIDTH)
    since = time.time() - instant(status.get("Timestamp", "1970-01-01T00:00:00Z"))
    return Row(
        ID=task["ID"] if full else short_id(task["ID"]),
        Name=name,
        Image=image,
        Node=node,
        DesiredState=first_upper(task.get("DesiredState", "")),
        CurrentState=f"{first_upper(status.get('State', ''))} {human_span(since).lower()} ago",
        Error=f'"{error}"' if error else "",
        Ports=",".join(map(_port, (status.get("PortStatus") or {}).get("Ports") or ())),
    )


def _port(port: Mapping[str, Any]) -> str:
    return f"*:{port['PublishedPort']}->{port['TargetPort']}/{port['Protocol']}"

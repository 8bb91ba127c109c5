"""The listing of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.show.rows import familiar, short_id

TABLE = Table(
    columns("ID", "Name", "Mode", "Replicas", "Image", "Ports"),
    {
        "ID": "ID",
        "Name": "NAME",
        "Mode": "MODE",
        "Replicas": "REPLICAS",
        "Image": "IMAGE",
        "Ports": "PORTS",
    },
)
_MODES = {
    "Global": "global",
    "Replicated": "replicated",
    "ReplicatedJob": "replicated job",
    "GlobalJob": "global job",
}


def rows(services: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The lines, by name."""
    ordered = sorted(services, key=lambda service: natural(service["Spec"]["Name"]))
    return [_row(service) for service in ordered]


def _row(service: Mapping[str, Any]) -> Row:
    spec = service["Spec"]
    container = spec.get("TaskTemplate", {}).get("ContainerSpec") or {}
    return Row(
        ID=short_id(service["ID"]),
        Name=spec["Name"],
        Mode=mode(spec),
        Replicas=replicas(service),
        Image=familiar(container.get("Image", "")),
        Ports=ports((service.get("Endpoint") or {}).get("Ports") or ()),
    )


def mode(spec: Mapping[str, Any]) -> str:
    """A service's mode in words."""
    known = spec.get("Mode", {})
    return next((word for key, word in _MODES.items() if known.get(key) is not None), "")


def replicas(service: Mapping[str, Any]) -> str:
    """How many run, of how many."""
    status = service.get("ServiceStatus") or {}
    running, desired = status.get("RunningTasks", 0), status.get("DesiredTasks", 0)
    done = status.get("CompletedTasks", 0)
    known = service["Spec"].get("Mode", {})
    if known.get("ReplicatedJob") is not None:
        total = known["ReplicatedJob"].get("TotalCompletions", 1)
        return f"{running}/{desired} ({done}/{total} completed)"
    if known.get("GlobalJob") is not None:
        return f"{running}/{desired} ({done}/{desired + done} completed)"
    placement = service["Spec"].get("TaskTemplate", {}).get("Placement") or {}
    if known.get("Replicated") is not None and placement.get("MaxReplicas"):
        return f"{running}/{desired} (max {placement['MaxReplicas']} per node)"
    return f"{running}/{desired}"


class _Span(msgspec.Struct):
    """Neighbouring ports: published and targets, first and last."""

    protocol: str
    published: tuple[int, int]
    targets: tuple[int, int]

    def takes(self, port: Mapping[str, Any]) -> bool:
        """Whether a port continues the span."""
        published, target = port["PublishedPort"], port["TargetPort"]
        return (
            port["Protocol"] == self.protocol
            and published - self.published[1] <= 1
            and 0 <= target - self.targets[1] <= 1
            and not (self.targets[0] != self.targets[1] and target <= self.targets[1])
        )

    def __str__(self) -> str:
        return f"*:{_span(self.published)}->{_span(self.targets)}/{self.protocol}"


def _span(ends: tuple[int, int]) -> str:
    return f"{ends[0]}-{ends[1]}" if ends[1] > ends[0] else str(ends[0])


def ports(found: Sequence[Mapping[str, Any]]) -> str:
    """Ports published through the mesh; neighbours are one span."""
    meshed = [port for port in found if port.get("PublishMode") == "ingress"]
    spans: list[_Span] = []
    for port in sorted(meshed, key=lambda each: (each["Protocol"], each.get("PublishedPort", 0))):
        published, target = port.get("PublishedPort", 0), port["TargetPort"]
        if spans and spans[-1].takes(port):
            spans[-1].published = (spans[-1].published[0], published)
            spans[-1].targets = (spans[-1].targets[0], target)
        elif published:
            spans.append(_Span(port["Protocol"], (published, published), (target, target)))
    return ", ".join(map(str, spans))

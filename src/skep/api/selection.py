"""The filters of ``docker ps``, over containers as `shapes.container.row` shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skep.api.filters import Filters
from skep.api.shapes.base import Json
from skep.engine.reference import with_tag
from skep.model.errors import Invalid, Missing

FILTERS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
TASK_LABEL = "com.docker.swarm.task"
EXITED = re.compile(r"Exited \((\d+)\)")
HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


class Selection:
    """Filters made ready for a list of containers: what they refer to is looked up once.

    Raises `Invalid` for words that are no state, `Missing` for unknown ``before`` and ``since``.
    """

    def __init__(self, rows: Sequence[Json], filters: Filters) -> None:
        self._filters = filters
        self._is_task = filters.truth("is-task")
        self._ages = {row["Id"]: age for age, row in enumerate(rows)}
        self._before = [self._age(rows, reference) for reference in filters.get("before")]
        self._since = [self._age(rows, reference) for reference in filters.get("since")]
        for state in filters.get("status"):
            if state not in STATES:
                raise Invalid(f"invalid filter 'status={state}'")

    def passes(self, row: Json) -> bool:
        """Whether a container is wanted."""
        wanted = self._filters
        return (
            wanted.prefix("id", row["Id"])
            and wanted.matches("name", *row["Names"], *(name[1:] for name in row["Names"]))
            and wanted.labels("label", row["Labels"])
            and wanted.exact("status", row["State"])
            and self._passes_image(row)
            and self._passes_networks(row)
            and self._passes_ports(row)
            and wanted.exact("exited", *EXITED.findall(row.get("Status", "")))
            and wanted.exact("health", *(HEALTH.findall(row.get("Status", "")) or ["none"]))
            and wanted.exact("volume", *_volumes(row))
            and (self._is_task is None or self._is_task == (TASK_LABEL in row["Labels"]))
            and all(self._ages[row["Id"]] > age for age in self._before)
            and all(self._ages[row["Id"]] < age for age in self._since)
        )

    def _age(self, rows: Sequence[Json], reference: str) -> int:
        for row in rows:
            if f"/{reference.removeprefix('/')}" in row["Names"] or row["Id"].startswith(reference):
                return self._ages[row["Id"]]
        raise Missing(f"No such container: {reference}")

    def _passes_image(self, row: Json) -> bool:
        """By name (a missing tag is latest), id or a part of the id."""
        if "ancestor" not in self._filters:
            return True
        image, id = with_tag(row["Image"]), row["ImageID"].removeprefix("sha256:")
        return any(
            with_tag(wanted) == image or id.startswith(wanted.removeprefix("sha256:"))
            for wanted in self._filters.get("ancestor")
        )

    def _passes_networks(self, row: Json) -> bool:
        attached = row["NetworkSettings"]["Networks"]
        ids = [network["NetworkID"] for network in attached.values()]
        return self._filters.exact("network", *attached, *ids)

    def _passes_ports(self, row: Json) -> bool:
        exposed, published = [], []
        for port in row["Ports"]:
            exposed += [str(port["PrivatePort"]), f"{port['PrivatePort']}/{port['Type']}"]
            if port.get("PublicPort"):
                published += [str(port["PublicPort"]), f"{port['PublicPort']}/{port['Type']}"]
        return self._filters.exact("expose", *exposed) and self._filters.exact(
            "publish", *published
        )


def _volumes(row: Json) -> list[str]:
    """Names and targets of its mounts; older engines list bare targets."""
    found = []
    for mount in row["Mounts"]:
        if isinstance(mount, dict):
            found += [mount.get("Name", ""), mount.get("Source", ""), mount.get("Destination", "")]
        else:
            found.append(str(mount))
    return found

"""What a host must remember about its containers: one small file each, replaced atomically.

The engine knows a container's processes and files; Skep alone knows its networking: which sandbox
is its own, what its user asked for, which addresses it holds. A record is written before anything
is made in the kernel, so that whatever a crash leaves behind is either on record or not ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from skep.agent.statefile import drop, read, write_atomically
from skep.model.errors import Broken
from skep.model.host import Binding, Container, Endpoint, Place, Sandbox
from skep.model.spec import PortConfig

DRAFT = "new-"
"""What the id of a container that the engine has not made yet begins with."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A network as the user asked for it: a name or id, addresses ("" for any), aliases; a MAC,
    what it calls other containers (links: ``container:alias``), the endpoint's driver options and
    its priority for the default route."""

    network: str
    address: str = ""
    aliases: tuple[str, ...] = ()
    address6: str = ""
    mac: str = ""
    links: tuple[str, ...] = ()
    options: dict[str, str] = {}
    gw_priority: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One container. ``endpoints``, ``gateway`` and ``ports`` (those that this host alone publishes
    for it) are set while it is attached to its networks.

    ``attachments`` are the cluster's tasks that hold the addresses of a container that a user
    started by hand, by network. ``published`` are the ports to publish as its user wrote them,
    ``bindings`` what became of them, set while it is attached. ``task_id`` is the task of a
    service that the container runs.
    ``limits`` are those that were changed since it was created, as Docker's Resources. ``asked``
    is what of the create request the engine does not give back as it was said.
    """

    id: str
    name: str
    image: str
    sandbox_id: str
    network_mode: str
    created_at: float
    hostname: str = ""
    wanted: tuple[Wanted, ...] = ()
    task_id: str = ""
    attachments: dict[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    gateway: str = ""
    ports: tuple[PortConfig, ...] = ()
    published: tuple[Binding, ...] = ()
    publish_all: bool = False
    bindings: tuple[Binding, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    extra_hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    limits: dict[str, Any] = {}
    asked: dict[str, Any] = {}

    @property
    def is_draft(self) -> bool:
        """Whether the engine has not said yet that it has made the container."""
        return self.id.startswith(DRAFT)

    @property
    def sandbox(self) -> Sandbox | None:
        """Its sandbox, None if it has none of its own (host or another container's network)."""
        if not self.sandbox_id:
            return None
        return Sandbox(
            id=self.sandbox_id,
            container_id=self.id,
            container_name=self.name,
            task_id=self.task_id,
            endpoints=self.endpoints,
            gateway=self.gateway,
            ports=self.ports,
            bindings=self.bindings,
        )


def container_of(record: Record) -> Container:
    """The API's view of a record."""
    return Container(
        id=record.id,
        name=record.name,
        image=record.image,
        network_mode=record.network_mode,
        networks=tuple(item.network for item in record.wanted),
        aliases={item.network: item.aliases for item in record.wanted},
        addresses={item.network: item.address for item in record.wanted},
        addresses6={item.network: item.address6 for item in record.wanted if item.address6},
        sandbox=record.sandbox,
        task_id=record.task_id,
        exposed_ports=record.exposed_ports,
        labels=record.labels,
        places={
            item.network: Place(
                mac=item.mac,
                links=item.links,
                options=item.options,
                gw_priority=item.gw_priority,
            )
            for item in record.wanted
        },
        published=record.published,
        publish_all=record.publish_all,
        limits=record.limits,
        asked=record.asked,
        created_at=record.created_at,
    )


def endpoint_of(record: Record, network_id: str) -> Endpoint | None:
    """The container's endpoint on a network."""
    for endpoint in record.endpoints:
        if endpoint.network_id == network_id:
            return endpoint
    return None


def draft_id(name: str) -> str:
    """The id of a container's record until the engine has given it one."""
    return f"{DRAFT}{name}"


class Records:
    """The records of one host, in memory and under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[str, Record] = {}
        self.unreadable: tuple[str, ...] = ()

    def load(self) -> None:
        """Read all records; a file that cannot be decoded is set aside, not lost. Raises `Broken`
        if the directory cannot be read."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            paths = sorted(self._directory.iterdir())
        except OSError as error:
            raise Broken(f"cannot read {self._directory}: {error.strerror}") from error
        self.unreadable = tuple(said for path in paths if (said := self._read(path)))

    def _read(self, path: Path) -> str:
        """Know the record of one file; what is wrong with it, if anything."""
        if path.name.startswith("."):
            with contextlib.suppress(OSError):
                path.unlink()  # half written when a crash came
        if path.suffix != ".json" or path.name.startswith("."):
            return ""
        try:
            record = read(path, Record)
        except Broken as broken:
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".unreadable"))
            return str(broken)
        if record is not None:
            self._records[record.id] = record
        return ""

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def get(self, container_id: str) -> Record | None:
        """The record of a container by its full id."""
        return self._records.get(container_id)

    def put(self, record: Record) -> None:
        """Write a record down, then know it. Raises `Broken` if it cannot be written."""
        write_atomically(self._directory / f"{record.id}.json", msgspec.json.encode(record))
        self._records[record.id] = record

    def drop(self, container_id: str) -> None:
        """Forget a container. Raises `Broken` if its file stays."""
        drop(self._directory / f"{container_id}.json")
        self._records.pop(container_id, None)

"""The life of this host's containers, their networking included: what the API's handlers call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import structlog

from skep.agent.altering import check_form, check_new_name, rename, wanted_limits
from skep.agent.connecting import check_wanted
from skep.agent.drafting import (
    check_others,
    draft_record,
    meant,
    on_anothers,
    refuse_unsupported,
    tagged,
    wanted_networks,
)
from skep.agent.etc import NAMES
from skep.agent.network import Network, new_local_id
from skep.agent.ports import strange
from skep.agent.records import Record, Wanted, container_of, draft_id
from skep.agent.traffic import traffic
from skep.engine.client import Engine
from skep.model.assignment import NetworkAssignment
from skep.model.cluster import Task
from skep.model.errors import Clash, EngineLost, Invalid, Missing, Refusal
from skep.model.host import SHORT, Container, HostView, LocalNetwork
from skep.model.netstate import NETNS_DIR

Json = dict[str, Any]

log = structlog.get_logger("skep.containers")


class Containers:
    """The containers of one host. Implements the API's ``HostPort``."""

    def __init__(self, network: Network, engine: Engine) -> None:
        self._network = network
        self._engine = engine
        self._busy: dict[str, asyncio.Lock] = {}
        self._creating: set[str] = set()
        self.health: Mapping[str, str] = {}
        """What is known of the health of those that run with a check, by id."""

    # --- what is

    @property
    def creating(self) -> bool:
        """Whether a container is being made just now."""
        return bool(self._creating)

    def is_busy(self, container_id: str) -> bool:
        """Whether something is being done to a container just now."""
        return container_id in self._busy and self._busy[container_id].locked()

    def view(self) -> HostView:
        """What the host's kernel is made from, now."""
        return self._network.view()

    def local_networks(self) -> tuple[LocalNetwork, ...]:
        """The host's own networks."""
        return self._network.locals.all()

    def swarm_networks(self) -> Mapping[str, NetworkAssignment]:
        """The swarm networks that this host knows of, by id."""
        return self._network.assignment.networks

    def containers(self) -> tuple[Container, ...]:
        """All containers on record."""
        return tuple(self._with_health(r) for r in self._network.records if not r.is_draft)

    def find(self, reference: str) -> Container:
        """By full id, name (with or without "/") or unique id prefix. Raises `Missing`."""
        return self._with_health(self.record(reference))

    def _with_health(self, record: Record) -> Container:
        health = self.health.get(record.id, "")
        return msgspec.structs.replace(container_of(record), health=health)

    def record(self, reference: str) -> Record:
        """The record behind `find`."""
        exact = self._network.records.get(reference)
        if exact:
            return exact
        name = reference.removeprefix("/")
        records = [r for r in self._network.records if not r.is_draft]
        found = [r for r in records if r.name == name]
        found = found or [r for r in records if name and r.id.startswith(name)]
        if len(found) > 1:
            raise Invalid(f"Multiple IDs found with provided prefix: {name}")
        if not found:
            raise Missing(f"No such container: {name}")
        return found[0]

    def task_records(self) -> list[Record]:
        """The records of containers that run services' tasks."""
        return [r for r in self._network.records if r.task_id and not r.is_draft]

    def task_record(self, task_id: str) -> Record | None:
        """The record of a task's container."""
        return next((r for r in self.task_records() if r.task_id == task_id), None)

    async def state(self, container_id: str) -> Json:
        """The engine's word on how a container is. Raises `Missing`."""
        state: Json = (await self._engine.inspect(container_id))["State"]
        return state

    def health_check(self, container_id: str) -> Json:
        """Its health check as its user wrote it; nothing for one of its image."""
        record = self._network.records.get(container_id)
        return dict(record.asked.get("Healthcheck") or {}) if record else {}

    # --- what is done

    async def create(self, name: str, body: Json) -> tuple[str, list[str]]:
        """Create a container from Docker's ``POST /containers/create`` body: id and warnings.

        Raises `Missing` (image, network), `Clash` (name in use), `Invalid`, `Unsupported`.
        """
        refuse_unsupported(body)
        mode, named = wanted_networks(body)
        for item in (wanted := meant(named, self._network)):
            check_wanted(item, self._network.locals.named(item.network))
        check_others(body, self.record)
        warnings = self._engine.warnings(body)
        record = await self._new(name, body, mode, wanted)
        return record.id, [*warnings, *await strange(self._network.ports, record.published)]

    async def create_task(self, task: Task, body: Json) -> Record:
        """Create the container of a service's task."""
        self._engine.warnings(body)
        return await self._new(task.name, body, "default", (), task_id=task.id)

    async def start(self, container: Container) -> bool:
        """Attach it to its networks and start it; False if it was running already.

        One that is to be removed when it ends (``--rm``) is, if it cannot even begin: its client
        waits for that.
        """
        if self._must(container.id).task_id:
            raise Clash(
                f'cannot start container "/{container.name}": it belongs to a task of a service, '
                "and tasks are not started twice; docker service update --force makes new ones"
            )
        try:
            return await self.start_record(container.id, None)
        except Refusal:
            with contextlib.suppress(Missing):  # an engine may have removed it already
                found = (await self._engine.inspect(container.id)).get("HostConfig") or {}
                if found.get("AutoRemove"):
                    await self.remove(container, force=True, volumes=True)
            raise

    async def start_record(self, container_id: str, task: Task | None) -> bool:
        """Start, with the addresses of ``task`` if it is one's container."""
        async with self._lock(container_id):
            record = self._must(container_id)
            state = await self.state(record.id)
            if state.get("Running"):
                # An engine that went away while starting it may have done so all the same.
                if task is not None and record.sandbox_id and not record.endpoints:
                    await self._network.join(record, task)
                return False
            if record.sandbox_id:
                record = await self._network.join(record, task)
            try:
                await self._engine.start(record.id)
                await self._limit(record)
            except BaseException:
                await self._network.part(record)
                raise
            return True

    async def _limit(self, record: Record) -> None:
        """Set the limits that were changed since a container was made. It does not run without."""
        if not record.limits:
            return
        try:
            await self._engine.update(record.id, record.limits)
        except BaseException:
            with contextlib.suppress(Refusal):
                await self._engine.stop(record.id, 0)
            raise

    async def stop(self, container: Container, timeout: int | None) -> bool:
        """Stop it (signal, wait ``timeout`` seconds, kill); False if it was stopped already."""
        return await self._engine.stop(container.id, timeout)

    async def remove(self, container: Container, *, force: bool, volumes: bool) -> None:
        """Remove it and all that its networking made. Raises `Clash` if it runs and not force."""
        async with self._lock(container.id):
            record = self._must(container.id)
            if not force:
                state = await self.state(record.id)
                if state.get("Running"):
                    raise Clash(
                        f'cannot remove container "/{record.name}": container is running: '
                        "stop the container before removing or force remove"
                    )
            with contextlib.suppress(Missing):
                await self._engine.remove(record.id, force=True, volumes=volumes)
            await self._network.forget(record)
        self._busy.pop(container.id, None)

    async def rename(self, container: Container, name: str) -> None:
        """Give it another name. Raises `Clash` (in use), `Invalid`, `Unsupported`."""
        async with self._lock(container.id):
            record = self._must(container.id)
            check_new_name(record, name)
            self._check_name(name)
            await self._engine.rename(record.id, name)
            rename(self._network, record, name)
        await self._network.sync_names()

    async def update(self, container: Container, body: Json) -> None:
        """Change its limits (Docker's Resources), at once if it runs. Raises `Unsupported`."""
        limits = wanted_limits(body)
        async with self._lock(container.id):
            record = self._must(container.id)
            if (await self.state(record.id)).get("Running"):
                await self._engine.update(record.id, limits)
            limits = {**record.limits, **limits}
            self._network.records.put(msgspec.structs.replace(record, limits=limits))

    async def traffic(self, container: Container) -> Mapping[str, Mapping[str, int]]:
        """What each of its interfaces has carried; nothing for one on the host's own network."""
        if container.network_mode == "host":
            return {}
        return traffic(int((await self.state(container.id)).get("Pid") or 0))

    async def revived(self, container_id: str) -> None:
        """The engine says that a container runs: one that it restarted by itself (``--restart``)
        was taken off its networks when it died, and is put back."""
        async with self._lock(container_id):
            record = self._network.records.get(container_id)
            parted = record is not None and bool(record.sandbox_id) and not record.endpoints
            if record is None or record.task_id or not parted or not record.wanted:
                return
            if (await self.state(container_id)).get("Running"):
                await self._network.join(record, None)

    async def died(self, container_id: str) -> None:
        """The engine says that a container's process ended: free what its networking holds."""
        async with self._lock(container_id):
            record = self._network.records.get(container_id)
            if record is None or not record.endpoints:
                return
            with contextlib.suppress(Missing):
                state = await self.state(container_id)
                if state.get("Running") or state.get("Paused"):
                    return
            await self._network.part(record)

    async def retire(self, container_id: str) -> None:
        """The container of a task has ended for good: only it and its log are kept."""
        async with self._lock(container_id):
            record = self._network.records.get(container_id)
            if record is not None:
                await self._network.retire(record)

    async def vanished(self, container_id: str) -> None:
        """The engine no longer has this container (``--rm``, or removed behind our back)."""
        async with self._lock(container_id):
            record = self._network.records.get(container_id)
            if record is not None:
                await self._network.forget(record)
        self._busy.pop(container_id, None)

    async def settle(self, draft: Record) -> None:
        """End a creation that was interrupted. Nobody was ever told of the container: it goes."""
        if draft.name in self._creating or self._network.records.get(draft.id) is None:
            return
        await self._drop(draft)

    # --- how

    @contextlib.asynccontextmanager
    async def held(self, container_id: str) -> AsyncIterator[Record]:
        """A container's record, while nobody else changes the container. Raises `Missing`."""
        async with self._lock(container_id):
            yield self._must(container_id)

    def _lock(self, container_id: str) -> asyncio.Lock:
        return self._busy.setdefault(container_id, asyncio.Lock())

    def _must(self, container_id: str) -> Record:
        record = self._network.records.get(container_id)
        if record is None:
            raise Missing(f"No such container: {container_id}")
        return record

    def _check_name(self, name: str) -> None:
        for record in self._network.records:
            if record.name == name:
                raise Clash(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{record.id}". You have to remove (or rename) that container to be able to '
                    "reuse that name."
                )
        if name in self._creating:
            raise Clash(f'Conflict. The container name "/{name}" is being created just now.')

    async def _new(
        self, name: str, body: Json, mode: str, wanted: tuple[Wanted, ...], task_id: str = ""
    ) -> Record:
        image = await self._engine.image(body.get("Image") or "")
        if image is None:
            raise Missing(f"No such image: {tagged(body.get('Image') or '')}")
        name = name.removeprefix("/") or f"skep_{new_local_id()[:12]}"
        check_form(name)
        if left := self._network.records.get(draft_id(name)):
            await self.settle(left)
        self._check_name(name)
        own = mode != "host" and not mode.startswith("container:")
        record = draft_record(body, mode, wanted, image)
        record = msgspec.structs.replace(
            record, name=name, task_id=task_id, sandbox_id=new_local_id() if own else ""
        )
        self._creating.add(name)
        try:
            return await self._make(record, body)
        finally:
            self._creating.discard(name)

    async def _make(self, record: Record, body: Json) -> Record:
        """Sandbox, files and record under a provisional id, then the engine's container.

        An engine that went away meanwhile may have made it, or not: the draft stays on record until
        that is known (`settle`).
        """
        draft = msgspec.structs.replace(record, id=draft_id(record.name))
        self._network.records.put(draft)
        self._network.changed()
        try:
            if record.sandbox_id:
                await self._network.prepare(draft)
            container_id = await self._engine.create(record.name, self._engine_body(record, body))
        except EngineLost:
            raise
        except Refusal:
            await self._network.forget(draft)
            raise
        record = msgspec.structs.replace(record, id=container_id)
        self._network.records.put(record)
        self._network.records.drop(draft.id)
        self._network.changed()
        return record

    async def _drop(self, draft: Record) -> None:
        """Take away a draft and what the engine has made of it."""
        known = {record.id for record in self._network.records}
        for item in await self._engine.containers():
            if f"/{draft.name}" in item.get("Names", ()) and item["Id"] not in known:
                log.warning("removing what was half made", name=draft.name, id=item["Id"])
                with contextlib.suppress(Missing):
                    await self._engine.remove(item["Id"], force=True, volumes=True)
        if any(r.name == draft.name for r in self._network.records if r.id != draft.id):
            self._network.records.drop(draft.id)
            self._network.changed()
        else:
            await self._network.forget(draft)

    def _engine_body(self, record: Record, body: Json) -> Json:
        """Docker's create body with our sandbox and files in it."""
        if not record.sandbox_id:
            return on_anothers(record, body, self.record)
        host = dict(body.get("HostConfig") or {})
        own = [f"{self._network.etc.path(record, name)}:/etc/{name}" for name in NAMES]
        host["NetworkMode"] = f"ns:{NETNS_DIR}/{record.sandbox_id[:SHORT]}"
        host["Binds"] = [*(host.get("Binds") or []), *own]
        return {**body, "HostConfig": host}

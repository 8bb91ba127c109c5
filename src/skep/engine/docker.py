"""Docker Engine as the engine: what it is asked otherwise than Podman, and what it must be set to.

docs/design/engine.md tells how its containers come into the namespaces that Skep makes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from skep.engine.bodies import Json, without_networking
from skep.engine.client import API, Engine
from skep.engine.events import ContainerEvent
from skep.engine.limits import own_limits
from skep.engine.runtime import NETNS_MOUNT
from skep.engine.settings import default_ulimits
from skep.engine.transport import Reply
from skep.model.errors import Broken

RUNTIME = "skep"
"""The name under which Docker Engine must know ``skep-runc``."""

SETTINGS: Json = {
    "bridge": "none",
    "iptables": False,
    "ip6tables": False,
    "ip-forward": False,
    "live-restore": True,
    "runtimes": {RUNTIME: {"path": "/usr/local/bin/skep-runc"}},
}
"""What Docker Engine's daemon.json must say."""

REMOVED = {"destroy": "remove"}
"""Its words for what the agent knows by Podman's."""


class DockerEngine(Engine):
    """Docker Engine behind a unix socket."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> Reply:
        """One request, as `Engine.request`: nothing has to be smoothed."""
        return await self._transport.send(method, API + path, params=params, json=json, body=body)

    async def create(self, name: str, body: Json) -> str:
        """As `Engine.create`."""
        fit = in_our_namespace(without_networking(body, default_ulimits(own_limits())))
        path = f"{API}/containers/create"
        return str((await self._json("POST", path, params={"name": name}, json=fit))["Id"])

    def warnings(self, body: Json) -> list[str]:  # noqa: ARG002 - as the other's
        """None: Docker Engine says itself what it cannot do."""
        return []

    async def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """As `Engine.remove`."""
        params = {"v": str(volumes).lower(), "force": str(force).lower()}
        await self._json("DELETE", f"{API}/containers/{container}", params=params)

    async def update(self, container: str, limits: Json) -> None:
        """As `Engine.update`; Docker Engine keeps them."""
        await self._json("POST", f"{API}/containers/{container}/update", json=limits)

    async def probe_health(self, container: str) -> str:
        """Its health: Docker Engine runs the checks by itself."""
        health = (await self.inspect(container))["State"].get("Health") or {}
        return str(health.get("Status") or "starting")

    async def events(self) -> AsyncIterator[ContainerEvent]:
        """As `Engine.events`."""
        async for event in super().events():
            action = REMOVED.get(event.action, event.action)
            yield msgspec.structs.replace(event, action=action)


def in_our_namespace(body: Json) -> Json:
    """The create body with ``NetworkMode: ns:PATH`` said in the way that ``skep-runc`` reads."""
    host = dict(body["HostConfig"])
    mode = host["NetworkMode"]
    if not mode.startswith("ns:"):
        return body
    host["NetworkMode"] = "none"
    host["Runtime"] = RUNTIME
    host["Binds"] = [*(host.get("Binds") or []), f"{mode.removeprefix('ns:')}:{NETNS_MOUNT}:ro"]
    return {**body, "HostConfig": host}


def is_docker(version: Mapping[str, Any]) -> bool:
    """Whether an answer to ``GET /version`` is Docker Engine's."""
    return any(each.get("Name") == "Engine" for each in version.get("Components") or ())


def check_settings(socket: str, info: Mapping[str, Any], networks: list[Json]) -> None:
    """Raises `Broken`, with what to write where, if Docker Engine is not set to leave networks to
    Skep. ``info`` and ``networks`` are its answers to ``GET /info`` and ``GET /networks``."""
    lacking = []
    if RUNTIME not in (info.get("Runtimes") or {}):
        lacking.append(f'it does not know the runtime "{RUNTIME}"')
    if any(each.get("Driver") == "bridge" for each in networks):
        lacking.append("it makes a bridge and rules of its own, where Skep's are")
    if not info.get("LiveRestoreEnabled"):
        lacking.append("its containers end when it is restarted")
    if lacking:
        raise Broken(
            f"Docker Engine at {socket} cannot be Skep's engine as it is set: "
            f"{', '.join(lacking)}. Its daemon.json must have {json.dumps(SETTINGS)}, and"
            " bin/skep-runc of Skep must be at that path; then restart it"
        )


async def engine_at(socket: str) -> Engine:
    """The engine that answers on a socket, Podman or Docker Engine.

    Raises `Unavailable` if none does, `Broken` if it cannot be used as it is set.
    """
    engine = Engine(socket)
    try:
        if not is_docker(await _told(engine, "/version")):
            return engine
        check_settings(socket, await _told(engine, "/info"), await _told(engine, "/networks"))
    except BaseException:
        await engine.close()
        raise
    await engine.close()
    return DockerEngine(socket)


async def _told(engine: Engine, path: str) -> Any:
    return await (await engine.request("GET", path)).json()

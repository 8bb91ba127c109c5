"""The container engine, as the rest of Skep speaks to it: Podman's Docker-compatible REST socket.

What Podman does differently from Docker, and is smoothed here, is in docs/design/engine.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from skep.engine.asking import check_request
from skep.engine.bodies import Json, without_networking
from skep.engine.events import CONNECTED, ContainerEvent, parse_event
from skep.engine.extras import Extras
from skep.engine.limits import own_limits
from skep.engine.placing import check_sources, with_profiles
from skep.engine.pulling import checked_pull
from skep.engine.reference import familiar, with_tag
from skep.engine.resources import linux_resources
from skep.engine.settings import default_ulimits
from skep.engine.transport import ErrorReply, Reply, Stream, Transport, subject_of
from skep.engine.waiting import wait_until_removed
from skep.engine.wording import additions, worded
from skep.model.errors import Broken, Clash, Missing, Refusal, Unavailable, Unsupported

API = "/v1.41"
"""The version of the Engine API that Podman 4 speaks."""

LIBPOD = "/v4.0.0/libpod"
"""Podman's own API, where the compatible one cannot say what is meant."""

ALREADY = 304
"""The status for a container that is started or stopped already."""

NEVER_RAN = ("created", "configured")

ENDING, POLL = 5.0, 0.05
"""Seconds that a container which is ending may take, and between two looks."""

RECONNECT = 0.2
"""Seconds before the stream of events is opened again."""

PIECE = 256 * 1024

log = structlog.get_logger("skep.engine")

UNBEGUN_KEPT = 100
"""Of how many containers it is remembered that they could not be begun."""


class Engine:
    """A container engine behind a unix socket. Implements the API's ``EnginePort``.

    All methods raise `Unavailable` when it cannot be reached, and otherwise the refusal that its
    answer means, in Docker's sentences. ``extras`` amends containers beyond what the engine's API
    can say; an engine that was not started by Skep has none.
    """

    def __init__(self, socket: str, extras: Extras | None = None) -> None:
        self._transport = Transport(socket)
        self._extras = extras
        self._unbegun: deque[str] = deque(maxlen=UNBEGUN_KEPT)

    async def close(self) -> None:
        """Give back what connections are open."""
        await self._transport.close()

    def showing(self, headers: Mapping[str, str]) -> Engine:
        """The same engine, with these headers on all requests: what registries are shown."""
        shown = copy.copy(self)
        shown._transport = self._transport.showing(headers)
        return shown

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> Reply:
        """One request ("/containers/json", no version). Any status is an answer; that of an error
        has Docker's status and body. Close the reply, or read it to its end.
        """
        asked = params or {}
        if path.endswith("/wait") and asked.get("condition") == "removed":
            waited = API + path.removesuffix("/wait")
            return await wait_until_removed(self._transport, waited, self._unbegun)
        reply = await self._transport.send(method, API + path, params=params, json=json, body=body)
        if path == "/images/create" and asked.get("fromImage"):
            return await checked_pull(reply, asked["fromImage"])
        return reply

    async def hijack(
        self, path: str, *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Stream:
        """``POST`` with ``Upgrade: tcp``: attach and exec/start."""
        try:
            return await self._transport.hijack(API + path, params=params, json=json)
        except Refusal:
            if path.endswith("/attach"):
                self._unbegun.append(subject_of(path))
            raise

    async def create(self, name: str, body: Json) -> str:
        """Create a container from Docker's JSON; answers its id.

        With ``NetworkMode: ns:PATH`` the namespace must exist, and all else that concerns
        networking (ports, DNS, hosts, endpoints) is left to the caller. Raises `Missing` (no such
        image), `Clash` (name in use, Docker's sentence), `Invalid`, `Unsupported`, `Broken`.
        """
        check_sources(body)
        more = additions(body)
        if more and self._extras is None:
            raise Unsupported(f"this engine cannot do {', '.join(more)}: leave it away")
        if more:
            await self._sweep_extras()
        try:
            with with_profiles(worded(body)) as fit:
                made = await self._json(
                    "POST",
                    f"{API}/containers/create",
                    params={"name": name},
                    json=without_networking(fit, default_ulimits(own_limits())),
                )
        except Missing as missing:
            if str(missing).startswith("No such image"):
                image = with_tag(familiar(str(body.get("Image") or "")))
                raise Missing(f"No such image: {image}") from missing
            raise
        if more and self._extras is not None:
            await self._amend(made["Id"], more, self._extras)
        return str(made["Id"])

    async def _amend(self, container_id: str, more: Json, extras: Extras) -> None:
        """Note what its starts need; without that, there is no such container."""
        try:
            extras.put(container_id, more)
        except Broken:
            with contextlib.suppress(Refusal):
                await self.remove(container_id, force=True, volumes=True)
            raise

    async def _sweep_extras(self) -> None:
        """Forget the files of containers that are gone. Those made meanwhile are not among them."""
        if self._extras is not None:
            before = self._extras.ids()
            known = {each["Id"] for each in await self.containers()}
            for container_id in before - known:
                self._extras.drop(container_id)

    def warnings(self, body: Json) -> list[str]:
        """What a user has to know of a create request. Raises `Invalid` and `Unsupported` for what
        this engine cannot do, naming the member."""
        return check_request(body)

    async def start(self, container: str) -> bool:
        """Start it; False if it runs already. Raises `Broken` with the runtime's sentence."""
        try:
            return await self._act(container, "start", {})
        except Refusal:
            self._unbegun.append(container)
            raise

    async def stop(self, container: str, timeout: int | None = None) -> bool:
        """Send its stop signal, and kill it after ``timeout`` seconds (None: the time it was
        created with); False if it did not run. Returns when it has ended."""
        if (await self.inspect(container))["State"]["Status"] in NEVER_RAN:
            return False  # Podman would say that it has stopped it
        try:
            return await self._act(
                container, "stop", {} if timeout is None else {"t": str(timeout)}
            )
        except Clash:
            if not await self._ended_meanwhile(container):
                raise
            return True

    async def _ended_meanwhile(self, container: str) -> bool:
        """Whether one that Podman could not stop, since it was ending by itself, has ended."""
        end = time.monotonic() + ENDING
        while (await self.inspect(container))["State"].get("Running"):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(POLL)
        return True

    async def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send it a signal. Raises `Clash` if it does not run."""
        await self._act(container, "kill", {"signal": signal})

    async def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it, killing it at once if ``force``; with its anonymous volumes if ``volumes``.

        Raises `Clash` if it runs and not ``force``.
        """
        params = {"v": str(volumes).lower(), "force": str(force).lower()}
        if force:
            params["timeout"] = "0"
        await self._json("DELETE", f"{LIBPOD}/containers/{container}", params=params)
        if self._extras is not None:
            self._extras.drop(container)

    async def rename(self, container: str, name: str) -> None:
        """Give it another name. Raises `Clash` (in use, Docker's sentence)."""
        await self._act(container, "rename", {"name": name})

    async def update(self, container: str, limits: Json) -> None:
        """Set a running container's limits, given as Docker's Resources: until it ends, since
        Podman forgets them with the process."""
        path = f"/v4.3.0/libpod/containers/{container}/update"
        await _decoded_text(await self._transport.send("POST", path, json=linux_resources(limits)))

    async def inspect(self, container: str) -> Json:
        """``GET /containers/{id}/json``, as the engine has it."""
        found: Json = await self._json("GET", f"{API}/containers/{container}/json")
        return found

    async def containers(self) -> list[Json]:
        """``GET /containers/json?all=1``: all containers, also those that ended."""
        found: list[Json] = await self._json("GET", f"{API}/containers/json", params={"all": "1"})
        return found

    async def wait(self, container: str) -> int:
        """Wait until it does not run; answers its exit code."""
        params = {"condition": "not-running"}
        ended = await self._json("POST", f"{API}/containers/{container}/wait", params=params)
        return int(ended["StatusCode"])

    async def probe_health(self, container: str) -> str:
        """Run its health check once; its health after it: "healthy", "unhealthy" or "starting".

        Podman leaves the schedule to systemd; without it, somebody has to call this. What the call
        answers is the outcome of this one check, so the container is asked how it is.
        """
        await self._json("GET", f"{LIBPOD}/containers/{container}/healthcheck")
        health = (await self.inspect(container))["State"].get("Health") or {}
        return str(health.get("Status") or "starting")

    async def events(self) -> AsyncIterator[ContainerEvent]:
        """What happens to containers, images and volumes, for as long as the caller listens, across
        restarts of the engine. Each (re)connection begins with an event "connected"; others may
        come twice."""
        since = int(time.time())
        while True:
            try:
                async for event in self._events_since(since):
                    yield event
                    since = max(since, int(event.time))
            except Unavailable:
                pass  # it is being restarted
            except Refusal as refusal:
                log.warning("the engine does not tell what happens", why=str(refusal))
            since = min(since, int(time.time()))  # the clock may have been put back
            await asyncio.sleep(RECONNECT)

    async def image(self, reference: str) -> Json | None:
        """``GET /images/{name}/json``; None if the engine does not have it."""
        try:
            found: Json = await self._json("GET", f"{API}/images/{reference}/json")
        except Missing:
            return None
        return found

    async def load(self, archive: str | Path) -> None:
        """Load the images of a docker-save tar, given by its path."""
        reply = await self.request("POST", "/images/load", body=_pieces(Path(archive)))
        await _decoded(reply)

    async def version(self) -> str:
        """The engine's version ("4.3.1")."""
        return str((await self._json("GET", f"{API}/version"))["Version"])

    async def _events_since(self, since: int) -> AsyncIterator[ContainerEvent]:
        """One connection's events. ``since`` closes the gap between connecting and listening."""
        params = {"filters": '{"type":["container","image","volume"]}', "since": str(since)}
        reply = await self.request("GET", "/events", params=params)
        if isinstance(reply, ErrorReply):
            raise reply.refusal
        yield ContainerEvent(id="", action=CONNECTED)
        rest = b""
        async for chunk in reply.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _event(line)

    async def _act(self, container: str, verb: str, params: Mapping[str, str]) -> bool:
        path = f"{API}/containers/{container}/{verb}"
        reply = await self._transport.send("POST", path, params=params)
        await _decoded(reply)
        return reply.status != ALREADY

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return await _decoded(await self._transport.send(method, path, **options))


def _event(line: bytes) -> ContainerEvent:
    """Raises `Broken` for a line that is none."""
    try:
        return parse_event(line)
    except (ValueError, TypeError, AttributeError) as error:
        raise Broken(f"an event makes no sense: {error}") from error


async def _decoded(reply: Reply) -> Any:
    if isinstance(reply, ErrorReply):
        raise reply.refusal
    return await reply.json()


async def _decoded_text(reply: Reply) -> None:
    if isinstance(reply, ErrorReply):
        raise reply.refusal
    await reply.read()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as archive:
        while piece := archive.read(PIECE):
            yield piece

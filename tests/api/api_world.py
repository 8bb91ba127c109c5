"""All of the daemon's ports in memory, behind a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from pathlib import Path

from api_cluster import CA, INACTIVE, TOKENS, WORKER, FakeCluster, FakeEvents, happened
from api_engine import FakeEngine
from api_host import FakeHost, FakeNetworks

from skep.api.arriving import ARRIVALS
from skep.api.facts import Facts
from skep.api.ports import Ports
from skep.api.server import Service, make_app
from skep.door import listening_on

__all__ = ["CA", "INACTIVE", "TOKENS", "WORKER", "World", "happened", "until", "words"]


class World:
    """A daemon on a unix socket."""

    def __init__(self, socket):
        self.socket = str(socket)
        self.engine = FakeEngine()
        self.events = FakeEvents()
        self.cluster, self.host = FakeCluster(self.events), FakeHost(self.engine)
        self.ports = Ports(
            cluster=self.cluster, host=self.host, engine=self.engine, events=self.events,
            networks=FakeNetworks(self.host),
        )  # fmt: skip
        self.facts = Facts(id="id", hostname="node1", version="0.1.0", python="3.11")
        self.environment = {"DOCKER_CLI_HINTS": "false", "PATH": os.environ["PATH"],
                            "DOCKER_CONFIG": os.path.dirname(self.socket)}  # fmt: skip

    @contextlib.asynccontextmanager
    async def serve(self):
        app = make_app(self.ports, facts=self.facts)
        self.service, self.arrivals = Service(app), app[ARRIVALS]
        service = self.service
        await service.open(listening_on(Path(self.socket), 0o660))
        passing = asyncio.create_task(self.cluster.run())
        try:
            yield self
        finally:
            for task in [*self.engine.tasks, passing]:
                task.cancel()
            (outcome,) = await asyncio.gather(passing, return_exceptions=True)
            await service.close()
            if not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    async def swarm(self):
        await self.cluster.init(None)
        self.host.enter_swarm(self.cluster.state())
        return self

    async def docker(self, *arguments, stdin=b"", code=0):
        """Run the docker CLI; its standard output. Fails unless it exits with ``code``."""
        out, err, found = await self.try_docker(*arguments, stdin=stdin)
        assert found == code, (arguments, out, err)
        return out if code == 0 else err

    async def try_docker(self, *arguments, stdin=b""):
        async with self.begin_docker(*arguments) as process, asyncio.timeout(120):
            out, err = await process.communicate(stdin)
        return out.decode(), err.decode(), process.returncode

    @contextlib.asynccontextmanager
    async def begin_docker(self, *arguments):
        """The docker CLI while it runs; killed in the end if it has not ended."""
        process = await asyncio.create_subprocess_exec(
            "docker", "-H", f"unix://{self.socket}", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def until(condition, seconds=60.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.005)


def words(text):
    return [re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines()]

"""What packets pay: the overlay beside the underlay, a service's VIP beside its task's address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from legs import peer
from legs.hosts import MANAGER, WORKER, Hosts, wait_until
from legs.samples import Pairs, turns
from legs.starts import COMMAND, IMAGE, NETWORK, remove

SERVICE, CLIENT = "benched", "bench-client"
SECONDS = {peer.BULK: 1.0, peer.PINGS: 0.5, peer.CONNECTS: 0.5}
PEER = str(Path(peer.__file__).resolve())
BYTES_PER_GBIT = 1e9 / 8


class Peer:
    """A `legs.peer` that runs somewhere, and is told what to do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def told(self) -> str:
        """Its next line. Raises RuntimeError if it has ended."""
        assert self._process.stdout is not None, "it was started with a pipe"
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measuring process ended: {self._process.wait()}")
        return line.strip()

    def rate(self, work: str, address: str) -> float:
        """Have it do some work with the peer at ``address``: how much a second."""
        assert self._process.stdin is not None, "it was started with a pipe"
        print(work, address, SECONDS[work], file=self._process.stdin, flush=True)
        return float(self.told())


@contextmanager
def running(hosts: Hosts, host: int, namespace: str, task: str) -> Iterator[Peer]:
    """A peer in a host (``namespace`` "": in its own network), until the block ends."""
    enter = ("nsenter", f"--net={namespace}") if namespace else ()
    process = subprocess.Popen(
        hosts.inside(host, *enter, sys.executable, PEER, task),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with process:
        # It ends with its input, which leaving the block closes. What we could kill from out here
        # is only the command that went into the host.
        yield Peer(process)


@contextmanager
def scene(hosts: Hosts) -> Iterator[tuple[str, str, str, str]]:
    """A service with one task on the worker, a container on the manager: where their sandboxes are
    pinned (server's, client's), the task's address and the service's VIP."""
    hosts.docker(
        MANAGER, "service", "create", "--detach", "--no-resolve-image", "--name", SERVICE,
        "--network", NETWORK, "--constraint", "node.role==worker", IMAGE, *COMMAND,
    )  # fmt: skip
    client = hosts.docker(
        MANAGER, "run", "-d", "--name", CLIENT, "--network", NETWORK, IMAGE, *COMMAND
    )
    try:
        wait_until(lambda: _replicas(hosts) == "1/1", "the service runs")
        task = hosts.docker(WORKER, "ps", "-q", "--no-trunc", "-f", f"name={SERVICE}.")
        found = hosts.api(WORKER, "GET", f"/containers/{task}/json")["NetworkSettings"]
        direct = str(found["Networks"][NETWORK]["IPAddress"])
        (vip,) = hosts.api(MANAGER, "GET", f"/services/{SERVICE}")["Endpoint"]["VirtualIPs"]
        sandboxes = hosts.sandbox(WORKER, task), hosts.sandbox(MANAGER, client)
        yield *sandboxes, direct, vip["Addr"].partition("/")[0]
    finally:
        hosts.docker(MANAGER, "service", "rm", SERVICE)
        remove(hosts, client)


def _replicas(hosts: Hosts) -> str:
    return hosts.docker(
        MANAGER, "service", "ls", "-f", f"name={SERVICE}", "--format", "{{.Replicas}}"
    )


def measure(hosts: Hosts, rounds: int) -> tuple[dict[str, Pairs], dict[str, Pairs]]:
    """Rates by kind of work: the underlay's beside the overlay's, and the task's address beside
    the VIP."""
    with scene(hosts) as (there, here, direct, vip), ExitStack() as peers:
        for namespace in ("", there):
            server = peers.enter_context(running(hosts, WORKER, namespace, "serve"))
            assert server.told() == "ready"
        outside = peers.enter_context(running(hosts, MANAGER, "", "ask"))
        inside = peers.enter_context(running(hosts, MANAGER, here, "ask"))
        underlay = outside, hosts.address(WORKER)
        overlay, service = (inside, direct), (inside, vip)
        wait_until(lambda: _reached(inside, vip), "the VIP leads to the task")
        return (
            compare(underlay, overlay, tuple(SECONDS), rounds),
            compare(overlay, service, (peer.CONNECTS, peer.PINGS), rounds),
        )


def _reached(client: Peer, address: str) -> bool:
    return client.rate(peer.PINGS, address) > 0


Way = tuple[Peer, str]
"""A client, and the address of the server that it asks."""


def compare(base: Way, other: Way, works: Sequence[str], rounds: int) -> dict[str, Pairs]:
    """Rates of two ways by kind of work, measured in turns."""
    taken = {work: {"base": list[float](), "other": list[float]()} for work in works}
    ways = {"base": base, "other": other}
    for order in turns("base", "other", rounds):
        for work in works:
            for name in order:
                client, address = ways[name]
                taken[work][name].append(client.rate(work, address))
    return {work: Pairs(sides["base"], sides["other"]) for work, sides in taken.items()}

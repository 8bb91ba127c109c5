"""The service that the mesh is measured with: its tasks, and waiting for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from legs.hosts import MANAGER, Hosts, wait_until

IMAGE = "nginx"
NAME, NETWORK, PORT = "measured", "measured-net", 8080


class Task(NamedTuple):
    """A task's container: its id, and the host that it is on."""

    id: str
    host: int


@contextmanager
def service(hosts: Hosts, replicas: int, *options: str) -> Iterator[None]:
    """A service with so many tasks, published, on an attachable network of its own."""
    hosts.docker(MANAGER, "network", "create", "-d", "overlay", "--attachable", NETWORK)
    try:
        hosts.docker(
            MANAGER, "service", "create", "--detach", "--no-resolve-image", "--name", NAME,
            "--replicas", str(replicas), "--network", NETWORK, "--publish", f"{PORT}:80",
            *options, IMAGE,
        )  # fmt: skip
        wait_until(lambda: running(hosts) == (replicas, replicas), "the service runs")
        yield
    finally:
        hosts.docker(MANAGER, "service", "rm", NAME)
        wait_until(lambda: not tasks(hosts), "the service is gone")
        hosts.docker(MANAGER, "network", "rm", NETWORK)


@contextmanager
def client(hosts: Hosts, host: int) -> Iterator[str]:
    """A container on the service's network; where its sandbox is pinned."""
    name = hosts.docker(host, "run", "-d", "--network", NETWORK, "busybox", "sleep", "infinity")
    try:
        yield hosts.sandbox(host, name)
    finally:
        hosts.docker(host, "rm", "-f", name)


def running(hosts: Hosts) -> tuple[int, int]:
    """How many of its tasks run, and how many there are to be."""
    (found,) = hosts.api(
        MANAGER, "GET", f"/services?status=1&filters=%7B%22name%22:[%22{NAME}%22]%7D"
    )
    return found["ServiceStatus"]["RunningTasks"], found["ServiceStatus"]["DesiredTasks"]


def tasks(hosts: Hosts) -> list[Task]:
    """The containers of its tasks."""
    return [
        Task(container, host)
        for host in hosts.numbers
        for container in hosts.docker(
            host, "ps", "-q", "--no-trunc", "-f", f"name=^{NAME}\\."
        ).split()
    ]


def vip(hosts: Hosts) -> str:
    """Its address on its own network."""
    found = hosts.api(MANAGER, "GET", f"/services/{NAME}")["Endpoint"]["VirtualIPs"]
    network = hosts.api(MANAGER, "GET", f"/networks/{NETWORK}")["Id"]
    return str(next(each["Addr"] for each in found if each["NetworkID"] == network)).split("/")[0]

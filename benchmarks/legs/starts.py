"""What a network adds to starting a container: one on an overlay beside one on no network."""

from __future__ import annotations

import time
from collections.abc import Callable

from legs.hosts import MANAGER, Hosts, wait_until
from legs.samples import Pairs, turns

IMAGE, COMMAND = "busybox", ("sleep", "infinity")
NONE, NETWORK = "none", "bench"
CLI, API = "docker run -d", "API create+start"
SETTLE = 0.3
"""Seconds for what follows a container's start and end, so that it falls on no other's time."""

Start = Callable[[Hosts, str], tuple[str, dict[str, float]]]
"""Starts a container on a network: its id, and the seconds that each step took."""


def by_client(hosts: Hosts, network: str) -> tuple[str, dict[str, float]]:
    """As users do it."""
    begun = time.perf_counter()
    container = hosts.docker(MANAGER, "run", "-d", "--network", network, IMAGE, *COMMAND)
    return container, {CLI: time.perf_counter() - begun}


def by_api(hosts: Hosts, network: str) -> tuple[str, dict[str, float]]:
    """The two requests that the client makes, without the client."""
    body = {"Image": IMAGE, "Cmd": COMMAND, "HostConfig": {"NetworkMode": network}}
    begun = time.perf_counter()
    container = str(hosts.api(MANAGER, "POST", "/containers/create", body)["Id"])
    created = time.perf_counter()
    hosts.api(MANAGER, "POST", f"/containers/{container}/start")
    started = time.perf_counter()
    return container, {
        API: started - begun,
        "  of it create": created - begun,
        "  of it start": started - created,
    }


def remove(hosts: Hosts, container: str) -> None:
    """Kill and remove it."""
    hosts.api(MANAGER, "DELETE", f"/containers/{container}?force=1")


def measure(hosts: Hosts, count: int) -> dict[str, Pairs]:
    """Pairs of starts in seconds, by what was timed; the network has a container there already."""
    keeper, _ = by_api(hosts, NETWORK)
    found: dict[str, Pairs] = {}
    for start in (by_client, by_api):
        found |= _pairs(hosts, start, count, lambda: None)
    remove(hosts, keeper)
    return found


def measure_first(hosts: Hosts, count: int) -> dict[str, Pairs]:
    """The same for the first container of a network on a host: the network's namespace, bridge and
    tunnel have to be made, too, and are gone with the container."""
    network = hosts.docker(MANAGER, "network", "inspect", "-f", "{{.Id}}", NETWORK)

    def absent() -> bool:
        return f"1-{network[:10]}" not in hosts.namespaces(MANAGER)

    def forgotten() -> None:
        wait_until(absent, "the network is gone from the host")

    found: dict[str, Pairs] = {}
    for start in (by_client, by_api):
        found |= _pairs(hosts, start, count, forgotten)
    return found


def _pairs(hosts: Hosts, start: Start, count: int, prepare: Callable[[], None]) -> dict[str, Pairs]:
    taken: dict[str, dict[str, list[float]]] = {}
    for order in turns(NONE, NETWORK, count):
        prepare()
        started = []
        for network in order:
            time.sleep(SETTLE)
            container, steps = start(hosts, network)
            started.append(container)
            for name, seconds in steps.items():
                taken.setdefault(name, {NONE: [], NETWORK: []})[network].append(seconds)
        time.sleep(SETTLE)
        for container in started:
            remove(hosts, container)
    return {name: Pairs(sides[NONE], sides[NETWORK]) for name, sides in taken.items()}

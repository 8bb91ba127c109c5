"""A service under load from outside and inside: evenly spread, and while its tasks come and go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from legs import steady
from legs.hosts import MANAGER, WORKER, Hosts, wait_until
from legs.service import NAME, PORT, client, running, service, tasks, vip

OUTSIDE, INSIDE = "outside", "inside"
MOST, LEAST = 4, 2
LANES, KEPT = 12, 20
ALL_AT_ONCE = 1e6
STEADY = str(Path(steady.__file__).resolve())
ABRUPT = ("--stop-signal", "SIGKILL", "--stop-grace-period", "5s")
"""A server that drops all it is at when it is told to stop: what is lost shows."""

UPDATE, SCALE, DRAIN = "rolling update", "scaling down", "draining of a node"


class Load(NamedTuple):
    """So many requests, so many a second, on so many connections at once, so many on each."""

    requests: int
    rate: float
    lanes: int
    kept: int


class Lived(NamedTuple):
    """What the service went through, and what its clients saw of it: the loads' own words."""

    changes: Counter[str]
    loads: dict[str, dict[str, Any]]


def measure(hosts: Hosts, requests: int, rate: float) -> Lived:
    """So many requests, half of them from each side, at ``rate`` a second altogether. Raises
    RuntimeError if the load ended before each kind of change was made once."""
    with service(hosts, MOST, *ABRUPT), client(hosts, 3) as box:
        words = Load(requests // 2, rate / 2, LANES, KEPT)
        with _both(hosts, box, words) as sides:
            changes = _change(hosts, lambda: all(each.poll() is None for each in sides.values()))
            loads = {name: _told(each) for name, each in sides.items()}
    missing = [kind for kind in (UPDATE, SCALE, DRAIN) if not changes[kind]]
    if missing:
        raise RuntimeError(f"the load ended before the first {missing[0]}: take more requests")
    return Lived(changes, loads)


def spread(hosts: Hosts, requests: int) -> dict[str, list[int]]:
    """How often each of three tasks answers so many connections, from each side."""
    words = Load(requests, ALL_AT_ONCE, LANES, 1)
    with service(hosts, 3), client(hosts, 3) as box, _both(hosts, box, words) as sides:
        told = {name: _told(each) for name, each in sides.items()}
    for name, each in told.items():
        if each["lost"]:
            raise RuntimeError(f"requests from {name} were lost: {each['lost']}")
    return {name: sorted(each["answered"].values()) for name, each in told.items()}


@contextmanager
def _both(hosts: Hosts, box: str, words: Load) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A load from outside, by the port of another host, and one from a sandbox, by the VIP."""
    with ExitStack() as stack:
        yield {
            OUTSIDE: stack.enter_context(_begun(hosts, "", hosts.address(MANAGER), PORT, words)),
            INSIDE: stack.enter_context(_begun(hosts, box, vip(hosts), 80, words)),
        }


@contextmanager
def _begun(
    hosts: Hosts, box: str, address: str, port: int, words: Load
) -> Iterator[subprocess.Popen[str]]:
    """A load from the third host (``box`` "") or a sandbox there, that has begun."""
    enter = ("nsenter", f"--net={box}") if box else ()
    told = (address, str(port), *map(str, words))
    process = subprocess.Popen(
        hosts.inside(3, *enter, sys.executable, STEADY, *told), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None, "it was started with a pipe"
        if process.stdout.readline() != "begun\n":
            raise RuntimeError("the load did not begin")
        yield process
    finally:
        process.kill()
        process.wait()


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(process.communicate()[0])
    return told


def _change(hosts: Hosts, under_load: Callable[[], bool]) -> Counter[str]:
    """Change the service again and again; how often each was done while the load lasted."""
    done: Counter[str] = Counter()
    ways = ((UPDATE, _update), (SCALE, _scale), (DRAIN, _drain))
    while under_load():
        for kind, way in ways:
            way(hosts, done[kind])
            done[kind] += under_load()
    return done


def _settled(hosts: Hosts, count: int) -> bool:
    return running(hosts) == (count, count) and len(tasks(hosts)) == count


def _update(hosts: Hosts, turn: int) -> None:
    """Replace all tasks one by one, the new one first in every other update."""
    before = set(tasks(hosts))
    order = ("start-first", "stop-first")[turn % 2]
    hosts.docker(
        MANAGER, "service", "update", "--detach", "--force", "--no-resolve-image",
        "--update-order", order, "--update-monitor", "0s", NAME,
    )  # fmt: skip
    wait_until(lambda: not before & set(tasks(hosts)), "all tasks are new")
    wait_until(lambda: _settled(hosts, MOST), "the update is done")


def _scale(hosts: Hosts, turn: int) -> None:  # noqa: ARG001 - one form for all
    for count in (LEAST, MOST):
        hosts.docker(MANAGER, "service", "scale", "--detach", f"{NAME}={count}")
        wait_until(lambda count=count: _settled(hosts, count), f"there are {count} tasks")


def _drain(hosts: Hosts, turn: int) -> None:
    host = f"h{(MANAGER, WORKER, 3)[turn % 3]}"
    hosts.docker(MANAGER, "node", "update", "--availability", "drain", host)
    try:
        gone = int(host[1:])
        wait_until(lambda: all(t.host != gone for t in tasks(hosts)), "the host is empty")
        wait_until(lambda: _settled(hosts, MOST), "its tasks are elsewhere")
    finally:
        hosts.docker(MANAGER, "node", "update", "--availability", "active", host)

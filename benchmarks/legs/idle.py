"""Connections that nobody uses for hours, through the mesh and through a service's address."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from legs.asking import Held, held, serving
from legs.hosts import MANAGER, WORKER, Hosts
from legs.service import client, service, tasks, vip

PORT = 7700
HOURS = 7200
"""Seconds that pass."""


class Idle(NamedTuple):
    """What a connection's client hears before and after; and for how many seconds everything on
    its way would have remembered it at least."""

    way: str
    before: str
    after: str
    remembered: int

    @property
    def survived(self) -> bool:
        """Whether it is the same connection still."""
        return self.before == self.after and self.remembered > HOURS


def measure(hosts: Hosts, seconds: int = HOURS) -> list[Idle]:
    """Let ``seconds`` of connection tracking's time pass on all hosts, with connections open:
    through the mesh by a host without the task, and to the VIP."""
    with opened(hosts) as ways:
        before = {name: each.ask() for name, each in ways.items()}
        left = [n for host in hosts.numbers for n in _aged(hosts, host, seconds)]
        return [Idle(name, before[name], each.ask(), min(left)) for name, each in ways.items()]


@contextmanager
def opened(hosts: Hosts) -> Iterator[dict[str, Held]]:
    """Connections to a task by the ways there are."""
    options = ("--constraint", f"node.hostname==h{WORKER}", f"--publish={PORT}:{PORT}")
    with service(hosts, 1, *options), client(hosts, 3) as box, ExitStack() as stack:
        (task,) = tasks(hosts)
        stack.enter_context(serving(hosts, task, PORT))
        ways = {
            "through the mesh": held(hosts, 3, "", hosts.address(MANAGER), PORT),
            "to the service's address": held(hosts, 3, box, vip(hosts), PORT),
        }
        yield {name: stack.enter_context(way) for name, way in ways.items()}


def _aged(hosts: Hosts, host: int, seconds: int) -> list[int]:
    """Let time pass on a host; how long what it tracks might have been idle at most."""
    folder = str(Path(__file__).parent.parent)
    script = f"cd {folder} && exec {sys.executable} -m legs.aging {PORT} {seconds}"
    done = subprocess.run(
        hosts.inside(host, "sh", "-c", script), check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    return [left for each in found.values() for left in each]

"""Whom a task behind the mesh sees: its clients' own addresses, wherever they come in."""

from __future__ import annotations

import json
import subprocess
from typing import NamedTuple

from legs.asking import once, serving
from legs.hosts import MANAGER, Hosts
from legs.service import service, tasks

PORT = 7700
HERE, THERE, OUTSIDE = 1, 2, 3
"""The host with the task, one without, and the one that stands for a client outside."""


class Arrival(NamedTuple):
    """How a client came in, whom the task saw, and whom it should have seen."""

    way: str
    seen: str
    expected: str


def measure(hosts: Hosts) -> list[Arrival]:
    """A request of each protocol each way."""
    ports = [f"--publish={PORT}:{PORT}/{protocol}" for protocol in ("tcp", "udp")]
    with service(hosts, 1, "--constraint", f"node.hostname==h{HERE}", *ports):
        (task,) = tasks(hosts)
        with serving(hosts, task, PORT):
            return [
                Arrival(f"{words}, {protocol}", once(hosts, host, protocol, address, PORT), whom)
                for words, host, address, whom in _ways(hosts)
                for protocol in ("tcp", "udp")
            ]


def _ways(hosts: Hosts) -> list[tuple[str, int, str, str]]:
    client = hosts.address(OUTSIDE)
    ways = [
        ("from outside, by the host with the task", OUTSIDE, hosts.address(HERE), client),
        ("from outside, by a host without", OUTSIDE, hosts.address(THERE), client),
    ]
    for host, words in ((HERE, "the host with the task"), (THERE, "a host without")):
        own = _entry(hosts, host)
        ways.append((f"from {words} itself", host, hosts.address(host), own))
        ways.append((f"by localhost on {words}", host, "127.0.0.1", own))
    return ways


def _entry(hosts: Hosts, host: int) -> str:
    """A host's own address on the ingress network: what it appears as when it asks itself, since
    the address that it uses then means nothing elsewhere."""
    command = ("ip", "-n", "ingress_sbox", "-j", "-4", "address", "show", "dev", "eth0")
    found = subprocess.run(
        hosts.inside(host, *command), check=True, stdout=subprocess.PIPE, text=True
    )
    (link,) = json.loads(found.stdout)
    network = hosts.api(MANAGER, "GET", "/networks/ingress")["IPAM"]["Config"][0]["Subnet"]
    length = int(network.partition("/")[2])
    return next(str(a["local"]) for a in link["addr_info"] if a["prefixlen"] == length)

"""The cluster as a whole: addresses, tasks, the store."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from skep.plan.layout import holds
from skep.trace.finding import ERROR, WARNING, Finding
from skep.trace.scene import Host, Scene
from skep.trace.survey import ServiceFact, TaskFact

OWN_BRIDGES = ("docker0", "docker_gwbridge")
NEARLY_FULL = 0.9
SLOW_STORE = 0.5
"""Seconds that a read of the store may take."""


def overlaps(scene: Scene) -> Iterator[Finding]:
    """Subnets that are also somewhere else for a host."""
    for host in scene.hosts.values():
        for name, subnet in _subnets(host):
            yield from _route_overlaps(host, name, subnet)
            for resolver in host.inspection.resolvers:
                if _is_ipv4(resolver) and holds(subnet, resolver):
                    yield _overlap(
                        host, name, subnet, f"the name server {resolver}",
                        "containers cannot ask it: for them it is an address of the network",
                    )  # fmt: skip
            if holds(subnet, host.vtep) and _is_ipv4(host.vtep):
                yield _overlap(
                    host, name, subnet, f"the host's own address {host.vtep}",
                    "containers of the network cannot reach hosts, nor tunnels their ends",
                )  # fmt: skip


def _subnets(host: Host) -> Iterator[tuple[str, str]]:
    for network in host.view.networks.values():
        for subnet in network.subnets:
            if _is_ipv4(subnet.config.subnet.partition("/")[0]):
                yield network.spec.name, subnet.config.subnet


def _is_ipv4(address: str) -> bool:
    parts = address.split(".")
    return len(parts) == 4 and all(part.isdecimal() for part in parts)


def _route_overlaps(host: Host, name: str, subnet: str) -> Iterator[Finding]:
    for route in host.inspection.routes:
        if (
            route.link in OWN_BRIDGES
            or route.destination == "0.0.0.0/0"
            or ":" in route.destination
        ):
            continue
        if IPv4Network(route.destination).overlaps(IPv4Network(subnet)):
            yield _overlap(
                host, name, subnet, f"the host's route to {route.destination} on {route.link}",
                "for containers on this network, what is behind that route does not exist",
            )  # fmt: skip


def _overlap(host: Host, network: str, subnet: str, what: str, why: str) -> Finding:
    return Finding(
        severity=ERROR,
        check="addresses",
        host=host.name,
        where=f"network {network}",
        what=f"{subnet} overlaps {what}",
        why=why,
        fix="make the network anew on other addresses (docker network create --subnet …), or the "
        "swarm with other pools (docker swarm init --default-addr-pool …)",
    )


def fills(scene: Scene) -> Iterator[Finding]:
    """Networks whose addresses run out."""
    for fill in scene.survey.fills:
        share = fill.used / fill.size if fill.size else 1.0
        if share >= NEARLY_FULL:
            yield Finding(
                severity=ERROR if share >= 1 else WARNING,
                check="addresses",
                host="",
                where=f"network {fill.network}",
                what=f"{fill.used} of {fill.size} addresses of {fill.subnet} are taken",
                why="new tasks wait for an address",
                fix="remove what is not needed, or move services to a larger network "
                "(docker network create --subnet …/16)",
            )


def tasks(scene: Scene) -> Iterator[Finding]:
    """Services whose wanted tasks do not run."""
    for service in scene.survey.services:
        wanted = [each for each in service.tasks if each.desired == "running"]
        bad = [each for each in wanted if each.error or each.state in ENDED_BADLY]
        nothing_runs = bool(wanted) and all(each.state not in ALIVE for each in wanted)
        if nothing_runs and not bad:
            # The one that is just being started may only be the next to fail as others did.
            bad = [each for each in service.tasks if each.error][-1:]
        if bad:
            yield _task(service, bad, nothing_runs=nothing_runs)


ALIVE = ("running", "complete")
ENDED_BADLY = ("failed", "rejected", "orphaned")


def _task(service: ServiceFact, bad: list[TaskFact], *, nothing_runs: bool) -> Finding:
    first = bad[0]
    said = f" ({first.error or first.message})" if first.error or first.message else ""
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return Finding(
        severity=ERROR if nothing_runs else WARNING,
        check="tasks",
        host="",
        where=f"service {service.name}",
        what=f"{first.name} is {first.state}{said}{more}",
        why="nobody answers for the service" if nothing_runs else "fewer tasks run than are wanted",
        fix=f"docker service ps --no-trunc {service.name}; docker service logs {service.name}",
    )


def store(scene: Scene) -> Iterator[Finding]:
    """The cluster's store."""
    check = scene.survey.store
    if check is None:
        return
    if check.error:
        yield Finding(
            severity=ERROR, check="store", host="", where=check.path,
            what=f"the store cannot be read: {check.error}",
            why="no change of the cluster can be made",
            fix="look at the disk; restore the file from a copy, then restart skepd",
        )  # fmt: skip
    elif check.seconds >= SLOW_STORE:
        yield Finding(
            severity=WARNING, check="store", host="", where=check.path,
            what=f"reading the store takes {check.seconds:.1f} s ({check.size >> 20} MiB)",
            why="every change of the cluster waits for it",
            fix="put it on a faster disk; see what else uses this one (iostat -x)",
        )  # fmt: skip

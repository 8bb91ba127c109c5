"""The doctor: all checks over one survey."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from skep.trace.checks import cluster, encryption, firewalls, hosts, objects, paths
from skep.trace.checks.matrix import matrix
from skep.trace.finding import ERROR, Checkup, Finding
from skep.trace.scene import Scene
from skep.trace.survey import Survey

CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    hosts.silent_hosts,
    paths.links,
    paths.addresses,
    paths.underlay,
    paths.tunnels,
    paths.managers,
    firewalls.firewalls,
    paths.sizes,
    encryption.unproven,
    hosts.kernels,
    hosts.settings,
    hosts.refusals,
    objects.holds,
    objects.drift,
    objects.strangers,
    objects.names,
    hosts.certificates,
    hosts.clocks,
    cluster.overlaps,
    cluster.fills,
    cluster.tasks,
    hosts.disks,
    cluster.store,
)


def examine(survey: Survey, only: Collection[str] = (), repaired: tuple[str, ...] = ()) -> Checkup:
    """All findings, errors first; ``only`` keeps those of some hosts (by name) and of no host."""
    scene = Scene(survey)
    found = [
        each
        for check in CHECKS
        for each in check(scene)
        if not only or each.host in only or (not each.host and _concerns(each, only))
    ]
    found.sort(key=lambda each: each.severity != ERROR)
    return Checkup(
        findings=tuple(dict.fromkeys(found)),
        hosts=tuple(sorted(only) or sorted(each.name for each in scene.hosts.values())),
        whole=survey.whole,
        checks=len(CHECKS),
        repaired=repaired,
        pairs=tuple(matrix(scene)),
    )


def _concerns(finding: Finding, only: Collection[str]) -> bool:
    """Whether something between hosts is about one of these."""
    return any(name in finding.where.replace(",", " ").split() for name in only)

"""The doctor: all checks over one survey."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import msgspec

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

PASSING = frozenset({"encryption", "managers", "names", "objects", "repairs", "store", "tunnels"})
"""Checks that a change under way, or a busy moment, can fail: what they find only once is nothing
that anybody has to do something about."""


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


def is_doubtful(checkup: Checkup) -> bool:
    """Whether something was found that may have passed a moment later."""
    return any(each.check in PASSING for each in checkup.findings)


def confirmed(first: Checkup, second: Checkup) -> Checkup:
    """What was found at a second look, without what might pass and was not there at the first."""
    lasting = {_about(each) for each in first.findings}
    found = (e for e in second.findings if e.check not in PASSING or _about(e) in lasting)
    return msgspec.structs.replace(second, findings=tuple(found))


def _about(finding: Finding) -> tuple[str, str, str]:
    return finding.check, finding.host, finding.where


def _concerns(finding: Finding, only: Collection[str]) -> bool:
    """Whether something between hosts is about one of these."""
    return any(name in finding.where.replace(",", " ").split() for name in only)

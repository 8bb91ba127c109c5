"""Each host for itself: its kernel, its clock, its certificates, disks and helpers."""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.inspection import Certificate, Disk, Inspection
from skep.model.netstate import HOST
from skep.trace.finding import ERROR, WARNING, Finding
from skep.trace.scene import Host, Scene
from skep.trace.survey import Report

DAY = 86400.0
SKEW = 1.0
"""Seconds by which a clock may be off before it is worth a word, and..."""
GREAT_SKEW = 60.0
"""...from which certificates and restarts suffer."""
NEAR_END = 0.1
"""The share of a certificate's life that is left when it should have been renewed long since."""
CA_NEAR_END = 180 * DAY
FULL, NEARLY_FULL = 0.03, 0.08
"""Shares of a disk that are left when it is as good as full, and when it soon will be."""
CONNTRACK_FULL = 0.85


def silent_hosts(scene: Scene) -> Iterator[Finding]:
    """Hosts that did not answer."""
    for report in scene.silent.values() if scene.survey.whole else ():
        yield Finding(
            severity=ERROR,
            check="hosts",
            host=report.hostname,
            where=report.address or report.hostname,
            what=f"{report.hostname} did not answer: {report.silence}",
            why="nothing of it can be checked; its tasks count as lost",
            fix=f"on {report.hostname}: see whether skepd runs, and what it logged last",
        )


def kernels(scene: Scene) -> Iterator[Finding]:
    """Features that the kernel lacks."""
    for host in scene.hosts.values():
        for feature, why in host.inspection.features.items():
            if why:
                yield Finding(
                    severity=ERROR,
                    check="kernel",
                    host=host.name,
                    where="kernel",
                    what=f"{feature} does not work: {why}",
                    why="Skep cannot build its networks without it",
                    fix=f"on {host.name}: {_module(feature)}",
                )


def _module(feature: str) -> str:
    inner = feature.partition("(")[2].rstrip(")")
    modules = inner.replace(",", "").replace("route hook", "").split()
    return f"modprobe -a {' '.join(modules)}" if modules else "a kernel with namespaces"


def settings(scene: Scene) -> Iterator[Finding]:
    """Sysctls of the host that are in the way."""
    for host in scene.hosts.values():
        values = host.inspection.sysctls
        yield from _reverse_path(host, values)
        if values.get("net.bridge.bridge-nf-call-iptables") == "1" and _filters_forward(host):
            yield Finding(
                severity=WARNING,
                check="sysctls",
                host=host.name,
                where="net.bridge.bridge-nf-call-iptables",
                what="frames within bridges pass the host's IP rules, and a firewall drops what "
                "it does not know there",
                why="a firewall's rules for routed packets then drop traffic between containers, "
                "and every packet costs more",
                fix=f"on {host.name}: sysctl -w net.bridge.bridge-nf-call-iptables=0",
            )
        yield from _connections(host, values)


def _filters_forward(host: Host) -> bool:
    """Whether somebody's chain on the forward hook drops by default."""
    return any(
        chain.hook is not None and (chain.hook.hook, chain.hook.policy) == ("forward", "drop")
        for table in host.inside(HOST).foreign
        for chain in table.chains
    )


def _reverse_path(host: Host, values: dict[str, str]) -> Iterator[Finding]:
    strict = [key for key, value in values.items() if key.endswith("rp_filter") and value == "1"]
    several = len({each.link for each in host.inspection.routes if each.via}) > 1
    if strict and several:
        yield Finding(
            severity=WARNING,
            check="sysctls",
            host=host.name,
            where=", ".join(strict),
            what="strict reverse path filtering on a host with gateways on several links",
            why="tunnel packets that come in by another link than answers leave by are dropped",
            fix=f"on {host.name}: sysctl -w {strict[0]}=2",
        )


def _connections(host: Host, values: dict[str, str]) -> Iterator[Finding]:
    count = values.get("net.netfilter.nf_conntrack_count", "")
    most = values.get("net.netfilter.nf_conntrack_max", "")
    if count.isdecimal() and most.isdecimal() and int(most):
        share = int(count) / int(most)
        if share >= CONNTRACK_FULL:
            yield Finding(
                severity=ERROR if share >= 1 else WARNING,
                check="sysctls",
                host=host.name,
                where="net.netfilter.nf_conntrack_max",
                what=f"the connection table is {share:.0%} full ({count} of {most})",
                why="new connections are dropped when it is full",
                fix=f"on {host.name}: sysctl -w net.netfilter.nf_conntrack_max={int(most) * 2}",
            )


def clocks(scene: Scene) -> Iterator[Finding]:
    """Clocks that differ from the asking host's, as far as that is certain."""
    for host in scene.hosts.values():
        off = skew(host.report, host.inspection)
        if abs(off) >= SKEW:
            yield Finding(
                severity=ERROR if abs(off) >= GREAT_SKEW else WARNING,
                check="clocks",
                host=host.name,
                where="clock",
                what=f"its clock is {abs(off):.1f} s {'ahead' if off > 0 else 'behind'}",
                why="certificates are judged by it, and logs of several hosts are ordered by it",
                fix=f"on {host.name}: start a time service (chrony, systemd-timesyncd)",
            )


def skew(report: Report, inspection: Inspection) -> float:
    """Seconds by which a host's clock is ahead (or, negative, behind) at least. What it did, it did
    between our question and its answer's arrival."""
    if inspection.begun_at < report.asked_at:
        return inspection.begun_at - report.asked_at
    if inspection.done_at > report.heard_at:
        return inspection.done_at - report.heard_at
    return 0.0


def certificates(scene: Scene) -> Iterator[Finding]:
    """Certificates that end, or did."""
    for host in scene.hosts.values():
        if host.inspection.identity_error:
            yield Finding(
                severity=ERROR,
                check="certificates",
                host=host.name,
                where="this host",
                what=host.inspection.identity_error,
                why="when skepd is started again, this host is out of its cluster",
                fix=f"on {host.name}: put the file back from a copy, or docker swarm leave and "
                "join again",
            )
        for each in host.inspection.certificates:
            finding = _certificate(host, each)
            if finding is not None:
                yield finding


def _certificate(host: Host, certificate: Certificate) -> Finding | None:
    left = certificate.ends_at - host.inspection.done_at
    authority = "CA" in certificate.subject
    life = certificate.ends_at - certificate.begins_at
    near = left < CA_NEAR_END if authority else left < life * NEAR_END
    early = certificate.begins_at - host.inspection.done_at
    if left > 0 and not near and early <= 0:
        return None
    what = f"the certificate of {certificate.subject} "
    what += (
        f"is not good for another {early / 3600:.1f} h"
        if early > 0
        else f"ends in {left / DAY:.1f} days"
        if left > 0
        else f"ended {-left / DAY:.1f} days ago"
    )
    return Finding(
        severity=WARNING if left > 0 and early <= 0 else ERROR,
        check="certificates",
        host=host.name,
        where=certificate.subject,
        what=what,
        why="with it ends the host's session, and with that all news of the cluster",
        fix="docker swarm ca --rotate"
        if authority
        else f"on {host.name}: skepd renews it as soon as it reaches a manager; if it cannot, "
        "docker swarm leave and join again",
    )


def disks(scene: Scene) -> Iterator[Finding]:
    """Disks that are full."""
    for host in scene.hosts.values():
        seen = set()
        for disk in host.inspection.disks:
            key = (disk.total, disk.free)
            share = _left(disk)
            if share < NEARLY_FULL and key not in seen:
                seen.add(key)
                yield Finding(
                    severity=ERROR if share < FULL else WARNING,
                    check="disks",
                    host=host.name,
                    where=disk.path,
                    what=f"{share:.1%} of the disk under {disk.path} is left",
                    why="assignments, records and images cannot be written to a full disk",
                    fix=f"on {host.name}: docker system prune; du -xh {disk.path}",
                )


def _left(disk: Disk) -> float:
    bytes_left = disk.free / disk.total if disk.total else 1.0
    inodes_left = disk.inodes_free / disk.inodes if disk.inodes else 1.0
    return min(bytes_left, inodes_left)


def refusals(scene: Scene) -> Iterator[Finding]:
    """What the kernel refused when skepd last tried."""
    for host in scene.hosts.values():
        for each in host.inspection.failures:
            yield Finding(
                severity=ERROR,
                check="repairs",
                host=host.name,
                where=each.namespace or "the host's namespace",
                what=f"the kernel refused {each.what}: {each.why}",
                why="skepd tries again every second, and this stays as it is until it succeeds",
                fix=f"skep doctor --fix --host {host.name}, and look at what is in its way",
                fixable=True,
            )

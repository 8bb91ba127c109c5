"""What is in the kernels: not as planned, left over, or put there by somebody else."""

from __future__ import annotations

from collections.abc import Iterator

from skep.model.inspection import NameAnswer
from skep.model.netstate import GROUP, HOST
from skep.trace.drift import differences, held_words, place, repair_promise
from skep.trace.finding import ERROR, WARNING, Finding
from skep.trace.goal import wrong_answer
from skep.trace.scene import Host, Scene

SHOWN = 3
"""Differences that are named of each namespace."""


def drift(scene: Scene) -> Iterator[Finding]:
    """Kernels that do not contain what they should, a finding per namespace."""
    for host in scene.hosts.values():
        for namespace in sorted({op.ns for op in host.ops}):
            found = differences(host, [op for op in host.ops if op.ns == namespace])
            said = "; ".join(each.sentence for each in found[:SHOWN])
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            surplus = all(each.foreign for each in found)
            yield Finding(
                severity=WARNING if surplus else ERROR,
                check="objects",
                host=host.name,
                where=place(host, namespace),
                what=f"{said}{more}",
                why="it is in nobody's plan" if surplus else "packets are lost or go astray",
                fix=repair_promise(host),
                fixable=True,
            )


def holds(scene: Scene) -> Iterator[Finding]:
    """Hosts on which nothing is repaired, because somebody wants it so."""
    for host in scene.hosts.values():
        if host.inspection.held_until:
            yield Finding(
                severity=WARNING,
                check="hold",
                host=host.name,
                where="skepd",
                what=f"it is held {held_words(host)}: what is not as planned stays so",
                why="whoever holds it looks for a fault; until then nothing there mends itself",
                fix=f"skep hold --release {host.name}",
            )


def strangers(scene: Scene) -> Iterator[Finding]:
    """Tables and links of others inside namespaces that are Skep's own."""
    for host in scene.hosts.values():
        for name, namespace in sorted(host.inspection.state.items()):
            box = host.sandbox(name)
            if name == HOST or (box is not None and box.container_id):
                continue  # the administrator's, and the containers' own affair
            for table in host.inside(name).foreign:
                yield _stranger(
                    host, name, f"nft table {table.family} {table.name}",
                    f"nft delete table {table.family} {table.name}",
                )  # fmt: skip
            for link in namespace.links.values():
                if link.group != GROUP:
                    yield _stranger(host, name, f"link {link.name}", f"ip link del {link.name}")


def _stranger(host: Host, namespace: str, what: str, command: str) -> Finding:
    return Finding(
        severity=WARNING,
        check="objects",
        host=host.name,
        where=place(host, namespace),
        what=f"{what} is not Skep's",
        why="what others put into Skep's namespaces may lose packets, and nobody looks after it",
        fix=f"on {host.name}: ip netns exec {namespace} {command}",
    )


def names(scene: Scene) -> Iterator[Finding]:
    """Names that are answered wrongly, or not at all."""
    for host in scene.hosts.values():
        if host.inspection.dns_error:
            yield Finding(
                severity=ERROR,
                check="names",
                host=host.name,
                where="skep-dns",
                what=f"skep-dns cannot be reached: {host.inspection.dns_error}",
                why="containers keep the names they had, or have none",
                fix=f"on {host.name}: kill skep-dns (skepd starts a new one within 2 s), and look "
                "at /run/skep/dns.log",
            )
        seen = set()
        for answer in host.inspection.names:
            trouble = wrong_answer(answer)
            if trouble is not None and answer.namespace not in seen:
                seen.add(answer.namespace)
                yield _name(host, answer, trouble.why, trouble.should)


def _name(host: Host, answer: NameAnswer, what: str, should: str) -> Finding:
    return Finding(
        severity=ERROR,
        check="names",
        host=host.name,
        where=place(host, answer.namespace),
        what=f"{what}; it should be {should}",
        why=f"{host.owner(answer.namespace)} cannot find its peers",
        fix=f"skep doctor --fix --host {host.name} gives skep-dns its names anew; if it is dead, "
        "kill it: skepd starts another",
        fixable=True,
    )

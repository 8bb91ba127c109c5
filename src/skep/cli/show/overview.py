"""The swarm on one screen, and its networks as trees: lines out of the API's answers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from skep.cli.show.order import natural

Json = Mapping[str, Any]
Rows = list[tuple[str, ...]]
LIVING = ("new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting",
          "running")  # fmt: skip


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the API answered: nodes, services, tasks and networks, and a manager's readings."""

    nodes: Sequence[Json] = ()
    services: Sequence[Json] = ()
    tasks: Sequence[Json] = ()
    networks: Sequence[Json] = ()
    readings: Json = {}


class Section(msgspec.Struct, frozen=True):
    """A table with a heading; of ``alarming`` rows, by number, something is wrong."""

    title: str
    heading: tuple[str, ...]
    rows: Rows
    alarming: frozenset[int] = frozenset()


def sections(seen: Seen) -> tuple[Section, ...]:
    """Hosts, services and networks."""
    return _hosts(seen), _services(seen), _networks(seen)


def _hosts(seen: Seen) -> Section:
    running = Counter(task.get("NodeID") for task in seen.tasks if _state(task) == "running")
    cluster, peers = seen.readings.get("cluster") or {}, seen.readings["host"].get("peers") or {}
    behind = cluster.get("behind") or {}
    rows: Rows = []
    alarming: set[int] = set()
    for node in sorted(seen.nodes, key=lambda each: natural(each["Description"]["Hostname"])):
        name, state = node["Description"]["Hostname"], node["Status"]["State"]
        sight = peers.get(name)
        if state != "ready" or (sight and sight["loss"] > 0) or behind.get(name, 0) > 0:
            alarming.add(len(rows))
        rows.append((
            name, state, node["Spec"]["Availability"], node["Spec"]["Role"],
            str(running[node["ID"]]), str(behind.get(name, "-")),
            f"{sight['rtt'] * 1000:.2f} ms" if sight and sight["rtt"] else "-",
            f"{sight['loss']:.0%}" if sight and sight["probes"] else "-",
        ))  # fmt: skip
    heading = ("HOST", "STATE", "AVAILABILITY", "ROLE", "TASKS", "BEHIND", "DELAY", "LOSS")
    return Section(f"Hosts ({len(rows)})", heading, rows, frozenset(alarming))


def _services(seen: Seen) -> Section:
    living = [task for task in seen.tasks if _lives(task)]
    wanted = Counter(task.get("ServiceID") for task in living)
    running = Counter(task.get("ServiceID") for task in living if _state(task) == "running")
    rows: Rows = []
    alarming: set[int] = set()
    for service in sorted(seen.services, key=lambda each: natural(each["Spec"]["Name"])):
        spec, id = service["Spec"], service["ID"]
        mode = next(iter(spec.get("Mode") or {"Replicated": {}}))
        replicas = (spec.get("Mode") or {}).get("Replicated", {}).get("Replicas")
        should = wanted[id] if replicas is None else replicas
        if running[id] < should:
            alarming.add(len(rows))
        ports = (service.get("Endpoint") or {}).get("Ports") or ()
        rows.append((
            spec["Name"], mode.lower(), f"{running[id]}/{should}",
            ", ".join(f"{p.get('PublishedPort', '*')}->{p['TargetPort']}/{p['Protocol']}"
                      for p in ports),
            (service.get("UpdateStatus") or {}).get("State", ""),
        ))  # fmt: skip
    heading = ("SERVICE", "MODE", "TASKS", "PORTS", "UPDATE")
    return Section(f"Services ({len(rows)})", heading, rows, frozenset(alarming))


def _networks(seen: Seen) -> Section:
    pools = (seen.readings.get("cluster") or {}).get("pools") or ()
    full = {number for number, pool in enumerate(pools) if pool["used"] >= 0.9 * pool["size"]}
    rows: Rows = [
        (pool["network"], f"{pool['used']} of {pool['size']}", f"{pool['used'] / pool['size']:.0%}")
        for pool in pools
        if pool["size"]
    ]
    return Section(
        f"Networks ({len(rows)})", ("NETWORK", "ADDRESSES", "USED"), rows, frozenset(full)
    )


def aligned(section: Section) -> Iterator[tuple[str, bool]]:
    """The section's lines, and of each whether it alarms."""
    yield section.title, False
    table = [section.heading, *section.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, row in enumerate(table):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip(), number - 1 in section.alarming


# --- trees


class Branch(msgspec.Struct, frozen=True):
    """A line, and what belongs below it."""

    text: str
    below: tuple[Branch, ...] = ()


def trees(seen: Seen) -> list[Branch]:
    """Each network with what is attached to it: services with their tasks, containers."""
    hosts = {node["ID"]: node["Description"]["Hostname"] for node in seen.nodes}
    return [
        Branch(_network_line(network), tuple(_attached(network, seen, hosts)))
        for network in sorted(seen.networks, key=lambda each: natural(each["Name"]))
    ]


def _network_line(network: Json) -> str:
    config = (network.get("IPAM") or {}).get("Config") or ()
    subnets = ", ".join(each["Subnet"] for each in config if each.get("Subnet"))
    said = [network["Name"], network.get("Driver", ""), network.get("Scope", ""), subnets]
    return "  ".join(word for word in said if word)


def _attached(network: Json, seen: Seen, hosts: Mapping[str, str]) -> Iterator[Branch]:
    known = set()
    for service in sorted(seen.services, key=lambda each: natural(each["Spec"]["Name"])):
        lines = []
        for task in seen.tasks:
            address = _address(task, network["Id"])
            if task.get("ServiceID") == service["ID"] and _lives(task) and address:
                name = f"{service['Spec']['Name']}.{task.get('Slot') or task.get('NodeID')}"
                known.add(address)
                lines.append((name, address, hosts.get(task.get("NodeID", ""), "-"), _state(task)))
        vips = (service.get("Endpoint") or {}).get("VirtualIPs") or ()
        vip = next((v.get("Addr", "") for v in vips if v["NetworkID"] == network["Id"]), "")
        if lines or vip:
            below = [Branch("  ".join(line)) for line in sorted(lines)]
            yield Branch(f"{service['Spec']['Name']}  {vip or 'no VIP'}", tuple(below))
    for box in sorted((network.get("Containers") or {}).values(), key=lambda each: each["Name"]):
        if box.get("IPv4Address", "") not in known:
            yield Branch(f"{box['Name']}  {box.get('IPv4Address') or '-'}")


def drawn(branches: Sequence[Branch], margin: str = "") -> Iterator[str]:
    """Trees as lines."""
    for number, branch in enumerate(branches):
        last = number == len(branches) - 1
        yield f"{margin}{'└─ ' if last else '├─ '}{branch.text}"
        yield from drawn(branch.below, f"{margin}{'   ' if last else '│  '}")


def _address(task: Json, network_id: str) -> str:
    for attachment in task.get("NetworksAttachments") or ():
        if attachment["Network"]["ID"] == network_id:
            return str(next(iter(attachment.get("Addresses") or ()), ""))
    return ""


def _state(task: Json) -> str:
    return str(task["Status"]["State"])


def _lives(task: Json) -> bool:
    return _state(task) in LIVING and task["DesiredState"] in ("running", "ready", "complete")

"""``service inspect --pretty``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skep.cli.show.functions import printed
from skep.cli.show.times import human_span, instant
from skep.cli.syntax.quantities import show_duration, show_memory

Json = Mapping[str, Any]
_NANO = 1_000_000_000


def pretty_service(service: Json, networks: Mapping[str, str]) -> str:
    """A service for the eye; ``networks`` are names by id."""
    spec = service["Spec"]
    task = spec.get("TaskTemplate", {})
    container = task.get("ContainerSpec") or {}
    lines = [
        "",
        *_head(service, spec),
        *_placement(task.get("Placement") or {}),
        *_policy("UpdateConfig", "Update order:      ", spec.get("UpdateConfig")),
        *_policy("RollbackConfig", "Rollback order:    ", spec.get("RollbackConfig")),
        *_container(container),
        *_kernel(container),
        *_files(container),
        *_log_driver(task.get("LogDriver")),
        *_resources(task.get("Resources")),
    ]
    attached = [networks.get(each["Target"], each["Target"]) for each in task.get("Networks") or ()]
    if attached:
        lines.append("Networks:" + "".join(f" {name}" for name in attached) + " ")
    lines.append(f"Endpoint Mode:\t{(spec.get('EndpointSpec') or {}).get('Mode', '')}")
    text = "\n".join((*lines, *_ports((service.get("Endpoint") or {}).get("Ports") or ())))
    return text + _health(container.get("Healthcheck"))


def _head(service: Json, spec: Json) -> Iterator[str]:
    yield f"ID:\t\t{service['ID']}"
    yield f"Name:\t\t{spec['Name']}"
    labels = spec.get("Labels") or {}
    if labels:
        yield "Labels:"
        yield from (f" {key}={labels[key]}" if labels[key] else f" {key}" for key in sorted(labels))
    mode = spec.get("Mode", {})
    if mode.get("Global") is not None:
        yield "Service Mode:\tGlobal"
    elif mode.get("Replicated") is not None:
        yield "Service Mode:\tReplicated"
        if mode["Replicated"].get("Replicas") is not None:
            yield f" Replicas:\t{mode['Replicated']['Replicas']}"
    else:
        yield "Service Mode:"
    yield from _update_status(service.get("UpdateStatus") or {})


def _update_status(status: Json) -> Iterator[str]:
    if not status.get("State"):
        return
    yield "UpdateStatus:"
    yield f" State:\t\t{status['State']}"
    if status.get("StartedAt"):
        yield f" Started:\t{human_span(time.time() - instant(status['StartedAt']))} ago"
    if status["State"] == "completed" and status.get("CompletedAt"):
        yield f" Completed:\t{human_span(time.time() - instant(status['CompletedAt']))} ago"
    yield f" Message:\t{status.get('Message', '')}"


def _placement(placement: Json) -> Iterator[str]:
    yield "Placement:"
    if placement.get("Constraints"):
        yield f" Constraints:\t{printed(placement['Constraints'])}"
    spread = [f"spread={each['Spread']['SpreadDescriptor']}"
              for each in placement.get("Preferences") or () if each.get("Spread")]  # fmt: skip
    if spread:
        yield f" Preferences:   {printed(spread)}"
    if placement.get("MaxReplicas"):
        yield f" Max Replicas Per Node:   {placement['MaxReplicas']}"


def _policy(title: str, order: str, policy: Json | None) -> Iterator[str]:
    if policy is None:
        return
    yield f"{title}:"
    yield f" Parallelism:\t{policy.get('Parallelism', 0)}"
    if policy.get("Delay"):
        yield f" Delay:\t\t{show_duration(policy['Delay'])}"
    yield f" On failure:\t{policy.get('FailureAction', '')}"
    if policy.get("Monitor"):
        yield f" Monitoring Period: {show_duration(policy['Monitor'])}"
    yield f" Max failure ratio: {printed(policy.get('MaxFailureRatio', 0))}"
    yield f" {order}{policy.get('Order', '')}"


def _container(container: Json) -> Iterator[str]:
    yield "ContainerSpec:"
    yield f" Image:\t\t{container.get('Image', '')}"
    for title, member in ((" Args:\t\t", "Args"), (" Env:\t\t", "Env")):
        if container.get(member):
            yield title + "".join(f"{word} " for word in container[member])
    if container.get("Dir"):
        yield f" Dir:\t\t{container['Dir']}"
    if container.get("Init") is not None:
        yield f" Init:\t\t{printed(container['Init'])}"
    if container.get("User"):
        yield f" User: {container['User']}"


def _kernel(container: Json) -> Iterator[str]:
    added, dropped = container.get("CapabilityAdd"), container.get("CapabilityDrop")
    if added or dropped:
        yield "Capabilities:"
    if added:
        yield f" Add: {', '.join(added)}"
    if dropped:
        yield f" Drop: {', '.join(dropped)}"
    sysctls = container.get("Sysctls") or {}
    if sysctls:
        yield "SysCtls:"
        yield from (f" {key}: {sysctls[key]}" if sysctls[key] else f" {key}"
                    for key in sorted(sysctls))  # fmt: skip
    limits = container.get("Ulimits") or ()
    if limits:
        yield "Ulimits:"
        shown = {each["Name"]: f"{each['Soft']}:{each['Hard']}" for each in limits}
        yield from (f" {name}: {shown[name]}" for name in sorted(shown))


def _files(container: Json) -> Iterator[str]:
    if container.get("Mounts"):
        yield "Mounts:"
    for mount in container.get("Mounts") or ():
        yield f" Target:\t{mount.get('Target', '')}"
        yield f"  Source:\t{mount.get('Source', '')}"
        yield f"  ReadOnly:\t{printed(bool(mount.get('ReadOnly')))}"
        yield f"  Type:\t\t{mount.get('Type', '')}"
    for noun in ("Config", "Secret"):
        if container.get(f"{noun}s"):
            yield f"{noun}s:"
        for each in container.get(f"{noun}s") or ():
            yield f" Target:\t{(each.get('File') or {}).get('Name', '')}"
            yield f"  Source:\t{each.get(f'{noun}Name', '')}"


def _log_driver(driver: Json | None) -> Iterator[str]:
    if driver is None:
        return
    yield "Log Driver:"
    if driver.get("Name"):
        yield f" Name:\t\t{driver['Name']}"
    options = driver.get("Options") or {}
    if options:
        yield " LogOpts:"
        yield from (f"  {key}:       {options[key]}" if options[key] else f"  {key}"
                    for key in sorted(options))  # fmt: skip
    yield ""


def _resources(resources: Json | None) -> Iterator[str]:
    if resources is None:
        return
    yield "Resources:"
    for title, member in ((" Reservations:", "Reservations"), (" Limits:", "Limits")):
        found = resources.get(member) or {}
        if found.get("NanoCPUs") or found.get("MemoryBytes") or found.get("Pids"):
            yield title
        if found.get("NanoCPUs"):
            yield f"  CPU:\t\t{printed(found['NanoCPUs'] / _NANO)}"
        if found.get("MemoryBytes"):
            yield f"  Memory:\t{show_memory(found['MemoryBytes'])}"
        if found.get("Pids"):
            yield f"  PIDs:\t\t{found['Pids']}"


def _ports(ports: Sequence[Json]) -> Iterator[str]:
    if not ports:
        return
    shown = ["Ports:"]
    for port in ports:
        shown.append(f" PublishedPort = {port.get('PublishedPort', 0)}")
        shown.append(f"  Protocol = {port.get('Protocol', '')}")
        shown.append(f"  TargetPort = {port.get('TargetPort', 0)}")
        shown.append(f"  PublishMode = {port.get('PublishMode', '')}")
    shown[-1] += " "
    yield from shown


def _health(check: Json | None) -> str:
    """The template leaves no line of its own after ports; so it is appended, not joined."""
    if not check:
        return "\n"
    shown = "\n Healthcheck:"
    shown += f"\n  Interval = {show_duration(check.get('Interval', 0))}"
    shown += f"\n  Retries = {check.get('Retries', 0)}"
    shown += f"\n  StartPeriod =\t{show_duration(check.get('StartPeriod', 0))}"
    shown += f"\n  Timeout =\t{show_duration(check.get('Timeout', 0))}"
    tests = check.get("Test") or ()
    if tests:
        shown += "\n  Tests:" + "".join(f"\n\t Test = {test}" for test in tests) + " "
    return f"{shown}\n"

"""What a container is asked to be, and what is remembered of that from the first moment on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from skep.agent.altering import check_memory
from skep.agent.binding import asked_bindings
from skep.agent.connecting import wanted_network
from skep.agent.network import NO_NETWORK, Network
from skep.agent.records import Record, Wanted
from skep.model.errors import Invalid, Missing

Json = dict[str, Any]

KEPT = ("Domainname", "Healthcheck", "StopSignal", "AttachStdin", "AttachStdout", "AttachStderr")
ELSEWHERE = ("NetworkMode", "PortBindings", "PublishAllPorts")
"""Members of HostConfig that have places of their own in a record."""

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
"""A file of control groups version 2. With version 1, containers see the host's groups."""


def draft_record(body: Json, mode: str, wanted: tuple[Wanted, ...], image: Json) -> Record:
    """What must be remembered of a create request; ids and name are filled in by the caller."""
    host = body.get("HostConfig") or {}
    exposed = {
        **((image.get("Config") or {}).get("ExposedPorts") or {}),
        **(body.get("ExposedPorts") or {}),
        **(host.get("PortBindings") or {}),
    }
    return Record(
        id="",
        name="",
        image=body.get("Image") or "",
        sandbox_id="",
        network_mode=mode,
        created_at=time.time(),
        hostname=body.get("Hostname") or "",
        wanted=wanted,
        published=asked_bindings(host),
        publish_all=bool(host.get("PublishAllPorts")),
        exposed_ports=tuple(sorted(exposed)),
        labels=dict(body.get("Labels") or {}),
        extra_hosts=tuple(host.get("ExtraHosts") or ()),
        links=tuple(host.get("Links") or ()),
        search=tuple(host.get("DnsSearch") or ()),
        nameservers=tuple(host.get("Dns") or ()),
        dns_options=tuple(host.get("DnsOptions") or ()),
        asked=kept_request(body),
    )


def refuse_unsupported(body: Json) -> None:
    """Say no, before anything is made, to what this version would otherwise silently ignore."""
    host = body.get("HostConfig") or {}
    mode = host.get("NetworkMode") or ""
    if mode.startswith("container:") and (host.get("PortBindings") or host.get("PublishAllPorts")):
        raise Invalid("conflicting options: port publishing and the container type network mode")
    if mode.startswith("container:") and body.get("Hostname"):
        raise Invalid("conflicting options: hostname and the network mode")
    directory = body.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        raise Invalid(
            f"the working directory '{directory}' is invalid, it needs to be an absolute path"
        )
    check_memory(host)


def check_others(body: Json, find: Callable[[str], Record]) -> None:
    """Raises `Invalid` if a container that the request names is not there: clients take
    `Missing` for an image to be pulled."""
    host = body.get("HostConfig") or {}
    shared = [str(host.get(name) or "") for name in ("PidMode", "IpcMode", "NetworkMode")]
    for name in (
        *(link.partition(":")[0] for link in host.get("Links") or ()),
        *(source.partition(":")[0] for source in host.get("VolumesFrom") or ()),
        *(mode.partition(":")[2] for mode in shared if mode.startswith("container:")),
    ):
        try:
            find(name)
        except Missing as missing:
            raise Invalid(f"could not get container for {name}: {missing}") from None


def kept_request(body: Json) -> Json:
    """What of a create request is shown again as it was said, HostConfig above all."""
    kept = {name: body[name] for name in KEPT if body.get(name) is not None}
    host = {
        name: value
        for name, value in (body.get("HostConfig") or {}).items()
        if value is not None and name not in ELSEWHERE
    }
    host["CgroupnsMode"] = host.get("CgroupnsMode") or ("private" if UNIFIED.exists() else "host")
    return {**kept, "HostConfig": host}


def wanted_networks(body: Json) -> tuple[str, tuple[Wanted, ...]]:
    """The network mode and the networks that a create request asks for."""
    host = body.get("HostConfig") or {}
    mode = host.get("NetworkMode") or "default"
    asked = ((body.get("NetworkingConfig") or {}).get("EndpointsConfig")) or {}
    if mode in ("host", *NO_NETWORK) or mode.startswith("container:"):
        return mode, ()
    names = [mode, *(name for name in asked if name != mode)]
    wanted = []
    for name in names:
        config = asked.get(name) or {}
        wanted.append(wanted_network(name, config))
    return mode, tuple(wanted)


def meant(wanted: tuple[Wanted, ...], network: Network) -> tuple[Wanted, ...]:
    """With whole ids for what begins the id of one network alone. Raises `Invalid` for what begins
    several; what is no network is left to who looks for it."""
    known = {each.id: each.name for each in network.locals.all()}
    known |= {each.id: each.spec.name for each in network.assignment.networks.values()}
    return tuple(
        msgspec.structs.replace(item, network=_whole(item.network, known)) for item in wanted
    )


def _whole(reference: str, names: Mapping[str, str]) -> str:
    """Docker's order: a name, an id, the beginning of an id."""
    if reference in ("default", *names, *names.values()):
        return reference
    found = [id for id in names if id.startswith(reference)]
    if len(found) > 1:
        raise Invalid(
            f"network {reference} is ambiguous ({len(found)} matches found on name or ID prefix)"
        )
    return found[0] if found else reference


def on_anothers(record: Record, body: Json, find: Callable[[str], Record]) -> Json:
    """The create body of a container without sandbox: on another's network, it has that one's host
    name, too."""
    kind, _, other = record.network_mode.partition(":")
    if kind != "container":
        return body
    shared = find(other)
    return {**body, "Hostname": shared.hostname or shared.id[:12]}


def tagged(image: str) -> str:
    """An image reference with the tag that is meant when none is written."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"

"""Containers: what the engine says of them, with our networking and the user's own words in it."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

from skep.api.ports import Container
from skep.api.shapes import endpoint
from skep.api.shapes.base import Json
from skep.api.shapes.endpoint import Networks
from skep.api.shapes.hostconfig import host_config, on_record
from skep.engine.runtime import NETNS_MOUNT

STATES = {
    "configured": "created",
    "initialized": "created",
    "stopping": "running",
    "stopped": "exited",
}
"""Podman's words for states that Docker calls otherwise."""

OUR_FILES = {"/etc/hosts": "HostsPath", "/etc/resolv.conf": "ResolvConfPath"}
"""Files that Skep gives each container: mounts to the engine, none of the user's doing."""

ASKED = ("Domainname", "Healthcheck", "StopSignal", "AttachStdin", "AttachStdout", "AttachStderr")
"""Members of Config that are shown as the user said them. The engine has others or none."""

HEALTH = {"starting": "health: starting"}
"""How the STATUS column words a health; the other two are said as they are."""

SHA256 = "sha256:"


def row(engine: Json, container: Container, networks: Networks) -> Json:
    """One line of ``GET /containers/json``."""
    state = STATES.get(engine.get("State", ""), engine.get("State", ""))
    return {
        **engine,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": digest(engine.get("ImageID", "")),
        "State": state,
        "Status": status(engine.get("Status", ""), container.health),
        "Ports": endpoint.ports(container) if state == "running" else [],
        "Labels": engine.get("Labels") or {},
        "HostConfig": {"NetworkMode": container.network_mode},
        "NetworkSettings": {"Networks": endpoint.container_networks(container, networks)},
        "Mounts": _mounts(engine.get("Mounts") or []),
    }


def status(said: str, health: str) -> str:
    """The STATUS column: how long it runs, and how well."""
    if not health or not said.startswith("Up"):
        return said
    return f"{said} ({HEALTH.get(health, health)})"


def inspected(engine: Json, container: Container, networks: Networks) -> Json:
    """``GET /containers/{id}/json``."""
    return {
        **engine,
        "Name": f"/{container.name}",
        "Image": digest(engine.get("Image", "")),
        "Platform": engine.get("Platform") or "linux",
        **_paths(engine.get("Mounts") or []),
        "State": _state(engine.get("State") or {}, container.health),
        "Config": _config(engine.get("Config") or {}, container),
        "HostConfig": _host_config(engine.get("HostConfig") or {}, container),
        "Mounts": _mounts(engine.get("Mounts") or []),
        "NetworkSettings": endpoint.settings(container, networks),
    }


def digest(image: str) -> str:
    """An image's id with its algorithm, which Podman leaves out."""
    return image if not image or image.startswith(SHA256) else SHA256 + image


def status_of(engine: Json) -> str:
    """How an inspected container is, in Docker's word."""
    said = str((engine.get("State") or {}).get("Status") or "")
    return STATES.get(said, said)


def _state(state: Json, health: str) -> Json:
    shown = {**state, "Status": STATES.get(state.get("Status", ""), state.get("Status", ""))}
    checks = dict(shown.pop("Health", None) or {})
    if health or checks.get("Status"):
        # The engine runs the checks, but when they begin is known here.
        shown["Health"] = {**checks, "Status": health or checks["Status"]}
    return shown


def _config(config: Json, container: Container) -> Json:
    shown = {
        **config,
        "Image": container.image,
        "StopSignal": _signal(config.get("StopSignal") or ""),
    }
    if container.exposed_ports:
        shown["ExposedPorts"] = {port: {} for port in container.exposed_ports}
    asked = container.asked.items()
    shown |= {name: said for name, said in asked if name in ASKED and said not in ("", {})}
    check = container.asked.get("Healthcheck")
    if check and not check.get("Test"):
        shown["Healthcheck"] = {**(config.get("Healthcheck") or {}), **check}
    return shown


def _signal(text: str) -> str:
    """A signal by its name, where the engine has its number."""
    numbers = {str(number.value): number.name for number in signal.Signals}
    return numbers.get(text, text)


def _host_config(config: Json, container: Container) -> Json:
    """Of containers that were made before their requests were kept, what the engine knows."""
    if container.asked:
        return host_config(container, config)
    return {
        **config,
        **container.limits,
        **on_record(container, config.get("RestartPolicy") or {}),
        "Binds": [bind for bind in config.get("Binds") or [] if not _is_ours(_target(bind))],
    }


def _target(bind: str) -> str:
    return bind.split(":")[1] if ":" in bind else bind


def _is_ours(target: str) -> bool:
    return target in OUR_FILES or target == NETNS_MOUNT


def _mounts(mounts: Iterable[Any]) -> list[Any]:
    """The mounts that are the user's."""
    return [m for m in mounts if not (isinstance(m, dict) and _is_ours(m.get("Destination", "")))]


def _paths(mounts: Iterable[Json]) -> Json:
    """Where our files of the container are on the host."""
    return {
        OUR_FILES[mount["Destination"]]: mount.get("Source", "")
        for mount in mounts
        if mount.get("Destination", "") in OUR_FILES
    }

"""The host and the daemon: ``docker version`` and ``docker info``."""

from __future__ import annotations

from collections.abc import Iterable

from skep.api.facts import LATEST, OLDEST, Facts, dotted
from skep.api.shapes.base import Json

NETWORK_DRIVERS = ("bridge", "host", "null", "overlay")
"""Of networks that services can use."""

PARENTED = ("ipvlan", "macvlan")
"""Of networks on a link of the host. Whether its kernel has such links, their making shows."""

VOLUME_DRIVERS = ("local",)
LOG_DRIVERS = ("json-file", "local", "none", "journald")

DEFAULTS: Json = {
    "Driver": "",
    "DriverStatus": [],
    "Plugins": {"Volume": list(VOLUME_DRIVERS), "Network": [], "Authorization": None, "Log": []},
    "LoggingDriver": "json-file",
    "CgroupDriver": "",
    "CgroupVersion": "",
    "GenericResources": None,
    "HttpProxy": "",
    "HttpsProxy": "",
    "NoProxy": "",
    "Labels": [],
    "Runtimes": {},
    "DefaultRuntime": "",
    "InitBinary": "",
    "ContainerdCommit": {"ID": ""},
    "RuncCommit": {"ID": ""},
    "InitCommit": {"ID": ""},
    "SecurityOptions": [],
    "CDISpecDirs": [],
    "Containers": 0,
    "ContainersRunning": 0,
    "ContainersPaused": 0,
    "ContainersStopped": 0,
    "Images": 0,
}
"""What the engine says of itself, if it can be asked."""


def version(facts: Facts, engine: Json) -> Json:
    """``GET /version``; ``engine`` is the container engine's own answer, {} if it is away."""
    return {
        "Platform": {"Name": "Skep"},
        "Components": [_component(facts), *_engine_components(engine)],
        "Version": facts.version,
        "ApiVersion": dotted(LATEST),
        "MinAPIVersion": dotted(OLDEST),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": facts.go_architecture,
        "KernelVersion": facts.kernel_version,
        "BuildTime": "",
    }


def _component(facts: Facts) -> Json:
    return {
        "Name": "Engine",
        "Version": facts.version,
        "Details": {
            "ApiVersion": dotted(LATEST),
            "Arch": facts.go_architecture,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": f"none (Python {facts.python})",
            "KernelVersion": facts.kernel_version,
            "MinAPIVersion": dotted(OLDEST),
            "Os": "linux",
        },
    }


def _engine_components(engine: Json) -> list[Json]:
    """The engine's components, none of which may pass for the daemon itself."""
    return [
        {
            "Name": component.get("Name", ""),
            "Version": component.get("Version", ""),
            "Details": component.get("Details") or {},
        }
        for component in engine.get("Components") or []
        if component.get("Name") != "Engine"
    ]


def info(
    facts: Facts, engine: Json, swarm: Json, warnings: Iterable[str], drivers: Iterable[str] = ()
) -> Json:
    """``GET /info``: the engine's answer (may be {}) with the daemon's own facts over it;
    ``drivers`` are plugins that are network drivers."""
    known = {name: engine[name] for name in DEFAULTS if engine.get(name)}
    plugins = {**DEFAULTS["Plugins"], **(engine.get("Plugins") or {})}
    return {
        **DEFAULTS,
        **known,
        "ID": facts.id,
        "Name": facts.hostname,
        "ServerVersion": facts.version,
        "Plugins": {
            **plugins,
            "Network": [*NETWORK_DRIVERS, *PARENTED, *drivers],
            "Log": list(LOG_DRIVERS),
        },
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "KernelVersion": facts.kernel_version,
        "OperatingSystem": facts.operating_system,
        "OSType": "linux",
        "Architecture": facts.architecture,
        "NCPU": facts.cpus,
        "MemTotal": facts.memory_bytes,
        "DockerRootDir": facts.root_directory,
        "DefaultAddressPools": [{"Base": base, "Size": size} for base, size in facts.address_pools],
        "IndexServerAddress": "",
        "RegistryConfig": {"InsecureRegistryCIDRs": [], "IndexConfigs": {}, "Mirrors": []},
        "ExperimentalBuild": False,
        "LiveRestoreEnabled": True,
        "IPv4Forwarding": True,
        "FirewallBackend": {"Driver": "nftables"},
        "Debug": False,
        "Swarm": swarm,
        "Warnings": list(warnings),
    }

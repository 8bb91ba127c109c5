"""``HostConfig`` of an inspected container: Docker's members, as the user said them."""

from __future__ import annotations

from typing import Any

from skep.api.ports import Container
from skep.api.shapes import endpoint
from skep.api.shapes.base import Json

SHM = 64 << 20
"""Bytes of a container's /dev/shm unless said otherwise."""

NUMBERS = (
    "OomScoreAdj", "CpuShares", "Memory", "NanoCpus", "BlkioWeight", "CpuPeriod", "CpuQuota",
    "CpuRealtimePeriod", "CpuRealtimeRuntime", "MemoryReservation", "MemorySwap", "CpuCount",
    "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth",
)  # fmt: skip
WORDS = (
    "ContainerIDFile", "VolumeDriver", "Cgroup", "PidMode", "UTSMode", "UsernsMode",
    "Isolation", "CgroupParent", "CpusetCpus", "CpusetMems",
)  # fmt: skip
LISTS = (
    "Dns", "DnsOptions", "DnsSearch", "BlkioWeightDevice", "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "Devices", "Ulimits",
)  # fmt: skip
NOTHING = (
    "Binds", "VolumesFrom", "CapAdd", "CapDrop", "ExtraHosts", "GroupAdd", "Links",
    "SecurityOpt", "DeviceCgroupRules", "DeviceRequests", "MemorySwappiness", "PidsLimit",
)  # fmt: skip
TRUTHS = ["AutoRemove", "Privileged", "ReadonlyRootfs", "OomKillDisable"]

UNSAID: Json = {
    **dict.fromkeys(NUMBERS, 0),
    **dict.fromkeys(WORDS, ""),
    **dict.fromkeys(TRUTHS, False),
    **dict.fromkeys(NOTHING),
    "ConsoleSize": [0, 0],
}
"""What Docker shows of members that nobody said anything of."""

MASKED = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def host_config(container: Container, engine: Json) -> Json:
    """A container's, whose create request is on record. ``engine`` is the engine's own."""
    asked = {name: value for name, value in container.asked["HostConfig"].items() if value}
    kept: Json = {name: [] for name in LISTS}
    shown: Json = {**UNSAID, **kept, **container.asked["HostConfig"]}
    log = asked.get("LogConfig") or {}
    return {
        **shown,
        **on_record(container, asked.get("RestartPolicy") or {}),
        "LogConfig": {"Type": log.get("Type") or "json-file", "Config": log.get("Config") or {}},
        "IpcMode": _with_id("IpcMode", asked, engine) or "private",
        "PidMode": _with_id("PidMode", asked, engine),
        "ShmSize": asked.get("ShmSize") or SHM,
        "Runtime": asked.get("Runtime") or "runc",
        "MemorySwap": asked.get("MemorySwap") or 2 * asked.get("Memory", 0),
        "MemorySwappiness": _swappiness(container.asked["HostConfig"]),
        "PidsLimit": asked.get("PidsLimit"),
        "Links": _links(container, asked.get("Links") or ()) or None,
        **_paths(container.asked["HostConfig"], privileged=bool(asked.get("Privileged"))),
        **container.limits,
    }


def on_record(container: Container, policy: Json) -> Json:
    """The members that Skep has on record of every container, and its restart policy."""
    return {
        "NetworkMode": container.network_mode,
        "PortBindings": endpoint.asked_ports(container),
        "PublishAllPorts": container.publish_all,
        "RestartPolicy": {
            "Name": policy.get("Name") or "no",
            "MaximumRetryCount": policy.get("MaximumRetryCount") or 0,
        },
    }


def _with_id(name: str, asked: Json, engine: Json) -> str:
    """Another container's namespace is shown by that container's id, which the engine has."""
    said = str(asked.get(name) or "")
    return str(engine.get(name) or said) if said.startswith("container:") else said


def _swappiness(host: Json) -> int | None:
    said = host.get("MemorySwappiness")
    return None if said is None or said < 0 else int(said)


def _links(container: Container, links: Any) -> list[str]:
    """``--link web:w`` of container c as Docker shows it: ``/web:/c/w``."""
    pairs = (link.partition(":") for link in links)
    return [
        f"/{target.removeprefix('/')}:/{container.name}/{alias or target.removeprefix('/')}"
        for target, _, alias in pairs
    ]


def _paths(host: Json, *, privileged: bool) -> Json:
    """What of /proc and /sys is hidden, and what cannot be written to."""
    masked, closed = host.get("MaskedPaths"), host.get("ReadonlyPaths")
    if privileged:
        return {"MaskedPaths": masked or None, "ReadonlyPaths": closed or None}
    return {
        "MaskedPaths": MASKED if masked is None else masked,
        "ReadonlyPaths": READ_ONLY if closed is None else closed,
    }

"""What of a create request Podman cannot do: said before anything is made. Pure.

Members of the request that nobody knows are refused too, so that none is ignored without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skep.engine.wording import RULE
from skep.model.errors import Invalid, Unsupported

Json = dict[str, Any]

BODY = frozenset({
    "ArgsEscaped", "AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Domainname",
    "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "HostConfig", "Hostname", "Image",
    "Labels", "MacAddress", "NetworkingConfig", "OnBuild", "OpenStdin", "Shell", "StdinOnce",
    "StopSignal", "StopTimeout", "Tty", "User", "Volumes", "WorkingDir",
})  # fmt: skip
"""Members of the request that have their effect."""

HOST = frozenset({
    "Annotations", "AutoRemove", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps", "BlkioWeight", "BlkioWeightDevice", "CapAdd",
    "CapDrop", "CgroupParent", "CgroupnsMode", "ConsoleSize", "ContainerIDFile", "CpuPeriod",
    "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares", "CpusetCpus",
    "CpusetMems", "DeviceCgroupRules", "Devices", "Dns", "DnsOptions", "DnsSearch",
    "ExtraHosts", "GroupAdd", "Init", "IpcMode", "Isolation", "Links", "LogConfig",
    "MaskedPaths", "Memory", "MemoryReservation", "MemorySwap", "MemorySwappiness", "Mounts",
    "NanoCpus", "NetworkMode", "OomKillDisable", "OomScoreAdj", "PidMode", "PidsLimit",
    "PortBindings", "Privileged", "PublishAllPorts", "ReadonlyPaths", "ReadonlyRootfs",
    "RestartPolicy", "Runtime", "SecurityOpt", "ShmSize", "StorageOpt", "Sysctls", "Tmpfs",
    "UTSMode", "Ulimits", "UsernsMode", "VolumeDriver", "VolumesFrom",
})  # fmt: skip
"""Members of its HostConfig that have theirs, or are checked here."""

WHY = {
    "DeviceRequests": (
        'could not select device driver "" with capabilities: [[gpu]]: there is none on this host; '
        "give single devices with --device instead of --gpus"
    ),
    "KernelMemory": "kernels have no limit for it any more: --memory counts it in",
    "KernelMemoryTCP": "kernels have no limit for it any more: --memory counts it in",
    "CpuCount": "it is for Windows: use --cpus",
    "CpuPercent": "it is for Windows: use --cpus",
    "IOMaximumBandwidth": "it is for Windows: use --device-read-bps and --device-write-bps",
    "IOMaximumIOps": "it is for Windows: use --device-read-iops and --device-write-iops",
    "NetworkDisabled": "use --network none",
}
"""Members that Docker knows and we do not, with what to do."""

CHOICES = {
    "Isolation": (("default",), "--isolation"),
    "Runtime": (("runc",), "--runtime"),
    "VolumeDriver": (("local",), "--volume-driver"),
    "UsernsMode": (("host",), "--userns"),
    "UTSMode": (("host",), "--uts"),
    "PidMode": (("host", "container:"), "--pid"),
    "IpcMode": (("none", "private", "shareable", "host", "container:"), "--ipc"),
    "CgroupnsMode": (("private", "host"), "--cgroupns"),
}
"""What a member may say, apart from nothing; a word with ":" is followed by a name."""

KEPT_OPTIONS = ("max-size",)
DROPPED_OPTIONS = ("max-file", "compress")
LOG_OPTIONS = {
    "json-file": (*KEPT_OPTIONS, *DROPPED_OPTIONS),
    "local": (*KEPT_OPTIONS, *DROPPED_OPTIONS),
    "none": (),
    "journald": ("tag",),
}
"""Log drivers and their options."""

OF_DOCKER = ("tag", "labels", "labels-regex", "env", "env-regex")
"""Options of Docker's json-file that put more into each line."""

MOUNTS = ("bind", "volume", "tmpfs")
UNDONE = {
    "BindOptions": ("ReadOnlyNonRecursive", "ReadOnlyForceRecursive"),
    "VolumeOptions": ("Subpath",),
}


def check_request(body: Json) -> list[str]:
    """Warnings for the user. Raises `Invalid`, `Unsupported`, naming the member."""
    host = body.get("HostConfig") or {}
    _check_members(body, BODY, "")
    _check_members(host, HOST, "HostConfig.")
    for name, (words, flag) in CHOICES.items():
        _check_choice(name, str(host.get(name) or ""), words, flag)
    for rule in host.get("DeviceCgroupRules") or ():
        if not RULE.fullmatch(rule):
            raise Invalid(f"invalid device cgroup rule format: '{rule}': it is like 'c 7:* rmw'")
    for mount in host.get("Mounts") or ():
        _check_mount(mount)
    return list(_log_warnings(host.get("LogConfig") or {}))


def _check_members(given: Json, known: frozenset[str], before: str) -> None:
    for name, value in given.items():
        if not value or name in known:
            continue
        if name in WHY:
            raise Unsupported(f"{before}{name} is not supported: {WHY[name]}")
        raise Invalid(f"{before}{name} is not a member of a container's configuration")


def _check_choice(name: str, said: str, words: tuple[str, ...], flag: str) -> None:
    fits = any(said == word or (word.endswith(":") and said.startswith(word)) for word in words)
    if said and not fits:
        known = ", ".join(word + "NAME" if word.endswith(":") else word for word in words)
        raise Invalid(
            f'invalid {flag} "{said}" (HostConfig.{name}): containers here can have {known}; '
            "or leave it away"
        )


def _check_mount(mount: Json) -> None:
    kind = mount.get("Type") or ""
    if kind not in MOUNTS:
        raise Unsupported(
            f"mounts of type {kind or 'nothing'} are not supported: use {', '.join(MOUNTS)}"
        )
    for part, names in UNDONE.items():
        for name in names:
            if (mount.get(part) or {}).get(name):
                raise Unsupported(f"{name} of the mount on {mount.get('Target')} is not supported")


def _log_warnings(config: Json) -> Iterator[str]:
    kind = config.get("Type") or "json-file"
    if kind not in LOG_OPTIONS:
        raise Invalid(
            f"logger: no log driver named '{kind}' is registered: "
            f"it is one of {', '.join(LOG_OPTIONS)}"
        )
    for name in config.get("Config") or ():
        if name in OF_DOCKER and name not in LOG_OPTIONS[kind]:
            raise Unsupported(f"log option {name} of {kind} is not supported: leave it away")
        if name not in LOG_OPTIONS[kind]:
            raise Invalid(f"unknown log opt '{name}' for {kind} log driver")
        if name in DROPPED_OPTIONS:
            yield f"log option {name} has no use: one file is kept, not above max-size"

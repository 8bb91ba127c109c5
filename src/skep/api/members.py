"""The members of a request for a container, by their types: others are refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from skep.model.errors import Invalid

Json = dict[str, Any]

WORD, NUMBER, TRUTH = str | None, int | None, bool | None
WORDS, OBJECT, OBJECTS = list[str] | None, Json | None, list[Json] | None
PAIRS = dict[str, str] | None


def _kinds(kind: object, names: str) -> dict[str, object]:
    return dict.fromkeys(names.split(), kind)


BODY: Mapping[str, object] = {
    **_kinds(WORD, "Image Hostname Domainname User WorkingDir StopSignal MacAddress"),
    **_kinds(OBJECT, "HostConfig NetworkingConfig ExposedPorts Healthcheck Volumes"),
    **_kinds(TRUTH, "Tty OpenStdin StdinOnce AttachStdin AttachStdout AttachStderr"),
    **_kinds(list[str] | str | None, "Cmd Entrypoint"),
    "Labels": PAIRS,
    "Env": WORDS,
    "StopTimeout": NUMBER,
}
HOST: Mapping[str, object] = {
    **_kinds(
        WORD,
        "NetworkMode CgroupnsMode IpcMode PidMode UTSMode UsernsMode Isolation Runtime "
        "VolumeDriver CgroupParent CpusetCpus CpusetMems ContainerIDFile",
    ),
    **_kinds(
        WORDS,
        "Binds ExtraHosts Dns DnsOptions DnsSearch Links VolumesFrom CapAdd CapDrop GroupAdd "
        "SecurityOpt DeviceCgroupRules MaskedPaths ReadonlyPaths",
    ),
    **_kinds(OBJECTS, "Mounts Devices Ulimits BlkioWeightDevice BlkioDeviceReadBps"),
    **_kinds(OBJECTS, "BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps"),
    **_kinds(PAIRS, "Annotations Sysctls Tmpfs StorageOpt"),
    **_kinds(OBJECT, "LogConfig RestartPolicy PortBindings"),
    **_kinds(
        NUMBER,
        "Memory MemorySwap MemoryReservation MemorySwappiness NanoCpus CpuShares CpuPeriod "
        "CpuQuota CpuRealtimePeriod CpuRealtimeRuntime BlkioWeight ShmSize PidsLimit OomScoreAdj",
    ),
    **_kinds(TRUTH, "AutoRemove Init Privileged PublishAllPorts ReadonlyRootfs OomKillDisable"),
}
LOG: Mapping[str, object] = {"Type": WORD, "Config": PAIRS}
RESTART: Mapping[str, object] = {"Name": WORD, "MaximumRetryCount": NUMBER}
HEALTH: Mapping[str, object] = {
    "Test": WORDS,
    **_kinds(NUMBER, "Interval Timeout StartPeriod StartInterval Retries"),
}
MOUNT: Mapping[str, object] = {
    **_kinds(WORD, "Type Source Target"),
    **_kinds(OBJECT, "BindOptions VolumeOptions"),
    "ReadOnly": TRUTH,
    "TmpfsOptions": OBJECT,
}
TMPFS: Mapping[str, object] = {
    **_kinds(NUMBER, "SizeBytes Mode"),
    "Options": list[list[str]] | None,
}


def check_members(body: Json) -> None:
    """Raises `Invalid` for a member of another type than the Engine API's."""
    _check(body, BODY)
    host = body.get("HostConfig") or {}
    _check(host, HOST)
    _check(host.get("LogConfig") or {}, LOG)
    _check(host.get("RestartPolicy") or {}, RESTART)
    _check(body.get("Healthcheck") or {}, HEALTH)
    for mount in host.get("Mounts") or ():
        _check(mount, MOUNT)
        _check(mount.get("TmpfsOptions") or {}, TMPFS)
    networking = body.get("NetworkingConfig") or {}
    _check(networking, {"EndpointsConfig": dict[str, Json | None] | None})


def _check(given: Json, kinds: Mapping[str, object]) -> None:
    for name in _present(given, kinds):
        try:
            msgspec.convert(given[name], kinds[name])
        except msgspec.ValidationError:
            raise Invalid(f"invalid JSON: {name} is of another type") from None


def _present(given: Json, kinds: Mapping[str, object]) -> Iterable[str]:
    return (name for name in kinds if name in given)

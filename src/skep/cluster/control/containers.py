"""What the container of a service's spec must be in itself.

Source of the sentences: swarmkit manager/controlapi/service, moby daemon/cluster/convert and
daemon/cluster/executor/container.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from skep.cluster import rpc
from skep.cluster.needs import config_path, secret_path
from skep.model.container import (
    LAST_ID,
    ConfigReference,
    ContainerSpec,
    FileTarget,
    HealthConfig,
    Mount,
    SecretReference,
)
from skep.model.errors import Invalid, Unsupported

LONGEST_IMAGE = 512
LEAST_DURATION = 1_000_000
"""Nanoseconds: health checks count in whole milliseconds at least."""

CHECKS = ("NONE", "CMD", "CMD-SHELL")
MOUNTS = ("bind", "volume", "tmpfs")
OTHER_MOUNTS = ("npipe", "cluster", "image")
"""Types that Docker knows: named pipes are Windows', the others need drivers Skep does not have."""

PROPAGATIONS = ("", "rprivate", "private", "rshared", "shared", "rslave", "slave")

_DOMAIN = r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?"
)


def check_container(spec: ContainerSpec) -> None:
    """Raises `Invalid` in Docker's words, `Unsupported` for what Skep does not do.

    Templates are filled in already.
    """
    if not spec.image:
        raise rpc.invalid("ContainerSpec: image reference must be provided")
    if len(spec.image) > LONGEST_IMAGE or not _IMAGE.fullmatch(spec.image):
        raise rpc.invalid(f"ContainerSpec: {json.dumps(spec.image)} is not a valid repository/tag")
    if spec.isolation not in ("", "default"):
        raise Unsupported(f"isolation {spec.isolation} is not supported: it is for Windows")
    _check_mounts(spec.mounts)
    if spec.healthcheck is not None:
        _check_health(spec.healthcheck)
    _check_files(spec)


# --- mounts


def _check_mounts(mounts: tuple[Mount, ...]) -> None:
    targets: set[str] = set()
    for mount in mounts:
        _check_mount(mount)
        if mount.target in targets:
            raise rpc.invalid(f"ContainerSpec: duplicate mount point: {mount.target}")
        targets.add(mount.target)


def _check_mount(mount: Mount) -> None:
    if mount.type in OTHER_MOUNTS:
        raise Unsupported(f"mounts of type {mount.type} are not supported: {', '.join(MOUNTS)} are")
    if mount.type not in MOUNTS:
        raise Invalid(f"invalid MountType: {json.dumps(mount.type)}")
    if not mount.target.startswith("/"):
        raise rpc.invalid(f"invalid mount target, must be an absolute path: {mount.target}")
    if mount.type == "bind" and not mount.source.startswith("/"):
        raise rpc.invalid(f"invalid bind mount source, must be an absolute path: {mount.source}")
    if mount.type == "volume" and mount.source.startswith("/"):
        raise rpc.invalid(
            f"invalid volume mount source, must not be an absolute path: {mount.source}"
        )
    if mount.type == "tmpfs" and mount.source:
        raise rpc.invalid("invalid tmpfs source, source must be empty")
    _check_mount_options(mount)


def _check_mount_options(mount: Mount) -> None:
    bind, volume, tmpfs = mount.bind_options, mount.volume_options, mount.tmpfs_options
    for type_, options in (("bind", bind), ("volume", volume), ("tmpfs", tmpfs)):
        if options is not None and mount.type != type_:
            raise Invalid(f"{type_} options cannot be used with a mount of type {mount.type}")
    if bind is not None and bind.propagation not in PROPAGATIONS:
        raise Invalid(f"invalid MountPropagation: {json.dumps(bind.propagation)}")
    if volume is None:
        return
    if volume.driver_config is not None and volume.driver_config.name not in ("", "local"):
        raise Unsupported(
            f"volume driver {volume.driver_config.name} is not supported: volumes are local"
        )
    if volume.subpath:
        raise Unsupported(f"mounting a part of a volume ({volume.subpath}) is not supported")


# --- health checks


def _check_health(check: HealthConfig) -> None:
    if check.test and check.test[0] not in CHECKS:
        raise rpc.invalid(f"ContainerSpec: unknown type of health check {check.test[0]}")
    durations = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    for name, duration in durations.items():
        if duration and duration < LEAST_DURATION:
            raise rpc.invalid(f"ContainerSpec: {name} in HealthConfig cannot be less than 1ms")
    if check.retries < 0:
        raise rpc.invalid("ContainerSpec: Retries in HealthConfig cannot be negative")


# --- secrets and configs


def _check_files(spec: ContainerSpec) -> None:
    """Every secret and config is named in full, and has a place that no other one has."""
    for secret in spec.secrets:
        _check_reference("secret", secret.secret_id, secret.secret_name, secret.file)
    for config in spec.configs:
        _check_reference("config", config.config_id, config.config_name, config.file)
    secrets = [(_target(s), s.secret_name) for s in spec.secrets]
    configs = [(_target(c), c.config_name) for c in spec.configs]
    _check_targets("secret", secrets)
    _check_targets("config", configs)
    places = {secret_path(target): name for target, name in secrets}
    for target, name in configs:
        other = places.get(config_path(target))
        if other is not None:
            raise rpc.invalid(
                f"secret '{other}' and config '{name}' have a conflicting target: "
                f"'{config_path(target)}'"
            )


def _check_reference(word: str, id: str, name: str, file: FileTarget | None) -> None:
    if not id or not name:
        raise rpc.invalid(f"malformed {word} reference")
    if file is None:
        raise rpc.invalid(f"malformed {word} reference, no target provided")
    if not file.name:
        raise rpc.invalid(f"malformed file {word} reference, invalid target file name provided")
    for owner in (file.uid, file.gid):
        if owner and not _is_id(owner):
            raise rpc.invalid(f"malformed {word} reference, {owner!r} is not a numeric id")


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(LAST_ID)) and int(text) <= LAST_ID


def _target(reference: SecretReference | ConfigReference) -> str:
    assert reference.file is not None, "references were checked"
    return reference.file.name


def _check_targets(word: str, targets: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for target, name in targets:
        if target in seen:
            raise rpc.invalid(
                f"{word} references '{seen[target]}' and '{name}' have a conflicting target: "
                f"'{target}'"
            )
        seen[target] = name

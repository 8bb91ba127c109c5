"""The container of a service's task, in the Engine API's own nouns and field names.

Source: Docker Engine API 1.50, schema TaskSpec.ContainerSpec. Durations are nanoseconds.
"""

from __future__ import annotations

import msgspec


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """Base: immutable, keyword-only, PascalCase on the wire, defaults left out."""


class BindOptions(Spec, frozen=True):
    """Of a bind mount: how mounts spread, and whether a missing source is made."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(Spec, frozen=True):
    """A driver and its options."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(Spec, frozen=True):
    """Of a volume mount: what to make it with if it does not exist."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    driver_config: DriverConfig | None = None
    subpath: str = ""


class TmpfsOptions(Spec, frozen=True):
    """Of a tmpfs mount: size in bytes, file mode."""

    size_bytes: int = 0
    mode: int = 0


class Mount(Spec, frozen=True):
    """A mount of a container: bind, volume or tmpfs."""

    type: str = "volume"
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class DnsConfig(Spec, frozen=True):
    """``--dns``, ``--dns-search``, ``--dns-option``."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class HealthConfig(Spec, frozen=True):
    """A health check: what to run and how often (nanoseconds; 0 is the default).

    ``test`` is () to inherit the image's, ("NONE",), ("CMD", …) or ("CMD-SHELL", "command").
    """

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0
    start_interval: int = 0


LAST_ID = 2**32 - 2
"""The largest number of a user or group: the next one says nobody."""


class FileTarget(Spec, frozen=True):
    """Where a secret or config appears in the container, whose it is, and its mode."""

    name: str = ""
    uid: str = msgspec.field(default="0", name="UID")
    gid: str = msgspec.field(default="0", name="GID")
    mode: int = 0o444


class SecretReference(Spec, frozen=True):
    """A secret that the container gets as a file."""

    file: FileTarget | None = None
    secret_id: str = msgspec.field(default="", name="SecretID")
    secret_name: str = ""


class ConfigReference(Spec, frozen=True):
    """A config that the container gets as a file."""

    file: FileTarget | None = None
    config_id: str = msgspec.field(default="", name="ConfigID")
    config_name: str = ""


class Ulimit(Spec, frozen=True):
    """A process limit, soft and hard."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class Privileges(Spec, frozen=True):
    """Security options of a container; only ``no_new_privileges`` is carried out."""

    no_new_privileges: bool = False


class ContainerSpec(Spec, frozen=True):
    """The container of a service's task."""

    image: str = ""
    labels: dict[str, str] = {}
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    hostname: str = ""
    env: tuple[str, ...] = ()
    dir: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    init: bool | None = None
    stop_signal: str = ""
    tty: bool = msgspec.field(default=False, name="TTY")
    open_stdin: bool = False
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    stop_grace_period: int | None = None
    healthcheck: HealthConfig | None = None
    hosts: tuple[str, ...] = ()
    dns_config: DnsConfig | None = msgspec.field(default=None, name="DNSConfig")
    secrets: tuple[SecretReference, ...] = ()
    configs: tuple[ConfigReference, ...] = ()
    isolation: str = ""
    sysctls: dict[str, str] = {}
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    privileges: Privileges | None = None

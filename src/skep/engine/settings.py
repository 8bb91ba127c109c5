"""What Podman is told, as the texts of its configuration files. Pure.

Sources: containers.conf(5), containers-storage.conf(5), containers-registries.conf(5),
containers-policy.json(5).
"""

from __future__ import annotations

import json

import msgspec

FILES_WANTED = 1_048_576
"""Open files that a container may have, as in Docker, if the machine allows it."""

PROCESSES_WANTED = 4_194_304
"""Processes that a container's user may have: the kernel's own limit."""

EXEC_MEMORY = 10
"""Seconds for which an ended exec can be inspected. Each keeps a conmon alive for so long."""


class Limits(msgspec.Struct, frozen=True):
    """A process's hard limits of open files and processes, None for unlimited."""

    files: int | None = None
    processes: int | None = None


def default_ulimits(limits: Limits) -> dict[str, int]:
    """What a container gets of the limits that its user does not name: as much as we may give.
    Limits above our own hard ones would keep every container from starting."""
    return {
        "nofile": min(FILES_WANTED, limits.files or FILES_WANTED),
        "nproc": min(PROCESSES_WANTED, limits.processes or PROCESSES_WANTED),
    }


def containers_conf(limits: Limits, hooks: str) -> str:
    """containers.conf, with the folder where hooks are looked for.

    Locks are files because Podman's shared memory has one name for all instances on a machine.
    """
    ulimits = [f"{name}={most}:{most}" for name, most in default_ulimits(limits).items()]
    return f"""\
[containers]
base_hosts_file = "none"
default_ulimits = {json.dumps(ulimits)}
log_driver = "k8s-file"
pids_limit = 0

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
exit_command_delay = {EXEC_MEMORY}
hooks_dir = [{json.dumps(hooks)}]
lock_type = "file"
runtime = "runc"
"""


def storage_conf(root: str, runroot: str) -> str:
    """storage.conf: overlay mounts below ``root``."""
    return f"""\
[storage]
driver = "overlay"
graphroot = {json.dumps(root)}
runroot = {json.dumps(runroot)}
"""


def registries_conf() -> str:
    """registries.conf: short names are Docker Hub's. As with Docker, a registry of the host's own
    (localhost, 127.0.0.1) needs no TLS."""
    local = "".join(
        f'\n[[registry]]\nlocation = "{name}"\ninsecure = true\n'
        for name in ("localhost", "127.0.0.1")
    )
    return f'unqualified-search-registries = ["docker.io"]\n{local}'


def policy_json() -> str:
    """policy.json: images are loaded by root, unsigned."""
    return json.dumps({"default": [{"type": "insecureAcceptAnything"}]})

"""Going into a host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from skep.lab import records, system
from skep.lab.layout import Host
from skep.model.errors import Unavailable


def enter(host: Host, command: Sequence[str]) -> NoReturn:
    """Become ``command``, run inside the host's namespaces; terminal, input and exit code are its.

    Raises `Forbidden`, `Unavailable` (the host has ended).
    """
    system.require_root()
    process = _init(host)
    # A docker client in there is meant to speak to that host, whatever is set out here.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
    nsenter = system.program("nsenter")
    target = f"--target={process.pid}"
    # The root too: nsenter would otherwise leave a chroot that this lab was made in.
    spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root")
    os.chdir("/")
    os.execve(nsenter, ["nsenter", target, *spaces, "--", *command], environment)


def _init(host: Host) -> records.Process:
    process = records.init_of(host)
    if process is None:
        raise Unavailable(f'{host.name} has ended: "skep lab up --name {host.lab}" makes it anew')
    return process

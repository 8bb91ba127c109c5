"""The inside of a host: what its mount namespace shows, seen and done from within."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from skep.lab import cgroups, system
from skep.lab.layout import RUN, Host

_QUIET = system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC


def prepare(host: Host, neighbours: Iterable[Host]) -> None:
    """Make the host's folders and files, from outside."""
    for folder in (host.run, host.etc, *host.private.values()):
        folder.mkdir(parents=True, exist_ok=True)
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{neighbour.address} {neighbour.name}" for neighbour in neighbours]
    (host.etc / "hosts").write_text("\n".join(lines) + "\n")
    (host.etc / "resolv.conf").write_text("# A lab has no way out, so there is nobody to ask.\n")


def furnish(host: Host) -> None:
    """Turn this process's new mount and UTS namespaces into the host's. Raises OSError."""
    socket.sethostname(host.name)
    trees, links = cgroups.hierarchies(), cgroups.links()
    system.mount("", "/", flags=system.MS_REC | system.MS_PRIVATE)
    _let_go_of_others()
    _replace_run(host)
    # Taken away first, not covered: programs read the mount table, and would find the machine's
    # control groups in it before the host's.
    for kind, target in (("proc", "/proc"), ("sysfs", "/sys")):
        system.unmount(target)
        system.mount(kind, target, kind, _QUIET)
    cgroups.mount_inside(trees, links)
    # Podman keeps locks in shared memory: two hosts must not meet there.
    system.mount("shm", "/dev/shm", "tmpfs", system.MS_NOSUID | system.MS_NODEV, "mode=1777")
    if Path("/dev/mqueue").is_dir():
        system.mount("mqueue", "/dev/mqueue", "mqueue", _QUIET)
    for place, own in host.private.items():
        _mount_private(own, place)


def _mount_private(own: Path, place: Path) -> None:
    if system.file_system(own) == "overlay":
        # As inside of a container. Images are overlays too, which cannot stand on one: use memory.
        system.mount("lab", str(place), "tmpfs", data="mode=711")
    else:
        system.mount(str(own), str(place), flags=system.MS_BIND)


def _let_go_of_others() -> None:
    """Drop our copies of mounts that are the machine's or other labs' business.

    A namespace or file system lives as long as any mount of it: with these copies, what others
    remove would stay alive until this host ends.
    """
    below_run = set(system.mounts_below(RUN.parent))
    namespaces = {mounted.target for mounted in system.mounts() if mounted.kind == "nsfs"}
    for target in sorted(below_run | namespaces, reverse=True):
        with suppress(OSError):  # went with the mount it was on
            system.unmount(target)


def _replace_run(host: Host) -> None:
    """Give the host its own /run, and its own files in /etc.

    /etc/resolv.conf is often a link into /run: then the file goes to where the link points.
    """
    for name in ("hosts", "resolv.conf"):
        target = Path(os.path.realpath(f"/etc/{name}"))
        if target.is_relative_to(RUN.parent):
            inside = host.run / target.relative_to(RUN.parent)
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_text((host.etc / name).read_text())
        elif target.exists():
            system.mount(str(host.etc / name), str(target), flags=system.MS_BIND)
    system.mount(str(host.run), str(RUN.parent), flags=system.MS_BIND)

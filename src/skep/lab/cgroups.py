"""Control groups of a lab: one subtree per host, which the host sees as the whole.

A host's containers can only make groups below it, so that taking a lab down finds them all, and
every process of the lab, even when nothing else was written down.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from skep.lab import records, system
from skep.lab.layout import Host, Lab
from skep.model.errors import Broken

ROOT = Path("/sys/fs/cgroup")
_TOP = "skep-lab"
_LEAF = "init"
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


class Hierarchy(msgspec.Struct, frozen=True):
    """A mounted tree of control groups; ``controllers`` is "" for version 2."""

    folder: Path
    controllers: str

    @property
    def top(self) -> Path:
        """The group of all labs."""
        return self.folder / _TOP

    def group(self, host: Host) -> Path:
        """The host's own group."""
        return self.top / host.lab / host.name


def hierarchies() -> tuple[Hierarchy, ...]:
    """Those mounted at their usual place: one for version 2, several for version 1 or both."""
    found = {}
    for mounted in system.mounts():
        folder = Path(mounted.target)
        if not folder.is_relative_to(ROOT):
            continue
        if mounted.kind == "cgroup2":
            found[folder] = Hierarchy(folder, "")
        elif mounted.kind == "cgroup":
            found[folder] = Hierarchy(folder, _controllers(mounted.options))
    return tuple(found.values())


def _controllers(options: str) -> str:
    """The part of a version 1 mount's options that says which tree it is."""
    named = [word for word in options.split(",") if word not in ("rw", "ro", "xattr")]
    ours = [word for word in named if not word.startswith(("release_agent=", "clone_children"))]
    return ",".join(["none", *ours] if ours[0].startswith("name=") else ours)


def make(host: Host) -> None:
    """Make the host's groups. Raises `Broken` where control groups cannot be made at all."""
    try:
        for hierarchy in hierarchies():
            group = hierarchy.folder
            for name in (_TOP, host.lab, host.name):
                _delegate(group)
                group = group / name
                group.mkdir(exist_ok=True)
                if hierarchy.controllers:
                    _inherit_cpuset(group)
    except OSError as error:
        raise Broken(
            f"cannot make a control group for {host.name} ({error.strerror}: {error.filename});"
            " containers need them"
        ) from error


def enter(host: Host) -> None:
    """Move this process into the host's groups, give it their namespace, and then move on into a
    leaf: version 2 hands controllers down only from groups without processes."""
    present = hierarchies()
    for hierarchy in present:
        _join(hierarchy.group(host))
    system.unshare(system.CLONE_NEWCGROUP)
    for hierarchy in present:
        if not hierarchy.controllers:
            leaf = hierarchy.group(host) / _LEAF
            leaf.mkdir(exist_ok=True)
            _join(leaf)
            _delegate(hierarchy.group(host))


def mount_inside(present: tuple[Hierarchy, ...], links: dict[str, str]) -> None:
    """Mount the host's own view of the trees below a fresh /sys.

    ``present`` and ``links`` (names like "cpu" for "cpu,cpuacct") are as they were outside.
    """
    flags = system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC
    if [hierarchy.folder for hierarchy in present] == [ROOT]:
        system.mount("cgroup2", str(ROOT), "cgroup2", flags)
        return
    system.mount("cgroup", str(ROOT), "tmpfs", flags, "mode=755")
    for hierarchy in present:
        hierarchy.folder.mkdir()
        kind = "cgroup" if hierarchy.controllers else "cgroup2"
        system.mount(kind, str(hierarchy.folder), kind, flags, hierarchy.controllers)
    for name, target in links.items():
        (ROOT / name).symlink_to(target)


def links() -> dict[str, str]:
    """Symbolic links beside the trees, by name."""
    return {item.name: os.readlink(item) for item in ROOT.iterdir() if item.is_symlink()}


def labs() -> set[str]:
    """Names of labs that have a group."""
    return {
        group.name
        for hierarchy in hierarchies()
        if hierarchy.top.is_dir()
        for group in hierarchy.top.iterdir()
        if group.is_dir()
    }


def remove(lab: Lab, patience: float = 60.0) -> None:
    """Kill whatever still runs in the lab's groups and remove them.

    Raises `Broken` if that does not succeed within ``patience`` seconds.
    """
    present = hierarchies()
    _remove_all([hierarchy.top / lab.name for hierarchy in present], f"lab {lab.name}", patience)
    for hierarchy in present:
        with suppress(OSError):  # other labs are in there, or it is gone already
            hierarchy.top.rmdir()


def renew(host: Host, patience: float = 60.0) -> None:
    """Make a host's groups anew, killing whatever still runs in them. Raises `Broken`."""
    _remove_all([hierarchy.group(host) for hierarchy in hierarchies()], host.name, patience)
    make(host)


def _remove_all(groups: list[Path], whose: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while any([not _removed(group) for group in groups]):  # noqa: C419 - each is tried
        if time.monotonic() > deadline:
            raise Broken(f"control groups of {whose} are still in use")
        time.sleep(0.02)


def _removed(top: Path) -> bool:
    """Try to remove a tree of groups, killing their processes; whether it is gone."""
    for folder, _, _ in os.walk(top, topdown=False):
        _kill_members(Path(folder))
        with suppress(OSError):
            Path(folder).rmdir()
    return not top.exists()


def _kill_members(group: Path) -> None:
    with suppress(OSError):
        for line in (group / "cgroup.procs").read_text().split():
            # 0 is a process outside of our own pid namespace.
            process = records.observe(int(line)) if line != "0" else None
            if process is not None:
                records.kill(process)


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text("0")


def _inherit_cpuset(group: Path) -> None:
    """A new version 1 cpuset has no processor and accepts no process until it is given some. In
    version 2 an empty file means the group above's, and the topmost has none."""
    for name in _CPUSET_FILES:
        file = group / name
        if file.exists() and not file.read_text().strip():
            file.write_text((group.parent / name).read_text())


def _delegate(group: Path) -> None:
    """Let groups below have what controllers they can (version 2)."""
    try:
        available = (group / "cgroup.controllers").read_text().split()
    except FileNotFoundError:
        return
    for controller in available:
        with suppress(OSError):  # the machine's owner holds it back: containers do without
            (group / "cgroup.subtree_control").write_text(f"+{controller}")

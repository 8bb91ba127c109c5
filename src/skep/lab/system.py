"""The few system calls and programs that the lab needs, with errors a person can read."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from skep.model.errors import Broken, Forbidden

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000

_PACKAGES = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux"}
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_libc = ctypes.CDLL(None, use_errno=True)


class Mount(msgspec.Struct, frozen=True):
    """A line of ``/proc/self/mountinfo``."""

    target: str
    kind: str
    options: str


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError."""
    arguments = (source, target, kind or None, flags, data or None)
    encoded = [item.encode() if isinstance(item, str) else item for item in arguments]
    encoded[3] = ctypes.c_ulong(flags)  # type: ignore[call-overload]
    if _libc.mount(*encoded) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def unmount(target: str) -> None:
    """Take the mount away now; users of it that remain keep it until they end. Raises OSError."""
    if _libc.umount2(target.encode(), MNT_DETACH) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    if _libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def mounts() -> list[Mount]:
    """The mounts that this process sees, in the order they were made."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        found.append(Mount(_unescaped(left.split(" ")[4]), kind, options))
    return found


def mounts_below(folder: Path) -> list[str]:
    """Mount points strictly below ``folder``, deepest first."""
    prefix = f"{folder}/"
    inside = [mounted.target for mounted in mounts() if mounted.target.startswith(prefix)]
    return sorted(inside, key=lambda target: target.count("/"), reverse=True)


def file_system(path: Path) -> str:
    """The kind of file system that holds ``path``: ext4, overlay, …"""
    holders = [each for each in mounts() if path.is_relative_to(each.target)]
    # The last of several mounts on one place is the one that is seen.
    return max(reversed(holders), key=lambda each: len(each.target)).kind


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def program(name: str) -> str:
    """The path of a program. Raises `Broken` that names the package to install."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}")
    if found is None:
        raise Broken(f"the program {name} is missing: install the package {_PACKAGES[name]}")
    return found


def run(command: Sequence[str], stdin: str = "") -> str:
    """Run a program to its end and answer its output. Raises `Broken` with its last complaint."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise Broken(f"{' '.join(command)}: {complaint}")
    return done.stdout


def require_root() -> None:
    """Raises `Forbidden` for anybody but root."""
    if os.geteuid() != 0:
        raise Forbidden("the lab makes namespaces and interfaces, which takes root: use sudo")

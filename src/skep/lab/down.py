"""Taking labs down: whole ones, half-made ones, and what a reboot or a crash left of one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skep.lab import cgroups, records, switch, system
from skep.lab.layout import MADE_FOLDERS, MOST_HOSTS, RUN, STATE, Lab
from skep.model.errors import Broken


@contextmanager
def exclusive() -> Iterator[None]:
    """One at a time makes or removes labs on a machine."""
    handle = _locked_folder()
    try:
        yield
    finally:
        _tidy_roots()
        os.close(handle)


def down(lab: Lab) -> bool:
    """Remove the lab and every trace of it; whether there was any.

    Call it inside `exclusive`. Raises `Broken` if something withstands; calling again continues.
    """
    traces = exists(lab)
    for host in lab.hosts(MOST_HOSTS):
        process = records.init_of(host)
        if process is not None:
            records.kill(process)
    cgroups.remove(lab)
    switch.remove(lab)
    for folder in (lab.folder, lab.storage):
        _remove_tree(folder)
    return traces


def exists(lab: Lab) -> bool:
    """Whether anything of it is there."""
    return lab in all_labs()


def all_labs() -> tuple[Lab, ...]:
    """Every lab that left any trace: files or control groups."""
    names = {lab.name for lab in records.known_labs()} | cgroups.labs()
    return tuple(Lab(name) for name in sorted(names))


def _remove_tree(folder: Path) -> None:
    for target in system.mounts_below(folder):
        system.unmount(target)
    if system.mounts_below(folder):
        raise Broken(f"something is still mounted below {folder}")
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _locked_folder() -> int:
    """An open and locked descriptor of `RUN`, made if need be.

    The last one out removes the folder, so make sure that what we locked is what is there.
    """
    while True:
        RUN.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(RUN, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), RUN.stat()):
                return handle
        os.close(handle)


def _tidy_roots() -> None:
    """Remove the folders of all labs after the last one."""
    if records.known_labs():
        return
    if MADE_FOLDERS.exists():
        for folder in MADE_FOLDERS.read_text().splitlines():
            with suppress(OSError):  # gone, or in use by now by somebody who is no lab
                Path(folder).rmdir()
        MADE_FOLDERS.unlink()
    for root in (STATE, RUN):
        with suppress(OSError):
            root.rmdir()

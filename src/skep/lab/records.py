"""What a lab writes down about itself, and telling a process it started from a stranger that got
the same number since."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from skep.lab.layout import RUN, STATE, Host, Lab
from skep.model.errors import UNREADABLE, Broken

T = TypeVar("T")

INIT_MARK = "Z lab: "
"""Marks the lines that a host's first process writes among its daemon's (end of the time)."""

DEATH = "the daemon ended"
"""How such a line about the daemon's end begins."""


class LabRecord(msgspec.Struct, frozen=True):
    """A lab of ``hosts`` hosts, begun in the boot ``boot``; ``complete`` once every host runs.
    ``command`` is each host's daemon."""

    boot: str
    hosts: int
    complete: bool = False
    command: tuple[str, ...] = ()


class Process(msgspec.Struct, frozen=True):
    """A process that cannot be mistaken for another: pid, start in clock ticks since boot, the boot
    itself, and the inode of its pid namespace."""

    pid: int
    started: int
    boot: str
    pid_namespace: int


def boot_id() -> str:
    """This boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def observe(pid: int) -> Process | None:
    """The process that has this number now; None if there is none, or only its corpse."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may hold anything; field 22 is the start time.
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[19]), boot_id(), namespace)


def alive(process: Process | None) -> bool:
    """Whether it is still that very process."""
    return process is not None and observe(process.pid) == process


def kill(process: Process, patience: float = 60.0) -> None:
    """Kill it and, if it is a pid namespace's first, all in there; wait until they are gone.

    Does nothing when it is gone, or its number belongs to another process. Raises `Broken` if it is
    still there after ``patience`` seconds.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # Compared after opening: the handle stays with whom we compared.
        if not alive(process):
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        gone, _, _ = select.select([handle], [], [], patience)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
    if not gone:
        raise Broken(f"process {process.pid} does not end, even though it was killed")


def read(path: Path, kind: type[T]) -> T | None:
    """The record at ``path``; None if there is none, or it was cut short by a crash."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, *UNREADABLE):
        return None


def write(path: Path, record: msgspec.Struct) -> None:
    """Write ``record`` so that a reader sees all of it or the one before."""
    draft = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
    draft.write_bytes(msgspec.json.encode(record))
    draft.rename(path)


def init_of(host: Host) -> Process | None:
    """The living process that holds the host's namespaces, None if there is none."""
    process = read(host.record, Process)
    return process if alive(process) else None


def lab_record(lab: Lab) -> LabRecord | None:
    """What is written of the lab; None if nothing (readable) is."""
    return read(lab.record, LabRecord)


def known_labs() -> tuple[Lab, ...]:
    """Every lab that has left a trace in the file system, in order of name."""
    names = {entry.name for root in (RUN, STATE) if root.is_dir() for entry in root.iterdir()
             if entry.is_dir()}  # fmt: skip
    return tuple(Lab(name) for name in sorted(names))


def last_words(log: Path) -> str:
    """The last thing a daemon wrote to its log; else what its host's first process says of it."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    own = [line for line in said if INIT_MARK not in line]
    return (own or said or ["it said nothing"])[-1]


def deaths(log: Path) -> int:
    """How often the daemon ended so far."""
    return log.read_text(errors="replace").count(f"{INIT_MARK}{DEATH}") if log.exists() else 0

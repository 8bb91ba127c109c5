"""Making a lab, or finding it already made."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path

import msgspec

from skep.lab import cgroups, furnish, records, switch, system
from skep.lab.client import Api
from skep.lab.down import down, exclusive, exists
from skep.lab.launch import Launch, launched
from skep.lab.layout import MADE_FOLDERS, PRIVATE_FOLDERS, STATE, Host, Lab, host_count
from skep.lab.records import LabRecord
from skep.model.errors import Broken, Clash, Refusal, Unavailable

DEFAULT_HOSTS = 3
IMAGES = ("busybox", "nginx")
ANSWER_WITHIN = 60.0
_DEATHS = 5
_POLL = 0.05
_LOADERS = 8

Tell = Callable[[str], None]
"""Receives a sentence of progress."""


class Condition(Enum):
    """What is there of a lab."""

    ABSENT = "absent"
    BROKEN = "broken"
    UP = "up"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab should be: ``hosts`` None takes what is there, or the default; ``command`` is
    each host's daemon; ``images`` are loaded into each host, built into ``image_folder``.
    ``patience`` is for how many seconds daemons may be silent."""

    command: tuple[str, ...]
    image_folder: Path
    hosts: int | None = None
    images: tuple[str, ...] = IMAGES
    patience: float = ANSWER_WITHIN


def condition(lab: Lab) -> Condition:
    """Look whether the lab is up: begun in this boot, finished, and all hosts alive."""
    if not exists(lab):
        return Condition.ABSENT
    record = records.lab_record(lab)
    if record is None or not record.complete or record.boot != records.boot_id():
        return Condition.BROKEN
    living = all(records.init_of(host) for host in lab.hosts(record.hosts))
    return Condition.UP if living else Condition.BROKEN


def up(lab: Lab, wish: Wish, tell: Tell) -> tuple[Host, ...]:
    """Bring the lab up as wished, or continue with the one that is up; its hosts.

    Raises `Invalid` (number of hosts), `Forbidden` (not root), `Clash` (up with another number of
    hosts), `Broken`. A lab that could not be made is removed again; one whose daemons do not answer
    stays for inspection.
    """
    if wish.hosts is not None:
        host_count(wish.hosts)
    system.require_root()
    with exclusive():
        state = condition(lab)
        if state is Condition.BROKEN:
            tell("removing what is left of an earlier lab")
            down(lab)
        if state is Condition.UP:
            count = _adopt(lab, wish)
            tell(f'lab "{lab.name}" is up already')
        else:
            count = wish.hosts or DEFAULT_HOSTS
            _make(lab, lab.hosts(count), wish.command, tell)
    hosts = lab.hosts(count)
    wait_for_daemons(hosts, wish.patience, tell)
    _load_images(hosts, wish, tell)
    return hosts


def _adopt(lab: Lab, wish: Wish) -> int:
    record = records.lab_record(lab)
    assert record is not None, "a lab that is up has a record"
    if wish.hosts not in (None, record.hosts):
        raise Clash(
            f'lab "{lab.name}" is up with {record.hosts} hosts: take it down first, or choose'
            " another name"
        )
    return record.hosts


def _make(lab: Lab, hosts: tuple[Host, ...], command: tuple[str, ...], tell: Tell) -> None:
    try:
        lab.folder.mkdir(parents=True)
        records.write(lab.record, LabRecord(records.boot_id(), len(hosts)))
        _make_mountpoints()
        switch.make(lab)
        for host in hosts:
            furnish.prepare(host, hosts)
            cgroups.make(host)
        with launched(hosts, command) as launches:
            for host, launch in zip(hosts, launches, strict=True):
                connect(lab, host, launch)
                tell(f"{host.name}: {host.address}")
            made = LabRecord(records.boot_id(), len(hosts), complete=True, command=command)
            records.write(lab.record, made)
    except BaseException:
        down(lab)
        raise


def connect(lab: Lab, host: Host, launch: Launch) -> None:
    """Plug a host that was launched into the lab's switch, and let it go."""
    process = launch.furnished()
    records.write(host.record, process)
    switch.plug(lab, host, process)
    launch.go()


def _make_mountpoints() -> None:
    """Folders must exist to be mounted upon; remember those that are there for our sake only."""
    STATE.mkdir(parents=True, exist_ok=True)
    for folder in PRIVATE_FOLDERS.values():
        if not folder.exists():
            with MADE_FOLDERS.open("a") as made:
                made.write(f"{folder}\n")
            folder.mkdir(parents=True)


def wait_for_daemons(hosts: tuple[Host, ...], patience: float, tell: Tell) -> None:
    """Until every host's API answers. Raises `Broken` when a host ends, `Unavailable` when a daemon
    cannot stay alive or is silent for ``patience`` seconds."""
    deadline = time.monotonic() + patience
    deaths = {host: records.deaths(host.log) for host in hosts}
    while deaths:
        for host in [host for host in deaths if Api(host.socket).answers()]:
            tell(f"{host.name}: skepd answers")
            del deaths[host]
        for host, before in deaths.items():
            _check_hope(host, before, deadline)
        if deaths:
            time.sleep(_POLL)


def _check_hope(host: Host, deaths_before: int, deadline: float) -> None:
    if records.init_of(host) is None:
        raise Broken(f"{host.name} ended while it started; see {host.log}")
    hopeless = records.deaths(host.log) - deaths_before >= _DEATHS
    if hopeless or time.monotonic() > deadline:
        said = records.last_words(host.log)
        raise Unavailable(f"skepd on {host.name} does not answer: {said} (see {host.log})")


def _load_images(hosts: tuple[Host, ...], wish: Wish, tell: Tell) -> None:
    """Build what any host lacks, and load each image into all that lack it at once."""
    lacking = {host: _lacking(host, wish.images) for host in hosts}
    needed = tuple(name for name in wish.images if any(name in lacks for lacks in lacking.values()))
    if not needed:
        return
    from skep.lab import images  # noqa: PLC0415 - not needed by a lab without images

    tell(f"building images: {', '.join(needed)}")
    archives = images.build(needed, wish.image_folder)
    pool = ThreadPoolExecutor(max_workers=_LOADERS)
    try:
        for name in needed:
            receivers = [host for host in hosts if name in lacking[host]]
            list(pool.map(partial(_load, name, archives[name]), receivers))
            tell(f"image {name}: loaded on {', '.join(host.name for host in receivers)}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _lacking(host: Host, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    present = Api(host.socket, timeout=30.0).tags()
    return tuple(name for name in names if f"{name}:latest" not in present)


def _load(name: str, archive: Path, host: Host) -> None:
    try:
        Api(host.socket, timeout=300.0).load(archive)
    except Refusal as refusal:
        raise Broken(f"{host.name} did not take the image {name}: {refusal}") from refusal

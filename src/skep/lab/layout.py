"""Where everything of a lab lives: names, addresses and paths. Pure: nothing here touches a disk.

/run/skep-lab/<lab>/lab.json        what was asked for, and whether it was finished
/run/skep-lab/<lab>/switch          the switch's network namespace
/run/skep-lab/<lab>/<host>/run/     the host's /run (its API socket: run/docker.sock)
/run/skep-lab/<lab>/<host>/etc/     its /etc/hosts and /etc/resolv.conf
/run/skep-lab/<lab>/<host>/init.json  which process holds its namespaces
/var/lib/skep-lab/<lab>/<host>/     skep/ is its /var/lib/skep; skepd.log
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from skep.model.errors import Invalid, Missing

RUN = Path("/run/skep-lab")
STATE = Path("/var/lib/skep-lab")
PRIVATE_FOLDERS = {"skep": Path("/var/lib/skep"), "containers": Path("/var/lib/containers")}
"""What each host has for itself, by name in its storage: skepd's state, and what podman keeps
outside of the storage that it is given."""

MADE_FOLDERS = STATE / "made-folders"
"""Lists those of `PRIVATE_FOLDERS` that did not exist before the first lab, one per line."""

PREFIX_LENGTH = 24
PREFIX_LENGTH6 = 64
MTU = 1500
MOST_HOSTS = 100
_FIRST_ADDRESS = 11
_LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_HOST_NAME = re.compile(r"h([1-9][0-9]{0,2})")


class Host(msgspec.Struct, frozen=True):
    """Host ``number`` (from 1) of a lab."""

    lab: str
    number: int

    @property
    def name(self) -> str:
        """Its hostname, and the name of its port on the switch."""
        return f"h{self.number}"

    @property
    def address(self) -> str:
        """Its address on the underlay, without prefix length."""
        return f"192.168.90.{_FIRST_ADDRESS + self.number - 1}"

    @property
    def address6(self) -> str:
        """Its IPv6 address on the underlay."""
        return f"fd00:90::{_FIRST_ADDRESS + self.number - 1}"

    @property
    def folder(self) -> Path:
        """All that is gone after a reboot."""
        return RUN / self.lab / self.name

    @property
    def run(self) -> Path:
        """What the host sees as /run."""
        return self.folder / "run"

    @property
    def etc(self) -> Path:
        """Its own files for /etc."""
        return self.folder / "etc"

    @property
    def record(self) -> Path:
        """Names the process that holds its namespaces."""
        return self.folder / "init.json"

    @property
    def socket(self) -> Path:
        """Its Docker API, as reachable from outside the lab."""
        return self.run / "docker.sock"

    @property
    def storage(self) -> Path:
        """All that would survive a reboot."""
        return STATE / self.lab / self.name

    @property
    def private(self) -> dict[Path, Path]:
        """What is mounted where inside the host: its own folder, by the path it sees it at."""
        return {target: self.storage / name for name, target in PRIVATE_FOLDERS.items()}

    @property
    def log(self) -> Path:
        """Output of its init and of its ``skepd``."""
        return self.storage / "skepd.log"


class Lab(msgspec.Struct, frozen=True):
    """A lab by name; it need not exist."""

    name: str

    @property
    def folder(self) -> Path:
        """All that is gone after a reboot."""
        return RUN / self.name

    @property
    def storage(self) -> Path:
        """All that would survive a reboot."""
        return STATE / self.name

    @property
    def record(self) -> Path:
        """What was asked for, and whether it was finished."""
        return self.folder / "lab.json"

    @property
    def switch(self) -> Path:
        """The pinned network namespace that holds the bridge."""
        return self.folder / "switch"

    def host(self, number: int) -> Host:
        """Host ``number``, from 1."""
        return Host(self.name, number)

    def hosts(self, count: int) -> tuple[Host, ...]:
        """The first ``count`` hosts."""
        return tuple(self.host(number) for number in range(1, count + 1))


def lab_named(name: str) -> Lab:
    """The lab called ``name``. Raises `Invalid` if no lab can be called that."""
    if not _LAB_NAME.fullmatch(name):
        raise Invalid(
            f'"{name}" is not a lab\'s name: use a lower-case letter, then up to 31 lower-case'
            " letters, digits or dashes"
        )
    return Lab(name)


def host_count(hosts: int) -> int:
    """``hosts`` if a lab can have that many. Raises `Invalid`."""
    if not 1 <= hosts <= MOST_HOSTS:
        raise Invalid(f"a lab has between 1 and {MOST_HOSTS} hosts, not {hosts}")
    return hosts


def host_named(lab: Lab, name: str, count: int) -> Host:
    """Host ``name`` of a lab of ``count`` hosts. Raises `Missing`, naming those that exist."""
    match = _HOST_NAME.fullmatch(name)
    if match is None or int(match[1]) > count:
        known = "h1" if count == 1 else f"h1 to h{count}"
        raise Missing(f'no host "{name}" in lab "{lab.name}": it has {known}')
    return lab.host(int(match[1]))

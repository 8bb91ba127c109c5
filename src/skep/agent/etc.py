"""The files of containers' /etc that are ours, written where the engine finds them."""

from __future__ import annotations

import shutil
from pathlib import Path

from skep.agent.files import hosts_file, linked, resolv_conf
from skep.agent.locals import DEFAULT_BRIDGE, Locals
from skep.agent.records import Record, Records
from skep.agent.statefile import write_atomically
from skep.model.errors import Broken

RESOLV_CONF = Path("/etc/resolv.conf")
NAMES = ("hosts", "resolv.conf")
"""What of a container's /etc is ours."""


class EtcFiles:
    """All containers' own hosts and resolv.conf, one folder each."""

    def __init__(self, folder: Path, records: Records, locals_: Locals) -> None:
        self.folder = folder
        self._records = records
        self._locals = locals_

    def path(self, record: Record, name: str) -> Path:
        """Where one of them is kept."""
        return self.folder / record.sandbox_id / name

    def write(self, record: Record) -> None:
        """Bring a container's files up to date. Raises `Broken` if they cannot be written."""
        if not record.sandbox_id:
            return
        directory = self.path(record, "hosts").parent
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Broken(f"cannot make {directory}: {error.strerror}") from error
        gateway = next((n.gateway for n in self._locals.all() if n.bridge == DEFAULT_BRIDGE), "")
        for name, text in (
            ("hosts", hosts_file(record, gateway, linked(record, self._records))),
            ("resolv.conf", resolv_conf(record, host_resolv())),
        ):
            rewrite(self.path(record, name), text)

    def relink(self, name: str) -> None:
        """A container's addresses changed: write the files of those that are linked to it anew."""
        for other in self._records:
            links = [*other.links, *(link for item in other.wanted for link in item.links)]
            if other.endpoints and any(
                link.removeprefix("/").partition(":")[0] == name for link in links
            ):
                self.write(other)

    def remove(self, record: Record) -> None:
        """Remove a container's files."""
        shutil.rmtree(self.folder / record.sandbox_id, ignore_errors=True)

    def drop_surplus(self) -> None:
        """Remove the files of sandboxes that are not on record: a crash left them."""
        known = {record.sandbox_id for record in self._records}
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)


def rewrite(path: Path, text: str) -> None:
    """Write a file that containers have bind-mounted: in place, so that they see it.

    A new one is made atomically. Raises `Broken` if it cannot be written.
    """
    try:
        if not path.exists():
            write_atomically(path, text.encode())
            path.chmod(0o644)
        elif path.read_bytes() != text.encode():
            path.write_text(text)
    except OSError as error:
        raise Broken(f"cannot write {path}: {error.strerror}") from error


def host_resolv() -> str:
    """The host's own resolv.conf, "" if it has none. What is no UTF-8 in it is in comments."""
    try:
        return RESOLV_CONF.read_text(errors="replace")
    except OSError:
        return ""

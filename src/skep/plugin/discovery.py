"""Where plugins are: sockets in one folder, addresses in files of two others.

Source: https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from skep.model.errors import Broken

SOCKETS = Path("/run/docker/plugins")
FILES = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,249}")
"""With an ending, a file's name of 255 bytes at most."""
SCHEMES = ("unix", "tcp", "http", "https")


class Tls(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """How an address is trusted: files in PEM, "" for none."""

    insecure_skip_verify: bool = False
    ca_file: str = msgspec.field(default="", name="CAFile")
    cert_file: str = ""
    key_file: str = ""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plugin listens: unix:///…, or tcp://, http:// and https:// with host and port."""

    url: str
    tls: Tls | None = None


class _Written(msgspec.Struct, frozen=True, rename="pascal"):
    """What a .json file says."""

    addr: str
    name: str = ""
    tls_config: Tls | None = msgspec.field(default=None, name="TLSConfig")


class Folders(msgspec.Struct, frozen=True):
    """The folders that are searched: that of sockets first."""

    sockets: Path = SOCKETS
    files: tuple[Path, ...] = FILES

    def find(self, name: str) -> Place | None:
        """Where the plugin of a name is, None if nowhere. Raises `Broken` for a file that does not
        say it."""
        if not NAME.fullmatch(name):
            return None
        for path in _paths(self.sockets, name, ".sock"):
            if path.is_socket():
                return Place(url=f"unix://{path}")
        for folder in self.files:
            for path in (*_paths(folder, name, ".spec"), *_paths(folder, name, ".json")):
                if path.is_file():
                    return _read(path)
        return None


def _paths(folder: Path, name: str, ending: str) -> tuple[Path, ...]:
    return folder / f"{name}{ending}", folder / name / f"{name}{ending}"


def _read(path: Path) -> Place:
    try:
        if path.suffix == ".json":
            written = msgspec.json.decode(path.read_bytes(), type=_Written)
            place = Place(url=written.addr, tls=written.tls_config)
        else:
            place = Place(url=path.read_text().strip())
        parts = urlsplit(place.url)
    except (msgspec.DecodeError, OSError, ValueError) as error:
        raise Broken(f"{path} does not say where a plugin is: {error}") from error
    if parts.scheme not in SCHEMES or not (parts.path if parts.scheme == "unix" else parts.netloc):
        raise Broken(
            f"{path} does not say where a plugin is: {place.url!r} is no address like "
            "unix:///run/plugin.sock or tcp://127.0.0.1:8080"
        )
    return place

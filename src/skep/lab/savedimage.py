"""A container image as ``docker save`` writes it, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path, PurePosixPath

import msgspec

CREATED = "2024-01-01T00:00:00Z"
CREATED_AT = 1704067200


class Entry(msgspec.Struct, frozen=True):
    """A file, folder or symbolic link of a layer; ``kind`` is tarfile's type."""

    kind: bytes
    mode: int
    content: bytes = b""
    target: str = ""


class Layer(msgspec.Struct, frozen=True):
    """A layer's entries by their path without a leading slash. Folders on the way are added."""

    entries: dict[str, Entry]


class SavedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image: its full name with tag, Go's word for the architecture, Docker's config."""

    tag: str
    architecture: str
    config: dict[str, object]
    layers: tuple[Layer, ...]


def file(content: bytes, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(tarfile.REGTYPE, mode, content)


def folder(mode: int = 0o755) -> Entry:
    """A folder."""
    return Entry(tarfile.DIRTYPE, mode)


def link(target: str) -> Entry:
    """A symbolic link."""
    return Entry(tarfile.SYMTYPE, 0o777, target=target)


def write(image: SavedImage, path: Path) -> None:
    """Write the image's archive to ``path``."""
    layers = [pack(layer) for layer in image.layers]
    config = _config(image, layers)
    names = [f"{_digest(layer)}/layer.tar" for layer in layers]
    manifest = [
        {"Config": f"{_digest(config)}.json", "RepoTags": [image.tag], "Layers": names},
    ]
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, layer in zip(names, layers, strict=True):
            _add(archive, name, file(layer))
        _add(archive, f"{_digest(config)}.json", file(config))
        _add(archive, "manifest.json", file(json.dumps(manifest).encode()))


def pack(layer: Layer) -> bytes:
    """The layer's tar archive, parents before children, everything root's."""
    entries = dict(layer.entries)
    for name in layer.entries:
        for parent in PurePosixPath(name).parents:
            if str(parent) != ".":
                entries.setdefault(str(parent), folder())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(entries):
            _add(archive, name, entries[name])
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, entry: Entry) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = entry.kind, entry.mode, entry.target
    member.size, member.mtime = len(entry.content), CREATED_AT
    member.uname = member.gname = "root"
    archive.addfile(member, io.BytesIO(entry.content))


def _config(image: SavedImage, layers: list[bytes]) -> bytes:
    return json.dumps(
        {
            "architecture": image.architecture,
            "os": "linux",
            "created": CREATED,
            "config": image.config,
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{_digest(layer)}" for layer in layers],
            },
            "history": [{"created": CREATED, "created_by": "skep lab"} for _ in layers],
        },
        sort_keys=True,
    ).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

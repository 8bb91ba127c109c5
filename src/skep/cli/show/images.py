"""The listing of images: a line per name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.rows import short_id
from skep.cli.show.times import ago, local_text
from skep.cli.syntax.images import image_name
from skep.cli.syntax.quantities import show_size

HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}
_NONE = "<none>"
_UNKNOWN = "N/A"


def table(*, digests: bool) -> Table:
    """The table, with digests if they were asked for."""
    names = ("Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size")
    return Table(columns(*names), HEADINGS)


def rows(image: Mapping[str, Any], *, full: bool, digests: bool) -> list[Row]:
    """The lines of an image."""
    return [_row(image, names, full=full) for names in _names(image, digests=digests)]


def _names(image: Mapping[str, Any], *, digests: bool) -> list[tuple[str, str, str]]:
    """Repository, tag and digest of each line."""
    tags: dict[str, list[str]] = {}
    sums: dict[str, list[str]] = {}
    for text in image.get("RepoTags") or ():
        if text != f"{_NONE}:{_NONE}":
            name = image_name(text)
            tags.setdefault(name.short, []).append(name.tag)
    for text in image.get("RepoDigests") or ():
        if text != f"{_NONE}@{_NONE}":
            name = image_name(text)
            sums.setdefault(name.short, []).append(name.digest)
    lines = [
        (repository, tag, digest)
        for repository, known in tags.items()
        for digest in (sums.get(repository, [_NONE]) if digests else [_NONE])
        for tag in known
    ]
    bare = [(name, found) for name, found in sums.items() if name not in tags]
    for repository, found in bare:
        shown = found if digests else [""]
        lines += [(repository, _NONE, digest) for digest in shown]
    return lines or [(_NONE, _NONE, _NONE)]


def _row(image: Mapping[str, Any], names: tuple[str, str, str], *, full: bool) -> Row:
    repository, tag, digest = names
    created = image.get("Created", 0)
    containers, shared = image.get("Containers", 0), image.get("SharedSize", 0)
    size = image.get("Size", 0)
    return Row(
        Repository=repository,
        Tag=tag,
        Digest=digest,
        ID=image["Id"] if full else short_id(image["Id"]),
        CreatedSince=ago(time.time() - created),
        CreatedAt=local_text(created),
        Size=show_size(size, 3),
        Containers=_UNKNOWN if containers == -1 else str(containers),
        SharedSize=_UNKNOWN if shared == -1 else show_size(shared),
        UniqueSize=_UNKNOWN if shared == -1 else show_size(size - shared),
        VirtualSize=show_size(size, 4),
    )

"""The listing of containers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.rows import ellipsis, familiar, label_fields, short_id
from skep.cli.show.times import ago, local_text
from skep.cli.syntax.quantities import show_size

_NAMES = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
HEADINGS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def table(*, size: bool) -> Table:
    """The table, with sizes if they were asked for."""
    return Table(columns(*_NAMES, *(["Size"] if size else [])), HEADINGS)


def row(container: Mapping[str, Any], *, full: bool) -> Row:
    """The line of a container."""
    names = [name.removeprefix("/") for name in container.get("Names") or ()]
    command = container.get("Command", "")
    return Row(
        ID=container["Id"] if full else short_id(container["Id"]),
        Names=",".join(name for name in names if full or "/" not in name),
        Image=_image(container, full=full),
        Command=_quoted(command if full else ellipsis(command, _COMMAND_WIDTH)),
        CreatedAt=local_text(container.get("Created", 0)),
        RunningFor=ago(time.time() - container.get("Created", 0)),
        Ports=ports(container.get("Ports") or ()),
        State=container.get("State", ""),
        Status=container.get("Status", ""),
        Size=_size(container),
        Mounts=",".join(_mounts(container, full=full)),
        LocalVolumes=str(sum(each.get("Driver") == "local" for each in _all_mounts(container))),
        Networks=",".join(sorted((container.get("NetworkSettings") or {}).get("Networks") or {})),
        Platform=None,
        **label_fields(container.get("Labels")),
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _image(container: Mapping[str, Any], *, full: bool) -> str:
    image: str = container.get("Image", "")
    if not image:
        return "<no image>"
    if full:
        return image
    identity = container.get("ImageID", "")
    if short_id(image) == short_id(identity):
        return short_id(image)
    return familiar(image)


def _size(container: Mapping[str, Any]) -> str:
    own = show_size(container.get("SizeRw", 0), 3)
    whole = container.get("SizeRootFs", 0)
    return f"{own} (virtual {show_size(whole, 3)})" if whole > 0 else own


def _all_mounts(container: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return container.get("Mounts") or ()


def _mounts(container: Mapping[str, Any], *, full: bool) -> list[str]:
    names = [each.get("Name") or each.get("Source", "") for each in _all_mounts(container)]
    return [name if full else ellipsis(name, _MOUNT_WIDTH) for name in names]


def ports(found: Sequence[Mapping[str, Any]]) -> str:
    """Ports as ``docker ps`` shows them: neighbours that keep their number are one range."""
    groups: dict[str, list[int]] = {}
    shown: list[str] = []
    moved: list[str] = []
    for port in sorted(found, key=_port_order):
        address, kind, inner = port.get("IP", ""), port.get("Type", "tcp"), port["PrivatePort"]
        outer = port.get("PublicPort", 0)
        if address and outer != inner:
            moved.append(f"{_joined(address, outer)}->{inner}/{kind}")
            continue
        group = groups.setdefault(f"{address}/{kind}", [inner, inner - 1])
        if inner == group[1] + 1:
            group[1] = inner
        elif inner != group[1] or not address:
            shown.append(_group(f"{address}/{kind}", group))
            groups[f"{address}/{kind}"] = [inner, inner]
    return ", ".join((*shown, *(_group(key, group) for key, group in groups.items()), *moved))


def _port_order(port: Mapping[str, Any]) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port.get("Type", "")


def _joined(address: str, port: object) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _group(key: str, group: Sequence[int]) -> str:
    address, _, kind = key.rpartition("/")
    span = str(group[0]) if group[0] == group[1] else f"{group[0]}-{group[1]}"
    return f"{_joined(address, span)}->{span}/{kind}" if address else f"{span}/{kind}"

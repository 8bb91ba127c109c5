"""Devices of the host: what a container may use of them, and how fast."""

from __future__ import annotations

import csv
import re
from typing import Any

from skep.cli.syntax.numbers import natural
from skep.cli.syntax.quantities import memory
from skep.model.errors import Invalid


def device(text: str) -> dict[str, str]:
    """``/dev/x[:/dev/y][:rwm]``."""
    source, *rest = text.split(":")
    if len(rest) > 2:
        raise Invalid(f"invalid device specification: {text}")
    target, access = source, "rwm"
    if rest and _access(rest[0]) and len(rest) == 1:
        access = rest[0]
    elif rest:
        target = rest[0]
    if len(rest) > 1:
        access = rest[1]
    if not source.startswith("/") or not target.startswith("/"):
        wrong = source if not source.startswith("/") else target
        raise Invalid(f"{wrong} is not an absolute path")
    if not _access(access):
        raise Invalid(f"bad mode specified: {access}")
    return {
        "PathOnHost": source,
        "PathInContainer": target or source,
        "CgroupPermissions": access,
    }


def _access(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def _parted(text: str) -> tuple[str, str]:
    path, given, value = text.partition(":")
    if not given:
        raise Invalid(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise Invalid(f"bad format for device path: {text}")
    return path, value


def blkio_weight(text: str) -> dict[str, Any]:
    """``/dev/sda:500``."""
    path, value = _parted(text)
    if not re.fullmatch(r"\d+", value) or (int(value) and not 10 <= int(value) <= 1000):
        raise Invalid(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(value)}


def throttle_bytes(text: str) -> dict[str, Any]:
    """``/dev/sda:1mb`` a second."""
    path, value = _parted(text)
    try:
        return {"Path": path, "Rate": memory(value)}
    except Invalid as fault:
        raise Invalid(f"invalid rate for device: {text}. The correct format is "
                      "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is "
                      "optional and can be kb, mb, or gb") from fault  # fmt: skip


def throttle_count(text: str) -> dict[str, Any]:
    """``/dev/sda:100`` operations a second."""
    path, value = _parted(text)
    try:
        return {"Path": path, "Rate": natural(value)}
    except Invalid as fault:
        raise Invalid(f"invalid rate for device: {text}. The correct format is "
                      "<device-path>:<number>. Number must be a positive integer"
                      ) from fault  # fmt: skip


def device_request(text: str) -> dict[str, Any]:
    """``all``, ``2`` or ``device=0,capabilities=utility,driver=nvidia``: GPUs."""
    found: dict[str, Any] = {"Count": 0, "Capabilities": []}
    for field in next(csv.reader([text]), []):
        key, given, value = field.partition("=")
        if not given:
            found["Count"] = _count(key)
        elif key == "driver":
            found["Driver"] = value
        elif key == "count":
            found["Count"] = _count(value)
        elif key == "device":
            found["DeviceIDs"] = value.split(",")
        elif key == "capabilities":
            found["Capabilities"] = [[*value.split(","), "gpu"]]
        elif key == "options":
            pairs = (part.partition("=") for part in value.split(","))
            found["Options"] = {name: option for name, _, option in pairs}
        else:
            raise Invalid(f"unexpected key '{key}' in '{field}'")
    if not found["Count"] and "DeviceIDs" not in found:
        found["Count"] = 1
    found["Capabilities"] = found["Capabilities"] or [["gpu"]]
    return found


def _count(text: str) -> int:
    if text == "all":
        return -1
    if not re.fullmatch(r"-?\d+", text):
        raise Invalid(f"count must be an integer: {text}")
    return int(text)

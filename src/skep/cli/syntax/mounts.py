"""Mounts: ``--mount type=volume,source=data,target=/data`` and ``--volume data:/data:ro``."""

from __future__ import annotations

import csv
from typing import Any

import msgspec

from skep.cli.syntax.numbers import boolean, octal
from skep.cli.syntax.quantities import memory
from skep.model.errors import Invalid

_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")
_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
_SOURCES = ("source", "src")
_TARGETS = ("target", "dst", "destination")
_KINDS = {"volume": "VolumeOptions", "bind": "BindOptions", "tmpfs": "TmpfsOptions",
          "image": "ImageOptions", "cluster": "ClusterOptions"}  # fmt: skip


def mount(text: str) -> dict[str, Any]:
    """A Mount of the API. Raises `Invalid` with docker's reasons."""
    if not text.strip():
        raise Invalid("value is empty")
    found: dict[str, Any] = {"Type": "volume"}
    for field in next(csv.reader([text])):
        key, given, value = field.partition("=")
        key = key.lower().strip()
        if not given and key not in _SWITCHES:
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        _set(found, key, value if given else "true")
    _check(found)
    return found


def _set(found: dict[str, Any], key: str, value: str) -> None:
    group, _, name = key.partition("-")
    if key == "type":
        found["Type"] = value.lower()
    elif key in _SOURCES:
        found["Source"] = value
    elif key in _TARGETS:
        found["Target"] = value
    elif key in ("readonly", "ro"):
        found["ReadOnly"] = _switch(key, value)
    elif key == "consistency":
        found["Consistency"] = value.lower()
    elif group in _KINDS and name and _option(found, group, name, value):
        pass
    else:
        raise Invalid(f"unexpected key '{key}' in '{key}={value}'")


def _switch(key: str, value: str) -> bool:
    try:
        return boolean(value)
    except Invalid as fault:
        raise Invalid(f"invalid value for {key}: {value}") from fault


def _option(found: dict[str, Any], kind: str, name: str, value: str) -> bool:
    """Set an option of one kind of mount; False if it has none of that name."""
    options = found.setdefault(_KINDS[kind], {})
    if (kind, name) == ("bind", "propagation"):
        options["Propagation"] = value.lower()
    elif (kind, name) == ("bind", "nonrecursive"):
        options["NonRecursive"] = _switch("bind-nonrecursive", value)
    elif (kind, name) == ("bind", "recursive"):
        options.update(_recursion(value))
    elif (kind, name) == ("volume", "nocopy"):
        options["NoCopy"] = _switch("volume-nocopy", value)
    elif name == "subpath" and kind in ("volume", "image"):
        options["Subpath"] = value
    elif (kind, name) == ("volume", "label"):
        options.setdefault("Labels", {}).update([_pair(value)])
    elif (kind, name) == ("volume", "driver"):
        options.setdefault("DriverConfig", {})["Name"] = value
    elif (kind, name) == ("volume", "opt"):
        driver = options.setdefault("DriverConfig", {})
        driver.setdefault("Options", {}).update([_pair(value)])
    elif (kind, name) == ("tmpfs", "size"):
        options["SizeBytes"] = _size(value)
    elif (kind, name) == ("tmpfs", "mode"):
        options["Mode"] = _mode(value)
    else:
        return False
    return True


def _recursion(value: str) -> dict[str, bool]:
    word = value.lower()
    if word not in _RECURSIVE:
        raise Invalid(f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", '
                      '"writable", or "readonly")')  # fmt: skip
    return {
        "enabled": {},
        "disabled": {"NonRecursive": True},
        "writable": {"ReadOnlyNonRecursive": True},
        "readonly": {"ReadOnlyForceRecursive": True},
    }[word]


def _pair(value: str) -> tuple[str, str]:
    key, _, rest = value.partition("=")
    return key, rest


def _size(value: str) -> int:
    try:
        return memory(value)
    except Invalid as fault:
        raise Invalid(f"invalid value for tmpfs-size: {value}") from fault


def _mode(value: str) -> int:
    try:
        return octal(value)
    except Invalid as fault:
        raise Invalid(f"invalid value for tmpfs-mode: {value}") from fault


def _check(found: dict[str, Any]) -> None:
    kind = found["Type"]
    if not kind:
        raise Invalid("type is required")
    if not found.get("Target"):
        raise Invalid("target is required")
    for other, member in _KINDS.items():
        if member in found and other != kind and other in ("volume", "bind", "tmpfs", "image"):
            raise Invalid(f"cannot mix '{other}-*' options with mount type '{kind}'")
    if kind == "cluster":
        found["ClusterOptions"] = {}
    forced = found.get("BindOptions", {})
    if forced.get("ReadOnlyForceRecursive") and not found.get("ReadOnly"):
        raise Invalid("option 'bind-recursive=readonly' requires 'readonly' to be specified in "
                      "conjunction")  # fmt: skip
    if forced.get("ReadOnlyForceRecursive") and forced.get("Propagation") != "rprivate":
        raise Invalid("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be "
                      "specified in conjunction")  # fmt: skip


class Volume(msgspec.Struct, frozen=True):
    """A volume in the short form. ``kind`` is bind if the source is a path, else volume."""

    target: str
    source: str = ""
    kind: str = "volume"
    read_only: bool = False
    no_copy: bool = False
    propagation: str = ""


def volume(text: str) -> Volume:
    """``[source:]target[:options]``. Raises `Invalid`. Source: the compose loader's ParseVolume."""
    if not text:
        raise Invalid("invalid empty volume spec")
    parts = text.split(":")
    if not all(parts):
        raise Invalid(f"invalid spec: {text}: empty section between colons")
    if len(parts) > 3:
        raise Invalid(f"invalid spec: {text}: too many colons")
    if len(parts) == 1:
        return Volume(text)
    source, target, *options = parts
    words = options[0].split(",") if options else []
    return Volume(
        target,
        source,
        "bind" if source[0] in "./~" else "volume",
        read_only=next((word == "ro" for word in reversed(words) if word in ("ro", "rw")), False),
        no_copy="nocopy" in words,
        propagation=next((word for word in words if word in _PROPAGATIONS), ""),
    )

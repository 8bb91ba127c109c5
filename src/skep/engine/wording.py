"""A create request in the words that Podman understands, and what it takes in no words. Pure.

Sources: the Engine API's HostConfig; Podman 4.3's compatible create, which drops what `additions`
names (docs/design/engine.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

NO_EXEC, NO_COPY = "noexec", "notmpcopyup"
"""How Docker mounts a tmpfs: nothing in it is executed, and it begins empty."""

OF_PODMAN = ("/run", "/tmp", "/var/tmp")
"""What Podman makes writable in a container with ``--read-only``, and Docker does not."""

FILE_SIZE = "100m"
"""What Docker's log driver ``local`` keeps at most: five files of 20 MB."""

RULE = re.compile(r"(?P<type>[abc]) (?P<major>\d+|\*):(?P<minor>\d+|\*) (?P<access>[rwm]{1,3})")
"""A device rule of a control group. Source: moby, deviceCgroupRuleRegex."""


def worded(body: Json) -> Json:
    """The create request in Podman's words: log drivers, mounts in memory."""
    host = dict(body.get("HostConfig") or {})
    mounts = [each for each in host.get("Mounts") or () if each.get("Type") == "tmpfs"]
    if mounts:
        host["Mounts"] = [each for each in host["Mounts"] if each not in mounts]
        asked = {each["Target"]: _tmpfs_of_mount(each) for each in mounts}
        host["Tmpfs"] = {**(host.get("Tmpfs") or {}), **asked}
    if host.get("Tmpfs"):
        host["Tmpfs"] = {path: _tmpfs(said) for path, said in host["Tmpfs"].items()}
    if host.get("LogConfig"):
        host["LogConfig"] = _log_config(host["LogConfig"])
    return {**body, "HostConfig": host}


def _tmpfs_of_mount(mount: Json) -> str:
    """``--mount type=tmpfs`` as ``--tmpfs``."""
    options = mount.get("TmpfsOptions") or {}
    said = ["ro"] if mount.get("ReadOnly") else []
    if options.get("SizeBytes"):
        said.append(f"size={options['SizeBytes']}")
    if options.get("Mode"):
        said.append(f"mode={options['Mode']:o}")
    return ",".join([*said, *("=".join(each) for each in options.get("Options") or ())])


def _tmpfs(said: str) -> str:
    options = [each for each in said.split(",") if each]
    usual = [] if "exec" in options or NO_EXEC in options else [NO_EXEC]
    return ",".join([*options, *usual, NO_COPY])


def _log_config(config: Json) -> Json:
    """Podman knows one file, and its size at most."""
    options = dict(config.get("Config") or {})
    kind = config.get("Type") or "json-file"
    for name in ("max-file", "compress"):
        options.pop(name, None)
    if kind == "local":
        kind, options = "json-file", {"max-size": FILE_SIZE, **options}
    return {"Type": kind, "Config": options}


def additions(body: Json) -> Json:
    """What of the create request Podman would drop without a word, for `skep.engine.amending`."""
    host = body.get("HostConfig") or {}
    found: Json = {
        "annotations": host.get("Annotations"),
        "domainname": body.get("Domainname"),
        "cgroupns": host.get("CgroupnsMode"),
        "devices": [device_rule(text) for text in host.get("DeviceCgroupRules") or ()],
        "weight": host.get("BlkioWeight"),
        "swap": -1 if host.get("MemorySwap") == -1 and host.get("Memory") else None,
    }
    found = {name: value for name, value in found.items() if value}
    for name, given in (("maskedPaths", "MaskedPaths"), ("readonlyPaths", "ReadonlyPaths")):
        if host.get(given) is not None:
            found[name] = host[given]
    if host.get("ReadonlyRootfs"):
        asked = set(mounted(host))
        found["unasked"] = [path for path in OF_PODMAN if path not in asked]
    return found


def mounted(host: Json) -> Iterable[str]:
    """The places in a container where its user mounts something."""
    yield from host.get("Tmpfs") or ()
    for mount in host.get("Mounts") or ():
        yield mount.get("Target") or ""
    for bind in host.get("Binds") or ():
        yield bind.split(":")[1] if ":" in bind else bind


def device_rule(text: str) -> Json:
    """A rule for devices ("c 7:9 r") in the runtime's words. It was checked before."""
    found = RULE.fullmatch(text)
    assert found is not None, "device rules are checked before they are used"
    rule: Json = {"allow": True, "type": found["type"], "access": found["access"]}
    for name in ("major", "minor"):
        if found[name] != "*":
            rule[name] = int(found[name])
    return rule

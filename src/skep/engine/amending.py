"""Podman's precreate hook: what its Docker-compatible create request drops is put into the OCI
runtime's configuration here, from a file per container.

A program of its own that Podman runs (``python amending.py FOLDER``) with the configuration on
standard input, and takes the amended one from standard output; so it imports next to nothing.
Sources: OCI runtime specification 1.0, config-linux.md; podman oci-hooks(5).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]

MARK = "libpod-"
"""What Podman puts before a container's id in the path of its control group."""


def amended(spec: Json, more: Json) -> Json:
    """The runtime's configuration with ``more`` in it, as `skep.engine.wording.additions` has it.

    ``spec`` is changed.
    """
    linux = spec["linux"]
    spec.setdefault("annotations", {}).update(more.get("annotations", {}))
    if "domainname" in more:
        linux.setdefault("sysctl", {})["kernel.domainname"] = more["domainname"]
    if "cgroupns" in more:
        others = [each for each in linux["namespaces"] if each["type"] != "cgroup"]
        own = [{"type": "cgroup"}] if more["cgroupns"] == "private" else []
        linux["namespaces"] = others + own
    resources = linux.setdefault("resources", {})
    resources.setdefault("devices", []).extend(more.get("devices", []))
    if "weight" in more:
        resources.setdefault("blockIO", {})["weight"] = more["weight"]
    if "swap" in more:
        resources.setdefault("memory", {})["swap"] = more["swap"]
    for name in ("maskedPaths", "readonlyPaths"):
        if name in more:
            linux[name] = more[name]
    unasked = more.get("unasked", [])
    spec["mounts"] = [
        each
        for each in spec["mounts"]
        if each.get("type") != "tmpfs" or each["destination"] not in unasked
    ]
    return spec


def main(folder: str) -> None:
    """Amend what comes in, if there is something to amend."""
    spec = json.load(sys.stdin)
    container = spec["linux"].get("cgroupsPath", "").rpartition(MARK)[2]
    path = Path(folder) / f"{container}.json"
    if container and path.exists():
        spec = amended(spec, json.loads(path.read_text()))
    json.dump(spec, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""``skep-runc``: the OCI runtime that Docker Engine runs Skep's containers with.

Docker Engine cannot be told a network namespace by its path. Skep therefore asks for a container
without network, and for a mount of the namespace's file at `NETNS_MOUNT`. Before runc creates the
container, this program takes that mount out of the bundle's ``config.json``, puts its source in as
the network namespace, and drops the hook by which Docker Engine would settle in there. Everything
else is runc's. The file stands alone, and imports little, since containers wait for it.

Source: OCI runtime specification 1.0, config.md and config-linux.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NETNS_MOUNT = "/.skep/netns"
"""Where a container has the file of its network namespace, as far as Docker Engine knows."""

RUNC = "runc"
CREATING = ("create", "run")
HOOK = "libnetwork-setkey"
"""Docker Engine's hook that takes a new namespace for its own, and turns IPv6 off in it."""


def in_namespace(config: dict[str, Any]) -> dict[str, Any]:
    """The container's configuration with the namespace that its mount names; the same if none."""
    mounts = config.get("mounts") or []
    places = [each["source"] for each in mounts if each.get("destination") == NETNS_MOUNT]
    if not places:
        return config
    linux = config.get("linux") or {}
    others = [each for each in linux.get("namespaces") or [] if each.get("type") != "network"]
    network = {"type": "network", "path": places[-1]}
    return {
        **config,
        "mounts": [each for each in mounts if each.get("destination") != NETNS_MOUNT],
        "linux": {**linux, "namespaces": [*others, network]},
        "hooks": _without_settling(config.get("hooks") or {}),
    }


def _without_settling(hooks: dict[str, Any]) -> dict[str, Any]:
    return {
        when: [each for each in called if HOOK not in (each.get("args") or ())]
        for when, called in hooks.items()
    }


def bundle_of(arguments: Sequence[str]) -> Path | None:
    """The bundle of a container that is to be created; None for other commands."""
    if not any(word in CREATING for word in arguments):
        return None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in ("--bundle", "-b"):
            return Path(following)
        if word.startswith("--bundle="):
            return Path(word.partition("=")[2])
    return Path()


def main() -> None:
    """Rewrite what is to be created, and become runc."""
    bundle = bundle_of(sys.argv[1:])
    if bundle is not None:
        path = bundle / "config.json"
        before = json.loads(path.read_bytes())
        after = in_namespace(before)
        if after is not before:
            fresh = path.with_name("config.json.skep")
            fresh.write_text(json.dumps(after))
            fresh.replace(path)
    os.execvp(RUNC, [RUNC, *sys.argv[1:]])


if __name__ == "__main__":
    main()

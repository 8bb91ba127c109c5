"""The rule that names of networks and services follow: they are DNS labels."""

from __future__ import annotations

import re

from skep.cluster import rpc

LONGEST = 63

_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?")


def check_name(name: str) -> None:
    """Raises `Invalid` in Docker's words. Source: swarmkit manager/controlapi/common."""
    if not name:
        raise rpc.invalid("meta: name must be provided")
    if not _LABEL.fullmatch(name):
        raise rpc.invalid("name must be valid as a DNS name component")
    if len(name) > LONGEST:
        raise rpc.invalid("name must be 63 characters or fewer")

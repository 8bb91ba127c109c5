"""Sysctls of the network namespace that the calling thread is in.

Source: sysctl(8) for the spelling (dots separate; a slash stands for a dot inside a name, as in
"net.ipv4.conf.eth0/100.forwarding"), proc(5).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

ROOT = "/proc/sys/"

_SWAP = str.maketrans("./", "/.")


def path_of(key: str) -> str:
    """The file of a sysctl."""
    parts = key.translate(_SWAP).split("/")
    assert all(part not in ("", ".", "..") for part in parts), f"not a sysctl's name: {key!r}"
    return ROOT + "/".join(parts)


def read(keys: Collection[str]) -> dict[str, str]:
    """The values of those of ``keys`` that exist, with single spaces between several numbers.

    Raises OSError if one exists and cannot be read.
    """
    found = {}
    for key in keys:
        try:
            with open(path_of(key)) as file:
                found[key] = " ".join(file.read().split())
        except FileNotFoundError:
            continue
    return found


def ipv6() -> tuple[bool, tuple[str, ...]]:
    """Whether this kernel has IPv6, and the links that listen to routers unless they forward.
    What links to come will do (``default``) is not among them."""
    conf = path_of("net.ipv6.conf")
    try:
        links = sorted(os.listdir(conf))
    except FileNotFoundError:
        return False, ()
    heard = []
    for link in links:
        # A link may go while it is looked at.
        with contextlib.suppress(FileNotFoundError), open(f"{conf}/{link}/accept_ra") as file:
            if file.read().strip() == "1" and link not in ("all", "default", "lo"):
                heard.append(link)
    return True, tuple(heard)


def write(key: str, value: str) -> None:
    """Set a sysctl. Raises FileNotFoundError if there is none of that name, OSError if refused."""
    with open(path_of(key), "r+") as file:
        file.write(value)

"""A host of a test's own: a fresh namespace as the host's, and a directory of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skep.kernel import netns
from skep.kernel.kernel import Kernel
from skep.model.netstate import HOST, Link, Peer
from skep.model.ops import AddLink, Failure, Op


class Host:
    """The paths of a test's namespaces, and the tools of the system inside them."""

    def __init__(self, root: Path) -> None:
        self.netns_dir = str(root / "netns")
        self.home = str(root / "home")
        netns.create(self.home)

    def path(self, ns: str) -> str:
        return self.home if ns == HOST else os.path.join(self.netns_dir, ns)

    def run(self, ns: str, command: str) -> str:
        argv = ["nsenter", f"--net={self.path(ns)}", *command.split()]
        done = subprocess.run(argv, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def json(self, ns: str, command: str) -> Any:
        return json.loads(self.run(ns, command) or "[]")

    def nft(self, ns: str, text: str) -> str:
        argv = ["nsenter", f"--net={self.path(ns)}", "nft", "-f", "-"]
        done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.netns_dir):
                netns.remove(self.path(name))
        netns.remove(self.home)


async def do(kernel: Kernel, *ops: Op) -> None:
    """Perform operations that must succeed."""
    assert [each.message for each in await kernel.apply(ops)] == []


async def fail(kernel: Kernel, op: Op) -> Failure:
    """Perform an operation that must fail."""
    (failure,) = await kernel.apply([op])
    assert failure.op is op
    return failure


def veth(ns: str, port: Link, peer_ns: str, end: Link) -> AddLink:
    """The operation that makes a pair of ``port`` in ``ns`` and ``end`` in ``peer_ns``."""
    return AddLink(
        ns=ns,
        link=_with_peer(port, Peer(peer_ns, end.name), owner=True),
        peer=_with_peer(end, Peer(ns, port.name), owner=False),
    )


def _with_peer(link: Link, peer: Peer, *, owner: bool) -> Link:
    fields = {name: getattr(link, name) for name in link.__struct_fields__}
    return Link(**{**fields, "kind": "veth", "peer": peer, "owner": owner})


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that the kernel does in the background."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)

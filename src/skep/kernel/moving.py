"""Links that somebody else made in the host's namespace: moved into one of ours, and given back.

A link that is about to move gets our group and, as its alias, the name that it had. So it is known
again wherever a crash leaves it, and goes back to where it came from. Everything here runs on the
namespace thread.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from skep.kernel.handles import Handles
from skep.kernel.rtnetlink import inet, links
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket
from skep.model.netstate import HOST, Link
from skep.model.ops import AddLink, ReturnLink

LINK_LOCAL = ("169.254.", "fe80:")


class Candidate(NamedTuple):
    """A link of the host that somebody wants moved, and the host's own addresses on it."""

    link: Link
    addresses: tuple[str, ...]


def look(name: str) -> Candidate | None:
    """A link of the namespace that the calling thread is in. Raises OSError."""
    opened = Socket()
    try:
        named = links.named([links.parse(each) for each in opened.dump(links.get_all())])
        if name not in named:
            return None
        here = {named[name].index: name}
        found = (inet.parse_address(each, here) for each in opened.dump(inet.get_addresses()))
        texts = (each.address for each in found if each is not None)
        own = tuple(text for text in texts if not text.startswith(LINK_LOCAL))
        return Candidate(named[name], own)
    finally:
        opened.close()


def bring(handles: Handles, op: AddLink) -> None:
    """Move a link of the host into a namespace, under another name. Raises OSError."""
    home, there = handles.get(HOST).socket, handles.get(op.ns)
    index = _index(home, op.link.source)
    if index is None:
        raise OSError(errno.ENODEV, f"there is no link {op.link.source} on the host")
    _do(home, links.claim(index, op.link.source))
    with there.descriptor() as target:
        _do(home, links.move(index, op.link.name, target))
    _do(there.socket, links.change(op.link, 0))


def give_back(handles: Handles, op: ReturnLink) -> None:
    """Move a link back to the host's namespace, down, under the name that it had there. One that
    is gone is as good as given back. Raises OSError."""
    socket = handles.get(op.ns).socket
    index = _index(socket, op.name)
    if index is None:
        return
    _do(socket, links.lower(index))
    if op.name != op.source:
        _do(socket, links.rename(index, op.source))
    if op.ns != HOST:
        with handles.get(HOST).descriptor() as target:
            _do(socket, links.release(index, target))
    else:
        _do(socket, links.release(index, None))


def _index(socket: Socket, name: str) -> int | None:
    (answer,) = socket.ask([links.get(name)])
    return links.index_of(answer) if isinstance(answer, Message) else None


def _do(socket: Socket, request: Request) -> None:
    (refused,) = socket.send([request])
    if refused is not None:
        raise OSError(refused.errno, refused.sentence)

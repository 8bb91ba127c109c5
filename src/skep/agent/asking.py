"""Asking skep-dns as a container would: from inside its sandbox, at 127.0.0.11 port 53."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterable, Sequence

from skep.kernel.kernel import Kernel
from skep.model.errors import Refusal
from skep.model.inspection import NameAnswer
from skep.model.naming import RESOLVER, NameTable
from skep.names import wire
from skep.names.answer import Forward, answer

PATIENCE = 2.0
"""Seconds that a question may take."""
GIVE_UP = 2
"""Unanswered questions after which a sandbox is asked no more."""

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
RECURSION = 0x0100


async def ask(
    kernel: Kernel, table: NameTable, namespace: str, names: Sequence[str]
) -> tuple[NameAnswer, ...]:
    """Ask names one after the other; what should be answered is by the ``table`` that the name
    server was given."""
    try:
        opened = await kernel.within(namespace, _open)
    except (OSError, Refusal) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return tuple(
            NameAnswer(namespace=namespace, name=name, error=f"it cannot be asked: {why}")
            for name in names
        )
    try:
        return await asyncio.to_thread(_ask_all, opened, table, namespace, names)
    finally:
        opened.close()


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    opened.settimeout(PATIENCE)
    return opened


def _ask_all(
    opened: socket.socket, table: NameTable, namespace: str, names: Iterable[str]
) -> tuple[NameAnswer, ...]:
    found: list[NameAnswer] = []
    for number, name in enumerate(names, 1):
        found.append(_ask(opened, table, namespace, (name, number)))
        if sum(bool(each.error) for each in found) >= GIVE_UP:
            break
    return tuple(found)


def _ask(
    opened: socket.socket, table: NameTable, namespace: str, question: tuple[str, int]
) -> NameAnswer:
    name, number = question
    data = query(name, number)
    begun = time.monotonic()
    told = NameAnswer(namespace=namespace, name=name, expected=expected(table, namespace, data))
    try:
        # Connected, so that a refusal is heard of.
        opened.connect((RESOLVER, 53))
        opened.send(data)
        code, addresses = _received(opened, number)
    except TimeoutError:
        error = f"no answer within {PATIENCE:.0f} s"
    except OSError as refused:
        error = (refused.strerror or str(refused)).lower()
    else:
        return NameAnswer(
            namespace=namespace,
            name=name,
            expected=told.expected,
            answered=addresses,
            code=code,
            seconds=time.monotonic() - begun,
        )
    return NameAnswer(namespace=namespace, name=name, expected=told.expected, error=error)


def _received(opened: socket.socket, number: int) -> tuple[str, tuple[str, ...]]:
    """The answer to this very question; late ones to others are passed over."""
    while True:
        reply = opened.recv(wire.LARGEST_UDP)
        if len(reply) >= _HEADER.size and _HEADER.unpack_from(reply)[0] == number:
            try:
                return read_reply(reply)
            except (IndexError, struct.error) as nonsense:
                raise OSError("an answer that breaks off") from nonsense


def query(name: str, number: int) -> bytes:
    """A question for a name's IPv4 addresses."""
    encoded = wire.encode_name(name.rstrip(".").lower())
    header = _HEADER.pack(number & 0xFFFF, RECURSION, 1, 0, 0, 0)
    return header + encoded + struct.pack("!HH", wire.A, wire.IN)


def read_reply(reply: bytes) -> tuple[str, tuple[str, ...]]:
    """A reply's code, and the IPv4 addresses in it, in order of number. Raises `IndexError` or
    `struct.error` for one that breaks off."""
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(reply)
    at = _HEADER.size
    for _ in range(questions):
        at = wire.skip_name(reply, at) + 4
    found = []
    for _ in range(answers):
        at = wire.skip_name(reply, at)
        kind, _, _, length = _RECORD.unpack_from(reply, at)
        at += _RECORD.size
        if kind == wire.A and length == 4:
            found.append(socket.inet_ntoa(reply[at : at + 4]))
        at += length
    code = flags & 0xF
    return _CODES.get(code, f"code {code}"), tuple(sorted(found, key=socket.inet_aton))


def expected(table: NameTable, namespace: str, data: bytes) -> tuple[str, ...] | None:
    """What a name server that was given this table should answer; None if the name is not ours."""
    box = table.sandboxes.get(namespace)
    parsed = wire.parse(data)
    if box is None or isinstance(parsed, wire.Unfit):
        return None
    said = answer(table, box, parsed, lambda _: None)
    if isinstance(said, Forward) or said.rcode != wire.NOERROR:
        return None
    addresses = [socket.inet_ntoa(each.data) for each in said.records if each.type == wire.A]
    return tuple(sorted(addresses, key=socket.inet_aton))

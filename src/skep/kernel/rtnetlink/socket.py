"""A netlink socket: requests in batches with their answers sorted out, and dumps.

Every request of a batch is performed, whatever became of the others; only the last one of each
chunk asks for an acknowledgement, since refusals are answered anyway and answers come in order.

Source: netlink(7); linux/netlink.h for NETLINK_EXT_ACK, NETLINK_CAP_ACK and NLM_F_DUMP_INTR.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence

import msgspec

from skep.kernel.rtnetlink.message import (
    ACK,
    ACK_TLVS,
    DUMP,
    ERROR,
    HEADER,
    INTERRUPTED,
    MESSAGE_DONE,
    MESSAGE_ERROR,
    REQUEST,
    Message,
    Request,
    as_text,
    attributes,
    messages,
    padded,
)

NETLINK_ROUTE = 0
SIOCGSKNS = 0x894C
"""Asks for a socket's namespace (linux/sockios.h)."""
SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 1 << 20
RECEIVE_SIZE = 1 << 16

TIMEOUT = struct.pack("@ll", 10, 0)
"""Seconds and microseconds. Answers are there when the sending returns; this is for a kernel that
breaks that promise, which must not stop everything for ever."""

CHUNK = 128
"""Requests to a send: so few that their answers always fit into the receive buffer."""

DUMP_ATTEMPTS = 10

SEQUENCE_LIMIT = 0xFFFF0000

EXT_ACK_TEXT = 1
ERROR_BODY = 4 + HEADER.size


class Refused(msgspec.Struct, frozen=True):
    """The kernel's no to a request: the error number, and its own words on it ("" if none)."""

    errno: int
    text: str

    @property
    def sentence(self) -> str:
        """The error's name, and the kernel's own words if it gave any."""
        name = os.strerror(self.errno)
        return f"{name} ({self.text.rstrip('.')})" if self.text else name


class Socket:
    """A netlink socket (rtnetlink's, unless another protocol is named) in the namespace that the
    calling thread is in; usable from any thread, by one at a time. Raises OSError when the socket
    itself fails, in which case it is done for."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT)
        self._sequence = 1

    @contextlib.contextmanager
    def namespace(self) -> Iterator[int]:
        """The namespace that the socket is bound to, as an open file. Raises OSError."""
        opened = fcntl.ioctl(self._socket, SIOCGSKNS)
        try:
            yield opened
        finally:
            os.close(opened)

    def close(self) -> None:
        """Close it; if nothing else holds the namespace, that goes too."""
        self._socket.close()

    def send(self, requests: Sequence[Request]) -> list[Refused | None]:
        """Have the kernel do ``requests`` in order; for each, None or its refusal."""
        outcome: list[Refused | None] = []
        for start in range(0, len(requests), CHUNK):
            outcome += self._send_chunk(requests[start : start + CHUNK])
        return outcome

    def _send_chunk(self, requests: Sequence[Request]) -> list[Refused | None]:
        first = self._transmit(requests, last_flags=ACK)
        last = first + len(requests) - 1
        outcome: list[Refused | None] = [None] * len(requests)
        for message, flags, sequence in self._received():
            if message.kind == MESSAGE_ERROR and first <= sequence <= last:
                outcome[sequence - first] = refusal(message, flags)
                if sequence == last:
                    return outcome
        raise AssertionError("unreachable: reception only ends by an answer or an error")

    def ask(self, requests: Sequence[Request]) -> list[Message | Refused]:
        """Send requests that are answered by one message each (RTM_GET… of one thing)."""
        answers: list[Message | Refused] = []
        for start in range(0, len(requests), CHUNK):
            answers += self._ask_chunk(requests[start : start + CHUNK])
        return answers

    def _ask_chunk(self, requests: Sequence[Request]) -> list[Message | Refused]:
        first = self._transmit(requests, last_flags=0)
        answers: dict[int, Message | Refused] = {}
        for message, flags, sequence in self._received():
            if sequence < first:
                continue
            if message.kind == MESSAGE_ERROR:
                refused = refusal(message, flags)
                assert refused is not None, "a request for data was acknowledged without any"
                answers[sequence] = refused
            else:
                answers[sequence] = message
            if len(answers) == len(requests):
                break
        return [answers[first + offset] for offset in range(len(requests))]

    def dump(self, request: Request) -> list[Message]:
        """All messages of a dump. If the list keeps changing under it, the last attempt's: that
        was as true as any, and the change that disturbed it is announced to whoever watches.

        Raises OSError if the kernel refuses it.
        """
        for _ in range(DUMP_ATTEMPTS):
            found, interrupted = self._dump_once(request)
            if not interrupted:
                break
        return found

    def _dump_once(self, request: Request) -> tuple[list[Message], bool]:
        current = self._transmit([request], last_flags=DUMP)
        found: list[Message] = []
        interrupted = False
        for message, flags, sequence in self._received():
            if sequence != current:
                continue
            interrupted = interrupted or bool(flags & INTERRUPTED)
            if message.kind in (MESSAGE_ERROR, MESSAGE_DONE):
                refused = refusal(message, flags)
                if refused is not None:
                    raise OSError(refused.errno, refused.sentence)
                break
            found.append(message)
        return found, interrupted

    def _transmit(self, requests: Sequence[Request], last_flags: int) -> int:
        """Send them and answer the first one's sequence number; the others' follow it."""
        first = self._sequence if self._sequence < SEQUENCE_LIMIT else 1
        self._sequence = first + len(requests)
        packed = []
        for offset, (kind, flags, body) in enumerate(requests):
            extra = last_flags if offset == len(requests) - 1 else 0
            length = HEADER.size + len(body)
            header = HEADER.pack(length, kind, flags | REQUEST | extra, first + offset, 0)
            packed.append(header + padded(body))
        self._socket.send(b"".join(packed))
        return first

    def _received(self) -> Iterator[tuple[Message, int, int]]:
        while True:
            yield from messages(self._socket.recv(RECEIVE_SIZE))


def refusal(message: Message, flags: int) -> Refused | None:
    """What an NLMSG_ERROR (or the NLMSG_DONE of a dump) says: None for success."""
    error = -ERROR.unpack_from(message.body)[0] if len(message.body) >= ERROR.size else 0
    if error == 0:
        return None
    if not flags & ACK_TLVS:
        return Refused(error, "")
    start = ERROR.size if message.kind == MESSAGE_DONE else ERROR_BODY
    words = attributes(message.body, start).get(EXT_ACK_TEXT, b"")
    return Refused(error, as_text(words))

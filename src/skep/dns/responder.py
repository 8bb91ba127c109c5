"""One sandbox's answers: bytes in, bytes out, with the answers kept that have only one form."""

from __future__ import annotations

import random

from skep.model.naming import NameTable, SandboxNames
from skep.names import wire
from skep.names.answer import Forward, answer
from skep.names.wire import Answer, Query, Unfit

KEPT = 2048
"""Answers kept per sandbox at most; beyond it they are all forgotten, as nothing is lost by it."""

LARGEST_KEPT = 320
"""Bytes of a message whose answer is kept: the longest name with room for plain EDNS."""


class Responder:
    """Answers one sandbox's questions from the table in force.

    ``kept`` maps a message without its id to the answer without its id. It is the same dict for
    ever, so that the reader of the socket may hold on to it.
    """

    def __init__(self, table: NameTable, sandbox: SandboxNames) -> None:
        self._table = table
        self._sandbox = sandbox
        self.kept: dict[bytes, bytes] = {}

    @property
    def sandbox(self) -> SandboxNames:
        """What the sandbox sees, as it is in force."""
        return self._sandbox

    def adopt(self, table: NameTable, sandbox: SandboxNames) -> None:
        """Answer from a new table. What is kept is forgotten if it could differ."""
        before = [self._table.networks.get(n) for n in self._sandbox.networks]
        after = [table.networks.get(n) for n in sandbox.networks]
        if sandbox != self._sandbox or before != after:
            self.kept.clear()
        self._table = table
        self._sandbox = sandbox

    def datagram(self, data: bytes) -> bytes | Query:
        """The reply to a UDP message (empty: none), or the question that is to be forwarded."""
        query = wire.parse(data)
        if isinstance(query, Unfit):
            return query.reply
        found = answer(self._table, self._sandbox, query, random.shuffle)
        if isinstance(found, Forward):
            return query
        reply = wire.build(query, found, query.size)
        if len(data) <= LARGEST_KEPT and is_single(found):
            if len(self.kept) >= KEPT:
                self.kept.clear()
            self.kept[data[2:]] = reply[2:]
        return reply

    def stream(self, data: bytes) -> bytes | Query:
        """The reply to a message over TCP (empty: none), or the question to be forwarded."""
        query = wire.parse(data)
        if isinstance(query, Unfit):
            return query.reply
        found = answer(self._table, self._sandbox, query, random.shuffle)
        if isinstance(found, Forward):
            return query
        return wire.build(query, found, wire.LARGEST_TCP)


def is_single(found: Answer) -> bool:
    """Whether an answer has only one form, because there is nothing to shuffle in it."""
    return len(found.records) <= 1

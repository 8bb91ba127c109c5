"""One sandbox's answers: bytes in, bytes out, with the answers kept that have only one form."""

from __future__ import annotations

import random
from operator import is_

from skep.dns.counters import UNREADABLE, Counters, kind_of
from skep.model.naming import NameTable, NetworkNames, SandboxNames
from skep.names import wire
from skep.names.answer import Forward, answer
from skep.names.wire import Answer, Query, Unfit

KEPT = 2048
"""Answers kept per sandbox at most; beyond it they are all forgotten, as nothing is lost by it."""

LARGEST_KEPT = 320
"""Bytes of a message whose answer is kept: the longest name with room for plain EDNS."""


class Responder:
    """Answers one sandbox's questions from the table in force.

    ``kept`` maps a message without its id to the answer without its id and the question's kind, as
    a place in a tally. It is the same dict for ever, so that the reader of the socket may hold on
    to it.
    """

    def __init__(self, table: NameTable, sandbox: SandboxNames, counters: Counters) -> None:
        self._sandbox = sandbox
        self._networks: list[NetworkNames | None] = []
        self.counters = counters
        self.kept: dict[bytes, tuple[bytes, int]] = {}
        self.adopt(table, sandbox)

    def adopt(self, table: NameTable, sandbox: SandboxNames) -> None:
        """Answer from a new table. What is kept is forgotten if it could differ."""
        networks = [table.networks.get(ident) for ident in sandbox.networks]
        # Networks are only ever replaced by different ones: no need to compare thousands of names.
        same = len(networks) == len(self._networks) and all(map(is_, networks, self._networks))
        if sandbox != self._sandbox or not same:
            self.kept.clear()
        self._networks = networks
        self._table = table
        self._sandbox = sandbox

    def datagram(self, data: bytes) -> bytes | Query:
        """The reply to a UDP message (empty: none), or the question that is to be forwarded."""
        found = self._found(data)
        if not isinstance(found, tuple):
            return found
        query, said = found
        reply = wire.build(query, said, query.size)
        if len(data) <= LARGEST_KEPT and is_single(said):
            if len(self.kept) >= KEPT:
                self.kept.clear()
            self.kept[data[2:]] = reply[2:], kind_of(query.type)
        return reply

    def stream(self, data: bytes) -> bytes | Query:
        """The reply to a message over TCP (empty: none), or the question to be forwarded."""
        self.counters.streams += 1
        found = self._found(data)
        return wire.build(*found, wire.LARGEST_TCP) if isinstance(found, tuple) else found

    def _found(self, data: bytes) -> tuple[Query, Answer] | bytes | Query:
        """A question and its answer, or what `datagram` and `stream` are to give instead."""
        query = wire.parse(data)
        if isinstance(query, Unfit):
            self.counters.asked[UNREADABLE] += 1
            return query.reply
        self.counters.asked[kind_of(query.type)] += 1
        said = answer(self._table, self._sandbox, query, random.shuffle)
        return query if isinstance(said, Forward) else (query, said)


def is_single(found: Answer) -> bool:
    """Whether an answer has only one form, because there is nothing to shuffle in it."""
    return len(found.records) <= 1

"""Judging and keeping what upstream name servers reply. Pure: ages are passed in.

A reply is kept as bytes. What changes when it is given to the next asker is its id, its question
(the asker's own letter case) and the time that its records have left.

Source: RFC 1035 section 4.1.3 (TTL), RFC 2308 section 5 (how long a "no" holds).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from skep.names.wire import HEADER_SIZE, NOERROR, NXDOMAIN, OPT, QR, TC, Query, skip_name

LONGEST = 60
"""Seconds that a reply is kept at most."""

LARGEST = 2048
"""Bytes of a reply that is kept at most."""

SOA = 6

_HEADER = struct.Struct(">6H")
_RECORD = struct.Struct(">2HIH")
_TTL = struct.Struct(">I")
_QUESTION_TAIL = 4


class Grade(IntEnum):
    """How good a reply is: it answers, it says that there is nothing, or it failed."""

    ANSWER = 0
    NOTHING = 1
    FAILURE = 2


class Kept(msgspec.Struct, frozen=True):
    """A reply that may be given again within ``lifetime`` seconds of its arrival.

    ``ttls`` are the places of the records' TTLs.
    """

    reply: bytes
    lifetime: int
    ttls: tuple[int, ...]


def key_of(query: Query, data: bytes) -> bytes:
    """What two messages have in common that may share a reply: all but id and letter case."""
    end = HEADER_SIZE + len(query.question)
    name = query.question[:-_QUESTION_TAIL].lower()
    # Only the name: in type and class a byte may look like a letter.
    return data[2:HEADER_SIZE] + name + query.question[-_QUESTION_TAIL:] + data[end:]


def belongs(question: bytes, reply: bytes) -> bool:
    """Whether a reply is a reply at all, and to this question. The id is the caller's matter."""
    if len(reply) < HEADER_SIZE:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(reply)
    if not flags & QR:
        return False
    if questions == 0:
        return flags & 0xF not in (NOERROR, NXDOMAIN)  # a bare "I cannot read this"
    echoed = reply[HEADER_SIZE : HEADER_SIZE + len(question)]
    return (
        questions == 1
        and echoed[-_QUESTION_TAIL:] == question[-_QUESTION_TAIL:]
        and echoed[:-_QUESTION_TAIL].lower() == question[:-_QUESTION_TAIL].lower()
    )


def grade(reply: bytes) -> Grade:
    """How good a reply is. A truncated one answers: it sends the asker to TCP."""
    _, flags, _, answers, *_ = _HEADER.unpack_from(reply)
    if flags & 0xF not in (NOERROR, NXDOMAIN):
        return Grade.FAILURE
    if flags & 0xF == NOERROR and (answers or flags & TC):
        return Grade.ANSWER
    return Grade.NOTHING


def choose(grades: Sequence[Grade | None]) -> int | None:
    """Which upstream's reply is final, from what each replied so far (None: nothing yet).

    Any answer is. A "nothing" is only once all upstreams listed before have spoken, because the
    first may know names that the others do not. Failures never are.
    """
    for index, given in enumerate(grades):
        if given is Grade.ANSWER:
            return index
    for index, given in enumerate(grades):
        if given is None:
            return None
        if given is Grade.NOTHING:
            return index
    return None


def best(grades: Sequence[Grade | None]) -> int | None:
    """Which reply to take when the time is up; None if there is none."""
    given = [(known, index) for index, known in enumerate(grades) if known is not None]
    return min(given)[1] if given else None


def keep(reply: bytes) -> Kept | None:
    """What to keep of a reply; None if it may not be given again, or is not readable."""
    if len(reply) > LARGEST:
        return None
    try:
        lifetimes, ttls = _lifetimes(reply)
    except (IndexError, struct.error):
        return None
    lifetime = min(lifetimes, default=0)
    return Kept(reply, min(lifetime, LONGEST), ttls) if lifetime > 0 else None


def again(kept: Kept, query: Query, age: int) -> bytes:
    """A kept reply for another asker, ``age`` seconds after it came."""
    assert 0 <= age <= kept.lifetime, "a reply is never given again after its time"
    reply = bytearray(kept.reply)
    reply[:2] = query.id.to_bytes(2, "big")
    reply[HEADER_SIZE : HEADER_SIZE + len(query.question)] = query.question
    for at in kept.ttls:
        _TTL.pack_into(reply, at, _TTL.unpack_from(reply, at)[0] - age)
    return bytes(reply)


def _lifetimes(reply: bytes) -> tuple[list[int], tuple[int, ...]]:
    """The seconds that a reply's parts hold (none: it is not to be kept), and its TTLs' places."""
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(reply)
    if flags & TC or flags & 0xF not in (NOERROR, NXDOMAIN) or questions != 1:
        return [], ()
    at = skip_name(reply, HEADER_SIZE) + _QUESTION_TAIL
    seconds: list[int] = []
    places: list[int] = []
    confirmed = grade(reply) is Grade.ANSWER
    for _ in range(answers + authorities + additionals):
        at = skip_name(reply, at)
        kind, _, ttl, length = _RECORD.unpack_from(reply, at)
        end = at + _RECORD.size + length
        if kind != OPT:
            places.append(at + 4)
            seconds.append(ttl)
        if kind == SOA:
            seconds.append(_TTL.unpack_from(reply, end - _TTL.size)[0])
            confirmed = True
        at = end
    return (seconds if confirmed and at <= len(reply) else []), tuple(places)

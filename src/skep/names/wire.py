"""The DNS wire format, as much of it as a stub resolver's server needs.

Whatever bytes come in, nothing raises: what cannot be read becomes an `Unfit` with the reply that
it deserves. Names are text without a trailing dot; bytes that are not UTF-8 survive as surrogates,
and a dot inside a label is written ``\\.``, so it equals no name that has a border there.

Source: RFC 1035 (messages), RFC 6891 (EDNS), RFC 2181 section 9 (truncation), RFC 3596 (AAAA),
RFC 2782 (SRV).
"""

from __future__ import annotations

import ipaddress
import struct

import msgspec

from skep.model.naming import TTL

A, PTR, AAAA, SRV, OPT, IXFR, AXFR, ANY = 1, 12, 28, 33, 41, 251, 252, 255
IN = 1

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS = 16

PLAIN_SIZE = 512
"""Bytes that an answer over UDP may take when the client says nothing."""

LARGEST_UDP = 4096
"""Bytes that we send over UDP at most, whatever the client says it takes."""

LARGEST_TCP = 65535
"""Bytes of a message over TCP at most."""

HEADER_SIZE = 12
QR, TC, RD, RA = 0x8000, 0x0200, 0x0100, 0x0080
OPCODE = 0x7800

_HEADER = struct.Struct(">6H")
_PAIR = struct.Struct(">2H")
_RECORD = struct.Struct(">2HIH")
_SERVICE = struct.Struct(">3H")
_POINTER = 0xC0
_QUESTION_POINTER = b"\xc0\x0c"
_ADVERTISED_SIZE = 1232
_LONGEST_NAME = 255
_LONGEST_LABEL = 63


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question as it came.

    ``name`` is in lower case, ``question`` the raw section (name in the asker's case, type, class).
    ``size`` is how many bytes an answer over UDP may take.
    """

    id: int
    flags: int
    name: str
    question: bytes
    type: int
    klass: int
    size: int = PLAIN_SIZE
    edns: bool = False


class Unfit(msgspec.Struct, frozen=True):
    """Bytes that are no question for us, and the reply they get; empty for silence."""

    reply: bytes


class Record(msgspec.Struct, frozen=True):
    """A record of an answer; its owner is the question's name, unless ``owner`` is another one,
    encoded."""

    type: int
    data: bytes
    ttl: int = TTL
    owner: bytes = _QUESTION_POINTER


class Answer(msgspec.Struct, frozen=True):
    """What we say to a question: a response code, records, and others that the asker would ask for
    next (left out without a word where there is no room)."""

    rcode: int = NOERROR
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    """The bytes end early, or say what they may not."""


def parse(data: bytes) -> Query | Unfit:
    """Read a message as a question. Never raises."""
    if len(data) < HEADER_SIZE:
        return Unfit(b"")
    ident, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & QR:
        return Unfit(b"")
    if flags & OPCODE:
        return Unfit(_bare_reply(ident, flags, NOTIMP))
    if questions != 1:
        return Unfit(_bare_reply(ident, flags, FORMERR))
    try:
        name, end = _read_name(data, HEADER_SIZE)
        kind, klass = _PAIR.unpack_from(data, end)
        end += _PAIR.size
        option = _find_option(data, end, answers + authorities + additionals)
    except (_Malformed, struct.error):
        return Unfit(_bare_reply(ident, flags, FORMERR))
    query = Query(
        id=ident,
        flags=flags,
        name=name,
        question=data[HEADER_SIZE:end],
        type=kind,
        klass=klass,
        size=PLAIN_SIZE if option is None else min(max(option.size, PLAIN_SIZE), LARGEST_UDP),
        edns=option is not None,
    )
    if option is not None and option.version:
        return Unfit(build(query, Answer(BADVERS), PLAIN_SIZE))
    return query


def build(query: Query, answer: Answer, limit: int) -> bytes:
    """The bytes of an answer, at most ``limit`` of them.

    What does not fit is left out and TC is set; what fits is kept, as some clients never come
    back over TCP.
    """
    room = limit - HEADER_SIZE - len(query.question) - (_RECORD.size + 1) * query.edns
    entries = _packed(answer.records, room)
    flags = QR | RA | query.flags & RD | answer.rcode & 0xF
    further: list[bytes] = []
    if len(entries) < len(answer.records):
        flags |= TC
    elif answer.additional:
        further = _packed(answer.additional, room - sum(map(len, entries)))
    additionals = len(further) + query.edns
    parts = [_HEADER.pack(query.id, flags, 1, len(entries), 0, additionals), query.question]
    parts += entries
    parts += further
    if query.edns:
        extended = answer.rcode >> 4 << 24
        parts.append(b"\0" + _RECORD.pack(OPT, _ADVERTISED_SIZE, extended, 0))
    return b"".join(parts)


def encode_name(name: str) -> bytes:
    """A name's labels, uncompressed; empty if it is no name that DNS can carry."""
    parts = []
    for label in name.split("."):
        raw = label.encode("utf-8", "surrogateescape")
        if not 0 < len(raw) <= _LONGEST_LABEL:
            return b""
        parts.append(bytes((len(raw),)) + raw)
    encoded = b"".join(parts) + b"\0"
    return encoded if len(encoded) <= _LONGEST_NAME else b""


def address_record(address: str, owner: str = "") -> Record:
    """An A or AAAA record of an address, of the question's name or of another ``owner``."""
    place = encode_name(owner) if owner else _QUESTION_POINTER
    assert place, f"not a DNS name: {owner}"
    if is_ipv6(address):
        return Record(AAAA, ipaddress.IPv6Address(address).packed, owner=place)
    octets = bytes(map(int, address.split(".")))
    assert len(octets) == 4, f"not an IPv4 address: {address}"
    return Record(A, octets, owner=place)


def is_ipv6(address: str) -> bool:
    """Of which family an address is."""
    return ":" in address


def service_record(target: str, port: int) -> Record:
    """An SRV record: the service is at ``port`` of ``target``, as good as any other."""
    data = encode_name(target)
    assert data, f"not a DNS name: {target}"
    return Record(SRV, _SERVICE.pack(0, 1, port) + data)


def pointer_record(name: str) -> Record:
    """A PTR record to a name."""
    data = encode_name(name)
    assert data, f"not a DNS name: {name}"
    return Record(PTR, data)


def skip_name(data: bytes, at: int) -> int:
    """Where a name, compressed or not, ends in a message. Raises `IndexError` past its end."""
    while True:
        length = data[at]
        if length & _POINTER == _POINTER:
            return at + 2
        at += 1 + length
        if not length:
            return at


class _Option(msgspec.Struct, frozen=True):
    """What an OPT record says: the sender's UDP size and the EDNS version."""

    size: int
    version: int


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """A question's name in lower case, and where it ends. The first name cannot be compressed."""
    labels = []
    start = at
    while True:
        if at >= len(data):
            raise _Malformed
        length = data[at]
        at += 1
        if not length:
            break
        if length > _LONGEST_LABEL or at + length >= len(data):
            raise _Malformed
        labels.append(_label_text(data[at : at + length]))
        at += length
    if at - start > _LONGEST_NAME:
        raise _Malformed
    return ".".join(labels), at


def _label_text(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogateescape").lower()
    return text.replace(".", "\\.") if "." in text else text


def _find_option(data: bytes, at: int, count: int) -> _Option | None:
    """The OPT record among the ``count`` records from ``at`` on. Two of them are an error."""
    found = None
    for _ in range(count):
        try:
            at = skip_name(data, at)
        except IndexError:
            raise _Malformed from None
        kind, klass, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size + length
        if at > len(data):
            raise _Malformed
        if kind == OPT:
            if found:
                raise _Malformed
            found = _Option(size=klass, version=ttl >> 16 & 0xFF)
    return found


def _bare_reply(ident: int, flags: int, rcode: int) -> bytes:
    """A reply of nothing but a header, to what has no question that could be repeated."""
    return _HEADER.pack(ident, QR | RA | flags & (OPCODE | RD) | rcode, 0, 0, 0, 0)


def _packed(records: tuple[Record, ...], room: int) -> list[bytes]:
    """The first records that fit into ``room`` bytes."""
    entries: list[bytes] = []
    for record in records:
        entry = _pack_record(record)
        room -= len(entry)
        if room < 0:
            break
        entries.append(entry)
    return entries


def _pack_record(record: Record) -> bytes:
    fixed = _RECORD.pack(record.type, IN, record.ttl, len(record.data))
    return record.owner + fixed + record.data

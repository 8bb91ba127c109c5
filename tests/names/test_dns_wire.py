"""Our wire format against dnspython's, both ways, and against noise."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.names import wire
from skep.names.wire import Answer, Query, Record, Unfit


def asked(name="web.net", kind="A", **more):
    return dns.message.make_query(name, kind, **more).to_wire()


def parsed(data) -> Query:
    query = wire.parse(data)
    assert isinstance(query, Query)
    return query


def reply_of(data):
    unfit = wire.parse(data)
    assert isinstance(unfit, Unfit)
    return dns.message.from_wire(unfit.reply)


def test_a_question_is_read():
    message = dns.message.make_query("Web.NET", "AAAA", use_edns=False, id=4711)
    query = parsed(message.to_wire())
    assert (query.id, query.name, query.type, query.klass) == (4711, "web.net", wire.AAAA, wire.IN)
    assert query.question == message.to_wire()[12:]
    assert (query.size, query.edns) == (512, False)


@pytest.mark.parametrize(("said", "taken"), [(100, 512), (1232, 1232), (65000, 4096)])
def test_the_size_that_the_client_takes(said, taken):
    query = parsed(asked(use_edns=0, payload=said))
    assert (query.size, query.edns) == (taken, True)


def test_the_root_and_odd_labels():
    assert parsed(asked(".", "NS")).name == ""
    assert parsed(asked(r"a\.b.c")).name == r"a\.b.c"
    assert parsed(asked(r"\255x.c")).name == "\udcffx.c"


def test_an_answer_is_what_dnspython_reads():
    query = parsed(asked("WeB.net", use_edns=False, id=7))
    answer = Answer(records=(wire.address_record("10.0.1.2"), wire.address_record("10.0.1.3")))
    message = dns.message.from_wire(wire.build(query, answer, 512))
    assert message.id == 7
    assert message.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
    assert message.question[0].name.to_text() == "WeB.net."
    assert sorted(r.address for r in message.answer[0]) == ["10.0.1.2", "10.0.1.3"]
    assert (message.answer[0].ttl, message.edns) == (5, -1)


def test_a_pointer_is_what_dnspython_reads():
    query = parsed(asked("2.1.0.10.in-addr.arpa", "PTR", use_edns=0))
    answer = Answer(records=(wire.pointer_record("web.1.a.my.net"),))
    message = dns.message.from_wire(wire.build(query, answer, 512))
    assert message.answer[0][0].target.to_text() == "web.1.a.my.net."
    assert (message.edns, message.payload) == (0, 1232)


def test_ipv6_addresses_are_what_dnspython_reads():
    query = parsed(asked("web.net", "AAAA", use_edns=False))
    reply = wire.build(query, Answer(records=(wire.address_record("fd00::2"),)), 512)
    assert dns.message.from_wire(reply).answer[0][0].address == "fd00::2"


def places(count):
    """An answer about a port at so many tasks, as the answers are that name ports."""
    targets = [f"web.{n}.abc.net" for n in range(count)]
    return Answer(
        records=tuple(wire.service_record(target, 80) for target in targets),
        additional=tuple(
            wire.address_record(f"10.0.1.{n}", target) for n, target in enumerate(targets)
        ),
    )


@pytest.mark.parametrize("edns", [False, 0])
def test_service_records_are_what_dnspython_reads(edns):
    query = parsed(asked("_80._tcp.web", "SRV", use_edns=edns))
    message = dns.message.from_wire(wire.build(query, places(2), 512))
    assert not message.flags & dns.flags.TC
    assert message.edns == (-1 if edns is False else 0)
    said = sorted((r.target.to_text(), r.port, r.priority, r.weight) for r in message.answer[0])
    assert said == [("web.0.abc.net.", 80, 0, 1), ("web.1.abc.net.", 80, 0, 1)]
    further = {rrset.name.to_text(): rrset[0].address for rrset in message.additional}
    assert further == {"web.0.abc.net.": "10.0.1.0", "web.1.abc.net.": "10.0.1.1"}


def test_additional_records_are_left_out_without_a_word():
    query = parsed(asked("_80._tcp.web", "SRV", use_edns=False))
    whole = len(wire.build(query, places(6), 4096))
    message = dns.message.from_wire(wire.build(query, places(6), whole - 1))
    assert len(message.answer[0]) == 6
    assert len(message.additional) == 5
    assert not message.flags & dns.flags.TC
    for limit in range(512, 600):
        cut = dns.message.from_wire(wire.build(query, places(40), limit))
        assert cut.flags & dns.flags.TC
        assert not cut.additional


@pytest.mark.parametrize("edns", [False, 0])
def test_what_does_not_fit_is_left_out_and_said(edns):
    query = parsed(asked("tasks.web", use_edns=edns, payload=512))
    answer = Answer(records=tuple(wire.address_record(f"10.0.1.{n}") for n in range(100)))
    reply = wire.build(query, answer, query.size)
    assert 512 - 16 < len(reply) <= 512
    message = dns.message.from_wire(reply)
    assert message.flags & dns.flags.TC
    assert len(message.answer[0]) == (512 - 12 - 15 - (0 if edns is False else 11)) // 16
    whole = dns.message.from_wire(wire.build(query, answer, wire.LARGEST_TCP))
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 100


@pytest.mark.parametrize("rcode", [wire.SERVFAIL, wire.NXDOMAIN, wire.REFUSED])
def test_response_codes(rcode):
    reply = dns.message.from_wire(wire.build(parsed(asked()), Answer(rcode), 512))
    assert reply.rcode() == rcode


def test_other_operations_are_not_implemented():
    message = dns.message.make_query("web", "SOA")
    message.set_opcode(dns.opcode.NOTIFY)
    reply = reply_of(message.to_wire())
    assert (reply.rcode(), reply.opcode()) == (dns.rcode.NOTIMP, dns.opcode.NOTIFY)


def test_edns_versions_to_come_are_told_ours():
    message = dns.message.make_query("web", "A", use_edns=1)
    assert reply_of(message.to_wire()).rcode() == dns.rcode.BADVERS


def test_replies_and_fragments_are_not_answered():
    reply = dns.message.make_response(dns.message.make_query("web", "A")).to_wire()
    assert wire.parse(reply) == Unfit(b"")
    assert wire.parse(asked()[:11]) == Unfit(b"")


HEADER = struct.Struct(">6H")


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(1, 0, 0, 0, 0, 0),
        HEADER.pack(1, 0, 2, 0, 0, 0) + asked(use_edns=False)[12:] * 2,
        HEADER.pack(1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        HEADER.pack(1, 0, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        HEADER.pack(1, 0, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 + b"\0\0\1\0",
        HEADER.pack(1, 0, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
        HEADER.pack(1, 0, 1, 0, 0, 9) + asked(use_edns=False)[12:],
        HEADER.pack(1, 0, 1, 0, 0, 2) + asked(use_edns=0)[12:] + asked(use_edns=0)[-11:],
        HEADER.pack(1, 0, 1, 0, 0, 1) + asked(use_edns=0)[12:-2] + b"\0\1",
    ],
    ids=[
        *("none", "two", "pointer", "long-label", "cut", "long-name"),
        *("missing", "two-options", "cut-option"),
    ],
)
def test_what_cannot_be_read_is_a_format_error(data):
    assert reply_of(data).rcode() == dns.rcode.FORMERR


def test_names_are_encoded_as_dnspython_does():
    name = "web.1.abc.my-net_2"
    assert wire.encode_name(name) == dns.name.from_text(name).to_wire()


@pytest.mark.parametrize("name", ["", "a..b", ".", "x" * 64, "a." * 127 + "aa"])
def test_what_is_no_name_is_not_encoded(name):
    assert wire.encode_name(name) == b""


def test_the_longest_name():
    name = ("a" * 63 + ".") * 3 + "a" * 61
    assert len(wire.encode_name(name)) == 255
    assert parsed(asked(name)).name == name


LABEL = st.binary(min_size=1, max_size=63)


@given(st.lists(LABEL, min_size=1, max_size=3), st.integers(0, 65535), st.booleans())
def test_every_name_is_read_and_repeated(labels, ident, edns):
    message = dns.message.make_query(
        dns.name.Name([*labels, b""]), "A", use_edns=0 if edns else False, id=ident
    )
    query = parsed(message.to_wire())
    reply = dns.message.from_wire(wire.build(query, Answer(), query.size))
    assert reply.id == ident
    assert reply.question == message.question


@given(st.binary(max_size=600))
def test_noise_never_raises(data):
    check_bounded(data)


@given(st.data())
def test_damaged_messages_never_raise(data):
    whole = bytearray(asked("web.1.abc.net", use_edns=0, payload=1400))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    check_bounded(bytes(whole[:cut]))
    check_bounded(bytes(whole))


def check_bounded(data):
    query = wire.parse(data)
    if isinstance(query, Unfit):
        assert len(query.reply) <= 512
        return
    reply = wire.build(query, Answer(records=(Record(wire.A, b"abcd"),) * 9), query.size)
    assert len(reply) <= query.size
    assert dns.message.from_wire(reply).id == query.id

"""Judging and keeping upstreams' replies."""

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.names import relay, wire
from skep.names.relay import Grade, Kept
from skep.names.wire import Query

SOA = ("org.", 300, "IN", "SOA", "ns.org. hm.org. 1 2 3 4 20")


def ask(name="Example.org", kind="A", **more):
    data = dns.message.make_query(name, kind, **more).to_wire()
    query = wire.parse(data)
    assert isinstance(query, Query)
    return query, data


def reply_to(data, *answers, rcode=0, authority=(), flags=0):
    message = dns.message.make_response(dns.message.from_wire(data))
    message.set_rcode(rcode)
    message.flags |= flags
    message.answer = [dns.rrset.from_text(*a) for a in answers]
    message.authority = [dns.rrset.from_text(*a) for a in authority]
    return message.to_wire()


A30 = ("example.org.", 30, "IN", "A", "192.0.2.1")
C10 = ("www.example.org.", 10, "IN", "CNAME", "example.org.")


def test_a_reply_belongs_to_its_question_whatever_its_case():
    query, data = ask()
    assert relay.belongs(query.question, reply_to(data, A30))
    _, lower = ask("example.org")
    assert relay.belongs(query.question, reply_to(lower, A30))


def test_what_does_not_belong():
    query, data = ask()
    for other in (ask("example.com")[1], ask("Example.org", "AAAA")[1]):
        assert not relay.belongs(query.question, reply_to(other))
    assert not relay.belongs(query.question, data)
    assert not relay.belongs(query.question, b"")
    assert not relay.belongs(query.question, reply_to(data)[:20])


def test_a_bare_failure_belongs_but_a_bare_success_does_not():
    query, _ = ask()
    assert relay.belongs(query.question, b"\0\1\x80\x01" + bytes(8))
    assert not relay.belongs(query.question, b"\0\1\x80\x00" + bytes(8))


def test_grades():
    _, data = ask()
    assert relay.grade(reply_to(data, A30)) is Grade.ANSWER
    assert relay.grade(reply_to(data, flags=dns.flags.TC)) is Grade.ANSWER
    assert relay.grade(reply_to(data)) is Grade.NOTHING
    assert relay.grade(reply_to(data, rcode=dns.rcode.NXDOMAIN)) is Grade.NOTHING
    assert relay.grade(reply_to(data, rcode=dns.rcode.REFUSED)) is Grade.FAILURE


YES, NO, BAD = Grade


@pytest.mark.parametrize(
    ("grades", "chosen", "best"),
    [
        ([], None, None),
        ([None, None], None, None),
        ([None, YES], 1, 1),
        ([NO, YES], 1, 1),
        ([NO, None], 0, 0),
        ([None, NO], None, 1),
        ([BAD, NO], 1, 1),
        ([BAD, None, NO], None, 2),
        ([BAD, BAD], None, 0),
    ],
)
def test_which_reply_is_taken(grades, chosen, best):
    assert relay.choose(grades) == chosen
    assert relay.best(grades) == best


def test_a_kept_reply_ages_and_wears_the_next_askers_question():
    _, data = ask("www.example.org")
    kept = relay.keep(reply_to(data, C10, A30))
    assert kept is not None
    assert kept.lifetime == 10
    query, _ = ask("WWW.Example.ORG", id=77)
    message = dns.message.from_wire(relay.again(kept, query, 4))
    assert message.id == 77
    assert message.question[0].name.to_text() == "WWW.Example.ORG."
    assert [r.ttl for r in message.answer] == [6, 26]


def test_edns_has_no_age():
    _, data = ask(use_edns=0)
    kept = relay.keep(reply_to(data, A30))
    assert kept is not None
    assert dns.message.from_wire(relay.again(kept, ask()[0], 30)).edns == 0


def test_a_no_holds_as_long_as_its_zone_says():
    _, data = ask()
    kept = relay.keep(reply_to(data, rcode=dns.rcode.NXDOMAIN, authority=[SOA]))
    assert kept is not None
    assert kept.lifetime == 20


def test_nothing_is_kept_for_long():
    _, data = ask()
    kept = relay.keep(reply_to(data, ("example.org.", 86400, "IN", "A", "192.0.2.1")))
    assert kept is not None
    assert kept.lifetime == relay.LONGEST


def test_what_is_not_kept():
    _, data = ask()
    refusals = [
        reply_to(data, rcode=dns.rcode.SERVFAIL),
        reply_to(data, A30, flags=dns.flags.TC),
        reply_to(data, ("example.org.", 0, "IN", "A", "192.0.2.1")),
        reply_to(data),  # a "no" that nobody vouches for
        reply_to(data, rcode=dns.rcode.NXDOMAIN),
        reply_to(data, *[(f"{n}.org.", 9, "IN", "TXT", "x" * 250) for n in range(9)]),
        reply_to(data, A30)[:-1],
    ]
    assert [relay.keep(reply) for reply in refusals] == [None] * len(refusals)


def test_messages_share_a_reply_if_only_id_and_case_differ():
    keys = {relay.key_of(*ask(name, id=n)) for n, name in enumerate(("a.org", "A.org", "a.ORG"))}
    assert len(keys) == 1


def test_a_type_that_looks_like_a_letter_is_not_taken_for_its_other_case():
    assert relay.key_of(*ask(kind="TYPE65")) != relay.key_of(*ask(kind="TYPE97"))
    assert relay.key_of(*ask(use_edns=0)) != relay.key_of(*ask(use_edns=False))


@given(st.binary(min_size=12, max_size=200))
def test_noise_from_upstreams_never_raises(reply):
    query, _ = ask()
    relay.belongs(query.question, reply)
    relay.grade(reply)
    kept = relay.keep(reply)
    if isinstance(kept, Kept) and relay.belongs(query.question, reply):
        relay.again(kept, query, kept.lifetime)

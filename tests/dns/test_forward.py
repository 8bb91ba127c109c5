"""Questions that are not ours: which upstream, from where, which reply, for how long."""

import itertools
import socket
import threading
import time

import dns.message
import dns.rcode
import dns.rrset
import pytest
from conftest import DEADLINE, box, found, says, table, until

from skep.model.naming import RESOLVER, RESOLVER_PORT

pytestmark = pytest.mark.root

NEAR, FAR, THIRD, NOBODY = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9"
ADDRESSES = [f"addr add {address}/32 dev lo" for address in (NEAR, FAR, THIRD, NOBODY)]
REFUSED, SERVFAIL, NXDOMAIN = dns.rcode.REFUSED, dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN

QUICK = 1.5
"""Seconds that are less than any time-out."""


def silence(message):
    return None


async def soon(rig, **more):
    """A reply that is quick, and the seconds it took. What waits for a time-out never is; a machine
    that stalls is at one of a few tries."""
    for number in range(5):
        begun = time.monotonic()
        reply = await rig.ask("one", f"example{number}.org", **more)
        if (took := time.monotonic() - begun) < QUICK:
            return reply, took
    raise AssertionError("no reply was quick")


def questions(upstream):
    """How many it was asked: the same one is sent again if no reply comes within a second."""
    return len({message.id for message in upstream.asked})


async def serving(rig, *upstreams, inside="home"):
    """A server with one sandbox that forwards to these upstreams."""
    rig.namespace("home")
    rig.namespace("one", *ADDRESSES)
    rig.server(inside)
    client = await rig.client()
    await client.sync(table(box("one", *upstreams), web="10.0.1.2"))
    return client


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_names_are_asked_from_inside_the_sandbox(rig, tcp):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, says("203.0.113.7"))
    message = await rig.ask("one", "Example.ORG", tcp=tcp)
    assert found(message) == ["203.0.113.7"]
    assert message.question[0].name.to_text() == "Example.ORG."
    assert questions(upstream) == 1
    await client.close()


@pytest.mark.parametrize("tcp", [False, True])
async def test_loopback_upstreams_are_asked_from_the_hosts_namespace(rig, tcp):
    client = await serving(rig, "127.0.0.53")
    upstream = rig.upstream("home", "127.0.0.53", says("203.0.113.7"))
    wrong = rig.upstream("one", "127.0.0.53", says("203.0.113.8"))
    assert await rig.addresses("one", "example.org", tcp=tcp) == ["203.0.113.7"]
    assert (questions(upstream), questions(wrong)) == (1, 0)
    await client.close()


async def test_our_names_and_sealed_sandboxes_ask_nobody(rig):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, says("203.0.113.7"))
    await rig.ask("one", "web")
    await rig.ask("one", "web", "AAAA")
    await client.sync(table(box("one", NEAR, forward=False), web="10.0.1.2"))
    assert (await rig.ask("one", "example.org")).rcode() == NXDOMAIN
    assert upstream.asked == []
    await client.close()


async def test_all_are_asked_at_once_and_a_silent_one_costs_nothing(rig):
    client = await serving(rig, NEAR, FAR)
    rig.upstream("one", NEAR, silence)
    rig.upstream("one", FAR, says("203.0.113.7"))
    reply, _ = await soon(rig)
    assert found(reply) == ["203.0.113.7"]
    await client.close()


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
async def test_a_failure_waits_for_the_others(rig, rcode, tcp):
    client = await serving(rig, NEAR, NOBODY, FAR)
    rig.upstream("one", NEAR, says("", rcode=rcode))
    rig.upstream("one", FAR, says("203.0.113.7"))
    assert await rig.addresses("one", "example.org", tcp=tcp) == ["203.0.113.7"]
    await client.close()


async def test_a_no_of_a_later_one_waits_for_the_first(rig):
    client = await serving(rig, NEAR, FAR)
    spoken = threading.Event()

    def late(message):
        assert spoken.wait(DEADLINE)
        return says("10.9.9.9")(message)

    rig.upstream("one", NEAR, late)
    rig.upstream("one", FAR, says("", rcode=NXDOMAIN), after=spoken.set)
    assert await rig.addresses("one", "intranet.example") == ["10.9.9.9"]
    await client.close()


async def test_a_no_of_a_later_one_does_not_wait_for_long(rig):
    client = await serving(rig, NEAR, FAR)
    rig.upstream("one", NEAR, silence)
    rig.upstream("one", FAR, says("", rcode=NXDOMAIN))
    reply, took = await soon(rig)
    assert reply.rcode() == NXDOMAIN
    assert took > 0.2
    await client.close()


@pytest.mark.parametrize("tcp", [False, True])
async def test_nobody_there_is_said_at_once(rig, tcp):
    client = await serving(rig, NOBODY, "198.51.100.1", "no address")
    reply, _ = await soon(rig, tcp=tcp)
    assert reply.rcode() == SERVFAIL
    await client.close()


async def test_without_upstreams_other_names_fail(rig):
    client = await serving(rig)
    assert (await rig.ask("one", "example.org")).rcode() == SERVFAIL
    assert (await rig.ask("one", "example.org", tcp=True)).rcode() == SERVFAIL
    await client.close()


async def test_silence_is_a_failure_after_two_seconds(rig):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, silence)
    begun = time.monotonic()
    assert (await rig.ask("one", "example.org")).rcode() == SERVFAIL
    assert time.monotonic() - begun > 1.9
    await until(lambda: len(upstream.asked) == 2)  # a lost datagram has a second chance
    await client.close()


async def test_a_spoken_failure_is_handed_on(rig):
    client = await serving(rig, NOBODY, NEAR)
    rig.upstream("one", NEAR, says("", rcode=REFUSED))
    assert (await rig.ask("one", "example.org")).rcode() == REFUSED
    await client.close()


async def test_replies_are_kept_as_long_as_they_hold(rig):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, says("203.0.113.7", ttl=30))
    for name in ("example.org", "EXAMPLE.org"):
        message = await rig.ask("one", name)
        assert message.question[0].name.to_text() == f"{name}."
        assert found(message) == ["203.0.113.7"]
    assert await rig.addresses("one", "example.org", tcp=True) == ["203.0.113.7"]
    assert questions(upstream) == 1
    await client.close()


async def test_replies_without_time_are_not_kept(rig):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, says("203.0.113.7", ttl=0))
    for _ in range(2):
        await rig.ask("one", "example.org")
    assert questions(upstream) == 2
    await client.close()


async def test_a_sandbox_never_sees_what_another_was_told(rig):
    client = await serving(rig, NEAR)
    rig.namespace("two", *ADDRESSES)
    await client.sync(table(box("one", NEAR), box("two", NEAR)))
    rig.upstream("one", NEAR, says("203.0.113.1"))
    rig.upstream("two", NEAR, says("203.0.113.2"))
    assert await rig.addresses("one", "example.org") == ["203.0.113.1"]
    assert await rig.addresses("two", "example.org") == ["203.0.113.2"]
    await client.close()


async def test_new_upstreams_make_old_replies_forgotten(rig):
    client = await serving(rig, NEAR)
    rig.upstream("one", NEAR, says("203.0.113.1"))
    rig.upstream("one", FAR, says("203.0.113.2"))
    assert await rig.addresses("one", "example.org") == ["203.0.113.1"]
    await client.sync(table(box("one", FAR), web="10.0.1.2"))
    assert await rig.addresses("one", "example.org") == ["203.0.113.2"]
    await client.close()


async def test_forged_replies_are_passed_over(rig):
    client = await serving(rig, NEAR)

    def wrong_id(message):
        forged = says("203.0.113.66")(message)
        forged.id ^= 1
        return forged

    def wrong_question(message):
        forged = says("203.0.113.66")(dns.message.make_query("other.org", "A"))
        forged.id = message.id
        return forged

    ways = itertools.cycle([wrong_id, wrong_question, lambda message: b"\0" * 20])

    def forged(message):
        return next(ways)(message)

    rig.upstream("one", NEAR, forged)
    for tcp in (False, True):
        for name in ("a.org", "b.org", "c.org"):
            assert (await rig.ask("one", name, tcp=tcp)).rcode() == SERVFAIL
    await client.close()


async def test_ids_are_drawn_at_random(rig):
    client = await serving(rig, NEAR)
    upstream = rig.upstream("one", NEAR, says("203.0.113.7", ttl=0))
    for _ in range(8):
        await rig.ask("one", "example.org", id=5)
    ids = [message.id for message in upstream.asked]
    steps = {b - a for a, b in itertools.pairwise(ids)}
    assert len(set(ids)) > 6
    assert len(steps) > 4
    await client.close()


async def test_a_long_reply_over_tcp(rig):
    client = await serving(rig, NEAR)

    def long(message):
        answer = dns.message.make_response(message)
        addresses = [f"203.0.113.{n}" for n in range(250)]
        answer.answer = [dns.rrset.from_text(message.question[0].name, 9, "IN", "A", *addresses)]
        return answer

    rig.upstream("one", NEAR, long)
    assert len(await rig.addresses("one", "example.org", tcp=True)) == 250
    await client.close()


async def test_too_many_at_once_fail_at_once_and_our_names_go_on(rig):
    client = await serving(rig, NEAR)
    rig.upstream("one", NEAR, silence)
    assert await flood(rig, 300) == 300 - 256
    assert await rig.addresses("one", "web") == ["10.0.1.2"]
    await client.close()


async def flood(rig, count):
    """Ask many questions at once; how many were turned down before any could time out."""

    def work():
        turned_down = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect((RESOLVER, RESOLVER_PORT))
            for n in range(count):
                sock.send(dns.message.make_query(f"n{n}.org", "A").to_wire())
            try:
                while True:
                    message = dns.message.from_wire(sock.recv(4096))
                    assert message.rcode() == SERVFAIL
                    turned_down += 1
            except TimeoutError:
                return turned_down

    return await rig.thread.run(rig.path("one"), work)

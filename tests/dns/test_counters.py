"""What the process says it did."""

import socket
from functools import partial

import dns.rcode
import pytest
from conftest import box, says, table, until
from msgspec.structs import replace

from skep.dns.counters import BOUNDS, KINDS, Counts, Durations, kind_of
from skep.model.naming import RESOLVER, RESOLVER_PORT
from skep.model.readings import Times
from skep.names import wire

UPSTREAM = "192.0.2.1"


@pytest.mark.parametrize(
    ("query_type", "kind"),
    [
        (wire.A, "A"),
        (wire.AAAA, "AAAA"),
        (wire.PTR, "PTR"),
        (wire.SRV, "SRV"),
        (wire.ANY, "other"),
        (0, "other"),
    ],
)
def test_kinds_of_questions(query_type, kind):
    assert KINDS[kind_of(query_type)] == kind


@pytest.mark.root
async def test_all_questions_are_counted(rig):
    rig.namespace("one")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one"), box("gone"), web="10.0.1.2"))
    for _ in range(3):
        await rig.ask("one", "web")
    await rig.ask("one", "web", "AAAA", tcp=True)
    for _ in range(2):
        await rig.ask("one", "web", "AAAA")
    await rig.ask("one", "web", "MX")
    assert (await rig.ask("one", "elsewhere")).rcode() == dns.rcode.SERVFAIL
    await rig.thread.run(rig.path("one"), partial(say, bytes(12)))
    none = dict.fromkeys(("A", "AAAA", "PTR", "SRV", "other", "unreadable"), 0)
    expected = Counts(
        questions=none | {"A": 4, "AAAA": 3, "other": 1, "unreadable": 1},
        kept=none | {"A": 2, "AAAA": 1},
        streams=1,
        forwards=1,
        failures=1,
        sandboxes=1,
        faults=1,
    )
    await until(partial(counted, client, expected))
    counts = await client.stats()
    assert counts.own.number == 8, "seven names, and a message that is none"
    assert counts.upstream.number == 1
    assert counts.upstream.total > 0 < counts.own.total
    await client.close()


async def counted(client, expected):
    return replace(await client.stats(), own=Times(), upstream=Times()) == expected


def test_durations_are_counted_up_to_each_bound():
    durations = Durations()
    durations.add(BOUNDS[0] / 2, 3)
    durations.add(BOUNDS[1])
    durations.add(BOUNDS[-1] * 2)
    found = durations.times()
    assert found.bounds == BOUNDS
    assert found.counts == (3, *[4] * (len(BOUNDS) - 1)) and found.number == 5
    assert found.total == pytest.approx(1.5 * BOUNDS[0] + BOUNDS[1] + 2 * BOUNDS[-1])


def say(data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, (RESOLVER, RESOLVER_PORT))


@pytest.mark.root
async def test_forwards_that_are_answered_as_before_are_counted_as_such(rig):
    rig.namespace("one", f"addr add {UPSTREAM}/32 dev lo")
    rig.server()
    client = await rig.client()
    await client.sync(table(box("one", UPSTREAM)))
    rig.upstream("one", UPSTREAM, says("203.0.113.7"))
    for _ in range(3):
        assert await rig.addresses("one", "example.org") == ["203.0.113.7"]
    counts = await client.stats()
    assert (counts.forwards, counts.forwards_kept, counts.failures) == (3, 2, 0)
    assert counts.questions["A"] == 3
    assert sum(counts.kept.values()) == 0
    assert (counts.own.number, counts.upstream.number) == (2, 1)
    await client.close()

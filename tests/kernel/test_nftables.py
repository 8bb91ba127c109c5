from __future__ import annotations

import asyncio

import pytest
from fresh_host import do, fail
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep.kernel import nfttext
from skep.kernel.kernel import Kernel
from skep.kernel.nftables import Library
from skep.model.errors import Broken
from skep.model.netstate import HOST
from skep.model.nft import (
    Chain,
    Counter,
    Ct,
    Dnat,
    Fib,
    Foreign,
    Hook,
    Lookup,
    Masquerade,
    Match,
    Meta,
    Numgen,
    Payload,
    Redirect,
    Reject,
    Rule,
    Set,
    SetMark,
    Table,
    Verdict,
)
from skep.model.ops import AddNamespace, DelTable, ReplaceTable, SetElements

pytestmark = pytest.mark.root

MARK = Meta("mark")
PROTOCOL = Meta("l4proto")
PORT = Payload("th", "dport")
SOURCE, TARGET = Payload("ip", "saddr"), Payload("ip", "daddr")
SENDER = Payload("ether", "saddr")
IN, OUT = Meta("iifname"), Meta("oifname")

SETS = (
    Set("slots", ("mark",), frozenset({(256,), (257,)})),
    Set("one", ("mark",), frozenset({(7,)})),
    Set("open", ("inet_proto", "inet_service"), frozenset({("tcp", 80), ("udp", 53)})),
    Set(
        "nets",
        ("ipv4_addr",),
        frozenset({("10.0.0.0/8",), ("11.0.0.0/8",), ("192.0.2.1",), ("192.0.2.2",)}),
    ),
    Set("names", ("ifname",), frozenset({("veth0",), ("1odd name",)})),
    Set("vips", ("ipv4_addr",), frozenset({("10.0.0.7", 256)}), ("mark",)),
    Set("published", ("inet_proto", "inet_service"), frozenset({("tcp", 8080, 256)}), ("mark",)),
    Set("peers", ("ether_addr",), frozenset({("02:42:0a:00:00:01", 0x1000001)}), ("mark",)),
    Set(
        "inward",
        ("inet_proto", "inet_service"),
        frozenset({("tcp", 8080, "172.18.0.2", 8080)}),
        ("ipv4_addr", "inet_service"),
    ),
    Set(
        "backends",
        ("mark", "integer"),
        frozenset({(256, 0, "10.0.1.5"), (256, 1, "10.0.1.6")}),
        ("ipv4_addr",),
    ),
    Set(
        "ports",
        ("mark", "inet_proto", "inet_service", "integer"),
        frozenset({(256, "tcp", 8080, 0, "10.0.0.5", 80)}),
        ("ipv4_addr", "inet_service"),
    ),
    Set("empty", ("mark", "integer"), frozenset(), ("ipv4_addr",)),
)

ACCEPT, DROP = Verdict("accept"), Verdict("drop")


def rules(*statements) -> tuple[Rule, ...]:
    return tuple(Rule(each if isinstance(each, tuple) else (each,)) for each in statements)


FILTER = rules(
    (Match((SOURCE,), "172.18.0.0/16"), Match((OUT,), "docker_gwbridge", "!="), Counter(), DROP),
    (Match((Ct("state"),), ("established", "related")), ACCEPT),
    (Match((Ct("state"),), "new"), ACCEPT),
    (Match((Ct("state"),), "invalid", "!="), ACCEPT),
    (Match((Ct("status"),), "dnat"), ACCEPT),
    (Match((Ct("direction"),), "reply"), SetMark("meta", Ct("mark"))),
    (Match((Ct("mark"),), 0, "!="), SetMark("ct", MARK)),
    SetMark("ct", Lookup((SENDER,), "peers")),
    SetMark("ct", 0x1000001),
    (Match((IN,), ("eth0", "lo")), Match((SENDER,), "02:42:0a:00:00:01"), ACCEPT),
    (Match((IN,), "@names"), DROP),
    (Match((SOURCE,), "@nets", "!="), DROP),
    (Match((PROTOCOL, PORT), "@open"), ACCEPT),
    (Match((PROTOCOL,), ("tcp", "udp")), Match((PORT,), (53, 80)), ACCEPT),
    (Match((PROTOCOL,), "sctp", "!="), Verdict("return")),
    (Match((Payload("tcp", "dport"),), 80), Reject("tcp reset")),
    (Match((Payload("udp", "dport"),), 80, "!="), Reject("icmp")),
    Verdict("jump", "inner"),
)
DNAT = rules(
    SetMark("meta", Lookup((TARGET,), "vips")),
    SetMark("meta", Lookup((PROTOCOL, PORT), "published")),
    (Match((MARK,), "@slots"), Dnat(Lookup((MARK, Numgen(2)), "backends"))),
    (Match((MARK,), "@one"), Dnat(Lookup((MARK, Numgen(3)), "empty"))),
    (Match((MARK,), 256), Dnat(Lookup((MARK, PROTOCOL, PORT, Numgen(2)), "ports"))),
    Dnat(Lookup((PROTOCOL, PORT), "inward")),
    (Match((Fib("daddr"),), "local"), Verdict("jump", "inner")),
    (Match((Payload("tcp", "dport"),), 80), Dnat("10.0.0.1", 8080)),
    (Match((PROTOCOL,), "tcp"), Dnat("10.0.0.1")),
    (Match((TARGET,), "127.0.0.11"), Match((Payload("udp", "dport"),), 53), Redirect(1011)),
)
FULL = Table(
    "skep",
    (
        Chain("zeta", FILTER, Hook("filter", "forward", -200, "drop")),
        Chain("prerouting", DNAT, Hook("nat", "prerouting", -100)),
        Chain("output", (), Hook("route", "output", -150)),
        Chain("postrouting", rules(Masquerade()), Hook("nat", "postrouting", 100)),
        Chain("inner", rules(Verdict("return"))),
        Chain("DOCKER-INGRESS", ()),
    ),
    SETS,
)


@pytest.fixture
async def ns(kernel: Kernel) -> str:
    await do(kernel, AddNamespace(ns="a"))
    return "a"


async def tables(kernel: Kernel, ns: str) -> tuple[Table, ...]:
    return (await kernel.observe([ns]))[ns].tables


async def test_everything_we_write_reads_back_equal(kernel, ns):
    bridge = Table(
        "skep",
        (Chain("f", rules((Match((IN,), "@x"), DROP)), Hook("filter", "forward", 0)),),
        (Set("x", ("ifname",), frozenset({("veth0",)})),),
        family="bridge",
    )
    inet = Table(
        "skep_dns",
        (Chain("o", rules((Match((SOURCE,), "10.0.0.1"), DROP)), Hook("filter", "output", 0)),),
        family="inet",
    )
    ops = [ReplaceTable(ns=ns, table=table) for table in (FULL, bridge, inet)]
    for _ in range(2):
        await do(kernel, *ops)
        assert await tables(kernel, ns) == (bridge, inet, FULL)
    assert (await kernel.observe([HOST]))[HOST].tables == ()


async def test_only_our_tables_are_listed(host, kernel, ns):
    host.nft(ns, "table ip filter { chain x { ct state new log accept; }; }")
    assert await tables(kernel, ns) == ()


async def test_a_table_is_replaced_whole_or_not_at_all(kernel, ns):
    await do(kernel, ReplaceTable(ns=ns, table=FULL))
    wrong = Table("skep", (Chain("a", rules(Verdict("jump", "nowhere"))),))
    failure = await fail(kernel, ReplaceTable(ns=ns, table=wrong))
    assert failure.errno == 2
    assert failure.message.startswith(
        "cannot write the nftables table ip skep in the namespace a: Could not process rule: "
        "No such file or directory"
    )
    assert await tables(kernel, ns) == (FULL,)
    small = Table("skep", (Chain("a", rules(DROP)),))
    await do(kernel, ReplaceTable(ns=ns, table=small))
    assert await tables(kernel, ns) == (small,)


async def test_a_table_is_deleted_and_again_without_complaint(kernel, ns):
    gone = DelTable(ns=ns, family="ip", name="skep")
    await do(kernel, ReplaceTable(ns=ns, table=FULL), gone, gone)
    assert await tables(kernel, ns) == ()


async def test_what_others_changed_is_seen(host, kernel, ns):
    small = Table("skep", (Chain("a", rules(DROP), Hook("filter", "input", 0)),), SETS[:1])
    for change in (
        "flush chain ip skep a",
        "add rule ip skep a accept",
        "add chain ip skep b",
        "delete element ip skep slots { 256 }",
        "add set ip skep more { type mark; flags timeout; }",
        "add rule ip skep a log",
        "add counter ip skep hits",
    ):
        await do(kernel, ReplaceTable(ns=ns, table=small))
        assert await tables(kernel, ns) == (small,)
        host.nft(ns, change)
        assert await tables(kernel, ns) != (small,)
    host.nft(ns, "add rule ip skep a log prefix hello")
    (seen,) = await tables(kernel, ns)
    assert seen.chains[0].rules[-1] == Rule((Foreign('{"log":{"prefix":"hello"}}'),))


def elements(ns: str, name: str, remove=(), add=()) -> SetElements:
    return SetElements(
        ns=ns,
        family="ip",
        table="skep",
        set=name,
        remove=frozenset(remove),
        add=frozenset(add),
    )


async def test_elements_change_and_the_rest_stays(kernel, ns):
    await do(kernel, ReplaceTable(ns=ns, table=FULL))
    await do(
        kernel,
        elements(ns, "backends", [(256, 1, "10.0.1.6")], [(256, 1, "10.0.1.9"), (5, 0, "1.1.1.1")]),
        elements(ns, "published", [("tcp", 8080, 256)], [("udp", 8080, 9)]),
        elements(ns, "names", [("1odd name",)], [("it's",)]),
        elements(ns, "slots"),
        elements(ns, "empty", add=[(1, 2, "10.0.0.1")]),
    )
    (seen,) = await tables(kernel, ns)
    found = {each.name: each.elements for each in seen.sets}
    assert found["backends"] == {(256, 0, "10.0.1.5"), (256, 1, "10.0.1.9"), (5, 0, "1.1.1.1")}
    assert found["published"] == {("udp", 8080, 9)}
    assert found["names"] == {("veth0",), ("it's",)}
    assert found["empty"] == {(1, 2, "10.0.0.1")}
    assert seen.chains == FULL.chains


async def test_all_elements_of_a_table_change_or_none(kernel, ns):
    other = Table("skep2", (), SETS[:1])
    await do(kernel, ReplaceTable(ns=ns, table=FULL), ReplaceTable(ns=ns, table=other))
    ops = [
        elements(ns, "slots", add=[(999,)]),
        SetElements(
            ns=ns, family="ip", table="skep2", set="slots", remove=frozenset({(256,)}),
            add=frozenset(),
        ),
        elements(ns, "vips", remove=[("10.9.9.9", 1)]),
    ]  # fmt: skip
    failures = await kernel.apply(ops)
    assert [each.op for each in failures] == [ops[0], ops[2]]
    assert {each.errno for each in failures} == {2}
    assert failures[1].message.startswith("cannot change vips of the nftables table ip skep")
    seen = await tables(kernel, ns)
    assert seen == (FULL, Table("skep2", (), (Set("slots", ("mark",), frozenset({(257,)})),)))


async def test_elements_of_no_set(kernel, ns):
    failure = await fail(kernel, elements(ns, "nix", add=[(1,)]))
    assert failure.message == (
        "cannot change nix of the nftables table ip skep in the namespace a: there is no set nix"
    )
    assert failure.errno == 2


def test_a_missing_library_is_refused_in_words():
    with pytest.raises(Broken, match=r"libnothing\.so cannot be loaded: install libnftables"):
        Library("libnothing.so")


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "198.51.100.7"])
PORTS = st.integers(1, 65535)
MARKS = st.integers(0, 2**32 - 1)
NAMES = st.sampled_from(["eth0", "docker_gwbridge", "veth1234567"])
STATES = st.sampled_from(["invalid", "new", "established", "related"])
OPS = st.sampled_from(["==", "!="])
PREFIXES = st.builds(Match, st.just((SOURCE,)), st.sampled_from(["10.0.0.0/8", "0.0.0.0/0"]), OPS)


def several(atoms):
    return atoms | st.lists(atoms, min_size=1, max_size=3).map(tuple)


def matches(keys, atoms):
    return st.builds(Match, st.sampled_from(keys).map(lambda key: (key,)), several(atoms), OPS)


MATCHES = st.one_of(
    matches([SOURCE, TARGET], ADDRESSES),
    PREFIXES,
    matches([IN, OUT], NAMES),
    matches([MARK, Ct("mark")], MARKS),
    matches([Ct("state")], STATES),
    st.builds(Match, st.just((Fib("daddr"),)), st.sampled_from(["local", "broadcast"]), OPS),
    st.builds(Match, st.just((Ct("direction"),)), st.sampled_from(["original", "reply"]), OPS),
    st.sampled_from([Match((MARK,), "@slots"), Match((PROTOCOL, PORT), "@open", "!=")]),
)
TRANSPORT = st.one_of(
    matches([Payload("tcp", "dport"), Payload("udp", "dport")], PORTS),
    st.just(Match((PROTOCOL,), "tcp")),
    st.just(Match((PROTOCOL,), ("tcp", "udp"))),
)
MIDDLE = st.one_of(
    st.just(Counter()),
    st.builds(SetMark, st.sampled_from(["meta", "ct"]), MARKS),
    st.sampled_from([SetMark("meta", Ct("mark")), SetMark("ct", MARK)]),
    st.sampled_from(
        [
            SetMark("meta", Lookup((TARGET,), "vips")),
            SetMark("ct", Lookup((PROTOCOL, PORT), "published")),
        ]
    ),
)
VERDICTS = st.sampled_from([ACCEPT, DROP, Verdict("return"), Verdict("jump", "inner")])
REJECTS = st.sampled_from([Reject("icmp")])
DNATS = st.one_of(
    st.builds(Dnat, st.sampled_from(["10.0.0.1", "10.0.0.2"]), PORTS | st.just(0)),
    st.builds(Redirect, PORTS),
    st.just(Dnat(Lookup((MARK, Numgen(4)), "backends"))),
)


def chains(name, hook, last):
    rule = st.builds(
        lambda first, transport, middle, end: Rule((*first, transport, *middle, end)),
        st.lists(MATCHES, max_size=3),
        TRANSPORT,
        st.lists(MIDDLE, max_size=2),
        last,
    )
    good = st.lists(rule.filter(canonical), max_size=4)
    return st.builds(Chain, st.just(name), good.map(tuple), st.just(hook))


def canonical(rule: Rule) -> bool:
    try:
        nfttext.rule_text(rule)
    except AssertionError:
        return False
    return True


TABLES = st.builds(
    lambda *found: Table("skep", (*found, FULL.chains[4]), SETS),
    chains("forward", Hook("filter", "forward", 0), VERDICTS | REJECTS),
    chains("dest", Hook("nat", "prerouting", -100), DNATS | VERDICTS),
    chains("source", Hook("nat", "postrouting", 100), st.just(Masquerade())),
)


def test_any_table_reads_back_equal(host):
    with asyncio.Runner() as runner:

        async def begin() -> Kernel:
            made = Kernel(host.netns_dir, host.home)
            await do(made, AddNamespace(ns="a"))
            return made

        kernel = runner.run(begin())

        @settings(
            max_examples=60, deadline=None, database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )  # fmt: skip
        @given(TABLES)
        def round_trip(table: Table) -> None:
            runner.run(do(kernel, ReplaceTable(ns="a", table=table)))
            assert runner.run(tables(kernel, "a")) == (table,)

        try:
            round_trip()
        finally:
            runner.run(kernel.close())

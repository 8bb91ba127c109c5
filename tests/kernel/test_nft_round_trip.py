"""Any table of our vocabulary is read back from the kernel as it was written."""

from __future__ import annotations

import asyncio

import pytest
from fresh_host import do
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_nftables import (
    ACCEPT,
    DROP,
    FULL,
    IN,
    MARK,
    OUT,
    PORT,
    PROTOCOL,
    SETS,
    SOURCE,
    TARGET,
    tables,
)

from skep.kernel import nfttext
from skep.kernel.kernel import Kernel
from skep.model.nft import (
    Chain,
    Counter,
    Ct,
    Dnat,
    Fib,
    Hook,
    Lookup,
    Masquerade,
    Match,
    Numgen,
    Payload,
    Redirect,
    Reject,
    Rule,
    SetMark,
    Snat,
    Table,
    Verdict,
)
from skep.model.ops import AddNamespace, ReplaceTable

pytestmark = pytest.mark.root

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
    lambda *found: Table("skep", (*found, *FULL.chains[4:]), SETS),
    chains("forward", Hook("filter", "forward", 0), VERDICTS | REJECTS),
    chains("dest", Hook("nat", "prerouting", -100), DNATS | VERDICTS),
    chains(
        "source",
        Hook("nat", "postrouting", 100),
        st.sampled_from((Masquerade(), Snat("192.0.2.7"))),
    ),
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

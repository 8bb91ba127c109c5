from __future__ import annotations

import pytest
from fresh_host import do, fail

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
    Forget,
    Hook,
    Jhash,
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
    Update,
    Verdict,
    Vmap,
)
from skep.model.ops import (
    AddChain,
    AddNamespace,
    DelChain,
    DelTable,
    ReplaceTable,
    SetElements,
)

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
        interval=True,
    ),
    Set(
        "allowed",
        ("ipv4_addr", "inet_proto", "inet_service", "ipv4_addr"),
        frozenset({("0.0.0.0/0", "tcp", 80, "10.0.0.0/8"), ("10.0.0.9", "udp", 53, "0.0.0.0/0")}),
        interval=True,
    ),
    Set("guarded", ("ipv4_addr", "inet_service"), frozenset(), interval=True),
    Set(
        "turns",
        ("mark",),
        frozenset({(256, "goto turn_2_0"), (257, "goto random_2"), (258, "goto turn_2_0")}),
        ("verdict",),
    ),
    Set(
        "targets",
        ("mark", "inet_proto", "inet_service"),
        frozenset({(256, "tcp", 8080, 80)}),
        ("inet_service",),
    ),
    Set("nowhere", ("ipv4_addr",), frozenset(), ("verdict",)),
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
    Set("sticky", ("mark", "ipv4_addr"), frozenset(), ("mark",), dynamic=True),
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
    (Match((TARGET, PROTOCOL, PORT, SOURCE), "@allowed", "!="), Verdict("jump", "inner")),
    Update("sticky", (MARK, SOURCE), 90061, Ct("mark")),
    (Match((Ct("mark"),), 0, "!="), Forget("sticky", (MARK, SOURCE), Ct("mark"))),
    (Match((IN,), "eth0"), Update("sticky", (MARK, TARGET), 600, MARK), Counter()),
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
    Vmap((MARK,), "turns"),
    (Match((SOURCE,), "10.0.0.1"), Vmap((TARGET,), "nowhere")),
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
        Chain("turn_2_0", rules(Dnat(Lookup((MARK, Numgen(2)), "backends")))),
        Chain("random_2", rules(Dnat(Lookup((MARK, Numgen(2, "random")), "backends")))),
        Chain(
            "turn_4_5",
            rules(
                (
                    Match((PROTOCOL,), ("sctp", "tcp", "udp")),
                    Dnat(
                        Lookup((MARK, Numgen(4)), "backends"),
                        Lookup((MARK, PROTOCOL, PORT), "targets"),
                    ),
                )
            ),
        ),
        Chain("source_2", rules(Dnat(Lookup((MARK, Jhash(SOURCE, 2, 7)), "backends")))),
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


async def test_chains_and_what_leads_to_them_change_together(kernel, ns):
    await do(kernel, ReplaceTable(ns=ns, table=FULL))
    backend = Lookup((MARK, Numgen(3)), "backends")
    target = Lookup((MARK, PROTOCOL, PORT), "targets")
    ported = Match((PROTOCOL,), ("sctp", "tcp", "udp"))
    chain = Chain("turn_3_1", rules((ported, Dnat(backend, target))))
    place = {"ns": ns, "family": "ip", "table": "skep"}
    moved = [
        AddChain(**place, chain=chain),
        elements(ns, "turns", [(257, "goto random_2")], [(257, "goto turn_3_1")]),
        elements(ns, "allowed", add=[("0.0.0.0/0", "tcp", 80, "192.0.2.0/24")]),
        DelChain(**place, name="random_2"),
        DelChain(**place, name="source_2"),
    ]
    await do(kernel, *moved)
    (seen,) = await tables(kernel, ns)
    found = {each.name: each for each in seen.chains}
    assert found["turn_3_1"] == chain
    assert not {"random_2", "source_2"} & set(found)
    sets = {each.name: each.elements for each in seen.sets}
    assert (257, "goto turn_3_1") in sets["turns"]
    assert ("0.0.0.0/0", "tcp", 80, "192.0.2.0/24") in sets["allowed"]
    (failure,) = await kernel.apply([DelChain(**place, name="turn_2_0")])
    assert failure.message.startswith(
        "cannot remove the chain turn_2_0 from the nftables table ip skep in the namespace a: "
    )
    assert await tables(kernel, ns) == (seen,)


async def test_elements_of_no_set(kernel, ns):
    failure = await fail(kernel, elements(ns, "nix", add=[(1,)]))
    assert failure.message == (
        "cannot change nix of the nftables table ip skep in the namespace a: there is no set nix"
    )
    assert failure.errno == 2


def test_a_missing_library_is_refused_in_words():
    with pytest.raises(Broken, match=r"libnothing\.so cannot be loaded: install libnftables"):
        Library("libnothing.so")


FILLER = Table(
    "skep",
    (
        Chain(
            "out",
            rules((SetMark("meta", 256), Update("sticky", (MARK, TARGET), 600, MARK))),
            Hook("filter", "output", 0),
        ),
    ),
    (Set("sticky", ("mark", "ipv4_addr"), frozenset(), ("mark",), dynamic=True),),
)


def written(host, ns):
    (found,) = [o["map"] for o in host.json(ns, "nft -j list maps")["nftables"] if "map" in o]
    return {each[0]["elem"]["val"]["concat"][1]: each[0]["elem"] for each in found.get("elem", [])}


async def test_what_packets_wrote_outlives_its_tables_replacement(kernel, host, capfd):
    await do(kernel, AddNamespace(ns="a"), ReplaceTable(ns="a", table=FILLER))
    host.run("a", "busybox ping -c 1 127.0.0.9")
    assert await tables(kernel, "a") == (FILLER,)
    first = written(host, "a")["127.0.0.9"]
    assert first["timeout"] == 600
    assert 500 < first["expires"] < 600
    more = (*FILLER.chains, Chain("inner", rules(ACCEPT)))
    await do(kernel, ReplaceTable(ns="a", table=Table("skep", more, FILLER.sets)))
    assert written(host, "a")["127.0.0.9"]["timeout"] == 600
    assert written(host, "a")["127.0.0.9"]["expires"] <= first["expires"]
    other = Set("sticky", ("mark", "mark"), frozenset(), ("mark",), dynamic=True)
    await do(kernel, ReplaceTable(ns="a", table=Table("skep", (), (other,))))
    assert written(host, "a") == {}
    assert "json callback" not in capfd.readouterr().err

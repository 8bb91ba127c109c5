from __future__ import annotations

import pytest

from skep.kernel import nfttext
from skep.model.nft import (
    Chain,
    Counter,
    Ct,
    Dnat,
    Fib,
    Foreign,
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
    Snat,
    Table,
    Verdict,
    Vmap,
)
from skep.model.ops import AddChain, DelChain, SetElements

MARK = Meta("mark")
PROTOCOL = Meta("l4proto")
PORT = Payload("th", "dport")
SOURCE = Payload("ip", "saddr")


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Match((MARK,), 256), "meta mark 256"),
        (Match((MARK,), 0, "!="), "meta mark != 0"),
        (Match((MARK,), "@slots_2"), "meta mark @slots_2"),
        (Match((PROTOCOL,), "tcp"), "meta l4proto 6"),
        (Match((PROTOCOL,), ("udp", "tcp")), "meta l4proto { 6, 17 }"),
        (Match((PROTOCOL, PORT), "@open"), "meta l4proto . th dport @open"),
        (Match((Meta("iifname"),), "docker_gwbridge", "!="), 'meta iifname != "docker_gwbridge"'),
        (Match((SOURCE,), "172.18.0.0/16"), "ip saddr 172.18.0.0/16"),
        (Match((SOURCE,), ("10.0.0.2", "10.0.0.1")), "ip saddr { 10.0.0.1, 10.0.0.2 }"),
        (Match((Payload("tcp", "dport"),), (443, 80)), "tcp dport { 80, 443 }"),
        (Match((Ct("state"),), ("related", "established")), "ct state established,related"),
        (Match((Ct("status"),), "dnat"), "ct status dnat"),
        (Match((Fib("daddr"),), "local"), "fib daddr type local"),
        (SetMark("meta", 256), "meta mark set 256"),
        (SetMark("ct", MARK), "ct mark set meta mark"),
        (SetMark("meta", Ct("mark")), "meta mark set ct mark"),
        (
            SetMark("meta", Lookup((PROTOCOL, PORT), "published")),
            "meta mark set meta l4proto . th dport map @published",
        ),
        (Dnat("10.0.0.1"), "dnat ip to 10.0.0.1"),
        (Dnat("10.0.0.1", 80), "dnat ip to 10.0.0.1:80"),
        (
            Dnat(Lookup((MARK, Numgen(2)), "backends")),
            "dnat ip to meta mark . numgen inc mod 2 map @backends",
        ),
        (Redirect(1011), "redirect to :1011"),
        (Masquerade(), "masquerade"),
        (Snat("192.0.2.7"), "snat to 192.0.2.7"),
        (Counter(), "counter"),
        (Reject("tcp reset"), "reject with tcp reset"),
        (Reject("icmp"), "reject with icmp port-unreachable"),
        (Verdict("drop"), "drop"),
        (Verdict("jump", "DOCKER-INGRESS"), "jump DOCKER-INGRESS"),
        (
            Dnat(Lookup((MARK, Numgen(3, "random")), "backends")),
            "dnat ip to meta mark . numgen random mod 3 map @backends",
        ),
        (
            Dnat(Lookup((MARK, Jhash(SOURCE, 3, 7)), "backends")),
            "dnat ip to meta mark . jhash ip saddr mod 3 seed 7 map @backends",
        ),
        (
            Dnat(Lookup((MARK,), "backends"), Lookup((MARK, PORT), "targets")),
            "dnat ip to meta mark map @backends : meta mark . th dport map @targets",
        ),
        (Vmap((MARK, PORT), "turns"), "meta mark . th dport vmap @turns"),
    ],
)
def test_statements(statement, text):
    assert nfttext.rule_text(Rule((statement,))) == text


@pytest.mark.parametrize(
    "statements",
    [
        (Match((PROTOCOL,), "tcp"), Match((PORT,), 80)),
        (Match((PROTOCOL,), "tcp"), Match((Payload("tcp", "dport"),), 80)),
        (Match((PROTOCOL,), "tcp"), Counter(), Reject("tcp reset")),
        (
            Match((Payload("tcp", "dport"),), 80),
            SetMark("meta", Lookup((PROTOCOL, PORT), "published")),
        ),
        (Match((SOURCE,), ("10.0.0.0/8", "192.0.2.1")),),
        (Match((MARK, PORT), 5),),
        (Match((MARK,), "1; flush ruleset"),),
        (Match((Meta("iifname"),), 'a" drop; "'),),
        (Match((MARK,), "@a b"),),
        (Dnat("10.0.0.1 }"),),
        (Dnat(Lookup((MARK,), "m"), 80),),
        (Dnat("10.0.0.1", Lookup((MARK,), "m")),),
        (Match((PROTOCOL,), "tcp"), Dnat(Lookup((MARK,), "m"), Lookup((PORT,), "n"))),
        (Verdict("jump", "a b"),),
        (Dnat(Lookup((Jhash(SOURCE, 3, 0),), "m")),),
        (Vmap((MARK,), "a b"),),
        (Match((PROTOCOL,), "tcp"), Vmap((PORT,), "turns")),
        (Foreign("{}"),),
    ],
)
def test_rules_that_would_read_back_differently_or_not_at_all(statements):
    with pytest.raises(AssertionError):
        nfttext.rule_text(Rule(statements))


def test_a_list_has_no_order_and_a_list_of_one_is_that_one():
    assert Match((SOURCE,), ("b", "a", "b")) == Match((SOURCE,), ("a", "b"))
    assert Match((SOURCE,), ("a",)) == Match((SOURCE,), "a")


def test_a_whole_table_is_one_transaction():
    table = Table(
        "skep",
        (
            Chain("in", (Rule((Counter(), Verdict("drop"))),), Hook("filter", "input", -200)),
            Chain("extra", ()),
        ),
        (
            Set("vips", ("ipv4_addr",), frozenset({("10.0.0.7", 256)}), ("mark",)),
            Set("backends", ("mark", "integer"), frozenset(), ("ipv4_addr", "inet_service")),
            Set("nets", ("ipv4_addr",), frozenset({("10.0.0.0/8",)}), interval=True),
            Set("names", ("ifname",), frozenset({("eth0",)})),
        ),
    )
    assert (
        nfttext.replace_table(table)
        == """\
add table ip skep
delete table ip skep
table ip skep {
map vips {
type ipv4_addr : mark;
elements = { 10.0.0.7 : 256 }
}
map backends {
typeof meta mark . numgen inc mod 65536 : ip daddr . th dport;
}
set nets {
type ipv4_addr;
flags interval;
elements = { 10.0.0.0/8 }
}
set names {
type ifname;
elements = { "eth0" }
}
chain in {
type filter hook input priority -200; policy accept;
counter drop
}
chain extra {
}
}
"""
    )


def test_elements_are_removed_before_others_are_added():
    ports = Set("ports", ("inet_proto", "inet_service"), frozenset(), ("mark",))
    first = SetElements(
        ns="a",
        family="ip",
        table="skep",
        set="ports",
        remove=frozenset({("tcp", 80, 1)}),
        add=frozenset({("udp", 53, 2)}),
    )
    second = SetElements(
        ns="a",
        family="ip",
        table="skep",
        set="ports",
        remove=frozenset({("sctp", 9, 3)}),
        add=frozenset(),
    )
    assert nfttext.change_table([first, second], [ports]) == (
        "delete element ip skep ports { 6 . 80 : 1 }\n"
        "delete element ip skep ports { 132 . 9 : 3 }\n"
        "add element ip skep ports { 17 . 53 : 2 }\n"
    )


@pytest.mark.parametrize("verdict", ["drop", "goto a b", "goto a; drop", 5])
def test_verdicts_are_of_one_kind(verdict):
    turns = Set("turns", ("mark",), frozenset({(1, verdict)}), ("verdict",))
    with pytest.raises(AssertionError, match="not a verdict"):
        nfttext.replace_table(Table("skep", (), (turns,)))


def test_prefixes_are_declared():
    nets = Set("nets", ("ipv4_addr",), frozenset({("10.0.0.0/8",)}))
    with pytest.raises(AssertionError, match="nets holds prefixes undeclared"):
        nfttext.replace_table(Table("skep", (), (nets,)))


def test_chains_come_before_what_leads_to_them_and_go_after():
    turns = Set("turns", ("mark",), frozenset(), ("verdict",))
    place = {"ns": "a", "family": "ip", "table": "skep"}
    moved = SetElements(
        **place,
        set="turns",
        remove=frozenset({(1, "goto old")}),
        add=frozenset({(1, "goto new")}),
    )
    chain = Chain("new", (Rule((Verdict("drop"),)),))
    changes = [DelChain(**place, name="old"), moved, AddChain(**place, chain=chain)]
    assert nfttext.change_table(changes, [turns]) == (
        "table ip skep {\nchain new {\ndrop\n}\n}\n"
        "delete element ip skep turns { 1 : goto old }\n"
        "add element ip skep turns { 1 : goto new }\n"
        "delete chain ip skep old\n"
    )


def test_elements_that_do_not_fit():
    wrong = Set("vips", ("ipv4_addr",), frozenset({("10.0.0.7", 256)}))
    with pytest.raises(AssertionError, match="does not fit the set vips"):
        nfttext.replace_table(Table("skep", (), (wrong,)))

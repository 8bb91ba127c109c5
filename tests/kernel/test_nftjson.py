from __future__ import annotations

import json

import pytest

from skep.kernel import nftjson
from skep.model.nft import (
    Chain,
    Ct,
    Dnat,
    Fib,
    Foreign,
    Forget,
    Hook,
    Lookup,
    Match,
    Meta,
    Numgen,
    Payload,
    Rule,
    Set,
    SetMark,
    Table,
    Update,
)

META = {"metainfo": {"version": "1.0.6"}}
TABLE = {"table": {"family": "ip", "name": "skep", "handle": 1}}
PLACE = {"family": "ip", "table": "skep", "handle": 2}


def listing(*objects) -> str:
    return json.dumps({"nftables": [META, *objects]}) + "\n"


def statement(said):
    chain = {"chain": {**PLACE, "name": "c"}}
    rule = {"rule": {**PLACE, "chain": "c", "expr": [said]}}
    (read,) = nftjson.parse_table(listing(TABLE, chain, rule)).chains[0].rules[0].statements
    return read


def matching(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


MARK = {"meta": {"key": "mark"}}
STATE = {"ct": {"key": "state"}}
PROTOCOL = {"meta": {"key": "l4proto"}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (matching(PROTOCOL, 6), Match((Meta("l4proto"),), "tcp")),
        (matching(PROTOCOL, "udp"), Match((Meta("l4proto"),), "udp")),
        (matching(PROTOCOL, {"set": [17, 6]}), Match((Meta("l4proto"),), ("tcp", "udp"))),
        (matching(PROTOCOL, 89), Match((Meta("l4proto"),), 89)),
        ("update @s { meta mark . ip6 saddr timeout 1d1h1m1s : ct mark }",
         Update("s", (Meta("mark"), Payload("ip6", "saddr")), 90061, Ct("mark"))),
        ({"map": {"op": "update", "elem": {"elem": {"val": {"concat": [MARK, MARK]},
          "timeout": 60}}, "data": MARK, "map": "@s"}},
         Update("s", (Meta("mark"), Meta("mark")), 60, Meta("mark"))),
        ("update @s { tcp sport timeout 1m : ct mark }",
         Foreign('"update @s { tcp sport timeout 1m : ct mark }"')),
        ("delete @s { meta mark . ip saddr : ct mark }",
         Forget("s", (Meta("mark"), Payload("ip", "saddr")), Ct("mark"))),
        ({"map": {"op": "delete", "elem": {"concat": [MARK, MARK]}, "data": MARK, "map": "@s"}},
         Forget("s", (Meta("mark"), Meta("mark")), Meta("mark"))),
        ("add @s { meta mark : ct mark }", Foreign('"add @s { meta mark : ct mark }"')),
        (matching(STATE, ["related", "established"], "in"),
         Match((Ct("state"),), ("established", "related"))),
        (matching({"fib": {"result": "type", "flags": "daddr"}}, "local"),
         Match((Fib("daddr"),), "local")),
        (matching({"concat": [PROTOCOL, {"payload": {"protocol": "th", "field": "dport"}}]}, "@s"),
         Match((Meta("l4proto"), Payload("th", "dport")), "@s")),
        ({"mangle": {"key": MARK, "value": {"ct": {"key": "mark"}}}},
         SetMark("meta", Ct("mark"))),
        ({"dnat": {"addr": {"map": {
            "key": {"concat": [MARK, {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}]},
            "data": "@backends"}}}},
         Dnat(Lookup((Meta("mark"), Numgen(2)), "backends"))),
        ({"dnat": {"family": "ip", "addr": "10.0.0.1", "port": 80}}, Dnat("10.0.0.1", 80)),
        ({"dnat": {"family": "ip6", "addr": "fd00::1"}}, Dnat("fd00::1", family="ip6")),
    ],
)  # fmt: skip
def test_statements(said, meant):
    assert statement(said) == meant


@pytest.mark.parametrize(
    "said",
    [
        {"goto": {"target": "x"}},
        {"log": None},
        {"limit": {"rate": 1, "per": "second"}},
        {"accept": None, "extra": 1},
        matching({"&": [MARK, 255]}, 5),
        matching(MARK, {"range": [1, 5]}),
        matching(STATE, {"set": ["established", "related"]}),
        matching({"payload": {"base": "th", "offset": 0, "len": 16}}, 5),
        matching({"fib": {"result": "oif", "flags": ["daddr"]}}, "eth0"),
        matching({"numgen": {"mode": "inc", "mod": 2, "offset": 1}}, 1),
        matching({"jhash": {"mod": 2, "seed": 1, "offset": 1, "expr": MARK}}, 1),
        matching({"jhash": {"mod": 2, "seed": 1, "expr": MARK}}, 1),
        {"vmap": {"key": MARK, "data": {"set": [[1, {"accept": None}]]}}},
        matching({"rt": {"key": "mtu"}}, 1),
        {"mangle": {"key": {"meta": {"key": "priority"}}, "value": 1}},
        {"mangle": {"key": MARK, "value": {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}}},
        {"mangle": {"key": MARK, "value": {"map": {"key": MARK, "data": {"set": []}}}}},
        {"dnat": {"family": "inet", "addr": "10.0.0.1"}},
        {"dnat": {"addr": "10.0.0.1", "flags": ["random"]}},
        {"dnat": {"addr": {"range": ["10.0.0.1", "10.0.0.2"]}}},
        {"dnat": {"port": 80}},
        {"redirect": None},
        {"redirect": {"port": {"range": [1, 2]}}},
        {"masquerade": {"flags": "random"}},
        {"counter": "named"},
        {"reject": {"type": "icmp", "expr": "host-unreachable"}},
        {"reject": None},
    ],
)
def test_what_we_cannot_say_is_foreign(said):
    read = statement(said)
    assert isinstance(read, Foreign)
    assert json.loads(read.text) == said


def test_sets_in_every_spelling():
    plain = {"set": {**PLACE, "name": "s", "type": "mark", "elem": [256, 5]}}
    pairs = {"map": {**PLACE, "name": "m", "type": ["inet_proto", "inet_service"],
                     "map": "ipv4_addr . inet_service", "flags": "interval",
                     "elem": [[{"concat": [6, 80]}, {"concat": ["10.0.0.5", 8080]}]]}}  # fmt: skip
    nets = {"set": {**PLACE, "name": "n", "type": "ipv4_addr", "flags": ["interval"],
                    "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "1.1.1.1"]}}  # fmt: skip
    typed = {"map": {**PLACE, "name": "t", "map": "ipv4_addr", "type": {"typeof": {"concat": [
        MARK, {"numgen": {"mode": "inc", "mod": 9, "offset": 0}}]}}}}  # fmt: skip
    table = nftjson.parse_table(listing(TABLE, plain, pairs, nets, typed))
    assert table.sets == (
        Set("s", ("mark",), frozenset({(256,), (5,)})),
        Set(
            "m",
            ("inet_proto", "inet_service"),
            frozenset({("tcp", 80, "10.0.0.5", 8080)}),
            ("ipv4_addr", "inet_service"),
            interval=True,
        ),
        Set("n", ("ipv4_addr",), frozenset({("10.0.0.0/8",), ("1.1.1.1",)}), interval=True),
        Set("t", ("mark", "integer"), frozenset(), ("ipv4_addr",)),
    )


@pytest.mark.parametrize(
    "strange",
    [
        {"set": {**PLACE, "name": "x", "type": "mark", "flags": ["timeout"]}},
        {"set": {**PLACE, "name": "x", "type": "mark", "timeout": 5}},
        {"set": {**PLACE, "name": "x", "type": "mark", "elem": [{"elem": {"val": 1}}]}},
        {"set": {**PLACE, "name": "x", "type": "mark", "elem": [{"range": [1, 2]}]}},
        {
            "map": {
                **PLACE,
                "name": "x",
                "type": "mark",
                "map": "verdict",
                "elem": [[1, {"jump": {"target": "y"}}]],
            }
        },
        {"set": {**PLACE, "name": "x", "type": {"typeof": {"rt": {"key": "mtu"}}}}},
        {"counter": {**PLACE, "name": "x", "packets": 0, "bytes": 0}},
        {"flowtable": {**PLACE, "name": "x"}},
        {"chain": {**PLACE, "name": "x", "comment": "no"}},
    ],
)
def test_strange_objects_make_a_table_unlike_any_of_ours(strange):
    (chain,) = nftjson.parse_table(listing(TABLE, strange)).chains
    assert chain.name == "x"
    assert isinstance(chain.rules[0].statements[0], Foreign)


def test_strange_tables_and_rules():
    dormant = {"table": {**TABLE["table"], "flags": "dormant"}}
    assert nftjson.parse_table(listing(dormant)) != Table("skep", ())
    chain = {"chain": {**PLACE, "name": "c", "type": "filter", "hook": "input", "prio": 0,
                       "policy": "drop"}}  # fmt: skip
    rule = {"rule": {**PLACE, "chain": "c", "comment": "mine", "expr": [{"drop": None}]}}
    (read,) = nftjson.parse_table(listing(TABLE, chain, rule)).chains
    assert read.hook == Hook("filter", "input", 0, "drop")
    assert read.rules[0].statements[1] == Foreign('{"comment":"mine"}')
    assert nftjson.parse_table(listing(TABLE, chain)).chains == (
        Chain("c", (), Hook("filter", "input", 0, "drop")),
    )


def test_listings():
    other = {"table": {"family": "inet", "name": "theirs", "handle": 3}}
    kinds = [kind for kind, _ in nftjson.objects(listing(TABLE, other))]
    assert kinds == ["table", "table"]
    ours = {"set": {**PLACE, "name": "s", "type": "mark"}}
    foreign = {"map": {**PLACE, "table": "theirs", "name": "s", "type": "x", "map": "verdict"}}
    output = listing(ours) + listing(foreign)
    assert nftjson.declared_sets(output, "skep") == [Set("s", ("mark",), frozenset())]


def test_rules_keep_their_order_and_their_chain():
    chains = [{"chain": {**PLACE, "name": name}} for name in ("b", "a")]
    rules = [{"rule": {**PLACE, "chain": chain, "expr": [{verdict: None}]}}
             for chain, verdict in (("a", "drop"), ("b", "accept"), ("a", "return"))]  # fmt: skip
    table = nftjson.parse_table(listing(TABLE, *chains, *rules))
    assert [(c.name, [r.statements[0].kind for r in c.rules]) for c in table.chains] == [
        ("b", ["accept"]),
        ("a", ["drop", "return"]),
    ]
    assert table.chains[0].rules == (Rule(table.chains[0].rules[0].statements),)

"""What iptables made, read as native rules."""

import json

import pytest

from skep.kernel import nftjson, nftxt
from skep.model.nft import Counter, Ct, Fib, Foreign, Masquerade, Match, Payload, Verdict

COUNTED = {"counter": {"packets": 0, "bytes": 0}}


def table(*extensions, words, family="ip"):
    """The first rule of a table, read from its JSON and from its text."""
    rule = {"family": family, "table": "filter", "chain": "in", "handle": 7,
            "expr": [*extensions, COUNTED, {"accept": None}]}  # fmt: skip
    listing = {"nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": family, "name": "filter", "handle": 1}},
        {"chain": {"family": family, "table": "filter", "name": "in", "handle": 1}},
        {"rule": rule},
    ]}  # fmt: skip
    text = f"table {family} filter {{ # handle 1\n\tchain in {{ # handle 1\n"
    text += f"\t\t{words} counter packets 0 bytes 0 accept # handle 7\n\t}}\n}}\n"
    output = json.dumps(listing)
    assert nftxt.speaks(output)
    read = nftjson.parse_table(nftxt.spoken(output, text))
    return read.chains[0].rules[0].statements


def extension(name, kind="match"):
    return {"xt": {"type": kind, "name": name}}


@pytest.mark.parametrize(
    ("name", "words", "meant"),
    [
        ("addrtype", "fib daddr type local", Match((Fib("daddr"),), "local")),
        ("addrtype", "fib saddr type != multicast", Match((Fib("saddr"),), "multicast", "!=")),
        ("conntrack", "ct state related,established",
         Match((Ct("state"),), ("related", "established"))),
        ("conntrack", "ct state invalid", Match((Ct("state"),), ("invalid",))),
        ("icmp", "meta l4proto icmp icmp type echo-request",
         Match((Payload("icmp", "type"),), "echo-request")),
        ("icmp6", "icmpv6 type nd-router-advert",
         Match((Payload("icmpv6", "type"),), "nd-router-advert")),
    ],
)  # fmt: skip
def test_a_match_is_read_from_the_words(name, words, meant):
    assert table(extension(name), words=words) == (meant, Counter(), Verdict("accept"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("conntrack", "ct original proto-dst 8080"),
        ("addrtype", "fib daddr . iif type local"),
        ("addrtype", 'xt match "addrtype"'),
        ("u32", "fib daddr type local"),
        ("addrtype", "fib daddr type local fib saddr type unicast"),
    ],
)
def test_what_the_words_do_not_say_for_sure_stays_unread(name, words):
    first = table(extension(name), words=words)[0]
    assert isinstance(first, Foreign)
    assert name in first.text


def test_targets_are_read_too():
    listing = {"nftables": [
        {"table": {"family": "ip", "name": "nat", "handle": 1}},
        {"chain": {"family": "ip", "table": "nat", "name": "post", "handle": 1}},
        *({"rule": {"family": "ip", "table": "nat", "chain": "post", "handle": handle,
                    "expr": [COUNTED, extension(name, "target")]}}
          for handle, name in ((4, "MASQUERADE"), (5, "REJECT"), (6, "REJECT"), (9, "LOG"))),
    ]}  # fmt: skip
    text = """table ip nat { # handle 1
	chain post { # handle 1
		counter packets 0 bytes 0 masquerade # handle 4
		counter packets 0 bytes 0 reject # handle 5
		counter packets 0 bytes 0 reject with tcp reset # handle 6
		counter packets 0 bytes 0 log prefix "[UFW] " # handle 9
	}
}"""
    read = json.loads(nftxt.spoken(json.dumps(listing), text))["nftables"]
    said = [item["rule"]["expr"][1] for item in read if "rule" in item]
    assert said[1:] == [
        {"reject": {"type": "icmp", "expr": "port-unreachable"}},
        {"reject": {"type": "tcp reset"}},
        {"log": None},
    ]
    parsed = nftjson.parse_table(json.dumps({"nftables": read}))
    assert parsed.chains[0].rules[0].statements == (Counter(), Masquerade())


def test_a_table_without_extensions_has_nothing_to_say():
    assert not nftxt.speaks('{"nftables": []}')

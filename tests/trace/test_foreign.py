"""Other people's tables, as a walk may judge them."""

import pytest

from skep.model.nft import (
    Chain,
    Ct,
    Dnat,
    Foreign,
    Hook,
    Lookup,
    Match,
    Meta,
    Payload,
    Rule,
    Set,
    Table,
    Verdict,
)
from skep.plan.journey import OUTSIDE
from skep.trace.foreign import readable

IN, OUT = Meta("iifname"), Meta("oifname")
KNOWN = Set("blocked", ("ipv4_addr",), frozenset({("10.0.0.1",)}))


def read(statement, devices=None):
    other = Chain("other", ())
    chain = Chain("in", (Rule((statement,)),), Hook("filter", "input", 0))
    table = readable(Table("guard", (chain, other), (KNOWN,)), devices or {})
    return table.chains[0].rules[0].statements[0]


@pytest.mark.parametrize(
    "statement",
    [
        Match((Payload("tcp", "dport"),), 22),
        Match((Payload("ip", "saddr"),), "10.0.0.0/8"),
        Match((Payload("ip", "saddr"),), "@blocked"),
        Match((Ct("state"),), ("established", "related")),
        Match((Meta("l4proto"),), "tcp", "!="),
        Verdict("drop"),
        Verdict("jump", "other"),
        Dnat("10.0.0.1", 80),
    ],
)
def test_what_the_walker_knows_stays(statement):
    assert read(statement) == statement


@pytest.mark.parametrize(
    "statement",
    [
        Match((Meta("skuid"),), 0),
        Match((Payload("ip", "protocol"),), 6),
        Match((Payload("tcp", "flags"),), "syn"),
        Match((Ct("zone"),), 1),
        Match((Payload("tcp", "dport"),), 1024, ">"),
        Match((Payload("ip", "saddr"),), "@unknown"),
        Match((IN,), "veth*"),
        Verdict("jump", "nowhere"),
        Dnat(Lookup((Meta("skgid"),), "blocked")),
    ],
)
def test_what_it_would_guess_at_becomes_foreign(statement):
    assert isinstance(read(statement), Foreign)


def test_the_hosts_own_links_are_called_as_the_walker_does():
    devices = {"eth0": OUTSIDE}
    assert read(Match((IN,), "eth0"), devices) == Match((IN,), OUTSIDE)
    assert read(Match((OUT,), ("eth0", "lo")), devices) == Match((OUT,), (OUTSIDE, "lo"))
    assert read(Match((IN,), "docker0"), devices) == Match((IN,), "docker0")

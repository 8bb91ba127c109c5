"""What neighbour discovery is about: numbers of 128 bits to nft, addresses to us."""

from __future__ import annotations

import pytest
from fresh_host import do
from test_nftables import DROP, IN, rules, tables

from skep.model.nft import Chain, Hook, Match, Payload, Set, Table
from skep.model.ops import AddNamespace, ReplaceTable, SetElements

pytestmark = pytest.mark.root

TOPIC = Payload("icmpv6", "taddr")
ADVERT = Match((Payload("icmpv6", "type"),), "nd-neighbor-advert")
TOPICS = Table(
    "skep",
    (
        Chain(
            "sources",
            rules(
                (ADVERT, Match((TOPIC,), "@nets"), Match((IN, TOPIC), "@own", "!="), DROP),
            ),
            Hook("filter", "prerouting", -300),
        ),
    ),
    (
        Set("nets", ("nd_target",), frozenset({("fd66::/64",), ("2001:db8::/33",)}), interval=True),
        Set("own", ("ifname", "nd_target"), frozenset({("veth0", "fd66::2")})),
    ),
    family="bridge",
)


async def test_it_reads_back_equal_and_elements_come_and_go(kernel):
    ns = "a"
    await do(kernel, AddNamespace(ns=ns), ReplaceTable(ns=ns, table=TOPICS))
    assert await tables(kernel, ns) == (TOPICS,)
    change = SetElements(
        ns=ns, table="skep", set="own", family="bridge",
        remove=frozenset({("veth0", "fd66::2")}),
        add=frozenset({("veth1", "fd66::3"), ("veth1", "2001:db8::4")}),
    )  # fmt: skip
    await do(kernel, change)
    (found,) = await tables(kernel, ns)
    (own,) = (each for each in found.sets if each.name == "own")
    assert own.elements == change.add

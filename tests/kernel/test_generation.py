from __future__ import annotations

import pytest
from fresh_host import do

from skep.kernel.generation import generation
from skep.kernel.kernel import Kernel
from skep.kernel.netns import NamespaceThread
from skep.kernel.nftables import Nftables
from skep.model.netstate import HOST
from skep.model.nft import Set, Table
from skep.model.ops import AddNamespace, ReplaceTable, SetElements

pytestmark = pytest.mark.root

TABLE = Table("skep", (), (Set("slots", ("mark",), frozenset({(256,)})),))


@pytest.fixture
def readings(monkeypatch):
    """How often tables were really read."""
    counted = []
    read = Nftables.tables

    def tables(self):
        counted.append(self)
        return read(self)

    monkeypatch.setattr(Nftables, "tables", tables)
    return counted


def test_every_change_of_nftables_has_its_own_number(host):
    thread = NamespaceThread(host.home)
    try:
        first = thread.call(None, generation)
        assert first == thread.call(None, generation) != 0
        host.nft(HOST, "table ip other { }")
        second = thread.call(None, generation)
        host.nft(HOST, "add chain ip other one")
        assert len({first, second, thread.call(None, generation)}) == 3
    finally:
        thread.close()


async def test_unchanged_tables_are_not_read_again(kernel, readings):
    await do(kernel, AddNamespace(ns="a"), ReplaceTable(ns="a", table=TABLE))
    seen = [(await kernel.observe({"a"}))["a"].tables for _ in range(3)]
    assert seen == [(TABLE,)] * 3
    assert len(readings) == 1


async def test_what_others_change_is_seen(kernel, host, readings):
    await do(kernel, AddNamespace(ns="a"), ReplaceTable(ns="a", table=TABLE))
    await kernel.observe({"a"})
    host.nft("a", "add element ip skep slots { 0x101 }")
    (table,) = (await kernel.observe({"a"}))["a"].tables
    assert table.sets[0].elements == {(256,), (257,)}
    host.nft("a", "flush ruleset")
    assert (await kernel.observe({"a"}))["a"].tables == ()
    assert len(readings) == 3


async def test_what_we_change_is_seen(kernel):
    await do(kernel, AddNamespace(ns="a"), ReplaceTable(ns="a", table=TABLE))
    await kernel.observe({"a"})
    change = SetElements(
        ns="a", family="ip", table="skep", set="slots",
        remove=frozenset({(256,)}), add=frozenset({(9,)}),
    )  # fmt: skip
    await do(kernel, change)
    (table,) = (await kernel.observe({"a"}))["a"].tables
    assert table.sets[0].elements == {(9,)}


async def test_namespaces_do_not_share_what_was_read(kernel: Kernel):
    await do(kernel, AddNamespace(ns="a"), AddNamespace(ns="b"))
    await do(kernel, ReplaceTable(ns="a", table=TABLE))
    both = await kernel.observe({"a", "b"})
    again = await kernel.observe({"a", "b"})
    assert (both["a"].tables, both["b"].tables) == ((TABLE,), ())
    assert again == both

"""What a namespace shows beside its observation."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest
from fresh_host import do

from skep.kernel.features import probe
from skep.kernel.nftables import Library
from skep.model.errors import Missing
from skep.model.inspection import HostRoute, Inside, Listener
from skep.model.netstate import HOST, Address, Link
from skep.model.nft import Chain, Counter, Foreign, Hook, Match, Payload, Rule, Table, Verdict
from skep.model.ops import AddAddress, AddLink, AddNamespace, ReplaceTable

pytestmark = pytest.mark.root

BOX = "box000000000"
DROP = Rule((Match((Payload("udp", "dport"),), 4789), Counter(), Verdict("drop")))


@contextlib.contextmanager
def kernel_table(kernel, namespace, text):
    """A table that belongs to a socket, as long as the block lasts."""
    with contextlib.ExitStack() as held:

        def load():
            held.enter_context(Library().opened()).load(text)

        kernel._thread.call(None, lambda: kernel._within(namespace, load))
        yield


async def test_rules_have_handles_in_their_order_and_counters(kernel, host):
    plain = Rule((Match((Payload("tcp", "dport"),), 80), Verdict("accept")))
    chain = Chain("in", (plain, DROP), Hook("filter", "input", 0))
    await do(kernel, AddNamespace(ns=BOX), ReplaceTable(ns=BOX, table=Table("skep", (chain,))))
    first, second = (await kernel.inside(BOX)).rules
    assert (first.table, first.chain, first.number, first.packets) == ("skep", "in", 0, -1)
    assert (second.number, second.packets, second.bytes) == (1, 0, 0)
    assert second.handle > first.handle > 0
    shown = host.run(BOX, "nft -a list chain ip skep in")
    assert f"drop # handle {second.handle}" in shown


async def test_tables_of_others_are_read_as_far_as_words_go(kernel, host):
    await do(kernel, AddNamespace(ns=BOX))
    host.nft(
        BOX,
        """
        table inet guard {
            set bad { type ipv4_addr; elements = { 10.0.0.1 } }
            chain in { type filter hook input priority 0; policy drop;
                ip saddr @bad drop
                limit rate 1/second accept
            }
        }
        table netdev early { }
    """,
    )
    guard, early = (await kernel.inside(BOX)).foreign
    (chain,) = guard.chains
    assert chain.hook == Hook("filter", "input", 0, "drop")
    assert chain.rules[0].statements == (
        Match((Payload("ip", "saddr"),), "@bad"), Verdict("drop"),
    )  # fmt: skip
    assert isinstance(chain.rules[1].statements[0], Foreign)
    assert guard.sets[0].elements == {("10.0.0.1",)}
    assert (early.family, early.name) == ("netdev", "early")


async def test_tables_with_flags_are_named_alone_and_those_asleep_not_at_all(kernel, host):
    await do(kernel, AddNamespace(ns=BOX))
    chain = "chain in { type filter hook input priority 0; policy drop; }\n"
    host.nft(BOX, f"table inet idle {{ flags dormant; {chain} }}")
    with kernel_table(kernel, BOX, f"table inet owned {{ flags owner;\n{chain}\n}}"):
        (owned,) = (await kernel.inside(BOX)).foreign
        assert owned.name == "owned"
        assert owned.chains[0].hook == Hook("filter", "input", 0, "drop")
        assert isinstance(owned.chains[0].rules[0].statements[0], Foreign)


async def test_a_table_of_ours_with_a_flag_is_like_no_plan(kernel, host):
    await do(kernel, AddNamespace(ns=BOX), ReplaceTable(ns=BOX, table=Table("skep", ())))
    host.nft(BOX, "add table ip skep { flags dormant; }")
    (seen,) = (await kernel.observe({BOX}))[BOX].tables
    assert seen.name == "skep" and seen != Table("skep", ())
    await do(kernel, ReplaceTable(ns=BOX, table=Table("skep", ())))
    assert (await kernel.observe({BOX}))[BOX].tables == (Table("skep", ()),)


LISTING = """
from skep.kernel.handles import Handle
from skep.kernel.inside import look
from skep.kernel.nftables import Library
library = Library()
with library.opened() as nft:
    for _ in range(1500):
        nft.tables()
handle = Handle("", None)
for _ in range(300):
    look(handle, library)
"""


def test_a_table_with_a_flag_does_not_kill_who_lists_it(host):
    """libnftables 1.0.6 gives memory back twice when it writes such a table in JSON."""
    host.nft(HOST, "table inet idle { flags dormant; }")
    done = subprocess.run(
        ["nsenter", f"--net={host.path(HOST)}", sys.executable, "-c", LISTING],
        env=os.environ | {"MALLOC_CHECK_": "3"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def test_our_tables_are_not_among_others(kernel):
    chain = Chain("in", (DROP,), Hook("filter", "input", 0))
    await do(kernel, AddNamespace(ns=BOX), ReplaceTable(ns=BOX, table=Table("skep", (chain,))))
    assert (await kernel.inside(BOX)).foreign == ()


async def test_who_listens_on_which_address(kernel):
    await do(kernel, AddNamespace(ns=BOX))

    def serve():
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.bind(("127.0.0.1", 8080))
        tcp.listen()
        both = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        both.bind(("::", 80))
        both.listen()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 53))
        return tcp, both, udp

    opened = await kernel.within(BOX, serve)
    try:
        found = set((await kernel.inside(BOX)).listeners)
    finally:
        for each in opened:
            each.close()
    assert found == {
        Listener(protocol="tcp", address="127.0.0.1", port=8080),
        Listener(protocol="tcp", address="::", port=80),
        Listener(protocol="udp", address="0.0.0.0", port=53),
    }


async def test_a_namespace_that_is_not_there_shows_nothing(kernel):
    assert await kernel.inside(BOX) == Inside()
    with pytest.raises(Missing):
        await kernel.within(BOX, lambda: None)


async def test_the_hosts_links_and_routes_are_all_shown(kernel, host):
    bridge = Link(name="br9", kind="bridge", mtu=1400)
    await do(
        kernel,
        AddLink(ns=HOST, link=bridge),
        AddAddress(ns=HOST, address=Address("br9", "10.9.0.1/24")),
    )
    host.run(HOST, "ip link add other type veth peer name rehto")
    host.run(HOST, "ip route add 10.8.0.0/16 via 10.9.0.254 dev br9")
    devices = {each.name: each for each in await kernel.devices()}
    assert set(devices) == {"br9", "other", "rehto"}
    assert (devices["br9"].mtu, devices["br9"].addresses) == (1400, ("10.9.0.1/24",))
    assert not devices["rehto"].up
    host.run(HOST, "ip link set other up")
    other = next(each for each in await kernel.devices() if each.name == "other")
    assert other.up and not other.carrier
    assert HostRoute(destination="10.8.0.0/16", link="br9", via="10.9.0.254") in (
        await kernel.routes()
    )
    assert HostRoute(destination="10.9.0.0/24", link="br9") in await kernel.routes()


async def test_a_host_without_routes_has_none(kernel):
    assert await kernel.routes() == ()


def test_this_kernel_can_do_all_that_is_needed():
    found = probe(Library())
    assert len(found) == 8
    assert set(found.values()) == {""}

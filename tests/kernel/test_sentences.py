from __future__ import annotations

import pytest

from skep.kernel import sentences
from skep.model import ops
from skep.model.netstate import (
    HOST,
    Address,
    Destination,
    Fdb,
    Link,
    Neighbour,
    PolicyRule,
    Route,
    Timeouts,
    VirtualService,
)
from skep.model.nft import Chain, Table

LINK = Link(name="br0", kind="bridge")
ROUTE = Route(destination="default", link="eth0")
RULE = PolicyRule(1, 0x1000001, 5)
NEIGHBOUR = Neighbour("vxlan0", "10.0.0.5", "02:42:0a:00:00:05")
WEB, TASK = VirtualService(mark=256), Destination("10.0.0.5", 1)
FDB = Fdb("vxlan0", "02:42:0a:00:00:05", "192.0.2.1")


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (ops.AddNamespace(ns="a"), "create the namespace a"),
        (ops.DelNamespace(ns="a"), "remove the namespace a"),
        (ops.AddLink(ns="a", link=LINK), "create the bridge link br0"),
        (ops.DelLink(ns="a", name="br0"), "delete the link br0"),
        (
            ops.ReturnLink(ns="a", name="eth0", source="wire7"),
            "give the link eth0 back to the host as wire7",
        ),
        (ops.SetLink(ns="a", link=LINK), "configure the link br0"),
        (
            ops.AddAddress(ns="a", address=Address("eth0", "10.0.0.2/24")),
            "add the address 10.0.0.2/24 to eth0",
        ),
        (
            ops.DelAddress(ns="a", address=Address("eth0", "10.0.0.2/24")),
            "remove the address 10.0.0.2/24 from eth0",
        ),
        (ops.AddRoute(ns="a", route=ROUTE), "add the route default through eth0"),
        (ops.DelRoute(ns="a", route=ROUTE), "remove the route default through eth0"),
        (ops.AddRule(ns="a", rule=RULE), "add the rule that sends mark 0x1000001 to table 5"),
        (ops.DelRule(ns="a", rule=RULE), "remove the rule that sends mark 0x1000001 to table 5"),
        (
            ops.SetNeighbour(ns="a", neighbour=NEIGHBOUR),
            "set the neighbour 10.0.0.5 on vxlan0",
        ),
        (
            ops.DelNeighbour(ns="a", neighbour=NEIGHBOUR),
            "remove the neighbour 10.0.0.5 from vxlan0",
        ),
        (
            ops.SetFdb(ns="a", fdb=FDB),
            "forward frames for 02:42:0a:00:00:05 on vxlan0 to 192.0.2.1",
        ),
        (
            ops.DelFdb(ns="a", fdb=FDB),
            "stop forwarding frames for 02:42:0a:00:00:05 on vxlan0 to 192.0.2.1",
        ),
        (ops.SetSysctl(ns="a", key="net.x", value="1"), "set net.x to 1"),
        (ops.ReplaceTable(ns="a", table=Table("skep", ())), "write the nftables table ip skep"),
        (ops.DelTable(ns="a", family="ip", name="skep"), "remove the nftables table ip skep"),
        (
            ops.SetElements(
                ns="a",
                family="ip",
                table="skep",
                set="vips",
                remove=frozenset(),
                add=frozenset(),
            ),
            "change vips of the nftables table ip skep",
        ),
        (
            ops.AddChain(ns="a", family="ip", table="skep", chain=Chain("turn_2_0", ())),
            "add the chain turn_2_0 to the nftables table ip skep",
        ),
        (
            ops.DelChain(ns="a", family="ip", table="skep", name="turn_2_0"),
            "remove the chain turn_2_0 from the nftables table ip skep",
        ),
        (ops.CutFlows(ns="a", address="10.0.0.5", port=53), "cut the flows to 10.0.0.5"),
        (ops.SetTimeouts(ns="a", timeouts=Timeouts(1, 2, 3)), "set the time outs of IPVS"),
        (ops.SetVirtual(ns="a", service=WEB), "set the service of mark 0x100 of IPVS"),
        (ops.DelVirtual(ns="a", service=WEB), "remove the service of mark 0x100 from IPVS"),
        (
            ops.SetDestination(ns="a", service=WEB, destination=TASK),
            "send mark 0x100 to 10.0.0.5 by IPVS",
        ),
        (
            ops.DelDestination(ns="a", service=WEB, destination=TASK),
            "stop sending mark 0x100 to 10.0.0.5 by IPVS",
        ),
    ],
)
def test_every_operation_has_words(op, words):
    assert sentences.describe(op) == words
    assert sentences.failure(op, 1, "why").message.startswith(f"cannot {words}")


def test_every_operation_is_in_the_table_above():
    kinds = {each for each in vars(ops).values() if isinstance(each, type)}
    known = {kind for kind in kinds if issubclass(kind, ops.Op) and kind is not ops.Op}
    told = {case[0] for case in test_every_operation_has_words.pytestmark[0].args[1]}
    assert {type(op) for op in told} == known


def test_places():
    op = ops.DelLink(ns=HOST, name="docker0")
    assert sentences.failure(op, 1, "Device or resource busy").message == (
        "cannot delete the link docker0 in the host's network namespace: Device or resource busy"
    )

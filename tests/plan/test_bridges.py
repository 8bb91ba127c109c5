"""Users' bridges on a host: what passes between them and the world, over the product of options."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from plan_scene import BRIDGES, bridge_leg

from skep.model.host import Binding, Bridge, HostView, Sandbox
from skep.model.netstate import HOST
from skep.plan.desired import desired
from skep.plan.journey import OUTSIDE, Delivered, Dropped, Flow, Packet, Place
from skep.plan.walk import answer, walk

HERE, STRANGER = "192.168.50.1", "203.0.113.9"
MODES = ("nat", "nat-unprotected", "routed")


def bridge(name, number, **members):
    return Bridge(
        network_id=name, network_name=name, name=name, address=f"10.{number}.0.1/16", named=True,
        **members,
    )  # fmt: skip


def box(name, network, address, *bindings):
    leg = bridge_leg(name, network, address, 0)
    return Sandbox(
        id=name.ljust(64, "0"), container_name=name, endpoints=(leg,), gateway=leg.id,
        bindings=bindings,
    )  # fmt: skip


def tcp(port, published, address=""):
    return Binding(protocol="tcp", port=port, published=published, address=address)


class Host:
    """A host with bridges red (10.1) and blue (10.2): two containers on red, one on blue."""

    def __init__(self, *bindings, **red):
        self.view = HostView(
            vtep=HERE,
            bridges=(*BRIDGES[:1], bridge("red", 1, **red), bridge("blue", 2)),
            sandboxes=(
                box("one", "red", "10.1.0.2", *bindings),
                box("two", "red", "10.1.0.3"),
                box("three", "blue", "10.2.0.2"),
            ),
        )
        self.world = {HERE: desired(self.view)}

    def ask(self, source, target, port=80, address=STRANGER):
        """A request from a container (its name), the host ("") or a stranger (None)."""
        place = Place(HERE, HOST, OUTSIDE) if source is None else Place(HERE, HOST)
        if source:
            place = Place(HERE, source.ljust(12, "0"))
        flow = Flow("tcp", address if source is None else "", target, 4000, port)
        return walk(self.world, place, Packet(flow))

    def reached(self, *question):
        """The container that got it, and has its answer arrive; None if it was dropped."""
        there = self.ask(*question)
        if isinstance(there.end, Dropped):
            return None
        if isinstance(there.end, Delivered) and there.end.at.namespace != HOST:
            back = answer(self.world, there)
            assert isinstance(back.end, Delivered) or question[0] is None, back.end
        return there.end.at.namespace.rstrip("0") if isinstance(there.end, Delivered) else "out"


def product():
    return list(itertools.product((True, False), (True, False), (True, False), MODES))


@pytest.mark.parametrize(("icc", "internal", "masquerade", "mode"), product())
def test_who_reaches_whom(icc, internal, masquerade, mode):
    host = Host(tcp(80, 8080), icc=icc, internal=internal, masquerade=masquerade, mode=mode)
    assert host.reached("three", "10.1.0.2") is None, "bridges are apart"
    assert host.reached("one", "10.2.0.2") is None
    opened = not internal and mode != "nat"
    assert host.reached(None, "10.1.0.2", 80) == ("one" if opened else None)
    unpublished = not internal and mode == "nat-unprotected"
    assert host.reached(None, "10.1.0.2", 81) == ("one" if unpublished else None)
    assert host.reached("", "10.1.0.2") == "one", "the host itself may always"
    doors = not internal and mode != "routed"
    for source, target in ((None, HERE), ("", HERE), ("", "127.0.0.1"), ("three", HERE)):
        found = host.reached(source, target, 8080)
        assert (found == "one") == doors, (source, target, found)


@pytest.mark.parametrize("internal", [True, False])
def test_the_way_out(internal):
    host = Host(internal=internal)
    journey = host.ask("one", STRANGER)
    if internal:
        assert isinstance(journey.end, Dropped)
    else:
        assert journey.end.flow.source == HERE, "masqueraded"


def test_routed_packets_keep_their_source():
    assert Host(mode="routed").ask("one", STRANGER).end.flow.source == "10.1.0.2"
    assert Host(masquerade=False).ask("one", STRANGER).end.flow.source == "10.1.0.2"


def test_containers_speak_with_the_address_that_was_asked_for():
    host = Host(source="192.168.50.77")
    assert host.ask("one", STRANGER).end.flow.source == "192.168.50.77"
    assert host.ask("three", STRANGER).end.flow.source == HERE, "another bridge's do not"


def test_links_that_are_trusted_are_let_in():
    assert Host(trusted=("other0", OUTSIDE)).reached(None, "10.1.0.2", 81) == "one"
    assert Host(trusted=("other0",)).reached(None, "10.1.0.2", 81) is None
    sealed = Host(trusted=(OUTSIDE,), internal=True)
    assert sealed.reached(None, "10.1.0.2", 81) is None


def test_a_container_reaches_its_own_published_port_and_its_neighbours():
    host = Host(tcp(80, 8080))
    for asker in ("one", "two"):
        for target in (HERE, "10.1.0.1"):
            assert host.reached(asker, target, 8080) == "one"


def test_at_one_address_alone():
    host = Host(tcp(80, 8080, "127.0.0.1"))
    assert host.reached("", "127.0.0.1", 8080) == "one"
    assert host.reached("", HERE, 8080) == ""
    assert host.reached(None, HERE, 8080) == ""
    everywhere = Host(tcp(80, 8080, "0.0.0.0"))
    assert everywhere.reached(None, HERE, 8080) == "one"


def test_rules_grow_with_bridges_and_not_with_their_square():
    def rules(count):
        bridges = tuple(bridge(f"br{number}", number) for number in range(count))
        (table,) = desired(HostView(bridges=bridges))[HOST].tables
        return sum(len(chain.rules) for chain in table.chains)

    assert rules(40) - rules(20) == 2 * (rules(20) - rules(10))


def test_an_inhibited_bridge_has_no_address_of_the_host():
    host = Host(inhibited=True)
    links = {each.link for each in host.world[HERE][HOST].addresses}
    assert links == {"docker0", "blue"}


def test_both_families():
    view = Host(tcp(80, 8080)).view
    red, one = view.bridges[1], view.sandboxes[0]
    view = msgspec.structs.replace(
        view,
        bridges=(view.bridges[0], msgspec.structs.replace(red, address6="fd00:1::1/64")),
        sandboxes=(
            msgspec.structs.replace(
                one,
                endpoints=(msgspec.structs.replace(one.endpoints[0], address6="fd00:1::2/64"),),
            ),
        ),
    )
    world = {HERE: desired(view)}
    for target in ("fd00:1::1", "::1"):
        flow = Flow("tcp", "::1" if target == "::1" else "", target, 4000, 8080)
        there = walk(world, Place(HERE, HOST), Packet(flow))
        assert isinstance(there.end, Delivered)
        assert there.end.at.namespace == one.namespace
        assert isinstance(answer(world, there).end, Delivered)

"""Neighbours that gave no answer are asked again as soon as somebody wants it."""

from functools import partial

import pytest

from skep.kernel.netns import NamespaceThread
from skep.kernel.rousing import rouse

pytestmark = pytest.mark.root

UNRESOLVED = {"INCOMPLETE", "FAILED"}


@pytest.fixture
def inside(host):
    """Calls within the host's own namespace, where 10.9.0.1/24 is on a link to nowhere."""
    host.run("", "ip link add br0 type bridge")
    host.run("", "ip link add v0 type veth peer name v1")
    for command in (
        "link set br0 up", "link set v0 master br0 up", "link set v1 up",
        "addr add 10.9.0.1/24 dev br0", "addr add fd09::1/64 dev br0 nodad",
    ):  # fmt: skip
        host.run("", f"ip {command}")
    thread = NamespaceThread(host.home)
    yield lambda work: thread.call(None, work)
    thread.close()


def entries(host):
    return {each["dst"]: set(each["state"]) for each in host.json("", "ip -j neigh")}


@pytest.mark.parametrize("address", ["10.9.0.7", "fd09::7"])
def test_what_was_not_resolved_is_dropped_and_nothing_else(host, inside, address):
    host.run("", "ip neigh add 10.9.0.8 lladdr 02:00:00:00:00:08 dev br0")
    for each in (address, "10.9.0.9"):
        host.run("", f"ip neigh replace {each} dev br0 nud failed")
    assert entries(host)[address] <= UNRESOLVED
    inside(partial(rouse, "10.9.0.8"))
    inside(partial(rouse, address))
    assert entries(host).keys() >= {"10.9.0.8", "10.9.0.9"}
    assert address not in entries(host)


def test_names_and_strangers_are_no_fault(host, inside):
    inside(partial(rouse, "manager.example"))
    inside(partial(rouse, "10.9.0.200"))

"""Events of connections: each is told once."""

import pytest

from skep.api.ports import Event
from skep.connections import Connections
from skep.engine.events import ContainerEvent

BOX = "c" * 64


def network(action, id="n1"):
    return Event(kind="network", action=action, id=id, attributes={"container": BOX}, time=1.0)


def told(connections, action, *events):
    happened = ContainerEvent(id=BOX, action=action)
    return list(connections.news(happened, events))


@pytest.fixture
def connections():
    return Connections()


def test_what_a_user_connected_is_not_told_again_by_the_start(connections):
    assert connections.is_new(network("connect"))
    start = Event(kind="container", action="start", id=BOX, attributes={}, time=1.0)
    assert told(connections, "start", network("connect"), network("connect", "n2"), start) == [
        network("connect", "n2"), start,
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["die", "remove"])
def test_the_next_start_tells_of_it_again(connections, end):
    assert connections.is_new(network("connect"))
    assert told(connections, end) == []
    assert told(connections, "start", network("connect")) == [network("connect")]


def test_what_was_disconnected_is_connected_anew(connections):
    for action in ("connect", "disconnect", "connect"):
        assert connections.is_new(network(action))


def test_after_a_break_in_the_stream_nothing_is_known(connections):
    assert connections.is_new(network("connect"))
    connections.forget()
    assert connections.is_new(network("connect"))


def test_networks_themselves_are_told_of(connections):
    made = Event(kind="network", action="create", id="n1", attributes={}, time=1.0)
    assert connections.is_new(made) and connections.is_new(made)

"""Ports of single containers: read, settled, in the way of others."""

import pytest

from skep.agent.binding import asked_bindings, overlap, published, settle
from skep.model.cluster import TakenPort
from skep.model.errors import Broken, Invalid
from skep.model.host import Binding, HostView, Sandbox


def web(**members):
    return Binding(**{"protocol": "tcp", "port": 80, **members})


def test_what_is_asked_for():
    asked = asked_bindings(
        {
            "PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": ""}],
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5300-5310"}],
                "7": None,
            }
        }
    )
    assert asked == (
        web(published=8080),
        web(address="::1"),
        Binding(protocol="udp", port=53, address="127.0.0.1", published=5300, last=5310),
        web(port=7),
    )


@pytest.mark.parametrize(
    "ports",
    [
        {"80/icmp": None},
        {"x": None},
        {"70000": None},
        {"80": [{"HostPort": "9-8"}]},
        {"80": [{"HostPort": "70000"}]},
        {"80": [{"HostPort": "a"}]},
        {"80": [{"HostIp": "home"}]},
    ],
)
def test_what_cannot_be_read(ports):
    with pytest.raises(Invalid, match="invalid"):
        asked_bindings({"PortBindings": ports})


def test_addresses_that_meet():
    assert overlap("", "::1")
    assert overlap("0.0.0.0", "127.0.0.1")
    assert overlap("::1", "::")
    assert not overlap("0.0.0.0", "::1")
    assert not overlap("127.0.0.1", "127.0.0.2")
    assert not overlap("0.0.0.0", "::")


def test_numbers_are_found_and_holders_named():
    held = [TakenPort("tcp", 8080, "", "nginx (pid 7)"), TakenPort("tcp", 1000, "127.0.0.1", "x")]

    def free(_protocol):
        return iter((8080, 8081, 8082))

    (any_,) = settle((web(),), held, free, "box")
    assert any_.published == 8081
    (ranged,) = settle((web(published=8079, last=8090),), held, free, "box")
    assert (ranged.published, ranged.last) == (8079, 0)
    two = settle((web(published=8080, last=8085), web(port=81, published=8080, last=8085)), held,
                 free, "box")  # fmt: skip
    assert [each.published for each in two] == [8081, 8082]
    (beside,) = settle((web(published=1000, address="127.0.0.2"),), held, free, "box")
    assert beside.published == 1000
    words = r"endpoint box: port 8080/tcp is in use on this host by nginx \(pid 7\)"
    with pytest.raises(Broken, match=words):
        settle((web(published=8080, address="127.0.0.1"),), held, free, "box")
    with pytest.raises(Broken, match="by x"):
        settle((web(published=1000),), held, free, "box")


def test_managers_are_told_of_them():
    bindings = (web(published=8080), web(published=81, address="127.0.0.1"))
    box = Sandbox(id="s", container_name="box", gateway="e", bindings=bindings)
    view = HostView(sandboxes=(box, Sandbox(id="t", bindings=bindings)))
    assert list(published(view)) == [
        TakenPort("tcp", 8080, "", "container box"),
        TakenPort("tcp", 81, "127.0.0.1", "container box"),
    ]

"""What ``docker ps`` and ``docker inspect`` show of a container's published ports."""

import pytest

from skep.api.shapes.endpoint import bound_ports, ports
from skep.model.host import Binding, Container, Endpoint, Handed, Sandbox

ASKED = (
    Binding(protocol="tcp", port=80, published=8080),
    Binding(protocol="tcp", port=81, published=8081, address="192.0.2.1"),
    Binding(protocol="tcp", port=82),
    Binding(protocol="tcp", port=83, published=8083, last=8090),
)
DONE = (Binding(protocol="tcp", port=80, published=8080),)


def boxed(handed, *, address6="", running=True):
    leg = Endpoint(id="e", network_id="n", network_name="net", link="eth0", port="v",
                   address="10.0.0.2/24", address6=address6, mac="02:42:0a:00:00:02",
                   handed=handed)  # fmt: skip
    box = Sandbox(id="b" * 64, endpoints=(leg,) if running else (),
                  gateway="e" if running else "", bindings=() if handed else DONE)  # fmt: skip
    return Container(id="c" * 64, name="web", image="nginx", network_mode="net", sandbox=box,
                     exposed_ports=("82/tcp",), published=ASKED)  # fmt: skip


def test_what_this_host_published_is_shown():
    assert bound_ports(boxed(None)) == {
        "82/tcp": None, "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
    }  # fmt: skip


@pytest.mark.parametrize(("address6", "everywhere"), [("", 1), ("fd00::2/64", 2)])
def test_what_a_plugin_published_is_shown_as_it_was_asked_for(address6, everywhere):
    shown = bound_ports(boxed(Handed(source="v0"), address6=address6))
    assert [each["HostPort"] for each in shown["80/tcp"]] == ["8080"] * everywhere
    assert shown["81/tcp"] == [{"HostIp": "192.0.2.1", "HostPort": "8081"}]
    assert shown["82/tcp"] is None, "which port the plugin chose is not known"
    assert "83/tcp" not in shown
    listed = ports(boxed(Handed(source="v0")))
    assert {"IP": "192.0.2.1", "PrivatePort": 81, "Type": "tcp", "PublicPort": 8081} in listed


def test_of_one_that_does_not_run_nothing_is_published():
    assert bound_ports(boxed(Handed(source="v0"), running=False)) == {"82/tcp": None}

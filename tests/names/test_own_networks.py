"""Names on users' networks of one host, which no swarm assigned."""

from skep.model.host import Bridge, Endpoint, HostView, Sandbox
from skep.names.zones import Zones

WEB = Bridge(network_id="n", network_name="Web", name="br0", address="10.1.0.1/24", named=True)
DOCKER0 = Bridge(network_id="d", network_name="bridge", name="docker0", address="172.17.0.1/16")


def box(name, network, address, address6=""):
    endpoint = Endpoint(
        id=name, network_id=network, network_name=network, link="eth0", port="v", address=address,
        address6=address6, mac="", names=(name, "alias", f"{name}id"),
    )  # fmt: skip
    return Sandbox(id=name, container_name=name, endpoints=(endpoint,), gateway=name)


def test_every_name_of_a_container_and_the_way_back():
    boxes = (box("one", "n", "10.1.0.2/24", "fd00::2/64"), box("two", "n", "10.1.0.3/24"))
    table = Zones().table(HostView(bridges=(WEB,), sandboxes=boxes), ("192.0.2.1",))
    names = table.networks["n"]
    assert names.name == "web"
    assert names.addresses["one"] == ("10.1.0.2", "fd00::2")
    assert names.addresses["oneid"] == names.addresses["one"]
    assert set(names.addresses["alias"]) == {"10.1.0.2", "fd00::2", "10.1.0.3"}
    assert names.pointers["10.1.0.3"] == "two.web"
    assert (table.sandboxes["one"].networks, table.sandboxes["one"].forward) == (("n",), True)


def test_the_default_bridge_has_none():
    view = HostView(bridges=(DOCKER0,), sandboxes=(box("one", "d", "172.17.0.2/16"),))
    table = Zones().table(view, ())
    assert table.networks == {}
    assert table.sandboxes["one"].networks == ()

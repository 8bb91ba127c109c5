"""Break one thing, trace over it: the verdict names that thing, at that hop."""

import msgspec
import pytest
from plan_scene import INGRESS, MONGO, PROD, WEB_VIP, vtep, web_scene
from trace_scene import CLIENT, OVERLAY, WEB1, WEB2, Hosts

from skep.model.inspection import RefusedOp
from skep.model.netstate import HOST, Address
from skep.trace.report import BROKEN

WEB2_MAC = "02:42:0a:00:01:0c"
OUTSIDE = "outside:203.0.113.9"


@pytest.fixture
def hosts():
    return Hosts()


WEB = ("client", "web")
PORT = (OUTSIDE, "h3:8080")


FAULTS = {
    "neighbour deleted": (
        lambda h: h.drop("h1", OVERLAY, "neighbours", lambda e: e.address == "10.0.1.12"),
        WEB, f"{OVERLAY} (network mongo) on h1",
        "neighbour 10.0.1.12 on vxlan0 is missing", WEB2_MAC,
    ),
    "neighbour wrong": (
        lambda h: h.swap("h1", OVERLAY, "neighbours", lambda e: e.address == "10.0.1.12",
                         mac="02:42:00:00:00:01"),
        WEB, f"{OVERLAY} (network mongo) on h1",
        "neighbour 10.0.1.12 on vxlan0 is 02:42:00:00:00:01", WEB2_MAC,
    ),
    "FDB entry deleted": (
        lambda h: h.drop("h1", OVERLAY, "fdb", lambda e: e.mac == WEB2_MAC),
        WEB, f"{OVERLAY} (network mongo) on h1",
        f"forwarding entry {WEB2_MAC} on vxlan0 is missing", f"dst {vtep('h2')}",
    ),
    "VTEP of another host": (
        lambda h: h.swap("h1", OVERLAY, "fdb", lambda e: e.mac == WEB2_MAC, vtep=vtep("h3")),
        WEB, f"{OVERLAY} (network mongo) on h1",
        f"forwarding entry {WEB2_MAC} on vxlan0 leads to {vtep('h3')}", f"dst {vtep('h2')}",
    ),
    "VTEP of nobody": (
        lambda h: h.swap("h1", OVERLAY, "fdb", lambda e: e.mac == WEB2_MAC, vtep="192.168.50.99"),
        WEB, f"{OVERLAY} (network mongo) on h1", "leads to 192.168.50.99", f"dst {vtep('h2')}",
    ),
    "client's link down": (
        lambda h: h.change_link("h1", CLIENT, "eth0", up=False),
        WEB, f"{CLIENT} (client) on h1", "link eth0 is down", "up",
    ),
    "client's port down": (
        lambda h: h.change_link("h1", OVERLAY, "veth1", up=False),
        WEB, f"{OVERLAY} (network mongo) on h1", "link veth1 is down", "up",
    ),
    "bridge down": (
        lambda h: h.change_link("h1", OVERLAY, "br0", up=False),
        WEB, f"{OVERLAY} (network mongo) on h1", "link br0 is down", "up",
    ),
    "tunnel down": (
        lambda h: h.change_link("h1", OVERLAY, "vxlan0", up=False),
        WEB, f"{OVERLAY} (network mongo) on h1", "link vxlan0 is down", "up",
    ),
    "tunnel out of its bridge": (
        lambda h: h.change_link("h1", OVERLAY, "vxlan0", master=""),
        WEB, f"{OVERLAY} (network mongo) on h1", "link vxlan0 is on bridge none", "on bridge br0",
    ),
    "far tunnel down": (
        lambda h: h.change_link("h2", OVERLAY, "vxlan0", up=False),
        WEB, f"{OVERLAY} (network mongo) on h2", "link vxlan0 is down", "up",
    ),
    "far port down": (
        lambda h: h.change_link("h2", OVERLAY, "veth1", up=False),
        WEB, f"{OVERLAY} (network mongo) on h2", "link veth1 is down", "up",
    ),
    "server's link down": (
        lambda h: h.change_link("h2", WEB2, "eth1", up=False),
        WEB, f"{WEB2} (web2) on h2", "link eth1 is down", "up",
    ),
    "client's address gone": (
        lambda h: h.drop("h1", CLIENT, "addresses", lambda e: e.address == "10.0.1.20/24"),
        WEB, f"{CLIENT} (client) on h1", "address 10.0.1.20/24 on eth0 is missing", "",
    ),
    "balancing table flushed": (
        lambda h: h.change("h1", CLIENT, tables=()),
        WEB, f"{CLIENT} (client) on h1", "nft table ip skep is gone", "",
    ),
    "a name server out of reach, for its table was flushed": (
        lambda h: (h.change("h1", CLIENT, tables=()), h.errors.update(web="connection refused")),
        WEB, f"{CLIENT} (client) on h1", "nft table ip skep is gone", "",
    ),
    "a tunnel that lost its entries as it went down": (
        lambda h: (h.change_link("h1", OVERLAY, "vxlan0", up=False),
                   h.change("h1", OVERLAY, neighbours=frozenset())),
        WEB, f"{OVERLAY} (network mongo) on h1", "link vxlan0 is down", "up",
    ),
    "a namespace is gone": (
        lambda h: h.states["h2"].pop(WEB2),
        WEB, "on h2", "", "",
    ),
    "published port's table gone": (
        lambda h: h.change("h3", HOST, tables=()),
        PORT, "the host's namespace on h3", "nft table ip skep is gone", "",
    ),
    "ingress sandbox's table gone": (
        lambda h: h.change("h3", "ingress_sbox", tables=()),
        PORT, "ingress_sbox on h3", "nft table ip skep is gone", "",
    ),
    "ingress sandbox does not forward": (
        lambda h: h.change("h3", "ingress_sbox",
                           sysctls={**h.states["h3"]["ingress_sbox"].sysctls,
                                    "net.ipv4.ip_forward": "0"}),
        PORT, "ingress_sbox on h3", "sysctl net.ipv4.ip_forward is 0", "1",
    ),
    "default route of the ingress sandbox gone": (
        lambda h: h.drop("h3", "ingress_sbox", "routes", lambda e: e.destination == "default"),
        PORT, "ingress_sbox on h3", "route to default in table 254 is missing", "172.18.0.1",
    ),
    "strict reverse path filter": (
        lambda h: h.change("h2", WEB2, sysctls={
            **h.states["h2"][WEB2].sysctls, "net.ipv4.conf.all.rp_filter": "1"}),
        PORT, f"{WEB2} (web2) on h2", "sysctl net.ipv4.conf.all.rp_filter is 1", "0",
    ),
    "return rule gone": (
        lambda h: [h.drop(host, box, "rules", lambda e: True)
                   for host, box in (("h1", WEB1), ("h2", WEB2))],
        PORT, "(web1) on h1", "routing rule for mark 0x1000004 is missing", "fwmark 0x1000004",
    ),
    "return route gone": (
        lambda h: h.drop("h2", WEB2, "routes", lambda e: e.table == 0x1000004),
        PORT, f"{WEB2} (web2) on h2", "route to default in table 16777220 is missing", "10.0.0.4",
    ),
    "default route of a container gone": (
        lambda h: h.drop("h1", CLIENT, "routes", lambda e: e.destination == "default"),
        ("client", "203.0.113.1/icmp"), f"{CLIENT} (client) on h1",
        "route to default in table 254 is missing", "172.18.0.1",
    ),
    "way back deleted": (
        lambda h: h.drop("h2", OVERLAY, "fdb", lambda e: e.mac == "02:42:0a:00:01:14"),
        WEB, f"{OVERLAY} (network mongo) on h2",
        "forwarding entry 02:42:0a:00:01:14 on vxlan0 is missing", f"dst {vtep('h1')}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_as_planned_is_named_at_its_hop(hosts, name):
    damage, asked, where, why, should = FAULTS[name]
    assert hosts.trace(*asked).trouble is None
    damage(hosts)
    found = hosts.trace(*asked)
    assert not found.reached
    assert where in found.trouble.where
    assert why in found.trouble.why
    assert should in found.trouble.should
    assert found.trouble.state == BROKEN
    assert "skepd on h" in found.trouble.todo
    hops = found.back or found.there
    assert [hop.state for hop in hops].count(BROKEN) == 1
    assert hops[-1].state == BROKEN
    assert hops[-1].says in (found.trouble.why, "web is no answer")


def test_a_refused_repair_is_said_instead_of_a_promise(hosts):
    hosts.drop("h1", OVERLAY, "fdb", lambda e: e.mac == WEB2_MAC)
    hosts.failures["h1"] = [
        RefusedOp(namespace=OVERLAY, what="SetFdb", why="no space left on device")
    ]
    found = hosts.trace(*WEB)
    assert "tried and the kernel refused: SetFdb: no space left on device" in found.trouble.todo


def test_a_service_without_ready_tasks_says_what_became_of_them(hosts):
    found = hosts.trace("client", "idle")
    assert "has no ready task: idle.1 is starting (waiting for its health check)" in (
        found.trouble.why
    )


def test_a_published_port_without_ready_tasks_says_so():
    scene = web_scene()
    for network in (INGRESS, MONGO):
        kept = scene.networks[network]
        others = {k: e for k, e in kept.endpoints.items() if not k.startswith("web")}
        scene.networks[network] = msgspec.structs.replace(kept, endpoints=others)
    found = Hosts(scene).trace(OUTSIDE, "h3:8080")
    assert "no ready task is behind port 8080" in found.trouble.why
    assert found.trouble.where == "ingress_sbox on h3"


def test_a_port_that_nobody_published_says_what_is(hosts):
    found = hosts.trace(OUTSIDE, "h3:9999")
    assert "nobody listens on tcp 9999 in host" in found.trouble.why
    assert "8080/tcp (web)" in found.trouble.todo


def test_containers_on_no_common_network_are_told_which_they_are_on():
    scene = web_scene()
    scene.add_network(PROD, ("10.1.1.0/24", 4098))
    scene.add_sandbox("h2", "db", {PROD: "10.1.1.20"})
    hosts = Hosts(scene)
    hosts.told["db"] = None
    found = hosts.trace("client", "db")
    assert "db (on h2) is on prodn, client on h1 is on mongo" in found.trouble.why
    assert found.there[0].kind == "name" and found.there[0].state == BROKEN


def test_a_container_whose_name_is_not_answered_is_traced_all_the_same(hosts):
    hosts.told["web2"] = None
    hosts.answers["web2"] = ()
    found = hosts.trace("client", "web2/tcp:80")
    assert "web2 is not answered, although web2 is on mongo too" in found.trouble.why
    assert found.there[-1].kind == "deliver"


def test_a_container_may_be_called_by_the_beginning_of_its_id(hosts):
    hosts.told["cweb2"] = None
    hosts.answers["cweb2"] = ()
    found = hosts.trace("client", "cweb2/tcp:80")
    assert found.trouble is None
    assert found.there[-1].owner == "web2"


def test_a_hosts_address_for_an_overlay_is_explained(hosts):
    found = hosts.trace("h3", "10.0.1.12/icmp")
    assert "although 10.0.1.12 is on network mongo" in found.trouble.why


def test_the_vip_of_another_container_without_an_address_holder(hosts):
    found = hosts.trace("client", "10.0.1.99/icmp")
    assert "nobody on network mongo has this address" in found.trouble.why


def test_what_else_is_not_as_planned_is_noted(hosts):
    hosts.drop("h1", OVERLAY, "fdb", lambda e: e.mac == "02:42:0a:00:01:1e")
    found = hosts.trace(*WEB)
    assert found.trouble is None
    assert found.notes == (
        f"in {OVERLAY} (network mongo) on h1, forwarding entry 02:42:0a:00:01:1e on vxlan0 is "
        f"missing: it should be dst {vtep('h2')}",
    )


def test_an_address_that_is_on_the_link_twice_is_no_fault(hosts):
    """A task's own VIP beside its address: the walk goes by the right one."""
    assert Address("eth1", f"{WEB_VIP}/32") in hosts.states["h1"][WEB1].addresses
    assert hosts.trace("web1", "10.0.1.12/tcp:80").trouble is None


def test_entries_for_others_are_not_counted_with_the_one_that_is_missed(hosts):
    hosts.change("h1", OVERLAY, neighbours=frozenset())
    found = hosts.trace(*WEB)
    assert found.trouble.why == "neighbour 10.0.1.12 on vxlan0 is missing"
    assert len(found.notes) >= 1

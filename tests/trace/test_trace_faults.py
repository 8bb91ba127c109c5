"""Break one thing, trace over it: the verdict names that thing, at that hop."""

import msgspec
import pytest
from plan_scene import INGRESS, MONGO, PROD, WEB_VIP, vtep, web_scene
from trace_scene import CLIENT, NOW, OVERLAY, WEB1, WEB2, Hosts, admin_table

from skep.model.inspection import HostRoute, Listener, PeerSight, RefusedOp
from skep.model.netstate import HOST, Address
from skep.model.nft import Counter, Foreign, Match, Meta, Payload, Verdict
from skep.trace.report import BROKEN, DOUBTFUL, UNKNOWN

WEB2_MAC = "02:42:0a:00:01:0c"
OUTSIDE = "outside:203.0.113.9"


@pytest.fixture
def hosts():
    return Hosts()


def port(number):
    return Match((Payload("udp", "dport"),), number)


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
    assert hops[-1].says == found.trouble.why


def other_than_planned():
    """Faults that no plan knows of: (damage, FROM and TO, where, why, what to do, state)."""
    lost = PeerSight(address=vtep("h2"), seen_at=NOW - 12, loss=1.0, probes=20)
    patchy = PeerSight(address=vtep("h2"), seen_at=NOW, loss=0.3, probes=20)
    narrow = PeerSight(
        address=vtep("h2"), seen_at=NOW, probes=20, large_probes=5, large_loss=1.0, large_size=1500
    )
    drop = Verdict("drop")
    yield (
        "hosts cut off",
        lambda h: h.mesh.update({("h1", "h2"): lost}),
        WEB,
        "between h1 and h2",
        "20 of 20 probes lost, last heard 12 s ago",
        "ping",
        BROKEN,
    )
    yield (
        "some loss",
        lambda h: h.mesh.update({("h1", "h2"): patchy}),
        WEB,
        "between h1 and h2",
        "30% of the last 20 probes",
        "ping",
        DOUBTFUL,
    )
    yield (
        "path MTU",
        lambda h: h.mesh.update({("h1", "h2"): narrow}),
        WEB,
        "between h1 and h2",
        "packets of 1500 bytes do not get from h1 to h2",
        "ping -M do",
        DOUBTFUL,
    )
    yield (
        "underlay down",
        lambda h: h.devices["h1"].update(up=False),
        WEB,
        "host's namespace on h1",
        "eth9, which carries the tunnels, is down",
        "eth9 up",
        BROKEN,
    )
    yield (
        "no carrier",
        lambda h: h.devices["h2"].update(carrier=False),
        WEB,
        "host's namespace on h2",
        "eth9, which carries the tunnels, has no carrier",
        "eth9 up",
        BROKEN,
    )
    yield (
        "underlay route gone",
        lambda h: h.routes.update(h1=[HostRoute(destination="10.9.0.0/16", link="eth9")]),
        WEB,
        "host's namespace on h1",
        f"no route to {vtep('h2')}",
        "ip route get",
        BROKEN,
    )
    yield (
        "underlay MTU",
        lambda h: h.devices["h2"].update(mtu=1400),
        WEB,
        "host's namespace on h2",
        "no packet over 1350 fits",
        "ip link set eth9 mtu 1500",
        DOUBTFUL,
    )
    yield (
        "tunnel's MTU",
        lambda h: h.change_link("h1", OVERLAY, "vxlan0", mtu=1300),
        WEB,
        f"{OVERLAY} (network mongo) on h1",
        "vxlan0 takes 1300 bytes, its sender may send 1450",
        "skepd on h1",
        DOUBTFUL,
    )
    yield (
        "far MTU",
        lambda h: h.change_link("h2", WEB2, "eth1", mtu=1280),
        WEB,
        f"{WEB2} (web2) on h2",
        "eth1 takes 1280 bytes",
        "skepd on h2",
        DOUBTFUL,
    )
    yield (
        "host silent",
        lambda h: h.silent.update(h2="no session with this host"),
        WEB,
        "host h2",
        "h2 cannot be looked into: no session",
        "see whether skepd runs",
        UNKNOWN,
    )
    yield (
        "host silent and cut off",
        lambda h: (h.silent.update(h2="no session"), h.mesh.update({("h1", "h2"): lost})),
        WEB,
        "between h1 and h2",
        "20 of 20 probes lost",
        "ping",
        BROKEN,
    )
    yield (
        "administrator drops tunnels",
        lambda h: h.foreign.update({("h2", HOST): [admin_table(port(4789), Counter(), drop)]}),
        WEB,
        "host's namespace on h2",
        "dropped by nft table inet guard (not Skep's), chain in",
        "nft delete rule inet guard in",
        BROKEN,
    )
    yield (
        "administrator drops tunnels on their way out",
        lambda h: h.foreign.update({("h1", HOST): [admin_table(port(4789), drop, hook="output")]}),
        WEB,
        "host's namespace on h1",
        "dropped by nft table inet guard",
        "nft delete rule",
        BROKEN,
    )
    yield (
        "administrator's interface name",
        lambda h: h.foreign.update(
            {("h3", HOST): [admin_table(Match((Meta("iifname"),), "eth9"), drop, hook="forward")]}
        ),
        PORT,
        "host's namespace on h3",
        "dropped by nft table inet guard",
        "nft -a list chain",
        BROKEN,
    )
    yield (
        "firewall with a drop policy",
        lambda h: h.foreign.update(
            {("h3", HOST): [admin_table(Foreign("{}"), hook="forward", policy="drop")]}
        ),
        PORT,
        "host's namespace on h3",
        "chain in, policy",
        "nft -a list chain",
        BROKEN,
    )
    yield (
        "nobody listens",
        lambda h: h.listeners.update({("h2", WEB2): []}),
        WEB,
        f"{WEB2} (web2) on h2",
        "nobody listens on tcp 80 in web2",
        "docker logs web2",
        BROKEN,
    )
    yield (
        "listens on loopback",
        lambda h: h.listeners.update(
            {("h2", WEB2): [Listener(protocol="tcp", address="127.0.0.1", port=80)]}
        ),
        WEB,
        f"{WEB2} (web2) on h2",
        "listens on 127.0.0.1 only, not on 10.0.1.12",
        "docker logs",
        BROKEN,
    )
    yield (
        "dead name server",
        lambda h: h.errors.update(web="no answer within 2 s"),
        WEB,
        "skep-dns in sandbox",
        "web was not answered: no answer within 2 s",
        "skep-dns runs",
        BROKEN,
    )
    yield (
        "wrong name",
        lambda h: h.answers.update(web=("10.0.1.77",)),
        WEB,
        "skep-dns in sandbox",
        "web was answered 10.0.1.77",
        "skepd",
        BROKEN,
    )


OTHERS = {each[0]: each[1:] for each in other_than_planned()}


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_plan_knows_of_is_named_at_its_hop(hosts, name):
    damage, asked, where, why, todo, state = OTHERS[name]
    damage(hosts)
    found = hosts.trace(*asked)
    assert where in found.trouble.where
    assert why in found.trouble.why
    assert todo in found.trouble.todo
    assert found.trouble.state == state
    assert found.reached == (state == DOUBTFUL)
    assert state in [hop.state for hop in (*found.there, *found.back)]


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

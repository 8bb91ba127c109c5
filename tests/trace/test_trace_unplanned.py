"""Break what no plan knows of, trace over it: the verdict names that thing, at that hop."""

import msgspec
import pytest
from plan_scene import vtep
from trace_scene import NOW, OVERLAY, WEB2, Hosts, admin_table

from skep.model.inspection import HostRoute, Listener, PeerSight
from skep.model.netstate import HOST
from skep.model.nft import Counter, Foreign, Match, Meta, Payload, Verdict
from skep.trace.report import BROKEN, DOUBTFUL, UNKNOWN

WEB = ("client", "web")
PORT = ("outside:203.0.113.9", "h3:8080")
LOST = PeerSight(address=vtep("h2"), seen_at=NOW - 12, loss=1.0, probes=20)
PATCHY = PeerSight(address=vtep("h2"), seen_at=NOW, loss=0.3, probes=20)
NARROW = PeerSight(
    address=vtep("h2"), seen_at=NOW, probes=20, large_probes=5, large_loss=1.0, large_size=1500
)
DROP = Verdict("drop")


def port(number):
    return Match((Payload("udp", "dport"),), number)


# Damage, FROM and TO, where, why, what to do, state.
FAULTS = {
    "hosts cut off": (
        lambda h: h.mesh.update({("h1", "h2"): LOST}),
        WEB,
        "between h1 and h2",
        "20 of 20 probes lost, last heard 12 s ago",
        "ping",
        BROKEN,
    ),
    "some loss": (
        lambda h: h.mesh.update({("h1", "h2"): PATCHY}),
        WEB,
        "between h1 and h2",
        "30% of the last 20 probes",
        "ping",
        DOUBTFUL,
    ),
    "path MTU": (
        lambda h: h.mesh.update({("h1", "h2"): NARROW}),
        WEB,
        "between h1 and h2",
        "packets of 1500 bytes do not get from h1 to h2",
        "ping -M do",
        DOUBTFUL,
    ),
    "path MTU that is known": (
        lambda h: h.mesh.update(
            {("h1", "h2"): msgspec.structs.replace(NARROW, path_mtu=1400)}
        ),
        WEB,
        "between h1 and h2",
        "those of up to 1400 do, and TCP is told of smaller segments",
        "ping -M do",
        DOUBTFUL,
    ),
    "underlay down": (
        lambda h: h.devices["h1"].update(up=False),
        WEB,
        "host's namespace on h1",
        "eth9, which carries the tunnels, is down",
        "eth9 up",
        BROKEN,
    ),
    "no carrier": (
        lambda h: h.devices["h2"].update(carrier=False),
        WEB,
        "host's namespace on h2",
        "eth9, which carries the tunnels, has no carrier",
        "eth9 up",
        BROKEN,
    ),
    "underlay route gone": (
        lambda h: h.routes.update(h1=[HostRoute(destination="10.9.0.0/16", link="eth9")]),
        WEB,
        "host's namespace on h1",
        f"no route to {vtep('h2')}",
        "ip route get",
        BROKEN,
    ),
    "underlay MTU": (
        lambda h: h.devices["h2"].update(mtu=1400),
        WEB,
        "host's namespace on h2",
        "no packet over 1350 fits",
        "ip link set eth9 mtu 1500",
        DOUBTFUL,
    ),
    "tunnel's MTU": (
        lambda h: h.change_link("h1", OVERLAY, "vxlan0", mtu=1300),
        WEB,
        f"{OVERLAY} (network mongo) on h1",
        "vxlan0 takes 1300 bytes, its sender may send 1450",
        "skepd on h1",
        DOUBTFUL,
    ),
    "far MTU": (
        lambda h: h.change_link("h2", WEB2, "eth1", mtu=1280),
        WEB,
        f"{WEB2} (web2) on h2",
        "eth1 takes 1280 bytes",
        "skepd on h2",
        DOUBTFUL,
    ),
    "host silent": (
        lambda h: h.silent.update(h2="no session with this host"),
        WEB,
        "host h2",
        "h2 cannot be looked into: no session",
        "see whether skepd runs",
        UNKNOWN,
    ),
    "host silent and cut off": (
        lambda h: (h.silent.update(h2="no session"), h.mesh.update({("h1", "h2"): LOST})),
        WEB,
        "between h1 and h2",
        "20 of 20 probes lost",
        "ping",
        BROKEN,
    ),
    "administrator drops tunnels": (
        lambda h: h.foreign.update({("h2", HOST): [admin_table(port(4789), Counter(), DROP)]}),
        WEB,
        "host's namespace on h2",
        "dropped by nft table inet guard (not Skep's), chain in",
        "nft delete rule inet guard in",
        BROKEN,
    ),
    "administrator drops tunnels on their way out": (
        lambda h: h.foreign.update({("h1", HOST): [admin_table(port(4789), DROP, hook="output")]}),
        WEB,
        "host's namespace on h1",
        "dropped by nft table inet guard",
        "nft delete rule",
        BROKEN,
    ),
    "administrator's interface name": (
        lambda h: h.foreign.update(
            {("h3", HOST): [admin_table(Match((Meta("iifname"),), "eth9"), DROP, hook="forward")]}
        ),
        PORT,
        "host's namespace on h3",
        "dropped by nft table inet guard",
        "nft -a list chain",
        BROKEN,
    ),
    "firewall with a drop policy": (
        lambda h: h.foreign.update(
            {("h3", HOST): [admin_table(Foreign("{}"), hook="forward", policy="drop")]}
        ),
        PORT,
        "host's namespace on h3",
        "chain in, policy",
        "nft -a list chain",
        BROKEN,
    ),
    "nobody listens": (
        lambda h: h.listeners.update({("h2", WEB2): []}),
        WEB,
        f"{WEB2} (web2) on h2",
        "nobody listens on tcp 80 in web2",
        "docker logs web2",
        BROKEN,
    ),
    "listens on loopback": (
        lambda h: h.listeners.update(
            {("h2", WEB2): [Listener(protocol="tcp", address="127.0.0.1", port=80)]}
        ),
        WEB,
        f"{WEB2} (web2) on h2",
        "listens on 127.0.0.1 only, not on 10.0.1.12",
        "docker logs",
        BROKEN,
    ),
    "dead name server": (
        lambda h: h.errors.update(web="no answer within 2 s"),
        WEB,
        "skep-dns in sandbox",
        "web was not answered: no answer within 2 s",
        "skep-dns runs",
        BROKEN,
    ),
    "wrong name": (
        lambda h: h.answers.update(web=("10.0.1.77",)),
        WEB,
        "skep-dns in sandbox",
        "web was answered 10.0.1.77",
        "skepd",
        BROKEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_no_plan_knows_of_is_named_at_its_hop(name):
    damage, asked, where, why, todo, state = FAULTS[name]
    hosts = Hosts()
    damage(hosts)
    found = hosts.trace(*asked)
    assert where in found.trouble.where
    assert why in found.trouble.why
    assert todo in found.trouble.todo
    assert found.trouble.state == state
    assert found.reached == (state == DOUBTFUL)
    assert state in [hop.state for hop in (*found.there, *found.back)]

"""Traces of IPv6, over hosts that have both families."""

import struct
from ipaddress import IPv6Address

import msgspec
import pytest
from dual_scene import dual, host6, six
from plan_scene import IDLE_VIP, WEB_VIP
from test_frames import TOKEN, ether, heard, tcp, udp, vxlan
from trace_scene import WEB1, WEB2, Hosts, named, observed

from skep.agent.sending import echo_request6, read_echo6
from skep.model.errors import Invalid
from skep.model.inspection import HostRoute, Listener
from skep.trace.asked import Source, Target, parse_source, parse_target

STRANGER = "2001:db8:ffff::9"


@pytest.fixture
def hosts():
    found = Hosts()
    found.views = {host: named(dual(found.scene.view(host))) for host in found.scene.hosts}
    found.states = {host: observed(view) for host, view in found.views.items()}
    found.sixths = {host: (f"{host6(host)}/64",) for host in found.views}
    for routes in found.routes.values():
        routes.append(HostRoute(destination="::/0", link="eth9", via="2001:db8::fe"))
    for host, box in (("h1", WEB1), ("h2", WEB2)):
        found.listeners[host, box].append(Listener(protocol="tcp", address="::", port=80))
    return found


# --- what is asked


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("fd00::2", Target(name="fd00::2")),
        ("fd00:0::2/tcp:80", Target(name="fd00::2", protocol="tcp", port=80)),
        ("[fd00::2]:80", Target(name="fd00::2", protocol="tcp", port=80)),
        ("[fd00::2]:53/udp", Target(name="fd00::2", protocol="udp", port=53)),
        ("[::1]:80", Target(name="::1", protocol="tcp", port=80)),
        ("h2:80", Target(name="h2", protocol="tcp", port=80)),
        (":80", Target(name="", protocol="tcp", port=80)),
    ],
)
def test_targets(text, meant):
    assert parse_target(text) == meant


def test_sources():
    meant = Source(outside=STRANGER, entry="h1")
    assert parse_source(f"outside:{STRANGER}@h1") == meant
    assert parse_source(f"outside:[{STRANGER}]@h1") == meant
    assert parse_source(f"outside:{STRANGER}@[fd00:0::1]").entry == "fd00::1"
    with pytest.raises(Invalid, match="outside takes an address"):
        parse_source("outside:2001:db8@h1")


# --- what is found


def test_a_published_port_from_outside(hosts):
    found = hosts.trace(f"outside:{STRANGER}", f"[{host6('h3')}]:8080")
    assert found.reached, found
    assert found.summary == "All 2 backends are reached."
    assert any(f"[{six('10.0.0.11')}]:80" in hop.says for hop in found.there) or any(
        f"[{six('10.0.0.12')}]:80" in hop.says for hop in found.there
    )


def test_the_loopback_of_a_host(hosts):
    found = hosts.trace("h1", "[::1]:8080")
    assert found.reached, found
    assert any("::7f00:1" in hop.says for hop in found.there)


def test_a_vip_and_whose_it_is(hosts):
    found = hosts.trace("client", f"[{six(WEB_VIP)}]:80")
    assert found.reached, found
    assert hosts.trace("client", f"[{six(IDLE_VIP)}]:80").trouble is not None


def test_an_echo(hosts):
    found = hosts.trace("client", six("10.0.1.12"))
    assert found.reached, found
    assert found.target == f"web2 on h2 ({six('10.0.1.12')})"


def test_who_listens_on_ipv4_alone_refuses(hosts):
    for box in (("h1", WEB1), ("h2", WEB2)):
        hosts.listeners[box] = [Listener(protocol="tcp", address="0.0.0.0", port=80)]
    found = hosts.trace("client", f"[{six(WEB_VIP)}]:80")
    assert not found.reached
    assert "listens on 0.0.0.0 only" in found.trouble.why


def test_a_neighbour_that_is_missing_is_named(hosts):
    hosts.drop("h1", "1-mongonetwo", "neighbours", lambda each: each.address == six("10.0.1.12"))
    found = hosts.trace("client", f"{six('10.0.1.12')}/tcp:80")
    assert not found.reached
    assert six("10.0.1.12") in found.trouble.why


# --- what is heard


def ip6(number, source, target, payload):
    head = struct.pack("!IHBB", 6 << 28, len(payload), number, 64)
    return head + IPv6Address(source).packed + IPv6Address(target).packed + payload


def test_frames_of_ipv6():
    packet = ip6(6, "fd00::5", "fd00::3", tcp(TOKEN, 80))
    asked = heard(ether(packet, 0x86DD))
    assert (asked.source, asked.target, asked.note) == ("fd00::5", "fd00::3", "SYN")
    inner = ether(packet, 0x86DD)
    outer = ip6(17, "fd09::1", "fd09::2", udp(5000, 4789, vxlan(4097, inner)))
    found = heard(ether(outer, 0x86DD))
    assert (found.vni, found.source) == (4097, "fd00::5")
    assert heard(ether(ip6(6, "fd00::5", "fd00::3", tcp(1, 80)), 0x86DD)) is None


def test_echoes_and_errors_of_ipv6():
    asked = struct.pack("!BBHHH", 128, 0, 0, TOKEN, 1)
    found = heard(ether(ip6(58, "fd00::5", "fd00::3", asked), 0x86DD), "icmp")
    assert (found.protocol, found.note) == ("icmp", "echo request")
    quoted = ip6(6, "fd00::5", "fd00::3", tcp(TOKEN, 80))
    error = struct.pack("!BBHI", 1, 4, 0, 0) + quoted
    found = heard(ether(ip6(58, "fd00::3", "fd00::5", error), 0x86DD))
    assert found.note == "unreachable"


def test_echo_probes_of_ipv6():
    packet = echo_request6(7, 1, 64)
    assert len(packet) == 64 - 40
    answer = bytes([129]) + packet[1:]
    assert read_echo6(answer, "fd00::3") == (7, 1, "fd00::3")
    assert read_echo6(packet, "fd00::3") is None
    assert read_echo6(b"", "fd00::3") is None


def test_addresses_of_hosts_are_known(hosts):
    found = hosts.trace("h3", f"[{host6('h1')}]:8080")
    assert found.reached
    assert msgspec.json.encode(found)

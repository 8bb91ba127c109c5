"""Users' networks of a host: what is asked for, what they get, what is refused."""

from ipaddress import ip_network

import msgspec
import pytest

from skep.agent.addresses import free_address, given_address
from skep.agent.creating import Around, made
from skep.agent.locals import BRIDGE_OPTIONS, bridge_network, bridge_of, lower_of
from skep.model.errors import Clash, Forbidden, Invalid, Missing, Refusal, Unavailable, Unsupported
from skep.model.spec import Ipam, IpamConfig, NetworkSpec

ID = "ab" * 32
BRIDGE = "com.docker.network.bridge."
DOCKER0 = bridge_network("bridge", "172.17.0.0/16", BRIDGE_OPTIONS, id="d0" * 32, now=1.0)
FRESH = Around((DOCKER0,), ((ip_network("172.17.0.0/16"), "bridge"),))


def make(around=FRESH, *configs, **members):
    ipam = Ipam(config=tuple(IpamConfig(**each) for each in configs))
    return made(NetworkSpec(name="web", ipam=ipam, **members), around, id=ID, now=2.0)


def test_pools_are_dockers_and_avoid_every_route():
    network = make()
    assert (network.subnet, network.gateway) == ("172.18.0.0/16", "172.18.0.1")
    assert (network.bridge, network.driver) == ("br-" + ID[:12], "bridge")
    around = Around((), (), ("172.16.0.0/13", "172.24.3.0/24", "10.0.0.0/8"))
    assert make(around).subnet == "172.25.0.0/16"
    everything = Around((), (), ("172.16.0.0/12", "192.168.0.0/16"))
    with pytest.raises(Unavailable, match="all default pools are taken"):
        make(everything)


def test_both_families():
    network = make(enable_i_pv6=True)
    assert ip_network(network.subnet6).is_private
    assert network.gateway6 == network.subnet6.replace("::/64", "::1")
    assert bridge_of(network).address6 == network.subnet6.replace("::/64", "::1/64")
    asked = make(FRESH, {"subnet": "fd00:5::/64", "gateway": "fd00:5::9"}, enable_i_pv6=True)
    assert (asked.subnet6, asked.gateway6) == ("fd00:5::/64", "fd00:5::9")
    assert [each.subnet for each in asked.ipam] == ["172.18.0.0/16", "fd00:5::/64"]


def test_options_reach_the_bridge():
    options = {
        BRIDGE + "name": "br0", BRIDGE + "enable_icc": "false",
        BRIDGE + "enable_ip_masquerade": "F", BRIDGE + "inhibit_ipv4": "1",
        BRIDGE + "gateway_mode_ipv6": "routed", "com.docker.network.driver.mtu": "9000",
    }  # fmt: skip
    network = make(options=options, internal=True)
    bridge = bridge_of(network)
    assert (bridge.name, bridge.icc, bridge.masquerade) == ("br0", False, False)
    assert (bridge.inhibited, bridge.mode, bridge.mode6) == (True, "nat", "routed")
    assert (bridge.mtu, bridge.internal, bridge.named) == (9000, True, True)
    assert network.options == options


def test_options_of_the_way_out():
    options = {
        "com.docker.network.host_ipv4": "192.0.2.7", "com.docker.network.host_ipv6": "2001:db8::7",
        BRIDGE + "trusted_host_interfaces": "eth1:wg0", "com.docker.network.enable_ipv6": "true",
    }  # fmt: skip
    bridge = bridge_of(make(options=options))
    assert (bridge.source, bridge.source6) == ("192.0.2.7", "2001:db8::7")
    assert bridge.trusted == ("eth1", "wg0")
    assert bridge.address6, "--ipv6 by option"
    assert not bridge_of(make(options=options, enable_i_pv6=False)).address6, "the flag decides"


@pytest.mark.parametrize(
    ("refusal", "words", "configs", "members"),
    [
        (Forbidden, "multiple subnets", ({"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}), {}),
        (Forbidden, "172.17.0.0/16 of network bridge", ({"subnet": "172.17.9.0/24"},), {}),
        (Invalid, "it should be 10.1.0.0/24", ({"subnet": "10.1.0.3/24"},), {}),
        (Invalid, "needs a /30 or larger", ({"subnet": "10.1.0.0/31"},), {}),
        (Invalid, "doesn't contain", ({"subnet": "10.1.0.0/24", "gateway": "10.9.0.1"},), {}),
        (Invalid, "doesn't contain ip-range",
         ({"subnet": "10.1.0.0/24", "ip_range": "10.9.0.0/28"},), {}),
        (Invalid, "needs --ipv6", ({"subnet": "fd00::/64"},), {}),
        (Invalid, "need a subnet", ({"gateway": "10.9.0.1"},), {}),
        (Missing, 'plugin "weave" not found', (), {"driver": "weave"}),
        (Forbidden, 'only one instance of "host"', (), {"driver": "host"}),
        (Unsupported, "use it|made with --driver overlay", (), {"scope": "swarm"}),
        (Unsupported, "--ipv4=false", (), {"enable_i_pv4": False}),
        (Invalid, "neither true nor false", (), {"options": {BRIDGE + "enable_icc": "no"}}),
        (Invalid, "'::1' is no IPv4", (), {"options": {"com.docker.network.host_ipv4": "::1"}}),
        (Invalid, "'x' is no IPv6", (), {"options": {"com.docker.network.host_ipv6": "x"}}),
        (Invalid, "'a/b' is no name", (), {"options": {BRIDGE + "trusted_host_interfaces": "a/b"}}),
        (Invalid, "unknown gateway mode", (), {"options": {BRIDGE + "gateway_mode_ipv4": "x"}}),
        (Invalid, "'60' is not between", (), {"options": {"com.docker.network.driver.mtu": "60"}}),
        (Unsupported, "bridge.fast is not", (), {"options": {BRIDGE + "fast": "1"}}),
        (Invalid, "invalid bridge name", (), {"options": {BRIDGE + "name": "a" * 16}}),
        (Forbidden, "same bridge name", (), {"options": {BRIDGE + "name": "docker0"}}),
        (Missing, "network .form. does not exist", (), {"config_from": {"Network": "form"}}),
    ],
)  # fmt: skip
def test_refusals(refusal, words, configs, members):
    with pytest.raises(Refusal, match=words) as refused:
        make(FRESH, *configs, **members)
    assert type(refused.value) is refusal


def test_a_link_of_somebody_else_is_left_alone():
    with pytest.raises(Clash, match="a link br9 that Skep did not make"):
        make(Around((), links=frozenset({"br9"})), options={BRIDGE + "name": "br9"})


def test_forms():
    form = make(
        FRESH, {"subnet": "10.7.0.0/24", "ip_range": "10.7.0.128/25"}, config_only=True,
        labels={"a": "b"},
    )  # fmt: skip
    assert (form.driver, form.bridge, form.config_only) == ("null", "", True)
    around = Around((DOCKER0, form))
    network = make(around, config_from={"Network": "web"})
    assert (network.subnet, network.gateway) == ("10.7.0.0/24", "10.7.0.1")
    assert (network.config_from, network.labels) == ("web", {"a": "b"})
    with pytest.raises(Forbidden, match="user specified configurations"):
        make(around, {"subnet": "10.8.0.0/24"}, config_from={"Network": "web"})


CONFIG = IpamConfig(
    subnet="10.7.0.0/24", gateway="10.7.0.1", auxiliary_addresses={"router": "10.7.0.2"}
)


def test_addresses_rest_before_they_are_given_again():
    assert free_address(CONFIG, (), "", "web") == "10.7.0.3/24"
    assert free_address(CONFIG, (), "10.7.0.3", "web") == "10.7.0.4/24"
    assert free_address(CONFIG, ("10.7.0.254",), "10.7.0.253", "web") == "10.7.0.3/24"
    six = IpamConfig(subnet="fd00::/64", gateway="fd00::1")
    assert free_address(six, ("fd00::2",), "", "web") == "fd00::3/64"


def test_a_full_network_says_so():
    plain = IpamConfig(subnet="10.7.0.0/24", gateway="10.7.0.1")
    everything = {f"10.7.0.{number}" for number in range(256)}
    with pytest.raises(Unavailable, match="network web: 253 of 253 addresses in use"):
        free_address(plain, everything, "", "web")
    narrow = IpamConfig(subnet="10.7.0.0/24", gateway="10.7.0.1", ip_range="10.7.0.16/30")
    with pytest.raises(Unavailable, match="4 of 4 addresses"):
        free_address(narrow, everything, "", "web")


def test_addresses_that_users_want():
    assert given_address(CONFIG, "10.7.0.9", (), "web") == "10.7.0.9/24"
    assert given_address(CONFIG, "", (), "web") == ""
    for taken in ("10.7.0.1", "10.7.0.2", "10.7.0.0", "10.7.0.9"):
        with pytest.raises(Forbidden, match="Address already in use"):
            given_address(CONFIG, taken, ("10.7.0.9",), "web")
    with pytest.raises(Invalid, match=r"no configured subnet contains IP address 10\.8\.0\.9"):
        given_address(CONFIG, "10.8.0.9", (), "web")


LAN = Around((DOCKER0,), (), (), frozenset({"eth0", "eth1"}), frozenset({"macvlan", "ipvlan"}))


DRIVER_MTU = "com.docker.network.driver.mtu"


def lower(around=LAN, driver="macvlan", **options):
    return make(around, {"subnet": "10.7.0.0/24"}, driver=driver, options=options)


def test_networks_on_links_of_the_host():
    network = lower(parent="eth0")
    seen = lower_of(network)
    assert (seen.driver, seen.mode, seen.parent, seen.vlan) == ("macvlan", "bridge", "eth0", 0)
    assert (network.bridge, network.gateway, seen.gateway) == ("", "10.7.0.1", "10.7.0.1")
    assert lower_of(lower(parent="eth0", macvlan_mode="vepa")).mode == "vepa"
    assert lower_of(lower(driver="ipvlan", parent="eth0", ipvlan_mode="l3s")).mode == "l3s"
    assert lower_of(lower(parent="eth1.40")).vlan == 40
    assert lower_of(msgspec.structs.replace(network, internal=True)).gateway == ""


@pytest.mark.parametrize(
    ("refusal", "words", "options"),
    [
        (Invalid, "needs a link of the host", {}),
        (Invalid, "loopback interface", {"parent": "lo"}),
        (Invalid, "no link eth7", {"parent": "eth7"}),
        (Invalid, "no link eth7.3", {"parent": "eth7.3"}),
        (Invalid, "vlan id must be", {"parent": "eth0.4095"}),
        (Invalid, "mode 'x' is not valid", {"parent": "eth0", "macvlan_mode": "x"}),
        (Invalid, "'big' is not between 68 and", {"parent": "eth0", DRIVER_MTU: "big"}),
        (Invalid, "'65536' is not between 68 and", {"parent": "eth0", DRIVER_MTU: "65536"}),
        (Unsupported, "option colour", {"parent": "eth0", "colour": "red"}),
    ],
)
def test_parents_that_cannot_be(refusal, words, options):
    with pytest.raises(refusal, match=words):
        lower(**options)


def test_a_kernel_without_and_a_parent_that_is_taken():
    with pytest.raises(Unsupported, match="kernel has no macvlan links: use --driver bridge"):
        lower(msgspec.structs.replace(LAN, drivers=frozenset()), parent="eth0")
    taken = msgspec.structs.replace(LAN, networks=(lower(parent="eth0"),))
    with pytest.raises(Forbidden, match="network web is already using parent interface eth0"):
        make(taken, {"subnet": "10.8.0.0/24"}, driver="macvlan", options={"parent": "eth0"})


def test_an_mtu_that_an_earlier_version_took_does_no_harm():
    """It was written down, and no daemon of the host could begin with it."""
    kept = lower(parent="eth0")
    damaged = msgspec.structs.replace(kept, options={**kept.options, DRIVER_MTU: "big"})
    assert lower_of(damaged) == lower_of(kept)

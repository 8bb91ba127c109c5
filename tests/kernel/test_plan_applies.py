"""What is planned, done by a real kernel: it comes about, and comes back whatever is done to it."""

from __future__ import annotations

import asyncio
import subprocess
import time

import msgspec
import pytest
from dual_scene import dual
from fresh_host import Host
from plan_scene import web_scene

from skep.kernel import netns
from skep.kernel.kernel import Kernel
from skep.model.netstate import HOST
from skep.plan.desired import desired
from skep.plan.diff import diff, needed_sysctls

pytestmark = pytest.mark.root

WEB, OVERLAY, MESH = "web100000000", "1-mongonetwo", "ingress_sbox"
PASSES = 3
PATIENCE = 10


class Rig:
    """A host that contains what h1 of the web scene should, and things of others beside it."""

    def __init__(self, host: Host, runner: asyncio.Runner) -> None:
        self.host = host
        view = msgspec.structs.replace(dual(web_scene().view("h1")), paths={"h2": 1400})
        self.wanted = desired(view)
        self._runner = runner
        self._kernel = runner.run(self._open())

    async def _open(self) -> Kernel:
        return Kernel(self.host.netns_dir, self.host.home)

    def close(self) -> None:
        self._runner.run(self._kernel.close())

    def left(self):
        """What there is still to do."""
        return self._runner.run(self._look())

    async def _look(self):
        observed = await self._kernel.observe(None, needed_sysctls(self.wanted))
        return diff(self.wanted, observed)

    def settle(self) -> int:
        """Passes until nothing is left to do; no operation may be refused in the last of them.

        A pass is made again, as skepd makes it a second later, while a tunnel of before still
        holds its number: the kernel takes a namespace apart after it is gone.
        """
        deadline = time.monotonic() + PATIENCE
        number = 0
        while todo := self.left():
            assert number < PASSES, todo
            failures = self._runner.run(self._kernel.apply(todo))
            if not failures or time.monotonic() > deadline:
                assert failures == ()
                number += 1
        return number

    def shell(self, ns: str, script: str) -> None:
        command = ["nsenter", f"--net={self.host.path(ns)}", "sh", "-ec", script]
        done = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, f"{script}: {done.stderr}"


FOREIGN = (
    "ip link add eth9 type veth peer name eth8; ip link set eth9 up; ip link set eth8 up; "
    "ip addr add 192.0.2.1/24 dev eth9; ip route add 198.51.100.0/24 via 192.0.2.9; "
    "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev eth9 nud permanent; "
    "nft add table inet filter; nft add chain inet filter c; nft add rule inet filter c drop"
)


def foreign(rig: Rig) -> list[str]:
    """What others own, as it stands."""
    looks = (
        "ip -o link show eth9",
        "ip -o -4 addr show eth9",
        "ip route show 198.51.100.0/24",
        "ip neigh show dev eth9 nud permanent",
        "nft list table inet filter",
    )
    return [rig.host.run(ns, look) for ns in (HOST, WEB, "theirs") for look in looks]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("plan"))
    try:
        with asyncio.Runner() as runner:
            rig = Rig(host, runner)
            try:
                rig.passes = rig.settle()
                netns.create(host.path("theirs"))
                for ns in (HOST, WEB, "theirs"):
                    rig.shell(ns, FOREIGN)
                yield rig
            finally:
                rig.close()
    finally:
        host.close()


def test_a_fresh_host_gets_there(rig):
    assert rig.passes <= PASSES
    assert rig.left() == []


TAMPERING = [
    (HOST, "ip link del docker_gwbridge"),
    (HOST, "ip link set docker0 down"),
    (HOST, "ip link set docker_gwbridge mtu 1400"),
    (HOST, "ip link set docker_gwbridge address 02:00:00:00:00:99"),
    (WEB, "ip link set eth1 group 7"),
    (HOST, "ip addr del 172.18.0.1/16 dev docker_gwbridge"),
    (HOST, "ip addr add 10.77.0.1/24 dev docker0"),
    (HOST, "nft delete table ip skep; nft delete table bridge skep"),
    (HOST, "nft flush chain ip skep DOCKER-INGRESS"),
    (HOST, "nft delete element ip skep published { 6 . 8080 }"),
    (HOST, "nft add element ip skep vteps { 203.0.113.66 }"),
    (HOST, "nft insert rule ip skep forward accept"),
    (HOST, "nft add chain ip skep mine; nft add rule ip skep mine drop"),
    (HOST, "nft add counter ip skep mine"),
    (HOST, "nft add chain ip skep mine '{ type filter hook input priority 0; }'"),
    (HOST, "sysctl -qw net.ipv4.ip_forward=0"),
    (HOST, "sysctl -qw net.ipv4.conf.docker_gwbridge.route_localnet=0"),
    (HOST, "ip -6 addr flush dev docker_gwbridge"),
    (HOST, "ip -6 addr del fe80::ac12:1/64 dev docker_gwbridge"),
    (HOST, "nft flush chain ip6 skep loopback-out"),
    (HOST, "nft delete table ip6 skep"),
    (HOST, "nft delete element ip6 skep published { 6 . 8080 }"),
    (HOST, "sysctl -qw net.ipv6.conf.all.forwarding=0"),
    (OVERLAY, "ip -6 neigh flush dev vxlan0 nud permanent"),
    (OVERLAY, "ip -6 neigh del fd00:a:0:1::c dev vxlan0"),
    (OVERLAY, "sysctl -qw net.ipv6.conf.vxlan0.disable_ipv6=1"),
    (OVERLAY, "sysctl -qw net.ipv6.conf.br0.disable_ipv6=1"),
    (WEB, "ip -6 addr flush dev eth1 scope global"),
    (WEB, "ip -6 addr add fd00:a:0:1::99/64 dev eth1"),
    (WEB, "ip -6 route del default"),
    (WEB, "ip -6 rule flush; ip -6 rule add priority 32766 table main"),
    (WEB, "ip -6 route flush table 16777218"),
    (WEB, "nft flush chain ip6 skep output-nat"),
    (OVERLAY, "ip link del vxlan0"),
    (OVERLAY, "ip link del br0"),
    (OVERLAY, "ip link set br0 down"),
    (OVERLAY, "ip link set veth2 nomaster"),
    (OVERLAY, "ip neigh flush dev vxlan0 nud permanent"),
    (OVERLAY, "ip neigh replace 10.0.1.12 lladdr 02:00:00:00:00:01 dev vxlan0 nud permanent"),
    (OVERLAY, "bridge fdb del 02:42:0a:00:01:0c dev vxlan0 dst 192.168.50.2 self"),
    (OVERLAY, "bridge fdb replace 02:42:0a:00:01:0c dev vxlan0 dst 203.0.113.66 self permanent"),
    (OVERLAY, "bridge fdb add 02:00:00:00:00:02 dev vxlan0 dst 192.168.50.2 self permanent"),
    (WEB, "ip link del eth1"),
    (WEB, "ip link set eth1 down; ip link set eth1 name other"),
    (WEB, "ip link set eth1 address 02:00:00:00:00:99"),
    (WEB, "ip link set eth0 mtu 1280"),
    (WEB, "ip addr flush dev eth1"),
    (WEB, "ip addr add 10.0.1.99/24 dev eth1"),
    (WEB, "ip route del default"),
    (WEB, "ip route replace default via 172.18.0.99 dev eth2"),
    (WEB, "ip route add 203.0.113.0/24 via 172.18.0.1"),
    (WEB, "ip route flush table 16777218"),
    (WEB, "ip rule del priority 1000"),
    (WEB, "ip rule add fwmark 9 lookup 9"),
    (WEB, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.tcp_fwmark_accept=0"),
    (WEB, "nft delete table ip skep"),
    (WEB, "nft flush map ip skep turns"),
    (WEB, "nft delete element ip skep turns { 10.0.1.2 }"),
    (WEB, "nft add element ip skep backends { 10.0.1.2 . 2 : 10.0.1.66 }"),
    (WEB, "nft flush chain ip skep turn_2_0"),
    (WEB, "nft add set ip skep mine '{ type mark; flags timeout; }'"),
    (MESH, "ip link del eth1"),
    (MESH, "nft flush map ip skep targets"),
    (MESH, "nft add chain ip skep forward '{ policy accept; }'"),
    (MESH, "sysctl -qw net.ipv4.ip_forward=0"),
]


@pytest.mark.parametrize(("ns", "script"), TAMPERING)
def test_what_is_changed_comes_back_and_what_is_foreign_stays(rig, ns, script):
    before = foreign(rig)
    rig.shell(ns, script)
    assert rig.left() != []
    rig.settle()
    assert foreign(rig) == before


def test_an_empty_ruleset_is_filled_again(rig):
    """Of others' rules nothing is known, so nothing can be brought back."""
    for ns in (HOST, WEB, MESH):
        rig.shell(ns, "nft flush ruleset")
    rig.settle()
    for ns in (HOST, WEB):
        rig.shell(ns, "nft add table inet filter; nft add chain inet filter c; "
                      "nft add rule inet filter c drop")  # fmt: skip


@pytest.mark.parametrize("name", [OVERLAY, MESH])
def test_a_namespace_that_is_gone_is_made_again(rig, name):
    before = foreign(rig)
    netns.remove(rig.host.path(name))
    rig.settle()
    assert foreign(rig) == before


def test_idle_connections_are_remembered_for_days(rig):
    """No connection is forgotten earlier than the kernel itself would."""
    limits = {
        "nf_conntrack_tcp_timeout_established": "432000",
        "nf_conntrack_udp_timeout_stream": "120",
    }
    for ns in (HOST, WEB, MESH):
        for key, value in limits.items():
            assert rig.host.run(ns, f"sysctl -n net.netfilter.{key}").strip() == value
    ours = {key for each in rig.wanted.values() for key in each.sysctls}
    assert {key for key in ours if "timeout" in key or "conntrack" in key} <= {
        "net.netfilter.nf_conntrack_acct"
    }

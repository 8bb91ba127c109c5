from __future__ import annotations

import errno

import pytest
from fresh_host import do, fail

from skep.kernel import sysctl
from skep.model.netstate import HOST, Link
from skep.model.ops import AddLink, AddNamespace, SetSysctl

pytestmark = pytest.mark.root

FORWARD = "net.ipv4.ip_forward"
PORTS = "net.ipv4.ip_local_port_range"


async def test_sysctls_belong_to_their_namespace(host, kernel):
    before = sysctl.read([FORWARD])
    await do(kernel, AddNamespace(ns="a"), SetSysctl(ns=HOST, key=FORWARD, value="0"))
    await do(kernel, SetSysctl(ns="a", key=FORWARD, value="1"))
    state = await kernel.observe(sysctls={"a": [FORWARD, "net.no.such"], HOST: [FORWARD]})
    assert state["a"].sysctls == {FORWARD: "1"}
    assert state[HOST].sysctls == {FORWARD: "0"}
    assert host.run("a", "cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    assert sysctl.read([FORWARD]) == before
    assert (await kernel.observe(["a"]))["a"].sysctls == {}


async def test_several_numbers_are_separated_by_single_spaces(kernel):
    await do(kernel, AddNamespace(ns="a"), SetSysctl(ns="a", key=PORTS, value="2000 60000"))
    state = await kernel.observe(["a"], {"a": [PORTS]})
    assert state["a"].sysctls == {PORTS: "2000 60000"}


async def test_a_link_with_a_dot_in_its_name(host, kernel):
    key = "net.ipv4.conf.br0/5.rp_filter"
    link = Link(name="br0.5", kind="bridge")
    await do(kernel, AddNamespace(ns="a"), AddLink(ns="a", link=link))
    await do(kernel, SetSysctl(ns="a", key=key, value="2"))
    assert host.run("a", "cat /proc/sys/net/ipv4/conf/br0.5/rp_filter") == "2\n"


async def test_what_cannot_be_set(kernel):
    await do(kernel, AddNamespace(ns="a"))
    failure = await fail(kernel, SetSysctl(ns="a", key="net.no.such", value="1"))
    assert failure.errno == errno.ENOENT
    assert failure.message == (
        "cannot set net.no.such to 1 in the namespace a: there is no such sysctl"
    )
    failure = await fail(kernel, SetSysctl(ns="a", key=FORWARD, value="many"))
    assert failure.errno == errno.EINVAL


def test_names_do_not_climb():
    with pytest.raises(AssertionError):
        sysctl.path_of("net.//.//.etc.passwd")


async def test_links_that_listen_to_routers(host, kernel):
    await kernel.observe([HOST])
    host.run(HOST, "ip link add quiet type bridge")
    host.run(HOST, "ip link add heard type bridge")
    host.run(HOST, "sysctl -qw net.ipv6.conf.quiet.accept_ra=0")
    there, links = await kernel.within(HOST, sysctl.ipv6)
    assert there
    assert "heard" in links
    assert not {"quiet", "lo", "all", "default"} & set(links)

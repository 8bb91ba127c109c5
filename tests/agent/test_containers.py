"""Containers come, start, end and go, with their networking."""

import msgspec
import pytest
from container_rig import BODY, Rig

from skep.agent.drafting import tagged, wanted_networks
from skep.agent.records import Wanted, draft_id
from skep.model.assignment import Assignment
from skep.model.errors import Broken, Clash, EngineLost, Invalid, Missing, Unsupported
from skep.model.netstate import Link
from skep.model.ops import AddLink, Failure


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


async def test_create_gives_the_engine_a_namespace_and_our_files(rig):
    box = await rig.made()
    host = rig.engine.bodies[box.id]["HostConfig"]
    namespace = box.sandbox.namespace
    assert host["NetworkMode"] == f"ns:/run/netns/{namespace}"
    assert [bind.partition(":")[2] for bind in host["Binds"]] == ["/etc/hosts", "/etc/resolv.conf"]
    assert rig.kernel.looks == [({namespace}, [namespace])], "made before the engine was asked"
    assert box.exposed_ports == ("80/tcp",)
    assert box.sandbox.endpoints == ()


async def test_start_attaches_before_the_process_runs(rig):
    box = await rig.made(Hostname="web1")
    assert await rig.containers.start(box)
    inner, leg = rig.containers.find("box").sandbox.endpoints
    assert (inner.link, inner.address, inner.port) == ("eth0", "10.0.1.5/24", "veth0")
    assert (leg.link, leg.network_name) == ("eth1", "docker_gwbridge")
    request = rig.uplink.asked[0]
    assert (request.container_name, request.names) == ("box", ("box", box.id[:12], "web1"))
    hosts = rig.folder / "sandboxes" / box.sandbox.id / "hosts"
    assert "10.0.1.5\tweb1" in hosts.read_text()
    assert rig.engine.states[box.id] == {"Running": True}
    assert not await rig.containers.start(box), "it runs already"


async def test_a_dead_container_gives_everything_back_but_its_namespace(rig):
    box = await rig.made()
    await rig.containers.start(box)
    rig.engine.states[box.id] = {"Running": False}
    await rig.containers.died(box.id)
    again = rig.containers.find("box")
    assert again.sandbox.endpoints == ()
    assert rig.uplink.returned == ["att1"]
    assert rig.kernel.view().sandboxes[0].namespace == box.sandbox.namespace


async def test_a_container_the_engine_restarted_is_put_back(rig):
    box = await rig.made()
    await rig.containers.start(box)
    rig.engine.states[box.id] = {"Running": False}
    await rig.containers.died(box.id)
    rig.engine.states[box.id] = {"Running": True}
    await rig.containers.revived(box.id)
    assert len(rig.containers.find("box").sandbox.endpoints) == 2
    await rig.containers.revived(box.id)
    assert len(rig.uplink.asked) == 2, "once is enough"


async def test_news_of_a_death_that_is_over_change_nothing(rig):
    box = await rig.made()
    await rig.containers.start(box)
    await rig.containers.died(box.id)
    assert len(rig.containers.find("box").sandbox.endpoints) == 2


async def test_removing_leaves_nothing(rig):
    box = await rig.made()
    await rig.containers.start(box)
    with pytest.raises(Clash, match="container is running: stop the container before removing"):
        await rig.containers.remove(box, force=False, volumes=False)
    await rig.containers.remove(box, force=True, volumes=False)
    assert list(rig.network.records) == []
    assert list((rig.folder / "sandboxes").iterdir()) == []
    assert rig.kernel.view().sandboxes == ()
    assert rig.uplink.returned == ["att1"]
    with pytest.raises(Missing, match="No such container: box"):
        rig.containers.find("box")


async def test_a_failed_create_leaves_nothing(rig):
    rig.engine.refuse["create"] = Broken("no space left on device")
    with pytest.raises(Broken, match="no space left"):
        await rig.made()
    assert list(rig.network.records) == []
    assert list((rig.folder / "sandboxes").iterdir()) == []


class TestInterrupted:
    """An engine or a daemon that is killed while a container is made."""

    async def test_what_an_engine_made_without_saying_goes(self, rig):
        rig.engine.refuse["answer"] = EngineLost("the engine went away")
        with pytest.raises(EngineLost):
            await rig.containers.create("c", BODY)
        (draft,) = rig.network.records
        assert rig.containers.containers() == ()
        with pytest.raises(Missing):
            rig.containers.find("c")
        await rig.containers.settle(draft)
        assert rig.engine.states == {}
        assert list(rig.network.records) == []
        assert rig.kernel.looks[-1][1] == []

    async def test_the_name_can_be_used_again_at_once(self, rig):
        rig.engine.refuse["answer"] = EngineLost("the engine went away")
        with pytest.raises(EngineLost):
            await rig.containers.create("c", BODY)
        rig.engine.refuse.clear()
        made, _ = await rig.containers.create("c", BODY)
        assert [record.id for record in rig.network.records] == [made]
        assert list(rig.engine.states) == [made]

    async def test_a_container_on_record_keeps_all_that_is_its_own(self, rig):
        """The daemon was killed between writing its record and dropping the draft's."""
        made, _ = await rig.containers.create("c", BODY)
        record = rig.network.records.get(made)
        draft = msgspec.structs.replace(record, id=draft_id("c"))
        rig.network.records.put(draft)
        await rig.containers.settle(draft)
        assert list(rig.network.records) == [record]
        assert list(rig.engine.states) == [made]
        assert rig.network.etc.path(record, "hosts").exists()


async def test_a_failed_start_gives_the_addresses_back(rig):
    box = await rig.made()
    rig.engine.refuse["start"] = Broken("exec format error")
    with pytest.raises(Broken, match="exec format error"):
        await rig.containers.start(box)
    assert rig.uplink.returned == ["att1"]
    assert rig.containers.find("box").sandbox.endpoints == ()


async def test_what_cannot_be_limited_does_not_run(rig):
    box = await rig.made()
    await rig.containers.update(box, {"Memory": 32 << 20})
    rig.engine.refuse["update"] = Broken("no such control group")
    with pytest.raises(Broken, match="no such control group"):
        await rig.containers.start(box)
    assert rig.engine.states == {box.id: {"Running": False}}
    assert rig.containers.find("box").sandbox.endpoints == ()


async def test_what_was_to_be_removed_at_its_end_is_if_it_cannot_begin(rig):
    box = await rig.made()
    rig.engine.bodies[box.id]["HostConfig"] = {"AutoRemove": True}
    rig.engine.refuse["start"] = Broken("exec format error")
    with pytest.raises(Broken, match="exec format error"):
        await rig.containers.start(box)
    assert rig.engine.states == {}
    assert list(rig.network.records) == []


async def test_a_kernel_that_refuses_undoes_the_attachment_and_says_what(rig):
    box = await rig.made()
    op = AddLink(ns="1-netid", link=Link(name="veth0"))
    rig.kernel.failures = (Failure(op=op, errno=95, message="Operation not supported"),)
    with pytest.raises(Broken, match="AddLink veth0 in 1-netid: Operation not supported"):
        await rig.containers.start(box)
    assert rig.uplink.returned == ["att1"]


async def test_refusals_of_a_manager_come_in_dockers_words(rig):
    box = await rig.made(mode="nosuch")
    words = "rpc error: code = NotFound desc = network nosuch not found"
    rig.uplink.refuse = Missing(words)
    with pytest.raises(Broken, match="Could not attach to network nosuch: rpc error: code = NotF"):
        await rig.containers.start(box)
    rig.network.uplink = None
    with pytest.raises(Missing, match="networking: network nosuch not found"):
        await rig.containers.start(box)


async def test_a_network_that_this_host_has_not_heard_of_is_asked_for_by_name(rig):
    heard, rig.network.assignment = rig.network.assignment, Assignment(index=1, node_id="me")
    attach = rig.uplink.attach

    async def late(request):
        rig.network.assignment = heard
        return await attach(request)

    rig.uplink.attach = late
    box = await rig.made(mode="net")
    await rig.containers.start(box)
    assert [each.networks for each in rig.uplink.asked] == [{"net": ""}]
    assert "netid" in [each.network_id for each in rig.containers.record(box.id).endpoints]


async def test_names_are_unique_and_images_must_exist(rig):
    await rig.made()
    with pytest.raises(Clash, match='"/box" is already in use by container "0000'):
        await rig.made()
    with pytest.raises(Missing, match="No such image: nosuch:latest"):
        await rig.made(name="other", Image="nosuch")


async def test_found_by_id_prefix_and_name(rig):
    one = await rig.made(name="one")
    two = await rig.made(name="two")
    assert rig.containers.find("/one").id == one.id
    assert rig.containers.find(two.id).name == "two"
    with pytest.raises(Invalid, match="Multiple IDs found with provided prefix: 000"):
        rig.containers.find("000")


@pytest.mark.parametrize("mode", ["host", "container:other"])
async def test_a_container_without_network_of_its_own_has_no_sandbox(rig, mode):
    await rig.made(name="other")
    box = await rig.made(mode=mode)
    assert box.sandbox is None
    assert rig.engine.bodies[box.id]["HostConfig"] == {"NetworkMode": mode}
    assert await rig.containers.start(box)


async def test_on_anothers_network_it_has_that_ones_host_name(rig):
    other = await rig.made(name="other")
    box = await rig.made(mode="container:other")
    assert rig.engine.bodies[box.id]["Hostname"] == other.id[:12]


async def test_the_default_bridge_gives_address_and_route(rig):
    box = await rig.made(mode="default")
    await rig.containers.start(box)
    (leg,) = rig.containers.find("box").sandbox.endpoints
    assert (leg.address, leg.network_name) == ("172.17.0.2/16", "bridge")
    assert rig.containers.find("box").sandbox.gateway == leg.id
    assert rig.uplink.asked == []


async def test_no_network_is_an_empty_sandbox(rig):
    box = await rig.made(mode="none")
    await rig.containers.start(box)
    assert rig.containers.find("box").sandbox.endpoints == ()


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"NetworkingConfig": {"EndpointsConfig": {"net": {"DriverOpts": {"com.x": "y"}}}}},
            "endpoint option com.x is not",
        ),
        (
            {
                "HostConfig": {"NetworkMode": "net"},
                "NetworkingConfig": {
                    "EndpointsConfig": {"net": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}}
                },
            },
            "link-local addresses are not",
        ),
    ],
)
async def test_what_would_be_ignored_is_refused(rig, change, words):
    with pytest.raises(Unsupported, match=words):
        await rig.containers.create("x", {"Image": "busybox", **change})
    assert rig.engine.bodies == {}


def test_several_networks_with_their_addresses_and_aliases():
    config = {
        "IPAMConfig": {"IPv4Address": "10.0.1.9", "IPv6Address": "fd00::9"},
        "Aliases": ["db"],
        "MacAddress": "02:42:AA:00:00:01",
        "GwPriority": 3,
    }
    mode, wanted = wanted_networks(
        {
            "HostConfig": {"NetworkMode": "net"},
            "NetworkingConfig": {"EndpointsConfig": {"other": None, "net": config}},
        }
    )
    assert mode == "net"
    net, other = wanted
    assert (net.network, net.address, net.address6) == ("net", "10.0.1.9", "fd00::9")
    assert (net.aliases, net.mac, net.gw_priority) == (("db",), "02:42:aa:00:00:01", 3)
    assert other == Wanted(network="other")
    assert wanted_networks({}) == ("default", wanted_networks({})[1])


def test_tags():
    assert tagged("nginx") == "nginx:latest"
    assert tagged("host:5000/nginx") == "host:5000/nginx:latest"
    assert tagged("nginx@sha256:1") == "nginx@sha256:1"

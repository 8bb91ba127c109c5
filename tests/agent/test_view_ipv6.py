"""The IPv6 addresses of a host's own view: given ones, mirrored ones, none without a kernel's."""

from msgspec.structs import replace
from test_view import ANY, ASSIGNMENT, GATEWAY, INGRESS, ME, OUTWARD, WEB

from skep.agent.records import Record
from skep.agent.view import Layout, Underlay, host_view, with_sixth
from skep.model.assignment import NetworkEndpoint, NetworkService
from skep.model.cluster import Attachment, Subnet
from skep.model.host import Bridge, Sandbox
from skep.model.spec import IpamConfig
from skep.model.ula import cluster_subnet
from skep.plan.desired import desired

MESH = Subnet(
    IpamConfig(subnet="10.0.0.0/24", gateway="10.0.0.1"), 4096,
    config6=IpamConfig(subnet="fd00:9::/64", gateway="fd00:9::1"),
)  # fmt: skip
SIX = Subnet(
    IpamConfig(subnet="10.0.1.0/24", gateway="10.0.1.1"), 4097,
    config6=IpamConfig(subnet="fd00:1::/64", gateway="fd00:1::1"),
)  # fmt: skip
ENDPOINT = NetworkEndpoint(
    task_id="t", node_id="n", address="10.0.1.7", mac="02:42:0a:00:01:07", address6="fd00:1::7"
)
SERVICE = NetworkService(id="s", name="s", vip="10.0.1.2", vip6="fd00:1::2")
DUAL = replace(
    ASSIGNMENT,
    cluster_id="c",
    peers={"me": replace(ME, ingress_address6="fd00:9::a00:2/64")},
    networks={
        "ingressid": replace(INGRESS, subnets=(MESH,)),
        "webid": replace(WEB, subnets=(SIX,), endpoints={"t": ENDPOINT}, services={"s": SERVICE}),
    },
)


def record():
    layout = Layout("a" * 64, [])
    place = Attachment(network_id="webid", address="10.0.1.5/24", address6="fd00:1::5/64")
    layout.overlay(DUAL.networks["webid"], place, ("10.0.1.2", "fd00:1::2"), ())
    mesh = Attachment(network_id="ingressid", address="10.0.0.5/24")
    layout.overlay(DUAL.networks["ingressid"], mesh, (), ())
    leg = layout.bridge(OUTWARD, ANY, "")
    return Record(
        id="c" * 64, name="x", image="i", sandbox_id="a" * 64, network_mode="web", created_at=1.0,
        endpoints=tuple(layout.endpoints), gateway=leg.id,
    )  # fmt: skip


def test_what_is_on_record_is_only_what_was_given():
    assert [each.address6 for each in record().endpoints] == ["fd00:1::5/64", "", ""]


def test_the_view_has_them_all():
    view = host_view(DUAL, [record()], (GATEWAY,), Underlay(advertised_to=("eth7",)))
    prefix = cluster_subnet("c", 0xFFFF).removesuffix("::/64")
    box, entry = view.sandboxes
    assert [each.address6 for each in box.endpoints] == [
        "fd00:1::5/64",
        "fd00:9::a00:5/64",
        f"{prefix}::ac12:3/64",
    ]
    assert [each.address6 for each in entry.endpoints] == [
        "fd00:9::a00:2/64",
        f"{prefix}::ac12:2/64",
    ]
    assert view.bridges[0].address6 == f"{prefix}::ac12:1/64"
    assert view.advertised_to == ("eth7",)


def test_docker0_has_none():
    docker0 = Bridge(network_id="d", network_name="bridge", name="docker0", address="172.17.0.1/16")
    assert with_sixth(docker0, "c") == docker0


def test_outside_a_swarm_there_is_none():
    view = host_view(replace(DUAL, cluster_id=""), [], (GATEWAY,), Underlay())
    assert view.bridges == (GATEWAY,)


def test_a_kernel_without_ipv6_is_asked_for_none():
    view = host_view(DUAL, [record()], (GATEWAY,), Underlay(ipv6=False))
    assert view.bridges == (GATEWAY,)
    assert {each.address6 for box in view.sandboxes for each in box.endpoints} == {""}
    assert view.sandboxes[0].endpoints[0].vips == ("10.0.1.2",)
    web = view.networks["webid"]
    assert web.subnets[0].config6 is None
    assert (web.endpoints["t"].address6, web.services["s"].vip6) == ("", "")
    assert web.endpoints["t"].address == "10.0.1.7"


def test_a_sandbox_without_endpoints_stays_as_it_is():
    box = Sandbox(id="a" * 64)
    bare = Record(
        id="c" * 64, name="x", image="i", sandbox_id=box.id, network_mode="web", created_at=1.0
    )
    assert host_view(DUAL, [bare], (GATEWAY,), Underlay()).sandboxes[0].endpoints == ()


def test_networks_too_narrow_for_ipv6_have_none():
    for mtu, sixths in ((1330, 2), (1329, 0)):
        view = host_view(DUAL, [record()], (GATEWAY,), Underlay(vtep="192.0.2.1", mtu=mtu))
        assert sum(bool(each.subnets[0].config6) for each in view.networks.values()) == sixths
        web, mesh, leg = view.sandboxes[0].endpoints
        assert bool(web.address6) == bool(mesh.address6) == bool(sixths)
        assert leg.address6, "the way out is as wide as ever"
        planned = desired(view)
        carried = {each.address for each in planned["ingress_sbox"].addresses}
        assert any(each.startswith("fd00:9:") for each in carried) == bool(sixths)
